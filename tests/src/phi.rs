//! How well redaction does on a corpus of made-up log lines: what it leaves, and what it takes too much.
//!
//! Recall counts identifiers: one is gone when each of its letters and digits was removed; half of one is a miss.
//! Precision counts removals: one was right if it overlaps an identifier. The logger's own timestamp (`log-time` in the
//! corpus) counts for neither. The corpus is what `tests/phi/generate.py` writes.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use appliance::redact::{Found, find};
use serde::Deserialize;

/// The class of what is neither an identifier nor to be kept.
const NEUTRAL: &str = "log-time";

/// One line, or message, of the corpus.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// the template it was made from
    pub template: String,
    /// `tune`, or `held-out`: not seen while the engine was built
    pub split: String,
    /// the text
    pub text: String,
    /// the identifiers in it
    pub spans: Vec<Span>,
}

/// An identifier in a sample.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// its class
    pub class: String,
    /// its first byte
    pub start: usize,
    /// the byte after its last
    pub end: usize,
    /// itself
    pub text: String,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// the hits
    pub hits: u64,
    /// all
    pub of: u64,
}

impl Share {
    /// As a fraction; of nothing, all.
    #[must_use]
    pub fn fraction(self) -> f64 {
        if self.of == 0 { 1.0 } else { self.hits as f64 / self.of as f64 }
    }

    fn count(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.of += 1;
    }
}

/// What one split came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// identifiers removed, by class
    pub classes: BTreeMap<String, Share>,
    /// identifiers removed, all classes
    pub recall: Share,
    /// removals that met an identifier
    pub precision: Share,
    /// removed bytes that were an identifier's
    pub bytes: Share,
}

impl Figures {
    /// The class with the lowest recall.
    #[must_use]
    pub fn worst(&self) -> Option<(&str, f64)> {
        let each = self.classes.iter().map(|(class, share)| (class.as_str(), share.fraction()));
        each.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// The scripts, and the Python that `.ci/setup test` gives them.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/phi");
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/phi-venv/bin/python");

/// A script of `tests/phi`, ready to be run.
pub fn script(name: &str) -> Result<Command> {
    ensure!(Path::new(PYTHON).exists(), "the corpus's libraries are missing; `.ci/setup test` installs them");
    let mut command = Command::new(PYTHON);
    command.arg(Path::new(SCRIPTS).join(name));
    Ok(command)
}

/// Writes a corpus with so many samples of each template.
pub fn generate(path: &Path, samples: usize) -> Result<()> {
    let output = script("generate.py")?.arg("--samples").arg(samples.to_string()).output()?;
    ensure!(output.status.success(), "no corpus: {}", String::from_utf8_lossy(&output.stderr));
    Ok(fs::write(path, output.stdout)?)
}

/// Reads a corpus, one JSON object a line.
pub fn read(path: &Path) -> Result<Vec<Sample>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read the corpus {}", path.display()))?;
    let parse =
        |(n, line)| serde_json::from_str(line).with_context(|| format!("line {} is no sample", n + 1));
    text.lines().enumerate().map(parse).collect()
}

/// Measures the appliance's redaction on one split of the corpus.
#[must_use]
pub fn measure(samples: &[Sample], split: &str) -> Figures {
    let mut figures = Figures::default();
    for sample in samples.iter().filter(|s| s.split == split) {
        judge(sample, &find(sample.text.as_bytes()), &mut figures);
    }
    figures
}

fn judge(sample: &Sample, found: &[Found], figures: &mut Figures) {
    let text = sample.text.as_bytes();
    let removed = |at: usize| found.iter().any(|f| f.start <= at && at < f.end);
    let (neutral, spans): (Vec<_>, Vec<_>) = sample.spans.iter().partition(|span| span.class == NEUTRAL);
    for span in &spans {
        let told = |at: &usize| text[*at].is_ascii_alphanumeric() || text[*at] >= 0x80;
        let gone = (span.start..span.end).filter(told).all(removed);
        figures.classes.entry(span.class.clone()).or_default().count(gone);
        figures.recall.count(gone);
    }
    for f in found {
        let meets = |span: &&&Span| span.start < f.end && f.start < span.end;
        let hit = spans.iter().any(|span| meets(&span));
        if !hit && neutral.iter().any(|span| meets(&span)) {
            continue;
        }
        figures.precision.count(hit);
        for at in f.start..f.end {
            figures.bytes.count(spans.iter().any(|span| span.start <= at && at < span.end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(text: &str, spans: &[(&str, &str)]) -> Sample {
        let span = |(class, part): &(&str, &str)| {
            let start = text.find(part).unwrap();
            Span { class: (*class).to_owned(), start, end: start + part.len(), text: (*part).to_owned() }
        };
        let spans = spans.iter().map(span).collect();
        Sample { template: "t".to_owned(), split: "tune".to_owned(), text: text.to_owned(), spans }
    }

    #[test]
    fn a_miss_half_a_miss_and_too_much_are_told_apart() {
        let line = sample("2026-01-02 a b 12", &[(NEUTRAL, "2026-01-02"), ("name", "a"), ("code", "b 12")]);
        let mut figures = Figures::default();
        let class = appliance::redact::Class::Code;
        let found = [(0, 10), (13, 14), (15, 17)].map(|(start, end)| Found { start, end, class });
        judge(&line, &found, &mut figures);
        assert_eq!(figures.recall, Share { hits: 1, of: 2 });
        assert_eq!(figures.worst(), Some(("name", 0.0)));
        assert_eq!(figures.precision, Share { hits: 2, of: 2 });
        judge(&sample("fine", &[]), &[Found { start: 0, end: 4, class }], &mut figures);
        assert_eq!(figures.precision, Share { hits: 2, of: 3 });
    }

    #[test]
    fn the_engine_is_measured_and_other_splits_are_not() {
        let line = sample("ssn=123-45-6789 saved", &[("ssn", "123-45-6789")]);
        assert_eq!(measure(std::slice::from_ref(&line), "tune").recall, Share { hits: 1, of: 1 });
        assert_eq!(measure(&[line], "held-out").recall, Share::default());
    }
}
