//! Incidents: what was wrong, when it was opened, how long it had been there, and how long until it was measured to be gone.

use std::collections::BTreeMap;

use proto::act::End;

use super::{count, named, paragraph};
use crate::{
    bundle::minute,
    packet::{
        document::{Block, Chart, Drawing, Table, Tone},
        model::{Detected, Incident, Model},
        readings::duration,
    },
};

const TONES: [(&str, Tone); 4] = [
    ("Resolved", Tone::Good),
    ("Gone by itself", Tone::Good),
    ("Escalated", Tone::Warn),
    ("Not resolved", Tone::Bad),
];

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let mut blocks = vec![paragraph(
        "An incident is here when an order was about it, and so a signed record of an appliance, or when the control plane \
         signed how it ended. It counts as resolved when the appliance measured that the fault was gone, or when the control \
         plane saw it go away by itself; as escalated when a person was told. When a fault began, evidence tells in two cases: drift began between two scans, and for a \
         standing order the executor had watched the fault itself. For all others the time to detect is not known.",
    )];
    if !model.incidents.is_empty() {
        blocks.push(Block::Chart(by_kind(&model.incidents)));
    }
    blocks.push(Block::Records(table(model)));
    blocks
}

/// A kind in words: `directory over limit`.
fn words(kind: &str) -> String {
    kind.replace(['.', '-'], " ")
}

fn word(incident: &Incident) -> &'static str {
    match (incident.resolved, incident.end) {
        (Some(_), _) | (None, Some(End::Resolved)) => "Resolved",
        (None, Some(End::Withdrawn)) => "Gone by itself",
        (None, Some(End::Escalated)) => "Escalated",
        (None, None) => "Not resolved",
    }
}

fn by_kind(incidents: &[Incident]) -> Chart {
    let mut kinds: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for incident in incidents {
        let counts = kinds.entry(&incident.kind).or_default();
        counts[usize::from(!incident.is_over())] += 1;
    }
    let mut bars: Vec<(String, [u64; 2])> =
        kinds.into_iter().map(|(kind, counts)| (words(kind), counts)).collect();
    bars.sort_by_key(|(_, counts)| std::cmp::Reverse(counts[0] + counts[1]));
    let open = incidents.iter().filter(|incident| !incident.is_over()).count();
    let most = bars.first().map_or("", |(kind, _)| kind.as_str());
    let ended = if open == 0 { "all were resolved".to_owned() } else { format!("{open} not resolved") };
    let words = format!(
        "{} of {}; {ended}. The most frequent: {most}.",
        count(incidents.len(), "incident"),
        count(bars.len(), "kind")
    );
    Chart {
        title: "Incidents by kind".into(),
        words,
        drawing: Drawing::Bars { kinds: ["Resolved", "Not resolved"], bars },
    }
}

fn table(model: &Model<'_>) -> Table {
    let rows = model.incidents.iter().map(|incident| {
        let what = if incident.target.is_empty() {
            words(&incident.kind)
        } else {
            format!("{}: {}", words(&incident.kind), incident.target)
        };
        let detected = match incident.detected {
            Detected::Unknown => "not known".to_owned(),
            Detected::After(held) => format!("seen for {}", duration(held)),
            Detected::Within(most) => format!("at most {}", duration(most)),
        };
        vec![
            incident.opened.map_or_else(|| "not known".to_owned(), minute),
            model.facts.name_of(incident.appliance),
            what,
            detected,
            incident.took().map_or_else(|| "–".to_owned(), duration),
            word(incident).to_owned(),
            named(&incident.records),
        ]
    });
    let columns = ["Opened (UTC)", "Appliance", "What", "To detect", "To resolve", "Status", "Records"];
    let empty = "No order was about an incident in this period, and none ended.";
    Table {
        tones: TONES.to_vec(),
        widths: vec![23, 18, 29, 16, 14, 19, 13],
        ..Table::new(&columns, rows.collect(), empty)
    }
}
