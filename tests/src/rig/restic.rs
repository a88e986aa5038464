//! A restic repository to be looked after, made with restic itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::process::run;

/// A repository, its password file, and the folder it is a backup of.
#[derive(Clone)]
pub struct Repository {
    /// Where it is.
    pub path: PathBuf,
    /// The file with its password.
    pub password: PathBuf,
    /// What it keeps.
    pub source: PathBuf,
}

impl Repository {
    /// Makes `folder/NAME` with a source of some files, and a repository of it without snapshots.
    pub fn create(folder: &Path, name: &str) -> Result<Self> {
        let root = folder.join(name);
        let made = Self {
            path: root.join("repository"),
            password: root.join("password"),
            source: root.join("source"),
        };
        fs::create_dir_all(&made.source)?;
        fs::write(&made.password, "correct horse battery staple\n")?;
        for number in 0..20 {
            fs::write(
                made.source.join(format!("record-{number:02}.txt")),
                format!("{name} {number}\n").repeat(200),
            )?;
        }
        run(made.command().arg("init"), &[0])?;
        Ok(made)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("restic");
        command.arg("--repo").arg(&self.path).arg("--password-file").arg(&self.password).arg("--no-cache");
        command
    }

    /// Takes a snapshot; `time` (`2026-10-01 12:00:00`) back-dates it.
    pub fn backup(&self, time: Option<&str>) -> Result<()> {
        let mut command = self.command();
        command.arg("backup").arg(&self.source);
        if let Some(time) = time {
            command.args(["--time", time]);
        }
        run(&mut command, &[0]).map(drop)
    }

    /// Forgets every snapshot and puts one of long ago in their place: the repository is stale.
    pub fn make_stale(&self) -> Result<()> {
        let ids: Vec<String> =
            self.snapshots()?.iter().filter_map(|s| s["id"].as_str().map(ToOwned::to_owned)).collect();
        self.backup(Some("2026-01-01 12:00:00"))?;
        if !ids.is_empty() {
            run(self.command().arg("forget").args(ids), &[0])?;
        }
        Ok(())
    }

    /// Takes its keys away: nobody can open it, until a person brings them back.
    pub fn break_it(&self) -> Result<()> {
        fs::rename(self.path.join("keys"), self.path.with_extension("keys"))
            .context("the repository has keys")
    }

    /// Brings them back.
    pub fn mend_it(&self) -> Result<()> {
        fs::rename(self.path.with_extension("keys"), self.path.join("keys")).context("its keys were taken")
    }

    /// Its snapshots.
    pub fn snapshots(&self) -> Result<Vec<Value>> {
        let output = run(self.command().args(["snapshots", "--json"]), &[0])?;
        Ok(serde_json::from_slice::<Option<Vec<Value>>>(&output.stdout)?.unwrap_or_default())
    }
}
