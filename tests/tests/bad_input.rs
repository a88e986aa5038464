//! Bad input for the real programs: messages, orders, databases, settings, a full disk, an endless line. Each time: a
//! clear error, nothing lost, and the next good thing works.
//!
//! A clock that is an hour off is in clocks.rs.

mod bad;

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use bad::Mount;
use rusqlite::Connection;
use serde_json::json;
use tests::rig::{Clinic, Practice, Provider, Watch, attack::Intruder, practice::Folder, process::run, wait};

const LIMIT: Duration = Duration::from_secs(120);
/// An executor that beats every second or two is soon missed when it is stopped, or has no room.
const SILENCE: &[&str] = &["silence"];
/// What the agent may have in memory at most, in KB, whatever stands in a log.
const MEMORY_MAX: u64 = 64 << 10;

fn raised(practice: &Practice, watch: &str) -> Result<Vec<serde_json::Value>> {
    let db = practice.provider.database()?;
    let mut query = db.prepare("SELECT readings FROM event WHERE watch = ?1 AND phase = 'raised'")?;
    let all: Vec<String> = query.query_map([watch], |row| row.get(0))?.collect::<Result<_, _>>()?;
    all.iter().map(|text| Ok(serde_json::from_str(text)?)).collect()
}

fn append(log: &Path, text: &str) -> Result<()> {
    Ok(fs::File::options().append(true).create(true).open(log)?.write_all(text.as_bytes())?)
}

/// The line arrives, once, as one line.
fn arrives(practice: &mut Practice, watch: &str) -> Result<()> {
    wait::until(&format!("the line in {watch} arrives"), LIMIT, || {
        practice.check()?;
        Ok((!raised(practice, watch)?.is_empty()).then_some(()))
    })?;
    let came = raised(practice, watch)?;
    ensure!(came == [json!([["lines", 1]])], "{watch}: {came:?}");
    Ok(())
}

/// `excused`: gaps that the test itself has made.
fn proven(practice: &mut Practice, excused: &[&str]) -> Result<()> {
    let mut last = String::new();
    wait::until("all evidence is proven", LIMIT, || {
        practice.check()?;
        let status = practice.clinic.status()?;
        last = status.to_string();
        Ok((status["executor"]["evidence"]["waiting_for_proof"] == 0).then_some(()))
    })
    .with_context(|| last.clone())?;
    practice.verified_bundle(excused).map(drop)
}

#[test]
fn bad_messages_and_bad_orders_are_refused_and_change_nothing() -> Result<()> {
    let folder = Folder::new()?;
    let (uploads, log) = (folder.join("uploads"), folder.join("app.log"));
    fs::create_dir(&uploads)?;
    fs::write(&log, "")?;
    let watch = [("uploads", Watch::Directory(&uploads, 1000)), ("app", Watch::Log(&log, &["ERROR"]))];
    let mut practice = Practice::open(folder, 30, &watch)?;
    practice.start_agent()?;
    bad::frames(&practice.clinic.socket())?;
    practice.check()?;
    bad::syncs(&practice)?;
    practice.check()?;
    bad::orders(&mut practice)?;
    append(&log, "ERROR and all of that changed nothing\n")?;
    arrives(&mut practice, "app")?;
    proven(&mut practice, &[])?;
    practice.clinic.stop()?;
    practice.provider.stop()
}

#[test]
fn a_full_disk_is_said_and_loses_nothing() -> Result<()> {
    let folder = Folder::new()?;
    let state = folder.join("appliance/state");
    fs::create_dir_all(&state)?;
    let Some(disk) = Mount::tmpfs(&state, "24m")? else {
        ensure!(
            std::env::var_os("CI").is_none(),
            "in CI nothing is skipped, but this user may not mount a small disk"
        );
        println!("skipped: this user may not mount a small disk");
        return Ok(());
    };
    let (running, stopped) = (folder.join("running.log"), folder.join("stopped.log"));
    fs::write(&running, "")?;
    fs::write(&stopped, "")?;
    let watch =
        [("running", Watch::Log(&running, &["ERROR"])), ("stopped", Watch::Log(&stopped, &["ERROR"]))];
    let mut practice = Practice::open(folder, 1, &watch)?;
    practice.start_agent()?;
    proven(&mut practice, SILENCE)?;

    // While both run: what is said, and that they go on by themselves once there is room.
    let said = practice.clinic.log("executor")?.len();
    disk.fill()?;
    append(&running, "ERROR while the disk is full\n")?;
    says(&mut practice.clinic, "executor", said, "full")?;
    disk.empty()?;
    arrives(&mut practice, "running")?;

    // When both begin: likewise; they may end, and are started again.
    practice.clinic.stop()?;
    disk.fill()?;
    append(&stopped, "ERROR while nothing could begin\n")?;
    let said = practice.clinic.log("agent")?.len();
    practice.clinic.spawn_executor()?;
    practice.clinic.start_agent()?;
    says(&mut practice.clinic, "agent", said, "full")?;
    disk.empty()?;
    practice.clinic.kill_agent()?;
    practice.clinic.kill_executor()?;
    practice.clinic.start_executor()?;
    practice.clinic.start_agent()?;
    arrives(&mut practice, "stopped")?;
    proven(&mut practice, SILENCE)?;
    practice.clinic.stop()?;
    practice.provider.stop()
}

