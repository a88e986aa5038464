//! YAML into runbooks, for whoever builds a catalogue; an appliance never parses YAML.
//!
//! Every complaint names the file, the key and what would be right. Anchors, aliases, merge keys, tags and a second
//! document are refused: a reviewer must see what there is. The file name is the runbook's name, and a folder is read by
//! looking; there is no list to forget.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use crate::runbook::Runbook;

/// The most bytes that one source may have.
pub const SOURCE_MAX: usize = 64 * 1024;

/// Why a source is not a runbook.
#[derive(Debug, thiserror::Error)]
pub enum BadRunbook {
    /// It says something that must not be.
    #[error("{file}: {key}: {problem}")]
    Content {
        /// File name.
        file: String,
        /// Path of the key, or where in the text.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// It could not be read.
    #[error("cannot read {path}")]
    Read {
        /// File or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The sources of the catalogue that ships: file name and text, by name.
#[must_use]
pub fn sources() -> &'static [(&'static str, &'static str)] {
    &[
        ("RB-BACKUP-001.yaml", include_str!("../catalogue/RB-BACKUP-001.yaml")),
        ("RB-CERT-001.yaml", include_str!("../catalogue/RB-CERT-001.yaml")),
        ("RB-CPU-001.yaml", include_str!("../catalogue/RB-CPU-001.yaml")),
        ("RB-DISK-001.yaml", include_str!("../catalogue/RB-DISK-001.yaml")),
        ("RB-DISK-002.yaml", include_str!("../catalogue/RB-DISK-002.yaml")),
        ("RB-DRIFT-001.yaml", include_str!("../catalogue/RB-DRIFT-001.yaml")),
        ("RB-INTEGRITY-001.yaml", include_str!("../catalogue/RB-INTEGRITY-001.yaml")),
        ("RB-MEM-001.yaml", include_str!("../catalogue/RB-MEM-001.yaml")),
        ("RB-NET-001.yaml", include_str!("../catalogue/RB-NET-001.yaml")),
        ("RB-RESTORE-001.yaml", include_str!("../catalogue/RB-RESTORE-001.yaml")),
        ("RB-SERVICE-001.yaml", include_str!("../catalogue/RB-SERVICE-001.yaml")),
        ("RB-TIME-001.yaml", include_str!("../catalogue/RB-TIME-001.yaml")),
    ]
}

/// All runbooks of a folder, by name. Everything in it that does not begin with a dot must be one.
pub fn read_folder(folder: &Path) -> Result<Vec<Runbook>, BadRunbook> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| BadRunbook::Read { path, source }
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let name = entry.map_err(unreadable(folder))?.file_name();
        let name =
            name.into_string().map_err(|odd| bad(&odd.to_string_lossy(), "file name", "must be UTF-8"))?;
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    names
        .iter()
        .map(|name| {
            let path = folder.join(name);
            let size = fs::metadata(&path).map_err(unreadable(&path))?.len();
            if size > SOURCE_MAX as u64 {
                return Err(too_large(name, size));
            }
            from_yaml(&fs::read_to_string(&path).map_err(unreadable(&path))?, name)
        })
        .collect()
}

/// Reads one source. `file_name` must be the runbook's name and `.yaml`.
pub fn from_yaml(text: &str, file_name: &str) -> Result<Runbook, BadRunbook> {
    if text.len() > SOURCE_MAX {
        return Err(too_large(file_name, text.len() as u64));
    }
    let tree: Value = serde_saphyr::from_str_with_options(text, strict())
        .map_err(|e| bad(file_name, "yaml", e.without_snippet().to_string()))?;
    let Value::Object(map) = tree else {
        return Err(bad(file_name, "yaml", "must be a map of keys, beginning with id"));
    };
    let mut keys = Keys { file: file_name, map, known: Vec::new() };
    let runbook = Runbook {
        id: keys.one("id")?,
        title: keys.one("title")?,
        version: keys.one("version")?,
        why: keys.one("why")?,
        hipaa: keys.list("hipaa")?,
        risk: keys.one("risk")?,
        disruptive: Some(keys.one("disruptive")?),
        triggers: keys.list("triggers")?,
        parameters: keys.table("parameters")?,
        precondition: keys.list("precondition")?,
        steps: keys.list("steps")?,
        verification: keys.list("verification")?,
        on_failure: keys.one("on_failure")?,
        cooldown_seconds: keys.one("cooldown_seconds")?,
        limits: keys.one("limits")?,
        timeout_seconds: keys.one("timeout_seconds")?,
        evidence: keys.list("evidence")?,
        undo: keys.one("undo")?,
    };
    keys.finish()?;
    runbook.check().map_err(|refused| bad(file_name, &refused.field, refused.problem))?;
    if file_name != format!("{}.yaml", runbook.id) {
        return Err(bad(file_name, "id", format!("is {}, so the file must be named {0}.yaml", runbook.id)));
    }
    Ok(runbook)
}

fn strict() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_anchors: 0,
            max_aliases: 0,
            max_documents: 1,
            max_depth: 8,
            max_nodes: 2_000,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

/// The keys of a source, taken one by one, so that a complaint can name its key.
struct Keys<'a> {
    file: &'a str,
    map: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Keys<'_> {
    fn take(&mut self, key: &'static str) -> Result<Value, BadRunbook> {
        self.known.push(key);
        self.map.remove(key).ok_or_else(|| bad(self.file, key, "must be present"))
    }

    fn one<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<T, BadRunbook> {
        let value = self.take(key)?;
        typed(self.file, key, value)
    }

    fn list<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<Vec<T>, BadRunbook> {
        let Value::Array(items) = self.take(key)? else { return Err(bad(self.file, key, "must be a list")) };
        items
            .into_iter()
            .enumerate()
            .map(|(at, item)| typed(self.file, &format!("{key}[{at}]"), item))
            .collect()
    }

    fn table<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<BTreeMap<String, T>, BadRunbook> {
        let Value::Object(entries) = self.take(key)? else {
            return Err(bad(self.file, key, "must be a map"));
        };
        entries
            .into_iter()
            .map(|(name, value)| Ok((name.clone(), typed(self.file, &format!("{key}.{name}"), value)?)))
            .collect()
    }

    fn finish(self) -> Result<(), BadRunbook> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(unknown) => {
                Err(bad(self.file, unknown, format!("is no key; keys are: {}", self.known.join(", "))))
            }
        }
    }
}

fn typed<T: DeserializeOwned>(file: &str, key: &str, value: Value) -> Result<T, BadRunbook> {
    serde_json::from_value(value).map_err(|e| bad(file, key, e.to_string()))
}

fn bad(file: &str, key: &str, problem: impl Into<String>) -> BadRunbook {
    BadRunbook::Content { file: file.to_owned(), key: key.to_owned(), problem: problem.into() }
}

fn too_large(file: &str, size: u64) -> BadRunbook {
    bad(file, "yaml", format!("must be at most {SOURCE_MAX} bytes, has {size}"))
}
