//! The evidence key: made on this box, kept in a file that nobody else may read.
//!
//! The rule: a key is made only where there is no incarnation yet. A lost key is not replaced, because the chain that it
//! signed could not be told from a forgery.

use std::{fs, path::Path};

use proto::{field::BadField, keys::SecretKey};

use crate::{
    config::KeyKind,
    files::{self, FileError},
    world::{Entropy, draw},
};

/// Why there is no evidence key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be written or read, or others may read it.
    #[error("evidence key")]
    File(#[from] FileError),
    /// Not a key file.
    #[error("evidence key {path} cannot be used")]
    Content {
        /// Where it is.
        path: String,
        /// What is wrong.
        #[source]
        source: BadField,
    },
    /// There is an incarnation, but its key is gone.
    #[error("evidence key {0} is missing; put it back, or move executor.db away and enrol this box anew")]
    Lost(String),
}

/// Reads the key; makes it when this box has `no_incarnation` yet.
pub fn open(
    path: &Path,
    kind: KeyKind,
    entropy: &dyn Entropy,
    no_incarnation: bool,
) -> Result<SecretKey, KeyError> {
    if fs::symlink_metadata(path).is_err() {
        if !no_incarnation {
            return Err(KeyError::Lost(path.display().to_string()));
        }
        let key = match kind {
            KeyKind::Ed25519 => SecretKey::ed25519(draw(entropy)),
            KeyKind::P256 => SecretKey::generate_p256(),
        };
        files::create_private(path, key.to_file().as_bytes())?;
    }
    let text = files::read_secret(path)?;
    SecretKey::from_file(&text)
        .map_err(|source| KeyError::Content { path: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::clock::SystemEntropy;

    #[test]
    fn made_once_then_read_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        for kind in [KeyKind::Ed25519, KeyKind::P256] {
            let path = dir.path().join(format!("{kind:?}.key"));
            assert!(matches!(open(&path, kind, &SystemEntropy, false), Err(KeyError::Lost(_))));
            let made = open(&path, kind, &SystemEntropy, true).unwrap();
            let read = open(&path, kind, &SystemEntropy, false).unwrap();
            assert_eq!(made.public(), read.public());
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_key_that_is_none_or_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evidence.key");
        files::create_private(&path, b"").unwrap();
        assert!(matches!(open(&path, KeyKind::Ed25519, &SystemEntropy, true), Err(KeyError::Content { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(open(&path, KeyKind::Ed25519, &SystemEntropy, true), Err(KeyError::File(_))));
    }
}
