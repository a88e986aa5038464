//! The world as arguments: randomness, write-once storage, the device CA. (Time is an argument of every command.)

use std::{collections::BTreeSet, error::Error, sync::Arc};

use proto::{
    dsse::Unsigned,
    field::BadField,
    identity::SpiffeId,
    keys::{PublicKey, SecretKey},
    time::Millis,
};

use crate::vault::Vault;

/// A source of random bytes.
pub trait Entropy: Send {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// The operating system's randomness.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the system gives random bytes");
    }
}

/// Issues appliance certificates, by the authorities that a charter names (PEM).
pub trait CertificateIssuer: Send {
    /// Whether one of `named` is here; a charter that names none of them is not taken.
    fn check(&self, named: &[String]) -> Result<(), BadField>;

    /// A certificate (DER) for the key of `csr` (DER), naming `id` and nothing else, lasting 7 days from `now`; by the newest
    /// of `named` that is here.
    fn issue(&self, csr: &[u8], id: &SpiffeId, named: &[String], now: Millis) -> Result<Vec<u8>, BadField>;

    /// A charter that names these is in force, and durable. Called often.
    fn in_force(&self, named: &[String]);
}

/// Signs with the order key, which need not be on this machine.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public(&self) -> PublicKey;

    /// The envelope, signed; or why not. Bounded: the writer waits for it.
    fn seal(&self, unsigned: &Unsigned) -> Result<Vec<u8>, SignerError>;

    /// Whether it answers at once and cannot fail. Where it does not, what need not wait for the writer does not make it wait.
    fn is_at_hand(&self) -> bool {
        false
    }
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
#[error("the order key cannot be used")]
pub struct SignerError(#[source] pub Box<dyn Error + Send + Sync>);

impl Signer for SecretKey {
    fn public(&self) -> PublicKey {
        Self::public(self)
    }

    fn seal(&self, unsigned: &Unsigned) -> Result<Vec<u8>, SignerError> {
        Ok(unsigned.seal(self))
    }

    fn is_at_hand(&self) -> bool {
        true
    }
}

/// Where the online keys are that a charter may name: those of before, and those that are to follow.
pub trait Keyring: Send {
    /// The order key to sign with under a charter that names these, the newest of several; `None`: none of them is here.
    fn order(&self, named: &BTreeSet<PublicKey>) -> Result<Option<Arc<dyn Signer>>, SignerError>;

    /// The same of the log key.
    fn log(&self, named: &BTreeSet<PublicKey>) -> Result<Option<SecretKey>, SignerError>;
}

/// No other keys than those that a core was opened with.
pub struct NoOthers;

impl Keyring for NoOthers {
    fn order(&self, _: &BTreeSet<PublicKey>) -> Result<Option<Arc<dyn Signer>>, SignerError> {
        Ok(None)
    }

    fn log(&self, _: &BTreeSet<PublicKey>) -> Result<Option<SecretKey>, SignerError> {
        Ok(None)
    }
}

/// All of them.
pub struct Ports {
    /// Randomness.
    pub entropy: Box<dyn Entropy>,
    /// Write-once storage.
    pub vault: Box<dyn Vault>,
    /// The device CA.
    pub issuer: Box<dyn CertificateIssuer>,
}
