//! Assessment results: what was seen in the period, and what it comes to for each paragraph.
//!
//! The rule: **satisfied** is said of a paragraph only where every control that cites it was looked at on every box and was as
//! it must be. Drifted, excepted and could not look are each said as such, in that order of weight. What was done besides
//! (restore drills, updates, incidents) stands beside it and makes nothing satisfied.

use baseline::{
    oscal::{
        AssessmentResult, AssessmentResults, Document, Finding, Import, ObservationRef, RiskRef, Status,
        Target, control_id, id, reviewed, statement_id,
    },
    rule::{self, Paragraph},
};
use proto::evidence::Standing;

use super::{
    Export,
    deeds::Deed,
    paper::{apart, boxes, log_props, metadata},
    posture::{Held, Posture},
    risks::Open,
    seen::{control_uuid, unseen_uuid, where_},
};
use crate::bundle::gaps;

/// Names that are given in a verdict's reason; further ones are counted.
const NAMED: usize = 10;

pub(super) fn document(
    posture: &Posture<'_>,
    mut observations: Vec<baseline::oscal::Observation>,
    deeds: Vec<Deed>,
    risks: Vec<Open>,
) -> Document {
    let names = apart(posture);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let baselines: Vec<_> = posture.baselines.values().copied().collect();
    let of_paragraph = |paragraph| finding(posture, paragraph, &deeds, &risks);
    let findings: Vec<Finding> = rule::paragraphs().iter().filter_map(of_paragraph).collect();
    observations.extend(deeds.into_iter().map(|deed| deed.observation));
    let mut props = log_props(posture);
    let missing = gaps(posture.facts, &posture.period).len();
    props.push(baseline::oscal::Property::own("gaps", &missing.to_string()));
    let result = AssessmentResult {
        uuid: id("result", &names),
        title: format!("Scans of the baseline, {}", posture.label),
        description: "Each appliance's executor looked at its own live system and signed what it found; the newest scan of the \
                      period decides."
            .into(),
        start: baseline::oscal::time(posture.period.from),
        end: baseline::oscal::time(posture.period.to),
        props,
        local_definitions: boxes(posture),
        reviewed_controls: reviewed(&baselines),
        observations,
        findings,
        risks: risks.into_iter().map(|open| open.risk).collect(),
        remarks: format!(
            "{missing} gaps in the evidence of this period; `control-plane evidence verify` lists them with their causes."
        ),
    };
    Document::AssessmentResults(AssessmentResults {
        uuid: id("assessment-results", &names),
        metadata: metadata(
            posture,
            "Assessment results",
            "Proves nothing by itself: whoever has the bundle makes it again, byte for byte, from the signed evidence that it \
             refers to. A control supports a paragraph; whether the clinic complies with it is for people to judge.",
        ),
        import_ap: Import { href: Export::Plan.file().to_owned(), remarks: None },
        results: vec![result],
    })
}

/// How many looks came to what.
#[derive(Default)]
struct Tally {
    compliant: usize,
    drifted: Vec<String>,
    blind: Vec<String>,
    excepted: Vec<String>,
}

