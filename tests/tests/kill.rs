//! kill -9 at random moments under load, against the real programs: every event once, every order at most once, every
//! chain whole.
//!
//! `KILLS=n` for more or fewer; `SEED=n` for the same choices again (the programs' own timing is the machine's).
//!
//! What "once" is measured with: one log file for every line that is ever written, because a fault that goes on is said
//! again only after minutes, and a second line in the same log would rightly say nothing. So every line must become
//! exactly one `raised` event that counts one line; and every directory is over its limit once, so that every order has
//! a fault of its own and no cooldown hides one.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use proto::evidence::{Body, Execution, peek};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tests::{
    clock,
    rig::{Practice, Watch, practice::Folder, process::run, restic::Repository, wait},
};

const KILLS: u64 = 200;
/// The longest that the three programs are left in peace, in milliseconds.
const PEACE: u64 = 1000;
/// Log files at most: each costs every look of the agent a little.
const LOGS: u64 = 80;
/// Directories that will be over their limit; RB-DISK-002 runs at most 12 times an hour.
const DIRECTORIES: u64 = 10;
/// Repositories whose newest backup will be too old.
const REPOSITORIES: usize = 3;
const LIMIT_BYTES: u64 = 1_000_000;
/// Many small files: a repair that takes long enough to be hit.
const FILES: usize = 2000;
const FILE_BYTES: usize = 1000;
/// Everything is up and nobody is killed any more: it must come to rest within this.
const HEALING: Duration = Duration::from_secs(120);
/// The last log of the watch list is not there: once it is reported, all before it have been looked at.
const CANARY: &str = "zz-canary";

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, is {text:?}")))
}

#[test]
fn whatever_is_killed_nothing_is_lost_or_done_twice() -> Result<()> {
    let kills = number("KILLS").unwrap_or(KILLS);
    ensure!(kills > 0, "KILLS must be at least 1: no kill proves nothing");
    let seed = number("SEED").unwrap_or_else(|| clock::now().0.unsigned_abs());
    println!(
        "{kills} kills; again: SEED={seed} KILLS={kills} cargo test -p tests --test kill -- --nocapture"
    );
    let mut load = Load::new(Folder::new()?, kills)?;
    let mut practice = load.practice()?;
    let killed = storm(&mut practice, &mut load, kills, seed)?;
    println!("killed: {killed:?}");
    heal(&mut practice, &load)?;
    println!("{}", judge(&practice, &load)?);
    practice.clinic.stop()?;
    practice.provider.stop()
}

/// What gives the programs something to do.
struct Load {
    folder: Option<Folder>,
    logs: Vec<PathBuf>,
    directories: Vec<PathBuf>,
    repositories: Vec<Repository>,
    written: usize,
    filled: usize,
    outdated: usize,
}

impl Load {
    fn new(folder: Folder, kills: u64) -> Result<Self> {
        let world = folder.join("world");
        let logs: Vec<_> = (0..kills.min(LOGS)).map(|n| world.join(format!("log-{n:03}.log"))).collect();
        let directories: Vec<_> = (0..DIRECTORIES).map(|n| world.join(format!("directory-{n}"))).collect();
        for directory in &directories {
            fs::create_dir_all(directory)?;
            fill(&aside(directory))?;
        }
        for log in &logs {
            fs::write(log, "what stood here before is no news: ERROR\n")?;
        }
        let mut repositories = Vec::new();
        for number in 0..REPOSITORIES {
            let repository = Repository::create(&world, &format!("records-{number}"))?;
            repository.backup(None)?;
            run(Command::new("cp").arg("-r").arg(&repository.path).arg(aside(&repository.path)), &[0])?;
            Repository { path: aside(&repository.path), ..repository.clone() }.make_stale()?;
            repositories.push(repository);
        }
        Ok(Self { folder: Some(folder), logs, directories, repositories, written: 0, filled: 0, outdated: 0 })
    }

