//! The envelope against the specification's own vector, and against sizes that nobody should read.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proto::{
    EVIDENCE_MAX,
    dsse::{self, ENVELOPE_MAX, Envelope, EnvelopeError},
    evidence::{self, EvidenceError},
    keys::{PublicKey, SecretKey},
};

/// DSSE 1.0.2, protocol.md, "Test Vectors".
const TYPE: &str = "http://example.com/HelloWorld";
const BODY: &[u8] = b"hello world";
const ENVELOPE: &str = r#"{"payload": "aGVsbG8gd29ybGQ=",
 "payloadType": "http://example.com/HelloWorld",
 "signatures": [{"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}"#;
/// X and Y of its key, as an uncompressed point.
const KEY: &str = "p256:0467cd390f77aa359cb08c2235f652270493a9ed832b0abcc01f70954c0390d238\
    0c782bd54e269125a44f4433aff1432ce94e12bca73aa67ac80cea12608ddf74";

/// The specification writes r and s one after the other; X.509, TPMs and this program write them as ASN.1.
fn asn1(raw: &[u8]) -> Vec<u8> {
    let integer = |half: &[u8]| {
        let digits: Vec<u8> = half.iter().copied().skip_while(|byte| *byte == 0).collect();
        let sign: &[u8] = if digits.first().is_some_and(|byte| *byte >= 0x80) { &[0] } else { &[] };
        [&[2, (sign.len() + digits.len()) as u8], sign, &digits].concat()
    };
    let (r, s) = raw.split_at(32);
    let body = [integer(r), integer(s)].concat();
    [&[0x30, body.len() as u8][..], &body].concat()
}

#[test]
fn the_specifications_own_signature() {
    assert_eq!(dsse::pae(TYPE, BODY), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    assert_eq!(Envelope::parse(ENVELOPE.as_bytes()).unwrap().unverified_payload(), BODY);

    let key: PublicKey = KEY.parse().unwrap();
    let raw = ENVELOPE.split(r#""sig": ""#).nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let signature = asn1(&STANDARD.decode(raw).unwrap());
    assert_eq!(key.verify(&dsse::pae(TYPE, BODY), &signature), Ok(()));
    let ours = ENVELOPE.replace(raw, &STANDARD.encode(&signature));
    assert_eq!(dsse::open(ours.as_bytes(), TYPE, [&key], 1).unwrap().value(), BODY);

    // The vector is about these bytes and no others.
    assert!(key.verify(&dsse::pae(TYPE, b"hello World"), &signature).is_err());
    assert!(key.verify(BODY, &signature).is_err(), "the type and the lengths are signed as well");
    let other = ours.replace("aGVsbG8gd29ybGQ=", "aGVsbG8gV29ybGQ=");
    assert!(dsse::open(other.as_bytes(), TYPE, [&key], 1).is_err());
}

#[test]
fn an_envelope_that_is_too_large_is_not_looked_at() {
    let key = SecretKey::ed25519([1; 32]);
    let sealed = dsse::seal(TYPE, BODY, &[&key]);
    let padded = |size: usize| [&sealed[..], &vec![b' '; size - sealed.len()]].concat();
    assert_eq!(dsse::open(&padded(ENVELOPE_MAX), TYPE, [&key.public()], 1).unwrap().value(), BODY);
    for size in [ENVELOPE_MAX + 1, ENVELOPE_MAX * 2] {
        let refused = dsse::open(&padded(size), TYPE, [&key.public()], 1).unwrap_err();
        assert_eq!(refused, EnvelopeError::TooLarge(size));
        assert_eq!(Envelope::parse(&vec![0; size]).unwrap_err(), EnvelopeError::TooLarge(size));
    }
}

#[test]
fn evidence_that_no_log_entry_holds_is_not_looked_at() {
    let too_large = |outcome: Result<_, EvidenceError>| match outcome {
        Err(EvidenceError::TooLarge(size)) => Some(size),
        _ => None::<usize>,
    };
    let key = SecretKey::ed25519([1; 32]).public();
    for size in [EVIDENCE_MAX + 1, EVIDENCE_MAX * 20] {
        let bytes = vec![b'{'; size];
        assert_eq!(too_large(evidence::open(&bytes, &key)), Some(size));
        assert_eq!(too_large(evidence::peek(&bytes).map(|_| unreachable!())), Some(size));
    }
    // At the limit it is read, and found to be nothing.
    assert!(matches!(evidence::open(&vec![b'{'; EVIDENCE_MAX], &key), Err(EvidenceError::Signature(_))));
}
