//! What a log follows: by word of the organization's keys, and of nobody else.
//!
//! The rule: such a word says how the log before ended, and that this one is meant to follow it. It proves nothing of what
//! was in that one: another bundle does.

use std::collections::BTreeMap;

use proto::{
    charter::OrganizationKeys,
    dsse::Envelope,
    evidence::CheckpointSeen,
    log::{Head, log_number},
    succession::{NamedHead, Succession},
};

use super::{contents::Contents, findings::Findings, head::LogHead};
use crate::bundle::{Place, Source, bounds::PAPERS_MAX};

/// The words of a bundle, by the number of the log that each begins.
#[derive(Debug, Default)]
pub(super) struct Successions(BTreeMap<u64, Succession>);

impl Successions {
    /// How the log before the `number`-th ended.
    pub(super) fn before(&self, number: u64) -> Option<&NamedHead> {
        self.0.get(&number).map(|succession| &succession.old)
    }

    /// Whether a checkpoint of another log than the `number`-th can be of one that it follows.
    pub(super) fn explains(&self, seen: CheckpointSeen, number: u64) -> bool {
        let head = Head { size: seen.size, root: proto::log::Hash(seen.root.0) };
        let after = self.0.get(&seen.log.saturating_add(1));
        seen.log < number && after.is_some_and(|succession| succession.is_after(head).is_ok())
    }
}

/// Reads all of them; under `trust` keeps those alone that it vouches for.
pub(super) fn read(
    source: &dyn Source,
    contents: &Contents,
    trust: Option<&OrganizationKeys>,
    findings: &mut Findings,
) -> Successions {
    let mut found = Successions::default();
    for &number in &contents.successions {
        let place = Place::Succession(number);
        let Some(bytes) = findings.read(source, &place) else { continue };
        match open(&bytes, trust) {
            Ok(succession) if succession.number() == number => {
                found.0.insert(number, succession);
            }
            Ok(succession) => {
                findings.fault(&place.to_string(), None, &format!("begins log {}", succession.number()));
            }
            Err(problem) => findings.fault(&place.to_string(), None, &problem),
        }
    }
    found
}

fn open(bytes: &[u8], trust: Option<&OrganizationKeys>) -> Result<Succession, String> {
    if let Some(trust) = trust {
        let opened = trust.open_succession(bytes).map_err(|error| super::chain(&error))?;
        return Ok(opened.into_value());
    }
    let envelope = Envelope::parse(bytes).map_err(|error| error.to_string())?;
    Succession::read(envelope.unverified_payload()).map_err(|bad| bad.to_string())
}

/// Whether every log from the first to this one follows the one before it.
pub(super) fn check(successions: &Successions, head: Option<&LogHead>, findings: &mut Findings) {
    let Some(head) = head else { return };
    let origin = &head.checkpoint.checkpoint().origin;
    let number = log_number(origin);
    for (other, succession) in &successions.0 {
        let is_of_it = succession.tenant == head.tenant
            && (2..=number).contains(other)
            && (*other != number || succession.new.origin == *origin);
        if !is_of_it {
            let problem = format!("begins {}, which this log does not follow", succession.new.origin);
            findings.fault(&Place::Succession(*other).to_string(), None, &problem);
        }
    }
    if number <= 1 {
        return;
    }
    let claim = "This log follows another by word of the organization's keys";
    let mut tally = findings.begin(claim, "succession/");
    // The number is a stranger's; as many words as this had to be sent for a loop as long.
    if number > PAPERS_MAX as u64 {
        tally.missing(format!(
            "by whose word log {number} began is not here: none follows more than {PAPERS_MAX}"
        ));
        return findings.end(tally);
    }
    for number in 2..=number {
        match successions.before(number) {
            Some(old) => {
                tally.proven += 1;
                tally.remark(format!(
                    "{} ended with {} records, root {}; what was in it is not proven by this bundle",
                    old.origin,
                    old.size,
                    old.head().root.to_base64()
                ));
            }
            None => tally.missing(format!("by whose word log {number} began is not here")),
        }
    }
    findings.end(tally);
}
