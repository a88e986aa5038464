//! Whose certificate the control plane may show: the pinned authority's, until a charter came that names others.
//!
//! The rule: authorities are exchanged by the organization's keys alone. The newest charter that they signed says which
//! count; what was pinned counts no more from then on, or a stolen authority would count for ever. The charter is kept before
//! the executor gets it, for the control plane sends it only to a box that says it does not have it.

use std::{fs, io, path::PathBuf};

use proto::charter::{Charter, OrganizationKeys};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{credentials::Folder, link::TlsError};
use crate::{
    config::Config,
    files::{self, FileError},
};

/// Where they are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities {
    pinned: PathBuf,
    charter: Option<Kept>,
}

/// A charter, and the keys that must have signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    path: PathBuf,
    keys: PathBuf,
}

impl Authorities {
    /// Those of one file, and no others.
    #[must_use]
    pub fn pinned(path: impl Into<PathBuf>) -> Self {
        Self { pinned: path.into(), charter: None }
    }

    /// Those of an enrolled box.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let charter = Folder::at(config.paths.agent()).charter();
        Self::pinned(&config.trust.ca).until(charter, config.trust.organization_keys.clone())
    }

    /// The same, until a charter under these keys is in that file.
    #[must_use]
    pub fn until(self, charter: PathBuf, keys: PathBuf) -> Self {
        Self { charter: Some(Kept { path: charter, keys }), ..self }
    }

    /// Them.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let unusable = |source: Box<dyn std::error::Error + Send + Sync>| TlsError::Authority {
            path: self.pinned.clone(),
            source,
        };
        let pem = match self.charter.as_ref().and_then(Kept::charter) {
            Some(charter) => charter.certificate_authorities.join("\n").into_bytes(),
            None => files::read_pinned(&self.pinned).map_err(|e| unusable(e.into()))?,
        };
        let found: Vec<_> =
            CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|e| unusable(e.into()))?;
        if found.is_empty() {
            return Err(unusable("it holds no certificate".into()));
        }
        Ok(found)
    }

    /// Goes by a charter, if the organization signed it and none that is newer is here. Gives what it says; `None`: it is not
    /// believed, which is the executor's to judge.
    pub fn go_by(&self, envelope: &[u8]) -> Result<Option<Charter>, FileError> {
        let Some(kept) = self.charter.as_ref().filter(|_| !envelope.is_empty()) else { return Ok(None) };
        let Some(offered) = kept.believed(envelope) else { return Ok(None) };
        if kept.charter().is_none_or(|known| known.serial < offered.serial) {
            files::replace(&kept.path, envelope)?;
        }
        Ok(Some(offered))
    }
}

impl Kept {
    /// What was kept. A file that is damaged, or of another organization, is as good as none: what is pinned counts then.
    fn charter(&self) -> Option<Charter> {
        match fs::read(&self.path) {
            Ok(envelope) => self.believed(&envelope),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!("cannot read {}: {error}", self.path.display());
                None
            }
        }
    }

    fn believed(&self, envelope: &[u8]) -> Option<Charter> {
        let keys = files::read_pinned(&self.keys).ok()?;
        let keys = OrganizationKeys::parse(&keys).ok()?;
        keys.open(envelope).ok().map(|charter| charter.into_value())
    }
}
