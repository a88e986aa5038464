//! SHA-256 as a type: what everything here is known by.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::field::{BadField, fixed};

/// A SHA-256 digest (FIPS 180-4). Reads and prints as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Thirty-two zero bytes: "nothing before this".
    pub const ZERO: Self = Self([0; 32]);

    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From 32 raw bytes; `field` names them in the complaint.
    pub fn from_field(field: &str, bytes: &[u8]) -> Result<Self, BadField> {
        fixed(field, bytes).map(Self)
    }

    /// The raw bytes, for a protobuf field.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}

crate::text_form!(Digest);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Digest {
    type Err = BadField;
    fn from_str(text: &str) -> Result<Self, BadField> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .ok()
            .filter(|()| !text.bytes().any(|b| b.is_ascii_uppercase()))
            .ok_or_else(|| BadField::new("sha256", "must be 64 lower-case hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}