/// Waits until a program's log holds `word` after its first `from` bytes.
fn says(clinic: &mut Clinic, program: &str, from: usize, word: &str) -> Result<()> {
    let mut said = String::new();
    wait::until(&format!("the {program} says {word:?}"), LIMIT, || {
        said = clinic.log(program)?.get(from..).unwrap_or_default().to_owned();
        Ok(said.contains(word).then_some(()))
    })
    .with_context(|| format!("it says only:\n{said}"))?;
    println!("the {program}: {}", said.lines().find(|line| line.contains(word)).unwrap_or_default());
    Ok(())
}

#[test]
fn an_unreadable_database_is_named_and_left_as_it_is() -> Result<()> {
    let folder = Folder::new()?;
    let log = folder.join("app.log");
    fs::write(&log, "")?;
    let mut practice = Practice::open(folder, 2, &[("app", Watch::Log(&log, &["ERROR"]))])?;
    practice.start_agent()?;
    proven(&mut practice, SILENCE)?;
    practice.clinic.stop()?;
    practice.provider.stop()?;

    let state = practice.clinic.dir.join("state");
    let outbox = Damaged::damage(state.join("agent/outbox.db"))?;
    let from = practice.clinic.log("agent")?.len();
    practice.clinic.start_agent()?;
    says(&mut practice.clinic, "agent", from, "outbox.db")?;
    wait::until("the agent ends", LIMIT, || Ok(practice.clinic.check().err()))?;
    outbox.repair()?;
    practice.clinic.forget();

    // The executor stays, so that it can be asked; it runs nothing.
    let executor = Damaged::damage(state.join("executor/executor.db"))?;
    let from = practice.clinic.log("executor")?.len();
    practice.clinic.spawn_executor()?;
    says(&mut practice.clinic, "executor", from, "executor.db")?;
    let socket = practice.clinic.socket();
    let asked =
        wait::until("the executor lets callers in", LIMIT, || Ok(Intruder::enter(&socket).ok()))?.describe();
    ensure!(asked.is_err(), "an executor without its state describes itself: {asked:?}");
    executor.repair()?;
    practice.clinic.forget();

    let server = Damaged::damage(practice.provider.dir.join("control-plane.db"))?;
    practice.provider.spawn()?;
    wait::until("the control plane ends", LIMIT, || Ok(practice.provider.check().err()))?;
    let said = fs::read_to_string(practice.provider.dir.join("server.log"))?;
    let last = said.lines().rev().take(3).collect::<Vec<_>>().join("\n");
    ensure!(last.contains("control-plane.db"), "the control plane said:\n{last}");
    server.repair()?;

    // With the files put back, everything goes on.
    practice.provider.start()?;
    practice.clinic.start_executor()?;
    practice.clinic.start_agent()?;
    append(&log, "ERROR after the repair\n")?;
    arrives(&mut practice, "app")?;
    proven(&mut practice, SILENCE)
}

/// A database in whose place stands something else.
struct Damaged {
    path: PathBuf,
    whole: Vec<u8>,
    garbage: Vec<u8>,
}

impl Damaged {
    fn damage(path: PathBuf) -> Result<Self> {
        // Whoever closes a database last puts its log into it.
        Connection::open(&path)?.pragma_update(None, "wal_checkpoint", "TRUNCATE")?;
        ensure!(!path.with_extension("db-wal").exists(), "{} is still in use", path.display());
        let whole = fs::read(&path)?;
        let garbage = b"this is no database, whatever its name says\n".repeat(300);
        fs::write(&path, &garbage)?;
        Ok(Self { path, whole, garbage })
    }

    /// Puts the right one back; nobody may have touched the wrong one.
    fn repair(self) -> Result<()> {
        ensure!(fs::read(&self.path)? == self.garbage, "{} was written to", self.path.display());
        Ok(fs::write(&self.path, &self.whole)?)
    }
}

