//! Whom to believe that a checkpoint is the log's one head: which logs, which witnesses, how many of them
//! (C2SP tlog-policy).
//!
//! The rule: a policy is checked as a whole before any of it counts; a name that was not defined on a line before, or a
//! key that stands twice, makes it no policy. So nobody counts twice and no rule turns in a circle. Names are bytes.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    checkpoint::{CheckpointError, SignedCheckpoint},
    cosignature::{BadCosignature, Cosigned, WitnessKey, cosignatures},
    decimal,
    vkey::{BadKey, VerifierKey},
};

/// Longest policy in bytes, and most lines that say something: four times what the specification asks to support.
const POLICY_MAX: usize = 512 * 1024;
const ENTRIES_MAX: usize = 400;
/// A quorum of nobody.
const NONE: &[u8] = b"none";
/// What the group of all witnesses is called in policies that are written here.
const ALL: &str = "witnesses";

/// A policy file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<VerifierKey>,
    witnesses: Vec<WitnessKey>,
    rules: Vec<Rule>,
    /// Which of the rules; `None`: nobody has to cosign.
    quorum: Option<usize>,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Witness(WitnessKey),
    /// At least so many of these rules, all of them earlier ones.
    Group(usize, Vec<usize>),
}

/// Not a policy, or not one that can be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPolicy {
    /// Longer than any honest policy.
    #[error("policy must be at most {POLICY_MAX} bytes and {ENTRIES_MAX} lines")]
    TooLong,
    /// Only tab and newline of all control characters.
    #[error("line {0} of the policy has a control character")]
    Control(usize),
    /// Not one of the four kinds of line.
    #[error("line {0} of the policy must be log, witness, group or quorum, with what belongs to it")]
    Line(usize),
    /// A key that is none.
    #[error("line {line} of the policy")]
    Key {
        /// Which line.
        line: usize,
        /// What is wrong with the key.
        #[source]
        cause: BadKey,
    },
    /// The format counts a key once, under whatever name.
    #[error("policy must name each public key once, {first:?} and {second:?} have the same")]
    Twice {
        /// Name of the first key.
        first: String,
        /// Name of the second.
        second: String,
    },
    /// A name stands for one thing, and none for nothing.
    #[error("line {0} of the policy gives a name that is taken")]
    Taken(usize),
    /// Groups and the quorum are of what was defined before.
    #[error("line {0} of the policy speaks of a name that is not defined before it, or of one twice")]
    Undefined(usize),
    /// From 1 to all of them.
    #[error("group in line {0} of the policy must need all, any, or from 1 to as many as it names")]
    Threshold(usize),
    /// There is one quorum line.
    #[error("policy must have exactly one quorum line")]
    Quorum,
}

