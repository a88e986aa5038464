//! What a probe saw: typed values out of closed vocabularies.
//!
//! Evidence is write-once, so nothing free may get into it: no names of files or people, no text of anybody's. A reader
//! counts, says yes or no, or picks words that its probe declares; a word that it does not know is [`OTHER`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use proto::field::BadField;
use serde::{Deserialize, Serialize};

/// What a reader says instead of a word that its probe does not declare.
pub const OTHER: &str = "other";

/// The most bytes of a [`Word`].
const WORD_MAX: usize = 48;

/// A short token of `a-z`, `0-9` and `.@=_+-`: never a path, never a sentence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Word(String);

impl Word {
    /// The token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `found` in small letters if it is one of `known`, else [`OTHER`]: how a reader makes words.
    #[must_use]
    pub fn of(found: &str, known: &[&str]) -> Self {
        let small = found.trim().to_ascii_lowercase();
        let word = if known.contains(&small.as_str()) { small } else { OTHER.to_owned() };
        Self(word)
    }

    /// The permission bits of a file as four octal digits, as [`crate::probe::Kind::Mode`] wants them.
    #[must_use]
    pub fn mode(bits: u32) -> Self {
        Self(format!("{:04o}", bits & 0o7777))
    }

    /// The permission bits that it stands for, if it is a mode.
    #[must_use]
    pub fn as_mode(&self) -> Option<u32> {
        let octal = self.0.len() == 4 && self.0.bytes().all(|b| (b'0'..=b'7').contains(&b));
        octal.then(|| u32::from_str_radix(&self.0, 8).ok()).flatten()
    }
}

impl FromStr for Word {
    type Err = BadField;
    fn from_str(text: &str) -> Result<Self, BadField> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".@=_+-".contains(&b);
        if (1..=WORD_MAX).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        let right = format!("must be 1 to {WORD_MAX} of a-z, 0-9 and .@=_+-");
        Err(BadField::new("word", right))
    }
}

impl TryFrom<String> for Word {
    type Error = BadField;
    fn try_from(text: String) -> Result<Self, BadField> {
        text.parse()
    }
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        word.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One value of a reading.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "must be true, false, a whole number, a word of a-z, 0-9 and .@=_+-, or a list of such words"
)]
pub enum ReadingValue {
    /// Yes or no.
    Flag(bool),
    /// A count, a size, a span, or what a setting is.
    Number(i64),
    /// A word of a closed vocabulary.
    Word(Word),
    /// Several of them, each once, in order.
    Words(BTreeSet<Word>),
}

impl From<bool> for ReadingValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i64> for ReadingValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<Word> for ReadingValue {
    fn from(word: Word) -> Self {
        Self::Word(word)
    }
}

impl FromIterator<Word> for ReadingValue {
    fn from_iter<I: IntoIterator<Item = Word>>(words: I) -> Self {
        Self::Words(words.into_iter().collect())
    }
}

impl fmt::Display for ReadingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Word(word) => write!(f, "{word}"),
            Self::Words(words) if words.is_empty() => f.write_str("none"),
            Self::Words(words) => {
                let words: Vec<&str> = words.iter().map(Word::as_str).collect();
                f.write_str(&words.join(" "))
            }
        }
    }
}

/// What a probe saw, by field; which fields there are stands in [`crate::Probe::fields`].
pub type Reading = BTreeMap<String, ReadingValue>;

proto::vocabulary! {
    /// Why nothing can be said about a control. None of them is ever taken for "fine".
    pub enum Blind as "reason" {
        /// Nobody looked in this scan.
        NotLooked = "not-looked",
        /// What the probe reads is not on this machine.
        Absent = "absent",
        /// The machine did not let the reader look.
        Denied = "denied",
        /// No answer in time.
        TimedOut = "timed-out",
        /// There was an answer that the reader did not understand.
        Unreadable = "unreadable",
        /// The reading lacks a field that is judged.
        Incomplete = "incomplete",
        /// The reading holds what its probe cannot yield; it is not kept.
        Undeclared = "undeclared",
    }
}

/// What came of looking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Looked {
    /// This was seen.
    Saw(Reading),
    /// Nothing was, and why.
    Blind(Blind),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_no_path_no_sentence_and_no_name_in_capitals() {
        for good in ["no", "0640", "aes256-gcm@openssh.com", "init_on_alloc=1", "page_alloc.shuffle=1"] {
            assert_eq!(good.parse::<Word>().unwrap().as_str(), good);
        }
        for bad in ["", "/etc/passwd", "two words", "Miller", "a\n", "ä", &"x".repeat(49)] {
            assert!(bad.parse::<Word>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_unknown_word_is_other_and_letters_become_small() {
        assert_eq!(Word::of("VERBOSE\n", &["verbose", "info"]).as_str(), "verbose");
        assert_eq!(Word::of("miller", &["verbose", "info"]).as_str(), OTHER);
    }

    #[test]
    fn modes_are_four_octal_digits() {
        assert_eq!(Word::mode(0o100_640).as_str(), "0640");
        assert_eq!(Word::mode(0o42_755).as_mode(), Some(0o2755));
        for bad in ["640", "06400", "0648", "other", "+640"] {
            assert_eq!(bad.parse::<Word>().unwrap().as_mode(), None, "{bad}");
        }
    }

    #[test]
    fn values_keep_their_type_in_json() {
        let json = r#"{"a":true,"b":-1,"c":"0640","d":["x","y"],"e":[]}"#;
        let reading: Reading = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&reading).unwrap(), json);
        for bad in [r#"{"a":1.5}"#, r#"{"a":null}"#, r#"{"a":"Two Words"}"#, r#"{"a":{}}"#, r#"{"a":[1]}"#] {
            let refused = serde_json::from_str::<Reading>(bad).unwrap_err().to_string();
            assert!(refused.contains("a list of such words"), "{refused}");
        }
    }
}
