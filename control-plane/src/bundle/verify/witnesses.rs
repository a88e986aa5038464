//! What outside witnesses have seen of the log, and when: by the keys of the newest charter alone.
//!
//! The rule: a witness that has cosigned a tree which is not the beginning of this log is a contradiction, whoever signed
//! either: that is how a stolen log key, and a log shown to others, are found. Where the charter names no witness nothing
//! is claimed. A witness's clock is its own: its times bound the records' from above.

use std::{fmt, time::Duration};

use proto::{
    log::{
        Checkpoint, CosignedCheckpoint, CosignedError, Hash, Policy, SignedCheckpoint, VerifierKey,
        WitnessKey, root_of,
    },
    time::Millis,
};
use serde::Serialize;

use super::{
    charters::Charters,
    contents::Contents,
    findings::{Findings, Tally, plain},
    head::LogHead,
};
use crate::bundle::{Fact, Place, Source};

const SEEN: &str = "Outside witnesses have seen this log";
const BEFORE: &str = "No record says a time after an outside witness had seen it";
/// How much time may pass in the log that no witness has seen.
const UNSEEN: Duration = Duration::from_secs(24 * 3600);
/// By how much two clocks may differ that are both well.
const SKEW: Duration = Duration::from_secs(300);

/// What one witness of the charter has seen of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Witnessed {
    /// Its name.
    pub witness: String,
    /// Which key of that name.
    pub key: String,
    /// How many records; `null`: nothing here says that it has seen any.
    pub size: Option<u64>,
    /// When it had seen no more, by its own clock.
    pub at: Option<Millis>,
    /// Why nothing counts; empty when something does.
    pub problem: String,
}

/// Checks all cosignatures of the bundle against the log's leaves.
pub(super) fn check(
    source: &dyn Source,
    contents: &Contents,
    charters: &Charters,
    head: Option<&LogHead>,
    leaves: Option<&[Hash]>,
    facts: &[Fact],
    findings: &mut Findings,
) {
    let witnesses = charters.newest().map(|charter| charter.witness_keys()).unwrap_or_default();
    for id in contents.cosigned.iter().filter(|id| !witnesses.iter().any(|key| key.id() == **id)) {
        let path = Place::Cosigned(*id).to_string();
        findings.fault(&path, None, "is of no witness that the newest charter names");
    }
    if witnesses.is_empty() {
        return;
    }
    let mut tally = findings.begin(SEEN, "log/cosigned/");
    let mut seen = Vec::new();
    match head {
        None => tally.missing("no head of the log holds"),
        Some(head) => {
            let looking = Looking { source, charters, head, leaves };
            for witness in &witnesses {
                if let Some((size, at)) = looking.newest(witness, findings, &mut tally) {
                    seen.push((witness, size, at));
                }
            }
            judge(source, &seen, head, facts, findings, &mut tally);
        }
    }
    findings.end(tally);
    findings.witnesses = witnesses.iter().map(|witness| line(witness, &seen)).collect();
    times(&seen, facts, findings);
}

/// The lines of what files cannot tell.
pub(super) fn not_checked(witnesses: &[Witnessed]) -> impl Iterator<Item = &'static str> {
    let lines: &[&str] = if witnesses.is_empty() {
        &[
            "Whether the provider showed somebody else another log: no outside witness's signature is asked for.",
        ]
    } else {
        &[
            "Whether the provider showed somebody else another log than this one after the newest cosigned checkpoint.",
            "That the outside witnesses do not act together with the provider: the provider's charter names them.",
        ]
    };
    lines.iter().copied()
}

struct Looking<'a> {
    source: &'a dyn Source,
    charters: &'a Charters,
    head: &'a LogHead,
    leaves: Option<&'a [Hash]>,
}

impl Looking<'_> {
    /// The most that a witness has seen of this log: size and time.
    fn newest(
        &self,
        witness: &WitnessKey,
        findings: &mut Findings,
        tally: &mut Tally,
    ) -> Option<(u64, Millis)> {
        let mut newest = None;
        let note = self.head.checkpoint.note().as_bytes().to_vec();
        let apart = Place::Cosigned(witness.id());
        let apart_note = findings.read(self.source, &apart).map(|bytes| bytes.into_owned());
        for (place, note) in [(Place::Checkpoint, Some(note)), (apart, apart_note)] {
            let Some(note) = note else { continue };
            let path = place.to_string();
            let cosigned = match CosignedCheckpoint::open(&note, std::slice::from_ref(witness)) {
                Ok(cosigned) => cosigned,
                Err(CosignedError::Unknown { .. }) if place == Place::Checkpoint => continue,
                Err(error) => {
                    findings.error(&path, None, &error);
                    continue;
                }
            };
            let Some(word) = cosigned.cosigned().first() else { continue };
            if self.holds(&path, &note, witness, cosigned.checkpoint(), word.at, findings, tally)
                && newest.is_none_or(|(size, _)| size < cosigned.checkpoint().size)
            {
                newest = Some((cosigned.checkpoint().size, word.at));
            }
        }
        newest
    }

    /// Whether what was cosigned is the beginning of this log.
    #[expect(clippy::too_many_arguments, reason = "one place that judges one word")]
    fn holds(
        &self,
        path: &str,
        note: &[u8],
        witness: &WitnessKey,
        cosigned: &Checkpoint,
        at: Millis,
        findings: &mut Findings,
        tally: &mut Tally,
    ) -> bool {
        let (name, here) = (witness.name(), self.head.checkpoint.checkpoint());
        let keys: Vec<VerifierKey> = self
            .charters
            .newest_first()
            .flat_map(|charter| &charter.log_keys)
            .filter_map(|key| VerifierKey::new(&here.origin, key).ok())
            .collect();
        if let Err(error) = SignedCheckpoint::open(note, &keys) {
            findings.error(path, None, &error);
            return false;
        }
        if cosigned.size > here.size {
            let problem = format!(
                "{name} had seen a log of {} records at {at}, this one has {}: records were cut off, or it is another log",
                cosigned.size, here.size
            );
            findings.fault(path, None, &problem);
            return false;
        }
        let size = usize::try_from(cosigned.size).unwrap_or(usize::MAX);
        let Some(beginning) = self.leaves.and_then(|leaves| leaves.get(..size)) else {
            tally.missing("the log's leaves are not all known");
            return false;
        };
        if root_of(beginning) != cosigned.root {
            let problem = format!(
                "{name} had seen another log at {at}: its first {} records had another root; somebody signs two logs with \
                 the log's key",
                cosigned.size
            );
            findings.fault(path, None, &problem);
            return false;
        }
        true
    }
}

