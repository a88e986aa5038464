//! Makes bundles: pure, from what a database holds.
//!
//! The rule: everything in a bundle is bytes as they were signed, or can be made again from them. What no record names
//! (outputs, orders) is left out: nobody could say what it is doing there.
//!
//! Records lie alone, each with its proof, as long as a person might look at them. Of a large log they lie together, as the
//! log's own entry bundles (C2SP tlog-tiles), 256 to a file: a million of files, proofs and lines of the manifest would be
//! ten times the evidence, and the tree proves all records at once.

use std::collections::{BTreeMap, BTreeSet};

use proto::{
    charter::Charter,
    digest::Digest,
    dsse::Envelope,
    evidence::{self, Body},
    field::BadField,
    ids::ApplianceId,
    log::{
        self, Head, KeyId, MemoryTiles, SignedCheckpoint, TlogProof, VerifierKey, WitnessKey, encode_hashes,
        leaf_hash, policy_text,
    },
    succession::Succession,
    time::Millis,
};

pub use super::manifest::GENERATOR;
use super::{
    Bundle, Enrolled, Facts, FileLine, Manifest, Month, Period, Place, PreviousPacket, ProviderSays, Source,
    manifest::{FORMAT, LogLine},
    purpose::Purposes,
    verify,
};
use crate::{
    mode::Brand,
    oscal,
    packet::{self, PacketError, PacketFiles},
};

/// More records than these lie together.
pub const ALONE_MAX: usize = 20_000;

/// A record and its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEnvelope {
    /// Place in the log, from 0.
    pub index: u64,
    /// Exact bytes.
    pub envelope: Vec<u8>,
}

/// A witness's key, and the newest checkpoint that it has cosigned (note).
pub type CosignedNote = (KeyId, Vec<u8>);

/// Timestamps by the size of their checkpoint: note and token.
pub type Stamps = BTreeMap<u64, (Vec<u8>, Vec<u8>)>;

/// Everything a bundle is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// What the clinic is called.
    pub clinic: String,
    /// How whoever runs the control plane wants to be known.
    pub brand: Brand,
    /// What its boxes are called, where they have names.
    pub appliance_names: BTreeMap<ApplianceId, String>,
    /// What time it is to cover: of a packet's month, [`Month::until`] now.
    pub period: Period,
    /// Now.
    pub made_at: Millis,
    /// All records of the log up to the checkpoint; fewer make the bundle incomplete.
    pub evidence: Vec<LoggedEnvelope>,
    /// Outputs; those that no record names are left out.
    pub attachments: Vec<Vec<u8>>,
    /// Envelopes of orders and standing orders; those that no record names are left out.
    pub orders: Vec<Vec<u8>>,
    /// The newest checkpoint, by a log key of the newest charter.
    pub checkpoint: SignedCheckpoint,
    /// What outside witnesses have cosigned of this log, the newest of each: note and ID of the witness's key. Those of
    /// `checkpoint` itself stand under it.
    pub cosigned: Vec<CosignedNote>,
    /// Timestamps of an outside authority.
    pub stamps: Stamps,
    /// The key that signed it.
    pub key: VerifierKey,
    /// Tiles of the log at the checkpoint's size, by C2SP path without prefix (`tile/0/000.p/30`).
    pub tiles: Vec<(String, Vec<u8>)>,
    /// A proof of each record under that checkpoint.
    pub proofs: Vec<TlogProof>,
    /// By what word this log follows another, and that one another; envelopes.
    pub successions: Vec<Vec<u8>>,
    /// All charters that were ever in force, envelopes.
    pub charters: Vec<Vec<u8>>,
    /// All catalogues that were ever in force, envelopes.
    pub catalogues: Vec<Vec<u8>>,
    /// Exceptions that were ever approved, as canonical JSON; those that no record names are left out.
    pub exceptions: Vec<Vec<u8>>,
    /// The papers of all executors that were ever enrolled.
    pub appliances: Vec<Enrolled>,
    /// The packet to put into it.
    pub packet: Option<Month>,
    /// The packet before that one, where there was one.
    pub previous: Option<PreviousPacket>,
    /// That packet as another version made it, and what that version called itself: it is put there as it is.
    pub made: Option<(String, PacketFiles)>,
}

