//! What a control expects of a reading: one typed predicate for each field that matters.
//!
//! A predicate holds, does not hold, or cannot be told because the reading lacks its field; the last is never the first.

use std::collections::{BTreeMap, BTreeSet};

use proto::field::BadField;
use serde::{Deserialize, Serialize};

use crate::{
    probe::{Kind, Probe},
    reading::{Reading, ReadingValue, Word},
};

/// What one field must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Predicate {
    /// Exactly this.
    Equals(ReadingValue),
    /// One of these.
    OneOf(BTreeSet<ReadingValue>),
    /// A number not below this.
    AtLeast(i64),
    /// A number not above this.
    AtMost(i64),
    /// A number from the first to the second, both included.
    Between(i64, i64),
    /// All of these words, and maybe more.
    Includes(BTreeSet<Word>),
    /// None of these words.
    Excludes(BTreeSet<Word>),
    /// No word but these; none at all is within anything.
    Within(BTreeSet<Word>),
    /// No permission bit but these.
    ModeWithin(Word),
}

impl Predicate {
    /// Whether it holds for a value; a value of another kind holds nothing.
    #[must_use]
    pub fn holds(&self, value: &ReadingValue) -> bool {
        match (self, value) {
            (Self::Equals(wanted), value) => value == wanted,
            (Self::OneOf(wanted), value) => wanted.contains(value),
            (Self::AtLeast(least), ReadingValue::Number(number)) => number >= least,
            (Self::AtMost(most), ReadingValue::Number(number)) => number <= most,
            (Self::Between(least, most), ReadingValue::Number(number)) => (least..=most).contains(&number),
            (Self::Includes(wanted), ReadingValue::Words(words)) => wanted.is_subset(words),
            (Self::Excludes(unwanted), ReadingValue::Words(words)) => unwanted.is_disjoint(words),
            (Self::Within(allowed), ReadingValue::Words(words)) => words.is_subset(allowed),
            (Self::ModeWithin(allowed), ReadingValue::Word(mode)) => {
                matches!((allowed.as_mode(), mode.as_mode()), (Some(most), Some(bits)) if bits & !most == 0)
            }
            _ => false,
        }
    }

    /// Refuses a predicate that no field of this kind can be asked, or that all or none of its values would meet.
    fn check(&self, kind: Kind) -> Result<(), String> {
        let word = |word: &Word| ReadingValue::Words([word.clone()].into());
        let fits = match self {
            Self::Equals(value) => kind.admits(value),
            Self::OneOf(values) => values.len() > 1 && values.iter().all(|value| kind.admits(value)),
            Self::AtLeast(_) | Self::AtMost(_) => kind == Kind::Number,
            Self::Between(least, most) => kind == Kind::Number && least < most,
            Self::Includes(words) | Self::Excludes(words) => {
                !words.is_empty() && words.iter().all(|w| kind.admits(&word(w)))
            }
            Self::Within(words) => {
                matches!(kind, Kind::Words(_)) && words.iter().all(|w| kind.admits(&word(w)))
            }
            Self::ModeWithin(mode) => kind == Kind::Mode && mode.as_mode().is_some(),
        };
        if fits { Ok(()) } else { Err(format!("does not fit its field, which is {}", kind.describe())) }
    }
}

/// How a reading stands to what is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// All of it holds.
    All,
    /// These fields are not as they must be.
    Not(Vec<String>),
    /// Nothing is known to be wrong, but these fields are missing.
    Unknown(Vec<String>),
}

/// What is expected, by field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect(pub BTreeMap<String, Predicate>);

impl Expect {
    /// Compares. What is known to be wrong counts before what is not known.
    #[must_use]
    pub fn met(&self, reading: &Reading) -> Met {
        let (mut wrong, mut missing) = (Vec::new(), Vec::new());
        for (field, predicate) in &self.0 {
            match reading.get(field) {
                None => missing.push(field.clone()),
                Some(value) if predicate.holds(value) => {}
                Some(_) => wrong.push(field.clone()),
            }
        }
        match (wrong.is_empty(), missing.is_empty()) {
            (false, _) => Met::Not(wrong),
            (true, false) => Met::Unknown(missing),
            // Nothing expected would hold of everything.
            (true, true) if self.0.is_empty() => Met::Unknown(missing),
            (true, true) => Met::All,
        }
    }

