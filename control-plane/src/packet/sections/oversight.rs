//! Agreement and access: the contract between clinic and service provider, and who of the provider may use the control plane.

use proto::act::{Deed, NO_END};

use super::{count, last_moment, paragraph, row, title};
use crate::{
    bundle::{day, minute},
    mode::Mode,
    packet::{
        document::{Block, Table, Tone},
        model::{Model, REVIEW_EVERY},
        readings::{duration, grouped},
    },
};

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let mut blocks = vec![Block::Subsection("Business associate agreement".into())];
    match model.mode {
        Mode::Reseller => blocks.push(paragraph(
            "45 CFR 164.308(b)(1) lets a clinic have a service provider handle electronic protected health information once it \
             has satisfactory assurances, in a written contract; 164.314(a) and 164.504(e) say what has to be in it. The \
             service provider recorded which document that is. What the document says, and whether it suffices, is for people \
             to judge.",
        )),
        Mode::Direct => blocks.push(Block::Paragraph(format!(
            "45 CFR 164.308(b)(1) asks for a written contract where somebody else handles electronic protected health \
             information for a clinic. By the control plane's own signed word, {} ran it itself at the end of the period, for \
             its own clinics: by that there was no service provider to have a contract with. Whether {} and the clinic are one \
             organization under the rule is for people to judge.",
            model.runner(),
            model.runner()
        ))),
    }
    blocks.extend(modes(model));
    blocks.extend(agreement(model).filter(|_| model.differs().needs_agreement || model.agreement.is_some()));
    blocks.extend([
        Block::Subsection("Who had access at the end of the period".into()),
        Block::Paragraph(format!(
            "Each name is one key to the control plane: whoever holds it can do there what operators do. Whoever administers the \
             {}'s server can do the same; who that is, this evidence does not know.",
            model.differs().runner
        )),
        Block::Records(holders(model)),
        Block::Subsection("Review of access".into()),
    ]);
    blocks.extend(review(model));
    blocks
}

/// The contract in half a line, for the cover.
pub(super) fn in_short(model: &Model<'_>) -> String {
    match &model.agreement {
        None if !model.differs().needs_agreement => {
            "none is needed: there is no service provider to have one with".to_owned()
        }
        None => "no business associate agreement is recorded".to_owned(),
        Some(agreement) => {
            let stands = if agreement.holds_at(last_moment(model)) { "in force" } else { "not in force" };
            format!("business associate agreement of {}, {stands}", day(agreement.signed))
        }
    }
}

/// What of this needs somebody's attention.
pub(super) fn wanting(model: &Model<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    match &model.agreement {
        _ if !model.differs().needs_agreement => {}
        None => lines.push(format!(
            "No business associate agreement with {} is recorded (45 CFR 164.308(b)(1), 164.504(e)): see “{}”.",
            model.runner(),
            title::OVERSIGHT
        )),
        Some(agreement) if !agreement.holds_at(last_moment(model)) => lines.push(format!(
            "The business associate agreement of {} was not in force any more (45 CFR 164.308(b)(1), 164.504(e)).",
            day(agreement.signed)
        )),
        Some(_) => {}
    }
    if is_overdue(model) {
        lines.push(format!(
            "Who has access to the control plane was not gone through for more than {} (45 CFR 164.308(a)(4)(ii)(C)).",
            duration(REVIEW_EVERY)
        ));
    }
    if let Some(previous) = model.facts.previous.as_ref().filter(|_| model.acknowledged.is_empty()) {
        lines.push(format!(
            "Nobody has acknowledged the packet of {} (45 CFR 164.308(a)(1)(ii)(D)).",
            previous.month.title()
        ));
    }
    lines
}

fn agreement(model: &Model<'_>) -> Option<Block> {
    let Some(agreement) = &model.agreement else {
        return Some(Block::Note(
            "Not recorded.".into(),
            format!(
                "No agreement between {} and {} was recorded by the end of the period. That is a finding under 45 CFR \
                 164.308(b)(1) and 164.504(e), unless the clinic can show one itself.",
                model.facts.said.clinic,
                model.runner()
            ),
            Tone::Bad,
        ));
    };
    let status = if agreement.holds_at(last_moment(model)) { "In force" } else { "Not in force" };
    let until = agreement.until.map_or_else(|| "until somebody ends it".to_owned(), day);
    let fact = agreement.fact;
    Some(Block::Facts(
        vec![
            row("Status", format!("{status} at the end of the period")),
            row("Signed", day(agreement.signed)),
            row("Last day", until),
            row("Document", format!("SHA-256 {}", agreement.document)),
            row(
                "Recorded",
                format!("{} UTC by {}, record {}", minute(fact.act.at), fact.act.by, grouped(fact.index)),
            ),
        ],
        false,
    ))
}

/// Who said when that who runs it is another, in this period.
fn modes(model: &Model<'_>) -> Option<Block> {
    let said = model.acts.iter().filter(|fact| matches!(fact.act.deed, Deed::Mode { .. }));
    let rows: Vec<_> = said
        .map(|fact| {
            let value =
                format!("{}, by {}, record {}", fact.act.deed.sentence(), fact.act.by, grouped(fact.index));
            row(&format!("{} UTC", minute(fact.act.at)), value)
        })
        .collect();
    (!rows.is_empty()).then_some(Block::Facts(rows, false))
}

fn holders(model: &Model<'_>) -> Table {
    let rows = model.access.holders.iter().map(|holder| {
        let until = if holder.until == NO_END { "taken back".to_owned() } else { minute(holder.until) };
        vec![holder.name.to_owned(), minute(holder.since.0), until, grouped(holder.since.1)]
    });
    let empty = "Nobody had access by a name of their own.";
    Table {
        numbers: vec![3],
        widths: vec![40, 25, 25, 10],
        ..Table::new(&["Name", "Since (UTC)", "Until at most (UTC)", "Record"], rows.collect(), empty)
    }
}

fn is_overdue(model: &Model<'_>) -> bool {
    model.access.due.is_some_and(|due| due < model.period.to)
}

fn review(model: &Model<'_>) -> Vec<Block> {
    let mut blocks = vec![Block::Paragraph(format!(
        "45 CFR 164.308(a)(4)(ii)(C) asks that a right of access be reviewed, and 164.308(a)(3)(ii)(C) that it end with the \
         work. This product asks for a review every {}: a person decides on each name, to keep it or to end it. No rule sets \
         that time.",
        duration(REVIEW_EVERY)
    ))];
    let Some(due) = model.access.due else {
        blocks
            .push(paragraph("There was nothing to review: nobody was given access by a name of their own."));
        return blocks;
    };
    let mut rows = vec![row(
        "Last review",
        match model.access.reviewed {
            None => "none in this log".to_owned(),
            Some((fact, kept, ended)) => format!(
                "{} UTC by {}, record {}: {} kept, {} ended",
                minute(fact.act.at),
                fact.act.by,
                grouped(fact.index),
                count(kept, "name"),
                grouped(ended)
            ),
        },
    )];
    let late = if is_overdue(model) { " (overdue)" } else { "" };
    rows.push(row("Next due", format!("{}{late}", day(due))));
    blocks.push(Block::Facts(rows, false));
    blocks
}
