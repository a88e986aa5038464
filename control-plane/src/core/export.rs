//! What a bundle is made of, read from the database and the keys it names. Reads only; may run beside the writer.

use std::collections::{BTreeMap, BTreeSet};

use proto::{
    digest::Digest,
    document::Kind,
    evidence::{self, Body},
    log::{
        Note, Signature, SignedCheckpoint, TlogProof, VerifierKey, encode_hashes, log_number,
        prove_inclusion, tiles,
    },
    time::Millis,
};

use super::{CoreError, chain, packets::Edition};
use crate::{
    bundle::{
        Enrolled, Month, Period,
        export::{CosignedNote, LoggedEnvelope, Parts, Stamps},
    },
    mode::Brand,
    packet::PacketFiles,
    store::{Document, Store, TenantRow},
};

/// How many records are read at once.
const PAGE: u32 = 1000;

/// Everything for a bundle of `tenant`: all its records, and the packet of `month` when one is asked for.
pub fn parts(
    store: &Store,
    tenant: &TenantRow,
    charter: &proto::charter::Charter,
    month: Option<Month>,
    now: Millis,
) -> Result<Parts, CoreError> {
    parts_as_of(store, tenant, charter, month, None, now)
}

/// The same as it was when that packet was made, where there is an edition of it.
pub fn parts_as_of(
    store: &Store,
    tenant: &TenantRow,
    charter: &proto::charter::Charter,
    month: Option<Month>,
    edition: Option<&(Edition, Option<PacketFiles>)>,
    now: Millis,
) -> Result<Parts, CoreError> {
    let broken = |problem: String| CoreError::Log { tenant: tenant.name.clone(), problem };
    let (checkpoint, key, cosigned) = match edition {
        // As it was signed and cosigned then.
        Some((edition, _)) => {
            let (checkpoint, key) = edition.head().map_err(broken)?;
            (checkpoint, key, edition.cosigned())
        }
        None => {
            let (checkpoint, key) = newest_head(store, tenant, charter)?;
            let (checkpoint, cosigned) = cosigned(store, tenant, charter, checkpoint)?;
            (checkpoint, key, cosigned)
        }
    };
    let size = checkpoint.checkpoint().size;
    let reader = store.tiles(tenant.id);
    let evidence = all_evidence(store, tenant, size)?;
    let proofs = evidence
        .iter()
        .map(|entry| {
            let hashes = prove_inclusion(&reader, entry.index, size).map_err(|e| broken(chain(&e)))?;
            Ok(TlogProof::new(entry.index, hashes, &checkpoint))
        })
        .collect::<Result<_, CoreError>>()?;
    let attachments = outputs(&evidence)
        .into_iter()
        .filter_map(|output| store.attachment(tenant.id, output).transpose())
        .collect::<Result<_, _>>()?;
    let tiles = tiles(size)
        .map(|tile| {
            let mut hashes = proto::log::Tiles::tile(&reader, tile)?;
            hashes.truncate(tile.width().into());
            Ok((tile.to_string(), encode_hashes(&hashes)))
        })
        .collect::<Result<_, CoreError>>()?;
    let envelopes = |kind| -> Result<Vec<Vec<u8>>, CoreError> {
        Ok(store.documents(kind)?.into_iter().map(|(_, envelope)| envelope).collect())
    };
    let mut parts = Parts {
        clinic: tenant.name.clone(),
        brand: Brand::default(),
        appliance_names: appliance_names(store, tenant)?,
        period: month.map_or(Period { from: tenant.created, to: now }, |month| month.until(now)),
        made_at: now,
        evidence,
        attachments,
        orders: store.order_papers(tenant.id)?.into_iter().map(|(_, envelope)| envelope).collect(),
        checkpoint,
        cosigned,
        stamps: stamps(store, tenant, size, edition.map(|(edition, _)| edition))?,
        key,
        tiles,
        proofs,
        successions: successions(store, tenant)?,
        charters: envelopes(Document::Charter)?,
        catalogues: envelopes(Document::Catalogue)?,
        exceptions: store.approved_contents(tenant.id, Kind::Exception)?,
        appliances: store
            .incarnations(tenant.id)?
            .into_iter()
            .map(|row| Enrolled {
                appliance: row.appliance,
                incarnation: row.incarnation,
                certificate: row.certificate,
                key_proof: row.key_proof,
            })
            .collect(),
        packet: month,
        previous: match month {
            Some(month) => {
                store.packet_before(tenant.id, &month.to_string())?.as_ref().and_then(Edition::previous_of)
            }
            None => None,
        },
        made: None,
    };
    if let Some((edition, files)) = edition {
        as_of(&mut parts, edition, files.clone());
    }
    Ok(parts)
}

/// The same as they were when a packet was made. What only records name follows from those.
fn as_of(parts: &mut Parts, edition: &Edition, files: Option<PacketFiles>) {
    let said = &edition.said;
    parts.clinic.clone_from(&said.clinic);
    parts.brand.clone_from(&said.brand);
    parts.appliance_names.clone_from(&said.appliances);
    (parts.period, parts.made_at) = (said.period, said.made_at);
    parts.charters.truncate(edition.charters);
    parts.catalogues.truncate(edition.catalogues);
    parts.appliances.retain(|enrolled| edition.incarnations.contains(&enrolled.incarnation));
    parts.previous.clone_from(&edition.previous);
    parts.made = files.map(|files| (said.generator.clone(), files));
}

