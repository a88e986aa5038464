//! Last month's packet: the log it speaks of must be the beginning of this one.

use proto::log::Hash;

use super::findings::Findings;
use crate::bundle::{Facts, Place, PreviousPacket, Source};

/// Reads what the provider says of it; how far that holds is for [`check`].
pub(super) fn read(source: &dyn Source, findings: &mut Findings) -> Option<PreviousPacket> {
    let bytes = findings.read(source, &Place::PreviousPacket)?;
    match PreviousPacket::parse(&bytes) {
        Ok(previous) => Some(previous),
        Err(error) => {
            findings.error(&Place::PreviousPacket.to_string(), None, &error);
            None
        }
    }
}

/// Checks month and time, and that the log of then is the beginning of this one. `root_then`: what this log's root was at
/// that size, where it is known.
pub(super) fn check(facts: &Facts, root_then: Option<Hash>, findings: &mut Findings) {
    let Some(previous) = &facts.previous else { return };
    let path = Place::PreviousPacket.to_string();
    let mut tally = findings.begin("Last month's packet speaks of the beginning of this log", &*path);
    match facts.said.packet {
        Some(month) if previous.month < month => {}
        Some(month) => {
            let problem = format!("is of {}, must be of a month before {month}", previous.month);
            findings.fault(&path, None, &problem);
        }
        None => findings.fault(&path, None, "is here, and no packet follows it"),
    }
    if previous.made_at > facts.said.made_at {
        findings.fault(&path, None, "was made after the packet that follows it");
    }
    match root_then {
        None if facts.log.as_ref().is_some_and(|log| previous.size > log.size) => {
            findings.fault(&path, None, &format!("speaks of {} records; the log has fewer", previous.size));
        }
        None => tally.missing("the log's leaves are not all known"),
        Some(root) if root == previous.head().root => {
            tally.proven = 1;
            tally.remark(format!("{} records of then are the first of this log", previous.size));
        }
        Some(_) => {
            let problem = format!("the first {} records had another root", previous.size);
            findings.fault(&path, None, &problem);
        }
    }
    findings.end(tally);
}
