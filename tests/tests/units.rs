//! The appliance under real systemd: its own units, and the units and machine that it looks after. As root.

use std::{path::Path, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use appliance::{
    agent::confine::{Held, around_agent},
    config::Config,
};
use serde_json::Value;
use tests::rig::{Installed, Tree, machine, practice::TENANT, provider::Port, wait};

const LIMIT: Duration = Duration::from_secs(60);
/// The most that `systemd-analyze security` may say of the agent; it says 9.6 of a unit without any protection.
const EXPOSURE: f64 = 1.5;

/// One fault on a machine of its own: what the machine has, what is watched, how the fault is made, and what must be
/// true once the runbook has run.
struct Story<'a> {
    runbook: &'a str,
    watch: &'a str,
    tree: Tree,
    fault: &'a dyn Fn(&Installed) -> Result<()>,
    meanwhile: &'a dyn Fn(&Installed) -> Result<()>,
    mended: &'a dyn Fn(&Installed) -> Result<bool>,
}

fn play(story: Story<'_>) -> Result<()> {
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(());
    }
    let mut all = Installed::open(story.tree, story.watch)?;
    ensure!(!events(&all)?.contains(&"it".to_owned()), "it is said to be wrong before it is");
    (story.fault)(&all)?;
    (story.meanwhile)(&all)?;
    let ended = |incident: &&Value| {
        // While a server is restarted, another fault of the same entry may be seen; that is a person's.
        incident["runbook"] == story.runbook
            && matches!(incident["state"].as_str(), Some("resolved" | "escalated"))
    };
    let incident = wait::until(&format!("{} has run", story.runbook), LIMIT, || {
        all.provider.check()?;
        let listed = all.provider.ask(&["incident", "list"])?;
        Ok(listed["incidents"].as_array().and_then(|list| list.iter().find(ended)).cloned())
    })
    .with_context(|| all.journal())?;
    let evidence: Vec<Value> = all.provider.evidence(TENANT)?;
    ensure!(incident["state"] == "resolved", "{incident:#}\n{evidence:#?}\n{}", all.journal());
    ensure!((story.mended)(&all)?, "it is resolved, but not mended: {evidence:#?}");
    let wanted = format!("{} repaired", story.runbook);
    ensure!(evidence.iter().any(|e| e["summary"] == wanted.as_str()), "not {wanted}: {evidence:#?}");
    Ok(())
}

/// Which entries of the watch list have had events.
fn events(all: &Installed) -> Result<Vec<String>> {
    let db = all.provider.database()?;
    let mut query = db.prepare("SELECT DISTINCT watch FROM event")?;
    let watches = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(watches)
}

fn nothing(_: &Installed) -> Result<()> {
    Ok(())
}

fn sleeper() -> &'static str {
    "[Service]\nExecStart=/bin/sleep infinity\n"
}

#[test]
fn a_crashed_unit_is_restarted() -> Result<()> {
    play(Story {
        runbook: "RB-SERVICE-001",
        watch: "[[watch.unit]]\nid = \"it\"\nunit = \"frail.service\"\n",
        tree: Tree::new()?.started("frail.service", sleeper())?,
        fault: &|all| all.machine.run("systemctl", &["kill", "--signal=KILL", "frail.service"]).map(drop),
        meanwhile: &nothing,
        mended: &|all| Ok(all.machine.property("frail.service", "ActiveState")? == "active"),
    })
}