/// By what word this log follows another, and that one another.
fn successions(store: &Store, tenant: &TenantRow) -> Result<Vec<Vec<u8>>, CoreError> {
    let upto = log_number(&tenant.log_origin);
    let all = store.successions(tenant.id)?.into_iter().filter(|(number, _)| *number <= upto);
    Ok(all.map(|(_, envelope)| envelope).collect())
}

fn newest_head(
    store: &Store,
    tenant: &TenantRow,
    charter: &proto::charter::Charter,
) -> Result<(SignedCheckpoint, VerifierKey), CoreError> {
    let log = store.log_head(tenant.id)?;
    let broken = |problem: String| CoreError::Log { tenant: tenant.name.clone(), problem };
    let note = log.checkpoint.ok_or_else(|| {
        CoreError::Precondition(format!("{} has no evidence yet; enrol an appliance first", tenant.name))
    })?;
    let keys: Vec<VerifierKey> =
        charter.log_keys.iter().filter_map(|key| VerifierKey::new(&log.origin, key).ok()).collect();
    let checkpoint = SignedCheckpoint::open(&note, &keys).map_err(|e| broken(e.to_string()))?;
    let signed_by = |key: &&VerifierKey| SignedCheckpoint::open(&note, std::slice::from_ref(*key)).is_ok();
    let key = keys.iter().find(signed_by).cloned();
    Ok((checkpoint, key.ok_or_else(|| broken("no log key signed its checkpoint".into()))?))
}

/// The checkpoint with the cosignatures that it has, and the newest cosigned one of each witness that lags behind.
fn cosigned(
    store: &Store,
    tenant: &TenantRow,
    charter: &proto::charter::Charter,
    mut checkpoint: SignedCheckpoint,
) -> Result<(SignedCheckpoint, Vec<CosignedNote>), CoreError> {
    let broken = |problem: String| CoreError::Log { tenant: tenant.name.clone(), problem };
    let mut behind = Vec::new();
    for witness in charter.witness_keys() {
        let Some(row) = store.cosignature(tenant.id, &witness)? else { continue };
        let Some(note) = row.note else { continue };
        if row.size < checkpoint.checkpoint().size {
            behind.push((witness.id(), note));
            continue;
        }
        let note = Note::parse(&note).map_err(|e| broken(e.to_string()))?;
        let its = |line: &&Signature| line.name == witness.name() && line.id == witness.id();
        let lines: Vec<Signature> = note.signatures().iter().filter(its).cloned().collect();
        checkpoint = checkpoint.with(&lines).map_err(|e| broken(e.to_string()))?;
    }
    Ok((checkpoint, behind))
}

/// Those of checkpoints that this one continues; of a packet's edition those that it had.
fn stamps(
    store: &Store,
    tenant: &TenantRow,
    size: u64,
    edition: Option<&Edition>,
) -> Result<Stamps, CoreError> {
    let had = |of: u64| edition.is_none_or(|edition| edition.stamps.contains(&of));
    let all = store
        .timestamps(tenant.id, &tenant.log_origin)?
        .into_iter()
        .filter(|row| row.size <= size && had(row.size));
    Ok(all.map(|row| (row.size, (row.note, row.token))).collect())
}

fn all_evidence(store: &Store, tenant: &TenantRow, size: u64) -> Result<Vec<LoggedEnvelope>, CoreError> {
    let mut all: Vec<LoggedEnvelope> = Vec::new();
    loop {
        let from = all.last().map_or(0, |entry| entry.index + 1);
        let page = store.evidence(tenant.id, from, PAGE)?;
        if page.is_empty() || from >= size {
            break;
        }
        all.extend(
            page.into_iter()
                .filter(|row| row.log_index < size)
                .map(|row| LoggedEnvelope { index: row.log_index, envelope: row.envelope }),
        );
        if all.last().is_some_and(|entry| entry.index + 1 >= size) {
            break;
        }
    }
    Ok(all)
}

/// What the records name.
fn outputs(evidence: &[LoggedEnvelope]) -> BTreeSet<Digest> {
    let records = evidence.iter().filter_map(|entry| evidence::peek(&entry.envelope).ok());
    let executions = records.filter_map(|record| match record.body {
        Body::Execution(execution) => Some(execution),
        _ => None,
    });
    executions.flat_map(|execution| execution.steps.into_iter().filter_map(|step| step.output)).collect()
}

/// A box is called by its site, with a number where a site has several.
fn appliance_names(
    store: &Store,
    tenant: &TenantRow,
) -> Result<BTreeMap<proto::ids::ApplianceId, String>, CoreError> {
    let sites = store.sites(tenant.id)?;
    let rows = store.appliances(Some(tenant.id))?;
    Ok(rows
        .iter()
        .enumerate()
        .map(|(at, row)| {
            let site = sites.iter().find(|site| site.id == row.site).map_or("appliance", |site| &site.name);
            let here = rows[..=at].iter().filter(|other| other.site == row.site).count();
            let alone = rows.iter().filter(|other| other.site == row.site).count() == 1;
            (row.id, if alone { site.to_owned() } else { format!("{site} {here}") })
        })
        .collect())
}
