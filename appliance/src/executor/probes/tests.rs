//! A folder of files stands for a machine; programs are scripts that print what the real ones were recorded to print.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    time::Duration,
};

use tempfile::TempDir;

use super::*;
use crate::{clock, executor::steps::Stop};

struct Machine {
    root: TempDir,
    programs: Programs,
}

impl Machine {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), programs: Programs::default() }
    }

    /// A file below `/proc/1/root`, or, with `//`, one of this machine's own `/proc`.
    fn file(self, path: &str, text: &str) -> Self {
        let below = match path.strip_prefix("//") {
            Some(own) => self.root.path().join(own),
            None => self.root.path().join("proc/1/root").join(path.trim_start_matches('/')),
        };
        fs::create_dir_all(below.parent().unwrap()).unwrap();
        fs::write(below, text).unwrap();
        self
    }

    fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.root.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn look(&self, probes: &[&str]) -> Vec<Looked> {
        let probes: Vec<Probe> = probes.iter().map(|json| serde_json::from_str(json).unwrap()).collect();
        let world = clock::system();
        let (stop, ends) = (Stop::default(), world.clock.boot() + Duration::from_secs(20));
        let limit = Limit { clock: &*world.clock, stop: &stop, ends };
        let look = Look { root: self.root.path(), programs: &self.programs, limit: &limit, backups: &[] };
        let seen = look.at_all(&probes);
        for (probe, looked) in &seen {
            if let Looked::Saw(reading) = looked {
                probe.admits(reading).unwrap();
            }
        }
        probes.iter().map(|probe| seen[probe].clone()).collect()
    }

    fn sees(&self, probe: &str) -> String {
        match &self.look(&[probe])[0] {
            Looked::Saw(reading) => serde_json::to_string(reading).unwrap(),
            Looked::Blind(why) => why.to_string(),
        }
    }
}

#[test]
fn a_machine_of_which_nothing_can_be_read_is_never_fine() {
    let nothing = Path::new("/nonexistent/program");
    let mut machine = Machine::new();
    let Programs { systemctl, sshd, chronyc, auditctl, nft, cryptsetup, systemd_run, .. } =
        &mut machine.programs;
    for program in [systemctl, sshd, chronyc, auditctl, nft, cryptsetup, systemd_run] {
        *program = nothing.to_owned();
    }
    let baseline = baseline::Baseline::hipaa_v1();
    let world = clock::system();
    let (stop, ends) = (Stop::default(), world.clock.boot() + Duration::from_secs(20));
    let limit = Limit { clock: &*world.clock, stop: &stop, ends };
    let look = Look { root: machine.root.path(), programs: &machine.programs, limit: &limit, backups: &[] };
    let seen = look.at_all(baseline.probes().into_keys());
    for found in baseline::judge_all(baseline, &seen, &[], proto::time::Millis(0)) {
        let probe = &baseline.control(found.control).unwrap().probe;
        // Without a repository there is no password of one either.
        let fine = found.verdict == baseline::Verdict::Compliant;
        assert!(!fine || *probe == Probe::Backups {}, "{found:?}");
    }
}

