//! Waivers: exceptions that boxes took, or that scans name, with their text where the bundle has it.

use std::collections::{BTreeMap, BTreeSet};

use baseline::Exception;
use proto::{
    digest::Digest,
    document::Kind,
    evidence::{Body, Standing},
    ids::ApplianceId,
    time::Millis,
};

use super::Moment;
use crate::bundle::Facts;

/// An exception, as far as the evidence knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver<'f> {
    /// The control that is waived.
    pub control: String,
    /// What scans name it by: SHA-256 of its text.
    pub digest: Digest,
    /// Where it came from.
    pub source: Source,
    /// Boxes it was taken by, or that a scan names it for.
    pub boxes: BTreeMap<ApplianceId, Moment>,
    /// When each of them was told that it holds no more, or took another in its place.
    pub ended: BTreeMap<ApplianceId, Moment>,
    /// Who approved it, by name in the charter; nobody where it was built into the box's image.
    pub approvers: BTreeSet<String>,
    /// Scans that count on it.
    pub scans: Vec<u64>,
    /// Its text; `None`: not in the bundle.
    pub text: Option<&'f Exception>,
}

/// Where an exception came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A document that approvers signed.
    Document,
    /// No box took it as a document, so it was built into the image.
    Image,
}

impl Waiver<'_> {
    /// Whether it still counts at `at`, for any box.
    #[must_use]
    pub fn is_in_force(&self, at: Millis) -> bool {
        let taken_back = self.boxes.keys().all(|appliance| self.ended.contains_key(appliance));
        !taken_back && self.text.is_none_or(|text| at < text.expires)
    }
}

/// Every exception that was taken, or that a scan names, before `until`; by control.
#[must_use]
pub fn waivers(facts: &Facts, until: Millis) -> Vec<Waiver<'_>> {
    let mut all: BTreeMap<Digest, Waiver<'_>> = BTreeMap::new();
    let mut newest: BTreeMap<(ApplianceId, &str), Digest> = BTreeMap::new();
    for fact in facts.records.iter().filter(|fact| fact.record.clock.at < until) {
        let (appliance, now) = (fact.record.identity.appliance, Moment::of(fact));
        let waiver = |control: &str, digest, source| Waiver {
            control: control.to_owned(),
            digest,
            source,
            boxes: BTreeMap::new(),
            ended: BTreeMap::new(),
            approvers: BTreeSet::new(),
            scans: vec![],
            text: facts.exceptions.get(&digest),
        };
        match &fact.record.body {
            Body::Document(taken) if taken.what == Kind::Exception => {
                let slot = (appliance, taken.name.as_str());
                let before = newest.remove(&slot).filter(|before| *before != taken.content);
                if let Some(before) = before.and_then(|before| all.get_mut(&before)) {
                    before.ended.insert(appliance, now);
                }
                if taken.is_withdrawal {
                    continue;
                }
                newest.insert(slot, taken.content);
                let it = all
                    .entry(taken.content)
                    .or_insert_with(|| waiver(&taken.name, taken.content, Source::Document));
                it.source = Source::Document;
                it.boxes.entry(appliance).or_insert(now);
                it.ended.remove(&appliance);
                it.approvers.extend(taken.approvers.iter().cloned());
            }
            Body::Scan(scan) => {
                let excepted = scan.findings.iter().filter(|(_, found)| found.standing == Standing::Excepted);
                for (control, digest) in
                    excepted.filter_map(|(control, found)| Some((control, found.exception?)))
                {
                    let it = all
                        .entry(digest)
                        .or_insert_with(|| waiver(&control.to_string(), digest, Source::Image));
                    it.boxes.entry(appliance).or_insert(now);
                    it.scans.push(now.record);
                }
            }
            _ => {}
        }
    }
    let mut all: Vec<_> = all.into_values().collect();
    all.sort_by(|a, b| (&a.control, a.digest).cmp(&(&b.control, b.digest)));
    all
}
