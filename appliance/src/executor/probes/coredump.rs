//! Where memory of a crashed process goes.

use baseline::{Blind, Reading, Word};

use super::{Look, reading, setting};

/// core(5) and coredump.conf(5).
pub(super) fn read(look: &Look<'_>) -> Result<Reading, Blind> {
    let pattern = look.text("/proc/sys/kernel/core_pattern")?;
    let (handler, storage) = match handler(pattern.trim()) {
        "systemd-coredump" => {
            let settings = setting::systemd(look, "coredump.conf")?;
            let storage = settings.get("Storage").filter(|text| !text.is_empty());
            ("systemd-coredump", storage.map_or_else(|| "external".to_owned(), Clone::clone))
        }
        "discard" => ("discard", "none".to_owned()),
        other => (other, "external".to_owned()),
    };
    Ok(reading([
        ("handler", Word::of(handler, &["systemd-coredump", "discard", "file"]).into()),
        ("storage", Word::of(&storage, &["none", "external", "journal"]).into()),
    ]))
}

fn handler(pattern: &str) -> &'static str {
    let Some(command) = pattern.strip_prefix('|') else { return "file" };
    let program = command.split_whitespace().next().unwrap_or_default();
    match program.rsplit('/').next() {
        Some("systemd-coredump") => "systemd-coredump",
        Some("false" | "true") => "discard",
        _ => "program",
    }
}
