//! Backups, and restores that were tried out.

use std::time::Duration;

use super::{inventory, proposed};
use crate::{
    bundle::minute,
    packet::{
        document::{Block, Table},
        model::Model,
        readings::{duration, grouped},
    },
};

/// Backups, and restores that were tried out.
/// Every watched repository has a fresh backup; a restore from each has been proven lately.
const CONTROLS: [&str; 2] = ["NXH-042", "NXH-043"];

pub(super) fn blocks(model: &Model<'_>) -> Vec<Block> {
    let never = || "none this month".to_owned();
    let rows = model.repositories.iter().map(|repository| {
        vec![
            model.facts.name_of(repository.appliance),
            repository.id.clone(),
            grouped(repository.backups),
            repository
                .last_backup
                .map_or_else(never, |(at, record)| format!("{}\nrecord {record}", minute(at))),
            grouped(repository.restores),
            repository.last_restore.map_or_else(never, |(at, record, took)| {
                format!("{}\nrecord {record}, {}", minute(at), duration(took))
            }),
            grouped(repository.failures),
        ]
    });
    let columns = [
        "Appliance",
        "Repository",
        "Backups",
        "Newest backup (UTC)",
        "Restores",
        "Newest proven restore (UTC)",
        "Failed",
    ];
    let empty = "No order was about a backup in this period.";
    let mut blocks = vec![
        Block::Paragraph(
            "A restore counts as proven when files were brought back from the backup into scratch space and their \
             SHA-256 was the same as in the backup. Backups that run by themselves, without an order, are seen only by \
             their age: the controls below."
                .into(),
        ),
        Block::Records(Table {
            numbers: vec![2, 4, 6],
            widths: vec![17, 14, 11, 26, 11, 26, 9],
            ..Table::new(&columns, rows.collect(), empty)
        }),
        Block::Records(inventory::controls(model, &CONTROLS)),
    ];
    blocks.push(proposed::block(vec![restore(model), age(model)]));
    blocks
}

/// Proposed: restore within 72 hours. A drill brings back a sample, so its time is no proof for a whole system.
fn restore(model: &Model<'_>) -> (&'static str, String) {
    let longest = model.repositories.iter().filter_map(|repository| Some(repository.last_restore?.2)).max();
    let says = match longest {
        Some(longest) => format!(
            "The longest of the newest restore drills took {}. A drill brings back a sample; how long a whole system would \
             take, it does not show.",
            duration(longest)
        ),
        None => "No restore was tried out in this period, so nothing can be said.".to_owned(),
    };
    ("Restore critical systems within 72 hours", says)
}

/// Proposed: copies no older than 48 hours.
fn age(model: &Model<'_>) -> (&'static str, String) {
    let says = match model.repositories.iter().filter_map(|repository| repository.oldest).max() {
        Some(oldest) if oldest <= Duration::from_secs(48 * 3600) => format!(
            "Whenever an order measured it, the newest backup was at most {} old. Between orders it was not measured.",
            duration(oldest)
        ),
        Some(oldest) => format!("When an order measured it, a newest backup was {} old.", duration(oldest)),
        None => "No order measured the age of a backup in this period, so nothing can be said.".to_owned(),
    };
    ("Backup copies no older than 48 hours", says)
}
