//! Secrets of a clinic, sealed to one box: HPKE (RFC 9180), base mode, X25519, HKDF-SHA256, AES-256-GCM.
//!
//! The rule: whoever carries one cannot read it, the control plane's database and its operators included. It is bound to box,
//! incarnation and name, so none can be handed to another box or come out under another name.

use std::fmt;

use aws_lc_rs::agreement::{PrivateKey, X25519};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256,
    hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey},
};
use serde::{Deserialize, Serialize};

use crate::{
    field::BadField,
    ids::{ApplianceId, Incarnation},
};

/// What the key schedule is for; no other use of HPKE shares it.
const INFO: &[u8] = b"orderly sealed secret v1";
/// Bytes of a key, and of the encapsulated one before the ciphertext.
const KEY: usize = 32;
/// The most bytes of a secret.
pub const SECRET_MAX: usize = 8 * 1024;

/// What is sealed to: a box's public key, as hexadecimal text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SealingKey([u8; KEY]);

/// What opens: a box's private key. Says nothing of itself.
#[derive(Clone)]
pub struct OpeningKey([u8; KEY]);

/// What a secret is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The box.
    pub appliance: ApplianceId,
    /// The executor's state.
    pub incarnation: Incarnation,
    /// What it is called on that box.
    pub name: &'a str,
}

impl Binding<'_> {
    fn bytes(&self) -> Vec<u8> {
        // Two of fixed length, so no two bindings share bytes.
        format!("{} {} {}", self.appliance, self.incarnation, self.name).into_bytes()
    }
}

impl SealingKey {
    /// Seals a secret: the encapsulated key, then the ciphertext.
    pub fn seal(&self, secret: &[u8], binding: &Binding<'_>) -> Result<Vec<u8>, BadField> {
        if secret.is_empty() || secret.len() > SECRET_MAX {
            let problem = format!("must be 1 to {SECRET_MAX} bytes, has {}", secret.len());
            return Err(BadField::new("secret", problem));
        }
        let to = HpkePublicKey(self.0.to_vec());
        let (key, ciphertext) =
            DH_KEM_X25519_HKDF_SHA256_AES_256
                .seal(INFO, &binding.bytes(), secret, &to)
                .map_err(|_| BadField::new("sealing_key", "is no point that anything can be sealed to"))?;
        Ok([key.0, ciphertext].concat())
    }
}

impl OpeningKey {
    /// The key of these random bytes.
    #[must_use]
    pub fn new(random: [u8; KEY]) -> Self {
        Self(random)
    }

    /// What others seal to.
    #[must_use]
    pub fn public(&self) -> SealingKey {
        let key = PrivateKey::from_private_key(&X25519, &self.0).expect("any 32 bytes are an X25519 key");
        let public = key.compute_public_key().expect("an X25519 key has a public half");
        SealingKey(public.as_ref().try_into().expect("it is as long as the private one"))
    }

    /// Opens what was sealed to this box under this name.
    pub fn open(&self, sealed: &[u8], binding: &Binding<'_>) -> Result<Vec<u8>, BadField> {
        let bad = || BadField::new("secret", "cannot be opened: it is sealed to another box, state or name");
        let (key, ciphertext) = sealed.split_at_checked(KEY).ok_or_else(bad)?;
        let key = EncapsulatedSecret(key.to_vec());
        let own = HpkePrivateKey::from(self.0.to_vec());
        DH_KEM_X25519_HKDF_SHA256_AES_256
            .open(&key, INFO, &binding.bytes(), ciphertext, &own)
            .map_err(|_| bad())
    }

    /// For the box's own database, and nothing else.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; KEY] {
        self.0
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpeningKey")
    }
}

impl fmt::Display for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl From<SealingKey> for String {
    fn from(key: SealingKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for SealingKey {
    type Error = BadField;
    fn try_from(text: String) -> Result<Self, BadField> {
        let mut key = [0; KEY];
        match hex::decode_to_slice(&text, &mut key) {
            Ok(()) if text.bytes().all(|b| !b.is_ascii_uppercase()) => Ok(Self(key)),
            _ => Err(BadField::new("sealing_key", "must be 64 small hexadecimal digits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"correct horse battery staple";

    fn binding(name: &str) -> Binding<'_> {
        let appliance = "0190a0c0-0000-7000-8000-000000000003".parse().unwrap();
        Binding { appliance, incarnation: Incarnation([7; 16]), name }
    }

    #[test]
    fn what_is_sealed_opens_on_its_box_under_its_name_only() {
        let key = OpeningKey::new([9; 32]);
        let sealed = key.public().seal(SECRET, &binding("restic")).unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"correct"));
        assert_eq!(key.open(&sealed, &binding("restic")).unwrap(), SECRET);
        assert_ne!(sealed, key.public().seal(SECRET, &binding("restic")).unwrap(), "no two are alike");
        let other = "0190a0c0-0000-7000-8000-000000000004".parse().unwrap();
        assert!(key.open(&sealed, &binding("acme")).is_err());
        assert!(key.open(&sealed, &Binding { appliance: other, ..binding("restic") }).is_err());
        assert!(
            key.open(&sealed, &Binding { incarnation: Incarnation([8; 16]), ..binding("restic") }).is_err()
        );
        assert!(OpeningKey::new([8; 32]).open(&sealed, &binding("restic")).is_err());
        for at in [0, 31, 32, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(&changed, &binding("restic")).is_err(), "byte {at}");
        }
        assert!(key.open(&sealed[..31], &binding("restic")).is_err());
    }

    #[test]
    fn a_key_is_text_for_others_and_silent_about_itself() {
        let key = OpeningKey::new([9; 32]);
        let text = key.public().to_string();
        assert_eq!(SealingKey::try_from(text.clone()).unwrap(), key.public());
        assert!(
            SealingKey::try_from(text.to_uppercase()).is_err()
                && SealingKey::try_from(text[1..].to_owned()).is_err()
        );
        assert_eq!(format!("{key:?}"), "OpeningKey");
    }

    #[test]
    fn nothing_and_too_much_are_no_secrets() {
        let key = OpeningKey::new([9; 32]).public();
        for bad in [vec![], vec![0; SECRET_MAX + 1]] {
            assert_eq!(key.seal(&bad, &binding("restic")).unwrap_err().field, "secret");
        }
    }
}
