//! Records, in the order of the log: leaf upon leaf, and each held against what came before it.
//!
//! The rule: an executor puts the newest checkpoint it has verified into every record it signs. So whoever rewrites the log
//! afterwards, with all keys of the server in hand, contradicts the records that came later.

use std::collections::BTreeMap;

use proto::{
    act::Deed,
    digest::Digest,
    evidence::{Body, CheckpointSeen},
    ids::ApplianceId,
    log::{Hash, Head, Tile, decode_hashes},
};

use super::{
    Progress, acts,
    contents::Contents,
    findings::{Findings, Tally},
    growth::Growth,
    head::LogHead,
    parallel,
    reading::{Entry, Held, Load, Read, Reader, is_kept},
};
use crate::bundle::{ActFact, Fact, Place, Trace, bounds::ENTRIES_MAX};

/// Records as they were read.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Those whose signature holds and that are kept whole, by log index.
    pub(super) facts: Vec<Fact>,
    /// All whose signature holds, by log index.
    pub(super) traces: Vec<Trace>,
    /// Acts among them, by log index.
    pub(super) acts: Vec<ActFact>,
    /// What names another before it than the one that came before it in the log.
    pub(super) links: BTreeMap<u64, Digest>,
    /// The tree: of each record its leaf, signed or not; where one is not here, from the lowest tiles.
    pub(super) growth: Growth,
    /// Where the tree could not go on, because neither record nor tile is here.
    pub(super) broken: Option<u64>,
    /// How many records below the head lie in the log's entries alone.
    pub(super) together: u64,
    /// How many lie in entries beyond the head: no root covers them.
    pub(super) uncovered: u64,
    /// What records say of the log before them.
    pub(super) seen: Seen,
    /// Of the tree's leaves, those that are a record's here.
    own: Vec<bool>,
    /// Leaves beyond the tree, or beyond where it could not go on.
    beyond: BTreeMap<u64, Hash>,
}

/// What records say of the log before them, held against the log as it is now.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Records that have seen this log.
    pub(super) agree: u64,
    /// Records that have seen a log that this one follows.
    pub(super) earlier: u64,
    /// The first that has seen more than is here.
    pub(super) unknown: Option<u64>,
    /// Of each executor: its first contradiction, what it says, and how many there are.
    pub(super) contradictions: BTreeMap<u16, (u64, Digest, String, u64)>,
}

impl Seen {
    fn add(&mut self, trace: &Trace, seen: CheckpointSeen, reader: &Reader<'_>, growth: &Growth) {
        let (size, root) = (seen.size, Hash(seen.root.0));
        let problem = if seen.log != reader.log() {
            if reader.charters.successions.explains(seen, reader.log()) {
                return self.earlier += 1;
            }
            format!("has seen {size} records of log {}, which this one is not said to follow", seen.log)
        } else if size > trace.index {
            format!("has seen a log of {size} records, which would include itself")
        } else {
            match growth.root(size) {
                Some(right) if right == root => return self.agree += 1,
                Some(_) => format!("has seen another log: its first {size} records had another root"),
                None => {
                    self.unknown.get_or_insert(trace.index);
                    return;
                }
            }
        };
        // Whoever has seen another log once sees another one from then on: the first time tells where it was changed.
        let first = self.contradictions.entry(trace.executor);
        first.or_insert((trace.index, trace.digest, problem, 0)).3 += 1;
    }
}

impl Records {
    /// Leaf hash of a record that is here.
    pub(super) fn leaf(&self, index: u64) -> Option<Hash> {
        match usize::try_from(index).ok().and_then(|at| self.own.get(at)) {
            Some(true) => self.growth.leaf(index),
            Some(false) => None,
            None => self.beyond.get(&index).copied(),
        }
    }
}

/// Reads all records.
pub(super) fn read(
    contents: &Contents,
    reader: &Reader<'_>,
    (findings, progress): (&mut Findings, &mut Progress<'_>),
) -> Records {
    let tally = findings.begin("Every record is signed by its appliance's evidence key", "evidence/");
    let of_acts = findings
        .begin("Every act of the control plane is signed, and follows the one before it", "evidence/");
    let mut carriers = contents.carriers();
    let expected: u64 = carriers.iter().map(|carrier| carrier.records()).sum();
    if expected > ENTRIES_MAX {
        let problem = format!("must hold at most {ENTRIES_MAX} records, its files promise {expected}");
        findings.fault("log/tile/entries/", None, &problem);
        carriers.clear();
    }
    let room = usize::try_from(expected.min(ENTRIES_MAX)).unwrap_or_default();
    let records = Records {
        traces: Vec::with_capacity(room),
        growth: Growth::with_capacity(room),
        own: Vec::with_capacity(room),
        ..Records::default()
    };
    let (ends, newest) = (BTreeMap::new(), BTreeMap::new());
    let mut merge = Merge { reader, records, tally, of_acts, has_acts: false, ends, newest, tile: None };
    parallel::in_order(
        carriers.len(),
        |n| reader.load(&carriers[n]),
        |load| {
            merge.take(load, findings);
            progress.step();
        },
    );
    if carriers.is_empty() {
        merge.tally.missing("there are no records");
    }
    let records = merge.finish(contents, findings);
    newer(&records, findings);
    records
}

/// What nobody has read is not vouched for, however well it is signed.
fn newer(records: &Records, findings: &mut Findings) {
    let facts = records.facts.iter().filter(|fact| fact.record.body == Body::Unknown).map(|fact| fact.index);
    let acts = records.acts.iter().filter(|fact| fact.act.deed == Deed::Unknown).map(|fact| fact.index);
    let mut unread = facts.chain(acts);
    let Some(first) = unread.next() else { return };
    let mut tally = findings.begin("What every record says is known to this verifier", "evidence/");
    let more = match unread.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    tally.missing(format!(
        "record {first}{more}: of a newer version; signature and chain checked, content not"
    ));
    findings.end(tally);
}

/// Puts what was read, file by file in the order of the log, to what is there.
struct Merge<'m> {
    reader: &'m Reader<'m>,
    records: Records,
    tally: Tally,
    of_acts: Tally,
    has_acts: bool,
    /// The end of each chain so far: the next index, and the digest that the next one names.
    ends: BTreeMap<u16, (u64, Digest)>,
    /// Each appliance's newest heartbeat of another month.
    newest: BTreeMap<ApplianceId, Fact>,
    /// The tile of leaves that was read last.
    tile: Option<(Tile, Vec<Hash>)>,
}

