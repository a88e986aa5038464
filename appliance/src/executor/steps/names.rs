//! Names in evidence: write-once storage cannot be cleaned, so a name goes in as a digest under a key that only this
//! executor has.
//!
//! The rule: whoever has the box can say whether a digest is of a name that he knows; whoever has only the evidence cannot
//! find it by trying names, and cannot compare boxes.

use std::{fs, io, path::Path};

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};

use crate::{
    files,
    world::{Entropy, draw},
};

/// Where the key is in the executor's folder.
const FILE: &str = "names.key";

/// The key.
pub(super) struct Names(Key);

impl Names {
    /// Reads the key, or makes it.
    pub(super) fn open(state: &Path, entropy: &dyn Entropy) -> io::Result<Self> {
        let path = state.join(FILE);
        let secret = match fs::read(&path) {
            Ok(secret) if secret.len() == 32 => secret,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "names.key is not 32 bytes")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret: [u8; 32] = draw(entropy);
                files::private_folder(state).map_err(|error| error.source)?;
                files::create_private(&path, &secret).map_err(|error| error.source)?;
                secret.to_vec()
            }
            Err(error) => return Err(error),
        };
        Ok(Self(Key::new(HMAC_SHA256, &secret)))
    }

    /// The first 63 bits of the name's HMAC-SHA-256: what is counted and measured in evidence are whole numbers.
    pub(super) fn digest(&self, name: &str) -> i64 {
        let tag = sign(&self.0, name.as_bytes());
        let first = tag.as_ref().first_chunk().copied().unwrap_or_default();
        (u64::from_be_bytes(first) >> 1).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    #[test]
    fn a_name_has_one_digest_on_one_box_and_another_on_another() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let open = |folder: &Path| Names::open(folder, &SystemEntropy).unwrap();
        let first = open(one.path()).digest("system.slice/portal.service");
        assert!(first >= 0);
        assert_eq!(open(one.path()).digest("system.slice/portal.service"), first);
        assert_ne!(open(one.path()).digest("system.slice/portal2.service"), first);
        assert_ne!(open(two.path()).digest("system.slice/portal.service"), first);
        fs::write(one.path().join(FILE), b"short").unwrap();
        assert!(Names::open(one.path(), &SystemEntropy).is_err());
    }

    /// RFC 4231, test case 2.
    #[test]
    fn it_is_hmac_sha_256() {
        let names = Names(Key::new(HMAC_SHA256, b"Jefe"));
        assert_eq!(
            names.digest("what do ya want for nothing?"),
            0x5bdc_c146_bf60_754e_u64.cast_signed() >> 1
        );
    }
}
