//! Configuration drift on a real machine: every control is broken live, seen drifted, mended, and seen compliant; and one
//! is mended by the appliance itself, with evidence. As root.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::rig::{
    Installed, Machine, Tree, binary, machine,
    practice::TENANT,
    staged::{SLEEPER, quiet, staged},
    wait,
};

const LIMIT: Duration = Duration::from_secs(180);
/// Not too often: the first scan is to come when the agent is up.
const WATCH: &str = "[[watch.baseline]]\nid = \"it\"\nevery_seconds = 20\n\n[[watch.backup]]\nid = \"records\"\n\
                     repository = \"/srv/repository\"\npassword_file = \"/etc/backup.password\"\n\
                     sources = [\"/etc/nix\"]\nmax_age_seconds = 86400\n";
/// Controls that nobody can break and mend on such a machine.
const NOT_HERE: &[(&str, &str)] = &[(
    "NXH-043",
    "only an executor knows when it has proven a restore; a scan by hand says that it cannot tell",
)];

/// Which controls break by a command, and are mended by another.
struct Drift {
    controls: &'static [&'static str],
    broken: &'static str,
    mended: &'static str,
}

const fn drift(controls: &'static [&'static str], broken: &'static str, mended: &'static str) -> Drift {
    Drift { controls, broken, mended }
}

