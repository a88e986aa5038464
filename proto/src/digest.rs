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
        let wrong = || BadField::new("sha256", "must be 64 lower-case hexadecimal digits");
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(wrong()) };
        let pairs: &[[u8; 2]; 32] = pairs.try_into().map_err(|_| wrong())?;
        let values = pairs.map(|[high, low]| (VALUES[usize::from(high)], VALUES[usize::from(low)]));
        // One look at all of them: a million records have several digests each.
        let all = values.iter().fold(0, |all, (high, low)| all | high | low);
        if all > 0xf {
            return Err(wrong());
        }
        Ok(Self(values.map(|(high, low)| high << 4 | low)))
    }
}

/// What each byte stands for as a lower-case hexadecimal digit; 0xff: it is none.
const VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let digits = b"0123456789abcdef";
    let mut value: u8 = 0;
    while value < 16 {
        values[digits[value as usize] as usize] = value;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_reads_back_and_nothing_else_does() {
        let digest = Digest(std::array::from_fn(|n| (n as u8).wrapping_mul(0x5b) ^ 0xe1));
        let text = digest.to_string();
        assert_eq!(text, hex::encode(digest.0));
        assert_eq!(text.parse(), Ok(digest));
        for (at, byte) in (0..64).flat_map(|at| (0..=127_u8).map(move |byte| (at, byte))) {
            let mut changed = text.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            let is_digit = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            assert_eq!(changed.parse::<Digest>().is_ok(), is_digit, "{changed}");
        }
        for wrong in ["", "00", &text[1..], &format!("{text}0"), &format!("{text}00"), &text.to_uppercase()] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
