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
/// `millidegrees` too. Of a drive that sleeps only that: `asleep`.
pub(in crate::executor::steps) fn read(smartctl: &Path, entry: &Drive, limit: &Limit<'_>) -> Readings {
    let mut command = spawn::command(smartctl);
    // Not waking a drive that sleeps costs it less than it tells.
    command.args(["--json=c", "--health", "--attributes", "--nocheck=standby,0", "--"]).arg(&entry.device);
    let mut text = Vec::new();
    let ended = spawn::run(command, limit, &mut |line| text.extend_from_slice(line));
    // Its exit code is a set of bits, of which some only say that the drive has told something (smartctl(8)).
    match ended.ok().and_then(|_| serde_json::from_slice::<Value>(&text).ok()) {
        Some(told) => judge(&told),
        None => readings([("failing", -1)]),
    }
}

fn judge(told: &Value) -> Readings {
    if is_asleep(told) {
        return readings([("asleep", 1)]);
    }
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

/// Whether it was left asleep: nobody knows then how it is. smartctl says so among its messages, and nowhere else
/// (ataprint.cpp, 7.3).
fn is_asleep(told: &Value) -> bool {
    let messages = told["smartctl"]["messages"].as_array().into_iter().flatten();
    let text = |message: &Value| message["string"].as_str().unwrap_or_default().to_owned();
    messages.map(text).any(|text| {
        ["SLEEP", "STANDBY"].iter().any(|mode| text.contains(&format!("Device is in {mode}")))
            && text.contains(" mode, exit(")
    })
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

    #[test]
    fn a_drive_that_sleeps_is_not_failing_and_not_well_either() {
        use runbooks::Fault::DriveFailing;
        let told = |text: &str| {
            let message = json!({"string": text, "severity": "information"});
            judge(&json!({"smartctl": {"exit_status": 0, "messages": [message]}}))
        };
        for asleep in [
            "Device is in STANDBY mode, exit(0)",
            "Device is in SLEEP mode, exit(0)",
            "Device is in STANDBY (OS) mode, exit(0)",
        ] {
            assert_eq!(DriveFailing.holds(&told(asleep)), None, "{asleep}");
        }
        assert_eq!(DriveFailing.holds(&told("/dev/sda: Unable to detect device type")), Some(true));
    }

    /// The real smartctl, on things that are drives to the kernel and tell nothing of themselves.
    #[test]
    fn what_cannot_be_asked_is_a_fault_by_the_real_programs_word() {
        let smartctl =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/packages/root/usr/sbin/smartctl"));
        if !smartctl.exists() {
            assert!(std::env::var_os("CI").is_none(), "in CI nothing is skipped: run .ci/setup test as root");
            println!("skipped: .ci/setup test unpacks smartctl, as root");
            return;
        }
        let (clock, stop) = (crate::clock::SystemClock, crate::executor::steps::Stop::default());
        let ends = crate::world::Clock::boot(&clock) + std::time::Duration::from_secs(20);
        let limit = Limit { clock: &clock, stop: &stop, ends };
        for device in ["/dev/null", "/dev/nothing-at-all"] {
            let entry: Drive = toml::from_str(&format!("id = \"it\"\ndevice = \"{device}\"")).unwrap();
            assert_eq!(read(smartctl, &entry, &limit), readings([("failing", -1)]), "{device}");
            // It is smartctl that says so, in words that are read here, and not that it could not be run.
            let mut command = spawn::command(smartctl);
            command.args(["--json=c", "--health", "--nocheck=standby,0", "--", device]);
            let mut text = Vec::new();
            spawn::run(command, &limit, &mut |line| text.extend_from_slice(line)).unwrap();
            let told: Value = serde_json::from_slice(&text).expect("it speaks JSON");
            assert!(told["smartctl"]["messages"][0]["string"].as_str().unwrap().contains(device), "{told}");
        }
    }

    /// A stand-in that is well only for those who let it sleep, and only when it is asked about the right device.
    #[test]
    fn a_drive_is_asked_without_being_woken() {
        let folder = tempfile::tempdir().unwrap();
        let smartctl = folder.path().join("smartctl");
        let script = "#!/bin/sh\ncase \"$*\" in *--health*--nocheck=standby,*' -- /dev/it') passed=true;; *) passed=false;; esac\n\
                      echo \"{\\\"smart_status\\\":{\\\"passed\\\":$passed}}\"\n";
        // Written by another process: a descriptor of ours, inherited by another test's child, would make it busy.
        let write = "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\"";
        let written =
            std::process::Command::new("/bin/sh").args(["-c", write]).arg(&smartctl).arg(script).status();
        assert!(written.unwrap().success());
        let (clock, stop) = (crate::clock::SystemClock, crate::executor::steps::Stop::default());
        let ends = crate::world::Clock::boot(&clock) + std::time::Duration::from_secs(90);
        let limit = Limit { clock: &clock, stop: &stop, ends };
        let entry: Drive = toml::from_str("id = \"it\"\ndevice = \"/dev/it\"").unwrap();
        assert_eq!(read(&smartctl, &entry, &limit), readings([("failing", 0)]));
    }
}
