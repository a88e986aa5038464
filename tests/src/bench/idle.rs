//! What an appliance costs that has nothing to do: agent and executor under real systemd, every kind of source on, at
//! the intervals that they have by default.

use std::{sync::mpsc, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{Effort, report::Row};
use crate::rig::{Installed, Tree, machine, usage};

/// Goals for both processes together: MB, and share of one core in percent.
const MEMORY: f64 = 16.0;
const SHARE: f64 = 0.1;
/// What follows the start is no idleness: the first look at everything, the first scan.
const SETTLING: Duration = Duration::from_secs(90);

/// One of each kind.
const WATCH: &str = r#"
[[watch.directory]]
id = "uploads"
path = "/srv/uploads"
limit_bytes = 50_000_000
[[watch.log]]
id = "portal"
path = "/var/log/portal.log"
raise = ["ERROR", "panic"]
forward = "all"
[[watch.metric]]
id = "memory-used"
metric = "memory-used-percent"
above = 99
[[watch.metric]]
id = "processor-used"
metric = "cpu-used-percent"
above = 100
[[watch.journal]]
id = "journal"
raise = ["out of paper"]
[[watch.unit]]
id = "portal-unit"
unit = "portal.service"
[[watch.filesystem]]
id = "root"
path = "/"
limit_percent = 99
[[watch.processor]]
id = "processor"
limit_percent = 99
[[watch.memory]]
id = "memory"
limit_percent = 99
[[watch.clock]]
id = "clock"
[[watch.service]]
id = "bus"
target = "tcp://127.0.0.1:9"
[[watch.uplink]]
id = "uplink"
interface = "lo"
[[watch.store]]
id = "store"
[[watch.footprint]]
id = "footprint"
resident_limit_mb = 64
[[watch.baseline]]
id = "baseline"
"#;

/// What both processes use.
struct Used {
    time: Duration,
    resident: u64,
    proportional: u64,
}

pub(super) fn run(effort: &Effort) -> Result<Vec<Row>> {
    if let Some(why) = machine::unavailable()? {
        println!("left out: {why}");
        return Ok(Vec::new());
    }
    let tree = Tree::new()?
        .started("portal.service", "[Service]\nExecStart=/bin/sleep infinity\n")?
        .file("var/log/portal.log", "portal begins\n")?
        .file("srv/uploads/one", "scan")?;
    let mut all = Installed::open(tree, WATCH)?;
    // The rig looks twice a second and signs every two: the product's own intervals count here.
    let config = "/etc/orderly/appliance.toml";
    let edit = "s/^sample_seconds = .*//; s/^heartbeat_seconds = .*//";
    all.machine.run("sed", &["-i", edit, config])?;
    all.machine.run("systemctl", &["restart", "orderly-executor.service", "orderly-agent.service"])?;
    pause(SETTLING.min(Duration::from_secs(effort.idle_seconds)));
    let before = used(&all)?;
    pause(Duration::from_secs(effort.idle_seconds));
    let after = used(&all)?;
    all.provider.check()?;
    let share = (after.time - before.time).as_secs_f64() / effort.idle_seconds as f64 * 100.0;
    let (resident, proportional) = (after.resident as f64 / 1e6, after.proportional as f64 / 1e6);
    Ok(vec![
        Row::of_times(
            "agent and executor together, every kind of source on, nothing to do: resident memory, every page of each".into(),
            "MB",
            "the goal",
            (resident, MEMORY),
            1.0,
        ),
        Row::of_times(
            "the same with pages that both share counted once (PSS)".into(),
            "MB",
            "the goal for resident memory",
            (proportional, MEMORY),
            1.0,
        ),
        Row::of_times(
            format!("the same: share of one core over {} s", effort.idle_seconds),
            "%",
            "the goal",
            (share.max(0.001), SHARE),
            1.0,
        ),
    ])
}

fn used(all: &Installed) -> Result<Used> {
    let mut used = Used { time: Duration::ZERO, resident: 0, proportional: 0 };
    for unit in ["orderly-agent.service", "orderly-executor.service"] {
        let id = all.machine.property(unit, "MainPID")?;
        ensure!(id != "0", "{unit} does not run:\n{}", all.journal());
        let read = |file: &str| all.machine.run("cat", &[&format!("/proc/{id}/{file}")]);
        used.time += usage::processor_time_of(&read("stat")?).with_context(|| unit.to_owned())?;
        let memory = read("smaps_rollup")?;
        used.resident += usage::kilobytes(&memory, "Rss")? << 10;
        used.proportional += usage::kilobytes(&memory, "Pss")? << 10;
    }
    Ok(used)
}

fn pause(time: Duration) {
    let (_kept, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}
