//! What Typst found wrong with a source, in lines instead of byte spans.
//!
//! The rule: **a person can look it up.** Each problem names its line and the lines that called it.

use std::fmt;

/// Everything Typst had to say about one source, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// One diagnostic of Typst, located in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the source, counted from 1; none if it concerns the document as a whole.
    pub line: Option<usize>,
    /// Lines of the calls that led there, innermost first.
    pub called_from: Vec<usize>,
    /// What is wrong.
    pub message: String,
    /// What Typst suggests.
    pub hints: Vec<String>,
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            write!(out, "{}{problem}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(out, "line {line}: ")?;
        }
        out.write_str(&self.message)?;
        for line in &self.called_from {
            write!(out, ", called from line {line}")?;
        }
        for hint in &self.hints {
            write!(out, " (hint: {hint})")?;
        }
        Ok(())
    }
}
