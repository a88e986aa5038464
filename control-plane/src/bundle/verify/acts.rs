//! Acts of the control plane: each signed by an order key of the charter that it names, of this clinic, and in a chain.
//!
//! The rule: an act says what the control plane says, and no more. Its signature shows that it was not put into the log
//! by somebody else; its place shows that none was taken out.

use proto::{
    act::{Act, Claim},
    digest::Digest,
};

use super::{
    charters::Charters,
    findings::{Findings, Tally},
    head::LogHead,
};
use crate::bundle::{ActFact, Place};

/// What became of an entry of the log that is an act.
pub(super) enum Read {
    /// It holds.
    Act(Box<Act>),
    /// The charter that it names is not here.
    NoCharter(u64),
    /// What is wrong with it.
    Fault(String),
}

/// Checks one act.
pub(super) fn read(claim: Claim<'_>, charters: &Charters, head: Option<&LogHead>) -> Read {
    let Some(charter) = charters.by_serial(claim.charter_serial()) else {
        return Read::NoCharter(claim.charter_serial());
    };
    match claim.verify(charter) {
        Ok(act) if head.is_some_and(|head| head.tenant != act.value().tenant) => {
            Read::Fault("is of another tenant than the log".into())
        }
        Ok(act) => Read::Act(Box::new(act.into_value())),
        Err(error) => Read::Fault(super::chain(&error)),
    }
}

/// Checks that acts follow one another; where one is missing, [`crate::bundle::gaps`] says so.
pub(super) fn chain(acts: &[ActFact], charters: &Charters, mut tally: Tally, findings: &mut Findings) {
    tally.proven = acts.len() as u64;
    for fact in acts {
        let serial = fact.act.charter_serial;
        if charters.by_serial(serial).is_some_and(|charter| fact.act.at >= charter.not_after) {
            tally.missing(format!("record {} was signed after charter {serial} had ended", fact.index));
        }
    }
    let path = |fact: &ActFact| Place::Evidence(fact.index, fact.digest).to_string();
    if let Some(first) = acts.first()
        && first.act.chain.index == 0
        && first.act.chain.previous != Digest::ZERO
    {
        findings.fault(&path(first), Some(first.index), "is the first act and names one before it");
    }
    for pair in acts.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let (low, high) = (before.act.chain.index, after.act.chain.index);
        if high <= low || (high == low + 1 && after.act.chain.previous != before.digest) {
            let problem = format!("is act {high} and does not follow record {}, act {low}", before.index);
            findings.fault(&path(after), Some(after.index), &problem);
        }
        // A server that comes back from a backup may do so for a while; who holds a key that was taken away, too.
        if after.act.charter_serial < before.act.charter_serial {
            let (newer, older) = (before.act.charter_serial, after.act.charter_serial);
            let why = format!("record {} goes by charter {older}, one before it by {newer}", after.index);
            tally.missing(why);
        }
    }
    findings.end(tally);
}
