//! Keys that sign notes: their names, key IDs and text form (C2SP signed-note, "Verifier keys").
//!
//! The rule: a key speaks only under its name, and only as Ed25519 (type 0x01); this is the one place where the log
//! signs or is signed for. Signatures of other types (0x04 and 0x06, the cosignatures of witnesses) are carried along by
//! [`super::note`], and verified by whoever has their keys ([`super::cosignature`]).

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

use crate::keys::{BadSignature, PublicKey, SecretKey};

/// Signature type of a plain Ed25519 signature over the note's text.
const ED25519: u8 = 0x01;

/// Which key of a name signed: the first four bytes of SHA-256 over name, newline, type and key. A hint, no proof:
/// whoever wants one that collides finds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

/// A name and the public key that signs under it. Prints as a vkey: `name+hex(id)+base64(type || key)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifierKey {
    name: String,
    key: [u8; 32],
}

/// A key that can neither sign nor verify notes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// The name would not survive in a note.
    #[error("key name {0:?} must not be empty nor contain spaces, control characters or +")]
    Name(String),
    /// Evidence keys may be P-256, log keys may not.
    #[error("key of {0:?} must be an Ed25519 key")]
    Kind(String),
    /// Not a vkey, or not the one spelling of it.
    #[error(
        "verifier key {0:?} must be of the form name+id+key: 8 lower-case hex digits, base64 of type 1 and 32 bytes"
    )]
    Form(String),
    /// A copying mistake, or a name that was changed.
    #[error("verifier key of {name:?} must have id {want}, has {have}")]
    Id {
        /// The key's name.
        name: String,
        /// ID in the text.
        have: String,
        /// ID of this name and key.
        want: KeyId,
    },
    /// A cosignature key, or one of a type that did not exist yet.
    #[error("verifier key of {name:?} is of type {kind:#04x}, must be 0x01 (Ed25519)")]
    Type {
        /// The key's name.
        name: String,
        /// C2SP signature type.
        kind: u8,
    },
    /// A key that signs notes, or one of a type that did not exist yet.
    #[error("witness key of {name:?} is of type {kind:#04x}, must be 0x04 (Ed25519) or 0x06 (ML-DSA-44)")]
    NoWitness {
        /// The key's name.
        name: String,
        /// C2SP signature type.
        kind: u8,
    },
}

impl VerifierKey {
    /// The key that signs as `name`; for a log's key that is the log's origin.
    pub fn new(name: &str, key: &PublicKey) -> Result<Self, BadKey> {
        let PublicKey::Ed25519(key) = key else { return Err(BadKey::Kind(name.to_owned())) };
        check_name(name)?;
        Ok(Self { name: name.to_owned(), key: *key })
    }

    /// Who signs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which key of that name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        key_id(&self.name, &self.encoded())
    }

    /// The key without its name.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::Ed25519(self.key)
    }

    pub(super) fn verify(&self, text: &str, signature: &[u8]) -> Result<(), BadSignature> {
        self.public().verify(text.as_bytes(), signature)
    }

    /// `type || key`.
    fn encoded(&self) -> Vec<u8> {
        [&[ED25519], self.key.as_slice()].concat()
    }
}

/// Spec: a key name is not empty and has no Unicode space and no plus sign.
pub(super) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace())
}

/// A name that a key of ours, or one that we are told to trust, may have.
pub(super) fn check_name(name: &str) -> Result<(), BadKey> {
    if is_key_name(name) && !name.contains(char::is_control) {
        Ok(())
    } else {
        Err(BadKey::Name(name.to_owned()))
    }
}

pub(super) fn key_id(name: &str, encoded: &[u8]) -> KeyId {
    let digest = Sha256::new().chain_update(name).chain_update("\n").chain_update(encoded).finalize();
    KeyId([digest[0], digest[1], digest[2], digest[3]])
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.name, self.id(), STANDARD.encode(self.encoded()))
    }
}

impl FromStr for VerifierKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Self, BadKey> {
        let form = || BadKey::Form(text.to_owned());
        let (name, id, encoded) = parts(text)?;
        let (kind, key) = encoded.split_first().ok_or_else(form)?;
        if *kind != ED25519 {
            return Err(BadKey::Type { name: name.to_owned(), kind: *kind });
        }
        let parsed = Self::new(name, &PublicKey::Ed25519(key.try_into().map_err(|_| form())?))?;
        if id != parsed.id().to_string() {
            return Err(BadKey::Id { name: name.to_owned(), have: id.to_owned(), want: parsed.id() });
        }
        Ok(parsed)
    }
}

