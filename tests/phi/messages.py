"""Whole HL7 v2 messages and DICOM dumps, made by hl7apy and pydicom, with the identifiers in them marked."""

from hl7apy.core import Message
from pydicom.dataset import Dataset


def hl7(kinds, structure):
    """A message of that structure: its text, and the (class, text) values in it, in order."""
    value = lambda kind: kinds.make(kind)
    found = []

    def put(segment, field, kind, form="{}"):
        cls, text = value(kind)
        setattr(segment, field, form.format(text))
        found.append((cls, text))

    message = Message(structure, version="2.5")
    msh = message.msh
    msh.msh_3, msh.msh_4, msh.msh_9 = "LAB", "CLINIC", structure.replace("_", "^")
    put(msh, "msh_7", "date.hl7")
    put(msh, "msh_10", "code.long")
    msh.msh_11 = "P"
    holder = message
    if structure.startswith("ORU"):
        holder = message.add_group("ORU_R01_PATIENT_RESULT")
        patient = holder.add_group("ORU_R01_PATIENT")
    else:
        patient = message
        put(message.add_segment("EVN"), "evn_2", "date.hl7")
    pid = patient.add_segment("PID")
    put(pid, "pid_3", "mrn.num", "{}^^^CLINIC^MR")
    put(pid, "pid_5", "name.caret")
    put(pid, "pid_7", "date.hl7")
    cls, street = value("geo.street")
    city, code = value("geo.city")[1], value("geo.zip")[1]
    pid.pid_11 = f"{street}^^{city}^TX^{code}"
    found.extend([("geo", street), ("geo", city), ("geo", code)])
    put(pid, "pid_13", "phone.paren")
    put(pid, "pid_19", "ssn.plain")
    if structure.startswith("ADT"):
        nk1 = patient.add_segment("NK1")
        put(nk1, "nk1_2", "name.caret")
        put(nk1, "nk1_5", "phone.dash")
    else:
        order = holder.add_group("ORU_R01_ORDER_OBSERVATION")
        obr = order.add_segment("OBR")
        put(obr, "obr_2", "code.acc")
        obx = order.add_group("ORU_R01_OBSERVATION").add_segment("OBX")
        obx.obx_2, obx.obx_3, obx.obx_5 = "NM", "718-7^Hemoglobin", "13.2"
        put(obx, "obx_14", "date.hl7")
    return message.to_er7().rstrip("\r"), found


def dicom(kinds):
    """pydicom's own dump of a small data set, and the values in it, in order."""
    found = {}

    def value(kind):
        cls, text = kinds.make(kind)
        found[text] = cls
        return text

    data = Dataset()
    data.StudyDate = value("date.dicom")
    data.AccessionNumber = value("code.acc")
    data.Modality = "MR"
    data.ReferringPhysicianName = value("name.caret")
    data.PatientName = value("name.caret")
    data.PatientID = value("mrn.alnum")
    data.PatientBirthDate = value("date.dicom")
    data.PatientSex = "F"
    data.PatientAddress = value("geo.street").replace("\n", " ")
    data.PatientTelephoneNumbers = value("phone.dash")
    data.DeviceSerialNumber = value("device.serial")
    data.StudyInstanceUID = value("code.uid")
    text = str(data)
    return text, sorted(((cls, each) for each, cls in found.items()), key=lambda item: text.index(item[1]))
