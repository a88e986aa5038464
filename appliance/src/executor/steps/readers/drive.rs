//! What a drive says of its own health, by smartctl.

use std::path::Path;

use proto::evidence::Readings;
use serde_json::Value;

use super::readings;
use crate::{
    config::Drive,
    executor::steps::{Limit, spawn},
};

/// `failing`: 1 it says that it fails, 0 it does not, −1 it cannot be asked; where it tells them, `worn_percent` and
/// `millidegrees` too.
pub(in crate::executor::steps) fn read(smartctl: &Path, entry: &Drive, limit: &Limit<'_>) -> Readings {
    let mut command = spawn::command(smartctl);
    // Not waking a drive that sleeps costs it less than it tells.
    command.args(["--json=c", "--health", "--attributes", "--nocheck=standby", "--"]).arg(&entry.device);
    let mut text = Vec::new();
    let ended = spawn::run(command, limit, &mut |line| text.extend_from_slice(line));
    // Its exit code is a set of bits, of which some only say that the drive has told something (smartctl(8)).
    match ended.ok().and_then(|_| serde_json::from_slice::<Value>(&text).ok()) {
        Some(told) => judge(&told),
        None => readings([("failing", -1)]),
    }
}

fn judge(told: &Value) -> Readings {
    let failing = told["smart_status"]["passed"].as_bool().map_or(-1, |passed| i64::from(!passed));
    let mut found = readings([("failing", failing)]);
    let worn = &told["nvme_smart_health_information_log"]["percentage_used"];
    if let Some(worn) = worn.as_i64() {
        found.insert("worn_percent".to_owned(), worn);
    }
    if let Some(degrees) = told["temperature"]["current"].as_i64() {
        found.insert("millidegrees".to_owned(), degrees.saturating_mul(1000));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_drive_tells_is_read() {
        let told = json!({"smart_status": {"passed": false}, "temperature": {"current": 41},
                          "nvme_smart_health_information_log": {"percentage_used": 7}});
        assert_eq!(judge(&told), readings([("failing", 1), ("worn_percent", 7), ("millidegrees", 41_000)]));
        assert_eq!(judge(&json!({"smart_status": {"passed": true}})), readings([("failing", 0)]));
        assert_eq!(judge(&json!({"smartctl": {"exit_status": 2}})), readings([("failing", -1)]));
    }
}
