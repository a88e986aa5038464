//! What the appliance may use of its box: the limits of its units as installed, and that the agent which reaches them
//! drops telemetry with a gap rather than die. As root.

use std::{fs, io::Write as _, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tests::rig::{
    Installed, Practice, Tree, Watch, machine,
    practice::{Folder, TENANT},
    wait,
};

const LIMIT: Duration = Duration::from_secs(60);
/// At most 256 entries may be watched.
const DIRECTORIES: usize = 200;
/// As `MemoryMax=` of the agent's unit.
const MEMORY_MAX: u64 = 64 << 20;

/// The footprint is in the evidence, and so in what the control plane shows.
#[test]
fn heartbeats_say_what_the_appliance_costs() -> Result<()> {
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(());
    }
    let mut all = Installed::open(Tree::new()?, "")?;
    let list = all.provider.ask(&["appliance", "list"])?;
    let id = list["appliances"][0]["id"].as_str().context("an appliance has an ID")?.to_owned();
    let seen = wait::until("a heartbeat tells of agent and executor", LIMIT, || {
        all.provider.check()?;
        let seen = all.provider.ask(&["appliance", "show", &id])?["footprint"].clone();
        Ok((seen["agent_resident_kb"].as_u64() > Some(0) && seen["over_ms"].as_u64() < Some(60_000))
            .then_some(seen))
    })?;
    println!("{seen}");
    let resident = |unit: &str| -> Result<u64> {
        let process = all.machine.property(unit, "MainPID")?;
        let line = all.machine.run("grep", &["VmRSS", &format!("/proc/{process}/status")])?;
        Ok(line.split_whitespace().nth(1).context("a number")?.parse()?)
    };
    for (name, unit) in
        [("agent_resident_kb", "orderly-agent.service"), ("executor_resident_kb", "orderly-executor.service")]
    {
        let (said, now) = (seen[name].as_u64().context("a number")?, resident(unit)?);
        ensure!(said > now / 2 && said < now * 2, "{unit} has {now} KB, and the evidence says {said}");
    }
    ensure!(seen["cpu_ms"].as_u64() < seen["over_ms"].as_u64(), "{seen}");
    Ok(())
}

#[test]
fn both_units_are_limited_as_installed() -> Result<()> {
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(());
    }
    let all = Installed::open(Tree::new()?, "")?;
    for unit in ["orderly-agent.service", "orderly-executor.service"] {
        let number = |property: &str| -> Result<u64> {
            let value = all.machine.property(unit, property)?;
            value.parse().with_context(|| format!("{unit}: {property} = {value}: there must be a limit"))
        };
        ensure!(number("MemoryMax")? <= 512 << 20 && number("MemoryHigh")? < number("MemoryMax")?, "{unit}");
        ensure!(number("TasksMax")? <= 128, "{unit}");
        ensure!(number("LimitNOFILE")? <= 4096, "{unit}");
        let quota = all.machine.property(unit, "CPUQuotaPerSecUSec")?;
        ensure!(["250ms", "1s"].contains(&quota.as_str()), "{unit}: CPUQuota {quota}");
        // By the kernel's own word, where no controller is needed.
        let process = all.machine.property(unit, "MainPID")?;
        let limits = all.machine.run("grep", &["Max open files", &format!("/proc/{process}/limits")])?;
        let wanted = number("LimitNOFILE")?.to_string();
        ensure!(limits.split_whitespace().nth(4) == Some(&wanted), "{unit}: {limits}");
    }
    Ok(())
}

/// A memory cgroup (version 1) of this host with the limit of the agent's unit, and no swap to hide in.
struct Cramped(PathBuf);

impl Cramped {
    fn around(process: u32) -> Result<Option<Self>> {
        let path = PathBuf::from(format!("/sys/fs/cgroup/memory/orderly-limits-{}", std::process::id()));
        if fs::create_dir(&path).is_err() {
            return Ok(None);
        }
        let made = Self(path);
        fs::write(made.0.join("memory.limit_in_bytes"), MEMORY_MAX.to_string())?;
        fs::write(made.0.join("cgroup.procs"), process.to_string())?;
        Ok(Some(made))
    }

