//! Real programs whose wall clock is off: Debian's libfaketime, unpacked by `.ci/setup test`, between them and the C
//! library. What they measure durations with is left as it is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/packages/root/usr/lib");

/// What shifts a program's clock.
pub struct Offset {
    library: PathBuf,
}

impl Offset {
    /// Puts the library into `folder`, where the programs' users get to it. `None`: it is not here, because only root can
    /// have it unpacked; in CI that is a failure, not an excuse.
    pub fn find(folder: &Path) -> Result<Option<Self>> {
        let found = fs::read_dir(PACKAGES).ok().and_then(|folders| {
            let of = |folder: fs::DirEntry| folder.path().join("faketime/libfaketimeMT.so.1");
            folders.flatten().map(of).find(|library| library.exists())
        });
        match found {
            Some(found) => {
                let library = folder.join("libfaketime.so");
                fs::copy(&found, &library).with_context(|| found.display().to_string())?;
                Ok(Some(Self { library }))
            }
            None if std::env::var_os("CI").is_some() => {
                bail!("in CI nothing is skipped, but libfaketime is missing")
            }
            None => Ok(None),
        }
    }

    /// The environment of a program whose clock is that many seconds ahead, or behind.
    #[must_use]
    pub fn environment(&self, seconds: i64) -> Vec<(String, String)> {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME", format!("{seconds:+}s")),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}