#[test]
fn a_full_file_system_is_emptied_of_what_may_go() -> Result<()> {
    let mount = "[Mount]\nWhat=tmpfs\nWhere=/srv/small\nType=tmpfs\nOptions=size=8m\n";
    play(Story {
        runbook: "RB-DISK-001",
        watch: "[[watch.filesystem]]\nid = \"it\"\npath = \"/srv/small\"\nkeep_journal_mb = 1\n\
                caches = [\"/srv/small/cache\"]\n",
        tree: Tree::new()?.started("srv-small.mount", mount)?,
        fault: &|all| {
            // Said before it is done, to whoever stands at the box, and to nobody else.
            all.machine
                .run("sh", &["-c", "mkdir -p /srv/small/cache/a && echo old > /srv/small/cache/a/b"])?;
            let run = ["run", "RB-DISK-001", "--on", "it", "--dry-run"];
            let said = all.machine.run("appliance", &run)?;
            for part in [
                "what it repairs is gone",
                "1. journal.vacuum",
                "beyond 1 MiB",
                "2. caches.empty",
                "files_removed=1",
                "/srv/small/cache/a/b",
                "Nothing was done.",
            ] {
                ensure!(said.contains(part), "{part} is not in {said}");
            }
            all.machine.run("test", &["-s", "/srv/small/cache/a/b"])?;
            let agent = ["--reuid=orderly-agent", "--regid=orderly-agent", "--clear-groups", "appliance"];
            let asked = all.machine.command("setpriv", &[&agent[..], &run[..]].concat()).output()?;
            let refused = String::from_utf8_lossy(&asked.stderr).into_owned();
            ensure!(!asked.status.success() && refused.contains("owner of this box alone"), "{refused}");
            let fill = "mkdir -p /srv/small/cache/a && head -c 1000000 /dev/zero > /srv/small/kept && \
                        head -c 6800000 /dev/zero > /srv/small/cache/a/b";
            all.machine.run("sh", &["-c", fill]).map(drop)
        },
        meanwhile: &nothing,
        mended: &|all| Ok(all.machine.run("sh", &["-c", "cd /srv/small; find . -type f"])?.trim() == "./kept"),
    })
}

/// Empty files take no space, and use up what a file system can hold all the same.
#[test]
fn a_file_system_without_inodes_is_emptied_of_what_may_go() -> Result<()> {
    let mount = "[Mount]\nWhat=tmpfs\nWhere=/srv/small\nType=tmpfs\nOptions=size=8m,nr_inodes=200\n";
    play(Story {
        runbook: "RB-DISK-001",
        watch: "[[watch.filesystem]]\nid = \"it\"\npath = \"/srv/small\"\ncaches = [\"/srv/small/cache\"]\n",
        tree: Tree::new()?.started("srv-small.mount", mount)?,
        fault: &|all| {
            let fill = "mkdir -p /srv/small/cache/a && touch /srv/small/kept && cd /srv/small/cache/a && \
                        touch $(seq 1 190)";
            all.machine.run("sh", &["-c", fill]).map(drop)
        },
        meanwhile: &nothing,
        mended: &|all| Ok(all.machine.run("sh", &["-c", "cd /srv/small; find . -type f"])?.trim() == "./kept"),
    })
}

#[test]
fn a_clock_that_nobody_keeps_is_kept_again() -> Result<()> {
    // -x: it never touches the clock, which is this host's too. A clock of its own at stratum 8 stands for the servers.
    let keeper = "[Unit]\nConflicts=\n[Service]\nType=simple\nRuntimeDirectory=chrony\nRuntimeDirectoryMode=0700\n\
                  ExecStart=/usr/sbin/chronyd -x -d -u root -f /etc/chrony-test.conf\n";
    play(Story {
        runbook: "RB-TIME-001",
        watch: "[[watch.clock]]\nid = \"it\"\nunit = \"keeper.service\"\n",
        tree: Tree::new()?.started("keeper.service", keeper)?.file(
            "etc/chrony-test.conf",
            "local stratum 8\nserver 192.0.2.1 offline\ncmdport 0\nport 0\npidfile /run/chrony/it.pid\n",
        )?,
        fault: &|all| all.machine.run("systemctl", &["stop", "keeper.service"]).map(drop),
        meanwhile: &nothing,
        mended: &|all| Ok(all.machine.property("keeper.service", "ActiveState")? == "active"),
    })
}

#[test]
fn a_certificate_is_renewed_before_it_ends() -> Result<()> {
    let make = |days: u32| {
        format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=portal.test \
             -addext subjectAltName=DNS:portal.test -addext basicConstraints=critical,CA:FALSE -days {days} -keyout /etc/portal.key -out /etc/portal.new && \
             cp /etc/portal.new /etc/portal.roots && mv /etc/portal.new /etc/portal.pem"
        )
    };
    let unit = |days| format!("[Service]\nType=oneshot\nExecStart=/bin/sh -c '{}'\n", make(days));
    play(Story {
        runbook: "RB-CERT-001",
        watch: "[[watch.certificate]]\nid = \"it\"\nfile = \"/etc/portal.pem\"\nname = \"portal.test\"\n\
                roots = \"/etc/portal.roots\"\nunit = \"acme-portal.service\"\n",
        tree: Tree::new()?.started("first.service", &unit(60))?.unit("acme-portal.service", &unit(90))?,
        fault: &|all| all.machine.run("sh", &["-c", &make(5)]).map(drop),
        meanwhile: &nothing,
        mended: &|all| {
            let days = ["x509", "-in", "/etc/portal.pem", "-noout", "-checkend", "7000000"];
            Ok(all.machine.command("openssl", &days).output()?.status.success())
        },
    })
}

