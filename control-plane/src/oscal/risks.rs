//! Risks: what does not stand as it must, what can happen because of that, until when, and what puts it right.
//!
//! The rule: a risk keeps its UUID as long as it is open, from one month's documents to the next; it opened when the control
//! came to stand so.

use baseline::{
    Control, Exception, Repair,
    oscal::{MitigatingFactor, ObservationRef, Property, Response, Risk, id, line, markup, time},
};
use proto::{evidence::Standing, time::Millis};
use uuid::Uuid;

use super::{
    posture::{Held, Looked, Posture},
    seen::{box_uuid, control_uuid, seen, title_of, unseen_uuid, where_, word},
};

/// A risk, and what it is about.
pub(super) struct Open {
    pub(super) risk: Risk,
    pub(super) since: Millis,
    /// Citations of 45 CFR that it bears on; `None`: all that are looked into.
    pub(super) hipaa: Option<Vec<String>>,
}

/// One for each control on each box that is not compliant, and one for each box that nobody could look at.
pub(super) fn risks(posture: &Posture<'_>) -> Vec<Open> {
    let controls = posture.controls().filter(|held| held.standing != Standing::Compliant);
    let controls = controls.map(|held| of_control(posture, held));
    controls.chain(posture.unseen().map(|looked| of_unseen(posture, looked))).collect()
}

fn of_control(posture: &Posture<'_>, held: &Held<'_>) -> Open {
    let uuid = opened(
        posture,
        &[&box_uuid(held.appliance).to_string(), &held.control, word(held.standing)],
        held.since,
    );
    let digest = held.finding.and_then(|finding| finding.exception);
    let exception = digest.and_then(|digest| posture.facts.exceptions.get(&digest));
    let mut props = vec![
        Property::own("control", &held.control),
        Property::own("standing", word(held.standing)),
        Property::own("open-since", &time(held.since)),
    ];
    props.extend(held.definition.map(|control| Property::own("severity", control.severity.as_str())));
    props.extend(digest.map(|digest| Property::own("exception-sha256", &digest.to_string())));
    let mut risk = Risk {
        uuid,
        title: String::new(),
        description: format!("{}. {}", title_of(held), seen(held.finding)),
        statement: held.definition.map_or_else(
            || "What this control is for, only its baseline says, which is not here.".into(),
            |control| line(&control.why),
        ),
        props,
        status: "open",
        mitigating_factors: Vec::new(),
        deadline: None,
        remediations: held
            .definition
            .map(|control| remediation(uuid, held.standing, control))
            .into_iter()
            .collect(),
        related_observations: vec![ObservationRef { observation_uuid: control_uuid(posture, held) }],
    };
    let place = where_(held);
    match held.standing {
        Standing::Excepted => {
            risk.title = format!("Excepted: {place}");
            risk.status = "deviation-approved";
            waive(&mut risk, exception);
        }
        Standing::NotEvaluable => {
            risk.title = format!("Could not be looked at: {place}");
            risk.status = "investigating";
        }
        Standing::Drifted | Standing::Compliant => risk.title = format!("Drifted: {place}"),
    }
    Open { risk, since: held.since, hipaa: held.definition.map(|control| control.hipaa.clone()) }
}

/// What the exception says, as far as it is here.
fn waive(risk: &mut Risk, exception: Option<&Exception>) {
    let Some(exception) = exception else {
        risk.description.push_str(
            " It was waived by an exception whose text is not here: its digest is all that the scan says.",
        );
        return;
    };
    risk.description.push_str(&format!(" Waived because: {}", markup(&exception.reason)));
    risk.statement = markup(&exception.risk);
    risk.deadline = Some(time(exception.expires));
    risk.props.push(Property::own("exception-approver", &exception.approver));
    risk.props.push(Property::own("exception-issued", &time(exception.issued)));
    risk.mitigating_factors = vec![MitigatingFactor {
        uuid: id("mitigating-factor", &[&risk.uuid.to_string()]),
        description: markup(&exception.compensating),
    }];
}

fn remediation(risk: Uuid, standing: Standing, control: &Control) -> Response {
    let uuid = id("response", &[&risk.to_string()]);
    match &control.repair {
        // Nothing is put right that nobody has seen to be wrong.
        _ if standing == Standing::NotEvaluable => Response {
            uuid,
            lifecycle: "recommendation",
            title: "A person must see why".into(),
            description: "See what keeps the box from looking; the observation names it in a word.".into(),
        },
        Repair::None { why } => Response {
            uuid,
            lifecycle: "recommendation",
            title: "A person must put it right".into(),
            description: line(why),
        },
        other => {
            let runbook = other.runbook().unwrap_or("a runbook");
            Response {
                uuid,
                lifecycle: "planned",
                title: format!("Runbook {runbook}"),
                description: format!(
                    "An order for {runbook} puts it right, within the box's own guardrails; the next scan shows whether it did."
                ),
            }
        }
    }
}

fn of_unseen(posture: &Posture<'_>, looked: &Looked<'_>) -> Open {
    let uuid = opened(posture, &[&box_uuid(looked.appliance).to_string()], looked.since);
    let risk = Risk {
        uuid,
        title: format!("Not looked at: {}", markup(&looked.name)),
        description: "It signed no scan of the baseline in this period.".into(),
        statement: "Whatever may have drifted on it, nobody would know.".into(),
        props: vec![
            Property::own("standing", word(Standing::NotEvaluable)),
            Property::own("open-since", &time(looked.since)),
        ],
        status: "investigating",
        mitigating_factors: Vec::new(),
        deadline: None,
        remediations: vec![Response {
            uuid: id("response", &[&uuid.to_string()]),
            lifecycle: "recommendation",
            title: "A person must see why".into(),
            description: "See whether the box runs, and what its status says; or retire it.".into(),
        }],
        related_observations: vec![ObservationRef { observation_uuid: unseen_uuid(posture, looked) }],
    };
    Open { risk, since: looked.since, hipaa: None }
}

fn opened(posture: &Posture<'_>, what: &[&str], since: Millis) -> Uuid {
    let (tenant, since) = (posture.tenant(), since.to_string());
    id("risk", &[&[tenant.as_str(), since.as_str()], what].concat())
}
