//! The agent's folder: its TLS key, its certificate, and where its other files lie.
//!
//! The key is made here and never leaves; the file is 0600 and a key that others may read is refused. It proves which
//! appliance speaks, nothing more: it signs no evidence and cannot renew itself without the executor.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use proto::{digest::Digest, field::BadField, identity::CertificateFacts};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};

use crate::files::{self, FileError};

/// Why key or certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file.
    #[error("cannot use the agent's credentials")]
    File(#[from] FileError),
    /// The certificate is not there.
    #[error("{path} is not there: this appliance is not enrolled; run `appliance enroll --token-file FILE`")]
    NotEnrolled {
        /// Where it would be.
        path: PathBuf,
    },
    /// The certificate cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not what it should be.
    #[error("{path} is not as it must be; remove it and enrol anew")]
    Content {
        /// Which file.
        path: PathBuf,
        /// How.
        #[source]
        source: BadField,
    },
    /// The key file holds no P-256 key.
    #[error("{path} must hold a P-256 key in PKCS#8, PEM; remove it and enrol anew")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
    /// The key cannot be made, or cannot sign.
    #[error("cannot {doing}")]
    Crypto {
        /// What.
        doing: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// Certificate and key do not belong together.
    #[error("{path} is not for the key beside it; remove it and enrol anew")]
    OtherKey {
        /// The certificate.
        path: PathBuf,
    },
}

/// Where the agent's files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`; nothing is touched.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The outbox.
    #[must_use]
    pub fn outbox(&self) -> PathBuf {
        self.0.join("outbox.db")
    }

    /// The TLS key, PEM.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.0.join("tls.key")
    }

    /// The certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.0.join("certificate.der")
    }

    /// The answer to an enrolment that was not finished.
    #[must_use]
    pub fn pending(&self) -> PathBuf {
        self.0.join("enrolment.pending")
    }

    /// The newest charter, once one came over the link; see [`super::authorities`].
    #[must_use]
    pub fn charter(&self) -> PathBuf {
        self.0.join("charter.json")
    }

    /// How the link to the control plane stands.
    #[must_use]
    pub fn contact(&self) -> PathBuf {
        self.0.join("contact.json")
    }

    /// Held by the one agent that works here.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }
}

/// The TLS key.
pub struct TlsKey(KeyPair);

impl TlsKey {
    /// Reads the key of `folder`.
    pub fn load(folder: &Folder) -> Result<Self, CredentialError> {
        let path = folder.key();
        let pem = files::read_secret(&path)?;
        KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &PKCS_ECDSA_P256_SHA256)
            .map(Self)
            .map_err(|source| CredentialError::Key { path, source })
    }

    /// Reads the key of `folder`, or makes it.
    pub fn load_or_make(folder: &Folder) -> Result<Self, CredentialError> {
        if !folder.key().exists() {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
                .map_err(|source| CredentialError::Crypto { doing: "make a TLS key", source })?;
            files::create_private(&folder.key(), key.serialize_pem().as_bytes())?;
        }
        Self::load(folder)
    }

    /// SHA-256 of its SubjectPublicKeyInfo: what is enrolled.
    #[must_use]
    pub fn spki(&self) -> Digest {
        Digest::of(&self.0.subject_public_key_info())
    }

    /// A certificate signing request, DER. It names nobody: who this is, the control plane says.
    pub fn request(&self) -> Result<Vec<u8>, CredentialError> {
        CertificateParams::default()
            .serialize_request(&self.0)
            .map(|request| request.der().to_vec())
            .map_err(|source| CredentialError::Crypto { doing: "sign a certificate request", source })
    }
}

/// Reads the certificate of `folder`, DER and what it says.
pub fn certificate(folder: &Folder) -> Result<(Vec<u8>, CertificateFacts), CredentialError> {
    let path = folder.certificate();
    let der = fs::read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CredentialError::NotEnrolled { path: path.clone() },
        _ => CredentialError::Read { path: path.clone(), source },
    })?;
    let facts = CertificateFacts::read(&der).map_err(|source| CredentialError::Content { path, source })?;
    Ok((der, facts))
}

/// Puts a certificate for `key` in the place of the one before.
pub fn keep_certificate(
    folder: &Folder,
    key: &TlsKey,
    der: &[u8],
) -> Result<CertificateFacts, CredentialError> {
    let path = folder.certificate();
    let facts = CertificateFacts::read(der)
        .map_err(|source| CredentialError::Content { path: path.clone(), source })?;
    if facts.spki != key.spki() {
        return Err(CredentialError::OtherKey { path });
    }
    files::replace(&path, der)?;
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_its_request_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(dir.path());
        let key = TlsKey::load_or_make(&folder).unwrap();
        let again = TlsKey::load_or_make(&folder).unwrap();
        assert_eq!(key.spki(), again.spki());
        assert_eq!(proto::identity::csr_spki(&key.request().unwrap()).unwrap(), key.spki());
        assert_eq!(fs::metadata(folder.key()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(dir.path());
        let said = certificate(&folder).unwrap_err().to_string();
        assert!(said.contains("certificate.der") && said.contains("enroll --token-file"), "{said}");
        fs::write(folder.certificate(), b"not DER").unwrap();
        assert!(certificate(&folder).unwrap_err().to_string().contains("certificate.der"));
        files::create_private(&folder.key(), b"no key").unwrap();
        assert!(matches!(TlsKey::load_or_make(&folder), Err(CredentialError::Key { .. })));
        assert_eq!(
            fs::read(folder.key()).unwrap(),
            b"no key",
            "a broken key is not replaced behind your back"
        );
    }
}