#[test]
fn an_endless_line_costs_no_memory_and_hides_nothing() -> Result<()> {
    let folder = Folder::new()?;
    let log = folder.join("app.log");
    fs::write(&log, "")?;
    let mut practice = Practice::open(folder, 5, &[("app", Watch::Log(&log, &["ERROR"]))])?;
    practice.start_agent()?;
    // A gigabyte that no disk has to hold: what was never written is read as zeros.
    let bytes = 1 << 30;
    fs::File::options().write(true).open(&log)?.set_len(bytes)?;
    append(&log, "\nERROR after it\n")?;
    arrives(&mut practice, "app")?;
    let status = fs::read_to_string(format!("/proc/{}/status", practice.clinic.agent_id()?))?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel keeps count")?;
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse()?;
    println!("a line of {} MB, and at most {peak} KB of memory", bytes / 1_000_000);
    ensure!(peak < MEMORY_MAX, "{peak} KB were needed; at most {MEMORY_MAX} are right");
    practice.clinic.stop()?;
    practice.provider.stop()
}

#[test]
fn a_bad_setting_of_the_appliance_is_named() -> Result<()> {
    let folder = Folder::new()?;
    let uploads = folder.join("uploads");
    let clinic = Clinic::create(
        &folder.join("box"),
        "https://127.0.0.1:8443",
        5,
        &[("uploads", Watch::Directory(&uploads, 1000))],
    )?;
    let path = clinic.dir.join("config.toml");
    let good = fs::read_to_string(&path)?;
    let before = listing(&clinic.dir)?;
    for (from, to, words) in [
        (
            "https://127.0.0.1:8443",
            "http://127.0.0.1:8443",
            ["control_plane.address", "http://127.0.0.1:8443", "must be https"],
        ),
        ("sample_seconds = 0.5", "sample_seconds = -1", ["sample_seconds", "-1", "must be"]),
        ("sample_seconds = 0.5", "sample_secunds = 1", ["sample_secunds", "unknown field", "sample_seconds"]),
        (
            "limit_bytes = 1000",
            "limit_bytes = 0",
            ["watch.directory.uploads.limit_bytes", "0", "must be 1 to"],
        ),
        ("limit_bytes = 1000", "limit_bytes = \"big\"", ["limit_bytes", "big", "u64"]),
    ] {
        ensure!(good.contains(from), "the good file has no {from}");
        fs::write(&path, good.replace(from, to))?;
        for program in ["check-config", "executor", "agent"] {
            let said = run(&mut clinic.command(&[program]), &[2])?.stderr;
            names(&String::from_utf8_lossy(&said), &words)?;
        }
    }
    fs::write(&path, good)?;
    ensure!(listing(&clinic.dir)? == before, "something was written before the settings were good");
    Ok(())
}

#[test]
fn a_bad_setting_of_the_control_plane_is_named() -> Result<()> {
    let folder = Folder::new()?;
    let provider = Provider::init(&folder.join("control-plane"), "msp.example", None)?;
    let path = provider.dir.join("config.toml");
    let good = fs::read_to_string(&path)?;
    let before = listing(&provider.dir)?;
    for (from, to, words) in [
        ("stall_minutes = 30", "stall_minutes = 0", ["stall_minutes", "0", "1"]),
        ("lifetime_seconds = 600", "lifetime_seconds = 86400", ["orders.lifetime_seconds", "86400", "900"]),
        (
            "lifetime_seconds = 600",
            "lifetime_secunds = 600",
            ["lifetime_secunds", "unknown field", "lifetime_seconds"],
        ),
        ("address = \"https://", "address = \"http://", ["listen.address", "http://", "https://"]),
    ] {
        ensure!(good.contains(from), "the good file has no {from}");
        fs::write(&path, good.replace(from, to))?;
        for args in [&["serve"][..], &["serve", "--check-config"]] {
            names(&String::from_utf8_lossy(&provider.run(args, &[2])?.stderr), &words)?;
        }
    }
    ensure!(listing(&provider.dir)? == before, "something was written before the settings were good");
    Ok(())
}

fn names(said: &str, words: &[&str]) -> Result<()> {
    match words.iter().find(|word| !said.contains(**word)) {
        Some(word) => bail!("it should name {word:?}, but says:\n{said}"),
        None => Ok(()),
    }
}

fn listing(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(e) if e.kind() == ErrorKind::NotADirectory => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            all.push(path.clone());
            open.push(path);
        }
    }
    all.sort();
    Ok(all)
}