#[test]
fn files_of_a_machine() {
    let machine = Machine::new()
        .file("/proc/sys/kernel/kptr_restrict", "2\n")
        .file("/proc/sys/kernel/core_pattern", "|/usr/lib/systemd/systemd-coredump %P %u\n")
        .file("/etc/systemd/coredump.conf", "[Coredump]\n#Storage=external\nStorage=external\n")
        .file("/usr/lib/systemd/coredump.conf.d/10-none.conf", "[Coredump]\nStorage=none\n")
        .file("/proc/cmdline", "quiet init_on_alloc=1 vsyscall=none mitigations=off init=/bin/sh -- single\n")
        .file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
        .file("/sys/kernel/security/lsm", "capability,yama,miller")
        .file("/proc/modules", "usb_storage 81920 0 - Live 0x0000000000000000\n")
        .file("/etc/modprobe.d/a.conf", "install usb-storage /bin/false\n")
        .file("/boot/loader/loader.conf", "timeout 3\neditor 0\n")
        .file("/etc/shadow", "");
    fs::set_permissions(machine.root.path().join("proc/1/root/etc/shadow"), Permissions::from_mode(0o4644))
        .unwrap();
    symlink("/etc/shadow", machine.root.path().join("proc/1/root/etc/link")).unwrap();
    for (probe, expected) in [
        (r#"{"read":"sysctl","key":"kernel.kptr_restrict"}"#, r#"{"value":2}"#),
        (r#"{"read":"sysctl","key":"kernel.yama.ptrace_scope"}"#, "absent"),
        (r#"{"read":"coredump"}"#, r#"{"handler":"systemd-coredump","storage":"none"}"#),
        (
            r#"{"read":"cmdline"}"#,
            r#"{"hardening":["init_on_alloc=1","vsyscall=none"],"weakening":["mitigations=off","shell"]}"#,
        ),
        (r#"{"read":"lockdown"}"#, r#"{"mode":"integrity"}"#),
        (r#"{"read":"lsm"}"#, r#"{"active":["capability","other","yama"]}"#),
        (r#"{"read":"module","name":"usb_storage"}"#, r#"{"blocked":true,"loaded":true}"#),
        (r#"{"read":"setting","file":"loader.conf","key":"editor"}"#, r#"{"value":"no"}"#),
        (r#"{"read":"setting","file":"journald.conf","key":"Storage"}"#, r#"{"value":"auto"}"#),
        (r#"{"read":"setting","file":"nix.conf","key":"require-sigs"}"#, "absent"),
        (r#"{"read":"file","path":"/etc/none"}"#, r#"{"exists":false}"#),
    ] {
        assert_eq!(machine.sees(probe), expected, "{probe}");
    }
    let shadow = machine.sees(r#"{"read":"file","path":"/etc/shadow"}"#);
    assert!(shadow.contains(r#""kind":"file","mode":"4644""#), "{shadow}");
    assert!(machine.sees(r#"{"read":"file","path":"/etc/link"}"#).contains(r#""kind":"link""#));
}

#[test]
fn mounts_are_the_last_ones_and_encryption_is_that_of_the_disk_below() {
    let mounts = "21 1 253:1 / / rw,relatime shared:1 - ext4 /dev/mapper/root rw,errors=remount-ro\n\
                  30 21 0:26 / /tmp rw - tmpfs tmpfs rw,size=1k\n\
                  31 21 0:27 / /tmp rw,nosuid,nodev shared:4 master:1 - tmpfs tmpfs rw,inode64\n\
                  32 21 8:1 / /boot rw - vfat /dev/sda1 rw\n";
    let mut machine = Machine::new()
        .file("//proc/1/mountinfo", mounts)
        .file("/sys/dev/block/253:1/dm/uuid", "LVM-abcdef\n")
        .file("/sys/dev/block/253:1/slaves/dm-0", "")
        .file("/sys/class/block/dm-0/dm/uuid", "CRYPT-LUKS2-0123-cryptroot\n")
        .file("/sys/class/block/dm-0/dm/name", "cryptroot\n")
        .file("/sys/dev/block/8:1/dev", "8:1\n")
        .file("/proc/swaps", "Filename Type Size Used Priority\n/swapfile file 1 0 -2\n/boot/swap file 1 0 -3\n/dev/zram0 partition 1 0 5\n");
    machine.programs.cryptsetup = machine.program(
        "cryptsetup",
        "printf '/dev/mapper/x is active.\\n  type:    LUKS2\\n  keysize: 512 bits\\n'",
    );
    for (probe, expected) in [
        (
            r#"{"read":"mount","path":"/tmp"}"#,
            r#"{"fstype":"tmpfs","mounted":true,"options":["nodev","nosuid","rw"]}"#,
        ),
        (r#"{"read":"mount","path":"/nix/store"}"#, r#"{"mounted":false}"#),
        (r#"{"read":"luks","mount":"/var/lib"}"#, r#"{"encrypted":true,"key_bits":512,"version":2}"#),
        (r#"{"read":"luks","mount":"/boot"}"#, r#"{"encrypted":false,"key_bits":0,"version":0}"#),
        (r#"{"read":"luks","mount":"/tmp/x"}"#, "unreadable"),
        (r#"{"read":"swap"}"#, r#"{"areas":3,"unencrypted":1}"#),
    ] {
        assert_eq!(machine.sees(probe), expected, "{probe}");
    }
}

#[test]
fn sockets_that_another_host_can_reach() {
    let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
               \x20  0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1\n\
               \x20  1: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2\n\
               \x20  2: 0A00000A:9C40 0B00000A:01BB 01 00000000:00000000 00:00000000 00000000     0        0 3\n";
    let tcp6 = "  sl  local_address remote_address st\n\
                \x20  0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A\n\
                \x20  1: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A\n\
                \x20  2: 00000000000000000000000000000000:0052 00000000000000000000000000000000:0000 0A\n";
    let udp = "  sl  local_address rem_address   st\n\
               \x20  0: 00000000:0044 00000000:0000 07\n\
               \x20  1: 00000000:14E9 00000000:0000 07\n\
               \x20  2: 0100007F:0035 00000000:0000 07\n\
               \x20  3: 0A00000A:9C41 0B00000A:0035 01\n";
    let machine = Machine::new()
        .file("//proc/1/net/tcp", tcp)
        .file("//proc/1/net/tcp6", tcp6)
        .file("//proc/1/net/udp", udp)
        .file("//proc/1/net/raw", "  sl\n   1: 00000000:0001 00000000:0000 07\n")
        .file("//proc/1/net/sctp/eps", " ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS\n a b 2 10 29 11165 0 7 10.0.0.1\n a b 2 10 29 11166 0 7 127.0.0.1\n");
    let expected = r#"{"dhcp_client":1,"other":1,"raw":1,"tcp":2,"udp":1}"#;
    if cfg!(target_endian = "little") {
        assert_eq!(machine.sees(r#"{"read":"listening"}"#), expected);
    }
    assert_eq!(Machine::new().sees(r#"{"read":"listening"}"#), "absent");
}

#[test]
fn units_are_asked_for_at_once_and_told_apart_by_their_order() {
    let mut machine = Machine::new();
    machine.programs.systemctl = machine.program(
        "systemctl",
        "printf 'LoadState=not-found\\nActiveState=inactive\\nNoNewPrivileges=no\\nCapabilityBoundingSet=cap_chown\\n\\n\
         LoadState=loaded\\nActiveState=active\\nNoNewPrivileges=yes\\nCapabilityBoundingSet=cap_chown cap_kill\\n'",
    );
    let seen = machine.look(&[
        r#"{"read":"unit","name":"a.service","property":"ActiveState"}"#,
        r#"{"read":"unit","name":"a.service","property":"NoNewPrivileges"}"#,
        r#"{"read":"unit","name":"b.service","property":"NoNewPrivileges"}"#,
        r#"{"read":"unit","name":"b.service","property":"CapabilityBoundingSet"}"#,
    ]);
    let seen: Vec<String> = seen.iter().map(|looked| serde_json::to_string(looked).unwrap()).collect();
    assert_eq!(
        seen,
        [
            r#"{"saw":{"loaded":false,"value":"inactive"}}"#,
            r#"{"saw":{"loaded":false}}"#,
            r#"{"saw":{"loaded":true,"value":true}}"#,
            r#"{"saw":{"loaded":true,"value":2}}"#,
        ]
    );
    machine.programs.systemctl = machine.program("systemctl", "echo LoadState=loaded");
    let one = machine.look(&[
        r#"{"read":"unit","name":"a.service","property":"ActiveState"}"#,
        r#"{"read":"unit","name":"b.service","property":"ActiveState"}"#,
    ]);
    assert_eq!(one, [Looked::Blind(Blind::Unreadable), Looked::Blind(Blind::Unreadable)]);
}

#[test]
fn the_ssh_daemon_and_its_keys() {
    let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDKJ0K1qyB0gVCkF9tRNU9WlGGa9Fv9bkYyS9o1Yk5y clinic\n";
    let mut machine = Machine::new()
        .file("/etc/ssh/a", "")
        .file(
            "/etc/ssh/a.pub",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS clinic\n",
        )
        .file("/etc/ssh/b", "")
        .file("/etc/ssh/b.pub", rsa);
    let said = "passwordauthentication no\nloglevel VERBOSE\nmaxauthtries 6\nauthorizedkeysfile .ssh/authorized_keys .ssh/more\n\
                trustedusercakeys none\nciphers aes256-ctr,3des-cbc,rot13\nhostkey /etc/ssh/a\nhostkey /etc/ssh/b\nhostkey /etc/ssh/gone\n";
    machine.programs.sshd = machine.program("sshd", &format!("cat <<END\n{said}END"));
    for (keyword, expected) in [
        ("passwordauthentication", r#"{"value":"no"}"#),
        ("loglevel", r#"{"value":"verbose"}"#),
        ("maxauthtries", r#"{"value":6}"#),
        ("authorizedkeysfile", r#"{"value":"set"}"#),
        ("trustedusercakeys", r#"{"value":"none"}"#),
        ("ciphers", r#"{"value":["3des-cbc","aes256-ctr","other"]}"#),
        ("macs", "unreadable"),
    ] {
        let probe = format!(r#"{{"read":"sshd","keyword":"{keyword}"}}"#);
        assert_eq!(machine.sees(&probe), expected, "{keyword}");
    }
    let keys = machine.sees(r#"{"read":"host-keys"}"#);
    assert!(keys.contains(r#""keys":2"#), "{keys}");
    machine.programs.sshd = machine.program("sshd", "echo no >&2; exit 255");
    assert_eq!(machine.sees(r#"{"read":"host-keys"}"#), "unreadable");
    machine.programs.sshd = machine.program("sshd", "sleep 60 & echo Permission denied >&2; exit 1");
    assert_eq!(machine.sees(r#"{"read":"sshd","keyword":"macs"}"#), "denied");
}
