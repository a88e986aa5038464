//! Outside witnesses: what they are asked to cosign, what is kept of their answers, and what it means when they refuse.
//!
//! The rule: only what is published is shown to a witness, and nothing that it answers counts unverified. Evidence is
//! acknowledged without them. One that has seen another log than this one is believed when it can show what this log's key
//! has signed; then the log halts, as it does when the vault contradicts it. When it cannot, a person is told.

use proto::{
    digest::Digest,
    evidence::CheckpointSeen,
    ids::TenantId,
    log::{
        AddCheckpoint, CosignedCheckpoint, KeyId, SignedCheckpoint, VerifierKey, WitnessKey, log_number,
        prove_consistency,
    },
    time::Millis,
};

use super::{Core, CoreError, chain, log::broken};
use crate::store::{CosignatureRow, Store};

/// The incident that says that a witness contradicts a log.
pub const LOG_WITNESS: &str = "log.witness";

/// Where a cosigned checkpoint lies in the vault. Not among the checkpoints: those are this server's own word.
fn cosigned_key(log_folder: &str, size: u64, witness: KeyId) -> String {
    format!("{log_folder}/cosigned/{size:010}.{witness}")
}

/// How a log stands with each witness, the verifier keys of the log, and its size.
pub type Witnessed = (Vec<(WitnessKey, CosignatureRow)>, Vec<String>, u64);

/// A checkpoint that a witness is to cosign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The request.
    pub request: AddCheckpoint,
    /// Entries in the checkpoint.
    pub size: u64,
}

/// What to ask of a witness that has cosigned `old` entries of this log; `None`: nothing now. Reads only, from one snapshot.
pub fn submission(store: &Store, tenant: TenantId, old: u64) -> Result<Option<Submission>, CoreError> {
    let log = store.log_head(tenant)?;
    let size = log.head.size;
    let (Some(note), None) = (log.checkpoint, log.halted) else { return Ok(None) };
    if log.published != size || size < old {
        return Ok(None);
    }
    let proof = prove_consistency(&store.tiles(tenant), old, size).map_err(|e| broken(tenant, chain(&e)))?;
    let checkpoint =
        String::from_utf8(note).map_err(|_| broken(tenant, "its checkpoint is not text".into()))?;
    Ok(Some(Submission { request: AddCheckpoint { old, proof, checkpoint }, size }))
}

impl Core {
    /// Keeps a checkpoint of this log that a witness has cosigned: in the vault, then here.
    pub fn keep_cosigned(
        &mut self,
        tenant: TenantId,
        witness: &WitnessKey,
        note: &[u8],
        now: Millis,
    ) -> Result<(), CoreError> {
        let refused = |problem: String| CoreError::Precondition(format!("{}: {problem}", witness.name()));
        if !self.charter.document.witness_keys().contains(witness) {
            return Err(refused("the charter names no such witness".into()));
        }
        let folder = self.store.log_head(tenant)?.folder(tenant);
        let key = cosigned_key(&folder, self.seen_by(tenant, witness, note)?.0, witness.id());
        // The first that came stays: after a power cut the same checkpoint is cosigned again, with another time.
        let holds = |_: &str, there: &[u8]| self.seen_by(tenant, witness, there).is_ok();
        let kept = match self.object(&key)?.filter(|there| holds(&key, there)) {
            Some(kept) => kept,
            None => {
                self.put_ours(&key, note, self.retain_until(now), holds)?;
                note.to_vec()
            }
        };
        let (size, at) = self.seen_by(tenant, witness, &kept)?;
        Ok(self.store.put_cosignature(tenant, witness, (size, at), &kept)?)
    }

    /// What a witness says in a cosigned checkpoint: size and time, once all of it holds and it is of this log.
    fn seen_by(
        &self,
        tenant: TenantId,
        witness: &WitnessKey,
        note: &[u8],
    ) -> Result<(u64, Millis), CoreError> {
        let refused = |problem: String| CoreError::Precondition(format!("{}: {problem}", witness.name()));
        let signed = SignedCheckpoint::open(note, &self.log_keys(tenant)?).map_err(|e| refused(chain(&e)))?;
        let cosigned =
            CosignedCheckpoint::open(note, std::slice::from_ref(witness)).map_err(|e| refused(chain(&e)))?;
        let checkpoint = signed.checkpoint();
        let log = log_number(&checkpoint.origin);
        let seen = CheckpointSeen { size: checkpoint.size, root: Digest(checkpoint.root.0), log };
        match cosigned.cosigned().first() {
            Some(word) if self.has_been(tenant, seen)? => Ok((checkpoint.size, word.at)),
            _ => Err(refused("what it cosigned is not of this log".into())),
        }
    }

