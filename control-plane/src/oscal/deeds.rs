//! Deeds: what was done in the period that bears on paragraphs beside how controls stood. Restores that were tried out, changes
//! of what runs on the boxes, and how incidents ended.
//!
//! The rule: they are observations with their records, and decide no verdict: that rests on the looks at controls. A drill that
//! failed is in it as much as one that did not.

use std::collections::BTreeSet;

use baseline::{
    Area,
    oscal::{Evidence, Observation, Property, id, markup, time},
    rule,
};
use proto::{
    act,
    evidence::{Body, Execution, StepResult, Update},
    ids::ApplianceId,
    time::Millis,
};
use runbooks::Action;

use super::{
    posture::Posture,
    seen::{evidence_of, subject},
};
use crate::bundle::{Fact, minute};

/// Deeds of one kind that are named one by one, the newest; the bundle has all of them.
const NAMED_MAX: usize = 100;
/// Response to incidents.
const INCIDENTS: &str = "164.308(a)(6)(ii)";

/// A deed, and the paragraphs that it bears on.
pub(super) struct Deed {
    pub(super) observation: Observation,
    pub(super) hipaa: BTreeSet<String>,
}

/// What is said of one, before it is an observation.
struct Told {
    index: u64,
    at: Millis,
    appliance: ApplianceId,
    kind: &'static str,
    method: &'static str,
    title: String,
    description: String,
    props: Vec<Property>,
    evidence: Evidence,
    hipaa: BTreeSet<String>,
}

/// All of them: drills, updates, incidents, each in the log's order.
pub(super) fn deeds(posture: &Posture<'_>) -> Vec<Deed> {
    let (facts, period) = (posture.facts, posture.period);
    let records = || facts.records.iter().filter(|fact| period.contains(fact.record.clock.at));
    let drills = records().filter_map(|fact| match &fact.record.body {
        Body::Execution(execution) => drill(posture, fact, execution),
        _ => None,
    });
    let updates = records().filter_map(|fact| match &fact.record.body {
        Body::Update(update) => Some(updated(posture, fact, update)),
        _ => None,
    });
    let kinds = [drills.collect::<Vec<_>>(), updates.collect(), incidents(posture)];
    let newest = kinds.into_iter().flat_map(|mut of_kind| {
        of_kind.drain(..of_kind.len().saturating_sub(NAMED_MAX));
        of_kind
    });
    newest.map(|told| deed(posture, told)).collect()
}

fn deed(posture: &Posture<'_>, told: Told) -> Deed {
    let mut props = vec![Property::own("deed", told.kind)];
    props.extend(told.props);
    props.extend(told.hipaa.iter().map(|citation| Property::own("citation", citation)));
    let name = posture.facts.name_of(told.appliance);
    let index = told.index.to_string();
    let observation = Observation {
        uuid: id("deed", &[&posture.tenant(), &posture.period.from.to_string(), &index]),
        title: told.title,
        description: told.description,
        props,
        methods: vec![told.method],
        types: vec!["historic"],
        subjects: vec![subject(told.appliance, &name)],
        relevant_evidence: vec![told.evidence],
        collected: time(told.at),
        remarks: None,
    };
    Deed { observation, hipaa: told.hipaa }
}

/// A restore that was tried out; `None`: the execution was about something else.
fn drill(posture: &Posture<'_>, fact: &Fact, execution: &Execution) -> Option<Told> {
    let action = Action::ResticTestRestore.as_str();
    let step = execution.steps.iter().find(|step| step.action == action)?;
    let (at, appliance) = (fact.record.clock.at, fact.record.identity.appliance);
    let proven = step.result == StepResult::Done && execution.verdict.is_good();
    let result = if proven { "proven" } else { "not-proven" };
    let targets: Vec<&str> = execution.order.parameters.values().map(|watch| watch.as_str()).collect();
    let (targets, name) = (targets.join(", "), markup(&posture.facts.name_of(appliance)));
    let said = if proven {
        "Files were brought back from the backup into scratch space, and were the same as in the backup."
    } else {
        "Files were not brought back, or not the same as in the backup."
    };
    let seconds = execution.took_ms / 1000;
    Some(Told {
        index: fact.index,
        at,
        appliance,
        kind: "restore-drill",
        method: "TEST",
        title: format!("Restore drill of {targets} on {name}: {result}"),
        description: format!(
            "{} on {targets}, {} UTC. {said} It took {seconds} s.",
            execution.order.runbook,
            minute(at)
        ),
        props: vec![
            Property::own("result", result),
            Property::own("runbook", execution.order.runbook.as_str()),
            Property::own("took-ms", &execution.took_ms.to_string()),
        ],
        evidence: of_fact(posture, fact, "The signed record of the execution"),
        hipaa: execution.hipaa.iter().map(|citation| rule::short(citation)).collect(),
    })
}

fn updated(posture: &Posture<'_>, fact: &Fact, update: &Update) -> Told {
    let (at, appliance) = (fact.record.clock.at, fact.record.identity.appliance);
    let controls = posture.baselines.values().flat_map(|baseline| &baseline.controls);
    let bears = controls.filter(|control| control.area == Area::Updates).flat_map(|control| &control.hipaa);
    let mut props = vec![
        Property::own("from-program", update.from.program.as_str()),
        Property::own("to-program", update.to.program.as_str()),
    ];
    let systems = [("from-system", &update.from.system), ("to-system", &update.to.system)];
    let known = systems.iter().filter_map(|(name, system)| Some((name, system.as_ref()?)));
    props.extend(known.map(|(name, system)| Property::own(name, system.as_str())));
    Told {
        index: fact.index,
        at,
        appliance,
        kind: "update",
        method: "EXAMINE",
        title: format!("Update of {}", markup(&posture.facts.name_of(appliance))),
        description: format!("Seen {} UTC: {}, before that {}.", minute(at), update.to, update.from),
        props,
        evidence: of_fact(posture, fact, "The signed record of the update"),
        hipaa: bears.map(|citation| rule::short(citation)).collect(),
    }
}

fn incidents(posture: &Posture<'_>) -> Vec<Told> {
    let acts = posture.facts.acts.iter().filter(|fact| posture.period.contains(fact.act.at));
    let ended = acts.filter_map(|fact| {
        let act::Deed::Incident { appliance, fault, opened, end, .. } = &fact.act.deed else { return None };
        let name = markup(&posture.facts.name_of(*appliance));
        Some(Told {
            index: fact.index,
            at: fact.act.at,
            appliance: *appliance,
            kind: "incident",
            method: "EXAMINE",
            title: format!("Incident on {name}: {end}"),
            description: format!(
                "{}: open from {} to {} UTC, then {end}.",
                markup(fault),
                minute(*opened),
                minute(fact.act.at)
            ),
            props: vec![
                Property::own("result", &end.to_string()),
                Property::own("fault", fault),
                Property::own("opened", &time(*opened)),
            ],
            evidence: evidence_of(
                posture,
                (fact.index, fact.digest),
                "The signed act of the control plane".into(),
            ),
            hipaa: [INCIDENTS.to_owned()].into(),
        })
    });
    ended.collect()
}

fn of_fact(posture: &Posture<'_>, fact: &Fact, what: &str) -> Evidence {
    evidence_of(posture, (fact.index, fact.digest), what.to_owned())
}
