//! The contract between appliance, control plane and auditor: all that two parties must agree on byte for byte.
//!
//! Nothing here reads a file, a socket or a clock; time and randomness are arguments. Whoever holds a
//! [`dsse::Verified`] got it from the one verifier in [`dsse`], so forgetting to verify does not compile.

/// Generated from `orderly/v1` and `orderly/local/v1`; `make generate` writes it anew.
#[expect(
    missing_docs,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the .proto files carry the comments"
)]
pub mod pb {
    include!("gen/orderly.v1.rs");

    /// The contract itself, for whoever asks a server what there is to call: an encoded `FileDescriptorSet`.
    #[cfg(feature = "rpc")]
    pub const DESCRIPTORS: &[u8] = include_bytes!("gen/orderly.v1.binpb");
}

/// Generated: what agent and executor say to each other on the appliance.
#[expect(missing_docs, clippy::all, reason = "generated code; the .proto files carry the comments")]
pub mod local {
    include!("gen/orderly.local.v1.rs");
}

pub mod act;
pub mod approval;
pub mod charter;
pub mod digest;
pub mod document;
pub mod dsse;
pub mod enrolment;
pub mod evidence;
pub mod field;
pub mod identity;
pub mod ids;
pub mod keys;
pub mod log;
pub mod order;
pub mod sealed;
pub mod standing;
mod statement;
pub mod stop;
pub mod succession;
pub mod sync;
pub mod time;
mod vocabulary;

/// Largest evidence envelope in bytes; more goes along as attachments by digest (a log entry holds 65,535, C2SP tlog-tiles).
pub const EVIDENCE_MAX: usize = 60 * 1024;
