//! What entries that are parts of the machine, or of the network, must hold to.

use super::{BadValue, Checked, absolute, bad};
use crate::config::{
    Certificate, Drive, Filesystem, Footprint, Journal, Pressure, Sensor, Service, Uplink, WatchEntry,
};

/// Checks an entry of any kind but those that are files.
pub(super) fn check(entry: &WatchEntry) -> Checked {
    let key = |field: &str| format!("watch.{}.{}.{field}", entry.kind(), entry.id());
    match entry {
        WatchEntry::Journal(entry) => journal(&key, entry),
        WatchEntry::Unit(entry) => unit(key("unit"), &entry.unit),
        WatchEntry::Filesystem(entry) => filesystem(&key, entry),
        WatchEntry::Processor(entry) | WatchEntry::Memory(entry) => pressure(&key, entry),
        WatchEntry::Drive(entry) => drive(&key, entry),
        WatchEntry::Sensor(entry) => sensor(&key, entry),
        WatchEntry::Clock(entry) => unit(key("unit"), &entry.unit),
        WatchEntry::Store(entry) => unit(key("unit"), &entry.unit),
        WatchEntry::Certificate(entry) => certificate(&key, entry),
        WatchEntry::Service(entry) => service(&key, entry),
        WatchEntry::Uplink(entry) => uplink(&key, entry),
        WatchEntry::Footprint(entry) => footprint(&key, entry),
        WatchEntry::Directory(_)
        | WatchEntry::Backup(_)
        | WatchEntry::Log(_)
        | WatchEntry::Metric(_)
        | WatchEntry::Baseline(_) => Ok(()),
    }
}

type Key<'a> = &'a dyn Fn(&str) -> String;

/// The name of a service of systemd.
pub(super) fn unit(key: String, unit: &str) -> Checked {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b":_.@\\-".contains(&b);
    let name = unit.strip_suffix(".service").unwrap_or_default();
    if name.is_empty() || name.starts_with('-') || unit.len() > 255 || !unit.bytes().all(plain) {
        let allowed = "must be the name of a systemd unit that ends in .service";
        return Err(bad(key, format!("{unit:?}"), allowed));
    }
    Ok(())
}

fn units(key: Key<'_>, field: &str, names: &[String]) -> Checked {
    names.iter().enumerate().try_for_each(|(at, name)| unit(key(&format!("{field}[{at}]")), name))
}

fn percent(key: String, value: u8, least: u8) -> Checked {
    let allowed = || bad(key, value, format!("must be {least} to 99 percent"));
    if (least..=99).contains(&value) { Ok(()) } else { Err(allowed()) }
}

fn journal(key: Key<'_>, entry: &Journal) -> Checked {
    units(key, "units", &entry.units)?;
    if entry.raise.is_empty() && entry.priority.is_none() {
        let allowed = "must name at least one pattern, or priority must be given";
        return Err(bad(key("raise"), "[]", allowed));
    }
    if entry.raise.iter().any(|text| text.is_empty() || text.len() > 200) {
        let allowed = "each pattern must have 1 to 200 bytes";
        return Err(bad(key("raise"), format!("{:?}", entry.raise), allowed));
    }
    match entry.priority {
        Some(priority) if priority > 7 => {
            Err(bad(key("priority"), priority, "must be 0 (emergency) to 7 (debug)"))
        }
        _ => Ok(()),
    }
}

fn filesystem(key: Key<'_>, entry: &Filesystem) -> Checked {
    if entry.path.as_os_str() != "/" {
        absolute(&key("path"), &entry.path)?;
    }
    percent(key("limit_percent"), entry.limit_percent, 1)?;
    percent(key("inodes_limit_percent"), entry.inodes_limit_percent, 1)?;
    if entry.keep_journal_mb == Some(0) {
        return Err(bad(key("keep_journal_mb"), 0, "must be at least 1 MiB: the journal is evidence too"));
    }
    Ok(())
}

