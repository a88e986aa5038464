//! What no runbook mends, or mends only in looks: it must reach a person, and say who it is. As root.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proto::evidence::{Body, Execution, Verdict, peek};
use serde_json::Value;
use tests::rig::{Installed, Tree, machine, practice::TENANT, wait};

const LIMIT: Duration = Duration::from_secs(90);

/// An appliance on a machine of its own; `None`, said, where none can be booted.
fn installed(tree: Tree, watch: &str) -> Result<Option<Installed>> {
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(None);
    }
    Installed::open(tree, watch).map(Some)
}

/// The incident of a fault, once a person was told.
fn escalated(all: &mut Installed, kind: &str) -> Result<Value> {
    wait::until(&format!("an incident of {kind} is escalated"), LIMIT, || {
        all.provider.check()?;
        let listed = all.provider.ask(&["incident", "list"])?;
        let wanted = |i: &&Value| i["kind"] == kind && i["state"] == "escalated";
        Ok(listed["incidents"].as_array().and_then(|list| list.iter().find(wanted)).cloned())
    })
    .with_context(|| all.journal())
}

/// What a runbook's last execution left as evidence.
fn execution(all: &Installed, runbook: &str) -> Result<Execution> {
    let query = "SELECT envelope FROM evidence WHERE kind = 'execution' AND summary LIKE ?1 || ' %'
                 ORDER BY log_index DESC LIMIT 1";
    let envelope: Vec<u8> = all
        .provider
        .database()?
        .query_row(query, [runbook], |row| row.get(0))
        .with_context(|| format!("{runbook}: {:#?}", all.provider.evidence(TENANT)))?;
    match peek(&envelope)?.body {
        Body::Execution(execution) => Ok(*execution),
        other => anyhow::bail!("not an execution: {}", other.kind()),
    }
}

/// Up when it is looked at, and gone a second later.
#[test]
fn a_unit_that_does_not_stay_up_counts_as_not_mended() -> Result<()> {
    let frail =
        "[Service]\nExecStart=/bin/sh -c '[ -e /run/broken ] && { sleep 1; exit 1; }; exec sleep infinity'\n";
    let watch = "[[watch.unit]]\nid = \"it\"\nunit = \"frail.service\"\n";
    let Some(mut all) = installed(Tree::new()?.started("frail.service", frail)?, watch)? else {
        return Ok(());
    };
    all.machine.run("touch", &["/run/broken"])?;
    all.machine.run("systemctl", &["kill", "--signal=KILL", "frail.service"])?;
    escalated(&mut all, "unit.down")?;
    let done = execution(&all, "RB-SERVICE-001")?;
    ensure!(done.verdict == Verdict::Ineffective, "{done:#?}");
    ensure!((done.before["active"], done.after["active"]) == (0, 0), "{done:#?}");
    Ok(())
}

/// systemd brings it back by itself, so whoever looks sees it up.
#[test]
fn a_unit_that_crashes_between_two_looks_is_seen() -> Result<()> {
    let restless = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=always\nRestartSec=100ms\n\
                    ExecStart=/bin/sh -c '[ -e /run/broken ] && exit 1; exec sleep infinity'\n";
    let watch = "[[watch.unit]]\nid = \"it\"\nunit = \"restless.service\"\nrestarts_limit = 4\n";
    let tree = Tree::new()?.started("restless.service", restless)?;
    let Some(mut all) = installed(tree, watch)? else { return Ok(()) };
    // A clean stop and start is no crash.
    all.machine.run("systemctl", &["restart", "restless.service"])?;
    // Killed, it is up again at once. What happened before it was first looked at, nobody counts.
    let about = "SELECT count(*) FROM event WHERE kind = 'unit.crashing'";
    wait::until("it was killed often enough", LIMIT, || {
        if all.provider.database()?.query_row(about, [], |row| row.get::<_, i64>(0))? > 0 {
            return Ok(Some(()));
        }
        let before = all.machine.property("restless.service", "NRestarts")?;
        all.machine.run("systemctl", &["kill", "--signal=KILL", "restless.service"])?;
        wait::until("it is up again", LIMIT, || {
            let now = all.machine.property("restless.service", "NRestarts")?;
            let state = all.machine.property("restless.service", "SubState")?;
            Ok((now != before && state == "running").then_some(()))
        })?;
        Ok(None)
    })
    .with_context(|| all.journal())?;
    let incident = escalated(&mut all, "unit.crashing")?;
    ensure!(incident["watch"] == "it", "{incident:#}");
    ensure!(all.machine.property("restless.service", "ActiveState")? == "active");
    Ok(())
}

