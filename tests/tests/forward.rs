//! A log that travels whole while the agent is killed again and again: no line is lost, and none comes twice. Where
//! rsyslog is at hand, the same is done to it, and told beside.

use std::{collections::BTreeMap, fs::File, io::Write as _, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use proto::sync::unpack_lines;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tests::{
    clock,
    rig::{Practice, Rsyslog, Sink, Watch, log_text, practice::Folder, sink, wait},
};

const LINES: usize = 200_000;
const KILLS: usize = 8;
/// The longest that a follower is left in peace between two kills, in milliseconds.
const PEACE: u64 = 400;
const LIMIT: Duration = Duration::from_secs(180);

fn append(log: &Path, text: &str) -> Result<()> {
    Ok(File::options().create(true).append(true).open(log)?.write_all(text.as_bytes())?)
}

/// Writes all lines, and between them kills and starts again.
fn storm(log: &Path, text: &str, chance: &mut StdRng, mut kill: impl FnMut() -> Result<()>) -> Result<()> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for part in lines.chunks(lines.len().div_ceil(KILLS)) {
        append(log, &part.concat())?;
        wait::pause(Duration::from_millis(chance.random_range(0..PEACE)));
        kill()?;
    }
    Ok(())
}

#[test]
fn eight_kills_lose_no_line_and_double_none() -> Result<()> {
    let seed = clock::now().0.unsigned_abs();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let text = log_text::lines(LINES);
    let ours = ours(&text, &mut chance)?;
    let rsyslog = rsyslog(&text, &mut chance)?.unwrap_or_else(|| "rsyslog is not here".to_owned());
    println!("{LINES} lines, {KILLS} kills\n  ours:    {ours}\n  rsyslog: {rsyslog}");
    Ok(())
}

/// Ours; anything lost or doubled is a failure.
fn ours(text: &str, chance: &mut StdRng) -> Result<String> {
    let folder = Folder::new()?;
    std::fs::create_dir(folder.join("world"))?;
    let log = folder.join("world/app.log");
    append(&log, "what stood here before is no news\n")?;
    let mut practice = Practice::open(folder, 3600, &[("app", Watch::WholeLog(&log, &["ERROR"]))])?;
    practice.start_agent()?;
    let db = practice.provider.database()?;
    let taken = || -> Result<i64> {
        let query = "SELECT coalesce(sum(taken), 0) FROM lines_account";
        Ok(db.query_row(query, [], |row| row.get(0))?)
    };
    wait::until("the agent follows the log", LIMIT, || {
        append(&log, "one more\n")?;
        Ok((taken()? > 0).then_some(()))
    })?;
    let began = wait::until("all until here has come", LIMIT, || {
        let end = "SELECT max(\"offset\" + length) FROM lines";
        let end: Option<i64> = db.query_row(end, [], |row| row.get(0))?;
        let is_all = end.map(i64::unsigned_abs) == Some(std::fs::metadata(&log)?.len());
        is_all.then(&taken).transpose()
    })?;
    let from = std::fs::metadata(&log)?.len();
    storm(&log, text, chance, || {
        practice.check()?;
        practice.clinic.kill_agent()?;
        practice.clinic.start_agent()
    })?;
    let wanted = began + i64::try_from(LINES)?;
    wait::until("every line has come", LIMIT, || {
        practice.check()?;
        Ok((taken()? >= wanted).then_some(()))
    })
    .with_context(|| format!("{:?} of {wanted}", taken()))?;
    // By place: each record begins where the one before it ended, from the first line to the last.
    let mut query = db.prepare("SELECT offset, length, count, size, packed FROM lines ORDER BY id")?;
    let mut rows = query.query([])?;
    let (mut next, mut count, mut came) = (from, 0, String::new());
    while let Some(row) = rows.next()? {
        let (offset, length): (i64, i64) = (row.get(0)?, row.get(1)?);
        if offset.unsigned_abs() < from {
            continue;
        }
        ensure!(offset.unsigned_abs() == next, "lines until {next} are followed by lines from {offset}");
        next += length.unsigned_abs();
        count += row.get::<_, i64>(2)?;
        came.push_str(&unpack_lines(row.get(3)?, &row.get::<_, Vec<u8>>(4)?)?);
    }
    ensure!(next == from + text.len() as u64, "the last line ends at {next}");
    ensure!(count == LINES as i64 && taken()? == wanted, "{count} of {LINES} lines, {:?} taken", taken());
    // By what they say: word for word what redaction makes of what was written.
    let wanted = appliance::redact::redact(text.as_bytes());
    ensure!(came == wanted, "what came is not what was written");
    ensure!(!came.contains("Whitfield"), "a name came");
    let id: String = db.query_row("SELECT id FROM appliance", [], |row| row.get(0))?;
    let shown = practice.provider.ask(&["appliance", "lines", &id, "--watch", "app", "--limit", "3"])?;
    let shown: Vec<&str> =
        shown["lines"].as_array().context("lines")?.iter().filter_map(|line| line["line"].as_str()).collect();
    let newest: Vec<&str> = came.lines().skip(LINES - 3).collect();
    ensure!(shown == newest, "an operator is shown {shown:?}, the newest are {newest:?}");
    practice.clinic.stop()?;
    practice.provider.stop()?;
    Ok("0 lost, 0 doubled".to_owned())
}

/// Theirs; whatever comes of it is told.
fn rsyslog(text: &str, chance: &mut StdRng) -> Result<Option<String>> {
    let folder = Folder::new()?;
    let (log, sink) = (folder.join("app.log"), Sink::start(sink::Mode::Keep)?);
    append(&log, "")?;
    let Some(mut rsyslog) = Rsyslog::new(&folder.join("rsyslog"), &log, sink.port(), None)? else {
        return Ok(None);
    };
    rsyslog.start()?;
    storm(&log, text, chance, || rsyslog.kill().and_then(|()| rsyslog.start()))?;
    // It never says that it is done: it is when nothing has come for a while.
    let mut before = (0, clock::instant());
    wait::until("rsyslog comes to rest", LIMIT, || {
        let lines = sink.lines();
        if lines != before.0 {
            before = (lines, clock::instant());
        }
        Ok((clock::since(before.1) > Duration::from_secs(5)).then_some(()))
    })?;
    let kept = sink.kept();
    let kept = String::from_utf8_lossy(&kept);
    let mut times: BTreeMap<&str, i64> = BTreeMap::new();
    text.lines().for_each(|line| *times.entry(line).or_default() -= 1);
    kept.lines().for_each(|line| *times.entry(line.trim_start()).or_default() += 1);
    let lost: i64 = times.values().filter(|n| **n < 0).sum();
    let doubled: i64 = times.values().filter(|n| **n > 0).sum();
    Ok(Some(format!("{} lost, {doubled} doubled or broken", -lost)))
}
