//! The manifest against the files: nothing is missing, nothing is there unlisted, nothing differs.

use std::collections::BTreeMap;

use proto::digest::Digest;

use super::{Progress, findings::Findings, parallel};
use crate::{
    bundle::{FileLine, Manifest, Place, ProviderSays, Source, manifest::LogLine, purpose::Purposes},
    mode::Brand,
};

/// Reads the manifest and compares it with every file.
pub(super) fn read(
    source: &dyn Source,
    paths: &[String],
    (findings, progress): (&mut Findings, &mut Progress<'_>),
) -> Option<Manifest> {
    let path = Place::Manifest.to_string();
    let mut tally = findings.begin("The files are those that the manifest lists", &*path);
    let manifest = match findings.read(source, &Place::Manifest).map(|bytes| Manifest::parse(&bytes)) {
        Some(Ok(manifest)) => Some(manifest),
        Some(Err(error)) => {
            findings.error(&path, None, &error);
            None
        }
        None => {
            tally.missing("there is none");
            None
        }
    };
    if let Some(manifest) = &manifest {
        tally.proven = files(source, paths, manifest, (findings, progress));
    }
    findings.end(tally);
    manifest
}

fn files(
    source: &dyn Source,
    paths: &[String],
    manifest: &Manifest,
    (findings, progress): (&mut Findings, &mut Progress<'_>),
) -> u64 {
    let mut listed: BTreeMap<&str, &FileLine> = BTreeMap::new();
    let mut proven = 0;
    for line in &manifest.files {
        if listed.insert(&line.path, line).is_some() {
            findings.fault(&line.path, None, "is listed twice");
        }
    }
    let manifest = Place::Manifest.to_string();
    let read = |n: usize| {
        let line = listed.get(paths[n].as_str())?;
        let is_it = |bytes: &[u8]| Digest::of(bytes) == line.sha256 && bytes.len() as u64 == line.bytes;
        Some(source.read(&paths[n]).map(|bytes| is_it(&bytes)))
    };
    let mut left = paths.iter();
    parallel::in_order(paths.len(), read, |found| {
        progress.step();
        let Some(path) = left.next().filter(|path| **path != manifest) else { return };
        match found {
            None => findings.fault(path, None, "is not in the manifest"),
            Some(Ok(true)) => proven += 1,
            Some(Ok(false)) => findings.fault(path, None, "is not the file that the manifest lists"),
            Some(Err(error)) => findings.error(path, None, &error),
        }
    });
    for path in paths.iter().filter(|path| **path != manifest) {
        listed.remove(path.as_str());
    }
    for path in listed.keys() {
        findings.fault(path, None, "is in the manifest and not here");
    }
    proven
}

/// Whether the manifest says of the evidence what the evidence says.
pub(super) fn compare(
    manifest: &Manifest,
    purposes: &Purposes<'_>,
    facts: &crate::bundle::Facts,
    findings: &mut Findings,
) {
    let path = Place::Manifest.to_string();
    let mut differs =
        |what: &str| findings.fault(&path, None, &format!("says another {what} than the files"));
    if manifest.organization != facts.organization {
        differs("organization");
    }
    if manifest.tenant != facts.tenant {
        differs("tenant");
    }
    if manifest.log != facts.log.as_ref().map(LogLine::from) {
        differs("log");
    }
    for line in &manifest.files {
        let purpose = line.path.parse().map(|place: Place| purposes.of(&place));
        if purpose.is_ok_and(|purpose| purpose != line.proves) {
            findings.fault(&path, None, &format!("says of {} that it proves something else", line.path));
        }
    }
}

/// What stands in when there is no manifest: nothing said, no time covered.
pub(super) fn nothing_said() -> ProviderSays {
    use crate::bundle::Period;
    use proto::time::Millis;
    ProviderSays {
        clinic: "a clinic without a name".into(),
        appliances: BTreeMap::new(),
        period: Period { from: Millis(0), to: Millis(0) },
        made_at: Millis(0),
        generator: "unknown".into(),
        packet: None,
        brand: Brand::default(),
    }
}