/// Nobody has allowed anything to be done to it: then at least it is named.
#[test]
fn who_burns_the_processor_is_named_though_nothing_may_be_done_to_it() -> Result<()> {
    let hog = "[Service]\nExecStart=/bin/sh -c 'while :; do :; done'\n";
    let told = |percent: u32| format!("some avg10=0.00 avg60={percent}.00 avg300=0.00 total=1\n");
    let tree = Tree::new()?
        .started("hog.service", hog)?
        .file("etc/pressure-low", &told(1))?
        .file("etc/pressure-high", &told(80))?
        .started(
            "pressure.service",
            "[Service]\nType=oneshot\nExecStart=/bin/cp /etc/pressure-low /run/pressure\n\
             ExecStart=/bin/mount --bind /run/pressure /proc/pressure/cpu\n",
        )?;
    let watch = "[[watch.processor]]\nid = \"it\"\nlimit_percent = 40\n";
    let Some(mut all) = installed(tree, watch)? else { return Ok(()) };
    all.machine.run("cp", &["/etc/pressure-high", "/run/pressure"])?;
    escalated(&mut all, "processor.pressed")?;
    let notes = "SELECT note FROM event WHERE kind = 'processor.pressed' AND phase = 'raised'";
    let note: String = all.provider.database()?.query_row(notes, [], |row| row.get(0))?;
    ensure!(note.contains("hog.service") && note.contains('%'), "{note:?}");
    let done = execution(&all, "RB-CPU-001")?;
    ensure!(done.verdict == Verdict::Failed, "{done:#?}");
    let counts = &done.steps[0].counts;
    ensure!(counts["hungriest_used_us"] > 100_000 && counts["group_digest"] > 0, "{counts:?}");
    // By the box's own key, and by no name, can it be told who that was.
    let key = std::fs::read(format!("/proc/{}/root/var/lib/orderly/executor/names.key", all.machine.init()))?;
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
    let tag = aws_lc_rs::hmac::sign(&key, b"system.slice/hog.service");
    let digest = u64::from_be_bytes(tag.as_ref()[..8].try_into()?) >> 1;
    ensure!(counts["group_digest"].cast_unsigned() == digest, "{counts:?}");
    let evidence = serde_json::to_string(&all.provider.evidence(TENANT)?)?;
    ensure!(!evidence.contains("hog"), "{evidence}");
    Ok(())
}

/// A real DNS server of the clinic; nothing here can start it again.
#[test]
fn a_service_that_does_not_answer_reaches_a_person() -> Result<()> {
    let server = "[Service]\nExecStart=/usr/sbin/dnsmasq --keep-in-foreground --user=root --conf-file=/dev/null --no-resolv \
                  --no-hosts --port=5353 --listen-address=127.0.0.53 --bind-interfaces --pid-file= \
                  --address=/portal.clinic.test/192.0.2.7 --local=/clinic.test/\n";
    let watch = "[[watch.service]]\nid = \"it\"\ntarget = \"dns://127.0.0.53:5353/portal.clinic.test\"\ntimeout_seconds = 2\n\n\
                 [[watch.service]]\nid = \"unknown\"\ntarget = \"dns://127.0.0.53:5353/nobody.clinic.test\"\ntimeout_seconds = 2\n";
    let tree = Tree::new()?.started("names.service", server)?;
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(());
    }
    let (mut all, _relay) = Installed::apart(tree, watch)?;
    let probe = |all: &Installed, id: &str| -> Result<Value> {
        Ok(serde_json::from_str(&all.machine.run("appliance", &["probe", id])?)?)
    };
    wait::until("the server answers", LIMIT, || Ok((probe(&all, "it")?["reachable"] == 1).then_some(())))?;
    ensure!(probe(&all, "unknown")?["reachable"] == 0, "it does not know that name");
    let about = |all: &Installed, watch: &str| -> Result<i64> {
        let count = "SELECT count(*) FROM event WHERE kind = 'service.unreachable' AND watch = ?1";
        Ok(all.provider.database()?.query_row(count, [watch], |row| row.get(0))?)
    };
    // What is wrong from the beginning is said, and by then the other has been looked at too.
    wait::until("the unknown name is reported", LIMIT, || Ok((about(&all, "unknown")? > 0).then_some(())))
        .with_context(|| all.journal())?;
    ensure!(about(&all, "it")? == 0, "it is said to be wrong before it is");
    all.machine.run("systemctl", &["stop", "names.service"])?;
    let incident = wait::until("a person was told", LIMIT, || {
        all.provider.check()?;
        let listed = all.provider.ask(&["incident", "list"])?;
        let wanted = |i: &&Value| i["watch"] == "it" && i["state"] == "escalated";
        Ok(listed["incidents"].as_array().and_then(|list| list.iter().find(wanted)).cloned())
    })
    .with_context(|| all.journal())?;
    ensure!(incident["kind"] == "service.unreachable", "{incident:#}");
    let reason = incident["reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("no runbook is triggered by service.unreachable"), "{incident:#}");
    Ok(())
}
