//! What a configuration must hold to beyond its types: absolute paths, sane limits, and nothing watched that the box
//! itself lives on.

mod caches;
mod machine;
mod secrets;

use std::path::{Component, Path, PathBuf};

use proto::ids::WatchId;

use super::{Backup, Config, ControlPlane, Directory, Forward, Log, Metric, Repository, WatchEntry};

/// A value that must not be.
pub(super) struct BadValue {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) allowed: String,
}

/// The most entries of the watch list: every heartbeat names them all.
const WATCH_MAX: usize = 256;
/// The most patterns of one log.
const RAISE_MAX: usize = 100;

/// Longest path of a Unix socket.
const SOCKET_PATH_MAX: usize = 107;

type Checked = Result<(), BadValue>;

fn bad(key: impl Into<String>, value: impl ToString, allowed: impl Into<String>) -> BadValue {
    BadValue { key: key.into(), value: value.to_string(), allowed: allowed.into() }
}

pub(super) fn check(config: &Config) -> Checked {
    address(&config.control_plane.address)?;
    proxy(&config.control_plane)?;
    for (key, path) in own_paths(config) {
        absolute(key, path)?;
    }
    socket(&config.paths.socket)?;
    sizes(config)?;
    if config.watch.len() > WATCH_MAX {
        return Err(bad(
            "watch",
            format!("{} entries", config.watch.len()),
            format!("must be at most {WATCH_MAX}"),
        ));
    }
    for entry in config.watch.values() {
        machine::check(entry)?;
        match entry {
            WatchEntry::Directory(entry) => directory(entry, config)?,
            WatchEntry::Filesystem(entry) => caches::check(entry, config)?,
            WatchEntry::Backup(entry) => backup(entry)?,
            WatchEntry::Log(entry) => log(entry)?,
            WatchEntry::Metric(entry) => metric(entry)?,
            _ => {}
        }
    }
    secrets::check(config)
}