fn pressure(key: Key<'_>, entry: &Pressure) -> Checked {
    percent(key("limit_percent"), entry.limit_percent, 1)?;
    percent(key("throttle_percent"), entry.throttle_percent, 5)?;
    units(key, "may_throttle", &entry.may_throttle)?;
    units(key, "may_restart", &entry.may_restart)
}

fn drive(key: Key<'_>, entry: &Drive) -> Checked {
    absolute(&key("device"), &entry.device)?;
    if entry.device.starts_with("/dev") {
        return Ok(());
    }
    Err(bad(key("device"), format!("{:?}", entry.device), "must be a device below /dev"))
}

fn sensor(key: Key<'_>, entry: &Sensor) -> Checked {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    if entry.chip.is_empty() || entry.chip.len() > 64 || !entry.chip.bytes().all(plain) {
        let allowed = "must be a chip's name, as /sys/class/hwmon/*/name says it";
        return Err(bad(key("chip"), format!("{:?}", entry.chip), allowed));
    }
    if !(-50..=200).contains(&entry.above_celsius) {
        return Err(bad(key("above_celsius"), entry.above_celsius, "must be -50 to 200 degrees"));
    }
    Ok(())
}

fn certificate(key: Key<'_>, entry: &Certificate) -> Checked {
    match (&entry.file, &entry.server) {
        (Some(file), None) => absolute(&key("file"), file)?,
        (None, Some(server)) => host_and_port(key("server"), server)?,
        _ => return Err(bad(key("file"), "given or not", "one of file and server must be given, not both")),
    }
    if rustls_pki_types::ServerName::try_from(entry.name.as_str()).is_err() {
        let allowed = "must be a DNS name or an IP address";
        return Err(bad(key("name"), format!("{:?}", entry.name), allowed));
    }
    absolute(&key("roots"), &entry.roots)?;
    entry.unit.as_deref().map_or(Ok(()), |name| unit(key("unit"), name))
}

fn host_and_port(key: String, text: &str) -> Checked {
    let wrong = |key| bad(key, format!("{text:?}"), "must be host:port");
    let Some((host, port)) = text.rsplit_once(':') else { return Err(wrong(key)) };
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    let good = !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok_and(|port| port != 0);
    if good { Ok(()) } else { Err(wrong(key)) }
}

fn service(key: Key<'_>, entry: &Service) -> Checked {
    let wrong = || -> BadValue {
        let allowed =
            "must be tcp://host:port, http://host:port/path, https://host:port/path or dns://server/name";
        bad(key("target"), format!("{:?}", entry.target), allowed)
    };
    let (scheme, rest) = entry.target.split_once("://").ok_or_else(wrong)?;
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let printable = entry.target.bytes().all(|b| b.is_ascii_graphic()) && entry.target.len() <= 500;
    let good = match scheme {
        "tcp" => path.is_empty() && host_and_port(String::new(), place).is_ok(),
        "http" | "https" => host_and_port(String::new(), place).is_ok(),
        "dns" => !place.is_empty() && !path.is_empty() && !path.contains('/'),
        _ => false,
    };
    if !good || !printable {
        return Err(wrong());
    }
    if entry.timeout.as_secs() > 60 {
        return Err(bad(key("timeout_seconds"), entry.timeout.as_secs_f64(), "must be at most 60"));
    }
    Ok(())
}

fn uplink(key: Key<'_>, entry: &Uplink) -> Checked {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    // IFNAMSIZ in linux/if.h, with its final zero.
    if entry.interface.is_empty() || entry.interface.len() > 15 || !entry.interface.bytes().all(plain) {
        let allowed = "must be the name of a network interface, such as enp1s0";
        return Err(bad(key("interface"), format!("{:?}", entry.interface), allowed));
    }
    unit(key("unit"), &entry.unit)
}

fn footprint(key: Key<'_>, entry: &Footprint) -> Checked {
    if entry.resident_limit_mb == 0 {
        return Err(bad(key("resident_limit_mb"), 0, "must be at least 1 MiB"));
    }
    Ok(())
}
