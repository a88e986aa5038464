//! Inventory: the boxes, their keys, and what other hosts could reach of them.

use std::collections::BTreeMap;

use baseline::Baseline;
use proto::{
    evidence::{Body, Standing},
    ids::ApplianceId,
};

use super::{super::model::Model, paragraph, proposed};
use crate::{
    bundle::{Fact, minute},
    packet::{
        document::{Block, Table, Tone},
        readings::grouped,
    },
};

const TONES: [(&str, Tone); 4] = [
    ("Compliant", Tone::Good),
    ("Drifted", Tone::Bad),
    ("Excepted", Tone::Warn),
    ("Not evaluable", Tone::Warn),
];

pub(super) fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Compliant => TONES[0].0,
        Standing::Drifted => TONES[1].0,
        Standing::Excepted => TONES[2].0,
        Standing::NotEvaluable => TONES[3].0,
    }
}

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    vec![
        Block::Subsection("Appliances and their keys".into()),
        paragraph(
            "Each executor is one setting-up of a box; a box that was set up anew has another. Its evidence key signs every \
             record. Which machine it is (maker, model, serial number) is not in the evidence.",
        ),
        Block::Records(keys(model)),
        Block::Subsection("Listening sockets".into()),
        paragraph(
            "Control NXH-028: no other host can reach a socket of the box. The executor reads the kernel's own list of sockets \
             and counts those bound to anything but the box itself; the DHCP client's is the one exception and is counted apart.",
        ),
        Block::Records(sockets(model)),
        proposed::block(vec![(
            "Keep an inventory of technology assets and a network map, and review them every 12 months",
            "The tables here are the appliances' part of an inventory. Other computers of the clinic are not in them, and no map \
             of its network is made."
                .to_owned(),
        )]),
    ]
}

fn keys(model: &Model<'_>) -> Table {
    let enrolled: BTreeMap<_, u64> = model
        .facts
        .records
        .iter()
        .filter(|fact| matches!(fact.record.body, Body::Enrolment(_)))
        .map(|fact| (fact.record.chain.incarnation, fact.index))
        .collect();
    let rows = model.facts.executors.iter().map(|(incarnation, executor)| {
        vec![
            model.facts.name_of(executor.appliance),
            incarnation.to_string(),
            executor.evidence_key.hint(),
            executor.protection.to_string(),
            enrolled.get(incarnation).map_or_else(|| "–".to_owned(), u64::to_string),
        ]
    });
    let columns = ["Appliance", "Executor", "Evidence key", "Kept in", "Enrolled, record"];
    Table {
        mono: vec![1, 2],
        numbers: vec![4],
        ..Table::new(&columns, rows.collect(), "No appliance is enrolled.")
    }
}

fn sockets(model: &Model<'_>) -> Table {
    let rows = model.sockets.iter().map(|sockets| {
        let counts: Vec<String> = sockets
            .counts
            .iter()
            .map(|(what, n)| format!("{} {}", what.replace('_', " "), grouped(n)))
            .collect();
        vec![
            model.facts.name_of(sockets.appliance),
            grouped(sockets.looks),
            grouped(sockets.none),
            minute(sockets.newest.0),
            if counts.is_empty() { "could not be read".to_owned() } else { counts.join(", ") },
            word(sockets.standing).to_owned(),
            sockets.newest.1.to_string(),
        ]
    });
    let columns =
        ["Appliance", "Scans", "None reachable", "Newest (UTC)", "Counted then", "Status", "Record"];
    let empty = "No scan of this period looked at listening sockets.";
    Table {
        numbers: vec![1, 2, 6],
        tones: TONES.to_vec(),
        widths: vec![21, 10, 14, 19, 32, 18, 11],
        ..Table::new(&columns, rows.collect(), empty)
    }
}

/// How some controls stood at the newest scan of each box that looked at them.
pub(super) fn controls(model: &Model<'_>, ids: &[&str]) -> Table {
    let mut newest: BTreeMap<(&str, ApplianceId), (&Fact, Standing)> = BTreeMap::new();
    for fact in &model.records {
        let Body::Scan(scan) = &fact.record.body else { continue };
        for (control, found) in &scan.findings {
            let name = control.to_string();
            if let Some(id) = ids.iter().find(|id| **id == name) {
                newest.insert((id, fact.record.identity.appliance), (fact, found.standing));
            }
        }
    }
    let rows = newest.into_iter().map(|((id, appliance), (fact, standing))| {
        let control = id.parse().ok().and_then(|id| Baseline::hipaa_v1().control(id));
        vec![
            id.to_owned(),
            control.map_or_else(|| "–".to_owned(), |control| control.title.clone()),
            model.facts.name_of(appliance),
            minute(fact.record.clock.at),
            word(standing).to_owned(),
            fact.index.to_string(),
        ]
    });
    let columns = ["Control", "What must be so", "Appliance", "Newest scan (UTC)", "Status", "Record"];
    let empty = "No scan of this period looked at these controls.";
    Table {
        numbers: vec![5],
        tones: TONES.to_vec(),
        widths: vec![14, 39, 20, 26, 18, 11],
        ..Table::new(&columns, rows.collect(), empty)
    }
}
