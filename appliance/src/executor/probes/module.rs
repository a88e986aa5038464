//! A kernel module: whether it is loaded, and whether it can be.

use std::{collections::BTreeMap, fs};

use baseline::{Blind, Reading, probe::ModuleName};

use super::{Look, read, reading};

/// Where modprobe.d(5) looks; a file of the same name in an earlier one hides a later one's.
const FOLDERS: &[&str] = &[
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
];

/// `blocked`: its `install` command is one that only fails.
pub(super) fn read(look: &Look<'_>, name: &ModuleName) -> Result<Reading, Blind> {
    let loaded = match look.text("/proc/modules") {
        Ok(text) => text.lines().any(|line| line.split(' ').next() == Some(name.as_str())),
        // A kernel without modules.
        Err(Blind::Absent) => false,
        Err(blind) => return Err(blind),
    };
    let built_in = look.path(&format!("/sys/module/{name}")).is_dir();
    let blocked = files(look)?.iter().any(|text| is_blocked(text, name.as_str()));
    Ok(reading([("blocked", blocked.into()), ("loaded", (loaded || built_in).into())]))
}

fn files(look: &Look<'_>) -> Result<Vec<String>, Blind> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for folder in FOLDERS {
        let entries = match fs::read_dir(look.path(folder)) {
            Ok(entries) => entries,
            Err(error) if read::why(&error) == Blind::Absent => continue,
            Err(error) => return Err(read::why(&error)),
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".conf") && !found.contains_key(&name) {
                let text = look.text(&format!("{folder}/{name}"))?;
                found.insert(name, text);
            }
        }
    }
    Ok(found.into_values().collect())
}

fn is_blocked(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["install", module, command] = words[..] else { return false };
        module.replace('-', "_") == name && matches!(command.rsplit('/').next(), Some("false" | "true"))
    })
}