/// What counts is what is served: a new file that the server has not taken up would not do.
#[test]
fn a_served_certificate_is_renewed_before_it_ends() -> Result<()> {
    let held = Port::hold()?;
    let port = held.address.port();
    let make = |days: u32| {
        format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=portal.test \
             -addext subjectAltName=DNS:portal.test -addext basicConstraints=critical,CA:FALSE -days {days} \
             -keyout /run/portal.key -out /run/portal.pem && cp /run/portal.pem /run/portal.roots"
        )
    };
    let first =
        format!("[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c '{}'\n", make(60));
    let server = format!(
        "[Unit]\nRequires=first.service\nAfter=first.service\n[Service]\n\
         ExecStart=/usr/bin/openssl s_server -accept 127.0.0.1:{port} -cert /run/portal.pem -key /run/portal.key -www\n\
         ExecStartPost=/bin/sh -c 'until openssl s_client -connect 127.0.0.1:{port} < /dev/null > /dev/null 2>&1; do :; done'\n"
    );
    let renew = format!(
        "[Service]\nType=oneshot\nExecStart=/bin/sh -c '{} && systemctl restart portal.service'\n",
        make(90)
    );
    play(Story {
        runbook: "RB-CERT-001",
        watch: &format!(
            "[[watch.certificate]]\nid = \"it\"\nserver = \"127.0.0.1:{port}\"\nname = \"portal.test\"\n\
             roots = \"/run/portal.roots\"\nunit = \"acme-portal.service\"\n\n\
             [[watch.service]]\nid = \"site\"\ntarget = \"https://127.0.0.1:{port}/\"\n"
        ),
        tree: Tree::new()?
            .unit("first.service", &first)?
            .started("portal.service", &server)?
            .unit("acme-portal.service", &renew)?,
        fault: &|all| {
            let short = format!("{} && systemctl restart portal.service", make(5));
            all.machine.run("sh", &["-c", &short]).map(drop)
        },
        meanwhile: &nothing,
        mended: &|all| {
            // As a technician looks, and as the executor does.
            let found: Value = serde_json::from_str(&all.machine.run("appliance", &["probe", "it"])?)?;
            let site: Value = serde_json::from_str(&all.machine.run("appliance", &["probe", "site"])?)?;
            Ok(found["left_seconds"].as_i64() > Some(7_000_000)
                && found["chain"] == 1
                && site["reachable"] == 1)
        },
    })
}

/// The kernel's averages are the whole host's, so a file in their place tells of the pressure; everything else is real.
#[test]
fn a_unit_that_burns_the_processor_is_held_back() -> Result<()> {
    // Only from the fault on: a whole core less would be every other test's trouble.
    let hog =
        "[Service]\nExecStart=/bin/sh -c 'until [ -e /run/burn ]; do sleep 1; done; while :; do :; done'\n";
    let pressure = |percent: u32| format!("some avg10=0.00 avg60={percent}.00 avg300=0.00 total=1\n");
    let set = |all: &Installed, percent| -> Result<()> {
        let told = format!("printf '{}' > /run/pressure", pressure(percent).replace('\n', "\\n"));
        all.machine.run("sh", &["-c", &told]).map(drop)
    };
    let quota = |all: &Installed| all.machine.property("hog.service", "CPUQuotaPerSecUSec");
    play(Story {
        runbook: "RB-CPU-001",
        watch: "[[watch.processor]]\nid = \"it\"\nlimit_percent = 40\n\
                may_throttle = [\"calm.service\", \"hog.service\"]\nthrottle_percent = 20\n",
        tree: Tree::new()?
            .started("hog.service", hog)?
            .started("calm.service", sleeper())?
            .file("etc/pressure", &pressure(1))?
            .started(
                "pressure.service",
                "[Service]\nType=oneshot\nExecStart=/bin/cp /etc/pressure /run/pressure\n\
                 ExecStart=/bin/mount --bind /run/pressure /proc/pressure/cpu\n",
            )?,
        fault: &|all| {
            all.machine.run("touch", &["/run/burn"])?;
            wait::until("the hog burns", LIMIT, || {
                let used: u64 = all.machine.property("hog.service", "CPUUsageNSec")?.parse()?;
                Ok((used > 2_000_000_000).then_some(()))
            })?;
            set(all, 80)
        },
        meanwhile: &|all| {
            wait::until("the hog is held back", LIMIT, || Ok((quota(all)? == "200ms").then_some(())))
                .with_context(|| all.journal())?;
            set(all, 2)
        },
        mended: &|all| {
            Ok(quota(all)? == "200ms"
                && all.machine.property("calm.service", "CPUQuotaPerSecUSec")? == "infinity")
        },
    })
}

