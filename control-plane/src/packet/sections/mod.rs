//! What a packet says: the figures of a month in sentences and tables.
//!
//! The rule: plain words first. Whoever owns the clinic understands the first two pages; whoever audits it finds a
//! record's number on every line after them.

mod activity;
mod appliances;
mod audit;
mod baseline;
mod summary;

use proto::time::Millis;

use super::{
    document::{Document, Section},
    model::Model,
    readings::grouped,
};
use crate::bundle::{day, minute};

/// Titles of the sections, as the manifest refers to them.
pub mod title {
    /// For the owner.
    pub const SUMMARY: &str = "Summary";
    /// Orders carried out.
    pub const ACTIVITY: &str = "Activity";
    /// Orders refused, and orders held.
    pub const REFUSALS: &str = "Refused and held orders";
    /// Backups and proven restores.
    pub const BACKUPS: &str = "Backups and restores";
    /// Boxes, heartbeats, gaps.
    pub const APPLIANCES: &str = "Appliances and gaps";
    /// Scans, and what has drifted.
    pub const BASELINE: &str = "Baseline";
    /// By paragraph.
    pub const CITATIONS: &str = "HIPAA Security Rule";
    /// What nobody should read into it.
    pub const NOT_COVERED: &str = "What this packet does not cover";
    /// To be signed.
    pub const REVIEW: &str = "Reviewer's acknowledgement";
    /// For the auditor.
    pub const VERIFY: &str = "How to check this packet";
    /// Records by number.
    pub const INDEX: &str = "Index of records";
}

/// Puts a packet together.
#[must_use]
pub(super) fn document(model: &Model<'_>) -> Document {
    let facts = model.facts;
    let tenant = facts.tenant.map_or_else(|| "unknown".to_owned(), |tenant| tenant.to_string());
    Document {
        title: "Evidence packet".into(),
        subject: facts.said.clinic.clone(),
        period: model.month.title(),
        reference: format!("Packet {} of tenant {tenant}", model.month),
        issuer: facts.organization.clone(),
        cover: cover(model, tenant),
        notice:
            "Every statement in this packet stands on signed records that the appliances in the clinic wrote \
                 themselves. Nobody has to be trusted for it: the last pages say how to check them."
                .into(),
        sections: vec![
            section(title::SUMMARY, summary::blocks(model)),
            // The owner's page ends here.
            Section { title: title::ACTIVITY, new_page: true, blocks: activity::done(model) },
            section(title::REFUSALS, activity::refused(model)),
            section(title::BACKUPS, activity::backups(model)),
            section(title::APPLIANCES, appliances::blocks(model)),
            section(title::BASELINE, baseline::blocks(model)),
            section(title::CITATIONS, audit::citations(model)),
            section(title::NOT_COVERED, audit::not_covered(model)),
            section(title::REVIEW, audit::review(model)),
            section(title::VERIFY, audit::verify(model)),
            section(title::INDEX, audit::index(model)),
        ],
    }
}

fn section(title: &'static str, blocks: Vec<super::document::Block>) -> Section {
    Section { title, new_page: false, blocks }
}

fn cover(model: &Model<'_>, tenant: String) -> Vec<(String, String)> {
    let facts = model.facts;
    let mut rows = vec![
        row("Clinic", facts.said.clinic.clone()),
        row("Period", format!("{} to {}", day(model.period.from), day(last_moment(model)))),
        row("In short", summary::in_short(model)),
        row("Appliances", appliances::names(model)),
        row("Service provider", facts.organization.clone()),
        row("Tenant", tenant),
    ];
    let versions: Vec<String> = facts.catalogues.iter().map(u64::to_string).collect();
    rows.push(row(
        "Runbook catalogue",
        if versions.is_empty() { "none".into() } else { format!("version {}", versions.join(", ")) },
    ));
    if let Some(log) = &facts.log {
        rows.push(row("Evidence log", format!("{}, {} records", log.origin, grouped(log.size))));
    }
    rows.push(row("Made", format!("{} UTC by {}", minute(facts.said.made_at), facts.said.generator)));
    rows
}

/// The last moment of the period, so that a whole month does not seem to reach into the next.
fn last_moment(model: &Model<'_>) -> Millis {
    Millis(model.period.to.0.saturating_sub(1))
}

/// A month that is still going on.
fn is_partial(model: &Model<'_>) -> bool {
    model.period.to < model.month.end()
}

fn row(label: &str, value: String) -> (String, String) {
    (label.to_owned(), value)
}

/// `1 backup`, `1,204 backups`.
fn count(n: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// Record numbers in one cell: the first dozen, and how many more.
fn named(records: &[u64]) -> String {
    const NAMED: usize = 12;
    let mut named: Vec<String> = records.iter().take(NAMED).map(u64::to_string).collect();
    if records.len() > NAMED {
        named.push(format!("{} more", records.len() - NAMED));
    }
    named.join(", ")
}
