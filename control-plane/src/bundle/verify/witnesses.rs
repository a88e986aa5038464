//! What outside witnesses have seen of the log, and when: by the keys of the newest charter alone.
//!
//! The rule: a witness that has cosigned a tree which is not the beginning of this log is a contradiction, whoever signed
//! either: that is how a stolen log key, and a log shown to others, are found. Where the charter names no witness nothing
//! is claimed, and the report says so. How many are enough is the charter's to say, not the server's. A witness's clock is
//! its own: its times bound the records' from above, and one that is still to come counts for nothing, or a wrong clock
//! would vouch for a time that nobody has seen.

use std::{fmt, time::Duration};

use proto::{
    log::{CosignedCheckpoint, CosignedError, WitnessKey},
    time::Millis,
};
use serde::Serialize;

use super::{
    charters::Charters,
    contents::Contents,
    findings::{Findings, Tally, plain},
    growth::Growth,
    head::{LogHead, NotOfIt},
    records::Records,
};
use crate::bundle::{Place, Source, Trace};

const SEEN: &str = "Outside witnesses have seen this log";
const BEFORE: &str = "No record says a time after an outside witness had seen it";
const NOT_VERIFIED: &str = "its kind of signature is not verified here";
const NONE_HOLDS: &str = "no cosignature that holds is here";
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
    /// What does not count, and why; empty when all does.
    pub problem: String,
}

/// What all witnesses of the newest charter have seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witnesses {
    /// How many of them must have seen it, by the charter.
    pub quorum: usize,
    /// Each, in the charter's order.
    pub all: Vec<Witnessed>,
}

impl Witnesses {
    /// How much of the log enough of them have seen, and how many have seen that much; `None`: too few have seen any.
    #[must_use]
    pub fn enough(&self) -> Option<(u64, usize)> {
        let mut sizes: Vec<u64> = self.all.iter().filter_map(|one| one.size).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let size = *sizes.get(self.quorum.max(1) - 1)?;
        Some((size, sizes.iter().filter(|theirs| **theirs >= size).count()))
    }

    /// By when enough of them had seen `size` records: one alone, with a clock of its own, does not say it.
    #[must_use]
    pub fn by(&self, size: u64) -> Option<Millis> {
        let seen = self.all.iter().filter(|one| one.size.is_some_and(|theirs| theirs >= size));
        let mut times: Vec<Millis> = seen.filter_map(|one| one.at).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times.get(self.quorum.max(1) - 1).copied()
    }
}

/// One word of a witness on this log: so many records, at that time.
type Word = (u64, Millis);

/// Checks all cosignatures of the bundle against the log's leaves, as somebody does at `now`. Gives what they said by
/// `made`, when the bundle was made.
pub(super) fn check(
    source: &dyn Source,
    contents: &Contents,
    charters: &Charters,
    head: Option<&LogHead>,
    records: &Records,
    (made, now): (Millis, Millis),
    findings: &mut Findings,
) -> Witnesses {
    let charter = charters.newest();
    let witnesses = charter.map(|charter| charter.witness_keys()).unwrap_or_default();
    let quorum = charter.map_or(1, |charter| charter.quorum());
    for id in contents.cosigned.iter().filter(|id| !witnesses.iter().any(|key| key.id() == **id)) {
        let path = Place::Cosigned(*id).to_string();
        findings.fault(&path, None, "is of no witness that the newest charter names");
    }
    if witnesses.is_empty() {
        return Witnesses::default();
    }
    let mut tally = findings.begin(SEEN, "log/cosigned/");
    let mut words = vec![Vec::new(); witnesses.len()];
    if let Some(head) = head {
        let looking = Looking { source, charters, head, growth: &records.growth };
        for (witness, words) in witnesses.iter().zip(&mut words) {
            *words = looking.words(witness, findings, &mut tally);
        }
    }
    let told = |by: Millis| Witnesses {
        quorum,
        all: witnesses.iter().zip(&words).map(|(witness, words)| witnessed(witness, words, by)).collect(),
    };
    let seen = told(now);
    match head {
        None => tally.missing("no head of the log holds"),
        Some(head) => judge(&seen, head, records, &mut tally),
    }
    findings.end(tally);
    times(&seen.all, &records.traces, findings);
    findings.witnesses = seen.all;
    told(made)
}

/// The lines of what files cannot tell.
pub(super) fn not_checked(witnesses: &[Witnessed]) -> impl Iterator<Item = &'static str> {
    let lines: &[&str] = if witnesses.is_empty() {
        &[
            "Nobody outside has seen this log: the charter names no witness, so whether the provider showed somebody else \
             another one is not checked.",
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
    growth: &'a Growth,
}

impl Looking<'_> {
    /// What a witness has said of this log.
    fn words(&self, witness: &WitnessKey, findings: &mut Findings, tally: &mut Tally) -> Vec<Word> {
        let mut words = Vec::new();
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
            if self.holds(&path, &note, (witness, word.at), findings, tally) {
                words.push((cosigned.checkpoint().size, word.at));
            }
        }
        words
    }

    /// Whether what was cosigned is the beginning of this log.
    fn holds(
        &self,
        path: &str,
        note: &[u8],
        (witness, at): (&WitnessKey, Millis),
        findings: &mut Findings,
        tally: &mut Tally,
    ) -> bool {
        match self.head.beginning(note, self.charters, self.growth) {
            Ok(_) => return true,
            Err(NotOfIt::Unknown) => tally.missing(NotOfIt::Unknown.to_string()),
            Err(error @ NotOfIt::Signature(_)) => findings.error(path, None, &error),
            Err(error) => {
                let problem = format!("{} had seen, at {at}, what {error}", witness.name());
                findings.fault(path, None, &problem);
            }
        }
        false
    }
}

