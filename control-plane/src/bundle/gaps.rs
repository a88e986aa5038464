//! Completeness: what is missing, and why.
//!
//! The rule: silence counts. Heartbeats lie in the chain, so what an executor did not say is as visible as what it said;
//! every gap is listed with its cause, as far as the evidence tells. Silence is judged within a period, everything else
//! for all records at hand.

mod silence;
mod stretches;

use std::collections::BTreeMap;

use proto::{
    act::Deed,
    evidence::Body,
    ids::{ApplianceId, Incarnation},
    time::Millis,
};
use serde::Serialize;

use super::{Facts, Period, Trace};

pub(in crate::bundle) use silence::blind_end;
pub use silence::{Watch, watches};
pub use stretches::{Stretch, StretchKind, stretches};

/// Something that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// In a word.
    pub kind: GapKind,
    /// Why, as far as the evidence tells.
    pub cause: Cause,
    /// Whose; `None`: the log's.
    pub appliance: Option<ApplianceId>,
    /// When it began, by the appliance's clock.
    pub from: Option<Millis>,
    /// When it ended.
    pub to: Option<Millis>,
    /// What is missing and why, in a sentence.
    pub what: String,
}

/// Kinds of gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapKind {
    /// The log has records that are not in the bundle.
    NotInBundle,
    /// The bundle has records that no checkpoint covers yet.
    NotCovered,
    /// What was before lies in a log that this one follows.
    EarlierLog,
    /// An executor's chain does not begin at its begin.
    FirstMissing,
    /// Records are missing within a chain.
    Hole,
    /// An appliance is enrolled and has said nothing.
    NothingYet,
    /// A new executor does not follow the last record of the one before it.
    Predecessor,
    /// Two executors of one appliance wrote at the same time.
    Overlap,
    /// Heartbeats that were due did not come.
    Silence,
    /// The clock was set back.
    Clock,
    /// The time that the provider names leaves out some that its own records speak of.
    Period,
    /// The control plane says that something never came.
    Reported,
    /// An order was carried out and is not in the bundle.
    OrderMissing,
    /// A record names an output that is not in the bundle.
    OutputMissing,
}

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Nothing came from the box any more: it had no link, or was off and still is.
    Offline,
    /// The box was off, and said so when it was on again.
    PoweredOff,
    /// There was more than there is room for.
    BufferFull,
    /// A clock was set, or is wrong.
    Clock,
    /// An executor was set up anew, without what was before it.
    SetUpAnew,
    /// It was logged, or is to be; whoever made the bundle left it out.
    LeftOut,
    /// The evidence does not tell.
    Unknown,
}

impl Cause {
    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::PoweredOff => "powered off",
            Self::BufferFull => "buffer full",
            Self::Clock => "clock",
            Self::SetUpAnew => "set up anew",
            Self::LeftOut => "left out",
            Self::Unknown => "unknown",
        }
    }

    /// Of what the control plane or an agent calls it.
    fn of_reported(word: &str) -> Self {
        match word {
            "buffer-full" | "lines-dropped" | "events-over-budget" | "gaps-over-budget" => Self::BufferFull,
            _ => Self::Unknown,
        }
    }
}

/// Everything that is missing, as far as the evidence itself shows it.
#[must_use]
pub fn gaps(facts: &Facts, period: &Period) -> Vec<Gap> {
    let mut found = of_log(facts);
    let chains = facts.chains();
    for chain in chains.values() {
        found.extend(of_chain(facts, chain));
    }
    for (incarnation, executor) in &facts.executors {
        if !chains.contains_key(incarnation) {
            let what = "It is enrolled, and no record of it is here.".into();
            found.push(Gap {
                kind: GapKind::NothingYet,
                cause: Cause::Offline,
                appliance: Some(executor.appliance),
                from: None,
                to: None,
                what,
            });
        }
    }
    for lives in lives(facts, &chains).values() {
        found
            .extend(lives.iter().enumerate().filter_map(|(n, life)| of_succession(facts, life, &lives[..n])));
    }
    found.extend(silence::gaps(facts, period));
    found.extend(of_acts(facts, period));
    found.extend(of_references(facts));
    found
}

/// The chains of all executors.
type Chains<'f> = BTreeMap<Incarnation, Vec<&'f Trace>>;

/// The chains of each appliance, the one that came into the log first before the others.
fn lives<'a, 'f>(facts: &Facts, chains: &'a Chains<'f>) -> BTreeMap<ApplianceId, Vec<&'a [&'f Trace]>> {
    let mut lives: BTreeMap<ApplianceId, Vec<&[&Trace]>> = BTreeMap::new();
    for chain in chains.values() {
        if let Some(appliance) = chain.first().and_then(|first| facts.appliance_of(first)) {
            lives.entry(appliance).or_default().push(chain);
        }
    }
    for chains in lives.values_mut() {
        chains.sort_by_key(|chain| chain.iter().map(|trace| trace.index).min());
    }
    lives
}

