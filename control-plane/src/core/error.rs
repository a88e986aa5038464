//! Why a command was not carried out; one mapping to gRPC, here.

use proto::{
    charter::CharterError, document::DocumentError, dsse::EnvelopeError, field::BadField,
    succession::SuccessionError,
};
use runbooks::CatalogueError;

use super::ports::SignerError;
use crate::{store::StoreError, vault::VaultError};

/// Why a command was not carried out. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// Input that is not what the contract says.
    #[error(transparent)]
    Bad(#[from] BadField),
    /// Whoever asks may not.
    #[error("{0}")]
    Denied(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// There is one already.
    #[error("{0}")]
    Exists(String),
    /// Not while things stand as they do.
    #[error("{0}")]
    Precondition(String),
    /// An envelope does not read.
    #[error("envelope")]
    Envelope(#[source] EnvelopeError),
    /// A charter was not believed.
    #[error(transparent)]
    Charter(#[from] CharterError),
    /// A catalogue was not believed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A document was not believed.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// What is to begin another log was not believed.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing could be signed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// Write-once storage failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A tenant's log is damaged or halted.
    #[error("log of tenant {tenant}: {problem}")]
    Log {
        /// Whose.
        tenant: String,
        /// What is wrong.
        problem: String,
    },
}

impl From<CoreError> for tonic::Status {
    fn from(error: CoreError) -> Self {
        let text = error.to_string();
        match error {
            CoreError::Bad(_) | CoreError::Envelope(_) | CoreError::Charter(_) | CoreError::Catalogue(_) => {
                Self::invalid_argument(text)
            }
            CoreError::Document(error) => Self::invalid_argument(chain(&error)),
            CoreError::Succession(error) => Self::invalid_argument(chain(&error)),
            CoreError::Denied(_) => Self::permission_denied(text),
            CoreError::NotFound(_) => Self::not_found(text),
            CoreError::Exists(_) => Self::already_exists(text),
            CoreError::Precondition(_) => Self::failed_precondition(text),
            CoreError::Store(_) | CoreError::Signer(_) | CoreError::Vault(_) | CoreError::Log { .. } => {
                // What broke inside is for the log, not for the caller.
                tracing::error!(error = %chain(&error), "a command failed");
                Self::unavailable("the server could not store this now; send it again")
            }
        }
    }
}

/// An error and all its causes, in one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
