//! Plan of action and milestones: what is open at the period's end, since when, and until when.
//!
//! The rule: whatever keeps a paragraph from being satisfied is in it. OSCAL knows no empty plan, so where nothing is open there
//! is none.

use std::collections::BTreeSet;

use baseline::oscal::{Document, Observation, Poam, PoamItem, Property, RiskRef, SystemId, id, time};
use proto::time::Millis;

use super::{
    paper::{apart, boxes, metadata},
    posture::Posture,
    risks::Open,
};

const DAY_MS: i64 = 24 * 3600 * 1000;

pub(super) fn document(
    posture: &Posture<'_>,
    observations: &[Observation],
    risks: &[Open],
) -> Option<Document> {
    if risks.is_empty() {
        return None;
    }
    let names = apart(posture);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let related: BTreeSet<_> = risks
        .iter()
        .flat_map(|open| &open.risk.related_observations)
        .map(|related| related.observation_uuid)
        .collect();
    let observations = observations.iter().filter(|one| related.contains(&one.uuid)).cloned();
    Some(Document::PlanOfActionAndMilestones(Poam {
        uuid: id("poam", &names),
        metadata: metadata(
            posture,
            "Plan of action and milestones",
            "What is open at the end of the period. Proves nothing by itself: whoever has the bundle makes it again, byte for \
             byte, from the signed evidence that it refers to.",
        ),
        system_id: SystemId { identifier_type: "urn:orderly:tenant", id: posture.tenant() },
        local_definitions: boxes(posture),
        observations: observations.collect(),
        poam_items: risks.iter().map(|open| item(posture, open)).collect(),
        risks: risks.iter().map(|open| open.risk.clone()).collect(),
    }))
}

fn item(posture: &Posture<'_>, open: &Open) -> PoamItem {
    let risk = &open.risk;
    let mut description = risk.description.clone();
    for remediation in &risk.remediations {
        description.push_str(&format!(" {}: {}", remediation.title, remediation.description));
    }
    let mut props = vec![
        Property::own("open-since", &time(open.since)),
        Property::own("age-days", &age(open.since, posture.period.to).to_string()),
    ];
    props.extend(risk.deadline.iter().map(|deadline| Property::own("deadline", deadline)));
    PoamItem {
        uuid: id("poam-item", &[&risk.uuid.to_string()]),
        title: risk.title.clone(),
        description,
        props,
        related_observations: risk.related_observations.clone(),
        related_risks: vec![RiskRef { risk_uuid: risk.uuid }],
    }
}

/// Whole days.
fn age(since: Millis, end: Millis) -> i64 {
    end.0.saturating_sub(since.0).max(0) / DAY_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_whole_days_and_never_less_than_none() {
        assert_eq!(age(Millis(0), Millis(DAY_MS - 1)), 0);
        assert_eq!(age(Millis(0), Millis(3 * DAY_MS)), 3);
        assert_eq!(age(Millis(DAY_MS), Millis(0)), 0);
        assert_eq!(age(Millis(i64::MIN), Millis(i64::MAX)), i64::MAX / DAY_MS);
    }
}