/// Name, ID and `type || key` of a vkey, as they stand there.
pub(super) fn parts(text: &str) -> Result<(&str, &str, Vec<u8>), BadKey> {
    let form = || BadKey::Form(text.to_owned());
    // Base64 may hold plus signs, a name may not: the first two divide.
    let [name, id, key] = text.splitn(3, '+').collect::<Vec<_>>().try_into().map_err(|_| form())?;
    Ok((name, id, STANDARD.decode(key).map_err(|_| form())?))
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for KeyId {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Self, BadKey> {
        let mut id = Self([0; 4]);
        hex::decode_to_slice(text, &mut id.0).map_err(|_| BadKey::Form(text.to_owned()))?;
        if id.to_string() == text { Ok(id) } else { Err(BadKey::Form(text.to_owned())) }
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret key and the name that it signs under.
pub struct Signer<'a> {
    key: VerifierKey,
    secret: &'a SecretKey,
}

impl<'a> Signer<'a> {
    /// Signs as `name` with an Ed25519 key.
    pub fn new(name: &str, secret: &'a SecretKey) -> Result<Self, BadKey> {
        Ok(Self { key: VerifierKey::new(name, &secret.public())?, secret })
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    pub(super) fn sign(&self, text: &str) -> Vec<u8> {
        self.secret.sign(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the documentation of Go's `golang.org/x/mod/sumdb/note`.
    const NEUMANN: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn a_known_vkey_reads_and_prints() {
        let key: VerifierKey = NEUMANN.parse().unwrap();
        assert_eq!(key.name(), "PeterNeumann");
        assert_eq!(key.id(), KeyId([0xc7, 0x4f, 0x20, 0xa3]));
        assert_eq!(key.to_string(), NEUMANN);
        assert_eq!("c74f20a3".parse(), Ok(key.id()));
        for wrong in ["", "c74f20a", "C74F20A3", "c74f20a3a3", "c74f20ag"] {
            assert_eq!(wrong.parse::<KeyId>(), Err(BadKey::Form(wrong.into())));
        }
    }

    #[test]
    fn base64_with_plus_signs_is_no_obstacle() {
        let key = VerifierKey::new("a", &PublicKey::Ed25519([0xfb; 32])).unwrap();
        assert!(key.to_string().splitn(3, '+').nth(2).unwrap().contains('+'), "{key}");
        assert_eq!(key.to_string().parse(), Ok(key));
    }

    #[test]
    fn other_spellings_are_refused() {
        for wrong in [
            "",
            "+",
            "PeterNeumann",
            "PeterNeumann+c74f20a3",
            "PeterNeumann+c74f20a3+",
            "PeterNeumann+c74f20a3+ARpc",
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n",
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWAA==",
        ] {
            assert_eq!(wrong.parse::<VerifierKey>(), Err(BadKey::Form(wrong.to_owned())));
        }
        for id in ["C74F20A3", "c74f20a4", "c74f20a", "0c74f20a3", ""] {
            let error = NEUMANN.replace("c74f20a3", id).parse::<VerifierKey>().unwrap_err();
            assert!(matches!(&error, BadKey::Id { have, .. } if have == id), "{error}");
        }
        assert!(matches!(NEUMANN.replace("Peter", "Paul").parse::<VerifierKey>(), Err(BadKey::Id { .. })));
    }

    #[test]
    fn only_ed25519() {
        let cosigner = format!("witness+00000000+{}", STANDARD.encode([0x04; 33]));
        let refused = BadKey::Type { name: "witness".into(), kind: 0x04 };
        assert_eq!(cosigner.parse::<VerifierKey>(), Err(refused));
        let p256 = PublicKey::P256([4; 65]);
        assert_eq!(VerifierKey::new("log", &p256), Err(BadKey::Kind("log".into())));
    }

    #[test]
    fn names_that_would_break_a_note_are_refused() {
        let key = PublicKey::Ed25519([7; 32]);
        for name in ["", " ", "a b", "a+b", "a\nb", "a\tb", "a\u{a0}b", "a\u{2003}b", "a\u{0}b", "a\u{7f}b"] {
            assert_eq!(VerifierKey::new(name, &key), Err(BadKey::Name(name.into())));
        }
        for name in ["example.com/log42", "evidence.example/5f0c", "größe", "日本"] {
            let parsed = VerifierKey::new(name, &key).unwrap();
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
    }
}
