//! DSSE 1.0.2 envelopes: bytes, what they mean, and who signed them. The one place that turns bytes into something trusted.
//!
//! Sign bytes, never meanings: the payload is carried as it was signed and parsed only after it verified. The key ID is
//! an unauthenticated hint and decides nothing; a threshold counts distinct keys (DSSE protocol.md).

use std::{borrow::Cow, collections::BTreeSet};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use serde::{Deserialize, Serialize};

use crate::keys::{BadSignature, PublicKey, SecretKey};

/// The largest envelope that is looked at, in bytes of JSON.
pub const ENVELOPE_MAX: usize = 4 << 20;

/// The most signatures that are looked at: each costs a verification per trusted key.
pub const SIGNATURES_MAX: usize = 64;

/// Why an envelope was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not a DSSE envelope in JSON.
    #[error("envelope is not DSSE JSON: {0}")]
    Malformed(String),
    /// Too large to look at.
    #[error("envelope must be at most {ENVELOPE_MAX} bytes, has {0}")]
    TooLarge(usize),
    /// The payload is of another kind than the caller reads.
    #[error("payload type must be {expected}, is {found}")]
    WrongType {
        /// What the caller reads.
        expected: String,
        /// What the envelope says.
        found: String,
    },
    /// Not enough of the trusted keys signed.
    #[error("signed by {found} of the trusted keys, {needed} needed")]
    NotEnough {
        /// Distinct trusted keys whose signature verifies.
        found: usize,
        /// How many there must be.
        needed: usize,
    },
}

/// A parsed envelope whose signatures nobody has checked yet; its payload cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Vec<u8>>,
    /// How long the payload's text is, when it is the one that [`seal`] writes: as it is, in the standard alphabet.
    text: Option<usize>,
}

/// Bytes that at least `threshold` distinct trusted keys signed. Only [`Envelope::verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T = Vec<u8>> {
    value: T,
    signers: BTreeSet<PublicKey>,
}

impl<T> Verified<T> {
    /// What was signed.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// What was signed, by value.
    pub fn into_value(self) -> T {
        self.value
    }

    /// The trusted keys that signed it.
    pub fn signers(&self) -> &BTreeSet<PublicKey> {
        &self.signers
    }

    /// Parses the signed bytes; the trust carries over to what they say.
    pub fn parse<U, E>(self, parse: impl FnOnce(T) -> Result<U, E>) -> Result<Verified<U>, E> {
        Ok(Verified { value: parse(self.value)?, signers: self.signers })
    }
}

/// How every envelope's JSON begins.
const BEFORE_PAYLOAD: &str = r#"{"payload":""#;

#[derive(Serialize, Deserialize)]
struct Json<'j> {
    #[serde(borrow)]
    payload: Cow<'j, str>,
    #[serde(rename = "payloadType", borrow)]
    payload_type: Cow<'j, str>,
    #[serde(borrow)]
    signatures: Vec<JsonSignature<'j>>,
}

#[derive(Serialize, Deserialize)]
struct JsonSignature<'j> {
    #[serde(default, borrow)]
    keyid: Cow<'j, str>,
    #[serde(borrow)]
    sig: Cow<'j, str>,
}

/// Pre-authentication encoding (DSSE protocol.md): type and lengths are bound in, so no two pairs share bytes.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// Signs `payload` with every key of `keys` and gives the envelope's JSON bytes.
#[must_use]
pub fn seal(payload_type: &str, payload: &[u8], keys: &[&SecretKey]) -> Vec<u8> {
    let message = pae(payload_type, payload);
    envelope(payload_type, payload, keys.iter().map(|key| signature(key, &message)).collect())
}

fn envelope(payload_type: &str, payload: &[u8], signatures: Vec<JsonSignature<'_>>) -> Vec<u8> {
    let json =
        Json { payload: STANDARD.encode(payload).into(), payload_type: payload_type.into(), signatures };
    serde_json::to_vec(&json).expect("strings always serialise")
}

/// A payload and its type before anybody has signed them: for keys that are not at hand, which somebody else signs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned {
    payload_type: &'static str,
    payload: Vec<u8>,
}

impl Unsigned {
    /// What is to be signed.
    #[must_use]
    pub fn new(payload_type: &'static str, payload: Vec<u8>) -> Self {
        Self { payload_type, payload }
    }

    /// What is said, whoever signs it.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        pae(self.payload_type, &self.payload)
    }

    /// The envelope, signed by a key that is at hand.
    #[must_use]
    pub fn seal(&self, key: &SecretKey) -> Vec<u8> {
        seal(self.payload_type, &self.payload, &[key])
    }

    /// The envelope with a signature that was made elsewhere; one that is not of `key` over [`Unsigned::message`] makes none.
    pub fn sealed_with(&self, key: &PublicKey, signature: &[u8]) -> Result<Vec<u8>, BadSignature> {
        key.verify(&self.message(), signature)?;
        Ok(envelope(self.payload_type, &self.payload, vec![in_json(key, signature)]))
    }
}

