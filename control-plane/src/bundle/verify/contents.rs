//! What lies where: a bundle's paths, sorted into places once.

use std::collections::BTreeMap;

use proto::{
    digest::Digest,
    ids::{ApplianceId, Incarnation},
    log::{self, KeyId, Tile},
};

use super::findings::Findings;
use crate::bundle::{Place, Source};

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
            let Some(first) = bundle.first() else { continue };
            let end = first.saturating_add(bundle.width().into());
            if self.evidence.range(first..end).next().is_none() {
                let known = widest.entry(bundle.index()).or_insert(*bundle);
                if known.width() < bundle.width() {
                    *known = *bundle;
                }
            }
        }
        widest
    }
}

/// Sorts all paths; what has no place in a bundle, or stands in one twice, is a fault.
pub(super) fn read(source: &dyn Source, findings: &mut Findings) -> Contents {
    let mut contents = Contents::default();
    for path in source.paths() {
        match path.parse() {
            Ok(Place::Evidence(index, digest)) => {
                if contents.evidence.insert(index, digest).is_some() {
                    findings.fault(&path, Some(index), "two files for one record");
                }
            }
            Ok(Place::Proof(index)) => contents.proofs.push(index),
            Ok(Place::Attachment(digest)) => contents.attachments.push(digest),
            Ok(Place::Order(digest)) => contents.orders.push(digest),
            Ok(Place::Charter(serial)) => contents.charters.push(serial),
            Ok(Place::Catalogue(version)) => contents.catalogues.push(version),
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
            Err(no_place) => findings.error(&path, None, &no_place),
        }
    }
    contents.charters.sort_unstable();
    contents.catalogues.sort_unstable();
    contents
}

#[cfg(test)]
mod tests {
    use super::*;

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