impl Merge<'_> {
    fn take(&mut self, load: Load, findings: &mut Findings) {
        let path = load.place.to_string();
        let records = match load.records {
            Ok(records) => records,
            Err(problem) => return findings.fault(&path, None, &problem),
        };
        for (index, Entry { leaf, read }) in records {
            if let Some(leaf) = leaf {
                self.leaf(index, leaf);
                if matches!(load.place, Place::Entries(_)) {
                    let is_below = self.head().is_none_or(|head| index < head.size);
                    let count =
                        if is_below { &mut self.records.together } else { &mut self.records.uncovered };
                    *count += 1;
                }
            }
            match read {
                Read::Holds(held) => {
                    self.tally.proven += 1;
                    self.hold(*held);
                }
                Read::NoKey(executor) => {
                    self.tally.missing(format!("no key of executor {executor} is here that counts"));
                }
                Read::Act(act) => {
                    self.has_acts = true;
                    match act.read {
                        acts::Read::Act(read) => {
                            self.records.acts.push(ActFact { index, digest: act.digest, act: *read });
                        }
                        acts::Read::NoCharter(serial) => {
                            self.of_acts.missing(format!("charter {serial} is not here"));
                        }
                        acts::Read::Fault(problem) => findings.fault(&path, Some(index), &problem),
                    }
                }
                Read::Fault(problem) => findings.fault(&path, Some(index), &problem),
            }
        }
    }

    fn head(&self) -> Option<Head> {
        self.reader.head.map(LogHead::head)
    }

    fn leaf(&mut self, index: u64, leaf: Hash) {
        let size = self.head().map_or(ENTRIES_MAX, |head| head.size);
        if index < size && self.fill(index) && self.records.growth.size() == index {
            self.records.growth.push(leaf);
            self.records.own.push(true);
        } else {
            self.records.beyond.insert(index, leaf);
        }
    }

    /// Lets the tree grow to `size` leaves, with tiles where records are missing; whether it could.
    fn fill(&mut self, size: u64) -> bool {
        if self.records.broken.is_some() || self.head().is_some_and(|head| head.size > ENTRIES_MAX) {
            return false;
        }
        // Sizes come from strangers; a tile had to be sent for each step.
        while self.records.growth.size() < size {
            let next = self.records.growth.size();
            let Some(leaf) = self.stand_in(next) else {
                self.records.broken = Some(next);
                return false;
            };
            self.records.growth.push(leaf);
            self.records.own.push(false);
        }
        true
    }

    /// The leaf of a record that is not here.
    fn stand_in(&mut self, index: u64) -> Option<Hash> {
        let wanted = Tile::in_tree(0, index / 256, self.head()?.size)?;
        if self.tile.as_ref().is_none_or(|(have, _)| *have != wanted) {
            // What is wrong with the file is told where all tiles are looked at.
            let bytes = self.reader.source.read(&Place::Tile(wanted).to_string());
            let hashes = bytes.ok().and_then(|bytes| decode_hashes(&bytes).ok()).unwrap_or_default();
            self.tile = Some((wanted, hashes));
        }
        let within = usize::try_from(index % 256).ok()?;
        self.tile.as_ref().and_then(|(_, hashes)| hashes.get(within).copied())
    }

    fn hold(&mut self, held: Held) {
        let Held { trace, previous, seen, fact } = held;
        let (next, digest) = self.ends.get(&trace.executor).copied().unwrap_or_default();
        if trace.chain_index != next || previous != digest {
            self.records.links.insert(trace.index, previous);
        }
        self.ends.insert(trace.executor, (trace.chain_index.saturating_add(1), trace.digest));
        if let Some(seen) = seen {
            self.records.seen.add(&trace, seen, self.reader, &self.records.growth);
        }
        match fact {
            Some(fact) if is_kept(&trace, self.reader.month) => self.records.facts.push(fact),
            // Kept for being the newest: a later one takes its place.
            Some(fact) => drop(self.newest.insert(fact.record.identity.appliance, fact)),
            None => {}
        }
        self.records.traces.push(trace);
    }

    fn finish(mut self, contents: &Contents, findings: &mut Findings) -> Records {
        if let Some(head) = self.head() {
            self.fill(head.size);
        }
        let mut records = self.records;
        records.facts.extend(self.newest.into_values());
        // The newest of other months come last; alone and together may lie side by side.
        records.facts.sort_by_key(|fact| fact.index);
        if !records.traces.is_sorted_by_key(|trace| trace.index) {
            records.traces.sort_by_key(|trace| trace.index);
        }
        records.acts.sort_by_key(|fact| fact.index);
        findings.end(self.tally);
        if self.has_acts {
            acts::chain(&records.acts, self.reader.charters, contents, self.of_acts, findings);
        }
        records
    }
}
