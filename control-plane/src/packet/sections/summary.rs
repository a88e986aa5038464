//! The owner's page: two judgements, a few numbers, what was done, and what needs somebody's attention.

use baseline::Baseline;

use super::{count, exceptions, is_partial, last_moment, oversight, title};
use crate::{
    bundle::{day, minute},
    packet::{
        document::{Block, Judgement, Tone},
        model::Model,
        readings::{duration, grouped},
    },
};

/// Most lines of a list on the owner's page.
const LINES: usize = 8;

/// The month in half a sentence, for the cover.
pub(super) fn in_short(model: &Model<'_>) -> String {
    let (actions, good) = (model.actions.len(), model.good());
    let done = match (actions, good) {
        (0, _) => "Nothing had to be done".to_owned(),
        (n, good) if n == good => format!("{}, all successful", count(n, "action")),
        (n, good) => {
            format!("{}, {} successful, {} not", count(n, "action"), grouped(good), grouped(n - good))
        }
    };
    let changed = if model.facts.faults == 0 {
        "nothing was changed afterwards"
    } else {
        "the evidence contradicts itself"
    };
    let missing =
        if model.gaps.is_empty() { "nothing is missing".to_owned() } else { count(model.gaps.len(), "gap") };
    format!("{done}; {changed}; {missing}.")
}

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let mut blocks = vec![
        Block::Paragraph(format!(
            "At {}, {} watched over what there was to watch: directories, backups and their own health. When something \
             is wrong, {} signs an order for one pre-approved procedure; the appliance checks the order by itself, \
             carries it out, measures whether the fault is gone, and writes a record that cannot be changed afterwards. \
             This packet says what came of it in {}.",
            model.facts.said.clinic,
            count(model.facts.appliances().len(), "appliance"),
            model.runner(),
            model.month.title(),
        )),
        Block::Verdicts(vec![integrity(model), completeness(model)]),
        Block::Totals(totals(model)),
        Block::Subsection("What was done".into()),
        Block::Bullets(shortened(done(model), title::ACTIVITY)),
        Block::Subsection("What needs attention".into()),
    ];
    let wants = shortened(wanting(model), title::FINDINGS);
    if wants.is_empty() {
        blocks.push(Block::Note(
            "Nothing.".into(),
            "No action failed, and no evidence is missing.".into(),
            Tone::Good,
        ));
    } else {
        blocks.push(Block::Bullets(wants));
    }
    blocks
}

/// What fits on the owner's page; where the rest stands is said.
fn shortened(mut lines: Vec<String>, section: &str) -> Vec<String> {
    if lines.len() > LINES {
        let more = lines.len() - (LINES - 1);
        lines.truncate(LINES - 1);
        lines.push(format!("And {more} more: see “{section}” and what follows it."));
    }
    lines
}

fn integrity(model: &Model<'_>) -> Judgement {
    let label = "Integrity".to_owned();
    if model.facts.faults > 0 {
        let n = usize::try_from(model.facts.faults).unwrap_or(usize::MAX);
        let reason = format!(
            "{} in the evidence. Do not rely on this packet before they are explained.",
            count(n, "contradiction")
        );
        return Judgement { label, outcome: "Fault".into(), tone: Tone::Bad, reason };
    }
    let reason = format!(
        "All {} are signed by the appliances, chained one to the next, and in the clinic's log. Nothing was changed.",
        count(model.facts.traces.len(), "record")
    );
    Judgement { label, outcome: "Sound".into(), tone: Tone::Good, reason }
}

fn completeness(model: &Model<'_>) -> Judgement {
    let label = "Completeness".to_owned();
    if model.gaps.is_empty() {
        let reason = "No record and no heartbeat is missing: each appliance answered for the whole time.";
        return Judgement { label, outcome: "Complete".into(), tone: Tone::Good, reason: reason.into() };
    }
    let reason = "Something is missing. Each gap is listed with its cause under “Gaps in evidence”.";
    Judgement { label, outcome: count(model.gaps.len(), "gap"), tone: Tone::Warn, reason: reason.into() }
}

