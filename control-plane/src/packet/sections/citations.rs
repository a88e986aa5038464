//! Results per citation: every paragraph that this product can support, how it stands and by what; and those that the
//! clinic must supply.

use std::collections::BTreeMap;

use baseline::map::EvidenceKind;
use proto::evidence::Standing as Found;

use super::{count, named, paragraph};
use crate::{
    bundle::{
        date,
        findings::{CitationResult, CitationStanding as Standing, Counted},
    },
    packet::{
        document::{Block, Table, Tone},
        model::Model,
    },
};

const TONES: [(&str, Tone); 4] = [
    ("Supported", Tone::Good),
    ("Finding", Tone::Bad),
    ("Excepted", Tone::Warn),
    ("Not fully seen", Tone::Warn),
];

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Supported => "Supported",
        Standing::Finding => "Finding",
        Standing::Excepted => "Excepted",
        Standing::NotEvaluable => "Not fully seen",
        Standing::NotTested => "Not tested",
        Standing::NotHere => "Not by this product",
    }
}

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let (here, clinics): (Vec<_>, Vec<_>) =
        model.citations.iter().partition(|result| result.standing != Standing::NotHere);
    let mut by: BTreeMap<Standing, usize> = BTreeMap::new();
    for result in &here {
        *by.entry(result.standing).or_default() += 1;
    }
    let counts: Vec<String> =
        by.iter().map(|(standing, n)| format!("{n} {}", word(*standing).to_lowercase())).collect();
    let rows = here.iter().map(|result| {
        vec![
            result.row.paragraph.citation.to_owned(),
            format!("{} ({})", result.row.paragraph.name, result.row.paragraph.designation),
            word(result.standing).to_owned(),
            checks(&result.seen),
            result.last.map_or_else(|| "–".to_owned(), |last| date(last.at)),
            if result.records.is_empty() { "–".to_owned() } else { named(&result.records[..]) },
        ]
    });
    let columns = ["45 CFR", "Paragraph", "Status", "What was checked", "Last tested", "Records"];
    vec![
        Block::Paragraph(format!(
            "Each line is a paragraph of the Security Rule that evidence of this product can support, with the newest scan of \
             every control that serves it, the actions of runbooks that cite it, and other records: {}.",
            if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
        )),
        paragraph(
            "“Supported”: something was looked at and nothing speaks against it. “Finding”: a control that serves it has \
             drifted, or the newest action for it did not succeed. “Excepted”: what does not hold is waived until a day. “Not \
             fully seen”: a control could not be looked at. Never is one of these a statement that the clinic complies.",
        ),
        Block::Records(Table {
            widths: vec![23, 32, 15, 27, 15, 20],
            tones: TONES.to_vec(),
            ..Table::new(&columns, rows.collect(), "There is no such paragraph.")
        }),
        Block::Subsection("Not by this product".into()),
        paragraph(
            "These paragraphs the clinic must show itself. Nothing in this packet speaks for or against them.",
        ),
        Block::Records(not_here(&clinics)),
    ]
}

fn not_here(clinics: &[&CitationResult]) -> Table {
    let rows = clinics.iter().map(|result| {
        let paragraph = result.row.paragraph;
        vec![
            paragraph.citation.to_owned(),
            format!("{} ({})", paragraph.name, paragraph.designation),
            result.row.reason.clone(),
        ]
    });
    let columns = ["45 CFR", "Paragraph", "Not by this product, because"];
    Table { widths: vec![22, 48, 58], ..Table::new(&columns, rows.collect(), "There is no such paragraph.") }
}

fn checks(seen: &Counted) -> String {
    let mut lines = Vec::new();
    let all: u64 = seen.controls.values().sum();
    if all > 0 {
        let of = |found| seen.controls.get(&found).copied().unwrap_or(0);
        let mut line = format!("{} of {all} controls hold", of(Found::Compliant));
        for (found, what) in
            [(Found::Drifted, "drifted"), (Found::Excepted, "excepted"), (Found::NotEvaluable, "not seen")]
        {
            if of(found) > 0 {
                line.push_str(&format!(", {} {what}", of(found)));
            }
        }
        lines.push(line);
    }
    if seen.actions > 0 {
        let bad = seen.actions - seen.good;
        let success = if bad == 0 { "all successful".to_owned() } else { format!("{bad} not successful") };
        lines.push(format!("{}, {success}", counted(seen.actions, "action")));
    }
    for (kind, n) in &seen.records {
        lines.push(counted(*n, noun(*kind)));
    }
    if seen.packet {
        lines.push("this packet".to_owned());
    }
    if lines.is_empty() { "nothing in this period".to_owned() } else { lines.join("\n") }
}

fn counted(n: u64, what: &str) -> String {
    count(usize::try_from(n).unwrap_or(usize::MAX), what)
}

fn noun(kind: EvidenceKind) -> &'static str {
    match kind {
        EvidenceKind::Approval => "approval",
        EvidenceKind::DriftScan => "scan",
        EvidenceKind::Enrolment => "enrolment",
        EvidenceKind::Execution => "action",
        EvidenceKind::Heartbeat => "heartbeat",
        EvidenceKind::Hold => "hold",
        EvidenceKind::Packet => "packet",
        EvidenceKind::Refusal => "refusal",
    }
}
