//! A clinic's records, as many as are wanted, written as a bundle: what verifiers are held against, ours and others'.
//!
//! The rule: all of it is genuine. Every signature, every link and every checkpoint that a record has seen is made as an
//! appliance and a control plane make them; only time is made up. A heartbeat of each appliance every five minutes, and
//! every two hundredth record an order carried out: ten appliances come to a million records in a year.

mod history;
mod papers;

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use control_plane::{
    bundle::{Folder, Month, Period, Place, ProviderSays, export, verify},
    oscal, packet,
};
use proto::{
    charter::OrganizationKeys,
    digest::Digest,
    log::{
        Bundle as Entries, Checkpoint, Hash, Head, MemoryTiles, SignedCheckpoint, TlogProof, VerifierKey,
        WitnessKey, append, encode_hashes, leaf_hash, policy_text, prove_inclusion, tiles,
    },
    time::Millis,
};

use history::History;
use papers::Papers;

/// Records that come into the log together, and so under one checkpoint.
const BATCH: u64 = 64;

/// How much of what.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// In the log.
    pub records: u64,
    /// That write them, in turn.
    pub appliances: usize,
    /// As the log's entries, 256 to a file; else each alone, with its proof.
    pub together: bool,
    /// With the packet of a month.
    pub packet: Option<Month>,
}

/// What somebody knows who has the bundle not from its maker.
#[derive(Debug)]
pub struct Known {
    /// The organization's keys.
    pub trust: OrganizationKeys,
    /// The log's.
    pub log_key: VerifierKey,
    /// The outside witnesses'.
    pub witnesses: Vec<WitnessKey>,
    /// A time after all records.
    pub now: Millis,
    /// Some signed checkpoints of before, oldest first.
    pub older: Vec<SignedCheckpoint>,
}

/// Writes the bundle into `folder`, and the organization's keys beside it as `FOLDER.trust.json`.
pub fn write(folder: &Path, plan: Plan) -> Result<Known> {
    let papers = Papers::make(&folder.with_extension("papers"), plan.appliances)?;
    let mut history = History::new(&papers, plan)?;
    let mut log = Log { folder, plan, tiles: MemoryTiles::default(), head: Head::EMPTY, waiting: Vec::new() };
    let (mut older, mut before) = (Vec::new(), None);
    while log.head.size < plan.records {
        before = (log.head.size > 0).then_some(log.head);
        let upto = (log.head.size + BATCH).min(plan.records);
        let mut leaves = Vec::new();
        for index in log.head.size..upto {
            let record = history.record(index, log.head)?;
            leaves.push(leaf_hash(&record.envelope));
            log.keep(index, record.envelope)?;
            if let Some((digest, order)) = record.order {
                put(folder, &Place::Order(digest), &order)?;
            }
        }
        let appended = append(&log.tiles, log.head, &leaves)?;
        log.tiles.write(appended.writes);
        log.head = appended.head;
        if upto == plan.records || (upto / BATCH).is_multiple_of(plan.records.div_ceil(BATCH * 8)) {
            older.push(Checkpoint::new(&papers.origin(), log.head).sign(&papers.log_key)?);
        }
    }
    // One witness has seen all of it, and one is a batch behind.
    let checkpoint = older.pop().context("a log of at least one record")?;
    let checkpoint = papers.cosigned(0, &checkpoint, history.now())?;
    if let Some(before) = before {
        let behind = Checkpoint::new(&papers.origin(), before).sign(&papers.log_key)?;
        let behind = papers.cosigned(1, &behind, history.now())?;
        put(folder, &Place::Cosigned(papers.witnesses()[1].id()), behind.note().as_bytes())?;
    }
    log.finish(&checkpoint)?;
    let log_key = VerifierKey::new(&papers.origin(), &papers.log_key.public())?;
    put(folder, &Place::Checkpoint, checkpoint.note().as_bytes())?;
    put(folder, &Place::VerifierKey, format!("{log_key}\n").as_bytes())?;
    put(
        folder,
        &Place::Policy,
        policy_text(std::slice::from_ref(&log_key), &papers.witnesses(), 1)?.as_bytes(),
    )?;
    for (place, bytes) in papers.files() {
        put(folder, &place, &bytes)?;
    }
    let now = history.now();
    let said = ProviderSays {
        clinic: "Northside Family Practice".to_owned(),
        appliances: Default::default(),
        period: plan.packet.map_or(Period { from: papers::BEGIN, to: now }, |month| month.until(now)),
        made_at: now,
        generator: export::GENERATOR.to_owned(),
        packet: plan.packet,
        brand: Default::default(),
    };
    let manifest = |said| -> Result<()> {
        let manifest = export::index(&Folder::open(folder)?, said)?;
        put(folder, &Place::Manifest, &manifest.encode())
    };
    manifest(said.clone())?;
    let facts = verify::facts(&Folder::open(folder)?)?;
    for (export, bytes) in oscal::build(&facts) {
        put(folder, &Place::Oscal(export), &bytes)?;
    }
    if let Some(month) = plan.packet {
        let packet = packet::build(&facts, month)?;
        put(folder, &Place::PacketMarkdown, packet.markdown.as_bytes())?;
        if let Some(pages) = packet.pdf {
            put(folder, &Place::PacketPdf, &pages)?;
        }
    }
    manifest(said)?;
    fs::write(folder.with_extension("trust.json"), serde_json::to_vec(&papers.trust())?)?;
    Ok(Known { trust: papers.trust(), log_key, witnesses: papers.witnesses(), now, older })
}

/// The log as it grows, and its files.
struct Log<'f> {
    folder: &'f Path,
    plan: Plan,
    tiles: MemoryTiles,
    head: Head,
    /// Records of a file of entries that is not full yet.
    waiting: Vec<Vec<u8>>,
}

impl Log<'_> {
    fn keep(&mut self, index: u64, envelope: Vec<u8>) -> Result<()> {
        if !self.plan.together {
            return put(self.folder, &Place::Evidence(index, Digest::of(&envelope)), &envelope);
        }
        self.waiting.push(envelope);
        if self.waiting.len() == 256 || index + 1 == self.plan.records {
            let entries = Entries::new(index / 256, u16::try_from(self.waiting.len())?)?;
            put(self.folder, &Place::Entries(entries), &entries.encode(&self.waiting)?)?;
            self.waiting.clear();
        }
        Ok(())
    }

    fn finish(&self, checkpoint: &SignedCheckpoint) -> Result<()> {
        let size = self.head.size;
        for tile in tiles(size) {
            let mut hashes: Vec<Hash> = proto::log::Tiles::tile(&self.tiles, tile)?;
            hashes.truncate(tile.width().into());
            put(self.folder, &Place::Tile(tile), &encode_hashes(&hashes))?;
        }
        for index in (0..size).take_while(|_| !self.plan.together) {
            let proof = TlogProof::new(index, prove_inclusion(&self.tiles, index, size)?, checkpoint);
            put(self.folder, &Place::Proof(index), proof.to_string().as_bytes())?;
        }
        Ok(())
    }
}

fn put(folder: &Path, place: &Place, bytes: &[u8]) -> Result<()> {
    let path = folder.join(place.to_string());
    fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Five minutes: how often an appliance says that it lives.
const EVERY: Duration = Duration::from_secs(300);
