//! Patches and updates: which versions heartbeats named, when they changed, and what is not known.

use baseline::{Area, Baseline};

use super::{inventory, paragraph, proposed};
use crate::{
    bundle::{day, minute},
    packet::{
        document::{Block, Table},
        model::Model,
    },
};

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let of_area = Baseline::hipaa_v1().controls.iter().filter(|control| control.area == Area::Updates);
    let ids: Vec<String> = of_area.map(|control| control.id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    vec![
        paragraph(
            "Every heartbeat names the version of the appliance's program, of the signed catalogue of runbooks, and of the \
             policy in force. A line ends where another version was first seen.",
        ),
        Block::Records(versions(model)),
        paragraph(
            "Other software than before is a record of its own, made once by the executor that found it: another version of \
             its program, or another operating system by the hash of its closure, which stands for every package in it.",
        ),
        Block::Records(updates(model)),
        paragraph(
            "Not known from this evidence: the versions of the operating system's packages, which weaknesses were \
             published against them and when a patch came out. Nothing is said here of how fast patches were applied. What the \
             scan does see is whether only signed software can get onto the box:",
        ),
        Block::Records(inventory::controls(model, &ids)),
        proposed::block(vec![(
            "Patch critical weaknesses within 15 calendar days",
            "The evidence does not hold when a patch became available, so nothing can be said.".to_owned(),
        )]),
    ]
}

fn updates(model: &Model<'_>) -> Table {
    let rows = model.updates.iter().map(|updated| {
        vec![
            model.facts.name_of(updated.appliance),
            minute(updated.at.0),
            updated.update.from.to_string(),
            updated.update.to.to_string(),
            updated.at.1.to_string(),
        ]
    });
    let columns = ["Appliance", "Seen (UTC)", "From", "To", "Record"];
    let empty = "No update was seen in this period.";
    Table {
        numbers: vec![4],
        widths: vec![18, 20, 27, 27, 10],
        ..Table::new(&columns, rows.collect(), empty)
    }
}

fn versions(model: &Model<'_>) -> Table {
    let rows = model.versions.iter().filter(|version| version.until >= model.period.from).map(|version| {
        let since = if version.since.0 < model.period.from {
            format!("before ({})", day(version.since.0))
        } else {
            minute(version.since.0)
        };
        vec![
            model.facts.name_of(version.appliance),
            version.program.clone(),
            version.catalogue.to_string(),
            version.policy.to_string(),
            since,
            minute(version.until),
            version.since.1.to_string(),
        ]
    });
    let columns =
        ["Appliance", "Program", "Catalogue", "Policy", "First seen (UTC)", "Newest (UTC)", "Record"];
    let empty = "No heartbeat came in this period.";
    Table {
        numbers: vec![6],
        widths: vec![24, 14, 14, 11, 27, 23, 11],
        ..Table::new(&columns, rows.collect(), empty)
    }
}
