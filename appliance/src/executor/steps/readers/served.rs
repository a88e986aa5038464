//! What lies on the network, where the executor has none: the same program looks, for one conversation, in a unit of its
//! own that may do nothing else.
//!
//! The rule: what comes back are numbers under names that were expected, within their bounds, or it counts as unreadable.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proto::{evidence::Readings, time::Millis};

use super::readings;
use crate::{
    certificate,
    config::{APPROVED, Certificate, Service, WatchEntry},
    executor::steps::{Limit, spawn},
};

/// The most that is read: a few numbers.
const MOST: usize = 1024;
/// What the looking process may not do: everything but open a connection.
const SHUT_IN: &[&str] = &[
    "DynamicUser=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "ProtectProc=invisible",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectClock=yes",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces=yes",
    "MemoryDenyWriteExecute=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "MemoryMax=64M",
    "TasksMax=16",
    "RuntimeMaxSec=70",
];

/// What starts the second process, and what that goes by.
pub(in crate::executor::steps) struct Second<'a> {
    pub(in crate::executor::steps) systemd_run: &'a Path,
    pub(in crate::executor::steps) config: &'a Path,
    /// The watch list that an approver signed, if there is one: its user cannot get at it, so systemd hands it over.
    pub(in crate::executor::steps) approved: PathBuf,
}

/// `reachable` and `took_ms`; both −1 when nobody could look.
pub(in crate::executor::steps) fn service(
    second: &Second<'_>,
    entry: &Service,
    now: Millis,
    limit: &Limit<'_>,
) -> Readings {
    let bounds = [("reachable", 0, 1), ("took_ms", 0, 3_600_000)];
    looked(second, &WatchEntry::Service(entry.clone()), now, limit, &bounds)
        .unwrap_or_else(|| readings([("reachable", -1), ("took_ms", -1)]))
}

/// As [`certificate::judge`] has it.
pub(in crate::executor::steps) fn certificate(
    second: &Second<'_>,
    entry: &Certificate,
    now: Millis,
    limit: &Limit<'_>,
) -> Readings {
    let wanted = i64::try_from(entry.wanted.as_secs()).unwrap_or(i64::MAX);
    let bounds = [
        ("left_seconds", -1, i64::MAX),
        ("wanted_seconds", wanted, wanted),
        ("chain", -1, 1),
        ("name", -1, 1),
    ];
    looked(second, &WatchEntry::Certificate(entry.clone()), now, limit, &bounds)
        .unwrap_or_else(|| certificate::judge(&[], entry, now))
}

type Bound = (&'static str, i64, i64);

fn looked(
    second: &Second<'_>,
    entry: &WatchEntry,
    now: Millis,
    limit: &Limit<'_>,
    bounds: &[Bound],
) -> Option<Readings> {
    let own = fs::read_link("/proc/self/exe").ok()?;
    let mut command = spawn::command(second.systemd_run);
    command.args(["--pipe", "--wait", "--quiet", "--collect", "--service-type=exec"]);
    command.args(SHUT_IN.iter().map(|property| format!("--property={property}")));
    if second.approved.exists() {
        command.arg(format!("--property=LoadCredential={APPROVED}:{}", second.approved.display()));
    }
    command.arg("--").arg(own).arg("--config").arg(second.config);
    command.args(["probe", "--at", &now.to_string(), "--", entry.id().as_str()]);
    let mut said = Vec::new();
    let mut keep = |line: &[u8]| {
        if said.len() <= MOST {
            said.extend_from_slice(&line[..line.len().min(MOST + 1)]);
        }
    };
    let ended = spawn::run(command, limit, &mut keep).ok()?;
    if !ended.is_good() {
        let why = String::from_utf8_lossy(&ended.output);
        tracing::warn!(watch = %entry.id(), "nobody could look at {}: {}", entry.id(), why.trim());
        return None;
    }
    read(&said, bounds)
}

/// Exactly the expected names, each within its bounds.
fn read(said: &[u8], bounds: &[Bound]) -> Option<Readings> {
    let found: Readings = serde_json::from_slice(said.get(..MOST.min(said.len()))?).ok()?;
    let within =
        |(name, least, most): &Bound| found.get(*name).is_some_and(|value| (least..=most).contains(&value));
    (said.len() <= MOST && found.len() == bounds.len() && bounds.iter().all(within)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_expected_is_read() {
        let bounds = [("reachable", 0, 1), ("took_ms", 0, 100)];
        let good = read(br#"{"reachable":1,"took_ms":7}"#, &bounds).unwrap();
        assert_eq!((good["reachable"], good["took_ms"]), (1, 7));
        for strange in [
            &br#"{"reachable":2,"took_ms":7}"#[..],
            br#"{"reachable":1,"took_ms":101}"#,
            br#"{"reachable":1}"#,
            br#"{"reachable":1,"took_ms":7,"more":0}"#,
            br#"{"reachable":true,"took_ms":7}"#,
            br#"{"reachable":1,"took_ms":7} and more"#,
            b"",
        ] {
            assert_eq!(read(strange, &bounds), None, "{}", String::from_utf8_lossy(strange));
        }
        let long = format!("{}{}", r#"{"reachable":1,"took_ms":7}"#, " ".repeat(MOST));
        assert_eq!(read(long.as_bytes(), &bounds), None);
    }
}
