//! A scan of the baseline as evidence keeps it: words, numbers and flags out of closed vocabularies, no text of anybody's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::Readings;
use crate::{digest::Digest, field::BadField, ids::WatchId};

/// The most bytes of a [`Token`].
const TOKEN_MAX: usize = 48;

/// All controls of a baseline, looked at by the executor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// SHA-256 of the baseline's canonical JSON.
    pub baseline: Digest,
    /// The entries of the box's watch list that it answers for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub watch: BTreeSet<WatchId>,
    /// What the baseline's faults are judged by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub readings: Readings,
    /// What was found, by control: `NXH-001`.
    pub findings: BTreeMap<ControlName, ControlFinding>,
}

impl Scan {
    /// The controls that stand so.
    pub fn standing(&self, standing: Standing) -> impl Iterator<Item = &ControlName> {
        self.findings.iter().filter(move |(_, found)| found.standing == standing).map(|(control, _)| control)
    }
}

/// A control's name: three capitals, a hyphen, three digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ControlName(String);

impl ControlName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ControlName {
    type Error = BadField;
    fn try_from(text: String) -> Result<Self, BadField> {
        let is = |(family, number): (&str, &str)| {
            family.len() == 3
                && family.bytes().all(|b| b.is_ascii_uppercase())
                && number.len() == 3
                && number.bytes().all(|b| b.is_ascii_digit())
        };
        if text.split_once('-').is_some_and(is) {
            return Ok(Self(text));
        }
        Err(BadField::new("control", "must look like NXH-001"))
    }
}

impl From<ControlName> for String {
    fn from(name: ControlName) -> Self {
        name.0
    }
}

impl fmt::Display for ControlName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How one control was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlFinding {
    /// How it stands.
    pub standing: Standing,
    /// What was seen, by field; nothing when nobody could look.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reading: BTreeMap<Token, Seen>,
    /// Why nobody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blind: Option<Token>,
    /// The exception in force, by its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<Digest>,
}

/// How a control stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// As it must be.
    Compliant,
    /// Not as it must be.
    Drifted,
    /// Not as it must be, and somebody answers for that until a day.
    Excepted,
    /// Nobody can tell.
    NotEvaluable,
}

/// One value of a reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Seen {
    /// Yes or no.
    Flag(bool),
    /// A count, a size, a span, or what a setting is.
    Number(i64),
    /// A word.
    Word(Token),
    /// Several of them.
    Words(BTreeSet<Token>),
}

/// A short word of `a-z`, `0-9` and `.@=_+-`: never a path, never a sentence, never a name in capitals.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Token(String);

impl Token {
    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Token {
    type Error = BadField;
    fn try_from(text: String) -> Result<Self, BadField> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".@=_+-".contains(&b);
        if (1..=TOKEN_MAX).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text));
        }
        Err(BadField::new("token", format!("must be 1 to {TOKEN_MAX} of a-z, 0-9 and .@=_+-")))
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_words_numbers_and_flags_gets_in() {
        let scan = |value: &str| {
            let digest = Digest::of(b"");
            let text = format!(
                r#"{{"baseline":"{digest}","findings":{{"NXH-001":{{"standing":"drifted","reading":{{"value":{value}}}}}}}}}"#
            );
            serde_json::from_str::<Scan>(&text)
        };
        for good in ["true", "-1", r#""no""#, r#"["aes256-gcm@openssh.com"]"#, "[]"] {
            assert_eq!(scan(good).unwrap().standing(Standing::Drifted).count(), 1, "{good}");
        }
        for bad in ["1.5", "null", r#""Dr Miller""#, r#""/etc/passwd""#, r#"["Two Words"]"#, "{}"] {
            assert!(scan(bad).is_err(), "{bad}");
        }
    }
}
