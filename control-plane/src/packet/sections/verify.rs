//! For the auditor: how to check it without trusting anyone, and every record's digest.

use super::{
    super::{
        document::{Block, Table, Tone},
        model::Model,
        readings::grouped,
    },
    count, paragraph, row, title,
};
use crate::bundle::{day, minute, verify::openssl_command};

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let mut blocks = vec![
        paragraph(
            "This packet comes with a bundle of files. With the bundle and the organization's public keys, which you \
             should have from another source than the bundle, one command checks every signature, every chain and the \
             log, and makes this packet again to compare it byte for byte. It needs no network and no server. Another makes the \
             packet again by itself:",
        ),
        Block::Facts(
            vec![
                row("Check", "control-plane evidence verify --trust organization.keys.json BUNDLE".into()),
                row("Make again", "control-plane packet build --from BUNDLE --out FOLDER".into()),
            ],
            true,
        ),
        Block::Bullets(vec![
            "Exit code 0: everything is proven and nothing is missing.".into(),
            "Exit code 1: something was changed, or was never right; the file and the record are named."
                .into(),
            "Exit code 3: nothing was found changed, but something is missing, or no keys were given.".into(),
        ]),
    ];
    if let Some(log) = &model.facts.log {
        blocks.push(Block::Subsection("Checkpoint".into()));
        blocks.push(paragraph(
            "The log's head, as signed when this packet was made. Each appliance keeps the newest head it has seen; a \
             log that was rewritten could not match it. Compare it with what the appliance shows, or with what a witness signed.",
        ));
        blocks.push(Block::Code(
            format!("{}\n{}\n{}", log.origin, log.size, log.root.to_base64()),
            "The checkpoint: the log's name, how many records it has, and their root.".into(),
        ));
    }
    blocks.push(Block::Subsection("Outside witnesses".into()));
    blocks.extend(witnesses(model));
    blocks.extend(stamps(model));
    blocks.push(Block::Subsection("The packet before this one".into()));
    blocks.extend(before(model));
    blocks.push(Block::Note(
        "Left to trust.".into(),
        "That the appliance in the clinic is the one whose key is listed here (compare with what it shows), that its \
         clock was about right, and that the public keys you check with are the organization's."
            .into(),
        Tone::Plain,
    ));
    blocks
}

fn witnesses(model: &Model<'_>) -> Vec<Block> {
    let seen = &model.facts.witnesses;
    if seen.all.is_empty() {
        return vec![Block::Paragraph(format!(
            "The organization's charter names none: nobody outside the {} has seen this log, and only the appliances \
             would notice if somebody were shown another one.",
            model.differs().runner
        ))];
    }
    let rows = seen.all.iter().map(|one| {
        let size = one.size.map_or_else(|| "none".to_owned(), grouped);
        vec![one.witness.clone(), size, one.at.map_or_else(|| "–".to_owned(), minute), one.problem.clone()]
    });
    let table = Table::new(&["Witness", "Records", "Seen by (UTC)", "Remark"], rows.collect(), "None.");
    vec![
        Block::Paragraph(format!(
            "A witness is run by somebody else. It signs the heads of this log, with the time by its own clock, as long as each \
             continues the one before, so the log cannot be shown in two versions. Their keys, and that at least {} of {} must \
             have signed, stand in the organization's charter; “log/policy” says the same to other verifiers of C2SP \
             transparency logs.",
            seen.quorum,
            seen.all.len()
        )),
        Block::Records(Table { numbers: vec![1], widths: vec![36, 12, 20, 32], ..table }),
    ]
}

/// How somebody else's program says the same; only where there are any.
fn stamps(model: &Model<'_>) -> Vec<Block> {
    let Some(newest) = model.facts.stamps.last() else { return Vec::new() };
    vec![
        Block::Subsection("Timestamps".into()),
        Block::Paragraph(format!(
            "The bundle holds {} of an outside authority (RFC 3161) on heads of this log; the newest says that {} records were \
             there by {} UTC. They count under the authority's own certificate, which you should have from another source \
             than the bundle: give it with --tsa, or ask OpenSSL in the bundle's folder.",
            count(model.facts.stamps.len(), "timestamp"),
            grouped(newest.size),
            minute(newest.at)
        )),
        Block::Facts(vec![row("Check", openssl_command(newest.size))], true),
    ]
}

fn before(model: &Model<'_>) -> Vec<Block> {
    let Some(previous) = &model.facts.previous else {
        return vec![paragraph(
            "None is named: this is the first packet of this log, or the one before was not kept.",
        )];
    };
    let mut rows = vec![
        row("Month", previous.month.to_string()),
        row("SHA-256 of packet.md", previous.markdown_sha256.to_string()),
    ];
    rows.extend(previous.pdf_sha256.map(|digest| row("SHA-256 of packet.pdf", digest.to_string())));
    rows.extend([
        row("Records then", previous.size.to_string()),
        row("Root then", previous.head().root.to_base64()),
    ]);
    vec![
        Block::Paragraph(format!(
            "This packet follows the one of {}, made {}. Whoever kept that one can compare its SHA-256. The verifier checks that \
             the log of then is the beginning of the log of now.",
            previous.month.title(),
            day(previous.made_at)
        )),
        Block::Facts(rows, true),
    ]
}

/// Every record of the period but heartbeats, by its digest.
pub(super) fn index(model: &Model<'_>) -> Vec<Block> {
    let rows = model
        .index()
        .into_iter()
        .map(|(record, at, kind, digest)| vec![grouped(record), minute(at), kind, digest.to_string()]);
    let columns = ["Record", "When (UTC)", "Kind", "SHA-256"];
    let table = Table::new(&columns, rows.collect(), "Only heartbeats were recorded in this period.");
    let beats: u64 = model.watches.iter().map(|watch| watch.heartbeats).sum();
    vec![
        Block::Paragraph(format!(
            "Records of the period by their number in the log; the file in “evidence” carries number and SHA-256 in its \
             name. The bundle has {} of the period too, counted under “{}”.",
            count(usize::try_from(beats).unwrap_or(usize::MAX), "heartbeat"),
            title::GAPS
        )),
        Block::Records(Table { numbers: vec![0], mono: vec![3], widths: vec![10, 20, 19, 74], ..table }),
    ]
}
