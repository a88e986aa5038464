//! How the link stands, in a small file, so that `status` can say it without a port or a question to the agent.

use std::{fs, io, path::Path, time::Duration};

use proto::time::Millis;
use serde::{Deserialize, Serialize};

use crate::{
    files::{self, FileError},
    trouble::Trouble,
};

/// How often the file is written while nothing changes.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The last exchange, and the last that went well.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// When the control plane last answered.
    pub answered: Option<Millis>,
    /// When it was last asked.
    pub asked: Option<Millis>,
    /// What was wrong with the last exchange; empty: nothing.
    pub problem: String,
    /// Its code, when it is the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Trouble>,
    /// Why it withholds orders; empty: it does not.
    pub quarantine: String,
}

impl Contact {
    /// Reads the file; `None`: there has been no exchange yet.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// An exchange that went well.
    #[must_use]
    pub fn answered(now: Millis, quarantine: &str) -> Self {
        let problem = String::new();
        let quarantine = quarantine.to_owned();
        Self { answered: Some(now), asked: Some(now), problem, code: None, quarantine }
    }

    /// An exchange that did not.
    #[must_use]
    pub fn failed(&self, now: Millis, problem: String, code: Option<Trouble>) -> Self {
        Self { asked: Some(now), problem, code, ..self.clone() }
    }

    /// Whether `next` is news worth a write to disk.
    #[must_use]
    pub fn is_news(&self, next: &Self) -> bool {
        let stale = |before: Option<Millis>, after: Option<Millis>| match (before, after) {
            (Some(before), Some(after)) => before > after || after.since(before) >= SAY_AGAIN,
            (before, after) => before != after,
        };
        (&self.problem, &self.quarantine) != (&next.problem, &next.quarantine)
            || stale(self.asked, next.asked)
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        files::replace(path, &serde_json::to_vec(self).expect("text and numbers serialise"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_news_and_repetitions_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("contact.json");
        assert_eq!(Contact::read(&path).unwrap(), None);
        let good = Contact::answered(Millis(1000), "");
        assert!(Contact::default().is_news(&good));
        assert!(!good.is_news(&Contact::answered(Millis(2000), "")));
        assert!(good.is_news(&Contact::answered(Millis(61_000), "")));
        assert!(good.is_news(&Contact::answered(Millis(2000), "two histories")));
        let bad = good.failed(Millis(3000), "no route".to_owned(), Some(Trouble::NoRoute));
        assert!(good.is_news(&bad) && bad.answered == good.answered);
        assert!(!bad.is_news(&good.failed(Millis(4000), "no route".to_owned(), Some(Trouble::NoRoute))));
        bad.write(&path).unwrap();
        assert_eq!(Contact::read(&path).unwrap(), Some(bad));
    }
}
