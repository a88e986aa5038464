//! Observations: what was seen of each control on each box, and the files that prove it.

use baseline::oscal::{Evidence, Observation, Property, Subject, id, line, markup, time};
use proto::{
    digest::Digest,
    evidence::{ControlFinding, Seen, Standing},
    ids::ApplianceId,
};
use uuid::Uuid;

use super::posture::{CHANGES_MAX, Held, Looked, Posture};
use crate::bundle::{Fact, Place, minute};

/// One for each control and box, and one for each box that nobody could look at.
pub(super) fn observations(posture: &Posture<'_>) -> Vec<Observation> {
    let seen = posture.controls().map(|held| of_control(posture, held));
    seen.chain(posture.unseen().map(|looked| of_unseen(posture, looked))).collect()
}

/// The UUID of what was seen of a control.
pub(super) fn control_uuid(posture: &Posture<'_>, held: &Held<'_>) -> Uuid {
    apart(posture, &held.appliance.to_string(), &held.control)
}

/// The UUID of what was not seen of a box.
pub(super) fn unseen_uuid(posture: &Posture<'_>, looked: &Looked<'_>) -> Uuid {
    apart(posture, &looked.appliance.to_string(), "")
}

fn apart(posture: &Posture<'_>, appliance: &str, control: &str) -> Uuid {
    id("observation", &[&posture.tenant(), &posture.period.from.to_string(), appliance, control])
}

/// The UUID of a box, in every document.
pub(super) fn box_uuid(appliance: ApplianceId) -> Uuid {
    id("appliance", &[&appliance.to_string()])
}

/// A word for how a control stands.
pub(super) fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Compliant => "compliant",
        Standing::Drifted => "drifted",
        Standing::Excepted => "excepted",
        Standing::NotEvaluable => "not-evaluable",
    }
}

/// What a control wants, in a few words.
pub(super) fn title_of(held: &Held<'_>) -> String {
    held.definition
        .map_or_else(|| "not of a baseline that is here".to_owned(), |control| line(&control.title))
}

/// `NXH-001 on Front desk`.
pub(super) fn where_(held: &Held<'_>) -> String {
    format!("{} on {}", held.control, markup(&held.box_name))
}

/// What the newest scan saw, or why it saw nothing.
pub(super) fn seen(finding: Option<&ControlFinding>) -> String {
    let Some(finding) = finding else { return "Nobody looked: the scan does not speak of it.".to_owned() };
    if finding.standing == Standing::NotEvaluable {
        let why = finding.blind.as_ref().map_or("no reason is given", |token| token.as_str());
        return format!("Nobody can tell: {why}.");
    }
    let fields: Vec<String> =
        finding.reading.iter().map(|(field, seen)| format!("{field} = {}", value(seen))).collect();
    if fields.is_empty() {
        "Nothing is said of what was seen.".into()
    } else {
        format!("Seen: {}.", fields.join(", "))
    }
}

fn value(seen: &Seen) -> String {
    match seen {
        Seen::Flag(flag) => flag.to_string(),
        Seen::Number(number) => number.to_string(),
        Seen::Word(word) => word.to_string(),
        Seen::Words(words) if words.is_empty() => "nothing".to_owned(),
        Seen::Words(words) => words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    }
}

fn of_control(posture: &Posture<'_>, held: &Held<'_>) -> Observation {
    let at = held.newest.record.clock.at;
    let standing = word(held.standing);
    let mut props = vec![
        Property::own("control", &held.control),
        Property::own("standing", standing),
        Property::own("since", &time(held.since)),
        Property::own("changes", &held.changed.saturating_sub(1).to_string()),
    ];
    if let Some(control) = held.definition {
        props.push(Property::own("severity", control.severity.as_str()));
    }
    if let Some(exception) = held.finding.and_then(|finding| finding.exception) {
        props.push(Property::own("exception-sha256", &exception.to_string()));
    }
    let hidden = held.changed.saturating_sub(CHANGES_MAX);
    Observation {
        uuid: control_uuid(posture, held),
        title: where_(held),
        description: format!(
            "{}. Newest scan of the period, {} UTC: {standing}. {}",
            title_of(held),
            minute(at),
            seen(held.finding)
        ),
        props,
        methods: vec!["TEST"],
        types: vec!["control-objective"],
        subjects: vec![subject(held.appliance, &held.box_name)],
        relevant_evidence: evidence(posture, held),
        collected: time(at),
        remarks: (hidden > 0)
            .then(|| format!("{hidden} earlier changes in the period are in the bundle and not named here.")),
    }
}

fn of_unseen(posture: &Posture<'_>, looked: &Looked<'_>) -> Observation {
    Observation {
        uuid: unseen_uuid(posture, looked),
        title: format!("No scan by {}", markup(&looked.name)),
        description: "It signed no scan of the baseline in this period, so nobody can tell how any control stood on it."
            .into(),
        props: vec![
            Property::own("standing", word(Standing::NotEvaluable)),
            Property::own("since", &time(looked.since)),
        ],
        methods: vec!["TEST"],
        types: vec!["control-objective"],
        subjects: vec![subject(looked.appliance, &looked.name)],
        relevant_evidence: Vec::new(),
        collected: time(posture.period.to),
        remarks: None,
    }
}

pub(super) fn subject(appliance: ApplianceId, name: &str) -> Subject {
    Subject { subject_uuid: box_uuid(appliance), kind: "component", title: markup(name) }
}

/// The newest scan, those at which it changed, and what says that it was excepted.
fn evidence(posture: &Posture<'_>, held: &Held<'_>) -> Vec<Evidence> {
    let scan = |fact: &Fact, standing: Standing| {
        format!("Scan of {} UTC: {}", minute(fact.record.clock.at), word(standing))
    };
    let mut all = vec![of_record(posture, held.newest, scan(held.newest, held.standing))];
    let changes = held.changes.iter().rev().filter(|(fact, _)| fact.index != held.newest.index);
    all.extend(changes.map(|(fact, standing)| of_record(posture, fact, scan(fact, *standing))));
    let Some(exception) = held.finding.and_then(|finding| finding.exception) else { return all };
    if posture.facts.exceptions.contains_key(&exception) {
        all.push(Evidence {
            href: beside(&Place::Exception(exception)),
            description: "The exception in force".into(),
            props: vec![Property::own("sha256", &exception.to_string())],
        });
    }
    all.extend(posture.taken.get(&exception).map(|fact| {
        let what = format!("A box took the exception at {} UTC", minute(fact.record.clock.at));
        of_record(posture, fact, what)
    }));
    all
}

fn of_record(posture: &Posture<'_>, fact: &Fact, description: String) -> Evidence {
    evidence_of(posture, (fact.index, fact.digest), description)
}

/// An entry of the log: where its file lies, what its digest is, and where it stands.
pub(super) fn evidence_of(posture: &Posture<'_>, entry: (u64, Digest), description: String) -> Evidence {
    let (index, digest) = entry;
    let mut props =
        vec![Property::own("sha256", &digest.to_string()), Property::own("log-index", &index.to_string())];
    props.extend(posture.facts.log.iter().map(|log| Property::own("log-origin", &log.origin)));
    Evidence { href: beside(&posture.facts.place_at(index, digest)), description, props }
}

/// A file of the bundle, as seen from the folder of exports.
fn beside(place: &Place) -> String {
    format!("../{place}")
}
