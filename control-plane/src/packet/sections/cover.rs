//! The cover: which clinic, which month, which log, and by which versions it was judged.

use baseline::Baseline;

use super::{last_moment, oversight, row, summary};
use crate::{
    bundle::{day, minute, verify::Witnesses},
    mode::Mode,
    packet::{model::Model, readings::grouped},
};

pub(super) fn tenant(model: &Model<'_>) -> String {
    model.facts.tenant.map_or_else(|| "unknown".to_owned(), |tenant| tenant.to_string())
}

pub(super) fn rows(model: &Model<'_>) -> Vec<(String, String)> {
    let facts = model.facts;
    let baseline = Baseline::hipaa_v1();
    let mut rows = vec![
        row("Clinic", facts.said.clinic.clone()),
        row("Period", format!("{} to {}", day(model.period.from), day(last_moment(model)))),
        row("In short", summary::in_short(model)),
        row("Appliances", appliances(model)),
        run_by(model),
        row("Agreement", oversight::in_short(model)),
        row("Tenant", tenant(model)),
        row("Baseline", format!("{}, version {} of {}", baseline.title, baseline.version, baseline.name)),
    ];
    let versions: Vec<String> = facts.catalogues.iter().map(u64::to_string).collect();
    rows.push(row(
        "Runbook catalogue",
        if versions.is_empty() { "none".into() } else { format!("version {}", versions.join(", ")) },
    ));
    if let Some(log) = &facts.log {
        rows.push(row("Evidence log", log.origin.clone()));
        rows.push(row(
            "Records",
            match model.range() {
                Some((first, last)) => {
                    format!("numbers {} to {} of the log are of this period", grouped(first), grouped(last))
                }
                None => "none of this period".to_owned(),
            },
        ));
        rows.push(row("Checkpoint", format!("{} records, root {}", grouped(log.size), log.root.to_base64())));
        rows.push(row("Outside witnesses", witnesses(&facts.witnesses, model.differs().runner)));
    }
    if let Some(previous) = &facts.previous {
        let digest = previous.pdf_sha256.unwrap_or(previous.markdown_sha256);
        rows.push(row("Follows", format!("the packet of {}, SHA-256 {digest}", previous.month.title())));
    }
    if !facts.said.brand.contact.is_empty() {
        rows.push(row("Questions to", facts.said.brand.contact.clone()));
    }
    rows.push(row("Made", format!("{} UTC by {}", minute(facts.said.made_at), facts.said.generator)));
    rows
}

/// Who runs the control plane.
fn run_by(model: &Model<'_>) -> (String, String) {
    let name = model.facts.said.brand.whole_name(&model.facts.organization);
    match model.mode {
        Mode::Reseller => row("Service provider", name),
        Mode::Direct => row("Run by", format!("{name}, for its own clinics: there is no service provider")),
    }
}

/// Who outside has seen how much of the log, and by when.
fn witnesses(seen: &Witnesses, runner: &str) -> String {
    let (of, quorum) = (seen.all.len(), seen.quorum);
    match seen.enough().and_then(|(size, count)| Some((size, count, seen.by(size)?))) {
        _ if of == 0 => format!("none: nobody outside the {runner} has seen this log"),
        None => format!("fewer than {quorum} of {of} have seen this log"),
        Some((size, count, by)) => {
            format!(
                "{count} of {of} have seen {} records by {} UTC; {quorum} must",
                grouped(size),
                minute(by)
            )
        }
    }
}

/// All names.
fn appliances(model: &Model<'_>) -> String {
    let names: Vec<String> = model.facts.appliances().into_iter().map(|id| model.facts.name_of(id)).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
