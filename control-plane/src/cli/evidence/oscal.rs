//! Writes a bundle's exports in NIST's format again, offline.
//!
//! The rule: as a verifier makes them, from the evidence and not from the bundle's own folder of them. Whether the evidence
//! holds is for `evidence verify` to say.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::Context as _;
use serde_json::json;

use crate::{
    bundle::{self, Folder},
    cli::{Misuse, misuse, output::Answer},
    files::{self, Access},
    oscal,
};

/// Makes all of `bundle` and writes them into `out`, an empty folder or none.
pub(super) fn write(bundle: &Path, out: &Path) -> anyhow::Result<Answer> {
    match fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        _ => return Err(misuse(format!("--out is {}, must be an empty folder or none", out.display()))),
    }
    let is_none = || Misuse(format!("BUNDLE is {}, must be the folder of a bundle", bundle.display()));
    let folder = Folder::open(bundle).with_context(is_none)?;
    let facts = bundle::verify::facts(&folder).with_context(is_none)?;
    files::create_folder(out)?;
    let (mut paths, mut lines) = (Vec::new(), Vec::new());
    for (export, bytes) in oscal::build(&facts) {
        let path = out.join(export.file());
        files::replace(&path, &bytes, Access::Public)?;
        lines.push(format!("{}: {} bytes", path.display(), bytes.len()));
        paths.push(path);
    }
    if facts.faults > 0 {
        lines.push(
            "The evidence contradicts itself. `control-plane evidence verify` says where; rely on none of these.".into(),
        );
    }
    Ok(Answer::new(lines.join("\n"), json!({ "files": paths, "faults": facts.faults })))
}