/// Whether enough witnesses have seen enough of it.
fn judge(seen: &Witnesses, head: &LogHead, records: &Records, tally: &mut Tally) {
    let (quorum, of, all) = (seen.quorum, seen.all.len(), head.head().size);
    let Some((size, count)) = seen.enough() else {
        let cosigned = seen.all.iter().filter(|one| one.size.is_some()).count();
        let still_to_come = seen.all.iter().find(|one| one.size.is_none() && !one.unseen());
        return tally.missing(match (cosigned, still_to_come) {
            (0, None) => format!("no cosignature of a witness is here: 0 of {of} witnesses, quorum {quorum}"),
            (n, None) => format!("{n} of {of} witnesses cosigned, and the charter asks for {quorum}"),
            (n, Some(one)) => {
                format!("{n} of {of} witnesses, quorum {quorum}; {}: {}", one.witness, one.problem)
            }
        });
    };
    tally.proven = count as u64;
    let of_boxes = records.traces.iter().filter(|trace| trace.index >= size).map(|trace| trace.at);
    let acts = records.acts.iter().filter(|fact| fact.index >= size).map(|fact| fact.act.at);
    let last = of_boxes.chain(acts).max();
    if let (Some(by), Some(last)) = (seen.by(size), last)
        && last.since(by) > UNSEEN
    {
        tally.missing(format!(
            "what came after record {} of {all} has not been seen by enough witnesses; the cosignatures are of {by}",
            size.saturating_sub(1)
        ));
    }
    tally.remark(format!("{count} of {of} witnesses, quorum {quorum}: {size} of {all} records"));
}

/// The most that a witness has said by `by`, if its words hold.
fn witnessed(witness: &WitnessKey, words: &[Word], by: Millis) -> Witnessed {
    let (counts, to_come): (Vec<Word>, Vec<Word>) = words.iter().partition(|(_, at)| *at <= by.plus(SKEW));
    let found = counts.iter().max_by_key(|(size, _)| *size);
    let problem = match (to_come.first(), found, witness.public()) {
        (Some((size, at)), ..) => {
            format!("its cosignature of {size} records says {at}, which is still to come, and does not count")
        }
        (None, Some(_), _) => String::new(),
        (None, None, None) => NOT_VERIFIED.to_owned(),
        (None, None, Some(_)) => NONE_HOLDS.to_owned(),
    };
    Witnessed {
        witness: plain(witness.name()),
        key: witness.id().to_string(),
        size: found.map(|(size, _)| *size),
        at: found.map(|(_, at)| *at),
        problem,
    }
}

/// What a witness had seen was there by then: a record that says a later time was made by a clock that was ahead.
fn times(seen: &[Witnessed], traces: &[Trace], findings: &mut Findings) {
    let mut ahead = 0_u64;
    let mut first = None;
    let mut covered = 0;
    for trace in traces {
        let whole = seen.iter().filter_map(|one| Some((&one.witness, one.size?, one.at?)));
        let by = whole.filter(|(_, size, _)| trace.index < *size).min_by_key(|(_, _, at)| *at);
        let Some((witness, _, at)) = by else { continue };
        covered += 1;
        if trace.at.since(at) > SKEW {
            ahead += 1;
            first.get_or_insert((trace, witness, at));
        }
    }
    if covered == 0 {
        return;
    }
    if let Some((trace, witness, at)) = first {
        let reason = format!(
            "{ahead} records do, the first of them {}: it says {}, and {witness} had seen it by {at}; a clock was wrong",
            trace.index, trace.at
        );
        return findings.unchecked(BEFORE, "evidence/", plain(&reason));
    }
    let mut tally = findings.begin(BEFORE, "evidence/");
    tally.proven = covered;
    findings.end(tally);
}

impl Witnessed {
    /// Nothing of it is here that would hold.
    fn unseen(&self) -> bool {
        [NOT_VERIFIED, NONE_HOLDS].contains(&self.problem.as_str())
    }
}

impl fmt::Display for Witnessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.size, self.at) {
            (Some(size), Some(at)) if self.problem.is_empty() => {
                write!(f, "{}: {size} records at {at}", self.witness)
            }
            (Some(size), Some(at)) => write!(f, "{}: {size} records at {at}; {}", self.witness, self.problem),
            _ => write!(f, "{}: {}", self.witness, self.problem),
        }
    }
}
