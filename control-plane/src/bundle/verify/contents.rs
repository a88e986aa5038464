//! What lies where: a bundle's paths, sorted into places once.

use std::collections::BTreeMap;

use proto::{
    digest::Digest,
    ids::{ApplianceId, Incarnation},
    log::{self, KeyId, Tile},
};

use super::findings::Findings;
use crate::bundle::{
    Place,
    bounds::{EXECUTORS_MAX, PAPERS_MAX},
};

/// Places by what they hold.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) evidence: BTreeMap<u64, Digest>,
    pub(super) proofs: Vec<u64>,
    pub(super) attachments: Vec<Digest>,
    pub(super) orders: Vec<Digest>,
    pub(super) charters: Vec<u64>,
    pub(super) catalogues: Vec<u64>,
    pub(super) successions: Vec<u64>,
    pub(super) baselines: Vec<Digest>,
    pub(super) exceptions: Vec<Digest>,
    pub(super) appliances: Vec<(ApplianceId, Incarnation)>,
    pub(super) tiles: Vec<Tile>,
    pub(super) entries: Vec<log::Bundle>,
    pub(super) cosigned: Vec<KeyId>,
}

impl Contents {
    /// The log's entries of which no record lies alone, by their place in the log; of several the widest.
    pub(super) fn together(&self) -> BTreeMap<u64, log::Bundle> {
        let mut widest: BTreeMap<u64, log::Bundle> = BTreeMap::new();
        for bundle in &self.entries {
            let known = widest.entry(bundle.index()).or_insert(*bundle);
            if known.width() < bundle.width() {
                *known = *bundle;
            }
        }
        widest.retain(|_, bundle| {
            bundle.first().is_some_and(|first| {
                let end = first.saturating_add(bundle.width().into());
                self.evidence.range(first..end).next().is_none()
            })
        });
        widest
    }
}

/// A file that holds records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Carrier {
    /// One, by its index and digest.
    Alone(u64, Digest),
    /// The log's entries.
    Together(log::Bundle),
}

impl Carrier {
    pub(super) fn place(self) -> Place {
        match self {
            Self::Alone(index, digest) => Place::Evidence(index, digest),
            Self::Together(bundle) => Place::Entries(bundle),
        }
    }

    /// How many records it should hold.
    pub(super) fn records(self) -> u64 {
        match self {
            Self::Alone(..) => 1,
            Self::Together(bundle) => bundle.width().into(),
        }
    }

    /// The first index that it speaks of, and the first after it.
    pub(super) fn range(self) -> (u64, u64) {
        let first = match self {
            Self::Alone(index, _) => index,
            Self::Together(bundle) => bundle.first().unwrap_or(u64::MAX),
        };
        (first, first.saturating_add(self.records()))
    }
}

impl Contents {
    /// The files that hold records, in the order of the log. Entries of which a record lies alone as well are only compared
    /// with it; of entries that are there in two widths the widest counts.
    pub(super) fn carriers(&self) -> Vec<Carrier> {
        let together = self.together().into_values().map(Carrier::Together);
        let alone = self.evidence.iter().map(|(index, digest)| Carrier::Alone(*index, *digest));
        let mut carriers: Vec<Carrier> = together.chain(alone).collect();
        carriers.sort_by_key(|carrier| carrier.range().0);
        carriers
    }

    /// The ranges of log indices below `size` that no file speaks of, both ends included.
    pub(super) fn absent(&self, size: u64) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        let mut next = 0;
        for (first, end) in
            self.carriers().into_iter().map(Carrier::range).take_while(|(first, _)| *first < size)
        {
            if first > next {
                ranges.push((next, first - 1));
            }
            next = next.max(end);
        }
        if next < size {
            ranges.push((next, size - 1));
        }
        ranges
    }

    /// The file that a record lies in.
    pub(super) fn place_of(&self, index: u64, digest: Digest) -> Place {
        // Sorted, so that of several widths the widest comes last.
        let upto = self.entries.partition_point(|bundle| bundle.index() <= index / 256);
        let last = upto.checked_sub(1).and_then(|at| self.entries.get(at));
        let within = |bundle: &&log::Bundle| {
            bundle.index() == index / 256
                && index % 256 < bundle.width().into()
                && !self.evidence.contains_key(&index)
        };
        last.filter(within).map_or(Place::Evidence(index, digest), |bundle| Place::Entries(*bundle))
    }
}

