//! The figures of one month: what the packet's sentences, tables and charts are made of.

mod actions;
mod days;
mod incidents;
mod inventory;
mod oversight;
mod repositories;

use std::collections::BTreeMap;

use proto::{
    digest::Digest,
    evidence::{Body, Heartbeat, Record},
    ids::ApplianceId,
    time::Millis,
};

use super::PacketError;
use crate::{
    bundle::{
        ActFact, Fact, Facts, Gap, Month, Period, Stretch, Watch,
        findings::{self, CitationResult, Drift, Waiver},
        gaps, stretches, watches,
    },
    mode::{self, Differs, Mode},
};

pub use actions::{Action, Refused};
pub use days::{Availability, Presence, Share};
pub use incidents::{Detected, Incident};
pub use inventory::{Sockets, Updated, Version};
pub(crate) use oversight::mode as mode_at;
pub use oversight::{Access, Acknowledged, Agreement, Holder, REVIEW_EVERY};
pub use repositories::Repository;

/// One month of one clinic.
#[derive(Debug)]
pub struct Model<'f> {
    /// What it is made from.
    pub facts: &'f Facts,
    /// Which month.
    pub month: Month,
    /// The part of it that was over.
    pub period: Period,
    /// Records of that time, by log index.
    pub records: Vec<&'f Fact>,
    /// Acts of the control plane in that time, by log index.
    pub acts: Vec<&'f ActFact>,
    /// Orders carried out.
    pub actions: Vec<Action>,
    /// Orders refused.
    pub refused: Vec<Refused>,
    /// Refusals that were counted and not recorded one by one.
    pub refused_counted: u64,
    /// Backup repositories that orders were about.
    pub repositories: Vec<Repository>,
    /// Faults that orders were about.
    pub incidents: Vec<Incident>,
    /// Every paragraph of the Security Rule, and how it stands.
    pub citations: Vec<CitationResult>,
    /// Controls that did not hold at some time of the month, or were open at its begin.
    pub drifts: Vec<Drift<'f>>,
    /// Exceptions.
    pub waivers: Vec<Waiver<'f>>,
    /// How controls stood on each day.
    pub shares: Vec<Share>,
    /// How each appliance was watched on each day.
    pub availability: Vec<Availability>,
    /// Versions of the program, and when they changed.
    pub versions: Vec<Version>,
    /// What other hosts could reach.
    pub sockets: Vec<Sockets>,
    /// How well each appliance was watched.
    pub watches: Vec<Watch>,
    /// Newest heartbeat of each appliance, up to the period's end.
    pub newest: BTreeMap<ApplianceId, &'f Heartbeat>,
    /// What is missing.
    pub gaps: Vec<Gap>,
    /// Who ran the control plane at the end of the period.
    pub mode: Mode,
    /// The contract between clinic and service provider; `None`: none was recorded.
    pub agreement: Option<Agreement<'f>>,
    /// Who could use the control plane at the end of the period.
    pub access: Access<'f>,
    /// Who acknowledged the packet before this one.
    pub acknowledged: Vec<Acknowledged<'f>>,
    /// What waited for a link, and what was written by a clock that was not in step.
    pub stretches: Vec<Stretch>,
    /// Changes of what runs on the boxes.
    pub updates: Vec<Updated<'f>>,
}