fn totals(model: &Model<'_>) -> Vec<(String, String)> {
    let backups: u64 = model.repositories.iter().map(|r| r.backups).sum();
    let restores: u64 = model.repositories.iter().map(|r| r.restores).sum();
    let watched = model.watched_thousandths().map_or("–".to_owned(), |n| format!("{}.{}%", n / 10, n % 10));
    let resolved = model.incidents.iter().filter(|incident| incident.is_over()).count();
    let all = model.incidents.len();
    vec![
        (
            if all == 0 { "0".into() } else { format!("{} of {}", grouped(resolved), grouped(all)) },
            "incidents resolved".into(),
        ),
        (grouped(model.open().count()), "findings open".into()),
        (grouped(backups), "backups made".into()),
        (grouped(restores), "restores proven".into()),
        (watched, "of the time watched".into()),
    ]
}

fn done(model: &Model<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut kinds: std::collections::BTreeMap<&str, (usize, usize)> = std::collections::BTreeMap::new();
    for action in &model.actions {
        let (all, good) = kinds.entry(&action.title).or_default();
        *all += 1;
        *good += usize::from(action.good);
    }
    for (title, (all, good)) in kinds {
        let success =
            if all == good { "successful".to_owned() } else { format!("{good} of them successful") };
        lines.push(format!("{title}: {}, {success}.", count(all, "time")));
    }
    for repository in &model.repositories {
        if let Some((at, _, took)) = repository.last_restore {
            lines.push(format!(
                "A restore from “{}” at {} was proven on {}; it took {}.",
                repository.id,
                model.facts.name_of(repository.appliance),
                day(at),
                duration(took)
            ));
        }
    }
    let refused = model.refused.iter().filter(|refused| !refused.hold).count();
    if refused > 0 {
        lines.push(format!(
            "{} did not pass the appliance's own checks; nothing came of them.",
            count(refused, "order")
        ));
    }
    if lines.is_empty() {
        lines.push("Nothing had to be done: no fault was found that calls for a procedure.".into());
    }
    lines
}

/// What a person should look at.
fn wanting(model: &Model<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for action in model.actions.iter().filter(|action| !action.good) {
        lines.push(format!(
            "{} UTC, {}: “{}” on {} ended with “{}” (record {}).",
            minute(action.at),
            model.facts.name_of(action.appliance),
            action.title,
            action.target,
            action.result,
            action.record
        ));
    }
    for drift in model.open() {
        let control = drift.control.to_string().parse().ok().and_then(|id| Baseline::hipaa_v1().control(id));
        let title = control.map_or_else(String::new, |control| format!(" ({})", control.title));
        lines.push(format!(
            "{} on {} does not hold since {}{title}.",
            drift.control,
            model.facts.name_of(drift.appliance),
            day(drift.since.at)
        ));
    }
    lines.extend(exceptions::in_force(model));
    lines.extend(oversight::wanting(model));
    for (appliance, beat) in &model.newest {
        if beat.hold.is_some() {
            lines.push(format!(
                "{} holds all orders; somebody at the box asked for that.",
                model.facts.name_of(*appliance)
            ));
        }
        let backups = beat.watch.iter().filter(|(_, kind)| *kind == "backup");
        for (id, _) in backups {
            let proven = model
                .repositories
                .iter()
                .any(|r| r.appliance == *appliance && r.id == id.as_str() && r.restores > 0);
            if !proven {
                lines.push(format!(
                    "No restore from “{id}” at {} was proven this month.",
                    model.facts.name_of(*appliance)
                ));
            }
        }
    }
    match model.gaps.len() {
        0 => {}
        n => lines.push(format!("{} in the evidence: see “{}”.", count(n, "gap"), title::GAPS)),
    }
    if model.facts.faults > 0 {
        lines.push("The evidence contradicts itself. Have the bundle verified before anything else.".into());
    }
    if is_partial(model) {
        lines.push(format!("The month was not over: this packet ends on {}.", day(last_moment(model))));
    }
    lines
}