/// Leaves as many as an honest bundle may have; more is a fault.
fn most<T>(folder: &str, most: usize, all: &mut Vec<T>, findings: &mut Findings) {
    if all.len() > most {
        findings.fault(folder, None, &format!("must hold at most {most} files, has {}", all.len()));
        all.truncate(most);
    }
}

/// Sorts all paths; what has no place in a bundle, or stands in one twice, is a fault.
pub(super) fn read(paths: &[String], findings: &mut Findings) -> Contents {
    let mut contents = Contents::default();
    for path in paths {
        match path.parse() {
            Ok(Place::Evidence(index, digest)) => {
                if contents.evidence.insert(index, digest).is_some() {
                    findings.fault(path, Some(index), "two files for one record");
                }
            }
            Ok(Place::Proof(index)) => contents.proofs.push(index),
            Ok(Place::Attachment(digest)) => contents.attachments.push(digest),
            Ok(Place::Order(digest)) => contents.orders.push(digest),
            Ok(Place::Charter(serial)) => contents.charters.push(serial),
            Ok(Place::Catalogue(version)) => contents.catalogues.push(version),
            Ok(Place::Succession(log)) => contents.successions.push(log),
            Ok(Place::Baseline(digest)) => contents.baselines.push(digest),
            Ok(Place::Exception(digest)) => contents.exceptions.push(digest),
            Ok(Place::Appliance(appliance, incarnation)) => {
                contents.appliances.push((appliance, incarnation))
            }
            Ok(Place::Tile(tile)) => contents.tiles.push(tile),
            Ok(Place::Entries(entries)) => contents.entries.push(entries),
            Ok(Place::Cosigned(witness)) => contents.cosigned.push(witness),
            Ok(
                Place::Manifest
                | Place::SecurityRule
                | Place::PacketMarkdown
                | Place::PacketPdf
                | Place::PreviousPacket
                | Place::Oscal(_)
                | Place::Checkpoint
                | Place::VerifierKey
                | Place::Policy,
            ) => {}
            Err(no_place) => findings.error(path, None, &no_place),
        }
    }
    contents.charters.sort_unstable();
    contents.catalogues.sort_unstable();
    contents.entries.sort_unstable();
    most("charter/", PAPERS_MAX, &mut contents.charters, findings);
    most("succession/", PAPERS_MAX, &mut contents.successions, findings);
    most("catalogue/", PAPERS_MAX, &mut contents.catalogues, findings);
    most("appliances/", EXECUTORS_MAX, &mut contents.appliances, findings);
    contents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(indices: &[u64], entries: &[(u64, u16)]) -> Contents {
        Contents {
            evidence: indices.iter().map(|n| (*n, Digest::ZERO)).collect(),
            entries: entries.iter().map(|(index, width)| log::Bundle::new(*index, *width).unwrap()).collect(),
            ..Contents::default()
        }
    }

    #[test]
    fn what_is_absent_is_named_in_ranges() {
        assert_eq!(contents(&[0, 1, 2], &[]).absent(3), []);
        assert_eq!(contents(&[1, 4, 9], &[]).absent(6), [(0, 0), (2, 3), (5, 5)]);
        assert_eq!(contents(&[], &[]).absent(u64::MAX), [(0, u64::MAX - 1)]);
        assert_eq!(contents(&[300], &[(0, 256), (2, 3)]).absent(600), [(256, 299), (301, 511), (515, 599)]);
    }

    #[test]
    fn a_record_is_read_once() {
        let carriers = contents(&[300, 2], &[(0, 3), (0, 2), (2, 1), (2, 7), (u64::MAX, 256)]).carriers();
        let together = Carrier::Together(log::Bundle::new(2, 7).unwrap());
        assert_eq!(carriers, [Carrier::Alone(2, Digest::ZERO), Carrier::Alone(300, Digest::ZERO), together]);
    }

    #[test]
    fn records_lie_together_where_none_of_them_lies_alone() {
        let bundle = |index, width| log::Bundle::new(index, width).unwrap();
        let contents = Contents {
            evidence: [(300, Digest::of(b"x"))].into(),
            entries: vec![bundle(0, 256), bundle(1, 256), bundle(2, 3), bundle(2, 9), bundle(2, 4)],
            ..Contents::default()
        };
        assert_eq!(contents.together(), [(0, bundle(0, 256)), (2, bundle(2, 9))].into());
    }
}