/// As above: the pressure is told, the hog and its restart are real.
#[test]
fn the_largest_unit_that_may_be_is_restarted_when_memory_is_short() -> Result<()> {
    let hog = "[Service]\nExecStart=/bin/sh -c 'x=$(head -c 30000000 /dev/zero | tr \"\\\\0\" x); read -r y < /run/never'\n\
               ExecStartPre=/bin/sh -c '[ -p /run/never ] || mkfifo /run/never'\n";
    let told = |percent: u32| format!("some avg10=0.00 avg60={percent}.00 avg300=0.00 total=1\n");
    let first = std::cell::RefCell::new(String::new());
    play(Story {
        runbook: "RB-MEM-001",
        watch: "[[watch.memory]]\nid = \"it\"\nlimit_percent = 40\nmay_restart = [\"calm.service\", \"hog.service\"]\n",
        tree: Tree::new()?
            .started("hog.service", hog)?
            .started("calm.service", sleeper())?
            .file("etc/pressure-low", &told(1))?
            .file("etc/pressure-high", &told(80))?
            .started(
                "pressure.service",
                "[Service]\nType=oneshot\nExecStart=/bin/cp /etc/pressure-low /run/pressure\n\
                 ExecStart=/bin/mount --bind /run/pressure /proc/pressure/memory\n",
            )?,
        fault: &|all| {
            *first.borrow_mut() = all.machine.property("hog.service", "MainPID")?;
            all.machine.run("cp", &["/etc/pressure-high", "/run/pressure"]).map(drop)
        },
        meanwhile: &|all| {
            wait::until("the hog is restarted", LIMIT, || {
                let now = all.machine.property("hog.service", "MainPID")?;
                Ok((now != "0" && now != *first.borrow()).then_some(()))
            })
            .with_context(|| all.journal())?;
            all.machine.run("cp", &["/etc/pressure-low", "/run/pressure"]).map(drop)
        },
        mended: &|all| Ok(all.machine.property("calm.service", "NRestarts")? == "0"),
    })
}

#[test]
fn the_agent_is_shut_in() -> Result<()> {
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(());
    }
    let all = Installed::open(Tree::new()?, "")?;
    let said = all.machine.run("systemd-analyze", &["security", "--no-pager", "orderly-agent.service"])?;
    let line = said.lines().last().context("a verdict")?;
    println!("{line}");
    let number = line.split_whitespace().find_map(|word| word.parse::<f64>().ok());
    let exposure = number.with_context(|| format!("no number in {line}"))?;
    ensure!(exposure < EXPOSURE, "the agent's exposure must be below {EXPOSURE}:\n{said}");
    // By the kernel's own word: no capability, no new privilege, a filter on system calls; the executor has no network.
    let status = |unit: &str, fields: &str| -> Result<String> {
        let process = all.machine.property(unit, "MainPID")?;
        all.machine.run("grep", &["-E", fields, &format!("/proc/{process}/status")])
    };
    let agent = status("orderly-agent.service", "^(Cap(Eff|Prm|Bnd|Amb)|NoNewPrivs|Seccomp):")?;
    ensure!(agent.matches("\t0000000000000000").count() == 4, "{agent}");
    ensure!(agent.contains("NoNewPrivs:\t1") && agent.contains("Seccomp:\t2"), "{agent}");
    // What the fence does is in the appliance's own tests; here it must not be forbidden to put it up.
    let config = Config::parse("control_plane.address = \"https://127.0.0.1:1\"", Path::new("/etc/it.toml"))?;
    let here =
        thread::spawn(move || around_agent(&config).map(|fence| fence.held)).join().expect("no panic")?;
    let journal = all.journal();
    ensure!(here != Held::Wholly || journal.contains("shut in: the kernel"), "{journal}");
    let executor = all.machine.property("orderly-executor.service", "MainPID")?;
    let interfaces = all.machine.run("cat", &[&format!("/proc/{executor}/net/dev")])?;
    ensure!(
        interfaces.lines().filter(|line| line.contains(':')).all(|line| line.trim().starts_with("lo:")),
        "{interfaces}"
    );
    Ok(())
}
