//! The tree: the log's root, computed again from the records, and every checkpoint that a record has seen.
//!
//! The rule: an executor puts the newest checkpoint it has verified into every record it signs. So whoever rewrites the
//! log afterwards, with all keys of the server in hand, contradicts the records that came later.

use std::collections::{BTreeMap, BTreeSet};

use proto::{
    ids::Incarnation,
    log::{
        EMPTY_ROOT, Hash, Head, MemoryTiles, Tile, append, decode_hashes, encode_hashes, leaf_hash, node_hash,
    },
};

use super::{
    contents::Contents,
    findings::{Findings, Tally},
    head::LogHead,
    records::Records,
};
use crate::bundle::{Fact, Place, Source};

/// Most entries of a log that is checked.
const ENTRIES_MAX: u64 = 4_000_000;

/// The ranges of log indices below `size` that have no file.
pub(super) fn absent(contents: &Contents, size: u64) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    let mut next = 0;
    for &index in contents.evidence.keys().take_while(|index| **index < size) {
        if index > next {
            ranges.push((next, index - 1));
        }
        next = index + 1;
    }
    if next < size {
        ranges.push((next, size - 1));
    }
    ranges
}

/// Checks root, tiles and entry bundles; gives all leaves, where they are known.
pub(super) fn check(
    source: &dyn Source,
    contents: &Contents,
    records: &Records,
    head: Option<&LogHead>,
    findings: &mut Findings,
) -> Option<Vec<Hash>> {
    let mut tally = findings.begin("The log's root follows from all its records", "log/tile/");
    let leaves = match head {
        Some(head) => compute(source, contents, records, head.head(), findings, &mut tally),
        None => {
            tally.missing("no head of the log holds");
            None
        }
    };
    findings.end(tally);
    leaves
}

fn compute(
    source: &dyn Source,
    contents: &Contents,
    records: &Records,
    head: Head,
    findings: &mut Findings,
    tally: &mut Tally,
) -> Option<Vec<Hash>> {
    if head.size > ENTRIES_MAX {
        tally.missing(format!("a log of more than {ENTRIES_MAX} records is not computed here"));
        return None;
    }
    let leaves = leaves(source, contents, records, head, findings, tally)?;
    let appended = match append(&MemoryTiles::default(), Head::EMPTY, &leaves) {
        Ok(appended) => appended,
        Err(error) => {
            tally.missing(error.to_string());
            return None;
        }
    };
    if appended.head != head {
        let problem = format!("says root {}, the records give {}", head.root, appended.head.root);
        findings.fault(&Place::Checkpoint.to_string(), None, &problem);
        return None;
    }
    tally.proven = head.size;
    let mut expected = BTreeSet::new();
    for write in &appended.writes {
        expected.insert(write.tile);
        let place = Place::Tile(write.tile);
        match findings.read(source, &place) {
            None => tally.missing(format!("{place} is not here")),
            Some(bytes) if *bytes != *encode_hashes(&write.hashes) => {
                findings.fault(&place.to_string(), None, "is not the tile that the records give");
            }
            Some(_) => {}
        }
    }
    for tile in contents.tiles.iter().filter(|tile| !expected.contains(tile)) {
        findings.fault(&Place::Tile(*tile).to_string(), None, "is no tile of a log of this size");
    }
    entries(source, contents, &leaves, findings);
    Some(leaves)
}

/// Leaf hashes from the records; where one is not here, from the lowest tiles.
fn leaves(
    source: &dyn Source,
    contents: &Contents,
    records: &Records,
    head: Head,
    findings: &mut Findings,
    tally: &mut Tally,
) -> Option<Vec<Hash>> {
    // What cannot be complete is not allocated: sizes come from strangers, files had to be sent.
    let known = records.leaves.len() as u64 + contents.tiles.len() as u64 * 256;
    if known < head.size {
        tally.missing("records are missing, and the tiles that would stand in for them");
        return None;
    }
    let mut leaves = Vec::new();
    let mut tile: Option<(Tile, Vec<Hash>)> = None;
    for index in 0..head.size {
        if let Some(leaf) = records.leaves.get(&index) {
            leaves.push(*leaf);
            continue;
        }
        let wanted = Tile::in_tree(0, index / 256, head.size)?;
        if tile.as_ref().is_none_or(|(have, _)| *have != wanted) {
            let bytes = findings.read(source, &Place::Tile(wanted));
            let hashes = bytes.and_then(|bytes| decode_hashes(&bytes).ok()).unwrap_or_default();
            tile = Some((wanted, hashes));
        }
        let within = usize::try_from(index % 256).ok()?;
        let Some(leaf) = tile.as_ref().and_then(|(_, hashes)| hashes.get(within)) else {
            tally.missing(format!("record {index} is missing, and the tile that would stand in for it"));
            return None;
        };
        leaves.push(*leaf);
    }
    Some(leaves)
}

