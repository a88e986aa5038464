//! What lies where: a bundle's paths, sorted into places once.

use std::collections::{BTreeMap, BTreeSet};

use proto::{
    digest::Digest,
    ids::{ApplianceId, Incarnation},
    log::{self, Tile},
};

use super::findings::Findings;
use crate::bundle::Place;

/// Places by what they hold.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) evidence: BTreeMap<u64, Digest>,
    pub(super) proofs: Vec<u64>,
    pub(super) attachments: Vec<Digest>,
    pub(super) orders: Vec<Digest>,
    pub(super) charters: Vec<u64>,
    pub(super) catalogues: Vec<u64>,
    pub(super) baselines: Vec<Digest>,
    pub(super) appliances: Vec<(ApplianceId, Incarnation)>,
    pub(super) tiles: Vec<Tile>,
    pub(super) entries: Vec<log::Bundle>,
}

/// A file that holds records.
#[derive(Debug)]
pub(super) enum Carrier {
    /// One, by its index and digest.
    Alone(u64, Digest),
    /// The log's entries; those that lie alone `besides` are read there.
    Together { bundle: log::Bundle, first: u64, besides: BTreeSet<u64> },
}

impl Carrier {
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Alone(index, digest) => Place::Evidence(*index, *digest),
            Self::Together { bundle, .. } => Place::Entries(*bundle),
        }
    }

    /// How many records it should hold.
    pub(super) fn records(&self) -> u64 {
        match self {
            Self::Alone(..) => 1,
            Self::Together { bundle, besides, .. } => u64::from(bundle.width()) - besides.len() as u64,
        }
    }

    /// The first index that it speaks of, and the first after it.
    fn range(&self) -> (u64, u64) {
        match self {
            Self::Alone(index, _) => (*index, index.saturating_add(1)),
            Self::Together { bundle, first, .. } => (*first, first.saturating_add(bundle.width().into())),
        }
    }
}

impl Contents {
    /// The files that hold records, in the order of the log. Of entries that are there in two widths the widest counts.
    pub(super) fn carriers(&self) -> Vec<Carrier> {
        let widest: BTreeMap<u64, log::Bundle> = self
            .entries
            .iter()
            .map(|bundle| ((bundle.index(), bundle.width()), *bundle))
            .collect::<BTreeMap<_, _>>()
            .into_values()
            .map(|bundle| (bundle.index(), bundle))
            .collect();
        let together = widest.into_values().filter_map(|bundle| {
            let first = bundle.first()?;
            let end = first.checked_add(bundle.width().into())?;
            let besides: BTreeSet<u64> = self.evidence.range(first..end).map(|(index, _)| *index).collect();
            (besides.len() < bundle.width().into()).then_some(Carrier::Together { bundle, first, besides })
        });
        let alone = self.evidence.iter().map(|(index, digest)| Carrier::Alone(*index, *digest));
        let mut carriers: Vec<Carrier> = together.chain(alone).collect();
        carriers.sort_by_key(|carrier| carrier.range().0);
        carriers
    }

    /// The ranges of log indices below `size` that no file speaks of, both ends included.
    pub(super) fn absent(&self, size: u64) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        let mut next = 0;
        for (first, end) in self.carriers().iter().map(Carrier::range).take_while(|(first, _)| *first < size)
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
        let within = |bundle: &&log::Bundle| {
            bundle.first().is_some_and(|first| first <= index && index - first < bundle.width().into())
        };
        match self.entries.iter().filter(|_| !self.evidence.contains_key(&index)).find(within) {
            Some(bundle) => Place::Entries(*bundle),
            None => Place::Evidence(index, digest),
        }
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
            Ok(Place::Baseline(digest)) => contents.baselines.push(digest),
            Ok(Place::Appliance(appliance, incarnation)) => {
                contents.appliances.push((appliance, incarnation))
            }
            Ok(Place::Tile(tile)) => contents.tiles.push(tile),
            Ok(Place::Entries(entries)) => contents.entries.push(entries),
            Ok(
                Place::Manifest
                | Place::SecurityRule
                | Place::PacketMarkdown
                | Place::PacketPdf
                | Place::Checkpoint
                | Place::VerifierKey
                | Place::Policy,
            ) => {}
            Err(no_place) => findings.error(path, None, &no_place),
        }
    }
    contents.charters.sort_unstable();
    contents.catalogues.sort_unstable();
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
        assert_eq!(
            contents(&[5, 300], &[(0, 256), (2, 3)]).absent(600),
            [(256, 299), (301, 511), (515, 599)]
        );
    }

    #[test]
    fn a_record_is_read_once() {
        let carriers = contents(&[0, 2, 700], &[(0, 3), (0, 2), (1, 1), (u64::MAX, 256)]).carriers();
        let read: Vec<(String, u64)> =
            carriers.iter().map(|carrier| (carrier.place().to_string(), carrier.records())).collect();
        let places: Vec<&str> = read.iter().map(|(place, _)| place.as_str()).collect();
        assert!(
            places[0].ends_with("entries/000.p/3") && places[3].ends_with("entries/001.p/1"),
            "{places:?}"
        );
        assert_eq!(read.iter().map(|(_, count)| count).sum::<u64>(), 5);
        assert!(
            contents(&[0, 1, 2], &[(0, 3)]).carriers().iter().all(|one| matches!(one, Carrier::Alone(..)))
        );
    }
}