/// Why a bundle was not made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// What is to be printed cannot be.
    #[error("bundle: {0}")]
    Field(BadField),
    /// A document of ours cannot be read.
    #[error("{what} cannot be read: {problem}")]
    Document {
        /// Which.
        what: &'static str,
        /// Why.
        problem: String,
    },
    /// Two things for one place.
    #[error("two different files for {path}")]
    Twice {
        /// The place.
        path: String,
    },
    /// The packet could not be made.
    #[error("packet of {month} cannot be made")]
    Packet {
        /// Which month.
        month: Month,
        /// Why.
        #[source]
        cause: PacketError,
    },
}

/// Makes a bundle. Faults in the evidence do not stop it: a verifier must be able to see them.
pub fn build(parts: &Parts) -> Result<Bundle, ExportError> {
    build_as(parts, parts.evidence.len() > ALONE_MAX)
}

/// The same, with the records together as the log has them, or each alone.
pub fn build_as(parts: &Parts, together: bool) -> Result<Bundle, ExportError> {
    let said = said(parts);
    said.check().map_err(ExportError::Field)?;
    let mut bundle = collect(parts, together)?;
    let facts = verify::read(&bundle, said);
    if let Some(month) = parts.packet {
        let failed = |cause| ExportError::Packet { month, cause };
        let packet = match &parts.made {
            Some((_, made)) => made.clone(),
            None => packet::build(&facts, month).map_err(failed)?,
        };
        bundle.insert(&Place::PacketMarkdown, packet.markdown.into_bytes());
        if let Some(pdf) = packet.pdf {
            bundle.insert(&Place::PacketPdf, pdf);
        }
    }
    for (export, bytes) in oscal::build(&facts) {
        bundle.insert(&Place::Oscal(export), bytes);
    }
    let manifest = manifest(&bundle, &facts)?;
    bundle.insert(&Place::Manifest, manifest.encode());
    Ok(bundle)
}

/// The manifest of files that are in place already, whoever put them there.
pub fn index(source: &dyn Source, said: ProviderSays) -> Result<Manifest, ExportError> {
    said.check().map_err(ExportError::Field)?;
    manifest(source, &verify::read(source, said))
}

/// The provider's words that go with it.
#[must_use]
pub fn said(parts: &Parts) -> ProviderSays {
    ProviderSays {
        clinic: parts.clinic.clone(),
        appliances: parts.appliance_names.clone(),
        period: parts.period,
        made_at: parts.made_at,
        generator: parts
            .made
            .as_ref()
            .map_or_else(|| GENERATOR.to_owned(), |(generator, _)| generator.clone()),
        packet: parts.packet,
        brand: parts.brand.clone(),
    }
}

/// Tiles and proofs of a log, for [`Parts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// By C2SP path without prefix.
    pub tiles: Vec<(String, Vec<u8>)>,
    /// One for each record.
    pub proofs: Vec<TlogProof>,
}

/// The tree of a log whose records are all at hand; a server may take its stored tiles instead.
pub fn tree(envelopes: &[LoggedEnvelope], checkpoint: &SignedCheckpoint) -> Result<Tree, ExportError> {
    let wrong = |problem: String| ExportError::Document { what: "log", problem };
    let size = checkpoint.checkpoint().size;
    let mut covered: Vec<&LoggedEnvelope> = envelopes.iter().filter(|entry| entry.index < size).collect();
    covered.sort_by_key(|entry| entry.index);
    let leaves: Vec<log::Hash> = covered.iter().map(|entry| leaf_hash(&entry.envelope)).collect();
    let mut store = MemoryTiles::default();
    let appended = log::append(&store, Head::EMPTY, &leaves).map_err(|error| wrong(error.to_string()))?;
    if appended.head != checkpoint.checkpoint().head() {
        return Err(wrong(format!(
            "the records give root {}, the checkpoint says otherwise",
            appended.head.root
        )));
    }
    let tiles =
        appended.writes.iter().map(|write| (write.tile.to_string(), encode_hashes(&write.hashes))).collect();
    store.write(appended.writes);
    let proof = |entry: &&LoggedEnvelope| {
        let hashes =
            log::prove_inclusion(&store, entry.index, size).map_err(|error| wrong(error.to_string()))?;
        Ok(TlogProof::new(entry.index, hashes, checkpoint))
    };
    Ok(Tree { tiles, proofs: covered.iter().map(proof).collect::<Result<_, _>>()? })
}

