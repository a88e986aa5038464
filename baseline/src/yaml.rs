//! YAML into a baseline and into exceptions, for whoever writes them; an appliance never parses YAML.
//!
//! Every complaint names the file, the key and what would be right. Anchors, aliases, merge keys, tags and a second
//! document are refused: a reviewer must see what there is.

use proto::time::Millis;
use serde_json::Value;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use crate::{
    control::Control,
    document::{Baseline, SPEC},
    exception::Exception,
    tree::{BadSource, Keys},
};

/// The most bytes that one source may have.
pub const SOURCE_MAX: usize = 256 * 1024;

/// The source of the baseline that ships: its file name and its text.
pub const HIPAA_V1: (&str, &str) = ("hipaa-v1.yaml", include_str!("../hipaa-v1.yaml"));

/// Reads a baseline.
pub fn baseline(text: &str, file: &str) -> Result<Baseline, BadSource> {
    let mut keys = Keys::of(file, "", tree(text, file)?)?;
    let (name, version, title) = (keys.one("name")?, keys.one("version")?, keys.one("title")?);
    let sources: Vec<Value> = keys.one("controls")?;
    keys.finish()?;
    let controls = sources
        .into_iter()
        .enumerate()
        .map(|(at, source)| control(source, file, at))
        .collect::<Result<_, _>>()?;
    let baseline = Baseline { spec: SPEC, name, version, title, controls };
    baseline.check().map_err(|refused| BadSource::new(file, &refused.field, refused.problem))?;
    Ok(baseline)
}

/// Reads an exception and refuses one that does not hold at `now`.
pub fn exception(text: &str, file: &str, now: Millis) -> Result<Exception, BadSource> {
    Exception::from_tree(tree(text, file)?, file, now)
}

/// A control is named by its ID in complaints, as soon as it has one.
fn control(source: Value, file: &str, at: usize) -> Result<Control, BadSource> {
    let within = match source.get("id").and_then(Value::as_str) {
        Some(id) => format!("{id}."),
        None => format!("controls[{at}]."),
    };
    let mut keys = Keys::of(file, &within, source)?;
    let control = Control {
        id: keys.one("id")?,
        title: keys.one("title")?,
        why: keys.one("why")?,
        area: keys.one("area")?,
        hipaa: keys.one("hipaa")?,
        nist: keys.one("nist")?,
        stig: keys.optional("stig")?,
        required: keys.one("required")?,
        severity: keys.one("severity")?,
        nixos: keys.one("nixos")?,
        probe: keys.one("probe")?,
        expect: keys.one("expect")?,
        repair: keys.one("repair")?,
    };
    keys.finish()?;
    Ok(control)
}

fn tree(text: &str, file: &str) -> Result<Value, BadSource> {
    if text.len() > SOURCE_MAX {
        let problem = format!("must be at most {SOURCE_MAX} bytes, has {}", text.len());
        return Err(BadSource::new(file, "yaml", problem));
    }
    serde_saphyr::from_str_with_options(text, strict())
        .map_err(|e| BadSource::new(file, "yaml", e.without_snippet().to_string()))
}

fn strict() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_anchors: 0,
            max_aliases: 0,
            max_documents: 1,
            max_depth: 10,
            max_nodes: 20_000,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}
