//! The SSH daemon's effective configuration, and its host keys: `sshd -T`, once.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use baseline::{Blind, Kind, Looked, Probe, Reading, ReadingValue, Word, probe::Keyword};

use super::{Look, count, looked, read, reading};

/// The least bits of an RSA key that is not weak (NIST SP 800-57 part 1: 128 bits of security).
const RSA_BITS: usize = 3072;

/// Answers every probe of the daemon.
pub(super) fn look(look: &Look<'_>, probes: &[&Probe], seen: &mut BTreeMap<Probe, Looked>) {
    let asked = |probe: &&&Probe| matches!(probe, Probe::Sshd { .. } | Probe::HostKeys {});
    if !probes.iter().any(|probe| asked(&probe)) {
        return;
    }
    let said = read::program(look, &look.programs.sshd, &["-T"]);
    for probe in probes.iter().filter(asked) {
        let found = said.as_ref().map_err(|blind| *blind).and_then(|text| match probe {
            Probe::Sshd { keyword } => value(text, *keyword, probe),
            _ => host_keys(look, text),
        });
        seen.insert((*probe).clone(), looked(found));
    }
}

fn value(text: &str, keyword: Keyword, probe: &Probe) -> Result<Reading, Blind> {
    let found = text.lines().find_map(|line| line.strip_prefix(keyword.as_str())?.strip_prefix(' '));
    let found = found.ok_or(Blind::Unreadable)?.trim();
    let value: ReadingValue = match (keyword, probe.fields()) {
        (Keyword::AuthorizedKeysFile | Keyword::TrustedUserCaKeys, _) => {
            let word = if found == "none" { "none" } else { "set" };
            Word::of(word, &[word]).into()
        }
        (_, [(_, Kind::Number), ..]) => found.parse::<i64>().map_err(|_| Blind::Unreadable)?.into(),
        (_, [(_, Kind::Words(known)), ..]) => found.split(',').map(|word| Word::of(word, known)).collect(),
        (_, [(_, Kind::Word(known)), ..]) => Word::of(found, known).into(),
        _ => return Err(Blind::Unreadable),
    };
    Ok(reading([("value", value)]))
}

/// Those that are there; a key's kind is read from its public half.
fn host_keys(look: &Look<'_>, text: &str) -> Result<Reading, Blind> {
    let (mut keys, mut exposed, mut weak, mut unknown) = (0, 0, 0, false);
    for path in text.lines().filter_map(|line| line.strip_prefix("hostkey ")) {
        let Ok(found) = fs::metadata(look.path(path.trim())) else { continue };
        keys += 1;
        exposed += usize::from(found.mode() & 0o077 != 0 || found.uid() != 0);
        match look.text(&format!("{}.pub", path.trim())).ok().and_then(|public| is_weak(&public)) {
            Some(is_weak) => weak += usize::from(is_weak),
            None => unknown = true,
        }
    }
    let mut reading = reading([("exposed", count(exposed)), ("keys", count(keys))]);
    if !unknown {
        reading.insert("weak".into(), count(weak));
    }
    Ok(reading)
}

/// RFC 4253, 6.6: a blob of strings, each with its length before it; of `ssh-rsa`, the third is the modulus.
fn is_weak(public: &str) -> Option<bool> {
    let mut words = public.split_whitespace();
    match (words.next()?, words.next()?) {
        ("ssh-ed25519" | "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521", _) => {
            Some(false)
        }
        ("ssh-rsa", blob) => {
            let blob = STANDARD.decode(blob).ok()?;
            let (_, rest) = string(&blob)?;
            let (_, rest) = string(rest)?;
            let (modulus, _) = string(rest)?;
            let bytes = modulus.iter().skip_while(|byte| **byte == 0).count();
            Some(bytes * 8 < RSA_BITS)
        }
        _ => Some(true),
    }
}

fn string(blob: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}