/// `None`: no control of these baselines cites it.
fn finding(posture: &Posture<'_>, paragraph: &Paragraph, deeds: &[Deed], risks: &[Open]) -> Option<Finding> {
    let cites = |hipaa: &[String]| hipaa.iter().any(|cited| rule::short(cited) == paragraph.citation);
    let mut controls = posture.baselines.values().flat_map(|baseline| &baseline.controls);
    if !controls.any(|control| cites(&control.hipaa)) {
        return None;
    }
    let held: Vec<&Held<'_>> = posture
        .controls()
        .filter(|held| held.definition.is_some_and(|control| cites(&control.hipaa)))
        .collect();
    let mut tally = Tally::default();
    for one in &held {
        match one.standing {
            Standing::Compliant => tally.compliant += 1,
            Standing::Drifted => tally.drifted.push(where_(one)),
            Standing::Excepted => tally.excepted.push(where_(one)),
            Standing::NotEvaluable => tally.blind.push(where_(one)),
        }
    }
    tally.blind.extend(
        posture.unseen().map(|looked| format!("everything on {}", baseline::oscal::markup(&looked.name))),
    );
    let seen = held.iter().map(|held| control_uuid(posture, held));
    let unseen = posture.unseen().map(|looked| unseen_uuid(posture, looked));
    let done: Vec<&Deed> = deeds.iter().filter(|deed| deed.hipaa.contains(paragraph.citation)).collect();
    let bears = |open: &&Open| open.hipaa.as_deref().is_none_or(&cites);
    let control_id = control_id(paragraph.citation)?;
    Some(Finding {
        uuid: id("finding", &[&posture.tenant(), &posture.period.from.to_string(), paragraph.citation]),
        title: format!("{} {}", paragraph.citation, paragraph.name),
        description: format!(
            "45 CFR {}, {}: {} looks at controls that support it, {} deeds that bear on it.",
            paragraph.citation,
            paragraph.designation,
            held.len(),
            done.len()
        ),
        target: Target {
            kind: "statement-id",
            target_id: statement_id(&control_id),
            status: tally.verdict(posture.facts.faults > 0),
        },
        related_observations: seen
            .chain(unseen)
            .chain(done.iter().map(|deed| deed.observation.uuid))
            .map(|observation_uuid| ObservationRef { observation_uuid })
            .collect(),
        related_risks: risks.iter().filter(bears).map(|open| RiskRef { risk_uuid: open.risk.uuid }).collect(),
    })
}

impl Tally {
    fn verdict(&self, faults: bool) -> Status {
        let (state, reason) = if !self.drifted.is_empty() {
            ("not-satisfied", "fail")
        } else if !self.blind.is_empty() || !self.excepted.is_empty() || self.compliant == 0 || faults {
            ("not-satisfied", "other")
        } else {
            ("satisfied", "pass")
        };
        let mut remarks = vec![format!("{} as they must be", self.compliant)];
        for (what, names) in [
            ("drifted", &self.drifted),
            ("could not be looked at", &self.blind),
            ("excepted", &self.excepted),
        ] {
            if !names.is_empty() {
                remarks.push(format!("{} {what} ({})", names.len(), named(names)));
            }
        }
        if self.compliant + self.drifted.len() + self.blind.len() + self.excepted.len() == 0 {
            remarks = vec!["nobody looked: no appliance was there".to_owned()];
        }
        if faults {
            remarks.push("the evidence contradicts itself".to_owned());
        }
        Status { state, reason, remarks: format!("{}.", remarks.join("; ")) }
    }
}

fn named(names: &[String]) -> String {
    let mut text = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn satisfied_is_said_of_nothing_but_looks_that_all_came_out_right() {
        let names = |n: usize| (0..n).map(|n| format!("NXH-00{n} on a")).collect::<Vec<_>>();
        let verdict = |compliant, drifted, blind, excepted, faults| {
            let tally =
                Tally { compliant, drifted: names(drifted), blind: names(blind), excepted: names(excepted) };
            let status = tally.verdict(faults);
            (status.state, status.reason)
        };
        assert_eq!(verdict(3, 0, 0, 0, false), ("satisfied", "pass"));
        for (compliant, drifted, blind, excepted, faults, reason) in [
            (3, 1, 0, 0, false, "fail"),
            (3, 1, 1, 1, true, "fail"),
            (3, 0, 1, 0, false, "other"),
            (3, 0, 0, 1, false, "other"),
            (0, 0, 0, 0, false, "other"),
            (3, 0, 0, 0, true, "other"),
        ] {
            assert_eq!(verdict(compliant, drifted, blind, excepted, faults), ("not-satisfied", reason));
        }
    }

    #[test]
    fn of_many_names_some_are_given_and_all_are_counted() {
        let tally = Tally { drifted: (0..25).map(|n| format!("c{n}")).collect(), ..Tally::default() };
        let remarks = tally.verdict(false).remarks;
        assert!(remarks.contains("25 drifted (c0, c1,") && remarks.contains("c9 and 15 more)"), "{remarks}");
    }
}