/// Why a checkpoint is not what a policy asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not signed by one of its logs.
    #[error("checkpoint is not of a log of the policy")]
    Log(#[source] CheckpointError),
    /// A witness's line is forged.
    #[error("checkpoint carries a wrong cosignature")]
    Cosignature(#[source] BadCosignature),
    /// Not enough of its witnesses cosigned.
    #[error("checkpoint is cosigned by {0} witnesses of the policy, who are not enough")]
    Quorum(usize),
}

impl Policy {
    /// Reads a policy file.
    pub fn parse(file: &[u8]) -> Result<Self, BadPolicy> {
        if file.len() > POLICY_MAX {
            return Err(BadPolicy::TooLong);
        }
        let mut reading = Reading::default();
        for (at, line) in file.split(|byte| *byte == b'\n').enumerate() {
            reading.line(at + 1, line)?;
        }
        let quorum = reading.quorum.ok_or(BadPolicy::Quorum)?;
        Ok(Self { logs: reading.logs, witnesses: reading.witnesses, rules: reading.rules, quorum })
    }

    /// Keys of the logs whose checkpoints are welcome.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// All witnesses, in or out of the quorum.
    #[must_use]
    pub fn witnesses(&self) -> &[WitnessKey] {
        &self.witnesses
    }

    /// Whether these witnesses, having cosigned, are enough.
    #[must_use]
    pub fn is_met_by(&self, cosigned: &[&WitnessKey]) -> bool {
        let mut met: Vec<bool> = Vec::new();
        for rule in &self.rules {
            met.push(match rule {
                Rule::Witness(key) => cosigned.contains(&key),
                Rule::Group(least, members) => {
                    members.iter().filter(|member| met.get(**member) == Some(&true)).count() >= *least
                }
            });
        }
        self.quorum.is_none_or(|rule| met.get(rule) == Some(&true))
    }

    /// Opens a checkpoint under this policy: signed by a log of it and cosigned by a quorum. Gives who has cosigned.
    pub fn open(&self, note: &[u8]) -> Result<(SignedCheckpoint, Vec<Cosigned>), PolicyError> {
        let checkpoint = SignedCheckpoint::open(note, &self.logs).map_err(PolicyError::Log)?;
        let cosigned = cosignatures(&checkpoint, &self.witnesses).map_err(PolicyError::Cosignature)?;
        if !self.is_met_by(&cosigned.iter().map(|one| &one.witness).collect::<Vec<_>>()) {
            return Err(PolicyError::Quorum(cosigned.len()));
        }
        Ok((checkpoint, cosigned))
    }
}

/// A policy as far as it was read.
#[derive(Default)]
struct Reading {
    logs: Vec<VerifierKey>,
    witnesses: Vec<WitnessKey>,
    rules: Vec<Rule>,
    names: BTreeMap<Vec<u8>, usize>,
    quorum: Option<Option<usize>>,
    entries: usize,
}

impl Reading {
    fn line(&mut self, at: usize, line: &[u8]) -> Result<(), BadPolicy> {
        if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(BadPolicy::Control(at));
        }
        let words: Vec<&[u8]> =
            line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()).collect();
        let Some((kind, rest)) = words.split_first().filter(|(kind, _)| !kind.starts_with(b"#")) else {
            return Ok(());
        };
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(BadPolicy::TooLong);
        }
        match (*kind, rest) {
            (b"log", [key] | [key, _]) => self.log(at, key),
            (b"witness", [name, key] | [name, key, _]) => self.witness(at, name, key),
            (b"group", [name, least, members @ ..]) => self.group(at, name, least, members),
            (b"quorum", [name]) => self.the_quorum(at, name),
            _ => Err(BadPolicy::Line(at)),
        }
    }

    fn log(&mut self, at: usize, key: &[u8]) -> Result<(), BadPolicy> {
        let key: VerifierKey = text(at, key)?.parse().map_err(|cause| BadPolicy::Key { line: at, cause })?;
        if let Some(first) = self.logs.iter().find(|first| first.public() == key.public()) {
            return Err(twice(first.name(), key.name()));
        }
        self.logs.push(key);
        Ok(())
    }

    fn witness(&mut self, at: usize, name: &[u8], key: &[u8]) -> Result<(), BadPolicy> {
        let key: WitnessKey = text(at, key)?.parse().map_err(|cause| BadPolicy::Key { line: at, cause })?;
        if let Some(first) = self.witnesses.iter().find(|first| first.is_same_key(&key)) {
            return Err(twice(first.name(), key.name()));
        }
        self.witnesses.push(key.clone());
        self.define(at, name, Rule::Witness(key))
    }

    fn group(&mut self, at: usize, name: &[u8], least: &[u8], members: &[&[u8]]) -> Result<(), BadPolicy> {
        let mut rules = Vec::new();
        for member in members {
            let rule = self.names.get(*member).copied().filter(|rule| !rules.contains(rule));
            rules.push(rule.ok_or(BadPolicy::Undefined(at))?);
        }
        let needed = match least {
            b"any" => Some(1),
            b"all" => Some(rules.len()),
            number => {
                std::str::from_utf8(number).ok().and_then(decimal).and_then(|n| usize::try_from(n).ok())
            }
        };
        let needed = needed.filter(|needed| (1..=rules.len()).contains(needed));
        self.define(at, name, Rule::Group(needed.ok_or(BadPolicy::Threshold(at))?, rules))
    }

    fn the_quorum(&mut self, at: usize, name: &[u8]) -> Result<(), BadPolicy> {
        if self.quorum.is_some() {
            return Err(BadPolicy::Quorum);
        }
        self.quorum = Some(match name {
            NONE => None,
            name => Some(self.names.get(name).copied().ok_or(BadPolicy::Undefined(at))?),
        });
        Ok(())
    }

    fn define(&mut self, at: usize, name: &[u8], rule: Rule) -> Result<(), BadPolicy> {
        if name == NONE || self.names.insert(name.to_vec(), self.rules.len()).is_some() {
            return Err(BadPolicy::Taken(at));
        }
        self.rules.push(rule);
        Ok(())
    }
}

