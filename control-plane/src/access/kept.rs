//! What is kept of a passkey: its public key, its counter, whether copies of it are made.
//!
//! The rule: the form is ours, so that no library's next version decides whether people can still sign in. What the version
//! before wrote (the library's own JSON, with keys of P-256 or RSA) is read, and becomes ours at the next sign-in.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use webauthn_rp::response::{
    AuthenticatorAttachment, Backup,
    register::{
        AuthenticatorExtensionOutputStaticState, CompressedP256PubKey, CompressedPubKey,
        CredentialProtectionPolicy, DynamicState, Ed25519PubKey, RsaPubKey, StaticState, UncompressedPubKey,
    },
};

/// A passkey's public half and what moves with its use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    key: Key,
    count: u32,
    copies: Copies,
}

/// By the names of JSON Web Algorithms and of a JWK's members, in base64url (RFC 7518).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "alg", deny_unknown_fields)]
enum Key {
    #[serde(rename = "EdDSA")]
    Ed25519 { x: Bytes },
    #[serde(rename = "ES256")]
    P256 { x: Bytes, y: Bytes },
    #[serde(rename = "RS256")]
    Rsa { n: Bytes, e: u32 },
}

/// Whether the authenticator lets its keys be copied (WebAuthn Level 3, section 6.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Copies {
    Never,
    Possible,
    Made,
}

/// The key as the library verifies with it.
pub(super) type Fixed = StaticState<CompressedPubKey<[u8; 32], [u8; 32], [u8; 48], Vec<u8>>>;

impl Kept {
    /// Of a passkey that was just made; `None`: its key is of a kind that was not asked for.
    pub(super) fn made(key: UncompressedPubKey<'_>, now: DynamicState) -> Option<Self> {
        let key = match key {
            UncompressedPubKey::Ed25519(key) => Key::Ed25519 { x: Bytes(key.into_inner().to_vec()) },
            UncompressedPubKey::P256(key) => {
                Key::P256 { x: Bytes(key.x().to_vec()), y: Bytes(key.y().to_vec()) }
            }
            UncompressedPubKey::Rsa(key) => Key::Rsa { n: Bytes(key.n().to_vec()), e: key.e() },
            UncompressedPubKey::P384(_) => return None,
        };
        Some(Self { key, count: now.sign_count, copies: now.backup.into() })
    }

    /// As the database has it.
    pub(super) fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).or_else(|error| {
            let before: Before = serde_json::from_str(text).map_err(|_| error)?;
            Ok(before.into())
        })
    }

    /// As the library wants it; `None`: the key has not the length of its kind.
    pub(super) fn states(&self) -> Option<(Fixed, DynamicState)> {
        let key = match &self.key {
            Key::Ed25519 { x } => CompressedPubKey::Ed25519(Ed25519PubKey::from(x.exactly()?)),
            Key::P256 { x, y } => {
                let y: [u8; 32] = y.exactly()?;
                CompressedPubKey::P256(CompressedP256PubKey::from((x.exactly()?, y[31] & 1 == 1)))
            }
            Key::Rsa { n, e } => CompressedPubKey::Rsa(RsaPubKey::try_from((n.0.clone(), *e)).ok()?),
        };
        let extensions = AuthenticatorExtensionOutputStaticState {
            cred_protect: CredentialProtectionPolicy::None,
            hmac_secret: None,
        };
        let now = DynamicState {
            user_verified: true,
            backup: self.copies.into(),
            sign_count: self.count,
            authenticator_attachment: AuthenticatorAttachment::None,
        };
        Some((StaticState { credential_public_key: key, extensions }, now))
    }

    /// After it was shown.
    pub(super) fn is_now(&mut self, now: DynamicState) {
        (self.count, self.copies) = (now.sign_count, now.backup.into());
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl From<Backup> for Copies {
    fn from(backup: Backup) -> Self {
        match backup {
            Backup::NotEligible => Self::Never,
            Backup::Eligible => Self::Possible,
            Backup::Exists => Self::Made,
        }
    }
}

impl From<Copies> for Backup {
    fn from(copies: Copies) -> Self {
        match copies {
            Copies::Never => Self::NotEligible,
            Copies::Possible => Self::Eligible,
            Copies::Made => Self::Exists,
        }
    }
}

/// Bytes that are written in base64url.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn exactly<const N: usize>(&self) -> Option<[u8; N]> {
        self.0.as_slice().try_into().ok()
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        URL_SAFE_NO_PAD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// What the version before kept, as far as it matters.
#[derive(Deserialize)]
struct Before {
    cred: BeforeCredential,
}

#[derive(Deserialize)]
struct BeforeCredential {
    cred: BeforeKey,
    counter: u32,
    backup_eligible: bool,
    backup_state: bool,
}

#[derive(Deserialize)]
struct BeforeKey {
    key: BeforeKind,
}

/// It asked for these two.
#[derive(Deserialize)]
enum BeforeKind {
    #[serde(rename = "EC_EC2")]
    P256 { x: Bytes, y: Bytes },
    #[serde(rename = "RSA")]
    Rsa { n: Bytes, e: [u8; 3] },
}

impl From<Before> for Kept {
    fn from(before: Before) -> Self {
        let Before { cred: BeforeCredential { cred, counter, backup_eligible, backup_state } } = before;
        let key = match cred.key {
            BeforeKind::P256 { x, y } => Key::P256 { x, y },
            BeforeKind::Rsa { n, e: [a, b, c] } => Key::Rsa { n, e: u32::from_be_bytes([0, a, b, c]) },
        };
        let copies = match (backup_eligible, backup_state) {
            (false, _) => Copies::Never,
            (true, false) => Copies::Possible,
            (true, true) => Copies::Made,
        };
        Self { key, count: counter, copies }
    }
}