impl<'f> Model<'f> {
    /// The figures of `month`, as far as it was over when the bundle was made.
    pub fn new(facts: &'f Facts, month: Month) -> Result<Self, PacketError> {
        let period = month.until(facts.said.made_at);
        if period.from == period.to {
            return Err(PacketError::NotBegun { month, made_at: facts.said.made_at });
        }
        let acts: Vec<&ActFact> = facts.acts.iter().filter(|fact| period.contains(fact.act.at)).collect();
        let records: Vec<&Fact> =
            facts.records.iter().filter(|fact| period.contains(fact.record.clock.at)).collect();
        let mut actions: Vec<Action> =
            records.iter().filter_map(|fact| actions::action(facts, fact)).collect();
        actions.sort_by_key(|action| (action.at, action.record));
        let executions = records.iter().filter_map(|fact| match &fact.record.body {
            Body::Execution(execution) => Some((*fact, &**execution)),
            _ => None,
        });
        let (watches, gaps) = (watches(facts, &period), gaps(facts, &period));
        let mut drifts = findings::drifts(facts, period.to);
        drifts.retain(|drift| drift.reaches(period.from));
        let mode = oversight::mode(facts, period.to);
        Ok(Self {
            refused: records.iter().filter_map(|fact| actions::refused(fact, mode)).collect(),
            refused_counted: heartbeats(&records)
                .map(|(_, beat)| beat.refusals_not_signed)
                .fold(0, u64::saturating_add),
            repositories: repositories::repositories(executions),
            incidents: incidents::incidents(facts, &records, &acts, &drifts),
            citations: findings::citations(facts, &period),
            waivers: findings::waivers(facts, period.to),
            shares: days::shares(&records, &period),
            availability: days::availability(&watches, &gaps, &period),
            versions: inventory::versions(facts, period.to),
            updates: records.iter().filter_map(|fact| inventory::updated(fact)).collect(),
            stretches: stretches(facts, &period),
            sockets: inventory::sockets(&records),
            newest: newest(facts, period.to),
            mode,
            agreement: oversight::agreement(facts, period.to),
            access: oversight::access(facts, period.to),
            acknowledged: oversight::acknowledged(facts),
            drifts,
            watches,
            gaps,
            facts,
            month,
            period,
            records,
            acts,
            actions,
        })
    }

    /// What differs by that.
    #[must_use]
    pub fn differs(&self) -> Differs {
        mode::of(self.mode)
    }

    /// Whoever ran it, as people know them.
    #[must_use]
    pub fn runner(&self) -> &str {
        self.facts.said.brand.name_of(&self.facts.organization)
    }

    /// Actions after which the fault was gone.
    #[must_use]
    pub fn good(&self) -> usize {
        self.actions.iter().filter(|action| action.good).count()
    }

    /// Drift that nothing has ended.
    pub fn open(&self) -> impl Iterator<Item = &Drift<'f>> {
        self.drifts.iter().filter(|drift| drift.is_open())
    }

    /// Time that heartbeats vouch for, of all boxes, in thousandths; `None`: nothing was watched.
    #[must_use]
    pub fn watched_thousandths(&self) -> Option<u128> {
        let span: u128 = self.watches.iter().map(|watch| watch.span.as_millis()).sum();
        let silent: u128 = self.watches.iter().map(|watch| watch.silent.as_millis()).sum();
        (span > 0).then(|| (span - silent.min(span)) * 1000 / span)
    }

    /// Records that are not heartbeats, and acts: log index, when, kind, digest.
    #[must_use]
    pub fn index(&self) -> Vec<(u64, Millis, String, Digest)> {
        let records = self.records.iter().filter(|fact| !matches!(fact.record.body, Body::Heartbeat(_)));
        let records = records
            .map(|fact| (fact.index, fact.record.clock.at, fact.record.body.kind().to_owned(), fact.digest));
        let acts = self
            .acts
            .iter()
            .map(|fact| (fact.index, fact.act.at, format!("act: {}", fact.act.deed.kind()), fact.digest));
        let mut all: Vec<_> = records.chain(acts).collect();
        all.sort_by_key(|(index, ..)| *index);
        all
    }

    /// First and last log index of the period's records and acts.
    #[must_use]
    pub fn range(&self) -> Option<(u64, u64)> {
        let records = self.records.iter().map(|fact| fact.index);
        let indices = || records.clone().chain(self.acts.iter().map(|fact| fact.index));
        Some((indices().min()?, indices().max()?))
    }
}

fn heartbeats<'a, 'f>(records: &'a [&'f Fact]) -> impl Iterator<Item = (&'f Record, &'f Heartbeat)> + 'a {
    records.iter().filter_map(|fact| match &fact.record.body {
        Body::Heartbeat(beat) => Some((&fact.record, beat)),
        _ => None,
    })
}

fn newest(facts: &Facts, end: Millis) -> BTreeMap<ApplianceId, &Heartbeat> {
    let all: Vec<&Fact> = facts.records.iter().filter(|fact| fact.record.clock.at < end).collect();
    // By log index: later ones take the place of earlier ones.
    heartbeats(&all).map(|(record, beat)| (record.identity.appliance, beat)).collect()
}
