//! Posture: how each control stood on each box at the end of the period, since when, and which scans say so.
//!
//! The rule: a box that was watched and signed no scan is in it, as one that nobody could look at; and so is a control of the
//! baseline that a scan does not speak of. Only a box that was revoked before the period, by an act in the log, and has said
//! nothing since is not: otherwise no clinic that ever retired one would be satisfied again.

use std::collections::{BTreeMap, BTreeSet};

use baseline::{Baseline, Control, ControlId};
use proto::{
    act::Deed,
    digest::Digest,
    document::Kind,
    evidence::{Body, ControlFinding, Scan, Standing},
    ids::ApplianceId,
    time::Millis,
};

use crate::bundle::{ActFact, Fact, Facts, Period, minute, watches};

/// Scans at which a control changed that are named one by one; further ones are counted. The newest stay.
pub(super) const CHANGES_MAX: usize = 16;

/// How everything stood.
pub(super) struct Posture<'f> {
    pub(super) facts: &'f Facts,
    pub(super) period: Period,
    /// `November 2026`, or from when to when.
    pub(super) label: String,
    /// What the newest scans of the period were judged by; the program's own where there are none.
    pub(super) baselines: BTreeMap<Digest, &'f Baseline>,
    /// By box.
    pub(super) boxes: Vec<Looked<'f>>,
    /// The records that say that an exception was taken, by its digest.
    pub(super) taken: BTreeMap<Digest, &'f Fact>,
}

/// One box.
pub(super) struct Looked<'f> {
    pub(super) appliance: ApplianceId,
    pub(super) name: String,
    /// Its newest scan of the period; `None`: it signed none.
    pub(super) newest: Option<&'f Fact>,
    /// Its newest scan before the period's end, or else its first record: since when nobody has looked.
    pub(super) since: Millis,
    /// Controls, by name; none where there is no scan.
    pub(super) controls: Vec<Held<'f>>,
}

/// One control on one box.
pub(super) struct Held<'f> {
    pub(super) appliance: ApplianceId,
    pub(super) box_name: String,
    /// `NXH-001`.
    pub(super) control: String,
    /// What it is; `None`: of a baseline that is not here.
    pub(super) definition: Option<&'f Control>,
    pub(super) standing: Standing,
    /// What the newest scan says of it; `None`: nothing.
    pub(super) finding: Option<&'f ControlFinding>,
    /// The newest scan.
    pub(super) newest: &'f Fact,
    /// Since when it has stood so.
    pub(super) since: Millis,
    /// Scans of the period at which it came to stand otherwise than before, the newest [`CHANGES_MAX`].
    pub(super) changes: Vec<(&'f Fact, Standing)>,
    /// All of them.
    pub(super) changed: usize,
}

/// What is gathered of one control while records are gone through.
struct Track<'f> {
    standing: Standing,
    since: Millis,
    changes: Vec<(&'f Fact, Standing)>,
    changed: usize,
}

#[derive(Default)]
struct Tracks<'f> {
    newest: Option<(&'f Fact, &'f Scan)>,
    newest_ever: Option<Millis>,
    controls: BTreeMap<&'f str, Track<'f>>,
}

impl<'f> Posture<'f> {
    pub(super) fn new(facts: &'f Facts) -> Self {
        let made_at = facts.said.made_at;
        let (period, label) = match facts.said.packet {
            Some(month) => (month.until(made_at), month.title()),
            None => {
                let period = facts.said.period;
                (period, format!("{} to {} UTC", minute(period.from), minute(period.to)))
            }
        };
        let tracks = tracks(facts, period);
        let scans = tracks.values().filter_map(|tracks| tracks.newest);
        let mut baselines: BTreeMap<Digest, &Baseline> = scans
            .filter_map(|(_, scan)| Some((scan.baseline, facts.baselines.get(&scan.baseline)?)))
            .collect();
        if baselines.is_empty() {
            let own = Baseline::hipaa_v1();
            baselines.insert(own.digest(), own);
        }
        let watched = watches(facts, &period).into_iter().map(|watch| watch.appliance);
        let scanned = tracks.iter().filter(|(_, tracks)| tracks.newest.is_some()).map(|(id, _)| *id);
        let boxes = watched.chain(scanned).filter(|id| !is_retired(facts, *id, period));
        let boxes: BTreeSet<ApplianceId> = boxes.collect();
        let none = Tracks::default();
        Self {
            facts,
            period,
            label,
            boxes: boxes.into_iter().map(|id| looked(facts, id, tracks.get(&id).unwrap_or(&none))).collect(),
            baselines,
            taken: taken(facts),
        }
    }

