//! Why an S3 store did not do as it was asked.

use super::credentials::CredentialsError;
use crate::files::FileError;

/// Why an S3 store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// No keys to ask it with.
    #[error("cannot be asked")]
    Credentials(#[source] CredentialsError),
    /// The certificate authority that is to be trusted.
    #[error("cannot read its certificate authority")]
    Authority(#[source] FileError),
    /// That file holds none.
    #[error("certificate authority {0}: must be certificates in PEM")]
    NoAuthority(String),
    /// Nobody there, no TLS, or the connection broke.
    #[error("does not answer: {0}")]
    Unreachable(String),
    /// No answer in time. What was asked may have been done all the same.
    #[error("did not answer in time")]
    TimedOut,
    /// It has not answered lately; asked again as soon as it does.
    #[error("does not answer; it is asked again every second")]
    Away,
    /// It answered that it cannot do anything now.
    #[error("is out of order: it answered {status} {code} to {what}")]
    Broken {
        /// What it was asked.
        what: String,
        /// HTTP status.
        status: u16,
        /// Its word for it.
        code: String,
    },
    /// It refused.
    #[error("refused {what}: {status} {code}{}{message}", if message.is_empty() { "" } else { ", " })]
    Refused {
        /// What it was asked.
        what: String,
        /// HTTP status.
        status: u16,
        /// Its word for it.
        code: String,
        /// And its sentence.
        message: String,
    },
    /// It answered something that S3 does not.
    #[error("gave no S3 answer to {what}: {problem}")]
    Garbled {
        /// What it was asked.
        what: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// It answered more than was asked for.
    #[error("gave more than {max} bytes in answer to {what}")]
    TooLarge {
        /// What it was asked.
        what: String,
        /// The bound.
        max: u64,
    },
    /// The system gave no thread.
    #[error("cannot be asked from here")]
    Runtime(#[source] std::io::Error),
}

impl S3Error {
    /// Whether to ask once more is worth while.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut | Self::Broken { .. })
    }

    /// Whether it is the settings, or the bucket, that must be changed.
    pub(in crate::vault) fn is_settings(&self) -> bool {
        matches!(
            self,
            Self::Credentials(_) | Self::Authority(_) | Self::NoAuthority(_) | Self::Refused { .. }
        )
    }

    /// Whether this is the server's word for it.
    pub(super) fn is_called(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Refused { code, .. } if codes.contains(&code.as_str()))
    }
}
