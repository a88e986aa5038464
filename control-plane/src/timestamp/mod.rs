//! Timestamps of an outside authority (RFC 3161): when a checkpoint was there already, by somebody else's clock and key.
//!
//! The rule: a token counts only for the bytes whose SHA-256 it names, and only as far as a certificate that was given from
//! elsewhere reaches: the one in the token vouches for nobody. It says that those bytes were there by then, and no more.
//! Only what is needed of CMS (RFC 5652) is read: one signer, signed attributes, SHA-2.

mod authority;
mod der;
mod request;
mod token;

pub use authority::{Authority, BadAuthority};
pub use request::request;
pub use token::Token;

/// Why something is no timestamp, or not one that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Not the DER that it must be.
    #[error("cannot be read as a timestamp: its {0} is not what RFC 3161 has there")]
    Form(&'static str),
    /// The authority says no.
    #[error("the authority refused: status {0}")]
    Refused(u8),
    /// SHA-256 is all that is asked for.
    #[error("it is of another kind of digest than SHA-256")]
    Digest,
    /// Of something else.
    #[error("it is of other bytes: their SHA-256 is not the one in the token")]
    OtherBytes,
    /// The answer to another question.
    #[error("it answers another request: the nonce differs")]
    OtherRequest,
    /// Its own parts contradict one another.
    #[error("its signed attributes are not of what it says")]
    Attributes,
    /// Changed, or never right.
    #[error("its signature does not verify")]
    Signature,
    /// A kind of key or signature that is not verified here.
    #[error("its kind of signature is not verified here")]
    Kind,
    /// Nothing says whose key it is.
    #[error("the certificate that signed it is neither in it nor given")]
    NoCertificate,
    /// By somebody, but not by whom one trusts.
    #[error("its certificate does not lead to one that was given, or not at the time that it says")]
    NotAnchored,
    /// A certificate for something else.
    #[error("its certificate is not for timestamps alone (critical extended key usage timeStamping)")]
    Purpose,
}

impl BadToken {
    /// Whether another certificate might say otherwise: then nothing contradicts anything.
    #[must_use]
    pub fn is_about_trust(&self) -> bool {
        matches!(self, Self::NoCertificate | Self::NotAnchored | Self::Purpose | Self::Kind)
    }
}
