//! What a command answers: text for people, JSON for programs, an exit code.

use serde_json::Value;

/// The outcome of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// For people.
    pub text: String,
    /// For programs.
    pub json: Value,
    /// What to exit with.
    pub code: u8,
}

impl Answer {
    /// All went well.
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, code: 0 }
    }

    /// With another exit code.
    pub(crate) fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// What is printed.
    #[must_use]
    pub fn print(&self, json: bool) -> String {
        let mut text = match json {
            true => serde_json::to_string_pretty(&self.json).expect("a JSON value always serialises"),
            false => self.text.trim_end().to_owned(),
        };
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }
}