const DRIFTS: &[Drift] = &[
    drift(&["NXH-001"], "systemctl start sshd", "systemctl stop sshd"),
    drift(
        &["NXH-002", "NXH-003", "NXH-004", "NXH-006", "NXH-009"],
        "cp /etc/ssh/sshd_config /run/kept; sed -i -E '/^(Passw|Kbd|PermitRoot|AuthorizedK|AllowTcp)/d' \
         /etc/ssh/sshd_config; echo 'PermitRootLogin yes' >> /etc/ssh/sshd_config",
        "cp /run/kept /etc/ssh/sshd_config",
    ),
    drift(
        &["NXH-005", "NXH-007", "NXH-008", "NXH-026"],
        "cp /etc/ssh/sshd_config /run/kept; sed -i -E '/^(Trusted|Ciphers|Kex|LogLevel)/d' /etc/ssh/sshd_config; \
         printf 'Ciphers aes128-ctr,aes128-cbc\nKexAlgorithms diffie-hellman-group14-sha1\n' >> /etc/ssh/sshd_config",
        "cp /run/kept /etc/ssh/sshd_config",
    ),
    drift(
        &["NXH-010", "NXH-013"],
        "cp /etc/passwd /run/kept; echo 'toor:x:0:0::/root:/bin/sh' >> /etc/passwd",
        "cp /run/kept /etc/passwd",
    ),
    drift(
        &["NXH-011", "NXH-012"],
        "cp /etc/shadow /run/kept; sed -i 's/^root:[^:]*:/root::/' /etc/shadow",
        "cp /run/kept /etc/shadow",
    ),
    drift(&["NXH-014"], "chmod 644 /etc/shadow", "chmod 640 /etc/shadow"),
    drift(
        &["NXH-015"],
        "echo StopIdleSessionSec=infinity >> /etc/systemd/logind.conf.d/50-baseline.conf",
        "sed -i '$d' /etc/systemd/logind.conf.d/50-baseline.conf",
    ),
    drift(
        &["NXH-016"],
        "mv /run/stage/block/data/dm /run/kept-dm",
        "mv /run/kept-dm /run/stage/block/data/dm",
    ),
    drift(
        &["NXH-017"],
        "mkdir /run/stage/block/sda2; printf '/dev/sda2\tpartition\t1000\t0\t-2\n' >> /run/stage/swaps",
        "echo Filename > /run/stage/swaps",
    ),
    drift(
        &["NXH-018"],
        "echo Storage=external >> /etc/systemd/coredump.conf.d/50-baseline.conf",
        "sed -i '$d' /etc/systemd/coredump.conf.d/50-baseline.conf",
    ),
    drift(
        &["NXH-019"],
        "chmod 644 /etc/ssh/ssh_host_ed25519_key; ssh-keygen -q -t rsa -b 2048 -N '' -f /etc/ssh/ssh_host_rsa_key; \
         echo 'HostKey /etc/ssh/ssh_host_rsa_key' >> /etc/ssh/sshd_config",
        "chmod 600 /etc/ssh/ssh_host_ed25519_key; sed -i '$d' /etc/ssh/sshd_config",
    ),
    drift(&["NXH-020"], "chmod 755 /var/lib/orderly/executor", "chmod 700 /var/lib/orderly/executor"),
    drift(
        &["NXH-021", "NXH-022"],
        "printf 'Storage=volatile\nSystemMaxUse=100M\n' > /etc/systemd/journald.conf.d/90-small.conf",
        "rm /etc/systemd/journald.conf.d/90-small.conf",
    ),
    drift(
        &["NXH-023", "NXH-024"],
        "sed -i s/enabled.1/enabled\\ 0/ /run/stage/audit-s; mv /run/stage/audit-l /run/kept-l; \
         echo No rules > /run/stage/audit-l",
        "sed -i s/enabled.0/enabled\\ 1/ /run/stage/audit-s; mv /run/kept-l /run/stage/audit-l",
    ),
    drift(&["NXH-025"], "systemctl stop auditd", "systemctl start auditd"),
    drift(&["NXH-027"], "systemctl stop orderly-agent", "systemctl start orderly-agent"),
    drift(&["NXH-028"], "systemctl start reachable.socket", "systemctl stop reachable.socket"),
    drift(&["NXH-029"], "sed -i s/drop/accept/ /run/stage/nft", "sed -i s/accept/drop/ /run/stage/nft"),
    drift(
        &["NXH-030", "NXH-031", "NXH-032", "NXH-033"],
        "cd /proc/sys/net; echo 1 | tee ipv4/ip_forward ipv4/conf/all/accept_redirects \
         ipv6/conf/all/accept_redirects; echo 0 > ipv4/conf/all/rp_filter",
        "cd /proc/sys/net; echo 0 | tee ipv4/ip_forward ipv4/conf/all/accept_redirects \
         ipv6/conf/all/accept_redirects; echo 1 > ipv4/conf/all/rp_filter",
    ),
    drift(
        &["NXH-034", "NXH-035"],
        "echo > /etc/chrony-servers.conf; systemctl restart keeper",
        "cp /etc/chrony-all.conf /etc/chrony-servers.conf; systemctl restart keeper",
    ),
    drift(&["NXH-036"], "systemctl start systemd-timesyncd", "systemctl stop systemd-timesyncd"),
    drift(
        &["NXH-037", "NXH-038"],
        "cp /etc/nix/nix.conf /run/kept; printf 'require-sigs = false\ntrusted-users = root @wheel\n' > /etc/nix/nix.conf",
        "cp /run/kept /etc/nix/nix.conf",
    ),
    drift(&["NXH-039"], "mount -o remount,rw /nix/store", "mount -o remount,ro /nix/store"),
    drift(
        &["NXH-040"],
        "echo timeout 3 > /boot/loader/loader.conf",
        "echo editor no > /boot/loader/loader.conf",
    ),
    drift(&["NXH-041"], "systemctl start nixos-upgrade.timer", "systemctl stop nixos-upgrade.timer"),
    drift(
        &["NXH-042"],
        "mv /srv/repository/snapshots /srv/repository/kept; mkdir /srv/repository/snapshots",
        "rmdir /srv/repository/snapshots; mv /srv/repository/kept /srv/repository/snapshots",
    ),
    drift(&["NXH-044"], "chmod 644 /etc/backup.password", "chmod 600 /etc/backup.password"),
    drift(
        &["NXH-045", "NXH-046", "NXH-047", "NXH-048", "NXH-050", "NXH-051"],
        "cd /proc/sys; echo 0 | tee kernel/kptr_restrict kernel/dmesg_restrict kernel/unprivileged_bpf_disabled \
         kernel/yama/ptrace_scope fs/protected_symlinks kernel/kexec_load_disabled",
        "cd /proc/sys; echo 1 | tee kernel/kptr_restrict kernel/dmesg_restrict kernel/unprivileged_bpf_disabled \
         kernel/yama/ptrace_scope fs/protected_symlinks kernel/kexec_load_disabled",
    ),
    drift(&["NXH-049"], "echo 2 > /proc/sys/fs/suid_dumpable", "echo 0 > /proc/sys/fs/suid_dumpable"),
    drift(
        &["NXH-052"],
        "cp /run/stage/cmdline /run/kept; echo quiet mitigations=off systemd.debug_shell > /run/stage/cmdline",
        "cat /run/kept > /run/stage/cmdline",
    ),
    drift(&["NXH-053"], "mkdir /sys/module/usb_storage", "rmdir /sys/module/usb_storage"),
    drift(&["NXH-054"], "mount -o remount,bind,dev,suid /tmp", "mount -o remount,bind,nodev,nosuid /tmp"),
    drift(
        &["NXH-055", "NXH-056"],
        "for unit in agent executor; do mkdir -p /run/systemd/system/orderly-$unit.service.d; printf \
         '[Service]\nNoNewPrivileges=no\nPrivateNetwork=no\n' > /run/systemd/system/orderly-$unit.service.d/loose.conf; \
         done; systemctl daemon-reload",
        "rm /run/systemd/system/orderly-*.service.d/loose.conf; systemctl daemon-reload",
    ),
];