fn collect(parts: &Parts, together: bool) -> Result<Bundle, ExportError> {
    let mut bundle = Bundle::default();
    let mut put = |path: String, bytes: Vec<u8>| match bundle.files.insert(path.clone(), bytes.clone()) {
        Some(before) if before != bytes => Err(ExportError::Twice { path }),
        _ => Ok(()),
    };
    let bundles = if together { entries(parts) } else { BTreeMap::new() };
    let (mut orders, mut outputs, mut exceptions) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for logged in &parts.evidence {
        if let Ok(record) = evidence::peek(&logged.envelope) {
            orders.extend(record.body.order_digest());
            exceptions.extend(verify::exceptions_of(&record.body));
            if let Body::Execution(execution) = &record.body {
                outputs.extend(execution.steps.iter().filter_map(|step| step.output));
            }
        }
        if bundles.contains_key(&(logged.index / 256)) {
            continue;
        }
        let place = Place::Evidence(logged.index, Digest::of(&logged.envelope));
        put(place.to_string(), logged.envelope.clone())?;
    }
    for (place, bytes) in bundles.values() {
        put(place.to_string(), bytes.clone())?;
    }
    for content in &parts.attachments {
        let digest = Digest::of(content);
        if outputs.contains(&digest) {
            put(Place::Attachment(digest).to_string(), content.clone())?;
        }
    }
    for envelope in &parts.orders {
        let digest = Digest::of(payload("order", envelope)?.unverified_payload());
        if orders.contains(&digest) {
            put(Place::Order(digest).to_string(), envelope.clone())?;
        }
    }
    if let (Some(_), Some(previous)) = (parts.packet, &parts.previous) {
        put(Place::PreviousPacket.to_string(), previous.encode())?;
    }
    for envelope in &parts.charters {
        let serial = number("charter", envelope, "serial")?;
        put(Place::Charter(serial).to_string(), envelope.clone())?;
    }
    for envelope in &parts.successions {
        let wrong = |bad: BadField| ExportError::Document { what: "succession", problem: bad.to_string() };
        let succession =
            Succession::read(payload("succession", envelope)?.unverified_payload()).map_err(wrong)?;
        put(Place::Succession(succession.number()).to_string(), envelope.clone())?;
    }
    for envelope in &parts.catalogues {
        let version = number("catalogue", envelope, "version")?;
        put(Place::Catalogue(version).to_string(), envelope.clone())?;
    }
    for content in &parts.exceptions {
        let digest = Digest::of(content);
        if exceptions.contains(&digest) {
            put(Place::Exception(digest).to_string(), content.clone())?;
        }
    }
    put(Place::SecurityRule.to_string(), baseline::rule::CSV.as_bytes().to_vec())?;
    // Even where no scan cites it: the packet says that boxes are compared with it.
    let hipaa = baseline::HIPAA_V1.as_bytes();
    put(Place::Baseline(Digest::of(hipaa)).to_string(), hipaa.to_vec())?;
    for enrolled in &parts.appliances {
        put(Place::Appliance(enrolled.appliance, enrolled.incarnation).to_string(), enrolled.encode())?;
    }
    for proof in parts.proofs.iter().filter(|proof| !bundles.contains_key(&(proof.index / 256))) {
        put(Place::Proof(proof.index).to_string(), proof.to_string().into_bytes())?;
    }
    for (path, bytes) in &parts.tiles {
        put(format!("log/{path}"), bytes.clone())?;
    }
    put(Place::Checkpoint.to_string(), parts.checkpoint.note().as_bytes().to_vec())?;
    put(Place::VerifierKey.to_string(), format!("{}\n", parts.key).into_bytes())?;
    for (witness, note) in &parts.cosigned {
        put(Place::Cosigned(*witness).to_string(), note.clone())?;
    }
    for (size, (note, token)) in &parts.stamps {
        put(Place::Stamped(*size).to_string(), note.clone())?;
        put(Place::Timestamp(*size).to_string(), token.clone())?;
    }
    let (witnesses, quorum) = witnesses(parts)?;
    let policy = policy_text(std::slice::from_ref(&parts.key), &witnesses, quorum).unwrap_or_default();
    put(Place::Policy.to_string(), policy.into_bytes())?;
    Ok(bundle)
}

