//! Thermometers of the machine, by the kernel's hwmon (Documentation/hwmon/sysfs-interface.rst).

use std::{fs, path::Path};

use proto::evidence::Readings;

use super::readings;
use crate::config::Sensor;

/// `millidegrees` of the hottest thermometer of all chips of that name; without such a chip, only the limit.
pub(in crate::executor::steps) fn read(root: &Path, entry: &Sensor) -> Readings {
    let mut found = readings([("limit_millidegrees", i64::from(entry.above_celsius) * 1000)]);
    if let Some(hottest) = hottest(&root.join("sys/class/hwmon"), &entry.chip) {
        found.insert("millidegrees".to_owned(), hottest);
    }
    found
}

fn hottest(chips: &Path, name: &str) -> Option<i64> {
    let named = |chip: &fs::DirEntry| {
        fs::read_to_string(chip.path().join("name")).is_ok_and(|found| found.trim() == name)
    };
    let chips = fs::read_dir(chips).ok()?.filter_map(Result::ok).filter(named);
    let inputs = chips.filter_map(|chip| fs::read_dir(chip.path()).ok()).flatten().filter_map(Result::ok);
    inputs
        .filter(|input| {
            let name = input.file_name();
            let name = name.to_string_lossy();
            name.starts_with("temp") && name.ends_with("_input")
        })
        .filter_map(|input| fs::read_to_string(input.path()).ok()?.trim().parse().ok())
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_of_the_named_chip_counts() {
        let root = tempfile::tempdir().unwrap();
        for (chip, name, temperatures) in
            [("hwmon0", "nvme", ["99000", "1"]), ("hwmon1", "coretemp", ["41000", "52000"])]
        {
            let folder = root.path().join("sys/class/hwmon").join(chip);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("name"), format!("{name}\n")).unwrap();
            for (number, temperature) in temperatures.iter().enumerate() {
                fs::write(folder.join(format!("temp{number}_input")), format!("{temperature}\n")).unwrap();
            }
            fs::write(folder.join("temp0_crit"), "100000\n").unwrap();
        }
        let entry = |chip: &str| -> Sensor {
            toml::from_str(&format!("id = \"it\"\nchip = \"{chip}\"\nabove_celsius = 50")).unwrap()
        };
        let found = read(root.path(), &entry("coretemp"));
        assert_eq!(found, readings([("millidegrees", 52_000), ("limit_millidegrees", 50_000)]));
        assert!(!read(root.path(), &entry("acpitz")).contains_key("millidegrees"));
    }
}