/// A machine on which the baseline holds, with time servers of its own and a backup.
fn prepared(port: u16) -> Result<Tree> {
    let time = format!(
        "[Service]\nExecStart=/usr/sbin/chronyd -4 -x -d -u root \"local stratum 5\" \"port {port}\" \
         \"bindaddress 127.0.0.%i\" \"allow\" \"cmdport 0\" \"bindcmdaddress /\" \"pidfile /run/time-%i.pid\"\n"
    );
    let keeper = "[Unit]\nAfter=time@1.service time@2.service time@3.service\nWants=time@1.service time@2.service \
                  time@3.service\n[Service]\nRuntimeDirectory=chrony\nRuntimeDirectoryMode=0700\n\
                  ExecStart=/usr/sbin/chronyd -x -d -u root -f /etc/chrony-test.conf\n";
    let servers: String =
        (1..4).map(|n| format!("server 127.0.0.{n} port {port} iburst minpoll -2 maxpoll -2\n")).collect();
    staged(Tree::new()?)?
        .started(
            "backup.service",
            "[Unit]\nAfter=stage.service\nRequires=stage.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
             ExecStart=/bin/sh -ec \"chmod 600 /etc/backup.password; restic -q init; restic -q backup /etc/nix\"\n\
             Environment=RESTIC_REPOSITORY=/srv/repository RESTIC_PASSWORD_FILE=/etc/backup.password HOME=/root\n",
        )?
        .file("etc/backup.password", "correct horse\n")?
        .unit("reachable.socket", "[Socket]\nListenStream=0.0.0.0:4444\nListenDatagram=[::]:4444\n")?
        .unit("reachable.service", SLEEPER)?
        .unit("time@.service", &time)?
        .started("keeper.service", keeper)?
        .started(
            "synchronised.service",
            "[Unit]\nAfter=keeper.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
             ExecStart=chronyc waitsync 0 0.1 0 0.2\n",
        )?
        .file("etc/chrony-all.conf", &servers)?
        .file("etc/chrony-servers.conf", &servers)?
        .file("etc/chrony-test.conf", "port 0\ncmdport 0\ninclude /etc/chrony-servers.conf\n")
}

/// The same on this host's network, with an appliance.
fn looked_after(watch: &str) -> Result<Installed> {
    // Here any port may be taken; this one was free, and is not soon given to another.
    let port = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    Installed::open(quiet(prepared(port)?, "backup.service synchronised.service")?, watch)
}

type Verdicts = BTreeMap<String, Value>;

fn scan(machine: &Machine) -> Result<Verdicts> {
    let said = machine.run("appliance", &["scan", "--json"])?;
    let found: Vec<Value> = serde_json::from_str(&said)?;
    let named = |one: Value| Some((one["control"].as_str()?.to_owned(), one));
    Ok(found.into_iter().filter_map(named).collect())
}

/// Waits until the controls stand so, and every other one that can be broken here is compliant.
fn expect(machine: &Machine, controls: &[&str], verdict: &str) -> Result<()> {
    let mut wrong = Vec::new();
    wait::until("the controls stand as expected", LIMIT, || {
        let is_wrong = |(id, found): &(String, Value)| {
            let left_out = NOT_HERE.iter().any(|(not_here, _)| not_here == id);
            let right = match controls.contains(&id.as_str()) {
                true => verdict,
                false if left_out => return false,
                false => "compliant",
            };
            found["verdict"] != right
        };
        wrong = scan(machine)?.into_iter().filter(is_wrong).collect();
        Ok(wrong.is_empty().then_some(()))
    })
    .with_context(|| {
        format!("{controls:?} must be {verdict}, all others compliant; they are not:\n{wrong:#?}")
    })
}