/// Those of the newest charter, and how many it asks for. Only to name them: the verifier takes them from the signed
/// document itself.
fn witnesses(parts: &Parts) -> Result<(Vec<WitnessKey>, usize), ExportError> {
    let mut newest: Option<Charter> = None;
    for envelope in &parts.charters {
        let wrong = |problem: String| ExportError::Document { what: "charter", problem };
        let charter: Charter = serde_json::from_slice(payload("charter", envelope)?.unverified_payload())
            .map_err(|error| wrong(error.to_string()))?;
        if newest.as_ref().is_none_or(|newest| newest.serial < charter.serial) {
            newest = Some(charter);
        }
    }
    Ok(newest.map_or_else(|| (Vec::new(), 1), |charter| (charter.witness_keys(), charter.quorum())))
}

/// The log's entry bundles, by their place in the log, as far as all their records are here.
fn entries(parts: &Parts) -> BTreeMap<u64, (Place, Vec<u8>)> {
    let envelopes: BTreeMap<u64, &[u8]> =
        parts.evidence.iter().map(|logged| (logged.index, &*logged.envelope)).collect();
    let bundle = |bundle: log::Bundle| {
        let first = bundle.first()?;
        let records: Option<Vec<&[u8]>> =
            (first..first + u64::from(bundle.width())).map(|index| envelopes.get(&index).copied()).collect();
        Some((bundle.index(), (Place::Entries(bundle), bundle.encode(&records?).ok()?)))
    };
    // A checkpoint over more than there is has bundles without end.
    let size = parts.checkpoint.checkpoint().size;
    log::bundles(size).take(parts.evidence.len()).filter_map(bundle).collect()
}

fn manifest(source: &dyn Source, facts: &Facts) -> Result<Manifest, ExportError> {
    let purposes = Purposes::new(facts);
    let file = |path: String| {
        let bytes = source.read(&path).map_err(|error| ExportError::Document {
            what: "file of the bundle",
            problem: format!("{path}: {error}"),
        })?;
        let proves = path.parse().map_or_else(|_| "nothing".to_owned(), |place: Place| purposes.of(&place));
        Ok(FileLine { bytes: bytes.len() as u64, sha256: Digest::of(&bytes), path, proves })
    };
    let paths = source.paths().into_iter().filter(|path| *path != Place::Manifest.to_string());
    Ok(Manifest {
        format: FORMAT.to_owned(),
        organization: facts.organization.clone(),
        tenant: facts.tenant,
        log: facts.log.as_ref().map(LogLine::from),
        provider_says: facts.said.clone(),
        files: paths.map(file).collect::<Result<_, _>>()?,
        sha256: Digest::ZERO,
    })
}

fn payload(what: &'static str, envelope: &[u8]) -> Result<Envelope, ExportError> {
    Envelope::parse(envelope).map_err(|error| ExportError::Document { what, problem: error.to_string() })
}

/// A number in a JSON payload: only to find the file's name. The verifier compares it with what is signed.
fn number(what: &'static str, envelope: &[u8], field: &str) -> Result<u64, ExportError> {
    let envelope = payload(what, envelope)?;
    serde_json::from_slice::<serde_json::Value>(envelope.unverified_payload())
        .ok()
        .and_then(|json| json.get(field)?.as_u64())
        .ok_or_else(|| ExportError::Document { what, problem: format!("{field} must be a number") })
}