fn entries(source: &dyn Source, contents: &Contents, leaves: &[Hash], findings: &mut Findings) {
    for bundle in &contents.entries {
        let place = Place::Entries(*bundle);
        let Some(bytes) = findings.read(source, &place) else { continue };
        let expected = bundle.first().and_then(|first| {
            let first = usize::try_from(first).ok()?;
            leaves.get(first..first.checked_add(bundle.width().into())?)
        });
        let same = match (bundle.decode(&bytes), expected) {
            (Ok(entries), Some(leaves)) => {
                entries.iter().map(|entry| leaf_hash(entry)).eq(leaves.iter().copied())
            }
            _ => false,
        };
        if !same {
            findings.fault(&place.to_string(), None, "does not hold the log's entries");
        }
    }
}

/// Checks what records say of the log before them against the log as it is now.
pub(super) fn seen(facts: &[Fact], leaves: Option<&[Hash]>, findings: &mut Findings) {
    let mut tally = findings.begin("No record contradicts the log that its appliance saw", "evidence/");
    let mut claims: Vec<(u64, &Fact)> = Vec::new();
    let mut contradictions = Contradictions::default();
    for fact in facts {
        let Some(seen) = &fact.record.checkpoint else { continue };
        if seen.size > fact.index {
            let problem = format!("has seen a log of {} records, which would include itself", seen.size);
            contradictions.add(fact, problem);
        } else {
            claims.push((seen.size, fact));
        }
    }
    claims.sort_by_key(|(size, fact)| (*size, fact.index));
    let Some(leaves) = leaves else {
        if !claims.is_empty() {
            tally.missing("the log's leaves are not all known");
        }
        contradictions.report(findings);
        findings.end(tally);
        return;
    };
    let mut prefix = Prefix::default();
    for (size, fact) in claims {
        let Some(root) = prefix.grow(leaves, size) else {
            tally.missing(format!("record {} has seen more of the log than is here", fact.index));
            break;
        };
        if fact.record.checkpoint.is_some_and(|seen| seen.root.0 == root.0) {
            tally.proven += 1;
        } else {
            contradictions
                .add(fact, format!("has seen another log: its first {size} records had another root"));
        }
    }
    contradictions.report(findings);
    findings.end(tally);
}

/// Whoever has seen another log once sees another one from then on: the first time tells where it was changed.
#[derive(Default)]
struct Contradictions<'f>(BTreeMap<Incarnation, (&'f Fact, String, u64)>);

impl<'f> Contradictions<'f> {
    fn add(&mut self, fact: &'f Fact, problem: String) {
        let first = self.0.entry(fact.record.chain.incarnation).or_insert((fact, problem, 0));
        first.2 += 1;
    }

    fn report(self, findings: &mut Findings) {
        for (fact, problem, records) in self.0.into_values() {
            let further = match records {
                1 => String::new(),
                n => format!("; {} more of its executor contradict the log too", n - 1),
            };
            let path = Place::Evidence(fact.index, fact.digest).to_string();
            findings.fault(&path, Some(fact.index), &format!("{problem}{further}"));
        }
    }
}

/// Roots of growing beginnings of one list of leaves, each leaf hashed once.
#[derive(Default)]
struct Prefix {
    size: u64,
    /// Complete subtrees from left to right, each with its height.
    complete: Vec<(u32, Hash)>,
}

impl Prefix {
    /// Root of the first `size` leaves; sizes must not fall from call to call. `None`: there are fewer.
    fn grow(&mut self, leaves: &[Hash], size: u64) -> Option<Hash> {
        while self.size < size {
            let mut node = (0, *leaves.get(usize::try_from(self.size).ok()?)?);
            while let Some((_, left)) = self.complete.pop_if(|(height, _)| *height == node.0) {
                node = (node.0 + 1, node_hash(left, node.1));
            }
            self.complete.push(node);
            self.size += 1;
        }
        let hashes = self.complete.iter().rev().map(|(_, hash)| *hash);
        Some(hashes.reduce(|right, left| node_hash(left, right)).unwrap_or(EMPTY_ROOT))
    }
}

#[cfg(test)]
mod tests {
    use proto::log::root_of;

    use super::*;

    #[test]
    fn roots_of_all_beginnings() {
        let leaves: Vec<Hash> = (0..300_u32).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut prefix = Prefix::default();
        for size in 0..=300 {
            assert_eq!(prefix.grow(&leaves, size as u64), Some(root_of(&leaves[..size])), "{size}");
        }
        assert_eq!(prefix.grow(&leaves, 301), None);
    }

    #[test]
    fn what_is_absent_is_named_in_ranges() {
        let contents = |indices: &[u64]| Contents {
            evidence: indices.iter().map(|n| (*n, proto::digest::Digest::ZERO)).collect(),
            ..Contents::default()
        };
        assert_eq!(absent(&contents(&[0, 1, 2]), 3), []);
        assert_eq!(absent(&contents(&[1, 4, 9]), 6), [(0, 0), (2, 3), (5, 5)]);
        assert_eq!(absent(&contents(&[]), u64::MAX), [(0, u64::MAX - 1)]);
    }
}
