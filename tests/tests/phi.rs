//! Redaction of clinical text made by others' generators, looked over by others' recognisers.

use std::{collections::BTreeSet, io::Write as _, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use tests::phi;

/// Presidio's pattern recognisers find nothing in what we let through of text that was held out.
#[test]
fn a_second_opinion_finds_nothing_in_what_is_left() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let corpus = folder.path().join("phi.jsonl");
    phi::generate(&corpus, 4)?;
    let samples = phi::read(&corpus)?;
    let left: BTreeSet<String> = samples
        .iter()
        .map(|sample| appliance::redact::redact(sample.text.as_bytes()).replace(['\n', '\r'], " "))
        .collect();
    ensure!(left.len() > 100, "a corpus of {} texts proves little", left.len());
    let mut presidio = phi::script("presidio_check.py")?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = presidio.stdin.take().context("its input")?;
    for line in &left {
        writeln!(input, "{line}")?;
    }
    drop(input);
    let output = presidio.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Recall on text that was held out; the exact figures are `make bench`'s.
#[test]
fn hardly_any_identifier_is_left() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let corpus = folder.path().join("phi.jsonl");
    phi::generate(&corpus, 10)?;
    let figures = phi::measure(&phi::read(&corpus)?, "held-out");
    ensure!(figures.recall.fraction() > 0.97, "{figures:#?}");
    ensure!(figures.worst().is_some_and(|(_, worst)| worst > 0.8), "{figures:#?}");
    Ok(())
}
