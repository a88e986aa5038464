//! What both documents say of themselves: whose they are, of what time, and from which log.

use baseline::oscal::{
    ComponentStatus, Definitions, Metadata, OSCAL_VERSION, Party, Property, SystemComponent, id, line,
    markup, time,
};

use super::{posture::Posture, seen::box_uuid};
use crate::{mode, packet::mode_at};

/// What sets this document apart from every other: clinic, period, when it was made, and the log's head.
pub(super) fn apart(posture: &Posture<'_>) -> Vec<String> {
    let log = posture.facts.log.as_ref();
    vec![
        posture.tenant(),
        posture.period.from.to_string(),
        posture.period.to.to_string(),
        posture.facts.said.made_at.to_string(),
        log.map_or_else(String::new, |log| log.root.to_base64()),
    ]
}

pub(super) fn metadata(posture: &Posture<'_>, title: &str, remarks: &str) -> Metadata {
    let said = &posture.facts.said;
    let runner = mode::of(mode_at(posture.facts, posture.period.to)).runner;
    let mut parties = vec![Party {
        uuid: id("clinic", &[&posture.tenant()]),
        kind: "organization",
        name: line(&said.clinic),
        remarks: Some(format!("The clinic. What it is called is the {runner}'s word.")),
    }];
    if !posture.facts.organization.is_empty() {
        parties.push(Party {
            uuid: id("organization", &[&posture.facts.organization]),
            kind: "organization",
            name: line(&posture.facts.organization),
            remarks: Some(format!("The {runner}, by its trust domain.")),
        });
    }
    Metadata {
        title: format!("{title}: {}, {}", markup(&said.clinic), posture.label),
        last_modified: time(said.made_at),
        version: line(&posture.label),
        oscal_version: OSCAL_VERSION,
        props: vec![Property::own("generator", &said.generator)],
        links: Vec::new(),
        parties,
        remarks: Some(remarks.to_owned()),
    }
}

/// Where the evidence stands.
pub(super) fn log_props(posture: &Posture<'_>) -> Vec<Property> {
    let Some(log) = &posture.facts.log else { return Vec::new() };
    vec![
        Property::own("log-origin", &log.origin),
        Property::own("log-size", &log.size.to_string()),
        Property::own("log-root", &log.root.to_base64()),
    ]
}

/// The boxes, with the keys that sign for them.
pub(super) fn boxes(posture: &Posture<'_>) -> Definitions {
    let component = |looked: &super::posture::Looked<'_>| {
        let mut props = vec![Property::own("appliance", &looked.appliance.to_string())];
        let executors = posture.facts.executors.values();
        let keys = executors.filter(|executor| executor.appliance == looked.appliance);
        props.extend(keys.map(|executor| Property::own("evidence-key", &executor.evidence_key.hint())));
        SystemComponent {
            uuid: box_uuid(looked.appliance),
            kind: "hardware",
            title: markup(&looked.name),
            description: "An appliance. What it is called is the service provider's word.".into(),
            props,
            status: ComponentStatus { state: "operational" },
        }
    };
    Definitions { components: posture.boxes.iter().map(component).collect() }
}
