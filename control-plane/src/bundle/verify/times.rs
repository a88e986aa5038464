//! Times: by what clock each record was written, as the record itself says.
//!
//! The rule: a time is the appliance's own word. What stands behind it is counted, never assumed.

use proto::evidence::{ClockSource, Synchronised};

use super::findings::Findings;
use crate::bundle::{Facts, Trace};

/// Counts how clocks stood.
pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    let mut tally = findings.begin("Records say by what clock they were written", "evidence/");
    let count = |is: fn(&&Trace) -> bool| facts.traces.iter().filter(is).count();
    let of = |wanted| facts.traces.iter().filter(|trace| trace.synchronised == Some(wanted)).count();
    let all = facts.traces.len();
    let (yes, no, unknown) = (of(Synchronised::Yes), of(Synchronised::No), of(Synchronised::Unknown));
    tally.proven = (yes + no + unknown) as u64;
    let signed = count(|trace| trace.source == ClockSource::Token);
    let mut said = vec![
        format!("{yes} of {all} records were written on a synchronised clock"),
        format!("{signed} by a time that the control plane had signed"),
    ];
    let others = [
        (no, "on one that was not synchronised"),
        (unknown, "on one of which nobody could tell"),
        (all - yes - no - unknown, "by a version that does not say"),
    ];
    said.extend(others.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    tally.remark(said.join("; "));
    findings.end(tally);
}
