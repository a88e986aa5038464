"""Reads a bundle's envelopes with securesystemslib (DSSE) and in-toto-attestation: no line of Orderly's code has a part in it.

    envelopes.py TRUST BUNDLE

TRUST holds the organization's public keys, as an auditor has them from elsewhere. Of everything found wrong the file is
named; exit 1.
"""

import base64
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, UnverifiedSignatureError, VerificationError
from securesystemslib.signer import SSlibKey

UNSIGNED = (FormatError, UnverifiedSignatureError, VerificationError)
STATEMENT = "application/vnd.in-toto+json"


class Refused(Exception):
    pass


def key(text):
    """A key as Orderly writes it, for securesystemslib; and the key ID that it has in envelopes, a mere hint."""
    kind, digits = text.split(":")
    keyid = hashlib.sha256(text.encode()).hexdigest()[:16]
    if kind == "ed25519":
        return SSlibKey(keyid, "ed25519", "ed25519", {"public": digits})
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(digits))
    pem = point.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return SSlibKey(keyid, "ecdsa", "ecdsa-sha2-nistp256", {"public": pem.decode()})


def opened(data, kind, keys, threshold=1):
    envelope = Envelope.from_dict(json.loads(data))
    if envelope.payload_type != kind:
        raise Refused(f"has payload type {envelope.payload_type}")
    envelope.verify([key(text) for text in keys], threshold)
    return envelope.payload


def statement(payload):
    """The predicate of a valid in-toto statement whose subject it is."""
    message = json_format.Parse(payload, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    subjects = {subject.name: subject.digest["sha256"] for subject in message.subject}
    # The subject is the predicate as it stands there: what follows "predicate": up to the statement's last brace.
    raw = payload[payload.index(b'"predicate":') + len(b'"predicate":') : -1]
    if subjects.get("record") != hashlib.sha256(raw).hexdigest():
        raise Refused("its subject is not its predicate")
    return json.loads(raw), subjects


class Bundle:
    def __init__(self, root, trust):
        self.root, self.trust = root, trust
        self.faults, self.count = [], 0
        self.charters, self.evidence_keys, self.named = {}, {}, set()

    def each(self, folder, look):
        for path in sorted((self.root / folder).glob("*")):
            self.look(path.relative_to(self.root), path.read_bytes(), look)

    def look(self, name, data, look):
        try:
            look(name, data)
            self.count += 1
        except (Refused, *UNSIGNED, ValueError, KeyError, TypeError, json_format.ParseError) as error:
            self.faults.append(f"{name}: {type(error).__name__} {error}")

    def charter(self, name, data):
        payload = opened(data, "application/vnd.orderly.charter.v1+json", self.trust["keys"], self.trust["threshold"])
        charter = json.loads(payload)
        if name.stem != str(charter["serial"]):
            raise Refused("is another charter than its name says")
        self.charters[charter["serial"]] = charter

    def signed_by_any(self, data, kind, keys_of):
        refused = Refused("there is no charter")
        for charter in self.charters.values():
            try:
                return opened(data, kind, *keys_of(charter))
            except UNSIGNED as error:
                refused = error
        raise refused

    def catalogue(self, name, data):
        release = lambda charter: (charter["release_keys"]["keys"], charter["release_keys"]["threshold"])
        payload = self.signed_by_any(data, "application/vnd.orderly.catalogue.v1+json", release)
        if name.stem != str(json.loads(payload)["version"]):
            raise Refused("is another catalogue than its name says")

    def order(self, name, data):
        kind = Envelope.from_dict(json.loads(data)).payload_type
        if kind not in ORDERS:
            raise Refused(f"has payload type {kind}")
        payload = self.signed_by_any(data, kind, lambda charter: (charter["order_keys"],))
        if name.stem != hashlib.sha256(payload).hexdigest():
            raise Refused("is another order than its name says")

    def papers(self, name, data):
        papers = json.loads(data)
        proof = base64.b64decode(papers["key_proof"], validate=True)
        claimed = json.loads(Envelope.from_dict(json.loads(proof)).payload)
        payload = opened(proof, "application/vnd.orderly.key-proof.v1+json", [claimed["evidence_key"]])
        claimed = json.loads(payload)
        if claimed["incarnation"] != papers["incarnation"] or papers["incarnation"] not in name.stem:
            raise Refused("is of another executor than its name says")
        self.evidence_keys[claimed["incarnation"]] = claimed["evidence_key"]

    def record(self, name, data):
        index, digest = name.stem.split("-")
        if hashlib.sha256(data).hexdigest() != digest:
            raise Refused("is another record than its name says")
        self.evidence(data)

    def evidence(self, data):
        unverified = json.loads(Envelope.from_dict(json.loads(data)).payload)
        if unverified["predicateType"].startswith("urn:orderly:act:"):
            # What the control plane itself says: by an order key, as the charter names them.
            statement(self.signed_by_any(data, STATEMENT, lambda charter: (charter["order_keys"],)))
            return
        incarnation = unverified["predicate"]["chain"]["incarnation"]
        predicate, subjects = statement(opened(data, STATEMENT, [self.evidence_keys[incarnation]]))
        if predicate["chain"]["incarnation"] != incarnation:
            raise Refused("is of another executor")
        body = predicate["body"]
        if body["kind"] == "execution" and subjects.get("order") != body["order"]["digest"]:
            raise Refused("its subject is not its order")

    def entries(self):
        for path in sorted((self.root / "log/tile/entries").rglob("*")):
            data = path.read_bytes() if path.is_file() else b""
            at = 0
            while at < len(data):
                length = int.from_bytes(data[at : at + 2], "big")
                self.look(path.relative_to(self.root), data[at + 2 : at + 2 + length], lambda _, entry: self.evidence(entry))
                at += 2 + length


ORDERS = ["application/vnd.orderly.order.v1+protobuf", "application/vnd.orderly.standing-order.v1+json"]


def main():
    trust, root = sys.argv[1:]
    bundle = Bundle(pathlib.Path(root), json.loads(pathlib.Path(trust).read_bytes()))
    for folder, look in [
        ("charter", bundle.charter),
        ("catalogue", bundle.catalogue),
        ("orders", bundle.order),
        ("appliances", bundle.papers),
        ("evidence", bundle.record),
    ]:
        bundle.each(folder, look)
    bundle.entries()
    for fault in bundle.faults:
        print("FAULT", fault)
    print(f"{bundle.count} envelopes hold, {len(bundle.faults)} faults")
    sys.exit(bool(bundle.faults))


main()