    /// A witness says that it has cosigned another log under this name than this one. `shown`: the note that it keeps.
    pub fn witness_contradicts(
        &mut self,
        tenant: TenantId,
        witness: &WitnessKey,
        says: &str,
        shown: Option<&[u8]>,
        now: Millis,
    ) -> Result<(), CoreError> {
        let found = shown.map(|note| self.contradiction(tenant, witness, note)).transpose()?.flatten();
        let why = match &found {
            Some(found) => found.clone(),
            None => format!("witness {} does not cosign this log: {says}", witness.name()),
        };
        if found.is_some() {
            self.halt(tenant, why.clone());
        }
        tracing::error!(%tenant, witness = witness.name(), why, "a witness contradicts the log of tenant {tenant}");
        self.store.put_witness_trouble(tenant, witness, &why, now)?;
        // Where it lives does not matter; that somebody is told does.
        match self.store.appliances(Some(tenant))?.first() {
            Some(appliance) => self.call_somebody_daily(appliance, LOG_WITNESS, &why, now),
            None => Ok(()),
        }
    }

    /// A witness shows the newest checkpoint that it has cosigned: of this log, and then it is kept if it is newer than what
    /// was kept; or of another.
    pub fn witness_shows(
        &mut self,
        tenant: TenantId,
        witness: &WitnessKey,
        note: &[u8],
        now: Millis,
    ) -> Result<(), CoreError> {
        if self.contradiction(tenant, witness, note)?.is_some() {
            return self.witness_contradicts(tenant, witness, "", Some(note), now);
        }
        // What does not hold says nothing: anybody may have written it.
        match self.seen_by(tenant, witness, note) {
            Ok(_) => self.keep_cosigned(tenant, witness, note, now),
            Err(_) => Ok(()),
        }
    }

    /// Why a note that this log's key has signed cannot be of this log; `None`: it can, or the key has not signed it.
    fn contradiction(
        &self,
        tenant: TenantId,
        witness: &WitnessKey,
        note: &[u8],
    ) -> Result<Option<String>, CoreError> {
        let Ok(signed) = SignedCheckpoint::open(note, &self.log_keys(tenant)?) else { return Ok(None) };
        let checkpoint = signed.checkpoint();
        let log = log_number(&checkpoint.origin);
        let seen = CheckpointSeen { size: checkpoint.size, root: Digest(checkpoint.root.0), log };
        let here = self.store.log_head(tenant)?.head.size;
        let has = format!(
            "witness {} has a checkpoint of {} entries, signed with this log's key",
            witness.name(),
            seen.size
        );
        Ok(if seen.size > here {
            Some(format!(
                "{has}, and here are {here}: this database is older than what left it, or somebody else signs with the key"
            ))
        } else if self.has_been(tenant, seen)? {
            None
        } else {
            Some(format!("{has}, that is not of this log: somebody else signs with the key"))
        })
    }

    /// Notes why a witness did not cosign; it will be asked again.
    pub fn witness_troubled(
        &mut self,
        tenant: TenantId,
        witness: &WitnessKey,
        trouble: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        Ok(self.store.put_witness_trouble(tenant, witness, trouble, now)?)
    }

    /// A witness answers again, and has nothing to cosign: what kept it from answering is over.
    pub fn witness_answers(
        &mut self,
        tenant: TenantId,
        witness: &WitnessKey,
        now: Millis,
    ) -> Result<(), CoreError> {
        let log = self.store.log_head(tenant)?;
        let troubled = self.store.cosignature(tenant, witness)?.is_some_and(|row| !row.trouble.is_empty());
        if troubled && self.halt_reason(tenant, &log).is_none() {
            self.store.put_witness_trouble(tenant, witness, "", now)?;
        }
        Ok(())
    }

    /// How a clinic's log stands with each witness of the charter; the keys that a witness must know for it; its size.
    pub fn witnessed(&self, tenant: &str) -> Result<Witnessed, CoreError> {
        let row = self.tenant(tenant)?;
        let standing = |key: WitnessKey| {
            let found = self.store.cosignature(row.id, &key)?.unwrap_or_default();
            Ok((key, found))
        };
        let keys = self.charter.document.witness_keys().into_iter();
        let log_keys = self.log_keys(row.id)?.iter().map(ToString::to_string).collect();
        Ok((keys.map(standing).collect::<Result<_, CoreError>>()?, log_keys, row.log_size))
    }

    fn log_keys(&self, tenant: TenantId) -> Result<Vec<VerifierKey>, CoreError> {
        let origin = self.store.log_head(tenant)?.origin;
        let keys = self.charter.document.log_keys.iter();
        Ok(keys.filter_map(|key| VerifierKey::new(&origin, key).ok()).collect())
    }
}
