//! What a packet says: the figures of a month in sentences, tables and charts.
//!
//! The rule: plain words first. Whoever owns the clinic understands the first two pages; whoever audits it finds a
//! record's number on every line after them. What evidence does not say is said too.

mod activity;
mod backups;
mod citations;
mod cover;
mod exceptions;
mod findings;
mod gaps;
mod incidents;
mod inventory;
mod oversight;
mod proposed;
mod review;
mod scope;
mod summary;
mod updates;
mod verify;

use proto::time::Millis;

use super::{
    document::{Block, Document, Section},
    model::Model,
    readings::grouped,
};

/// Titles of the sections, as the manifest refers to them.
pub mod title {
    /// For the owner.
    pub const SUMMARY: &str = "Summary";
    /// What it speaks of, and what nobody should read into it.
    pub const SCOPE: &str = "Scope and what is not covered";
    /// By paragraph.
    pub const CITATIONS: &str = "Results per citation";
    /// What was waived, and who answers for it.
    pub const EXCEPTIONS: &str = "Exceptions and addressable decisions";
    /// What does not hold, and what is to be done.
    pub const FINDINGS: &str = "Findings and plan of action";
    /// Orders: who asked, who approved, what happened.
    pub const ACTIVITY: &str = "Activity";
    /// The contract, and who may use the control plane.
    pub const OVERSIGHT: &str = "Agreement and operator access";
    /// Backups and proven restores.
    pub const BACKUPS: &str = "Backups and restore drills";
    /// What runs, and when it changed.
    pub const UPDATES: &str = "Patches and updates";
    /// Boxes, keys, and what other hosts could reach.
    pub const INVENTORY: &str = "Inventory and listening sockets";
    /// Faults, and how long they lasted.
    pub const INCIDENTS: &str = "Incidents";
    /// What is missing, and why.
    pub const GAPS: &str = "Gaps in evidence";
    /// To be signed.
    pub const REVIEW: &str = "Reviewer's acknowledgement";
    /// For the auditor.
    pub const VERIFY: &str = "How to verify";
    /// Records by number.
    pub const INDEX: &str = "Annex: index of records";
}

/// Puts a packet together.
#[must_use]
pub(super) fn document(model: &Model<'_>) -> Document {
    let facts = model.facts;
    let tenant = cover::tenant(model);
    Document {
        title: "Evidence packet".into(),
        subject: facts.said.clinic.clone(),
        period: model.month.title(),
        reference: format!("Packet {} of tenant {tenant}", model.month),
        issuer: model.runner().to_owned(),
        cover: cover::rows(model),
        notice:
            "Every statement in this packet stands on signed records that the appliances in the clinic wrote \
                 themselves. Nobody has to be trusted for it: the last pages say how to check them."
                .into(),
        sections: vec![
            section(title::SUMMARY, summary::blocks(model)),
            // The owner's page ends here.
            Section { title: title::SCOPE, new_page: true, blocks: scope::blocks(model) },
            section(title::CITATIONS, citations::blocks(model)),
            section(title::EXCEPTIONS, exceptions::blocks(model)),
            section(title::FINDINGS, findings::blocks(model)),
            section(title::ACTIVITY, activity::blocks(model)),
            section(title::OVERSIGHT, oversight::blocks(model)),
            section(title::BACKUPS, backups::blocks(model)),
            section(title::UPDATES, updates::blocks(model)),
            section(title::INVENTORY, inventory::blocks(model)),
            section(title::INCIDENTS, incidents::blocks(model)),
            section(title::GAPS, gaps::blocks(model)),
            // What is signed stands on one page.
            Section { title: title::REVIEW, new_page: true, blocks: review::blocks(model) },
            section(title::VERIFY, verify::blocks(model)),
            section(title::INDEX, verify::index(model)),
        ],
    }
}

fn section(title: &'static str, blocks: Vec<Block>) -> Section {
    Section { title, new_page: false, blocks }
}

fn paragraph(text: &str) -> Block {
    Block::Paragraph(text.to_owned())
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

/// `92.4%`, rounded down: a limit never looks met when it is not.
fn percent(part: u64, all: u64) -> String {
    let thousandths = u128::from(part) * 1000 / u128::from(all.max(1));
    format!("{}.{}%", thousandths / 10, thousandths % 10)
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
