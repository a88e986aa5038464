//! What of the disks is encrypted: device mapper, by `/sys`.

use std::fs;

use baseline::{Blind, Reading, probe::Path};

use super::{Look, count, mount, read, reading};

/// How many layers of device mapper are looked through.
const LAYERS: u8 = 4;

/// A volume of dm-crypt, as `/sys/dev/block/N:M/dm` has it.
struct Crypt {
    /// Of the LUKS header; 0: plain dm-crypt.
    version: i64,
    /// Of the mapping.
    name: String,
}

/// How the file system that holds the path is encrypted.
pub(super) fn luks(look: &Look<'_>, path: &Path) -> Result<Reading, Blind> {
    let mounts = mount::all(look)?;
    let found = mount::holding(&mounts, path.as_str()).ok_or(Blind::Unreadable)?;
    let device = match found.device.strip_prefix("0:") {
        None => format!("/sys/dev/block/{}", found.device),
        // Of btrfs and the like the device is told by its name only; others are on no disk that is known.
        Some(_) => by_name(look, &found.source)?,
    };
    let Some(crypt) = crypt(look, &device, LAYERS)? else {
        return Ok(reading([("encrypted", false.into()), ("key_bits", 0.into()), ("version", 0.into())]));
    };
    let status = read::program(look, &look.programs.cryptsetup, &["status", "--", &crypt.name])?;
    let bits = key_bits(&status).ok_or(Blind::Unreadable)?;
    Ok(reading([("encrypted", true.into()), ("key_bits", bits.into()), ("version", crypt.version.into())]))
}

/// Swap areas, and how many of them lie on a disk in the clear.
pub(super) fn swap(look: &Look<'_>) -> Result<Reading, Blind> {
    let areas = swap_areas(look)?;
    let clear = areas.iter().filter(|(_, is_clear)| *is_clear).count();
    Ok(reading([("areas", count(areas.len())), ("unencrypted", count(clear))]))
}

/// Swap areas by path, and whether each lies on a disk in the clear.
pub(super) fn swap_areas(look: &Look<'_>) -> Result<Vec<(String, bool)>, Blind> {
    let text = look.text("/proc/swaps")?;
    let mut areas = Vec::new();
    for line in text.lines().skip(1) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [path, kind, ..] = columns[..] else { return Err(Blind::Unreadable) };
        let device = match kind {
            // Memory, compressed.
            _ if path.starts_with("/dev/zram") => None,
            "partition" => Some(by_name(look, path)?),
            _ => {
                let mounts = mount::all(look)?;
                let found = mount::holding(&mounts, path).ok_or(Blind::Unreadable)?;
                Some(format!("/sys/dev/block/{}", found.device))
            }
        };
        let is_clear = match device {
            None => false,
            // What cannot be told is not taken for encrypted.
            Some(device) => !matches!(crypt(look, &device, LAYERS), Ok(Some(_))),
        };
        areas.push((path.to_owned(), is_clear));
    }
    Ok(areas)
}

/// `/dev/mapper/data` is a link to `/dev/dm-0`.
fn by_name(look: &Look<'_>, source: &str) -> Result<String, Blind> {
    if !source.starts_with("/dev/") {
        return Err(Blind::Unreadable);
    }
    let target = fs::read_link(look.path(source)).ok();
    let target = target.as_deref().and_then(|path| path.file_name()?.to_str());
    let name = target.or_else(|| source.rsplit('/').next()).unwrap_or_default();
    Ok(format!("/sys/class/block/{name}"))
}

/// The first layer of dm-crypt below a device. Where it lies on several, all of them must be encrypted.
fn crypt(look: &Look<'_>, device: &str, layers: u8) -> Result<Option<Crypt>, Blind> {
    let uuid = match look.text(&format!("{device}/dm/uuid")) {
        Ok(uuid) => uuid,
        Err(Blind::Absent) if look.path(device).exists() => return Ok(None),
        Err(blind) => return Err(blind),
    };
    if let Some(rest) = uuid.trim().strip_prefix("CRYPT-") {
        let version = match rest.split('-').next() {
            Some("LUKS2") => 2,
            Some("LUKS1") => 1,
            _ => 0,
        };
        let name = look.text(&format!("{device}/dm/name"))?.trim().to_owned();
        return Ok(Some(Crypt { version, name }));
    }
    if layers == 0 {
        return Err(Blind::Unreadable);
    }
    let below = fs::read_dir(look.path(&format!("{device}/slaves"))).map_err(|error| read::why(&error))?;
    let mut found = None;
    for entry in below {
        let name = entry.map_err(|error| read::why(&error))?.file_name();
        match crypt(look, &format!("/sys/class/block/{}", name.to_string_lossy()), layers - 1)? {
            None => return Ok(None),
            some => found = some,
        }
    }
    Ok(found)
}

/// `keysize: 512 bits`, of cryptsetup(8).
fn key_bits(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.trim().strip_prefix("keysize:"))?;
    line.trim().strip_suffix("bits")?.trim().parse().ok()
}
