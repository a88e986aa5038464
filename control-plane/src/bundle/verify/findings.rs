//! What a check found: contradictions, and one line for each claim.

use std::{error::Error, fmt::Write as _};

use serde::Serialize;

use super::witnesses::Witnessed;
use crate::bundle::{Place, ReadError, Source};

/// Contradictions that are listed; further ones are counted.
const FAULTS_LISTED: usize = 200;
/// Longest text that a stranger's file can put into a report, in characters.
const TEXT_MAX: usize = 400;

/// Something that contradicts something else: the bundle was changed, or was never right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Which file.
    pub file: String,
    /// Which record, by its index in the log.
    pub record: Option<u64>,
    /// What is wrong.
    pub problem: String,
}

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It holds, as far as it can be checked here.
    Proven,
    /// It was checked and does not hold, or could not be checked.
    NotProven,
    /// What would prove it is not here.
    Missing,
    /// It rests on an outsider's word, and the outsider's certificate was not given. Nothing else rests on it.
    NotAsked,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// What is claimed.
    pub claim: String,
    /// How it stands.
    pub status: Status,
    /// How many things were found to hold.
    pub count: u64,
    /// Why it stands so; empty when there is nothing to add.
    pub reason: String,
    /// Where it was looked for.
    pub file: String,
}

/// Collects what checks find.
#[derive(Debug, Default)]
pub struct Findings {
    /// Contradictions, the first so many.
    pub faults: Vec<Fault>,
    /// All of them.
    pub fault_count: u64,
    /// One line each.
    pub claims: Vec<Claim>,
    /// What each outside witness of the charter has seen.
    pub witnesses: Vec<Witnessed>,
}

/// Counts for one claim.
#[derive(Debug)]
pub(super) struct Tally {
    claim: &'static str,
    file: String,
    faults_before: u64,
    pub(super) proven: u64,
    missing: u64,
    reason: String,
}

impl Findings {
    pub(super) fn fault(&mut self, file: &str, record: Option<u64>, problem: &str) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_LISTED {
            self.faults.push(Fault { file: plain(file), record, problem: plain(problem) });
        }
    }

    /// The same, of an error: with everything that led to it.
    pub(super) fn error(&mut self, file: &str, record: Option<u64>, error: &dyn Error) {
        self.fault(file, record, &chain(error));
    }

    /// The bytes at `place`. Not being there is `None`; not being readable is a fault too.
    pub(super) fn read<'s>(
        &mut self,
        source: &'s dyn Source,
        place: &Place,
    ) -> Option<std::borrow::Cow<'s, [u8]>> {
        let path = place.to_string();
        match source.read(&path) {
            Ok(bytes) => Some(bytes),
            Err(ReadError::Absent) => None,
            Err(error) => {
                self.error(&path, None, &error);
                None
            }
        }
    }

    pub(super) fn begin(&self, claim: &'static str, file: impl Into<String>) -> Tally {
        Tally {
            claim,
            file: file.into(),
            faults_before: self.fault_count,
            proven: 0,
            missing: 0,
            reason: String::new(),
        }
    }

    /// Puts the claim into the report: faults since its begin outweigh what is missing, and that what was proven.
    pub(super) fn end(&mut self, tally: Tally) {
        let faults = self.fault_count - tally.faults_before;
        let (status, reason) = match (faults, tally.missing) {
            (0, 0) => (Status::Proven, tally.reason),
            (0, _) => (Status::Missing, tally.reason),
            (1, _) => (Status::NotProven, "1 fault, see below".to_owned()),
            (n, _) => (Status::NotProven, format!("{n} faults, see below")),
        };
        let (claim, count, file) = (tally.claim.to_owned(), tally.proven, tally.file);
        self.claims.push(Claim { claim, status, count, reason, file });
    }

    /// A claim that could not be checked.
    pub(super) fn unchecked(
        &mut self,
        claim: &'static str,
        file: impl Into<String>,
        reason: impl Into<String>,
    ) {
        self.undecided(Status::NotProven, claim, file, reason);
    }

    /// A claim that nobody has asked to be checked.
    pub(super) fn not_asked(
        &mut self,
        claim: &'static str,
        file: impl Into<String>,
        reason: impl Into<String>,
    ) {
        self.undecided(Status::NotAsked, claim, file, reason);
    }

    fn undecided(
        &mut self,
        status: Status,
        claim: &'static str,
        file: impl Into<String>,
        reason: impl Into<String>,
    ) {
        let (claim, file, reason) = (claim.to_owned(), file.into(), reason.into());
        self.claims.push(Claim { claim, status, count: 0, reason, file });
    }
}

impl Tally {
    /// Whether nothing speaks against the claim so far.
    pub(super) fn is_open(&self, findings: &Findings) -> bool {
        self.missing == 0 && self.faults_before == findings.fault_count
    }

    /// One thing that would prove it is not here. The first reason is the one that is reported.
    pub(super) fn missing(&mut self, reason: impl Into<String>) {
        self.missing += 1;
        if self.missing == 1 {
            self.reason = plain(&reason.into());
        }
    }

    /// A remark on a claim that holds.
    pub(super) fn remark(&mut self, reason: impl Into<String>) {
        if self.missing == 0 {
            self.reason = plain(&reason.into());
        }
    }
}

/// An error and what led to it, in one line.
pub(in crate::bundle) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}

/// Text that came from a stranger, fit for a terminal: nothing in it moves a cursor, reorders or goes on for ever.
pub(super) fn plain(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut out: String =
        text.chars().take(TEXT_MAX).map(|c| if hostile(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(TEXT_MAX).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_outweighs_what_holds_and_faults_outweigh_both() {
        let mut findings = Findings::default();
        let mut tally = findings.begin("a", "x");
        tally.proven = 3;
        findings.end(tally);
        let mut tally = findings.begin("b", "x");
        tally.missing("first");
        tally.missing("second");
        findings.end(tally);
        let mut tally = findings.begin("c", "x");
        tally.missing("first");
        findings.fault("x", None, "broken");
        findings.end(tally);
        let statuses: Vec<_> = findings.claims.iter().map(|c| (c.status, c.reason.as_str())).collect();
        let expected =
            [(Status::Proven, ""), (Status::Missing, "first"), (Status::NotProven, "1 fault, see below")];
        assert_eq!(statuses, expected);
    }

    #[test]
    fn a_strangers_text_cannot_play_with_the_terminal() {
        let mut findings = Findings::default();
        findings.fault("a\u{1b}[31m\n", None, &format!("\u{202e}{}", "x".repeat(10_000)));
        let fault = &findings.faults[0];
        assert_eq!(fault.file, "a\u{fffd}[31m\u{fffd}");
        assert!(fault.problem.starts_with("\u{fffd}x") && fault.problem.chars().count() == TEXT_MAX + 1);
    }

    #[test]
    fn faults_are_bounded_and_counted() {
        let mut findings = Findings::default();
        (0..1000).for_each(|n| findings.fault("x", Some(n), "y"));
        assert_eq!((findings.faults.len(), findings.fault_count), (FAULTS_LISTED, 1000));
    }
}
