//! How chrony keeps the clock.

use std::path::Path;

use proto::evidence::{Readings, Synchronised};

use super::readings;
use crate::{
    config::Clock,
    executor::steps::{Limit, spawn},
};

/// `synchronised`: 1, 0, or −1 when chrony does not answer; `offset_us` of the system's clock from true time.
pub(in crate::executor::steps) fn read(chronyc: &Path, entry: &Clock, limit: &Limit<'_>) -> Readings {
    let (synchronised, offset) = ask(chronyc, limit).unwrap_or((-1, 0));
    readings([
        ("synchronised", synchronised),
        ("offset_us", offset),
        ("limit_us", i64::from(entry.limit_ms) * 1000),
    ])
}

/// Whether it is kept at all.
pub(in crate::executor::steps) fn kept(chronyc: &Path, limit: &Limit<'_>) -> Synchronised {
    match ask(chronyc, limit) {
        Some((1, _)) => Synchronised::Yes,
        Some(_) => Synchronised::No,
        None => Synchronised::Unknown,
    }
}

fn ask(chronyc: &Path, limit: &Limit<'_>) -> Option<(i64, i64)> {
    let mut command = spawn::command(chronyc);
    command.args(["-n", "-c", "tracking"]);
    let mut lines = Vec::new();
    let ended =
        spawn::run(command, limit, &mut |line| lines.push(String::from_utf8_lossy(line).into_owned()));
    match ended {
        Ok(ended) if ended.is_good() => lines.first().and_then(|line| tracking(line)),
        _ => None,
    }
}

/// The report in columns (chronyc(1), `tracking`): the fifth is the clock's offset in seconds, the last the leap status.
fn tracking(line: &str) -> Option<(i64, i64)> {
    let columns: Vec<&str> = line.trim().split(',').collect();
    let [_, _, stratum, _, offset, .., leap] = &columns[..] else { return None };
    let offset: f64 = offset.parse().ok()?;
    let kept = *leap != "Not synchronised" && stratum.parse::<u8>().ok()? > 0;
    #[expect(clippy::cast_possible_truncation, reason = "microseconds; it saturates")]
    offset.is_finite().then_some((i64::from(kept), (offset * 1e6) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chronys_columns_are_read() {
        let kept = "A9FEA97B,169.254.169.123,4,1700000000.1,-0.001500,0.0000012,0.00002,1.2,0.001,0.02,0.0003,0.0002,16.1,Normal";
        assert_eq!(tracking(kept), Some((1, -1500)));
        assert_eq!(tracking(&kept.replace("Normal", "Not synchronised")), Some((0, -1500)));
        assert_eq!(tracking(&kept.replace(",4,", ",0,")), Some((0, -1500)));
        let lost = "00000000,,0,0.0,0.000000000,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised";
        assert_eq!(tracking(lost), Some((0, 0)));
        for strange in ["", "506 Cannot talk to daemon", "a,b,c,d,nan,Normal", "a,b,1,d,inf,Normal"] {
            assert_eq!(tracking(strange), None, "{strange}");
        }
    }

    #[test]
    fn whoever_does_not_answer_has_not_said_that_the_clock_is_right() {
        let (clock, stop) = (crate::clock::SystemClock, crate::executor::steps::Stop::default());
        let ends = crate::world::Clock::boot(&clock) + std::time::Duration::from_secs(90);
        let limit = Limit { clock: &clock, stop: &stop, ends };
        let entry: Clock = toml::from_str("id = \"it\"\nlimit_ms = 7").unwrap();
        let found = read(Path::new("/bin/false"), &entry, &limit);
        assert_eq!(found, readings([("synchronised", -1), ("offset_us", 0), ("limit_us", 7000)]));
        assert_eq!(kept(Path::new("/bin/false"), &limit), Synchronised::Unknown);
        assert_eq!(runbooks::Fault::ClockUnsynchronised.holds(&found), Some(true));
    }
}
