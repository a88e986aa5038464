//! The ticket: what an operator hands to whoever enrols a box. Strict JSON; its token is a secret until it is used.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use proto::{charter::OrganizationKeys, field::BadField, time::Millis};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;

/// A ticket, as `control-plane appliance token` writes it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// The one-time token.
    pub token: String,
    /// From when on the control plane does not take it any more. It is the judge of that; our clock may be wrong.
    pub expires: Millis,
    /// Where the control plane listens for appliances.
    pub address: String,
    /// The authority of its server certificate.
    pub ca_pem: String,
    /// The organization's keys, to be pinned.
    pub organization_keys: OrganizationKeys,
}

/// Why a ticket is not used. Exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// The file cannot be read.
    #[error("cannot read ticket {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not a ticket.
    #[error("ticket {path} is not one that `control-plane appliance token` wrote")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where, and what.
        #[source]
        source: serde_json::Error,
    },
    /// A ticket that cannot be right.
    #[error("ticket {path} cannot be used")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: BadField,
    },
}

impl Ticket {
    /// Reads a ticket file.
    pub fn read(path: &Path) -> Result<Self, TicketError> {
        let bytes = fs::read(path).map_err(|source| TicketError::Read { path: path.to_owned(), source })?;
        let ticket: Self = serde_json::from_slice(&bytes)
            .map_err(|source| TicketError::Syntax { path: path.to_owned(), source })?;
        ticket.check().map_err(|source| TicketError::Content { path: path.to_owned(), source })?;
        Ok(ticket)
    }

    fn check(&self) -> Result<(), BadField> {
        if self.token.is_empty() {
            return Err(BadField::new("token", "must not be empty"));
        }
        if authorities(&self.ca_pem).is_none_or(|found| found.is_empty()) {
            return Err(BadField::new("ca_pem", "must be at least one PEM certificate"));
        }
        // The same check as on the trust file: at least two of at least as many.
        let keys = serde_json::to_vec(&self.organization_keys).expect("keys serialise");
        OrganizationKeys::parse(&keys).map(drop).map_err(|bad| bad.within("organization_keys"))
    }
}

/// The certificates in a PEM text; `None`: it is none.
pub(super) fn authorities(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket of {} for {}", self.organization_keys.organization, self.address)
    }
}