    /// Refuses what cannot be judged by this probe's readings.
    pub fn check(&self, probe: &Probe) -> Result<(), BadField> {
        if self.0.is_empty() {
            return Err(BadField::new("expect", "must expect something of at least one field"));
        }
        for (name, predicate) in &self.0 {
            let kind = probe.field(name).map_err(|bad| bad.within("expect"))?;
            predicate.check(kind).map_err(|problem| BadField::new(format!("expect.{name}"), problem))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicate(json: &str) -> Predicate {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn predicates_hold_for_what_they_say_and_nothing_else() {
        for (says, yes, no) in [
            (r#"{"equals":"no"}"#, r#""no""#, r#""yes""#),
            (r#"{"equals":true}"#, "true", "1"),
            (r#"{"equals":[]}"#, "[]", r#"["x"]"#),
            (r#"{"one-of":[1,2]}"#, "2", "3"),
            (r#"{"at-least":2}"#, "2", "1"),
            (r#"{"at-most":2}"#, "2", "3"),
            (r#"{"at-most":2}"#, "-1", r#""1""#),
            (r#"{"between":[1,900]}"#, "1", "0"),
            (r#"{"between":[1,900]}"#, "900", "901"),
            (r#"{"includes":["a"]}"#, r#"["a","b"]"#, r#"["b"]"#),
            (r#"{"excludes":["a"]}"#, r#"["b"]"#, r#"["a","b"]"#),
            (r#"{"excludes":["a"]}"#, "[]", r#""b""#),
            (r#"{"within":["a","b"]}"#, r#"["b"]"#, r#"["b","other"]"#),
            (r#"{"within":[]}"#, "[]", r#"["a"]"#),
            (r#"{"mode-within":"0640"}"#, r#""0400""#, r#""0644""#),
            (r#"{"mode-within":"0640"}"#, r#""0640""#, r#""4640""#),
            (r#"{"mode-within":"0640"}"#, r#""0000""#, r#""other""#),
        ] {
            let value = |json: &str| serde_json::from_str::<ReadingValue>(json).unwrap();
            assert!(predicate(says).holds(&value(yes)), "{says} {yes}");
            assert!(!predicate(says).holds(&value(no)), "{says} {no}");
            assert_eq!(serde_json::to_string(&predicate(says)).unwrap(), says);
        }
        for bad in [
            r#"{"matches":"x"}"#,
            r#"{"equals":1,"at-least":1}"#,
            r#"{"between":[1]}"#,
            r#"{"at-least":"1"}"#,
        ] {
            assert!(serde_json::from_str::<Predicate>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_counts_before_what_is_unknown_and_unknown_is_not_all() {
        let expect: Expect = serde_json::from_str(r#"{"a":{"equals":1},"b":{"equals":2}}"#).unwrap();
        for (reading, met) in [
            (r#"{"a":1,"b":2}"#, Met::All),
            (r#"{"a":1,"b":2,"c":3}"#, Met::All),
            (r#"{"a":1}"#, Met::Unknown(vec!["b".into()])),
            (r#"{}"#, Met::Unknown(vec!["a".into(), "b".into()])),
            (r#"{"a":9}"#, Met::Not(vec!["a".into()])),
            (r#"{"a":9,"b":9}"#, Met::Not(vec!["a".into(), "b".into()])),
        ] {
            assert_eq!(expect.met(&serde_json::from_str(reading).unwrap()), met, "{reading}");
        }
        assert_eq!(Expect(BTreeMap::new()).met(&Reading::new()), Met::Unknown(Vec::new()));
    }

    #[test]
    fn an_expectation_fits_its_probe() {
        let check = |probe: &str, expect: &str| {
            let probe: Probe = serde_json::from_str(probe).unwrap();
            serde_json::from_str::<Expect>(expect).unwrap().check(&probe).map_err(|bad| bad.to_string())
        };
        let (sysctl, macs) =
            (r#"{"read":"sysctl","key":"kernel.sysrq"}"#, r#"{"read":"sshd","keyword":"macs"}"#);
        let file = r#"{"read":"file","path":"/etc/shadow"}"#;
        assert_eq!(check(sysctl, r#"{"value":{"equals":0}}"#), Ok(()));
        assert_eq!(check(macs, r#"{"value":{"excludes":["hmac-md5","other"]}}"#), Ok(()));
        assert_eq!(check(file, r#"{"mode":{"mode-within":"0640"}}"#), Ok(()));
        for (probe, expect, right) in [
            (sysctl, "{}", "expect must expect something"),
            (sysctl, r#"{"valu":{"equals":0}}"#, "expect.valu is no field of sysctl; fields are: value"),
            (
                sysctl,
                r#"{"value":{"equals":"no"}}"#,
                "expect.value does not fit its field, which is a whole number",
            ),
            (sysctl, r#"{"value":{"one-of":[1]}}"#, "does not fit"),
            (sysctl, r#"{"value":{"between":[2,1]}}"#, "does not fit"),
            (sysctl, r#"{"value":{"includes":["a"]}}"#, "does not fit"),
            (sysctl, r#"{"value":{"within":[]}}"#, "does not fit"),
            (macs, r#"{"value":{"excludes":["hmac-md6"]}}"#, "a list of: hmac-sha1, "),
            (macs, r#"{"value":{"excludes":[]}}"#, "does not fit"),
            (macs, r#"{"value":{"at-least":1}}"#, "does not fit"),
            (file, r#"{"mode":{"mode-within":"640"}}"#, "four octal digits"),
            (file, r#"{"owner":{"equals":"miller"}}"#, "one of: root, system, person"),
        ] {
            let refused = check(probe, expect).unwrap_err();
            assert!(refused.contains(right), "{refused}, not {right}");
        }
    }
}
