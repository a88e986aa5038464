//! For the auditor: paragraphs and what supports them, what is not covered, how to check, and every record's digest.

use baseline::rule;

use super::{
    super::{
        document::{Block, Table, Tone},
        model::Model,
        readings::grouped,
    },
    named, row, title,
};
use crate::bundle::minute;

/// Paragraphs of the Security Rule that the month's actions support.
pub(super) fn citations(model: &Model<'_>) -> Vec<Block> {
    let rows = model.citations.iter().map(|citation| {
        let (name, designation) = rule::lookup(&citation.paragraph)
            .map_or(("–".to_owned(), "–".to_owned()), |found| {
                (found.name.to_owned(), found.designation.to_string())
            });
        vec![
            citation.paragraph.clone(),
            name,
            designation,
            grouped(citation.actions),
            grouped(citation.good),
            named(&citation.records),
        ]
    });
    let columns = ["45 CFR", "Paragraph", "Designation", "Actions", "Successful", "Records"];
    let empty = "No action of this period cites a paragraph.";
    vec![
        Block::Paragraph(
            "The signed runbook of each action says which paragraphs it serves. A record supports a paragraph; whether \
             the clinic complies with it is for people to judge."
                .into(),
        ),
        Block::Records(Table {
            numbers: vec![3, 4],
            widths: vec![23, 34, 15, 10, 13, 28],
            ..Table::new(&columns, rows.collect(), empty)
        }),
    ]
}

/// What nobody should read into the packet.
pub(super) fn not_covered(model: &Model<'_>) -> Vec<Block> {
    let mut lines = vec![
        "Computers that no appliance watches, and whatever is not in the table of what each watches.".to_owned(),
        "What happened before an appliance's first record.".into(),
        "Faults that people handled without an order, and orders that never reached an appliance.".into(),
        "Hardening and drift of the appliances themselves: no such checks are in the evidence yet.".into(),
        "Risk analysis, training, sanctions, contracts with business associates, doors and locks: the clinic's own to show."
            .into(),
        "The contents of files and backups. Records hold no patient data; names of files never leave the clinic.".into(),
    ];
    if model.facts.said.appliances.is_empty() {
        lines.push("What the clinic is called: the service provider's word.".into());
    } else {
        lines.push("What the clinic and its appliances are called: the service provider's word.".into());
    }
    vec![Block::Bullets(lines)]
}

/// To be signed by whoever reviews it.
pub(super) fn review(model: &Model<'_>) -> Vec<Block> {
    vec![
        Block::Paragraph(format!(
            "45 CFR 164.308(a)(1)(ii)(D) asks for a regular review of records of information system activity. \
             I have reviewed this packet for {}.",
            model.month.title()
        )),
        Block::Facts(
            ["Name", "Role", "Date", "Signature"].map(|label| row(label, "\u{a0}\n\u{a0}".into())).to_vec(),
            false,
        ),
    ]
}

/// How to check it without trusting anyone.
pub(super) fn verify(model: &Model<'_>) -> Vec<Block> {
    let mut blocks = vec![
        Block::Paragraph(
            "This packet comes with a bundle of files. With the bundle and the organization's public keys, which you \
             should have from another source than the bundle, one command checks every signature, every chain and the \
             log, and makes this packet again to compare it byte for byte. It needs no network and no server:"
                .into(),
        ),
        Block::Facts(vec![row("Command", "control-plane evidence verify --trust organization.keys.json BUNDLE".into())], true),
        Block::Bullets(vec![
            "Exit code 0: everything is proven and nothing is missing.".into(),
            "Exit code 1: something was changed, or was never right; the file and the record are named.".into(),
            "Exit code 3: nothing was found changed, but something is missing, or no keys were given.".into(),
        ]),
    ];
    if let Some(log) = &model.facts.log {
        blocks.push(Block::Paragraph(
            "The log's head, as signed when this packet was made. Each appliance keeps the newest head it has seen; a \
             log that was rewritten could not match it."
                .into(),
        ));
        blocks.push(Block::Facts(
            vec![
                row("Log", log.origin.clone()),
                row("Records", log.size.to_string()),
                row("Root", log.root.to_base64()),
            ],
            true,
        ));
    }
    blocks.push(Block::Note(
        "Left to trust.".into(),
        "That the appliance in the clinic is the one whose key is listed here (compare with what it shows), that its \
         clock was about right, and that the public keys you check with are the organization's."
            .into(),
        Tone::Plain,
    ));
    blocks
}

/// Every record of the period but heartbeats, by its digest.
pub(super) fn index(model: &Model<'_>) -> Vec<Block> {
    let rows = model.index().map(|(record, at, kind, digest)| {
        vec![grouped(record), minute(at), kind.to_owned(), digest.to_string()]
    });
    let columns = ["Record", "When (UTC)", "Kind", "SHA-256"];
    let table = Table::new(&columns, rows.collect(), "Only heartbeats were recorded in this period.");
    let beats: u64 = model.watches.iter().map(|watch| watch.heartbeats).sum();
    vec![
        Block::Paragraph(format!(
            "Records of the period by their number in the log; the file in “evidence” carries number and SHA-256 in its \
             name. {} heartbeats, counted under {}, are in the bundle too.",
            grouped(beats),
            title::APPLIANCES
        )),
        Block::Records(Table { numbers: vec![0], mono: vec![3], ..table }),
    ]
}