    /// The programs that look after it, all of them running, every log looked at once.
    fn practice(&mut self) -> Result<Practice> {
        let folder = self.folder.take().context("asked for once")?;
        let canary = folder.join("world/none.log");
        let mut watch = vec![(CANARY, Watch::Log(&canary, &["ERROR"]))];
        for path in &self.directories {
            watch.push((name(path)?, Watch::Directory(path, LIMIT_BYTES)));
        }
        for repository in &self.repositories {
            let folder = repository.path.parent().context("it lies in a folder")?;
            watch.push((name(folder)?, Watch::Backup(repository)));
        }
        for path in &self.logs {
            watch.push((name(path)?, Watch::Log(path, &["ERROR"])));
        }
        let mut practice = Practice::open(folder, 2, &watch)?;
        practice.start_agent()?;
        practice.provider.incident(CANARY, &["escalated"], HEALING)?;
        Ok(practice)
    }

    /// Does what is due when `part` of `whole` is over.
    fn go_on(&mut self, part: u64, whole: u64) -> Result<()> {
        let due = |all: usize| usize::try_from(part * all as u64 / whole).unwrap_or(all);
        while self.written < due(self.logs.len()) {
            let mut log = fs::File::options().append(true).open(&self.logs[self.written])?;
            log.write_all(format!("ERROR number {}\n", self.written).as_bytes())?;
            self.written += 1;
        }
        while self.filled < due(self.directories.len()) {
            let directory = &self.directories[self.filled];
            // In one go: a repair that runs while files still arrive would rightly be called ineffective.
            fs::rename(aside(directory), directory.join("scans"))?;
            self.filled += 1;
        }
        while self.outdated < due(self.repositories.len()) {
            // At once as well: without a repository for a moment, it would be a broken one.
            let path = &self.repositories[self.outdated].path;
            renameat2(AT_FDCWD, path, AT_FDCWD, &aside(path), RenameFlags::RENAME_EXCHANGE)?;
            self.outdated += 1;
        }
        Ok(())
    }
}

fn aside(directory: &Path) -> PathBuf {
    directory.with_extension("aside")
}

fn name(path: &Path) -> Result<&str> {
    path.file_stem().and_then(|name| name.to_str()).context("a name in UTF-8")
}

fn fill(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    (0..FILES).try_for_each(|n| Ok(fs::write(directory.join(format!("{n:04}.bin")), [b'x'; FILE_BYTES])?))
}

/// Kills and starts again. Nobody may end by themselves, however they are interrupted.
fn storm(
    practice: &mut Practice,
    load: &mut Load,
    kills: u64,
    seed: u64,
) -> Result<BTreeMap<&'static str, u64>> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut killed = BTreeMap::new();
    for kill in 0..kills {
        load.go_on(kill + 1, kills)?;
        // Not a wait for anything: the moment of the kill is the choice.
        wait::pause(Duration::from_millis(chance.random_range(0..PEACE)));
        practice.check().with_context(|| format!("before kill {kill}"))?;
        let clinic = &mut practice.clinic;
        let victim = ["executor", "agent", "control plane"][chance.random_range(0..3)];
        match victim {
            "executor" => clinic.kill_executor().and_then(|()| clinic.spawn_executor())?,
            "agent" => clinic.kill_agent().and_then(|()| clinic.start_agent())?,
            _ => practice.provider.kill().and_then(|()| practice.provider.spawn())?,
        }
        *killed.entry(victim).or_insert(0) += 1;
    }
    Ok(killed)
}

/// Lets everything come to rest: all was seen, nothing waits, all is proven, no incident hangs.
fn heal(practice: &mut Practice, load: &Load) -> Result<()> {
    // After many failures in a row an agent pauses for up to a minute; a new one asks at once.
    practice.clinic.kill_agent()?;
    practice.clinic.start_agent()?;
    let mut last = String::new();
    wait::until("everything comes to rest", HEALING, || {
        practice.check()?;
        last = unrest(practice, load)?;
        Ok(last.is_empty().then_some(()))
    })
    .with_context(|| format!("still: {last}"))
}

