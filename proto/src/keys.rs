//! Signing keys of the two kinds that evidence may carry: Ed25519 (RFC 8032) and ECDSA P-256 (FIPS 186-5; what TPMs do).
//!
//! A secret key never prints and is never serialised here except by the one function that writes its file.

mod low_s;

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};

use crate::{digest::Digest, field::BadField};

/// A public key. Reads and prints as `ed25519:<64 hex>` or `p256:<130 hex>` (uncompressed point).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PublicKey {
    /// RFC 8032, 32 bytes.
    Ed25519([u8; 32]),
    /// SEC 1 uncompressed point, 65 bytes.
    P256([u8; 65]),
}

/// The signature is not this key's over these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify")]
pub struct BadSignature;

impl PublicKey {
    /// Checks `signature` (Ed25519: 64 bytes; P-256: ASN.1 DER) over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        match self {
            Self::Ed25519(key) => UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature),
            Self::P256(key) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, key).verify(message, signature)
            }
        }
        .map_err(|_| BadSignature)
    }

    /// Whether nobody without the key could have made these bytes out of another signature by it.
    #[must_use]
    pub fn is_sole_form(&self, signature: &[u8]) -> bool {
        match self {
            // s is below the order, or it does not verify (RFC 8032 section 5.1.7).
            Self::Ed25519(_) => true,
            Self::P256(_) => low_s::low_s(signature).as_deref() == Some(signature),
        }
    }

    /// A hint for finding the key, never a reason to trust it (DSSE 1.0.2: keyid is unauthenticated).
    #[must_use]
    pub fn hint(&self) -> String {
        Digest::of(self.to_string().as_bytes()).to_string()[..16].to_owned()
    }
}

impl FromStr for PublicKey {
    type Err = BadField;
    fn from_str(text: &str) -> Result<Self, BadField> {
        let wrong = || BadField::new("key", "must be ed25519:<64 hex digits> or p256:<130 hex digits>");
        let (kind, digits) = text.split_once(':').ok_or_else(wrong)?;
        let bytes = hex::decode(digits).map_err(|_| wrong())?;
        match kind {
            "ed25519" => bytes.try_into().map(Self::Ed25519).map_err(|_| wrong()),
            "p256" if bytes.first() == Some(&4) => bytes.try_into().map(Self::P256).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

crate::text_form!(PublicKey);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ed25519(key) => write!(f, "ed25519:{}", hex::encode(key)),
            Self::P256(key) => write!(f, "p256:{}", hex::encode(key)),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret key held in memory.
pub struct SecretKey(Kind);

enum Kind {
    Ed25519 { pair: Ed25519KeyPair, seed: [u8; 32] },
    P256 { pair: EcdsaKeyPair, pkcs8: Vec<u8> },
}

impl SecretKey {
    /// An Ed25519 key from 32 fresh random bytes.
    #[must_use]
    pub fn ed25519(seed: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed of 32 bytes is always a key");
        Self(Kind::Ed25519 { pair, seed })
    }

    /// A new P-256 key from the library's own generator.
    #[must_use]
    pub fn generate_p256() -> Self {
        let algorithm = &signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())
            .expect("the system gives random bytes");
        Self::p256(document.as_ref()).expect("a generated key can be read")
    }

    fn p256(pkcs8: &[u8]) -> Result<Self, BadField> {
        let pair = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8)
            .map_err(|_| BadField::new("key", "is not a P-256 key in PKCS#8"))?;
        Ok(Self(Kind::P256 { pair, pkcs8: pkcs8.to_vec() }))
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.0 {
            Kind::Ed25519 { pair, .. } => pair.sign(message).as_ref().to_vec(),
            Kind::P256 { pair, .. } => {
                let made = pair.sign(&SystemRandom::new(), message).expect("signing needs only random bytes");
                low_s::low_s(made.as_ref()).expect("what was just signed is a signature")
            }
        }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        match &self.0 {
            Kind::Ed25519 { pair, .. } => {
                PublicKey::Ed25519(pair.public_key().as_ref().try_into().expect("32 bytes"))
            }
            Kind::P256 { pair, .. } => {
                PublicKey::P256(pair.public_key().as_ref().try_into().expect("65 bytes"))
            }
        }
    }

    /// The text of a key file: the only place where the secret becomes bytes. Store it 0600.
    #[must_use]
    pub fn to_file(&self) -> String {
        match &self.0 {
            Kind::Ed25519 { seed, .. } => format!("orderly-secret-key ed25519 {}\n", hex::encode(seed)),
            Kind::P256 { pkcs8, .. } => format!("orderly-secret-key p256 {}\n", hex::encode(pkcs8)),
        }
    }

    /// Reads the text of a key file. The complaint never repeats its content.
    pub fn from_file(text: &str) -> Result<Self, BadField> {
        let wrong =
            || BadField::new("key file", "must be one line: orderly-secret-key ed25519|p256 <hex digits>");
        let mut words = text.split_ascii_whitespace();
        let (Some("orderly-secret-key"), Some(kind), Some(digits), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong());
        };
        let bytes = hex::decode(digits).map_err(|_| wrong())?;
        match kind {
            "ed25519" => bytes.try_into().map(Self::ed25519).map_err(|_| wrong()),
            "p256" => Self::p256(&bytes),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> [SecretKey; 2] {
        [SecretKey::ed25519([7; 32]), SecretKey::generate_p256()]
    }

    #[test]
    fn rfc_8032_test_1() {
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = SecretKey::ed25519(seed.try_into().unwrap());
        assert_eq!(
            key.public().to_string(),
            "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert!(
            hex::encode(key.sign(b""))
                .starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065")
        );
    }

    #[test]
    fn a_signature_holds_for_its_key_and_message_alone() {
        for key in both() {
            let signature = key.sign(b"order");
            assert_eq!(key.public().verify(b"order", &signature), Ok(()));
            assert_eq!(key.public().verify(b"0rder", &signature), Err(BadSignature));
            for other in both() {
                if other.public() != key.public() {
                    assert_eq!(other.public().verify(b"order", &signature), Err(BadSignature));
                }
            }
        }
    }

    #[test]
    fn what_is_signed_has_its_one_form() {
        for key in both() {
            for n in 0..50_u8 {
                let signature = key.sign(&[n]);
                assert!(key.public().is_sole_form(&signature), "{n}");
                assert_eq!(key.public().verify(&[n], &signature), Ok(()));
            }
        }
    }

    #[test]
    fn files_and_texts_read_back_and_debug_shows_no_secret() {
        for key in both() {
            let file = key.to_file();
            let again = SecretKey::from_file(&file).unwrap();
            assert_eq!(again.public(), key.public());
            assert_eq!(key.public().to_string().parse::<PublicKey>().unwrap(), key.public());
            let secret = file.split_ascii_whitespace().last().unwrap();
            assert!(!format!("{key:?}").contains(secret));
        }
    }

    #[test]
    fn bad_texts_are_refused() {
        for text in ["", "ed25519:00", "p256:04", "rsa:00", "ed25519:zz"] {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
        }
        assert!(SecretKey::from_file("orderly-secret-key ed25519 00").is_err());
    }
}
