//! Exceptions: what was waived, why, what is done instead, who answers for it, and until when.

use std::collections::BTreeSet;

use baseline::{Baseline, Designation, rule};
use proto::time::Millis;

use super::{named, paragraph};
use crate::{
    bundle::{
        day,
        findings::{Source, Waiver},
    },
    packet::{document::Block, model::Model},
};

/// In the place of a text that is not in the bundle.
const UNKNOWN: &str = "not in the bundle";

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let mut blocks = vec![paragraph(
        "Where a measure is addressable, 45 CFR 164.306(d)(3) lets a clinic do without it when it writes down why, and does \
         something else that is reasonable. An exception is such a decision: for one control, with an end of at most a year. \
         While it lasts the control is reported as excepted, never as compliant.",
    )];
    if model.waivers.is_empty() {
        blocks.push(paragraph("No appliance was given an exception, and no scan counts on one."));
        return blocks;
    }
    let end = Millis(model.period.to.0.saturating_sub(1));
    for waiver in &model.waivers {
        blocks.push(Block::Subsection(heading(waiver)));
        blocks.push(Block::Facts(rows(model, waiver, end), false));
    }
    blocks
}

/// Every exception in one line, for the owner's page and for tables.
pub(super) fn in_force<'m>(model: &'m Model<'_>) -> impl Iterator<Item = String> + 'm {
    let end = Millis(model.period.to.0.saturating_sub(1));
    let in_force = model.waivers.iter().filter(move |waiver| waiver.is_in_force(end));
    in_force.map(|waiver| {
        let until = waiver.text.map_or_else(String::new, |text| format!(" until {}", day(text.expires)));
        format!("Waived{until}: {}.", heading(waiver))
    })
}

fn heading(waiver: &Waiver<'_>) -> String {
    let control = waiver.control.parse().ok().and_then(|id| Baseline::hipaa_v1().control(id));
    match control {
        Some(control) => format!("{}: {}", waiver.control, control.title),
        None => waiver.control.clone(),
    }
}

fn rows(model: &Model<'_>, waiver: &Waiver<'_>, end: Millis) -> Vec<(String, String)> {
    let text = |of: fn(&baseline::Exception) -> &str| {
        waiver.text.map_or_else(|| UNKNOWN.to_owned(), |text| of(text).to_owned())
    };
    let boxes: Vec<String> = waiver.boxes.keys().map(|id| model.facts.name_of(*id)).collect();
    let status = if waiver.is_in_force(end) { "In force" } else { "Over" };
    let approved: Vec<&str> = waiver.approvers.iter().map(String::as_str).collect();
    let signed = match (waiver.source, approved.is_empty()) {
        (Source::Image, _) => "built into the appliance's image; nobody of the charter signed it".to_owned(),
        (Source::Document, true) => "nobody".to_owned(),
        (Source::Document, false) => approved.join(", "),
    };
    let records: BTreeSet<u64> =
        waiver.boxes.values().map(|moment| moment.record).chain(waiver.scans.iter().copied()).collect();
    [
        ("Status", format!("{status} at the end of the period")),
        ("Serves", serves(waiver)),
        ("Why", text(|e| &e.reason)),
        ("Risk", text(|e| &e.risk)),
        ("Done instead", text(|e| &e.compensating)),
        ("Answers for it", text(|e| &e.approver)),
        ("Signed by", signed),
        (
            "From and until",
            waiver.text.map_or_else(
                || UNKNOWN.to_owned(),
                |text| format!("{} to {}", day(text.issued), day(text.expires)),
            ),
        ),
        ("Appliances", boxes.join(", ")),
        ("Records", named(&records.into_iter().collect::<Vec<_>>())),
    ]
    .map(|(label, value)| super::row(label, value))
    .to_vec()
}

/// The paragraphs, and how they bind: an exception from a required one is a finding by itself.
fn serves(waiver: &Waiver<'_>) -> String {
    let control = waiver.control.parse().ok().and_then(|id| Baseline::hipaa_v1().control(id));
    let Some(control) = control else { return "not a control of this baseline".to_owned() };
    let named = control.hipaa.iter().map(|citation| match rule::lookup(citation) {
        Some(paragraph) if paragraph.designation == Designation::Required => {
            format!("{} (required)", paragraph.citation)
        }
        Some(paragraph) => format!("{} ({})", paragraph.citation, paragraph.designation),
        None => rule::short(citation),
    });
    named.collect::<Vec<_>>().join(", ")
}