/// Adds a signature to an envelope that somebody else began: how a second offline key signs the same bytes.
pub fn countersign(envelope: &[u8], key: &SecretKey) -> Result<Vec<u8>, EnvelopeError> {
    let opened = Envelope::parse(envelope)?;
    let mut json: Json<'_> = serde_json::from_slice(envelope).map_err(malformed)?;
    let new = signature(key, &pae(&opened.payload_type, &opened.payload));
    json.signatures.retain(|kept| kept.keyid != new.keyid);
    json.signatures.push(new);
    Ok(serde_json::to_vec(&json).expect("strings always serialise"))
}

fn signature(key: &SecretKey, message: &[u8]) -> JsonSignature<'static> {
    in_json(&key.public(), &key.sign(message))
}

fn in_json(key: &PublicKey, signature: &[u8]) -> JsonSignature<'static> {
    JsonSignature { keyid: key.hint().into(), sig: STANDARD.encode(signature).into() }
}

impl Envelope {
    /// Reads an envelope. Both base64 alphabets are accepted, unknown fields ignored (DSSE envelope.md).
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > ENVELOPE_MAX {
            return Err(EnvelopeError::TooLarge(bytes.len()));
        }
        let json: Json<'_> = serde_json::from_slice(bytes).map_err(malformed)?;
        if json.signatures.len() > SIGNATURES_MAX {
            let have = json.signatures.len();
            return Err(EnvelopeError::Malformed(format!(
                "must have at most {SIGNATURES_MAX} signatures, has {have}"
            )));
        }
        let signatures = json.signatures.iter().map(|s| unbase64(&s.sig)).collect::<Result<_, _>>()?;
        let standard = STANDARD.decode(&*json.payload).ok();
        // Owned: there were escapes in it.
        let is_as_sealed = standard.is_some() && matches!(json.payload, Cow::Borrowed(_));
        Ok(Self {
            text: is_as_sealed.then_some(json.payload.len()),
            payload: standard.map_or_else(|| unbase64(&json.payload), Ok)?,
            payload_type: json.payload_type.into_owned(),
            signatures,
        })
    }

    /// The payload, once at least `threshold` distinct keys of `trusted` have signed it as a `payload_type`.
    pub fn verify<'k>(
        &self,
        payload_type: &str,
        trusted: impl IntoIterator<Item = &'k PublicKey>,
        threshold: usize,
    ) -> Result<Verified, EnvelopeError> {
        let signers = self.signers(payload_type, trusted, threshold)?;
        Ok(Verified { value: self.payload.clone(), signers })
    }

    /// The same for what was read from the payload before, by whoever read it from nothing else.
    pub(crate) fn vouch<'k, T>(
        &self,
        payload_type: &str,
        trusted: impl IntoIterator<Item = &'k PublicKey>,
        threshold: usize,
        read: T,
    ) -> Result<Verified<T>, EnvelopeError> {
        Ok(Verified { value: read, signers: self.signers(payload_type, trusted, threshold)? })
    }

    fn signers<'k>(
        &self,
        payload_type: &str,
        trusted: impl IntoIterator<Item = &'k PublicKey>,
        threshold: usize,
    ) -> Result<BTreeSet<PublicKey>, EnvelopeError> {
        if self.payload_type != payload_type {
            return Err(EnvelopeError::WrongType {
                expected: payload_type.to_owned(),
                found: self.payload_type.clone(),
            });
        }
        let message = pae(&self.payload_type, &self.payload);
        let signers: BTreeSet<PublicKey> = trusted
            .into_iter()
            .filter(|key| self.signatures.iter().any(|sig| key.verify(&message, sig).is_ok()))
            .cloned()
            .collect(); // a set: one key signing twice counts once
        let needed = threshold.max(1);
        if signers.len() < needed {
            return Err(EnvelopeError::NotEnough { found: signers.len(), needed });
        }
        Ok(signers)
    }

    /// The payload before anyone vouched for it: for finding out which key to ask for, and for showing to people.
    #[must_use]
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// How many signatures it carries, whoever's.
    #[must_use]
    pub fn signatures(&self) -> usize {
        self.signatures.len()
    }

    /// Whether `bytes`, which this was parsed from, are byte for byte what [`seal`] makes of its payload with `key`
    /// alone. One payload can be written in many envelopes that all verify; where the envelope's digest is its name, only
    /// this one counts.
    #[must_use]
    pub fn is_exact(&self, bytes: &[u8], key: &PublicKey) -> bool {
        let [signature] = &self.signatures[..] else { return false };
        let sig = STANDARD.encode(signature).into();
        let signatures = vec![JsonSignature { keyid: key.hint().into(), sig }];
        let empty = Json { payload: "".into(), payload_type: self.payload_type.as_str().into(), signatures };
        let Ok(frame) = serde_json::to_vec(&empty) else { return false };
        // Around the payload's text, which the standard alphabet allows one way of writing. It begins where the first string
        // does and was read from there without an escape; so with this length it is what lies between.
        let (before, after) = frame.split_at(BEFORE_PAYLOAD.len());
        let text = bytes.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        text.is_some_and(|text| Some(text.len()) == self.text) && key.is_sole_form(signature)
    }
}

