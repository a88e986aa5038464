//! What an appliance heals when it cannot tell anybody: no way out, or an outbox that cannot be written to. As root.

use std::{
    fs::OpenOptions,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use proto::evidence::{Body, Execution, Verdict, peek};
use rusqlite::OptionalExtension as _;
use tests::rig::{Installed, Tree, machine, wait};

const LIMIT: Duration = Duration::from_secs(90);

/// Whether no machine can be booted here, which is said.
fn is_left_out() -> Result<bool> {
    let why = machine::unavailable()?;
    if let Some(why) = &why {
        println!("skipped: {why}");
    }
    Ok(why.is_some())
}

/// What a query of one of the appliance's databases gives first, as text; from within, for SQLite goes by paths. `None`: it
/// cannot be asked now, or has nothing to say.
fn asked(all: &Installed, name: &str, query: &str) -> Result<Option<String>> {
    let program = "import sqlite3, sys\n\
                   db = sqlite3.connect('file:/var/lib/orderly/%s?mode=ro' % sys.argv[1], uri=True)\n\
                   print(db.execute(sys.argv[2]).fetchone()[0])";
    let output = all.machine.command("python3", &["-c", program, name, query]).output()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok((output.status.success() && !said.is_empty()).then_some(said))
}

/// A path of the machine as this host reaches it.
fn inside(all: &Installed, path: &str) -> PathBuf {
    Path::new(&format!("/proc/{}/root", all.machine.init())).join(path.trim_start_matches('/'))
}

/// Waits until the box has a standing order for a runbook.
fn has_standing_order(all: &mut Installed, runbook: &str) -> Result<()> {
    wait::until("the box has a standing order", LIMIT, || {
        all.provider.check()?;
        let count = format!("SELECT count(*) FROM standing WHERE runbook = '{runbook}'");
        let kept = asked(all, "executor/executor.db", &count)?;
        Ok(kept.filter(|count| count != "0").map(drop))
    })
    .with_context(|| all.journal())
}

/// The execution of a runbook, once the control plane has its evidence.
fn execution(all: &mut Installed, runbook: &str) -> Result<Execution> {
    let found = wait::until(&format!("the evidence of {runbook} has arrived"), LIMIT, || {
        all.provider.check()?;
        let query = "SELECT envelope FROM evidence WHERE kind = 'execution' AND summary LIKE ?1 || ' %'";
        let db = all.provider.database()?;
        let envelope: Option<Vec<u8>> = db.query_row(query, [runbook], |row| row.get(0)).optional()?;
        envelope.map(|envelope| Ok(peek(&envelope)?.body)).transpose()
    })
    .with_context(|| all.journal())?;
    match found {
        Body::Execution(execution) => Ok(*execution),
        other => bail!("not an execution: {}", other.kind()),
    }
}

#[test]
fn a_lost_uplink_is_restarted_while_nobody_outside_can_be_asked() -> Result<()> {
    if is_left_out()? {
        return Ok(());
    }
    let keeper = "[Service]\nType=oneshot\nRemainAfterExit=yes\n\
                  ExecStart=/bin/sh -c 'ip link add uplink0 type veth peer name far0 && ip link set far0 up; ip addr replace 192.0.2.2/24 dev uplink0; \
                  ip link set uplink0 up; ip route replace default via 192.0.2.1 dev uplink0'\n";
    let tree = Tree::new()?.started("keeper.service", keeper)?;
    let watch = "[[watch.uplink]]\nid = \"it\"\ninterface = \"uplink0\"\nunit = \"keeper.service\"\n";
    let (mut all, relay) = Installed::apart(tree, watch)?;
    has_standing_order(&mut all, "RB-NET-001")?;
    relay.cut(true);
    all.machine.run("ip", &["route", "del", "default"])?;
    wait::until("there is a way out again", LIMIT, || {
        let routes = all.machine.run("ip", &["route", "show", "default"])?;
        Ok(routes.contains("uplink0").then_some(()))
    })
    .with_context(|| all.journal())?;
    relay.cut(false);
    let done = execution(&mut all, "RB-NET-001")?;
    ensure!(done.verdict == Verdict::Repaired, "{done:#?}");
    ensure!((done.before["route"], done.after["route"]) == (0, 1), "{done:#?}");
    let used = done.order.standing.context("nobody could send an order")?;
    ensure!(used.trigger == "uplink.lost", "{used:?}");
    Ok(())
}

/// With a damaged outbox the agent cannot speak, so nobody can order anything; and of the evidence nothing may be lost.
#[test]
fn a_damaged_outbox_is_begun_anew_by_a_standing_order_and_no_evidence_is_lost() -> Result<()> {
    if is_left_out()? {
        return Ok(());
    }
    let watch = "[[watch.store]]\nid = \"it\"\n\n[[watch.unit]]\nid = \"frail\"\nunit = \"frail.service\"\n";
    let frail = "[Service]\nExecStart=/bin/sleep infinity\nRestart=no\n";
    let (mut all, relay) = Installed::apart(Tree::new()?.started("frail.service", frail)?, watch)?;
    has_standing_order(&mut all, "RB-INTEGRITY-001")?;
    let stream = |all: &Installed| asked(all, "agent/outbox.db", "SELECT hex(id) FROM stream");
    let before = stream(&all)?.context("an outbox is a stream")?;
    // Something waits to be told, and more evidence is made that cannot be sent.
    relay.cut(true);
    all.machine.run("systemctl", &["kill", "--signal=KILL", "frail.service"])?;
    wait::until("an event waits in the outbox", LIMIT, || {
        let waiting = asked(&all, "agent/outbox.db", "SELECT count(*) FROM record WHERE rank < 2")?;
        Ok(waiting.filter(|count| count != "0").map(drop))
    })?;
    // As a dying disk does it, while the agent is away. What a reader has kept of the log beside it goes, too.
    let path = inside(&all, "/var/lib/orderly/agent/outbox.db");
    all.machine.run("systemctl", &["stop", "orderly-agent.service"])?;
    let file = OpenOptions::new().write(true).open(&path)?;
    file.write_all_at(&[0xa5; 64], 0)?;
    file.sync_all()?;
    let log = path.with_file_name("outbox.db-wal");
    if log.exists() {
        OpenOptions::new().write(true).open(&log)?.set_len(0)?;
    }
    let started = all.machine.command("systemctl", &["start", "orderly-agent.service"]).output()?;
    ensure!(!started.status.success(), "an agent that cannot open its outbox does not start");
    wait::until("the outbox is another", LIMIT, || Ok(stream(&all)?.filter(|now| *now != before).map(drop)))
        .with_context(|| all.journal())?;
    let (owner, now) = (all.machine.run("id", &["-u", "orderly-agent"])?, path.metadata()?);
    ensure!(now.uid().to_string() == owner.trim() && now.mode() & 0o777 == 0o600, "{:o}", now.mode());
    relay.cut(false);
    let done = execution(&mut all, "RB-INTEGRITY-001")?;
    ensure!(done.verdict == Verdict::Repaired, "{done:#?}");
    ensure!((done.before["outbox_damaged"], done.after["outbox_damaged"]) == (1, 0), "{done:#?}");
    ensure!(done.order.standing.is_some(), "nobody could send an order: {done:#?}");
    // Every record from the first on, up to the execution itself and beyond.
    wait::until("all evidence has arrived", LIMIT, || {
        all.provider.check()?;
        let (count, last): (i64, i64) = all.provider.database()?.query_row(
            "SELECT count(DISTINCT chain_index), max(chain_index) FROM evidence",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok((count == last + 1).then_some(()))
    })
    .with_context(|| all.journal())?;
    Ok(())
}
