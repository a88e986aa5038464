//! What lies where: a bundle's paths, sorted into places once.

use std::collections::BTreeMap;

use proto::{
    digest::Digest,
    ids::{ApplianceId, Incarnation},
    log::{self, Tile},
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
