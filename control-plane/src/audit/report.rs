//! What an audit found, for people and for programs.

use std::{collections::BTreeSet, fmt};

use serde_json::{Value, json};

use super::{Fault, reason};
use crate::{store::VaultRow, vault::VaultError};

/// How many of a kind are shown to people; programs get all.
const SHOWN: usize = 50;

/// What an audit found.
#[derive(Debug, Default)]
pub struct Report {
    /// Objects that were looked at.
    pub objects: u64,
    /// What is wrong with them.
    pub findings: Vec<Finding>,
    /// Keys of records or checkpoints of the log that the index does not know, or knows otherwise.
    pub unlike_log: BTreeSet<String>,
    /// What about the store as a whole would let somebody change the past.
    pub weaknesses: Vec<String>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
    /// Keys that the index does not know.
    pub not_indexed: BTreeSet<String>,
}

/// Something wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its key.
    pub key: String,
    /// What.
    pub fault: Fault,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// A key, or what it was.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Report {
    pub(super) fn add(&mut self, row: &VaultRow, faults: Vec<Fault>) {
        self.objects += 1;
        self.findings.extend(faults.into_iter().map(|fault| Finding { key: row.key.clone(), fault }));
    }

    pub(super) fn not_seen(&mut self, what: &str, error: &VaultError) {
        self.unseen.push(Unseen { what: what.to_owned(), why: reason(error) });
    }

    /// 0: all is as it was kept; 1: something was tampered with; 3: not all of it could be looked at.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let tampered =
            !self.findings.is_empty() || !self.unlike_log.is_empty() || !self.weaknesses.is_empty();
        match (tampered, self.unseen.is_empty() && self.not_indexed.is_empty()) {
            (true, _) => 1,
            (false, false) => 3,
            (false, true) => 0,
        }
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let finding = |f: &Finding| json!({ "key": f.key, "fault": f.fault.word(), "means": f.fault.meaning(), "do": f.fault.advice() });
        let unseen = |u: &Unseen| json!({ "what": u.what, "why": u.why });
        json!({
            "objects": self.objects,
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "unlike_log": self.unlike_log,
            "weaknesses": self.weaknesses,
            "unseen": self.unseen.iter().map(unseen).collect::<Vec<_>>(),
            "not_indexed": self.not_indexed,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for weakness in &self.weaknesses {
            writeln!(f, "TAMPERED  the store itself\n  means:  {weakness}")?;
            writeln!(f, "  do:     set it right, then find out who could change it\n")?;
        }
        for finding in self.findings.iter().take(SHOWN) {
            writeln!(f, "TAMPERED  {}", finding.key)?;
            writeln!(f, "  means:  {}\n  do:     {}\n", finding.fault.meaning(), finding.fault.advice())?;
        }
        more(f, self.findings.len())?;
        for key in self.unlike_log.iter().take(SHOWN) {
            writeln!(f, "TAMPERED  the index of {key}")?;
            writeln!(
                f,
                "  means:  the log in the database says that something else was kept there, or nothing"
            )?;
            writeln!(
                f,
                "  do:     export a bundle and verify it; compare the database with its last backup\n"
            )?;
        }
        more(f, self.unlike_log.len())?;
        for unseen in self.unseen.iter().take(SHOWN) {
            writeln!(f, "NOT SEEN  {}: {}", unseen.what, unseen.why)?;
        }
        more(f, self.unseen.len())?;
        for key in self.not_indexed.iter().take(SHOWN) {
            writeln!(f, "NOT KNOWN {key}")?;
        }
        more(f, self.not_indexed.len())?;
        if !self.not_indexed.is_empty() {
            writeln!(
                f,
                "  means:  the vault has it, the database does not: of a write that was broken off, which the server\n          \
                 takes up again with the next evidence or start; or somebody else's\n"
            )?;
        }
        let objects = self.objects;
        match self.exit_code() {
            0 => write!(f, "Sound: all {objects} objects lie in the vault as they were kept."),
            1 => write!(f, "Tampered with: see above. {objects} objects were looked at."),
            _ => write!(
                f,
                "Incomplete: {objects} objects were looked at, and are as they were kept; not all could be."
            ),
        }
    }
}

fn more(f: &mut fmt::Formatter<'_>, all: usize) -> fmt::Result {
    if all > SHOWN {
        writeln!(f, "… and {} more (--json has all)\n", all - SHOWN)?;
    }
    Ok(())
}
