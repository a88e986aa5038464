//! The baseline as a component definition: one requirement for each control and each paragraph that it cites.
//!
//! The rule: it says what is set, what is looked at and what must be seen, as the baseline says it; nothing is worded anew.

use proto::digest::Digest;
use serde::Serialize;
use uuid::Uuid;

use super::{Document, Metadata, Property, control_id, id, line, statement_id};
use crate::{Baseline, Control, Repair, rule};

/// What components do for the paragraphs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ComponentDefinition {
    /// Its UUID.
    pub uuid: Uuid,
    /// What it is.
    pub metadata: Metadata,
    /// One for each baseline.
    pub components: Vec<Component>,
}

/// An appliance that is set up as a baseline wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Component {
    /// Its UUID.
    pub uuid: Uuid,
    /// `software`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The baseline's title.
    pub title: String,
    /// For people.
    pub description: String,
    /// Name, version and digest of the baseline.
    pub props: Vec<Property>,
    /// What it does.
    pub control_implementations: Vec<Implementation>,
}

/// What a component does for the paragraphs of one catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Implementation {
    /// Its UUID.
    pub uuid: Uuid,
    /// The catalogue's file.
    pub source: String,
    /// For people.
    pub description: &'static str,
    /// One for each control and paragraph.
    pub implemented_requirements: Vec<Requirement>,
}

/// What one control does for one paragraph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Requirement {
    /// Its UUID.
    pub uuid: Uuid,
    /// The paragraph's name in the catalogue.
    pub control_id: String,
    /// What must be so, and why.
    pub description: String,
    /// The control, as data.
    pub props: Vec<Property>,
    /// By statement of the paragraph.
    pub statements: Vec<Statement>,
}

/// How it does so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Statement {
    /// The statement's name in the catalogue.
    pub statement_id: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// What is set, looked at and expected.
    pub description: String,
}

/// The component definition of some baselines. `catalog` is the catalogue's file as seen from this one.
#[must_use]
pub fn component_definition(baselines: &[&Baseline], catalog: &str) -> Document {
    let digests: Vec<String> = baselines.iter().map(|baseline| baseline.digest().to_string()).collect();
    let digests: Vec<&str> = digests.iter().map(String::as_str).collect();
    let metadata = Metadata::of_data(
        "What an appliance does for the Security Rule".into(),
        versions(baselines),
        "Generated from the baseline, which is signed by the release keys. A control supports a paragraph; whether a clinic \
         complies with it is for people to judge.",
    );
    Document::ComponentDefinition(ComponentDefinition {
        uuid: id("component-definition", &[&[catalog], &digests[..]].concat()),
        metadata,
        components: baselines.iter().map(|baseline| component(baseline, catalog)).collect(),
    })
}

/// `nixos-hipaa 1`, or several.
pub(super) fn versions(baselines: &[&Baseline]) -> String {
    let all: Vec<String> =
        baselines.iter().map(|baseline| format!("{} {}", baseline.name, baseline.version)).collect();
    line(&all.join(", "))
}

/// What a baseline is known by.
pub(super) fn known_by(baseline: &Baseline) -> Vec<Property> {
    vec![
        Property::own("baseline", &baseline.name),
        Property::own("baseline-version", &baseline.version.to_string()),
        Property::own("baseline-sha256", &baseline.digest().to_string()),
    ]
}

fn component(baseline: &Baseline, catalog: &str) -> Component {
    let digest = baseline.digest();
    let requirements = baseline.controls.iter().flat_map(|control| {
        control.hipaa.iter().filter_map(move |citation| requirement(digest, control, citation))
    });
    Component {
        uuid: id("component", &[&digest.to_string()]),
        kind: "software",
        title: line(&baseline.title),
        description: format!(
            "An appliance set up as {} {} wants it. Its {} controls are looked at on the live system; what is not as it \
             must be is drift, and evidence.",
            baseline.name,
            baseline.version,
            baseline.controls.len()
        ),
        props: known_by(baseline),
        control_implementations: vec![Implementation {
            uuid: id("implementation", &[&digest.to_string(), catalog]),
            source: catalog.to_owned(),
            description: "What each control sets, what looks at it, and which paragraph it supports.",
            implemented_requirements: requirements.collect(),
        }],
    }
}

fn requirement(baseline: Digest, control: &Control, citation: &str) -> Option<Requirement> {
    let control_id = control_id(citation)?;
    let apart = [baseline.to_string(), control.id.to_string(), rule::short(citation)];
    let apart = apart.each_ref().map(String::as_str);
    let statement = Statement {
        statement_id: statement_id(&control_id),
        uuid: id("statement", &apart),
        description: format!(
            "Set: {} = {}. Looked at: {}. Expected: {}. {}",
            control.nixos.option,
            json(&control.nixos.value),
            json(&control.probe),
            json(&control.expect),
            repair(control)
        ),
    };
    Some(Requirement {
        uuid: id("requirement", &apart),
        description: format!("{}: {}. {}", control.id, line(&control.title), line(&control.why)),
        props: props(control),
        statements: vec![statement],
        control_id,
    })
}

fn props(control: &Control) -> Vec<Property> {
    let mut props = vec![
        Property::own("control", &control.id.to_string()),
        Property::own("area", control.area.as_str()),
        Property::own("severity", control.severity.as_str()),
        Property::own("required", control.required.as_str()),
        Property::own("nixos-option", &control.nixos.option),
        Property::own("nixos-value", &json(&control.nixos.value)),
        Property::own("nixos-module", &control.nixos.module),
        Property::own("probe", &json(&control.probe)),
        Property::own("expect", &json(&control.expect)),
        Property::own("runbook", control.repair.runbook().unwrap_or("none")),
    ];
    props.extend(control.nist.iter().map(|nist| Property::own("supports-sp800-53r5", nist)));
    props.extend(control.stig.iter().map(|stig| Property::own("stig", &stig.id)));
    props
}

/// Who puts it right, in a sentence.
pub(super) fn repair(control: &Control) -> String {
    match &control.repair {
        Repair::None { why } => format!("When it drifts, a person must put it right: {}", line(why)),
        other => format!("When it drifts, {} puts it right.", other.runbook().unwrap_or("a runbook")),
    }
}

pub(super) fn json(value: &impl Serialize) -> String {
    line(&serde_json::to_string(value).expect("plain data serialises"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::oscal::CATALOG_FILE;

    #[test]
    fn every_control_stands_there_for_every_paragraph_that_it_cites() {
        let baseline = Baseline::hipaa_v1();
        let Document::ComponentDefinition(made) = component_definition(&[baseline], CATALOG_FILE) else {
            panic!()
        };
        let requirements = &made.components[0].control_implementations[0].implemented_requirements;
        let cited: usize = baseline.controls.iter().map(|control| control.hipaa.len()).sum();
        assert_eq!(requirements.len(), cited);
        let mut uuids = BTreeSet::from([made.uuid, made.components[0].uuid]);
        for requirement in requirements {
            assert!(uuids.insert(requirement.uuid) && uuids.insert(requirement.statements[0].uuid));
        }
        let ssh = &requirements[0];
        assert_eq!(ssh.control_id, "hipaa-164-312-a-1");
        for (name, value) in [
            ("control", "NXH-001"),
            ("severity", "high"),
            ("nixos-option", "systemd.services.sshd.wantedBy"),
            ("probe", r#"{"read":"unit","name":"sshd.service","property":"ActiveState"}"#),
            ("supports-sp800-53r5", "AC-17"),
        ] {
            assert!(ssh.props.iter().any(|prop| prop.name == name && prop.value == value), "{name}");
        }
    }
}
