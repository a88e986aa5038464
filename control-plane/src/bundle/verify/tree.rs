//! The tree: the log's root, computed again from the records, and every checkpoint that a record has seen.

use std::collections::BTreeSet;

use proto::{
    log::{Hash, Head, Tile, encode_hashes, leaf_hash, tiles},
    succession::NamedHead,
};

use super::{
    contents::{Carrier, Contents},
    findings::{Findings, Tally},
    head::LogHead,
    records::Records,
};
use crate::bundle::{Place, Source, bounds::ENTRIES_MAX};

/// Checks root, tiles and entry bundles.
pub(super) fn check(
    source: &dyn Source,
    contents: &Contents,
    records: &Records,
    head: Option<&LogHead>,
    findings: &mut Findings,
) {
    let mut tally = findings.begin("The log's root follows from all its records", "log/tile/");
    match head {
        Some(head) => compare(source, contents, records, head, findings, &mut tally),
        None => tally.missing("no head of the log holds"),
    }
    findings.end(tally);
}

fn compare(
    source: &dyn Source,
    contents: &Contents,
    records: &Records,
    head: &LogHead,
    findings: &mut Findings,
    tally: &mut Tally,
) {
    let head = head.head();
    if head.size > ENTRIES_MAX {
        return tally.missing(format!("a log of more than {ENTRIES_MAX} records is not computed here"));
    }
    let Some(root) = records.growth.root(head.size) else {
        let index = records.broken.unwrap_or_default();
        return tally.missing(format!("record {index} is missing, and the tile that would stand in for it"));
    };
    if root != head.root {
        let problem = format!("says root {}, the records give {root}", head.root);
        return findings.fault(&Place::Checkpoint.to_string(), None, &problem);
    }
    tally.proven = head.size;
    let expected: BTreeSet<Tile> = tiles(head.size).collect();
    for tile in &expected {
        let place = Place::Tile(*tile);
        let right = records.growth.tile(*tile).map(encode_hashes);
        match findings.read(source, &place) {
            None => tally.missing(format!("{place} is not here")),
            Some(bytes) if Some(&*bytes) != right.as_deref() => {
                findings.fault(&place.to_string(), None, "is not the tile that the records give");
            }
            Some(_) => {}
        }
    }
    for tile in contents.tiles.iter().filter(|tile| !expected.contains(tile)) {
        findings.fault(&Place::Tile(*tile).to_string(), None, "is no tile of a log of this size");
    }
    entries(source, contents, records, findings);
}

/// Entries that are there besides the records themselves must be the same ones.
fn entries(source: &dyn Source, contents: &Contents, records: &Records, findings: &mut Findings) {
    let read: BTreeSet<Carrier> = contents.carriers().into_iter().collect();
    for bundle in contents.entries.iter().filter(|bundle| !read.contains(&Carrier::Together(**bundle))) {
        let place = Place::Entries(*bundle);
        let Some(bytes) = findings.read(source, &place) else { continue };
        let leaf =
            |at: usize| -> Option<Hash> { records.growth.leaf(bundle.first()?.checked_add(at as u64)?) };
        let same = bundle.decode(&bytes).is_ok_and(|entries| {
            entries.iter().enumerate().all(|(at, entry)| leaf(at) == Some(leaf_hash(entry)))
        });
        if !same {
            findings.fault(&place.to_string(), None, "does not hold the log's entries");
        }
    }
}

/// Checks the log against a head of it that the auditor knows from elsewhere, an appliance's for one.
pub(super) fn continues(
    known: Option<Head>,
    records: &Records,
    head: Option<&LogHead>,
    before: Option<&NamedHead>,
    findings: &mut Findings,
) {
    let Some(known) = known else { return };
    let file = Place::Checkpoint.to_string();
    let mut tally = findings.begin("The log continues the head that you know", file.clone());
    match (head.map(|head| head.head().size), records.growth.root(known.size)) {
        (Some(_), Some(root)) if root == known.root => tally.proven = known.size,
        (Some(_), _) if let Some(old) = before.filter(|old| known.size <= old.size) => {
            match known == old.head() {
                true => tally.proven = known.size,
                // Smaller, or another log's of that size.
                false => tally.missing(format!(
                    "it may be of {}, which this log follows; that one's bundle tells",
                    old.origin
                )),
            }
        }
        (Some(size), _) if size < known.size => {
            tally.missing(format!("it ends after {size} records, your head is of {}", known.size));
        }
        (None, _) => tally.missing("no head of the log holds"),
        (_, None) => tally.missing(format!("not all of its first {} records are here", known.size)),
        (_, Some(root)) => {
            let problem = format!(
                "is of another log than the head you know: the first {} records give root {root}",
                known.size
            );
            findings.fault(&file, None, &problem);
        }
    }
    findings.end(tally);
}

/// Checks what records say of the log before them against the log as it is now.
pub(super) fn seen(contents: &Contents, records: &mut Records, findings: &mut Findings) {
    let mut tally = findings.begin("No record contradicts the log that its appliance saw", "evidence/");
    let seen = std::mem::take(&mut records.seen);
    tally.proven = seen.agree;
    if seen.earlier > 0 {
        tally.remark(format!("{} of them have seen a log that this one follows", seen.earlier));
    }
    if let Some(index) = seen.unknown {
        tally.missing(format!("record {index} has seen more of the log than is here"));
    }
    for (index, digest, problem, count) in seen.contradictions.into_values() {
        let further = match count {
            1 => String::new(),
            n => format!("; {} more of its executor contradict the log too", n - 1),
        };
        let path = contents.place_of(index, digest).to_string();
        findings.fault(&path, Some(index), &format!("{problem}{further}"));
    }
    findings.end(tally);
}
