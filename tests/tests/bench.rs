//! The benches run, and write what they promise: `target/bench/NAME.json`, every row with a figure and a goal.

use std::{collections::BTreeSet, fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::rig::{binary, practice::Folder, process::run};

const KEYS: [&str; 7] = ["what", "ours", "unit", "against", "theirs", "ratio", "goal"];

#[test]
fn every_required_bench_writes_its_rows() -> Result<()> {
    let folder = Folder::new()?;
    // Redaction's has a test of its own text (tests/tests/phi.rs), and needs the generators.
    let all = [
        ("events", 1),
        ("evidence", 4),
        ("latency", 2),
        ("verify-year", 2),
        ("packets", 2),
        ("exchange", 6),
        ("fleet", 2),
        ("storm", 2),
    ];
    for (name, rows) in all {
        let mut bench = Command::new(binary("bench")?);
        bench.arg("--quick").args(["--only", name]).arg("--folder").arg(folder.path());
        let printed = run(&mut bench, &[0])?.stdout;
        ensure!(String::from_utf8_lossy(&printed).contains("ratio"), "{name}: no table was printed");
        let text = fs::read(folder.join(&format!("{name}.json"))).with_context(|| name.to_owned())?;
        let written: Value = serde_json::from_slice(&text)?;
        ensure!(written["bench"] == name, "{written:#}");
        let found = written["rows"].as_array().context("rows is a list")?;
        ensure!(found.len() == rows, "{name} has {} rows, not {rows}", found.len());
        for row in found {
            let keys: BTreeSet<&str> =
                row.as_object().context("a row is an object")?.keys().map(String::as_str).collect();
            ensure!(keys == BTreeSet::from(KEYS), "{keys:?}");
            for figure in ["ours", "theirs", "ratio", "goal"] {
                ensure!(row[figure].as_f64().is_some_and(|n| n > 0.0), "{name}: {figure} is {}", row[figure]);
            }
            for text in ["what", "unit", "against"] {
                ensure!(row[text].as_str().is_some_and(|text| !text.is_empty()), "{name}: {text} is empty");
            }
            let (ours, theirs) = (row["ours"].as_f64(), row["theirs"].as_f64());
            let (ours, theirs) = (ours.context("a number")?, theirs.context("a number")?);
            // Higher is better: of rates ours by theirs, of times and memory theirs by ours.
            let is_cost = ["ms", "MB", "%"].iter().any(|unit| row["unit"] == *unit);
            let ratio = if is_cost { theirs / ours } else { ours / theirs };
            let off = (row["ratio"].as_f64().context("a number")? - ratio).abs();
            ensure!(off < 1e-9, "{name}: {row:#}");
        }
    }
    Ok(())
}
