//! Logs watched, and logs forwarded whole: lines for each second of processor time, memory, and how long one line takes.
//!
//! Each follows a file of its own with the same lines, in turns. Ours is agent and executor together; what the control
//! plane needs is the provider's. Theirs goes to a sink on the loopback without TLS, and redacts nothing.

mod contest;
mod ours;
mod theirs;

use std::path::Path;

use anyhow::Result;

use self::{
    contest::{Contender, Runner},
    ours::Ours,
    theirs::{Tailer, Theirs},
};
use super::{Effort, report::Row};
use crate::rig::log_text;

/// Goals: how many times rsyslog's lines for each second of processor time.
const WATCHING: f64 = 8.0;
const FORWARDING: f64 = 2.0;
/// Goal for the agent's memory at its peak, in MB.
const MEMORY: f64 = 32.0;
/// Goal for a line until it is acknowledged, in milliseconds; the median.
const LATENCY: f64 = 250.0;

pub(super) fn run(work: &Path, effort: &Effort, whole: bool) -> Result<Vec<Row>> {
    let mut ours = Ours::new(work, whole)?;
    let mut rsyslog = Theirs::new(work, whole)?;
    let mut tailer = Tailer::new(work, whole)?;
    let text = log_text::lines(effort.lines);
    let matching = log_text::matching(effort.lines);
    let arriving = if whole { effort.lines } else { matching };
    let line =
        text.lines().find(|line| line.contains(log_text::PATTERN)).unwrap_or_default().to_owned() + "\n";
    let mut contenders: Vec<&mut dyn Contender> = vec![&mut ours, &mut tailer];
    if let Some(rsyslog) = &mut rsyslog {
        contenders.push(rsyslog);
    } else {
        println!("there is no rsyslog here to hold it against; `.ci/setup bench` as root brings it");
    }
    let mut runners = contenders
        .into_iter()
        .map(|contender| Runner::ready(contender, &line))
        .collect::<Result<Vec<_>>>()?;
    for _ in 0..effort.turns {
        for runner in &mut runners {
            runner.turn(&text, effort.lines, arriving)?;
        }
    }
    let mut figures = Vec::new();
    for runner in &mut runners {
        figures.push((runner.rate(), runner.peak()?, runner.latency(&line, effort.latencies)?));
        runner.contender.end()?;
    }
    Ok(rows(whole, effort.lines, &figures))
}

/// `figures`: ours, the tailer's, rsyslog's where there is one: rate, peak, latency.
fn rows(whole: bool, lines: usize, figures: &[(f64, f64, f64)]) -> Vec<Row> {
    let (job, goal) = match whole {
        true => ("forwarded: every line redacted, durable, delivered over mTLS, acknowledged", FORWARDING),
        false => (
            "watched: every line judged, the 1 % that match redacted, durable, delivered over mTLS, acknowledged",
            WATCHING,
        ),
    };
    let what = format!(
        "lines for each second of processor time of agent and executor, {lines} lines of about 180 bytes {job}"
    );
    let ours = figures[0];
    let mut rows = Vec::new();
    let others = [
        (
            2,
            goal,
            "rsyslog (Debian) on the same lines, the queue behind its input on disk, to a sink without TLS",
        ),
        (1, 1.0, "a tailer in Python with SQLite (WAL, FULL) on the same lines, to a sink without TLS"),
    ];
    for (at, goal, against) in others {
        let Some(theirs) = figures.get(at) else { continue };
        rows.push(Row::of_rates(what.clone(), "lines/CPU s", against, (ours.0, theirs.0), goal));
    }
    let others = |figure: &dyn Fn(&(f64, f64, f64)) -> f64| {
        let rsyslog =
            figures.get(2).map_or_else(|| "none".to_owned(), |theirs| format!("{:.1}", figure(theirs)));
        format!("the goal (rsyslog: {rsyslog}, the tailer: {:.1})", figure(&figures[1]))
    };
    let memory = Row::of_times(
        "the agent's resident memory at its peak".to_owned(),
        "MB",
        &others(&|f| f.1),
        (ours.1, MEMORY),
        1.0,
    );
    let latency = Row::of_times(
        "one line, from its writing until the agent has the acknowledgement: the median".to_owned(),
        "ms",
        &others(&|f| f.2),
        (ours.2, LATENCY),
        1.0,
    );
    rows.extend([memory, latency]);
    rows
}
