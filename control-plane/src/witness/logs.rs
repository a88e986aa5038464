//! Which logs a witness knows: a file that people edit, read anew when it has changed.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use proto::log::VerifierKey;

use super::WitnessError;
use crate::files::{self, FileError};

const LOGS_MAX: u64 = 16 << 20;

/// Log keys by the origin of their log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logs(BTreeMap<String, Vec<VerifierKey>>);

/// The file, and what was read of it last.
pub(super) struct LogsFile {
    path: PathBuf,
    last: Mutex<(Stamp, Arc<Logs>)>,
}

/// Tells a file from the one that was there before.
type Stamp = (u64, u64, i64, i64);

impl Logs {
    /// Reads a list: a verifier key in each line that is not empty and not a comment.
    pub fn parse(path: &Path, text: &str) -> Result<Self, WitnessError> {
        let mut logs: BTreeMap<String, Vec<VerifierKey>> = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key: VerifierKey = line.parse().map_err(|source| WitnessError::Log {
                path: path.to_owned(),
                line: at + 1,
                source,
            })?;
            let keys = logs.entry(key.name().to_owned()).or_default();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(Self(logs))
    }

    /// The text of the list.
    pub(super) fn text(path: &Path) -> Result<String, WitnessError> {
        files::read_text(path, LOGS_MAX).map_err(WitnessError::File)
    }

    /// The keys that sign for a log: more than one while it changes its key.
    #[must_use]
    pub fn keys_of(&self, origin: &str) -> &[VerifierKey] {
        self.0.get(origin).map_or(&[], Vec::as_slice)
    }

    /// How many logs there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl LogsFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, WitnessError> {
        let (stamp, logs) = (stamp(&path)?, Logs::parse(&path, &Logs::text(&path)?)?);
        Ok(Self { path, last: Mutex::new((stamp, Arc::new(logs))) })
    }

    /// The list as it is now. One that does not read changes nothing: a person is half way through an edit.
    pub(super) fn newest(&self) -> Arc<Logs> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match stamp(&self.path) {
            Ok(now) if now == last.0 => {}
            Ok(now) => match Logs::text(&self.path).and_then(|text| Logs::parse(&self.path, &text)) {
                Ok(logs) => {
                    tracing::info!(logs = logs.count(), "the list of logs is read anew");
                    *last = (now, Arc::new(logs));
                }
                Err(error) => {
                    let error = crate::core::chain(&error);
                    tracing::error!(error, "the list of logs does not read; the one before counts on");
                    last.0 = now;
                }
            },
            Err(error) => {
                let error = crate::core::chain(&error);
                tracing::error!(error, "the list of logs cannot be read; the one before counts on");
            }
        }
        last.1.clone()
    }
}

fn stamp(path: &Path) -> Result<Stamp, WitnessError> {
    let found = fs::metadata(path)
        .map_err(|source| WitnessError::File(FileError::Read { path: path.to_owned(), source }))?;
    Ok((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use proto::{keys::SecretKey, log::BadKey};

    use super::*;

    fn key(name: &str, n: u8) -> VerifierKey {
        VerifierKey::new(name, &SecretKey::ed25519([n; 32]).public()).unwrap()
    }

    #[test]
    fn a_list_has_a_key_in_a_line_and_names_the_line_that_is_none() {
        let (a, a2, b) = (key("a", 1), key("a", 2), key("b", 1));
        let text = format!("# mine\n\n {a} \n{b}\n{a}\r\n{a2}\n");
        let logs = Logs::parse(Path::new("logs.txt"), &text).unwrap();
        assert_eq!((logs.count(), logs.keys_of("a"), logs.keys_of("b")), (2, &[a.clone(), a2][..], &[b][..]));
        assert_eq!(logs.keys_of("c"), []);
        let wrong = Logs::parse(Path::new("logs.txt"), &format!("{a}\nnobody\n")).unwrap_err();
        assert!(matches!(&wrong, WitnessError::Log { line: 2, source: BadKey::Form(_), .. }), "{wrong}");
        assert_eq!(wrong.to_string(), "logs.txt, line 2");
    }

    #[test]
    fn what_is_edited_counts_at_once_and_half_an_edit_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs.txt");
        let write = |text: &str| files::replace(&path, text.as_bytes(), files::Access::Public).unwrap();
        write(&format!("{}\n", key("a", 1)));
        let file = LogsFile::open(path.clone()).unwrap();
        assert_eq!((file.newest().count(), file.newest().keys_of("b").len()), (1, 0));
        write(&format!("{}\n{}\n", key("a", 1), key("b", 2)));
        assert_eq!(file.newest().keys_of("b"), [key("b", 2)]);
        write(&format!("{}\nb+", key("a", 1)));
        assert_eq!(file.newest().keys_of("b"), [key("b", 2)]);
        fs::remove_file(&path).unwrap();
        assert_eq!(file.newest().count(), 2);
        write("");
        assert_eq!(file.newest().count(), 0);
    }
}