/// What is not at rest; empty: everything is.
fn unrest(practice: &Practice, load: &Load) -> Result<String> {
    let Ok(status) = practice.clinic.status() else { return Ok("the appliance cannot be looked at".into()) };
    let (outbox, executor) = (&status["outbox"], &status["executor"]);
    if outbox["events"] != 0 || outbox["evidence"] != 0 || !outbox["on_its_way"].is_null() {
        return Ok(format!("the outbox is not empty: {outbox}"));
    }
    if executor["evidence"]["waiting_for_proof"] != 0 {
        return Ok(format!("evidence is not proven: {}", executor["evidence"]));
    }
    let open = |state: &str| matches!(state, "accepted" | "running");
    let executions = executor["orders"]["executions"].as_array().context("executions are a list")?;
    if let Some(open) = executions.iter().find(|e| e["state"].as_str().is_none_or(open)) {
        return Ok(format!("an order is not over: {open}"));
    }
    let db = practice.provider.database()?;
    // An outbox is also empty before the first look of an agent that has just begun.
    let raised: i64 = db.query_row(
        "SELECT count(DISTINCT watch) FROM event WHERE phase = 'raised' AND watch != ?1",
        [CANARY],
        |row| row.get(0),
    )?;
    let faults = (load.logs.len() + load.directories.len() + load.repositories.len()) as i64;
    if raised < faults {
        return Ok(format!("{raised} of {faults} faults came"));
    }
    // What a guardrail holds back says so, and is as it should be; an order that is out is not.
    let mut hanging = db.prepare(
        "SELECT watch || ' is ' || state || ': ' || reason FROM incident
         WHERE state IN ('open', 'ordered') OR (state = 'planned' AND reason NOT LIKE 'guardrail %')",
    )?;
    let hanging: Vec<String> = hanging.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(hanging.join("; "))
}

/// Holds what is in the control plane's database and in the bundle against what was done. Gives it in a sentence.
fn judge(practice: &Practice, load: &Load) -> Result<String> {
    let db = practice.provider.database()?;
    events_came_once(&db, load)?;
    let gaps: i64 = db.query_row("SELECT count(*) FROM gap", [], |row| row.get(0))?;
    ensure!(gaps == 0, "{gaps} gaps were recorded; nothing was too much for any outbox");
    let chain = chain_is_whole(&db, practice)?;
    let executions = orders_ran_once(&db)?;
    // With a heartbeat every two seconds, one that is killed again and again is missed; nothing else may be.
    let code = practice.verified_bundle(&["silence"])?;
    let backups = backups_ran_once(&db, load)?;
    let orders: i64 = db.query_row("SELECT count(*) FROM \"order\"", [], |row| row.get(0))?;
    let (logs, directories) = (load.logs.len(), load.directories.len());
    Ok(format!(
        "{logs} log lines and {directories} directories came once each; {orders} orders, executed {executions:?}; \
         {backups}; {chain} records in one chain; the verifier ends with {code}"
    ))
}

fn events_came_once(db: &rusqlite::Connection, load: &Load) -> Result<()> {
    for (kind, all) in [("log.match", &load.logs), ("directory.over-limit", &load.directories)] {
        let mut query = db.prepare(
            "SELECT watch, readings FROM event WHERE kind = ?1 AND phase = 'raised' AND watch != ?2",
        )?;
        let mut came: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
        let mut rows = query.query([kind, CANARY])?;
        while let Some(row) = rows.next()? {
            let readings: String = row.get(1)?;
            came.entry(row.get(0)?).or_default().push(serde_json::from_str(&readings)?);
        }
        for path in all {
            let readings = came.remove(name(path)?).unwrap_or_default();
            let [only] = readings.as_slice() else {
                bail!("{kind} of {} came {} times", path.display(), readings.len())
            };
            ensure!(kind != "log.match" || *only == json!([["lines", 1]]), "{}: {only}", path.display());
        }
        ensure!(came.is_empty(), "{kind} came of what had nothing: {came:?}");
    }
    let doubled: i64 = db.query_row(
        "SELECT count(*) - count(DISTINCT appliance || kind || watch) FROM incident",
        [],
        |row| row.get(0),
    )?;
    ensure!(doubled == 0, "{doubled} faults have more than one incident");
    Ok(())
}

