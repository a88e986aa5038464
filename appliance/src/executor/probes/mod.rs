//! The closed set of read-only readers: one for every [`baseline::Probe`], on the machine as process 1 sees it.
//!
//! The rule: they look and change nothing, they read bounded amounts within a deadline, and what they cannot see is
//! [`Blind`], never "fine". What several probes read is read once: units in one question, `sshd -T` once.
//!
//! ```text
//!  files, mounts, sockets   /proc/1/root, /proc/1/mountinfo, /proc/1/net: an executor in namespaces of its own sees the
//!                           machine, not itself
//!  network's own settings   packet filter, audit, net.* : only from within the machine's own network, so process 1 is
//!                           asked to run this program's `look` there ([`outside`])
//! ```

mod audit;
mod backups;
mod boot;
mod chrony;
mod coredump;
mod disk;
mod file;
mod firewall;
mod module;
mod mount;
mod outside;
mod read;
mod reapply;
mod setting;
mod sockets;
mod sshd;
mod sysctl;
mod unit;
mod users;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use baseline::{Blind, Looked, Probe, Reading, ReadingValue};

use super::steps::{Limit, Programs};

pub(super) use self::{
    backups::Backups,
    outside::answer,
    reapply::{Reapplied, Reapply, can_reapply},
};

/// The machine, and how it is looked at.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    /// Where `/proc` is found.
    pub(super) root: &'a Path,
    /// What is run.
    pub(super) programs: &'a Programs,
    /// For how long.
    pub(super) limit: &'a Limit<'a>,
    /// The repositories of the watch list, as they were last measured.
    pub(super) backups: &'a [Backups],
}

impl Look<'_> {
    /// Looks at all of them.
    pub(super) fn at_all<'p>(&self, probes: impl IntoIterator<Item = &'p Probe>) -> BTreeMap<Probe, Looked> {
        let probes: Vec<&Probe> = probes.into_iter().collect();
        let mut seen = BTreeMap::new();
        unit::look(self, &probes, &mut seen);
        sshd::look(self, &probes, &mut seen);
        users::look(self, &probes, &mut seen);
        chrony::look(self, &probes, &mut seen);
        outside::look(self, &probes, &mut seen);
        for probe in probes {
            if !seen.contains_key(probe) {
                seen.insert(probe.clone(), looked(self.at_one(probe)));
            }
        }
        seen
    }

    /// Looks at one that shares its look with no other.
    fn at_one(&self, probe: &Probe) -> Result<Reading, Blind> {
        match probe {
            Probe::Sysctl { key } => sysctl::read(self, key),
            Probe::File { path } => file::read(self, path),
            Probe::Mount { path } => mount::read(self, path),
            Probe::Listening {} => sockets::read(self),
            Probe::Cmdline {} => boot::command_line(self),
            Probe::Lockdown {} => boot::lockdown(self),
            Probe::Lsm {} => boot::modules(self),
            Probe::Luks { mount } => disk::luks(self, mount),
            Probe::Swap {} => disk::swap(self),
            Probe::Module { name } => module::read(self, name),
            Probe::Setting { key, .. } => setting::read(self, *key),
            Probe::Coredump {} => coredump::read(self),
            Probe::Backups {} => backups::read(self),
            Probe::Firewall {} => firewall::read(self),
            Probe::AuditRules {} => audit::read(self),
            Probe::Sshd { .. }
            | Probe::HostKeys {}
            | Probe::Unit { .. }
            | Probe::Users {}
            | Probe::Chrony {} => Err(Blind::NotLooked),
        }
    }

    /// A path as process 1 sees it.
    fn path(&self, path: &str) -> PathBuf {
        self.root.join("proc/1/root").join(path.trim_start_matches('/'))
    }

    /// A file, as process 1 sees it.
    fn text(&self, path: &str) -> Result<String, Blind> {
        read::file(&self.path(path))
    }
}

fn looked(result: Result<Reading, Blind>) -> Looked {
    result.map_or_else(Looked::Blind, Looked::Saw)
}

fn reading<const N: usize>(fields: [(&str, ReadingValue); N]) -> Reading {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn count(n: usize) -> ReadingValue {
    i64::try_from(n).unwrap_or(i64::MAX).into()
}

#[cfg(test)]
mod tests;