/// Parses and verifies in one go.
pub fn open<'k>(
    bytes: &[u8],
    payload_type: &str,
    trusted: impl IntoIterator<Item = &'k PublicKey>,
    threshold: usize,
) -> Result<Verified, EnvelopeError> {
    Envelope::parse(bytes)?.verify(payload_type, trusted, threshold)
}

fn unbase64(text: &str) -> Result<Vec<u8>, EnvelopeError> {
    STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .map_err(|_| EnvelopeError::Malformed("base64".to_owned()))
}

fn malformed(error: serde_json::Error) -> EnvelopeError {
    EnvelopeError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "application/vnd.orderly.test";

    fn keys() -> Vec<SecretKey> {
        (1..=3).map(|n| SecretKey::ed25519([n; 32])).collect()
    }

    #[test]
    fn the_specifications_vector() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn two_of_three_is_two_distinct_keys() {
        let keys = keys();
        let trusted: Vec<_> = keys.iter().map(SecretKey::public).collect();
        let twice_one = seal(TYPE, b"x", &[&keys[0], &keys[0]]);
        assert_eq!(
            open(&twice_one, TYPE, &trusted, 2),
            Err(EnvelopeError::NotEnough { found: 1, needed: 2 })
        );
        let two = countersign(&seal(TYPE, b"x", &[&keys[0]]), &keys[2]).unwrap();
        let verified = open(&two, TYPE, &trusted, 2).unwrap();
        assert_eq!(verified.value(), b"x");
        assert_eq!(verified.signers().len(), 2);
    }

    #[test]
    fn a_threshold_of_nothing_is_one() {
        let none = seal(TYPE, b"x", &[]);
        assert!(open(&none, TYPE, &[keys()[0].public()], 0).is_err());
    }

    #[test]
    fn another_type_payload_or_key_is_refused() {
        let key = &keys()[0];
        let sealed = seal(TYPE, b"x", &[key]);
        let trusted = [key.public()];
        assert!(matches!(open(&sealed, "other", &trusted, 1), Err(EnvelopeError::WrongType { .. })));
        let swapped = String::from_utf8(sealed.clone()).unwrap().replace(TYPE, "other");
        assert!(open(swapped.as_bytes(), "other", &trusted, 1).is_err());
        assert!(open(&sealed, TYPE, &[keys()[1].public()], 1).is_err());
        let changed =
            String::from_utf8(sealed).unwrap().replace(&STANDARD.encode(b"x"), &STANDARD.encode(b"y"));
        assert!(open(changed.as_bytes(), TYPE, &trusted, 1).is_err());
    }

    #[test]
    fn signatures_without_end_are_not_looked_at() {
        let key = &keys()[0];
        let all = vec![key; SIGNATURES_MAX + 1];
        assert!(Envelope::parse(&seal(TYPE, b"x", &all[1..])).is_ok());
        assert!(matches!(Envelope::parse(&seal(TYPE, b"x", &all)), Err(EnvelopeError::Malformed(_))));
    }

    #[test]
    fn of_all_ways_to_write_an_envelope_one_is_exact() {
        let (key, other) = (&keys()[0], &keys()[1]);
        let sealed = seal(TYPE, &[0xfb, 0xff, 0xfe], &[key]);
        let is_exact = |bytes: &[u8], key: &PublicKey| Envelope::parse(bytes).unwrap().is_exact(bytes, key);
        assert!(is_exact(&sealed, &key.public()));
        assert!(!is_exact(&sealed, &other.public()), "another key's hint");
        let text = String::from_utf8(sealed.clone()).unwrap();
        for rewritten in [
            format!("{text} "),
            text.replacen('{', "{\"more\":1,", 1),
            text.replace("+//+", "-__-"),
            text.replace("+//+", r"+\/\/+"),
            text.replace("+//+", r"\u002b//+"),
            text.replace(&key.public().hint(), ""),
            String::from_utf8(countersign(&sealed, other).unwrap()).unwrap(),
        ] {
            assert_ne!(rewritten, text);
            assert!(open(rewritten.as_bytes(), TYPE, [&key.public()], 1).is_ok(), "{rewritten}");
            assert!(!is_exact(rewritten.as_bytes(), &key.public()), "{rewritten}");
        }
    }

    #[test]
    fn url_safe_base64_and_unknown_fields_are_read() {
        let key = &keys()[0];
        let payload = [0xfb, 0xff, 0xfe];
        let sealed = String::from_utf8(seal(TYPE, &payload, &[key])).unwrap();
        let relaxed = sealed.replace(&STANDARD.encode(payload), &URL_SAFE.encode(payload)).replacen(
            '{',
            r#"{"more":1,"#,
            1,
        );
        assert_eq!(open(relaxed.as_bytes(), TYPE, &[key.public()], 1).unwrap().value(), &payload);
    }
}
