//! How full a file system is: its space as `df` counts it, and its inodes.

use nix::sys::statvfs::statvfs;
use proto::evidence::Readings;

use super::readings;
use crate::config::Filesystem;

/// `used_percent` of what an ordinary user could use, `inodes_used_percent`, and their limits.
pub(in crate::executor::steps) fn read(entry: &Filesystem) -> Readings {
    let (used, inodes) = statvfs(&entry.path).map_or((-1, -1), |found| {
        let used = found.blocks().saturating_sub(found.blocks_free());
        let inodes = found.files().saturating_sub(found.files_free());
        (share(used, used + found.blocks_available()), share(inodes, found.files()))
    });
    readings([
        ("used_percent", used),
        ("limit_percent", i64::from(entry.limit_percent)),
        ("inodes_used_percent", inodes),
        ("inodes_limit_percent", i64::from(entry.inodes_limit_percent)),
    ])
}

/// Percent, rounded up: 90.1 % is more than 90. Of nothing, nothing is used: some file systems count no inodes.
fn share(used: u64, of: u64) -> i64 {
    let percent = (u128::from(used) * 100).div_ceil(u128::from(of).max(1));
    i64::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_up() {
        assert_eq!((share(901, 1000), share(900, 1000), share(0, 0)), (91, 90, 0));
        assert_eq!(share(u64::MAX, u64::MAX), 100);
    }

    #[test]
    fn what_is_not_mounted_cannot_be_read() {
        let entry: Filesystem = toml::from_str("id = \"it\"\npath = \"/nowhere/at/all\"").unwrap();
        assert_eq!(read(&entry)["used_percent"], -1);
    }

    /// As whoever stands at the box sees it: what is kept for root is nobody else's to use.
    #[test]
    fn space_and_inodes_are_counted_as_df_counts_them() {
        let told = || -> Vec<i64> {
            let df = std::process::Command::new("df").args(["--output=pcent,ipcent", "/"]).output().unwrap();
            let text = String::from_utf8(df.stdout).unwrap();
            let columns = text.lines().nth(1).unwrap().split_whitespace();
            // A file system that counts no inodes says `-`.
            columns.map(|column| column.trim_end_matches('%').parse().unwrap_or(0)).collect()
        };
        let entry: Filesystem = toml::from_str("id = \"it\"\npath = \"/\"").unwrap();
        // Others write there meanwhile.
        let (before, found, after) = (told(), read(&entry), told());
        for (at, name) in ["used_percent", "inodes_used_percent"].into_iter().enumerate() {
            let between = before[at].min(after[at])..=before[at].max(after[at]);
            assert!(between.contains(&found[name]), "{name}: {before:?} {found:?} {after:?}");
        }
    }
}
