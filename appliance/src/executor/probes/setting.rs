//! Settings of `key=value` files, with all drop-ins and the programs' own defaults.

use std::{collections::BTreeMap, fs};

use baseline::{
    Blind, Reading, ReadingValue, Word,
    probe::{Key, Source},
};

use super::{Look, read, reading};

/// Where systemd's files lie, the strongest first (systemd-system.conf(5)).
const FOLDERS: &[&str] = &["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];
/// Where the EFI system partition is mounted.
const BOOT: &[&str] = &["/boot", "/efi", "/boot/efi"];

/// Its value, as effective.
pub(super) fn read(look: &Look<'_>, key: Key) -> Result<Reading, Blind> {
    let value = match key.source() {
        source @ (Source::Journald | Source::Logind) => {
            of_systemd(key, systemd(look, source.as_str())?.get(key.as_str()).map(String::as_str))?
        }
        Source::Nix => nix(key, &look.text("/etc/nix/nix.conf")?),
        Source::Loader => loader(look)?,
    };
    Ok(reading([("value", value)]))
}

/// Keys of `systemd/NAME` with its drop-ins: of several assignments the last one wins.
pub(super) fn systemd(look: &Look<'_>, name: &str) -> Result<BTreeMap<String, String>, Blind> {
    let mut texts = Vec::new();
    for folder in FOLDERS {
        match look.text(&format!("{folder}/{name}")) {
            Ok(text) => {
                texts.push(text);
                break;
            }
            Err(Blind::Absent) => {}
            Err(blind) => return Err(blind),
        }
    }
    let mut drop_ins: BTreeMap<String, String> = BTreeMap::new();
    for folder in FOLDERS {
        let folder = format!("{folder}/{name}.d");
        let entries = match fs::read_dir(look.path(&folder)) {
            Ok(entries) => entries,
            Err(error) if read::why(&error) == Blind::Absent => continue,
            Err(error) => return Err(read::why(&error)),
        };
        for entry in entries.flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            if file.ends_with(".conf") && !drop_ins.contains_key(&file) {
                let text = look.text(&format!("{folder}/{file}"))?;
                drop_ins.insert(file, text);
            }
        }
    }
    texts.extend(drop_ins.into_values());
    Ok(texts.iter().flat_map(|text| text.lines()).filter_map(pair).collect())
}

fn pair(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (key, value) = line.split_once('=').filter(|_| !line.starts_with(['#', ';']))?;
    Some((key.trim().to_owned(), value.trim().to_owned()))
}

/// An empty assignment is the default again.
fn of_systemd(key: Key, text: Option<&str>) -> Result<ReadingValue, Blind> {
    let text = text.filter(|text| !text.is_empty());
    let number = |found: Option<i64>| found.map(ReadingValue::from).ok_or(Blind::Unreadable);
    match key {
        Key::SystemMaxUse => number(text.map_or(Some(-1), bytes)),
        Key::MaxRetentionSec | Key::StopIdleSessionSec => number(text.map_or(Some(0), seconds)),
        _ => Ok(Word::of(text.unwrap_or("auto"), &["volatile", "persistent", "auto", "none"]).into()),
    }
}

/// `500M`: to the base of 1024.
fn bytes(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    digits.trim().parse::<i64>().ok()?.checked_mul(1 << shift)
}

/// `1h 30min`, `900`, `infinity` (systemd.time(7)); rounded down, but never down to "never".
fn seconds(text: &str) -> Option<i64> {
    if text == "infinity" {
        return Some(0);
    }
    let mut rest = text.trim();
    let mut micros: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let amount: i64 = rest.get(..digits)?.parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit: i64 = match &rest[..letters] {
            "us" | "usec" => 1,
            "ms" | "msec" => 1_000,
            "" | "s" | "sec" | "second" | "seconds" => 1_000_000,
            "m" | "min" | "minute" | "minutes" => 60_000_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000_000,
            "d" | "day" | "days" => 86_400_000_000,
            "w" | "week" | "weeks" => 604_800_000_000,
            "M" | "month" | "months" => 2_629_800_000_000,
            "y" | "year" | "years" => 31_557_600_000_000,
            _ => return None,
        };
        rest = rest[letters..].trim_start();
        micros = micros.checked_add(amount.checked_mul(unit)?)?;
    }
    Some(if micros == 0 { 0 } else { (micros / 1_000_000).max(1) })
}

/// nix.conf(5); what it leaves out has Nix's default.
fn nix(key: Key, text: &str) -> ReadingValue {
    let mut sigs = true;
    let mut trusted: Vec<&str> = vec!["root"];
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default()) {
        let Some((name, value)) = line.split_once('=') else { continue };
        match name.trim() {
            "require-sigs" => sigs = value.trim() == "true",
            "trusted-users" => trusted = value.split_whitespace().collect(),
            "extra-trusted-users" => trusted.extend(value.split_whitespace()),
            _ => {}
        }
    }
    if key == Key::RequireSigs {
        return sigs.into();
    }
    super::count(trusted.iter().filter(|user| **user != "root").count())
}

/// systemd-boot's `editor`; without it, the editor is on (loader.conf(5)).
fn loader(look: &Look<'_>) -> Result<ReadingValue, Blind> {
    let mut found = Err(Blind::Absent);
    for folder in BOOT {
        found = look.text(&format!("{folder}/loader/loader.conf"));
        if found != Err(Blind::Absent) {
            break;
        }
    }
    let text = found?;
    let said = text.lines().rev().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("editor")).then(|| words.next().unwrap_or_default())
    });
    let word = match said {
        None | Some("yes" | "y" | "true" | "t" | "on" | "1") => "yes",
        Some("no" | "n" | "false" | "f" | "off" | "0") => "no",
        Some(_) => return Err(Blind::Unreadable),
    };
    Ok(Word::of(word, &[word]).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_of_systemd() {
        for (text, expected) in [
            ("900", Some(900)),
            ("15min", Some(900)),
            ("1h 30min", Some(5400)),
            ("infinity", Some(0)),
            ("0", Some(0)),
            ("1ms", Some(1)),
            ("soon", None),
            ("1 fortnight", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        for (text, expected) in
            [("500M", Some(500 << 20)), ("10", Some(10)), ("1G", Some(1 << 30)), ("1X", None), ("M", None)]
        {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn what_nix_conf_leaves_out_has_nixs_default() {
        assert_eq!(nix(Key::RequireSigs, ""), true.into());
        assert_eq!(nix(Key::RequireSigs, "require-sigs = false # for now\n"), false.into());
        assert_eq!(nix(Key::TrustedUsers, ""), 0.into());
        assert_eq!(
            nix(Key::TrustedUsers, "trusted-users = root miller\nextra-trusted-users = @wheel\n"),
            2.into()
        );
    }
}