    /// All controls on all boxes.
    pub(super) fn controls(&self) -> impl Iterator<Item = &Held<'f>> {
        self.boxes.iter().flat_map(|looked| &looked.controls)
    }

    /// Boxes that signed no scan.
    pub(super) fn unseen(&self) -> impl Iterator<Item = &Looked<'f>> {
        self.boxes.iter().filter(|looked| looked.newest.is_none())
    }

    /// Sets what is said of this clinic apart from what is said of others.
    pub(super) fn tenant(&self) -> String {
        self.facts.tenant.map_or_else(|| "unknown".to_owned(), |tenant| tenant.to_string())
    }
}

/// Goes through all records in the log's order.
fn tracks(facts: &Facts, period: Period) -> BTreeMap<ApplianceId, Tracks<'_>> {
    let mut all: BTreeMap<ApplianceId, Tracks<'_>> = BTreeMap::new();
    for fact in &facts.records {
        let at = fact.record.clock.at;
        let Body::Scan(scan) = &fact.record.body else { continue };
        if at >= period.to {
            continue;
        }
        let tracks = all.entry(fact.record.identity.appliance).or_default();
        tracks.newest_ever = Some(at);
        let within = period.contains(at);
        if within {
            tracks.newest = Some((fact, scan));
        }
        for (control, finding) in &scan.findings {
            let standing = finding.standing;
            let track = tracks.controls.entry(control.as_str()).or_insert(Track {
                standing,
                since: at,
                changes: Vec::new(),
                changed: 0,
            });
            let first_of_period = within && track.changes.is_empty();
            if track.standing != standing {
                (track.standing, track.since) = (standing, at);
            } else if !first_of_period {
                continue;
            }
            if within {
                track.changed += 1;
                if track.changes.len() == CHANGES_MAX {
                    track.changes.remove(0);
                }
                track.changes.push((fact, standing));
            }
        }
    }
    all
}

fn looked<'f>(facts: &'f Facts, appliance: ApplianceId, tracks: &Tracks<'f>) -> Looked<'f> {
    let name = facts.name_of(appliance);
    let first = || {
        let mut records = facts.records.iter().filter(|fact| fact.record.identity.appliance == appliance);
        records.next().map(|fact| fact.record.clock.at)
    };
    let since = tracks.newest_ever.or_else(first).unwrap_or(facts.said.period.from);
    let controls = tracks.newest.map_or_else(Vec::new, |(fact, scan)| held(facts, &name, fact, scan, tracks));
    Looked { appliance, name, newest: tracks.newest.map(|(fact, _)| fact), since, controls }
}

/// Controls that the scan speaks of, and those that it should speak of.
fn held<'f>(
    facts: &'f Facts,
    name: &str,
    newest: &'f Fact,
    scan: &'f Scan,
    tracks: &Tracks<'f>,
) -> Vec<Held<'f>> {
    let baseline = facts.baselines.get(&scan.baseline);
    let spoken: BTreeMap<&str, &ControlFinding> =
        scan.findings.iter().map(|(control, finding)| (control.as_str(), finding)).collect();
    let wanted = baseline.into_iter().flat_map(|baseline| &baseline.controls).map(|c| c.id.to_string());
    let names: BTreeSet<String> = spoken.keys().map(|name| (*name).to_owned()).chain(wanted).collect();
    let one = |control: String| {
        let finding = spoken.get(control.as_str()).copied();
        let id: Option<ControlId> = control.parse().ok();
        // What the newest scan does not speak of, nobody looked at, however it stood before.
        let track = finding.and_then(|_| tracks.controls.get(control.as_str()));
        Held {
            appliance: newest.record.identity.appliance,
            box_name: name.to_owned(),
            definition: baseline.zip(id).and_then(|(baseline, id)| baseline.control(id)),
            standing: finding.map_or(Standing::NotEvaluable, |finding| finding.standing),
            finding,
            newest,
            since: track.map_or(newest.record.clock.at, |track| track.since),
            changes: track.map_or_else(Vec::new, |track| track.changes.clone()),
            changed: track.map_or(0, |track| track.changed),
            control,
        }
    };
    names.into_iter().map(one).collect()
}

fn is_retired(facts: &Facts, appliance: ApplianceId, period: Period) -> bool {
    let revoked = |act: &ActFact| act.act.at < period.from && act.act.deed == Deed::Revocation { appliance };
    let speaks =
        |fact: &Fact| fact.record.identity.appliance == appliance && period.contains(fact.record.clock.at);
    facts.acts.iter().any(revoked) && !facts.records.iter().any(speaks)
}

fn taken(facts: &Facts) -> BTreeMap<Digest, &Fact> {
    let exceptions = facts.records.iter().filter_map(|fact| match &fact.record.body {
        Body::Document(taken) if taken.what == Kind::Exception && !taken.is_withdrawal => {
            Some((taken.content, fact))
        }
        _ => None,
    });
    exceptions.collect()
}
