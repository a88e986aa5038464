//! What the kernel was started with.

use baseline::{
    Blind, Reading, ReadingValue, Word,
    probe::{HARDENING, LSMS, WEAKENING},
};

use super::{Look, reading};

/// Parameters by which a console gets a shell without a login.
const SHELLS: &[&str] =
    &["rd.break", "systemd.debug_shell", "systemd.debug-shell", "single", "rescue", "emergency", "s", "1"];

/// Parameters of the command line that harden, and that weaken.
pub(super) fn command_line(look: &Look<'_>) -> Result<Reading, Blind> {
    let text = look.text("/proc/cmdline")?;
    // What stands behind `--` is for the first program, not for the kernel.
    let words: Vec<String> =
        text.split_whitespace().take_while(|word| *word != "--").map(str::to_ascii_lowercase).collect();
    let listed = |known: &[&str]| -> Vec<Word> {
        let found = words.iter().filter(|word| known.contains(&word.as_str()));
        found.map(|word| Word::of(word, known)).collect()
    };
    let mut weakening = listed(WEAKENING);
    if words.iter().any(|word| gives_shell(word)) {
        weakening.push(Word::of("shell", WEAKENING));
    }
    Ok(reading([
        ("hardening", listed(HARDENING).into_iter().collect()),
        ("weakening", weakening.into_iter().collect()),
    ]))
}

fn gives_shell(word: &str) -> bool {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    match name {
        "init" | "rdinit" => {
            let nixos = value.starts_with("/nix/store/") && value.ends_with("/init");
            !nixos && !matches!(value, "/init" | "/sbin/init" | "/lib/systemd/systemd")
        }
        "systemd.unit" | "rd.systemd.unit" => matches!(value, "rescue.target" | "emergency.target"),
        "systemd.debug_shell" | "systemd.debug-shell" => !matches!(value, "0" | "no" | "false" | "off"),
        name => SHELLS.contains(&name) && value.is_empty(),
    }
}

/// `none [integrity] confidentiality`.
pub(super) fn lockdown(look: &Look<'_>) -> Result<Reading, Blind> {
    let text = look.text("/sys/kernel/security/lockdown")?;
    let mode = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).ok_or(Blind::Unreadable)?.0;
    Ok(reading([("mode", Word::of(mode, &["none", "integrity", "confidentiality"]).into())]))
}

/// `lockdown,capability,yama`.
pub(super) fn modules(look: &Look<'_>) -> Result<Reading, Blind> {
    let text = look.text("/sys/kernel/security/lsm")?;
    let active: ReadingValue = text.trim().split(',').map(|name| Word::of(name, LSMS)).collect();
    Ok(reading([("active", active)]))
}
