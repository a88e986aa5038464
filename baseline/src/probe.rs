//! Probes: the closed vocabulary of what a scan can look at.
//!
//! Names only. The readers stand in the appliance's executor and are written against these types; all of them only read,
//! run as root on NixOS and on Debian alike, and look at the live system, not at what configured it. There is no shell
//! probe, and none is to be added; a new probe is a reviewed change to this enum.
//!
//! An executor that is itself confined must look at the machine, not at its own namespaces: sockets, addresses and
//! `net.*` sysctls are those of process 1's network namespace, mounts and files those of its mount namespace.

mod fields;
mod names;
mod setting;
mod sshd;
mod unit;

use serde::{Deserialize, Serialize};

pub use fields::{AUDIT_KEYS, LSMS, MOUNT_OPTIONS};
pub use fields::{CHRONY_LEAP, FILE_KINDS, FILE_SYSTEMS, HARDENING, Kind, WEAKENING};
pub use names::{ModuleName, Path, SysctlKey, UnitName};
pub use setting::{Key, Source};
pub use sshd::Keyword;
pub use unit::Property;

/// One thing to look at. Two controls with equal probes share one look.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "read", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Probe {
    /// A kernel setting that is one whole number: `/proc/sys`.
    Sysctl {
        /// `kernel.kptr_restrict`.
        key: SysctlKey,
    },
    /// What the SSH daemon would do with its configuration: `sshd -T`, whether it runs or not.
    Sshd {
        /// The keyword, as `sshd -T` prints it.
        keyword: Keyword,
    },
    /// The SSH daemon's private host keys, counted, as `sshd -T` names them.
    HostKeys {},
    /// A file or folder: whether it is there, whose it is, its permission bits. Symbolic links are not followed.
    File {
        /// Where.
        path: Path,
    },
    /// A property of a systemd unit, as the manager has it loaded (D-Bus or `systemctl show`).
    Unit {
        /// `sshd.service`.
        name: UnitName,
        /// Which.
        property: Property,
    },
    /// The mount at exactly this path: `/proc/1/mountinfo`, the last one that covers it.
    Mount {
        /// The mount point.
        path: Path,
    },
    /// Sockets that another host can reach: bound to anything but loopback in `/proc/1/net/{tcp,udp,raw,…}{,6}`,
    /// listening (TCP) or unconnected (others). The DHCP client's UDP port 68 or 546 is counted apart.
    Listening {},
    /// What the packet filter does with a new connection from outside: policy of nftables' input hook, and how many TCP and
    /// UDP ports it accepts one on. The DHCP client's, loopback and ICMP do not count.
    Firewall {},
    /// The running kernel's command line: `/proc/cmdline`.
    Cmdline {},
    /// The kernel's audit: status and loaded rules, as `auditctl -s` and `auditctl -l` have them.
    AuditRules {},
    /// The clock: `chronyc -n tracking` and `chronyc -n sources`.
    Chrony {},
    /// How the file system that holds this path is encrypted: device mapper, by `/sys/dev/block`.
    Luks {
        /// Any path on it.
        mount: Path,
    },
    /// Accounts, counted: passwd and shadow.
    Users {},
    /// A kernel module.
    Module {
        /// As `/proc/modules` has it, with underscores.
        name: ModuleName,
    },
    /// A setting of a `key=value` file with all its drop-ins and the program's own default, as effective.
    Setting {
        /// Whose.
        file: Source,
        /// Which; must be one of that file's.
        key: Key,
    },
    /// How far the kernel is locked against root: `/sys/kernel/security/lockdown`.
    Lockdown {},
    /// Linux security modules that are active: `/sys/kernel/security/lsm`.
    Lsm {},
    /// Swap in use: `/proc/swaps`.
    Swap {},
    /// Where memory of a crashed process goes: `kernel.core_pattern` and coredump.conf as effective.
    Coredump {},
    /// The repositories of the watch list, counted, by the executor's own measurements.
    Backups {},
}

impl Probe {
    /// Its word: `sysctl`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sysctl { .. } => "sysctl",
            Self::Sshd { .. } => "sshd",
            Self::HostKeys {} => "host-keys",
            Self::File { .. } => "file",
            Self::Unit { .. } => "unit",
            Self::Mount { .. } => "mount",
            Self::Listening {} => "listening",
            Self::Firewall {} => "firewall",
            Self::Cmdline {} => "cmdline",
            Self::AuditRules {} => "audit-rules",
            Self::Chrony {} => "chrony",
            Self::Luks { .. } => "luks",
            Self::Users {} => "users",
            Self::Module { .. } => "module",
            Self::Setting { .. } => "setting",
            Self::Lockdown {} => "lockdown",
            Self::Lsm {} => "lsm",
            Self::Swap {} => "swap",
            Self::Coredump {} => "coredump",
            Self::Backups {} => "backups",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_one_in_json_and_there_is_no_other_verb_and_no_other_key() {
        for json in [
            r#"{"read":"sysctl","key":"kernel.kptr_restrict"}"#,
            r#"{"read":"sshd","keyword":"ciphers"}"#,
            r#"{"read":"host-keys"}"#,
            r#"{"read":"file","path":"/etc/shadow"}"#,
            r#"{"read":"unit","name":"sshd.service","property":"ActiveState"}"#,
            r#"{"read":"mount","path":"/tmp"}"#,
            r#"{"read":"listening"}"#,
            r#"{"read":"firewall"}"#,
            r#"{"read":"cmdline"}"#,
            r#"{"read":"audit-rules"}"#,
            r#"{"read":"chrony"}"#,
            r#"{"read":"luks","mount":"/var/lib"}"#,
            r#"{"read":"users"}"#,
            r#"{"read":"module","name":"usb_storage"}"#,
            r#"{"read":"setting","file":"journald.conf","key":"Storage"}"#,
            r#"{"read":"lockdown"}"#,
            r#"{"read":"lsm"}"#,
            r#"{"read":"swap"}"#,
            r#"{"read":"coredump"}"#,
            r#"{"read":"backups"}"#,
        ] {
            let probe: Probe = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&probe).unwrap(), json);
            assert!(json.starts_with(&format!(r#"{{"read":"{}""#, probe.name())), "{json}");
            assert!(!probe.fields().is_empty(), "{json}");
            let more = json.replacen('{', r#"{"run":"id","#, 1);
            assert!(serde_json::from_str::<Probe>(&more).is_err(), "{more}");
        }
        for json in [
            r#"{"read":"shell"}"#,
            r#"{"key":"kernel.kptr_restrict"}"#,
            r#"{"read":"sysctl"}"#,
            r#"{"read":"sysctl","key":"kernel/../../etc/shadow"}"#,
            r#"{"read":"sshd","keyword":"banner"}"#,
            r#"{"read":"file","path":"etc/shadow"}"#,
            r#"{"read":"file","path":"/etc/../root"}"#,
            r#"{"read":"unit","name":"sshd","property":"ActiveState"}"#,
            r#"{"read":"unit","name":"sshd.service","property":"ExecStart"}"#,
            r#"{"read":"module","name":"usb-storage; id"}"#,
            r#"{"read":"setting","file":"passwd","key":"Storage"}"#,
        ] {
            assert!(serde_json::from_str::<Probe>(json).is_err(), "{json}");
        }
    }
}