/// Whether enough witnesses have seen enough of it.
fn judge(
    source: &dyn Source,
    seen: &[(&WitnessKey, u64, Millis)],
    head: &LogHead,
    facts: &[Fact],
    findings: &mut Findings,
    tally: &mut Tally,
) {
    // A policy that does not hold is a fault by itself; one that is not here asks for anybody.
    let policy = findings.read(source, &Place::Policy).and_then(|policy| Policy::parse(&policy).ok());
    let enough = |size: u64| {
        let keys: Vec<&WitnessKey> =
            seen.iter().filter(|(_, theirs, _)| *theirs >= size).map(|(key, _, _)| *key).collect();
        !keys.is_empty() && policy.as_ref().is_none_or(|policy| policy.is_met_by(&keys))
    };
    let Some(size) = seen.iter().map(|(_, size, _)| *size).filter(|size| enough(*size)).max() else {
        return tally.missing(match seen.len() {
            0 => "no cosignature of a witness is here".to_owned(),
            n => format!("{n} cosigned, and log/policy asks for more"),
        });
    };
    tally.proven = seen.iter().filter(|(_, theirs, _)| *theirs >= size).count() as u64;
    let newest = seen.iter().filter(|(_, theirs, _)| *theirs >= size).map(|(_, _, at)| *at).max();
    let last = facts.iter().filter(|fact| fact.index >= size).map(|fact| fact.record.clock.at).max();
    if let (Some(newest), Some(last)) = (newest, last)
        && last.since(newest) > UNSEEN
    {
        let all = head.head().size;
        tally.missing(format!(
            "what came after record {} of {all} has not been seen by a witness; the newest cosignature is of {newest}",
            size.saturating_sub(1)
        ));
    }
    tally.remark(format!("{size} of {} records", head.head().size));
}

fn line(witness: &WitnessKey, seen: &[(&WitnessKey, u64, Millis)]) -> Witnessed {
    let found = seen.iter().find(|(key, _, _)| *key == witness);
    let problem = match (found, witness.public()) {
        (Some(_), _) => "",
        (None, None) => "its kind of signature is not verified here",
        (None, Some(_)) => "no cosignature that holds is here",
    };
    Witnessed {
        witness: plain(witness.name()),
        key: witness.id().to_string(),
        size: found.map(|(_, size, _)| *size),
        at: found.map(|(_, _, at)| *at),
        problem: problem.to_owned(),
    }
}

/// What a witness had seen was there by then: a record that says a later time was made by a clock that was ahead.
fn times(seen: &[(&WitnessKey, u64, Millis)], facts: &[Fact], findings: &mut Findings) {
    let mut ahead = 0_u64;
    let mut first = None;
    let mut covered = 0;
    for fact in facts {
        let by = seen.iter().filter(|(_, size, _)| fact.index < *size).min_by_key(|(_, _, at)| *at);
        let Some((witness, _, at)) = by else { continue };
        covered += 1;
        if fact.record.clock.at.since(*at) > SKEW {
            ahead += 1;
            first.get_or_insert((fact, witness.name(), *at));
        }
    }
    if covered == 0 {
        return;
    }
    if let Some((fact, witness, at)) = first {
        let reason = format!(
            "{ahead} records do, the first of them {}: it says {}, and {witness} had seen it by {at}; a clock was wrong",
            fact.index, fact.record.clock.at
        );
        return findings.unchecked(BEFORE, "evidence/", plain(&reason));
    }
    let mut tally = findings.begin(BEFORE, "evidence/");
    tally.proven = covered;
    findings.end(tally);
}

impl fmt::Display for Witnessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.size, self.at) {
            (Some(size), Some(at)) => write!(f, "{}: {size} records at {at}", self.witness),
            _ => write!(f, "{}: {}", self.witness, self.problem),
        }
    }
}