fn of_log(facts: &Facts) -> Vec<Gap> {
    let gap = |kind, what| Gap { kind, cause: Cause::LeftOut, appliance: None, from: None, to: None, what };
    let absent = facts.absent.iter().map(|(first, last)| {
        let what = format!("Of the log, {} not here.", range("record", *first, *last));
        gap(GapKind::NotInBundle, what)
    });
    let mut gaps: Vec<Gap> = absent.collect();
    if let Some(old) = &facts.follows {
        let what =
            format!("What was before is in {}, of {} records: in another bundle.", old.origin, old.size);
        gaps.push(gap(GapKind::EarlierLog, what));
    }
    let size = facts.log.as_ref().map_or(0, |log| log.size);
    let indices = || {
        let acts = facts.acts.iter().map(|fact| fact.index);
        facts.traces.iter().map(|trace| trace.index).chain(acts).filter(|index| *index >= size)
    };
    if let (Some(first), Some(last), true) = (indices().min(), indices().max(), facts.log.is_some()) {
        let what = format!("No checkpoint covers {} yet.", range("record", first, last));
        gaps.push(gap(GapKind::NotCovered, what));
    }
    gaps
}

fn of_chain(facts: &Facts, chain: &[&Trace]) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let Some(first) = chain.first() else { return gaps };
    let Some((executor, appliance)) = facts.writer_of(first) else { return gaps };
    let appliance = Some(appliance);
    // An executor that followed from one log to the next let go of what was proven in the one.
    if first.chain_index > 0 && facts.follows.is_none() {
        let what = format!(
            "Of executor {executor}, {} not here; so its enrolment is not proven.",
            range("record", 0, first.chain_index - 1)
        );
        let (kind, cause) = (GapKind::FirstMissing, Cause::LeftOut);
        gaps.push(Gap { kind, cause, appliance, from: None, to: Some(first.at), what });
    }
    for pair in chain.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let (low, high) = (before.chain_index, after.chain_index);
        if high > low.saturating_add(1) {
            let (from, to) = (Some(before.at), Some(after.at));
            let what = format!("Of executor {executor}, {} not here.", range("record", low + 1, high - 1));
            gaps.push(Gap { kind: GapKind::Hole, cause: Cause::LeftOut, appliance, from, to, what });
        }
    }
    gaps
}

/// Acts that are missing, and what acts say that is.
fn of_acts(facts: &Facts, period: &Period) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut next = 0;
    for fact in &facts.acts {
        let (index, at) = (fact.act.chain.index, fact.act.at);
        if index > next {
            let what = format!("Of the control plane's acts, {} not here.", range("act", next, index - 1));
            let (kind, cause) = (GapKind::Hole, Cause::LeftOut);
            gaps.push(Gap { kind, cause, appliance: None, from: None, to: Some(at), what });
        }
        next = index.saturating_add(1);
        let Deed::Gap { appliance, cause, amount, first, last } = &fact.act.deed else { continue };
        // These two the records themselves show, for as long as it is so.
        if period.contains(at) && !matches!(cause.as_str(), "chain-hole" | "evidence-refused") {
            let what = format!("{amount} of what it was to report never came: {cause}.");
            let (appliance, from, to) = (Some(*appliance), Some(*first), Some(*last));
            let (kind, cause) = (GapKind::Reported, Cause::of_reported(cause));
            gaps.push(Gap { kind, cause, appliance, from, to, what });
        }
    }
    gaps
}

/// How an executor's first record follows what was before it on the same box.
fn of_succession(facts: &Facts, chain: &[&Trace], earlier: &[&[&Trace]]) -> Option<Gap> {
    let first = *chain.first()?;
    let Body::Enrolment(enrolment) = &facts.record(first.index)?.body else { return None };
    let gap = |what: String| {
        let (appliance, to) = (facts.appliance_of(first), Some(first.at));
        Some(Gap { kind: GapKind::Predecessor, cause: Cause::SetUpAnew, appliance, from: None, to, what })
    };
    let Some(cited) = enrolment.predecessor else {
        return if earlier.is_empty() {
            None
        } else {
            gap("Its executor was set up anew and does not know how the one before it ended.".into())
        };
    };
    let found = earlier
        .iter()
        .find_map(|chain| Some((*chain, chain.iter().position(|trace| trace.digest == cited)?)));
    match found {
        None => gap(format!("Its executor follows record {cited}, which is not here.")),
        Some((chain, at)) if at + 1 < chain.len() => gap(format!(
            "Its executor follows record {} of the log, but the one before it wrote {} more after that.",
            chain[at].index,
            chain.len() - at - 1
        )),
        Some(_) => None,
    }
}

fn of_references(facts: &Facts) -> Vec<Gap> {
    let of = |kind, record: u64, what: String| {
        let record = facts.record(record);
        let (appliance, at) = (record.map(|r| r.identity.appliance), record.map(|r| r.clock.at));
        Gap { kind, cause: Cause::LeftOut, appliance, from: at, to: at, what }
    };
    let orders = facts.orders_missing.iter().map(|missing| {
        let what =
            format!("Order {}, which record {} carried out, is not here.", missing.order, missing.record);
        of(GapKind::OrderMissing, missing.record, what)
    });
    let outputs = facts.outputs_missing.iter().map(|missing| {
        let what = format!("Output {}, which record {} names, is not here.", missing.output, missing.record);
        of(GapKind::OutputMissing, missing.record, what)
    });
    orders.chain(outputs).collect()
}

/// `record 7 is`, `records 3 to 9 (7 of them) are`.
fn range(what: &str, first: u64, last: u64) -> String {
    if first == last {
        format!("{what} {first} is")
    } else {
        format!("{what}s {first} to {last} ({} of them) are", last.saturating_sub(first).saturating_add(1))
    }
}
