//! Records of the trade inside a log: HL7 v2 segments and DICOM tag dumps.

use super::{
    bytes::{byte, digits},
    class::Class,
};

const SEGMENTS: &str = "MSH PID PD1 PV1 PV2 NK1 GT1 IN1 IN2 IN3 OBX OBR ORC EVN AL1 DG1 MRG NTE ROL SCH AIS AIG AIL AIP TXA \
    RXA RXE RXO RXR RXD FT1 PR1 ACC UB1 UB2 DB1 CON CTD CTI MSA ERR QRD QRF QPD RCP QAK DSP SPM SAC TQ1 STF PRA ORG AFF LAN EDU CER IAM \
    RGS FHS BHS BTS FTS DSC PRD PRB GOL VAR BLG ODS ODT ARV PDA IAR";

/// Whether an HL7 segment starts at `at`: its name and a bar. What follows up to the end of the line are its fields.
pub(super) fn segment(text: &[u8], at: usize) -> bool {
    let Some([a, b, c, b'|']) = text.get(at..).and_then(|rest| rest.first_chunk::<4>()) else {
        return false;
    };
    let name = [*a, *b, *c];
    let own = *a == b'Z' && [b, c].iter().all(|x| x.is_ascii_uppercase() || x.is_ascii_digit());
    own || SEGMENTS.split_ascii_whitespace().any(|s| s.as_bytes() == name)
}

/// The most bytes of a DICOM value that are looked at; what is past them is judged as any text.
const LONGEST: usize = 1024;

/// A line of a DICOM dump from `(gggg,eeee)` at `at`: the range of its value, and its class
/// if the tag alone says that it must go.
pub(super) fn element(text: &[u8], at: usize) -> Option<(usize, usize, Option<Class>)> {
    let tag = text.get(at..at + 11)?;
    let hex = |s: &[u8]| s.iter().all(u8::is_ascii_hexdigit);
    if tag[0] != b'(' || tag[5] != b',' || tag[10] != b')' || !hex(&tag[1..5]) || !hex(&tag[6..10]) {
        return None;
    }
    let rest = &text[at + 11..];
    let close =
        rest.iter().take(LONGEST).position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len().min(LONGEST));
    let rest = &rest[..close.min(LONGEST)];
    // dcmdump: `PN [Doe^John] # 8, 1 PatientName`; pydicom: `Patient's Name   PN: 'Doe^John'`.
    let (vr, from) = match rest {
        [b' ', a, b, b' ', ..] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => ([*a, *b], 4),
        _ => {
            let colon = rest[..rest.len().min(96)].windows(4).position(|w| {
                w[0] == b' ' && w[3] == b':' && w[1].is_ascii_uppercase() && w[2].is_ascii_uppercase()
            })?;
            ([rest[colon + 1], rest[colon + 2]], colon + 4)
        }
    };
    let value = &rest[from..];
    let skip = value.iter().take_while(|b| **b == b' ').count();
    let (open, shut) = match value.get(skip) {
        Some(b'[') => (skip + 1, value.iter().rposition(|b| *b == b']')?),
        Some(q @ (b'\'' | b'"')) => (skip + 1, value.iter().rposition(|b| b == q).filter(|end| *end > skip)?),
        Some(_) => (skip, value.windows(2).position(|w| w == b" #").unwrap_or(value.len())),
        None => return None,
    };
    let class = class_of(tag, vr, &value[open..shut.max(open)]);
    let start = at + 11 + from;
    (shut > open).then_some((start + open, start + shut, class))
}

fn class_of(tag: &[u8], vr: [u8; 2], value: &[u8]) -> Option<Class> {
    let patient = &tag[1..5] == b"0010";
    match &vr {
        b"PN" => Some(Class::Name),
        b"DA" | b"DT" | b"AS" => Some(Class::Date),
        b"UI" if value.starts_with(b"1.2.840.10008.") => None,
        b"UI" => Some(Class::Code),
        b"CS" | b"US" | b"UL" | b"SS" | b"SL" | b"FL" | b"FD" | b"IS" | b"DS" | b"AT" | b"TM" => None,
        _ if patient && &tag[6..10] == b"1040" => Some(Class::Place),
        _ if patient && &tag[6..10] == b"2154" => Some(Class::Phone),
        _ if patient => Some(Class::Mrn),
        b"LT" | b"ST" | b"UT" | b"OB" | b"OW" | b"UN" | b"SH"
            if digits(value, 0) > 0 || byte(value, 0) != b'\n' =>
        {
            Some(Class::Code)
        }
        b"LO" if value.iter().any(u8::is_ascii_digit) => Some(Class::Code),
        _ => None,
    }
}