fn text(at: usize, word: &[u8]) -> Result<&str, BadPolicy> {
    std::str::from_utf8(word).map_err(|_| BadPolicy::Line(at))
}

fn twice(first: &str, second: &str) -> BadPolicy {
    BadPolicy::Twice { first: first.to_owned(), second: second.to_owned() }
}

/// A policy file that accepts checkpoints of these logs, cosigned by at least `least` of these witnesses; by nobody, where
/// there are none. It is what another verifier is given along with proofs: whoever distrusts the giver writes his own, from
/// keys that he has elsewhere.
pub fn policy_text(
    logs: &[VerifierKey],
    witnesses: &[WitnessKey],
    least: usize,
) -> Result<String, BadPolicy> {
    let mut policy = String::new();
    for log in logs {
        let _ = writeln!(policy, "log {log}");
    }
    for witness in witnesses {
        let _ = writeln!(policy, "witness {} {witness}", witness.name());
    }
    if witnesses.is_empty() {
        policy.push_str("quorum none\n");
    } else {
        let names: Vec<&str> = witnesses.iter().map(WitnessKey::name).collect();
        let least = if least == 1 { "any".to_owned() } else { least.to_string() };
        let _ = write!(policy, "group {ALL} {least} {}\nquorum {ALL}\n", names.join(" "));
    }
    Policy::parse(policy.as_bytes()).map(|_| policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::{PublicKey, SecretKey},
        log::{Checkpoint, Cosigner, Head, leaf_hash},
        time::Millis,
    };

    fn log(name: &str, n: u8) -> VerifierKey {
        VerifierKey::new(name, &SecretKey::ed25519([n; 32]).public()).unwrap()
    }

    fn witness(name: &str, n: u8) -> WitnessKey {
        WitnessKey::new(name, &SecretKey::ed25519([n; 32]).public()).unwrap()
    }

    /// The example of the specification: two of three here and one of three there.
    fn example() -> String {
        let mut text = format!("# who\n\n\tlog  {} https://log.example/ \n", log("log.example", 9));
        for (name, n) in [("X1", 11), ("X2", 12), ("X3", 13), ("Y1", 21), ("Y2", 22), ("Y3", 23)] {
            text.push_str(&format!("witness {name} {}\n", witness(&name.to_lowercase(), n)));
        }
        text + "group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\n\
                group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
    }

    #[test]
    fn a_quorum_is_counted_through_its_groups() {
        let policy = Policy::parse(example().as_bytes()).unwrap();
        assert_eq!((policy.logs().len(), policy.witnesses().len()), (1, 6));
        for (cosigned, met) in [
            ("", false),
            ("X1 X2", false),
            ("X1 Y1", false),
            ("Y1 Y2 Y3", false),
            ("X1 X3 Y2", true),
            ("X1 X2 X3 Y1 Y2 Y3", true),
            ("X1 X1 Y1", false),
        ] {
            let keys: Vec<&WitnessKey> = cosigned
                .split_whitespace()
                .map(|name| policy.witnesses().iter().find(|key| key.name() == name.to_lowercase()).unwrap())
                .collect();
            assert_eq!(policy.is_met_by(&keys), met, "{cosigned}");
        }
        let none = Policy::parse(b"quorum none").unwrap();
        assert!(none.is_met_by(&[]) && none.logs().is_empty());
        let one = Policy::parse(format!("witness w {}\nquorum w\n", witness("w", 1)).as_bytes()).unwrap();
        assert!(one.is_met_by(&[&witness("w", 1)]) && !one.is_met_by(&[&witness("w", 2)]));
    }

    #[test]
    fn a_checkpoint_needs_its_log_and_its_quorum() {
        let (log_key, secrets) = (SecretKey::ed25519([9; 32]), [1, 2].map(|n| SecretKey::ed25519([n; 32])));
        let cosigners = [0, 1].map(|n| Cosigner::new(["a", "b"][n], &secrets[n]).unwrap());
        let keys: Vec<WitnessKey> = cosigners.iter().map(|cosigner| cosigner.key().clone()).collect();
        let at = Millis(1_679_315_147_000);
        let bare = Checkpoint::new("log", Head { size: 1, root: leaf_hash(b"x") }).sign(&log_key).unwrap();
        let lines = cosigners.map(|cosigner| cosigner.cosign(&bare, at).unwrap());
        let policy = |least| {
            let text = policy_text(&[log("log", 9)], &keys, least).unwrap();
            Policy::parse(text.as_bytes()).unwrap()
        };
        let one = bare.with(&lines[1..]).unwrap();
        let (opened, cosigned) = policy(1).open(one.note().as_bytes()).unwrap();
        assert_eq!((&opened, cosigned), (&one, vec![Cosigned { witness: keys[1].clone(), at }]));
        assert_eq!(policy(2).open(one.note().as_bytes()), Err(PolicyError::Quorum(1)));
        assert_eq!(policy(1).open(bare.note().as_bytes()), Err(PolicyError::Quorum(0)));
        let both = bare.with(&lines).unwrap();
        assert_eq!(policy(2).open(both.note().as_bytes()).unwrap().1.len(), 2);
        let mut forged = lines[0].clone();
        forged.bytes[20] ^= 1;
        let forged = one.with(&[forged]).unwrap();
        let refused = policy(1).open(forged.note().as_bytes());
        assert!(matches!(refused, Err(PolicyError::Cosignature(_))), "{refused:?}");
        let other = Policy::parse(format!("log {}\nquorum none\n", log("log", 8)).as_bytes()).unwrap();
        assert!(matches!(other.open(both.note().as_bytes()), Err(PolicyError::Log(_))));
    }

    #[test]
    fn what_is_no_policy_is_refused_and_says_where() {
        let (w, v) = (witness("w", 1), witness("v", 2));
        let same = witness("other", 1);
        for (wrong, why) in [
            (String::new(), BadPolicy::Quorum),
            ("quorum none\nquorum none\n".into(), BadPolicy::Quorum),
            ("quorum w\n".into(), BadPolicy::Undefined(1)),
            (format!("quorum w\nwitness w {w}\n"), BadPolicy::Undefined(1)),
            (format!("witness w {w}\nwitness w {v}\nquorum w\n"), BadPolicy::Taken(2)),
            (format!("witness none {w}\nquorum none\n"), BadPolicy::Taken(1)),
            (format!("witness w {w}\ngroup w any w\nquorum w\n"), BadPolicy::Taken(2)),
            (format!("witness w {w}\ngroup g any w w\nquorum g\n"), BadPolicy::Undefined(2)),
            ("group g any g\nquorum g\n".into(), BadPolicy::Undefined(1)),
            (format!("witness w {w}\ngroup g 0 w\nquorum g\n"), BadPolicy::Threshold(2)),
            (format!("witness w {w}\ngroup g 2 w\nquorum g\n"), BadPolicy::Threshold(2)),
            (format!("witness w {w}\ngroup g 01 w\nquorum g\n"), BadPolicy::Threshold(2)),
            (format!("witness w {w}\ngroup g most w\nquorum g\n"), BadPolicy::Threshold(2)),
            ("group g all\nquorum g\n".into(), BadPolicy::Threshold(1)),
            (format!("witness w {w}\nwitness x {same}\nquorum w\n"), twice("w", "other")),
            ("quorum none\r\n".into(), BadPolicy::Control(1)),
            ("\nquorum none # all\n".into(), BadPolicy::Line(2)),
            ("log\nquorum none\n".into(), BadPolicy::Line(1)),
            ("trust me\nquorum none\n".into(), BadPolicy::Line(1)),
            ("# x\n".repeat(200_000), BadPolicy::TooLong),
            ("quorum none\n".to_owned() + &"x\n".repeat(3), BadPolicy::Line(2)),
        ] {
            let shown = &wrong[..wrong.len().min(80)];
            assert_eq!(Policy::parse(wrong.as_bytes()), Err(why), "{shown:?}");
        }
        let key = Policy::parse(format!("log {w}\nquorum none\n").as_bytes());
        assert!(matches!(key, Err(BadPolicy::Key { line: 1, cause: BadKey::Type { .. } })), "{key:?}");
        let key = Policy::parse(format!("witness l {}\nquorum none\n", log("l", 1)).as_bytes());
        assert!(matches!(key, Err(BadPolicy::Key { line: 1, cause: BadKey::NoWitness { .. } })), "{key:?}");
        let many: String = (0..=ENTRIES_MAX).map(|n| format!("group g{n} any g{n}\n")).collect();
        assert!(Policy::parse(many.as_bytes()).is_err());
    }

    #[test]
    fn names_are_bytes() {
        let key = witness("w", 1).to_string();
        let text = [b"witness \xe2\x84\xaa ".as_slice(), key.as_bytes(), b"\nquorum \xe2\x84\xaa"];
        assert!(Policy::parse(&text.concat()).is_ok());
        let other = [text[0], text[1], b"\nquorum K"];
        assert_eq!(Policy::parse(&other.concat()), Err(BadPolicy::Undefined(2)));
        let not_utf8 = [b"witness \xff ".as_slice(), text[1], b"\nquorum \xff\n"];
        assert!(Policy::parse(&not_utf8.concat()).is_ok());
    }

    #[test]
    fn a_policy_is_written_as_it_reads() {
        let (first, second) = (log("log", 9), VerifierKey::new("log", &PublicKey::Ed25519([1; 32])).unwrap());
        let policy = policy_text(&[first.clone(), second.clone()], &[], 1).unwrap();
        assert_eq!(policy, format!("log {first}\nlog {second}\nquorum none\n"));
        assert_eq!(policy_text(&[], &[], 1).unwrap(), "quorum none\n");
        let (w, v) = (witness("w", 1), witness("v", 2));
        let policy = policy_text(std::slice::from_ref(&first), &[w.clone(), v.clone()], 1).unwrap();
        assert_eq!(
            policy,
            format!("log {first}\nwitness w {w}\nwitness v {v}\ngroup witnesses any w v\nquorum witnesses\n")
        );
        assert!(policy_text(&[], &[w.clone(), v], 2).unwrap().contains("group witnesses 2 w v\n"));
        let renamed = VerifierKey::new("other", &first.public()).unwrap();
        assert_eq!(policy_text(&[second, first, renamed], &[], 1), Err(twice("log", "other")));
        assert_eq!(policy_text(&[], &[w], 2), Err(BadPolicy::Threshold(2)));
        for name in ["none", ALL] {
            assert!(matches!(policy_text(&[], &[witness(name, 1)], 1), Err(BadPolicy::Taken(_))), "{name}");
        }
    }
}