/// One chain of one incarnation, from 0 to its end, nothing twice. Gives its length.
fn chain_is_whole(db: &rusqlite::Connection, practice: &Practice) -> Result<u64> {
    let made = || -> Result<u64> {
        practice.clinic.status()?["executor"]["evidence"]["made"].as_u64().context("a number")
    };
    let before = made()?;
    wait::until("what was made has arrived", HEALING, || {
        let arrived: i64 = db.query_row("SELECT count(*) FROM evidence", [], |row| row.get(0))?;
        Ok((arrived.cast_unsigned() >= before).then_some(()))
    })?;
    let mut query = db.prepare("SELECT chain_index FROM evidence ORDER BY chain_index")?;
    let places: Vec<i64> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    ensure!(places.iter().copied().eq(0..places.len() as i64), "the chain has holes or doubles: {places:?}");
    let length = places.len() as u64;
    // Heartbeats are made all the time.
    let after = made()?;
    ensure!(
        (before..=after).contains(&length),
        "{length} records arrived, the executor made {before} to {after}"
    );
    Ok(length)
}

/// A second run of a backup would be a second snapshot; a second run of a pruning finds nothing left and shows nothing.
fn backups_ran_once(db: &rusqlite::Connection, load: &Load) -> Result<String> {
    let mut all = 0;
    for repository in &load.repositories {
        let watch = name(repository.path.parent().context("it lies in a folder")?)?;
        let orders: i64 = db.query_row(
            "SELECT count(*) FROM \"order\" JOIN incident ON incident.id = \"order\".incident WHERE watch = ?1",
            [watch],
            |row| row.get(0),
        )?;
        // One is of long ago, and made it stale.
        let made = repository.snapshots()?.len() as i64 - 1;
        ensure!((0..=orders).contains(&made), "{watch}: {orders} orders, {made} backups");
        all += made;
    }
    ensure!(all > 0, "no backup came to its end: this proves little");
    Ok(format!("{all} backups made"))
}

/// Every order has at most one end, by its evidence and by the control plane's books. Gives how they ended.
fn orders_ran_once(db: &rusqlite::Connection) -> Result<BTreeMap<String, usize>> {
    let mut query = db.prepare("SELECT envelope FROM evidence WHERE kind = 'execution'")?;
    let envelopes: Vec<Vec<u8>> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let (mut orders, mut verdicts) = (BTreeMap::new(), BTreeMap::new());
    for envelope in envelopes {
        let Body::Execution(execution) = peek(&envelope)?.body else { bail!("an execution is no execution") };
        let Execution { order, verdict, steps, .. } = *execution;
        ensure!(steps.len() <= 1, "order {} has {} steps, its runbook one", order.id, steps.len());
        let before = orders.insert(order.id, order.sequence);
        ensure!(before.is_none(), "order {} was executed twice", order.id);
        *verdicts.entry(format!("{verdict:?}")).or_insert(0) += 1;
    }
    ensure!(orders.len() >= 4, "only {} orders ran: this proves little", orders.len());
    let executed: i64 =
        db.query_row("SELECT count(*) FROM \"order\" WHERE state = 'executed'", [], |row| row.get(0))?;
    ensure!(
        executed == orders.len() as i64,
        "{executed} orders count as executed, {} have evidence",
        orders.len()
    );
    let twice: i64 = db.query_row(
        "SELECT count(*) FROM (SELECT 1 FROM \"order\" WHERE state = 'executed' GROUP BY incident HAVING count(*) > 1)",
        [],
        |row| row.get(0),
    )?;
    ensure!(twice == 0, "{twice} incidents had more than one order executed");
    Ok(verdicts)
}
