//! The assessment plan: how each control of a baseline is looked at, by whom, and how often.

use serde::Serialize;
use uuid::Uuid;

use super::{
    BackMatter, Document, Metadata, Property, Resource,
    component::{json, known_by, versions},
    control_id, id, line,
};
use crate::{Baseline, rule};

/// How it is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AssessmentPlan {
    /// Its UUID.
    pub uuid: Uuid,
    /// What it is.
    pub metadata: Metadata,
    /// What it is a plan for.
    pub import_ssp: Import,
    /// What is done.
    pub local_definitions: PlanDefinitions,
    /// The paragraphs that are looked into.
    pub reviewed_controls: ReviewedControls,
    /// What is looked at.
    pub assessment_subjects: Vec<SubjectChoice>,
    /// When.
    pub tasks: Vec<Task>,
    /// What the plan refers to.
    pub back_matter: BackMatter,
}

/// A reference to another document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Where it is.
    pub href: String,
    /// What is to be said of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remarks: Option<&'static str>,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanDefinitions {
    /// One for each baseline.
    pub activities: Vec<Activity>,
}

/// A scan by one baseline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Activity {
    /// Its UUID.
    pub uuid: Uuid,
    /// For people.
    pub title: String,
    /// For people.
    pub description: &'static str,
    /// What the baseline is known by.
    pub props: Vec<Property>,
    /// One for each control.
    pub steps: Vec<Step>,
    /// The paragraphs that it looks into.
    pub related_controls: ReviewedControls,
}

/// A look at one control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its UUID.
    pub uuid: Uuid,
    /// The control.
    pub title: String,
    /// What is looked at and expected.
    pub description: String,
}

/// Paragraphs that are looked into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReviewedControls {
    /// One choice.
    pub control_selections: Vec<ControlChoices>,
}

/// A choice of paragraphs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ControlChoices {
    /// Why these.
    pub description: &'static str,
    /// Which; OSCAL allows no empty list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include_controls: Vec<ControlChoice>,
}

/// A paragraph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ControlChoice {
    /// Its name in the catalogue.
    pub control_id: String,
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SubjectChoice {
    /// `component`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// For people.
    pub description: &'static str,
    /// All of them.
    pub include_all: Everything,
}

/// No choice is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Everything {}

/// When something is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Task {
    /// Its UUID.
    pub uuid: Uuid,
    /// `action`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// For people.
    pub title: &'static str,
    /// For people.
    pub description: &'static str,
    /// How often.
    pub timing: Timing,
    /// What.
    pub associated_activities: Vec<ActivityUse>,
}

/// How often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Timing {
    /// Again and again.
    pub at_frequency: Frequency,
}

/// Every so many of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Frequency {
    /// How many.
    pub period: u32,
    /// `days`.
    pub unit: &'static str,
}

/// An activity, and what it is done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ActivityUse {
    /// Which.
    pub activity_uuid: Uuid,
    /// To what.
    pub subjects: Vec<SubjectChoice>,
}

/// The plan for some baselines.
#[must_use]
pub fn assessment_plan(baselines: &[&Baseline]) -> Document {
    let digests: Vec<String> = baselines.iter().map(|baseline| baseline.digest().to_string()).collect();
    let apart: Vec<&str> = digests.iter().map(String::as_str).collect();
    let system = id("system", &[]);
    let activities: Vec<Activity> = baselines.iter().map(|baseline| activity(baseline)).collect();
    let uses = activities
        .iter()
        .map(|activity| ActivityUse { activity_uuid: activity.uuid, subjects: vec![appliances()] });
    let task = Task {
        uuid: id("task", &apart),
        kind: "action",
        title: "Scan of the baseline",
        description: "Each appliance's executor looks at all controls every hour and after each execution. It signs what it \
                      found at least once a day, and whenever what has drifted changes.",
        timing: Timing { at_frequency: Frequency { period: 1, unit: "days" } },
        associated_activities: uses.collect(),
    };
    Document::AssessmentPlan(AssessmentPlan {
        uuid: id("assessment-plan", &apart),
        metadata: Metadata::of_data(
            "How appliances are held against the baseline".into(),
            versions(baselines),
            "Generated from the baseline. It plans looks at appliances; what a clinic has to show besides is not in it.",
        ),
        import_ssp: Import {
            href: format!("#{system}"),
            remarks: Some("There is no system security plan: the clinic's own is the clinic's to write."),
        },
        local_definitions: PlanDefinitions { activities },
        reviewed_controls: reviewed(baselines),
        assessment_subjects: vec![appliances()],
        tasks: vec![task],
        back_matter: BackMatter {
            resources: vec![Resource {
                uuid: system,
                title: "The appliances of a clinic".into(),
                description: "Every appliance that is enrolled for the clinic; assessment results name them."
                    .into(),
            }],
        },
    })
}

/// The paragraphs that any control of these baselines cites, in the rule's order.
#[must_use]
pub fn reviewed(baselines: &[&Baseline]) -> ReviewedControls {
    let cites = |citation: &str| {
        let controls = baselines.iter().flat_map(|baseline| &baseline.controls);
        controls.flat_map(|control| &control.hipaa).any(|cited| rule::short(cited) == citation)
    };
    let paragraphs = rule::paragraphs().iter().filter(|paragraph| cites(paragraph.citation));
    let include_controls =
        paragraphs.filter_map(|p| control_id(p.citation)).map(|control_id| ControlChoice { control_id });
    ReviewedControls {
        control_selections: vec![ControlChoices {
            description: "Paragraphs of the Security Rule that controls of the baseline support.",
            include_controls: include_controls.collect(),
        }],
    }
}

fn appliances() -> SubjectChoice {
    SubjectChoice {
        kind: "component",
        description: "All appliances of the clinic.",
        include_all: Everything {},
    }
}

fn activity(baseline: &Baseline) -> Activity {
    let digest = baseline.digest().to_string();
    let step = |control: &crate::Control| Step {
        uuid: id("step", &[&digest, &control.id.to_string()]),
        title: format!("{}: {}", control.id, line(&control.title)),
        description: format!("Looked at: {}. Expected: {}.", json(&control.probe), json(&control.expect)),
    };
    Activity {
        uuid: id("activity", &[&digest]),
        title: format!("Scan by {} {}", baseline.name, baseline.version),
        description: "The executor, which has no network, looks at the live system with read-only probes, judges what it saw, \
                      and signs it. What could not be looked at is never counted as fine.",
        props: known_by(baseline),
        steps: baseline.controls.iter().map(step).collect(),
        related_controls: reviewed(&[baseline]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_control_is_a_step_and_each_paragraph_that_one_cites_is_looked_into() {
        let baseline = Baseline::hipaa_v1();
        let Document::AssessmentPlan(plan) = assessment_plan(&[baseline]) else { panic!() };
        let activity = &plan.local_definitions.activities[0];
        assert_eq!(activity.steps.len(), baseline.controls.len());
        let chosen = &plan.reviewed_controls.control_selections[0].include_controls;
        for control in &baseline.controls {
            for citation in &control.hipaa {
                let id = control_id(citation).expect("a paragraph");
                assert_eq!(chosen.iter().filter(|one| one.control_id == id).count(), 1, "{citation}");
            }
        }
        assert!(plan.import_ssp.href.contains(&plan.back_matter.resources[0].uuid.to_string()));
    }
}
