//! The world as arguments: randomness, write-once storage, the device CA. (Time is an argument of every command.)

use proto::{field::BadField, identity::SpiffeId, time::Millis};

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

/// Issues appliance certificates.
pub trait CertificateIssuer: Send {
    /// A certificate (DER) for the key of `csr` (DER), naming `id` and nothing else, lasting 7 days from `now`.
    fn issue(&self, csr: &[u8], id: &SpiffeId, now: Millis) -> Result<Vec<u8>, BadField>;
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
