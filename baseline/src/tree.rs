//! The keys of a document, taken one by one, so that a complaint can name its file and its key.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Something in a document that must not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {key}: {problem}")]
pub struct BadSource {
    /// File name, or what the document is.
    pub file: String,
    /// Path of the key, or where in the text.
    pub key: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl BadSource {
    pub(crate) fn new(file: &str, key: &str, problem: impl Into<String>) -> Self {
        Self { file: file.to_owned(), key: key.to_owned(), problem: problem.into() }
    }
}

/// A map of which every key must be known.
pub(crate) struct Keys<'a> {
    file: &'a str,
    within: String,
    map: Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    /// `within` is the path to it, ending in a dot, or nothing.
    pub(crate) fn of(file: &'a str, within: &str, tree: Value) -> Result<Self, BadSource> {
        let Value::Object(map) = tree else {
            let key = if within.is_empty() { "document" } else { within.trim_end_matches('.') };
            return Err(BadSource::new(file, key, "must be a map of keys"));
        };
        Ok(Self { file, within: within.to_owned(), map, known: Vec::new() })
    }

    pub(crate) fn bad(&self, key: &str, problem: impl Into<String>) -> BadSource {
        BadSource::new(self.file, &format!("{}{key}", self.within), problem)
    }

    pub(crate) fn optional<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> Result<Option<T>, BadSource> {
        self.known.push(key);
        let Some(value) = self.map.remove(key) else { return Ok(None) };
        serde_json::from_value(value).map(Some).map_err(|e| self.bad(key, e.to_string()))
    }

    pub(crate) fn one<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<T, BadSource> {
        self.optional(key)?.ok_or_else(|| self.bad(key, "must be present"))
    }

    pub(crate) fn finish(self) -> Result<(), BadSource> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(unknown) => {
                Err(self.bad(unknown, format!("is no key; keys are: {}", self.known.join(", "))))
            }
        }
    }
}