fn own_paths(config: &Config) -> [(&'static str, &PathBuf); 6] {
    [
        ("trust.organization_keys", &config.trust.organization_keys),
        ("trust.ca", &config.trust.ca),
        ("paths.state", &config.paths.state),
        ("paths.socket", &config.paths.socket),
        ("paths.hold", &config.paths.hold),
        ("paths.exceptions", &config.paths.exceptions),
    ]
}

fn address(address: &str) -> Checked {
    if is_place(address, "https://") {
        return Ok(());
    }
    let allowed = "must be https://host:port and nothing after it";
    Err(bad("control_plane.address", format!("{address:?}"), allowed))
}

fn proxy(config: &ControlPlane) -> Checked {
    let (key, file) = ("control_plane.proxy", "control_plane.proxy_credentials");
    match (&config.proxy, &config.proxy_credentials) {
        (Some(proxy), _) if !is_place(proxy, "http://") => {
            let allowed = "must be http://host:port and nothing else; user and password go into the file \
                           control_plane.proxy_credentials";
            Err(bad(key, format!("{proxy:?}"), allowed))
        }
        (None, Some(path)) => {
            Err(bad(file, format!("{path:?}"), "must not be given without control_plane.proxy"))
        }
        (Some(_), Some(path)) => absolute(file, path),
        (_, None) => Ok(()),
    }
}

/// Scheme, host and port, and nothing else.
fn is_place(text: &str, scheme: &str) -> bool {
    let Some((host, port)) = text.strip_prefix(scheme).and_then(|rest| rest.rsplit_once(':')) else {
        return false;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// Absolute, and without `.` and `..`: what stands there is what is meant.
fn absolute(key: &str, path: &Path) -> Checked {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let same = path.components().collect::<PathBuf>().as_os_str() == path.as_os_str();
    if path.is_absolute() && plain && same && path.parent().is_some() {
        return Ok(());
    }
    Err(bad(
        key,
        format!("{path:?}"),
        "must be an absolute path below /, without ., .., doubled or trailing slashes",
    ))
}

/// sun_path in linux/un.h, with its final zero.
fn socket(path: &Path) -> Checked {
    let bytes = path.as_os_str().len();
    if bytes <= SOCKET_PATH_MAX {
        return Ok(());
    }
    let allowed = format!("must have at most {SOCKET_PATH_MAX} bytes, has {bytes}");
    Err(bad("paths.socket", format!("{path:?}"), allowed))
}

fn sizes(config: &Config) -> Checked {
    let (agent, executor) = (&config.agent, &config.executor);
    for (key, value, least) in [
        ("agent.outbox_max_mb", agent.outbox_max_mb, 2),
        // Without room of its own, evidence would never leave the executor.
        ("agent.evidence_reserve_mb", agent.evidence_reserve_mb, 1),
        ("executor.evidence_max_mb", executor.evidence_max_mb, 1),
    ] {
        if !(least..=1_048_576).contains(&value) {
            return Err(bad(key, value, format!("must be {least} to 1048576 MiB")));
        }
    }
    if agent.evidence_reserve_mb >= agent.outbox_max_mb {
        let allowed = format!("must be less than agent.outbox_max_mb, which is {}", agent.outbox_max_mb);
        return Err(bad("agent.evidence_reserve_mb", agent.evidence_reserve_mb, allowed));
    }
    if agent.hold.as_millis() > u128::from(proto::sync::HOLD_MAX_MS) {
        return Err(bad("agent.hold_seconds", agent.hold.as_secs_f64(), "must be at most 60"));
    }
    if let Some(key) = &executor.hold_key {
        absolute("executor.hold_key.device", &key.device)?;
        // KEY_MAX of linux/input-event-codes.h.
        if !(1..=767).contains(&key.code) {
            return Err(bad("executor.hold_key.code", key.code, "must be 1 to 767; a power key has 116"));
        }
    }
    if config.limits.orders_per_hour == 0 {
        return Err(bad(
            "limits.orders_per_hour",
            0,
            "must be at least 1; to stop all orders, create the file paths.hold",
        ));
    }
    Ok(())
}

fn directory(entry: &Directory, config: &Config) -> Checked {
    let key = |field: &str| format!("watch.directory.{}.{field}", entry.id);
    absolute(&key("path"), &entry.path)?;
    if !(1..=i64::MAX as u64).contains(&entry.limit_bytes) {
        return Err(bad(key("limit_bytes"), entry.limit_bytes, "must be 1 to 9223372036854775807 bytes"));
    }
    // Old files are removed from it: it must not hold anything that has to stay.
    let overlaps = |path: &Path| path.starts_with(&entry.path) || entry.path.starts_with(path);
    match kept(config, &entry.id).into_iter().find(|(_, path)| overlaps(path)) {
        None => Ok(()),
        Some((other, path)) => {
            let allowed =
                format!("old files are removed from it, so it must lie apart from {other} = {path:?}");
            Err(bad(key("path"), format!("{:?}", entry.path), allowed))
        }
    }
}

/// What has to stay whatever is removed by way of the entry `by`: what the appliance lives on, repositories and their
/// passwords, and what another entry keeps within its own limit.
fn kept<'c>(config: &'c Config, by: &WatchId) -> Vec<(String, &'c Path)> {
    let mut kept: Vec<(String, &Path)> =
        own_paths(config).into_iter().map(|(key, path)| (key.to_owned(), path.as_path())).collect();
    kept.push(("the configuration".to_owned(), &config.file));
    for other in config.watch.values().filter(|other| other.id() != by) {
        match other {
            WatchEntry::Backup(backup) => {
                if let Repository::Local(path) = &backup.repository {
                    kept.push((format!("watch.backup.{}.repository", backup.id), path));
                }
                if let Some(path) = &backup.password_file {
                    kept.push((format!("watch.backup.{}.password_file", backup.id), path));
                }
            }
            WatchEntry::Directory(other) => {
                kept.push((format!("watch.directory.{}.path", other.id), &other.path));
            }
            _ => {}
        }
    }
    kept
}

fn backup(entry: &Backup) -> Checked {
    let key = |field: &str| format!("watch.backup.{}.{field}", entry.id);
    if let Some(path) = &entry.password_file {
        absolute(&key("password_file"), path)?;
    }
    for (at, source) in entry.sources.iter().enumerate() {
        absolute(&key(&format!("sources[{at}]")), source)?;
    }
    if let Some(unit) = &entry.unit {
        machine::unit(key("unit"), unit)?;
    }
    match (&entry.repository, &entry.unit) {
        (Repository::Local(path), _) => absolute(&key("repository"), path)?,
        (Repository::Remote(location), None) => {
            let allowed =
                "must be an absolute path, or have a unit that makes the backup: the executor has no network";
            return Err(bad(key("repository"), format!("{location:?}"), allowed));
        }
        (Repository::Remote(location), Some(_)) => {
            for (field, every, why) in [
                ("restore_every_seconds", entry.restore_every, "restore from it"),
                ("check_every_seconds", entry.check_every, "check it"),
            ] {
                if let Some(every) = every {
                    let allowed = format!("must not be given: the executor cannot reach {location} to {why}");
                    return Err(bad(key(field), every.as_secs_f64(), allowed));
                }
            }
            return Ok(());
        }
    }
    if entry.password_file.is_none() {
        return Err(bad(key("password_file"), "nothing", "must be given for a repository on this machine"));
    }
    if entry.unit.is_none() && entry.sources.is_empty() {
        return Err(bad(key("sources"), "[]", "must name at least one path to back up"));
    }
    Ok(())
}

fn log(entry: &Log) -> Checked {
    let key = |field: &str| format!("watch.log.{}.{field}", entry.id);
    absolute(&key("path"), &entry.path)?;
    let idle = entry.raise.is_empty() && entry.forward != Forward::All;
    let wrong = |text: &String| text.is_empty() || text.len() > 200;
    if idle || entry.raise.len() > RAISE_MAX || entry.raise.iter().any(wrong) {
        let allowed = "must be 1 to 100 substrings of 1 to 200 bytes; none only where forward = \"all\"";
        return Err(bad(key("raise"), format!("{:?}", entry.raise), allowed));
    }
    Ok(())
}

fn metric(entry: &Metric) -> Checked {
    if (0..=100).contains(&entry.above) {
        return Ok(());
    }
    Err(bad(format!("watch.metric.{}.above", entry.id), entry.above, "must be 0 to 100 percent"))
}
