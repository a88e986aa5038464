//! Contract, access and acknowledgements: what acts say of people, as it stood at the end of a month.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proto::{act::Deed, digest::Digest, time::Millis};

use crate::{
    bundle::{ActFact, Facts},
    mode::Mode,
};

/// How often it is gone through who has access: a quarter of a year.
pub const REVIEW_EVERY: Duration = Duration::from_secs(92 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The contract between clinic and service provider.
#[derive(Debug, Clone, Copy)]
pub struct Agreement<'f> {
    /// The act that recorded it.
    pub fact: &'f ActFact,
    /// Day on which it was signed.
    pub signed: Millis,
    /// Its last day.
    pub until: Option<Millis>,
    /// SHA-256 of the document.
    pub document: Digest,
}

impl Agreement<'_> {
    /// Whether it held at `at`.
    #[must_use]
    pub fn holds_at(&self, at: Millis) -> bool {
        self.signed <= at && self.until.is_none_or(|until| at < until.plus(DAY))
    }
}

/// Somebody who could use the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder<'f> {
    /// By what name.
    pub name: &'f str,
    /// Until when at most.
    pub until: Millis,
    /// The act that says so: when, and its record.
    pub since: (Millis, u64),
}

/// Who could use the control plane, and when that was last gone through.
#[derive(Debug, Clone, Default)]
pub struct Access<'f> {
    /// Those who could, by name.
    pub holders: Vec<Holder<'f>>,
    /// The last review: the act, how many were kept and how many ended.
    pub reviewed: Option<(&'f ActFact, usize, usize)>,
    /// Until when the next was due; `None`: nobody had access yet.
    pub due: Option<Millis>,
}

/// A person who acknowledged a packet.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged<'f> {
    /// The act.
    pub fact: &'f ActFact,
    /// By what name.
    pub name: &'f str,
    /// As what.
    pub role: &'f str,
    /// How it came to the control plane.
    pub through: proto::act::Through,
}

fn until(facts: &Facts, end: Millis) -> impl Iterator<Item = &ActFact> {
    facts.acts.iter().filter(move |fact| fact.act.at < end)
}

/// Who ran the control plane at `end`.
pub(crate) fn mode(facts: &Facts, end: Millis) -> Mode {
    let read = |fact: &ActFact| if let Deed::Mode { mode } = fact.act.deed { Some(mode) } else { None };
    until(facts, end).filter_map(read).last().unwrap_or(Mode::Reseller)
}

/// The newest that was recorded before `end`.
pub(super) fn agreement<'f>(facts: &'f Facts, end: Millis) -> Option<Agreement<'f>> {
    let read = |fact: &'f ActFact| match &fact.act.deed {
        Deed::Agreement { signed, until, document } => {
            Some(Agreement { fact, signed: *signed, until: *until, document: *document })
        }
        _ => None,
    };
    until(facts, end).filter_map(read).last()
}

/// Who had access at `end`.
pub(super) fn access(facts: &Facts, end: Millis) -> Access<'_> {
    let mut holders: BTreeMap<&str, Holder<'_>> = BTreeMap::new();
    let mut access = Access::default();
    let mut first = None;
    for fact in until(facts, end) {
        let since = (fact.act.at, fact.index);
        match &fact.act.deed {
            Deed::Access { name, until } => {
                first.get_or_insert(fact.act.at);
                holders.insert(name, Holder { name, until: *until, since });
            }
            Deed::AccessEnd { name } => drop(holders.remove(name.as_str())),
            Deed::AccessReview { kept, ended } => {
                // A review knows of those, too, whose access is older than this log.
                for (name, until) in kept {
                    holders.entry(name).or_insert(Holder { name, until: *until, since });
                }
                let stays: BTreeSet<&str> = kept.keys().map(String::as_str).collect();
                holders.retain(|name, _| stays.contains(name));
                access.reviewed = Some((fact, kept.len(), ended.len()));
            }
            _ => {}
        }
    }
    holders.retain(|_, holder| holder.until > end);
    access.holders = holders.into_values().collect();
    let since = access.reviewed.map(|(fact, ..)| fact.act.at).or(first);
    access.due = since.map(|since| since.plus(REVIEW_EVERY));
    access
}

/// Who acknowledged the packet before this one, by all that the bundle has.
pub(super) fn acknowledged<'f>(facts: &'f Facts) -> Vec<Acknowledged<'f>> {
    let Some(previous) = &facts.previous else { return Vec::new() };
    let (month, whole) =
        (previous.month.to_string(), previous.pdf_sha256.unwrap_or(previous.markdown_sha256));
    let read = |fact: &'f ActFact| match &fact.act.deed {
        Deed::Review { month: of, packet, name, role, through } if *of == month && *packet == whole => {
            Some(Acknowledged { fact, name, role, through: *through })
        }
        _ => None,
    };
    facts.acts.iter().filter_map(read).collect()
}