#[test]
fn every_control_is_seen_to_drift_and_to_be_mended() -> Result<()> {
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let config = "[control_plane]\naddress = \"https://127.0.0.1:1\"\n\n[[watch.backup]]\nid = \"records\"\n\
                  repository = \"/srv/repository\"\npassword_file = \"/etc/backup.password\"\nsources = [\"/etc/nix\"]\n\
                  max_age_seconds = 86400\nrestore_every_seconds = 604800\n";
    let held = "[Service]\nExecStart=/bin/sleep infinity\nNoNewPrivileges=yes\nPrivateNetwork=yes\n";
    // On a network of its own every port is free.
    let tree = prepared(11123)?
        .program("usr/bin/appliance", &binary("appliance")?)?
        .file("etc/orderly/appliance.toml", config)?
        .started("orderly-agent.service", held)?
        .started("orderly-executor.service", held)?;
    let machine = Machine::boot(&dir.path().join("machine"), tree, &[])?;

    let all: Vec<&str> = DRIFTS.iter().flat_map(|drift| drift.controls).copied().collect();
    let known: Vec<String> = scan(&machine)?.into_keys().collect();
    for control in &known {
        let is_left_out = NOT_HERE.iter().any(|(id, _)| id == control);
        ensure!(
            all.contains(&control.as_str()) != is_left_out,
            "{control} must be in exactly one of the tables"
        );
    }
    expect(&machine, &all, "compliant")?;
    for drift in DRIFTS {
        let step = |command: &str, verdict: &str| {
            machine.run("sh", &["-ec", command])?;
            expect(&machine, drift.controls, verdict).with_context(|| command.to_owned())
        };
        step(drift.broken, "drifted")?;
        step(drift.mended, "compliant")?;
        println!("{}: drifted, mended", drift.controls.join(", "));
    }
    expect(&machine, &all, "compliant")?;
    for (control, why) in NOT_HERE {
        expect(&machine, &[control], "not-evaluable")?;
        println!("{control}: not evaluable here: {why}");
    }
    println!("{}", cost(&machine)?);
    Ok(())
}

/// What ten scans cost, as the shell that waits for them counts it.
fn cost(machine: &Machine) -> Result<String> {
    // Without the backups: restic is asked when they are measured, not when they are judged.
    let ten = "sed '/watch.backup/,$d' /etc/orderly/appliance.toml > /run/bare.toml; for n in 1 2 3 4 5 6 7 8 9 10; \
               do appliance --config /run/bare.toml scan --json > /dev/null; done; times";
    let said = machine.run("sh", &["-c", ten])?;
    let line = said.lines().last().context("times prints two lines")?.to_owned();
    Ok(format!("ten scans, user and system, without what process 1 does for them: {line}"))
}

/// What is broken, each in a way of its own that RB-DRIFT-001 can mend; and what must be so afterwards.
const BREAK: &str = "echo 0 > /proc/sys/kernel/kptr_restrict; echo 1 > /proc/sys/net/ipv4/ip_forward; \
                     chmod 666 /etc/shadow; mount -o remount,bind,dev,suid /tmp; systemctl stop auditd; \
                     systemctl start systemd-timesyncd";
const BROKEN: &[&str] = &["NXH-014", "NXH-025", "NXH-030", "NXH-036", "NXH-045", "NXH-054"];

