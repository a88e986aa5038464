//! What the appliance itself has in memory: every process of this program.

use std::{fs, path::Path};

use proto::evidence::Readings;

use super::readings;
use crate::config::Footprint;

/// `resident_kb` of all processes of this program together, `processes`, and the limit.
pub(in crate::executor::steps) fn read(root: &Path, entry: &Footprint) -> Readings {
    let (processes, resident) = resident_kb(&root.join("proc")).unwrap_or((0, -1));
    readings([
        ("processes", processes),
        ("resident_kb", resident),
        ("resident_limit_kb", i64::from(entry.resident_limit_mb) * 1024),
    ])
}

/// By the program's file, so that no other of the same name counts.
fn resident_kb(proc: &Path) -> Option<(i64, i64)> {
    let own = fs::read_link(proc.join("self/exe")).ok()?;
    let of_ours = fs::read_dir(proc).ok()?.filter_map(Result::ok).filter(|process| {
        process.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit())
            && fs::read_link(process.path().join("exe")).is_ok_and(|exe| exe == own)
    });
    let resident = |status: String| -> Option<i64> {
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let each: Vec<i64> = of_ours
        .filter_map(|process| resident(fs::read_to_string(process.path().join("status")).ok()?))
        .collect();
    Some((i64::try_from(each.len()).ok()?, each.iter().sum())).filter(|(count, _)| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_counts_itself() {
        let entry: Footprint = toml::from_str("id = \"it\"\nresident_limit_mb = 16").unwrap();
        let found = read(Path::new("/"), &entry);
        assert!(found["processes"] >= 1 && found["resident_kb"] > 100, "{found:?}");
        assert_eq!(found["resident_limit_kb"], 16 * 1024);
    }

    #[test]
    fn every_process_of_this_program_counts_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        let process = |name: &str, program: &str, resident: u32| {
            let folder = root.path().join("proc").join(name);
            fs::create_dir_all(&folder).unwrap();
            std::os::unix::fs::symlink(program, folder.join("exe")).unwrap();
            fs::write(folder.join("status"), format!("Name:\tappliance\nVmRSS:\t{resident} kB\n")).unwrap();
        };
        process("self", "/usr/bin/appliance", 1);
        process("10", "/usr/bin/appliance", 5000);
        process("11", "/usr/bin/appliance", 9000);
        process("12", "/tmp/appliance", 70_000);
        let entry: Footprint = toml::from_str("id = \"it\"\nresident_limit_mb = 13").unwrap();
        let found = read(root.path(), &entry);
        assert_eq!((found["processes"], found["resident_kb"]), (2, 14_000));
        assert_eq!(runbooks::Fault::FootprintOverLimit.holds(&found), Some(true));
    }
}
