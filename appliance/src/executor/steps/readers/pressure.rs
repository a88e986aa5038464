//! Pressure stall information: the share of time in which work waited (Linux, Documentation/accounting/psi.rst).

use std::{fs, path::Path};

use proto::evidence::Readings;

use super::readings;
use crate::config::Pressure;

/// `waiting_percent` of the last minute (`some avg60`), rounded down, and its limit. `resource`: `cpu` or `memory`.
pub(in crate::executor::steps) fn read(root: &Path, resource: &str, entry: &Pressure) -> Readings {
    let text = fs::read_to_string(root.join("proc/pressure").join(resource));
    let waiting = text.ok().and_then(|text| some_of_a_minute(&text)).unwrap_or(-1);
    readings([("waiting_percent", waiting), ("limit_percent", i64::from(entry.limit_percent))])
}

fn some_of_a_minute(text: &str) -> Option<i64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let percent: f64 = some.split_whitespace().find_map(|word| word.strip_prefix("avg60="))?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "a percentage")]
    (0.0..=100.0).contains(&percent).then_some(percent as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let text = "some avg10=3.10 avg60=41.97 avg300=0.49 total=12\nfull avg10=0.00 avg60=99.00 avg300=0.00 total=0\n";
        assert_eq!(some_of_a_minute(text), Some(41));
        for strange in ["", "some avg60=", "some avg10=1.00", "some avg60=nan", "full avg60=1.00"] {
            assert_eq!(some_of_a_minute(strange), None, "{strange}");
        }
    }
}