    fn number(&self, file: &str) -> Result<u64> {
        Ok(fs::read_to_string(self.0.join(file))?.trim().parse()?)
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        // Its process is gone by now, or soon.
        let _ = wait::until("the cgroup is empty", Duration::from_secs(5), || {
            Ok(fs::remove_dir(&self.0).is_ok().then_some(()))
        });
    }
}

/// A small outbox, logs that never end, directories that are full and empty by turns, and no control plane.
#[test]
fn an_agent_at_its_limits_drops_telemetry_says_so_and_keeps_evidence() -> Result<()> {
    let folder = Folder::new()?;
    let log = folder.join("endless.log");
    fs::write(&log, "")?;
    let directories: Vec<PathBuf> = (0..DIRECTORIES).map(|n| folder.join(&format!("world/{n:03}"))).collect();
    for directory in &directories {
        fs::create_dir_all(directory)?;
    }
    let names: Vec<String> = (0..DIRECTORIES).map(|n| format!("directory-{n:03}")).collect();
    let watched = names.iter().zip(&directories);
    let mut watch: Vec<(&str, Watch<'_>)> =
        watched.map(|(name, path)| (name.as_str(), Watch::Directory(path, 1000))).collect();
    watch.push(("endless", Watch::Log(&log, &["ERROR"])));
    let mut practice = Practice::open(folder, 1, &watch)?;
    let config = practice.clinic.dir.join("config.toml");
    let small = "[agent]\noutbox_max_mb = 2\nevidence_reserve_mb = 1\n";
    fs::write(&config, fs::read_to_string(&config)?.replace("[agent]\n", small))?;
    practice.start_agent()?;
    let Some(cramped) = Cramped::around(practice.clinic.agent_id()?)? else {
        ensure!(
            std::env::var_os("CI").is_none(),
            "in CI nothing is skipped, but no memory cgroup can be made here"
        );
        println!("skipped: this user may not make a memory cgroup");
        return Ok(());
    };
    practice.provider.kill()?;
    let block = format!("ERROR {}\n", "x".repeat(180)).repeat(20_000);
    let (mut written, mut full) = (0, false);
    wait::until("telemetry is dropped", Duration::from_secs(600), || {
        practice.clinic.check()?;
        full = !full;
        for directory in &directories {
            fs::write(directory.join("file"), vec![0; if full { 2000 } else { 1 }])?;
        }
        let mut endless = fs::File::options().append(true).open(&log)?;
        if endless.metadata()?.len() > 64 << 20 {
            endless.set_len(0)?;
        }
        endless.write_all(block.as_bytes())?;
        written += block.len();
        let status = practice.clinic.status()?;
        Ok((status["outbox"]["dropped"].as_u64() > Some(0)).then_some(()))
    })?;
    let peak = cramped.number("memory.max_usage_in_bytes")?;
    println!("{} MB of lines, at most {} MB of memory", written >> 20, peak >> 20);
    let waiting =
        practice.clinic.status()?["executor"]["evidence"]["made"].as_u64().context("evidence was made")?;
    practice.provider.start()?;
    wait::until("the gap is told, and all evidence of the time without comes", LIMIT, || {
        practice.check()?;
        let gap = "SELECT count(*) FROM gap WHERE cause = 'buffer-full'";
        let gaps: i64 = practice.provider.database()?.query_row(gap, [], |row| row.get(0))?;
        let came = practice.provider.evidence(TENANT)?.len() as u64;
        Ok((gaps > 0 && came >= waiting).then_some(()))
    })?;
    // What was dropped is missing, and an auditor is told why.
    ensure!(practice.verified_bundle(&["silence", "reported"])? == 3);
    practice.clinic.stop()?;
    practice.provider.stop()
}