#[test]
fn drift_is_an_incident_that_is_mended_with_evidence() -> Result<()> {
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(());
    }
    let mut all = looked_after(WATCH)?;
    let scans = |all: &Installed| -> Result<Vec<String>> {
        let evidence: Vec<Value> = all.provider.evidence(TENANT)?;
        let scans = evidence.iter().filter(|e| e["kind"] == "scan");
        Ok(scans.filter_map(|e| Some(e["summary"].as_str()?.to_owned())).collect())
    };
    wait::until("a scan is signed in which nothing has drifted", LIMIT, || {
        Ok(scans(&all)?.iter().any(|scan| scan.contains(" 0 drifted")).then_some(()))
    })
    .with_context(|| {
        let found = all.machine.run("appliance", &["scan"]).unwrap_or_default();
        format!("{found}\n{:?}\n{}", scans(&all), all.journal())
    })?;
    // A runbook rests between two runs: an incident from before would take this one's repair.
    let before = all.provider.ask(&["incident", "list"])?;
    let early = before["incidents"].as_array().context("a list")?.iter().any(|i| i["watch"] == "it");
    ensure!(!early, "{before:#}\n{:?}", scans(&all)?);
    all.machine.run("sh", &["-ec", BREAK])?;
    let incident = all
        .provider
        .incident("it", &["resolved", "escalated"], LIMIT)
        .with_context(|| all.machine.run("appliance", &["scan"]).unwrap_or_default() + &all.journal())?;
    let evidence: Vec<Value> = all.provider.evidence(TENANT)?;
    ensure!(incident["state"] == "resolved", "{incident:#}\n{evidence:#?}\n{}", all.journal());
    ensure!(evidence.iter().any(|e| e["summary"] == "RB-DRIFT-001 repaired"), "{evidence:#?}");
    expect(&all.machine, BROKEN, "compliant").with_context(|| all.journal())?;
    ensure!(scans(&all)?.iter().any(|scan| !scan.contains(" 0 drifted")), "{:?}", scans(&all)?);
    println!("{:?}", scans(&all)?);
    Ok(())
}

/// No program may mend this: a person must.
const BROKEN_FOR_GOOD: &str = "echo timeout 3 > /boot/loader/loader.conf";
/// What activating the generation again sets right on this machine.
const GENERATION: &str = "mkdir -p /run/current-system/bin; cp /etc/nix/nix.conf /run/nix.conf; printf \
                          '#!/bin/sh\n[ \"$1\" = test ] && cp /run/nix.conf /etc/nix/nix.conf\n' > \
                          /run/current-system/bin/switch-to-configuration; \
                          chmod 755 /run/current-system/bin/switch-to-configuration";
/// One is set directly, the other by the generation.
const BREAK_TWO: &str =
    "echo 0 > /proc/sys/kernel/kptr_restrict; printf 'require-sigs = false\n' > /etc/nix/nix.conf";

/// The newest incident of that fault, once it stands so.
fn incident(all: &Installed, fault: &str, state: &str) -> Result<Value> {
    wait::until(&format!("the incident {fault} is {state}"), LIMIT, || {
        let list = all.provider.ask(&["incident", "list"])?;
        let newest = list["incidents"].as_array().and_then(|all| all.iter().find(|one| one["kind"] == fault));
        Ok(newest.filter(|one| one["state"] == state).cloned())
    })
    .with_context(|| all.machine.run("appliance", &["scan"]).unwrap_or_default() + &all.journal())
}

#[test]
fn what_nobody_can_mend_here_is_a_persons_and_does_not_hold_up_other_repairs() -> Result<()> {
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(());
    }
    let all = looked_after(WATCH)?;
    expect(&all.machine, &["NXH-027", "NXH-037", "NXH-040", "NXH-045"], "compliant")?;
    all.machine.run("sh", &["-ec", BROKEN_FOR_GOOD])?;
    let broken = incident(&all, "baseline.broken", "escalated")?;
    // While that one waits for a person, something else drifts.
    all.machine.run("sh", &["-ec", GENERATION])?;
    all.machine.run("sh", &["-ec", BREAK_TWO])?;
    let drifted = incident(&all, "baseline.drifted", "resolved")?;
    ensure!(broken["watch"] == "it" && drifted["watch"] == "it", "{broken:#} {drifted:#}");
    // And so NXH-037 and NXH-045 are compliant again, as all others are.
    expect(&all.machine, &["NXH-040"], "drifted")?;
    let evidence: Vec<Value> = all.provider.evidence(TENANT)?;
    ensure!(evidence.iter().any(|e| e["summary"] == "RB-DRIFT-001 repaired"), "{evidence:#?}");
    let after = all.provider.ask(&["incident", "show", broken["id"].as_str().context("it has an ID")?])?;
    ensure!(after["state"] == "escalated", "{after:#}");
    Ok(())
}
