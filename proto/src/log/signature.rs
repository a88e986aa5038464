//! Signature lines of notes: who, which key, and what it made (C2SP signed-note, "Format").
//!
//! The rule: a line prints as it was read, whatever the type of its signature, so that a witness's cosignature of a
//! kind that did not exist when this was written goes through untouched.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::vkey::{KeyId, is_key_name};

/// What a signature line begins with: em dash (U+2014) and space.
const DASH: &str = "\u{2014} ";

/// One signature line, of any type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Who is said to have signed.
    pub name: String,
    /// Which key of that name.
    pub id: KeyId,
    /// The signature itself, at least one byte; what it covers depends on the key's type.
    pub bytes: Vec<u8>,
}

impl Signature {
    /// Reads a line without its newline.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        let decoded = STANDARD.decode(encoded).ok()?;
        let (id, bytes) = decoded.split_first_chunk()?;
        (is_key_name(name) && !bytes.is_empty()).then(|| Self {
            name: name.to_owned(),
            id: KeyId(*id),
            bytes: bytes.to_vec(),
        })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = STANDARD.encode([self.id.0.as_slice(), &self.bytes].concat());
        write!(f, "{DASH}{} {encoded}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_prints_as_it_was_read() {
        let line = "\u{2014} witness.example/w1 AQIDBAU=";
        let read = Signature::parse(line).unwrap();
        let expected =
            Signature { name: "witness.example/w1".into(), id: KeyId([1, 2, 3, 4]), bytes: vec![5] };
        assert_eq!((&read, read.to_string().as_str()), (&expected, line));
    }

    #[test]
    fn other_lines_are_none() {
        for line in [
            "",
            "\u{2014} ",
            "\u{2014} w",
            "\u{2014} w ",
            "- w AQIDBAU=",
            "\u{2014} w AQIDBA==",
            "\u{2014} w AQIDBAU",
        ] {
            assert_eq!(Signature::parse(line), None, "{line:?}");
        }
        assert_eq!(Signature::parse("\u{2014} w AQIDBAV="), None, "bits after the last byte");
    }
}
