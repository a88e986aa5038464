//! Evidence arriving: who signed it, where it stands in its chain, what it means for orders and incidents.
//!
//! Genuine evidence is never thrown away, whatever else is wrong with its appliance. What does not verify is not
//! evidence: it is counted, its appliance's orders stop, and the executor still holds the real one.

use proto::{
    digest::Digest,
    evidence::{self, Arrival, Body, ChainState, Claim, Head, Record},
    ids::{Incarnation, TenantId},
    sync::Gap,
    time::Millis,
};

use super::{
    Core, CoreError,
    ahead::{Arrived, Opened},
    effects,
    unkept::Put,
};
use crate::store::{ApplianceState, IncarnationRow, NewEvidence};

/// What became of a piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intake {
    /// New: kept at the log index it was given.
    Kept,
    /// Kept before.
    Known,
    /// Not evidence.
    Rejected(String),
}

/// Where a piece of evidence comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// From a box, just now.
    Appliance,
    /// Read back from the vault; `restored` when this database comes from a backup.
    Vault {
        /// Whether what is read back was published once.
        restored: bool,
    },
}

/// How many records that came before their turn a command moves a chain's end over. The next one goes on.
pub(super) const CATCH_UP: usize = 1000;

/// A batch's evidence on its way into a log.
pub(super) struct Entries {
    begin: Option<u64>,
    kept: Vec<Vec<u8>>,
    steps: usize,
}

impl Default for Entries {
    fn default() -> Self {
        Self { begin: None, kept: Vec::new(), steps: CATCH_UP }
    }
}

impl Core {
    /// Takes one more envelope of a batch; [`Core::append_entries`] must follow.
    pub(super) fn take_into(
        &mut self,
        entries: &mut Entries,
        tenant: TenantId,
        (envelope, opened): (Vec<u8>, Opened),
        now: Millis,
    ) -> Result<Intake, CoreError> {
        let begin = match entries.begin {
            Some(begin) => begin,
            None => self.open_log(tenant, now)?.head.size,
        };
        entries.begin = Some(begin);
        let index = begin + entries.kept.len() as u64;
        let arrived = Arrived { envelope: &envelope, opened };
        let intake =
            self.take_evidence(tenant, arrived, index, Origin::Appliance, &mut entries.steps, now)?;
        match &intake {
            Intake::Kept => {
                entries.kept.push(envelope);
                self.counted.evidence += 1;
            }
            Intake::Rejected(_) => self.counted.evidence_refused += 1,
            Intake::Known => {}
        }
        Ok(intake)
    }

    /// Appends a batch's evidence to the tenant's log, with the acts that it called for.
    pub(super) fn append_entries(
        &mut self,
        tenant: TenantId,
        mut entries: Entries,
        now: Millis,
    ) -> Result<(), CoreError> {
        let Some(begin) = entries.begin.filter(|_| !entries.kept.is_empty()) else { return Ok(()) };
        let kept = entries.kept.len() as u64;
        entries.kept.extend(self.seal_acts(tenant, begin + kept)?);
        self.keep_in_log(tenant, begin, &entries.kept, Put::Together, now)
    }

    /// Verifies one envelope, indexes it under `index`, and acts on what it says. The caller sees to vault and log, in the
    /// same transaction.
    pub(super) fn take_evidence(
        &mut self,
        tenant: TenantId,
        Arrived { envelope, opened }: Arrived<'_>,
        index: u64,
        origin: Origin,
        steps: &mut usize,
        now: Millis,
    ) -> Result<Intake, CoreError> {
        let sha256 = opened.sha256;
        // What a log before has is put into this one when its executor asks for it, not when its agent sends it again.
        if self.store.evidence_index(tenant, sha256)?.is_some()
            || (origin == Origin::Appliance && self.store.had_evidence(tenant, sha256)?)
        {
            return Ok(Intake::Known);
        }
        let rejected = |why: &str| Ok(Intake::Rejected(why.to_owned()));
        let (record, signer) = match opened.record {
            Some(record) => {
                let signer = self.store.incarnation(record.value().chain.incarnation)?;
                let is_theirs = |signer: &IncarnationRow| record.signers().contains(&signer.evidence_key);
                (signer.as_ref().is_some_and(is_theirs).then_some(record), signer)
            }
            None => {
                let Ok(claim) = Claim::read(envelope) else {
                    return rejected("it is not a record of any version");
                };
                let signer = self.store.incarnation(claim.incarnation())?;
                (signer.as_ref().and_then(|signer| claim.verify(&signer.evidence_key).ok()), signer)
            }
        };
        let Some(signer) = signer else {
            return rejected("its incarnation is not enrolled");
        };
        let Some(record) = record else {
            return rejected("it is not signed by the enrolled evidence key");
        };
        let record = record.into_value();
        if signer.tenant != tenant
            || record.identity.tenant != signer.tenant
            || record.identity.appliance != signer.appliance
            || record.identity.organization != self.settings.organization
        {
            return rejected(
                "it names another organization, tenant or appliance than its key was enrolled for",
            );
        }
        if origin == Origin::Appliance
            && self.store.appliance_is(signer.appliance, ApplianceState::Revoked)?
        {
            return rejected("its appliance is revoked");
        }
        // An agent may have handed its executor a certificate whose bytes it had changed; no bundle could vouch for that box.
        if let Body::Enrolment(enrolment) = &record.body
            && enrolment.certificate != Digest::of(&signer.certificate)
        {
            return rejected("it names another certificate than it was enrolled with");
        }
        if i64::try_from(record.chain.index).is_err() {
            return rejected("no chain gets that long");
        }
        let head = self.place_in_chain(&signer, &record, sha256, now)?;
        // A whole batch has seen the same one.
        if let (Some(seen), Origin::Appliance) = (record.checkpoint, origin)
            && self.agreed != Some((tenant, seen))
        {
            if self.is_of_a_log(tenant, seen)? {
                self.agreed = Some((tenant, seen));
            } else {
                let why = format!(
                    "its executor has verified a checkpoint of {} entries that is not of this log",
                    seen.size
                );
                self.quarantine(signer.appliance, &why, now)?;
            }
        }
        self.keep_outputs(tenant, &record.body, origin, now)?;
        self.store.add_evidence(&NewEvidence {
            tenant,
            log_index: index,
            sha256,
            appliance: signer.appliance,
            incarnation: signer.incarnation,
            chain_index: record.chain.index,
            previous: record.chain.previous,
            kind: record.body.kind(),
            summary: &effects::summary(&record.body),
            at: record.clock.at,
            received: now,
            envelope,
        })?;
        if let Some(head) = head {
            self.advance_chain(&signer, head, steps, now)?;
        }
        self.act_on(&signer, &record, origin, now)?;
        Ok(Intake::Kept)
    }

    /// Moves the end of a chain over what is here already, as far as one command goes.
    pub(super) fn catch_up(&mut self, incarnation: Incarnation, now: Millis) -> Result<(), CoreError> {
        match self.store.incarnation(incarnation)? {
            Some(signer) => self.advance_chain(&signer, signer.chain, &mut { CATCH_UP }, now),
            None => Ok(()),
        }
    }

    /// Says what is wrong with a record's place; gives the chain's end after it when it is the next.
    fn place_in_chain(
        &mut self,
        signer: &IncarnationRow,
        record: &Record,
        sha256: Digest,
        now: Millis,
    ) -> Result<Option<Head>, CoreError> {
        let at = self.store.evidence_at(signer.incarnation, record.chain.index)?;
        let state = ChainState { head: signer.chain, at_index: at.first().copied() };
        match evidence::arrival(state, &record.chain, sha256) {
            Arrival::Next => return Ok(Some(signer.chain.after(sha256))),
            Arrival::Known | Arrival::Fills => {}
            Arrival::AfterGap { missing_from } => self.note_hole(signer, record, missing_from, now)?,
            Arrival::Fork => self.quarantine(signer.appliance, &forked(record.chain.index), now)?,
        }
        Ok(None)
    }

    /// A hole is noted once: by the record that comes after it, not by those that follow or fill it.
    fn note_hole(
        &mut self,
        signer: &IncarnationRow,
        record: &Record,
        missing_from: u64,
        now: Millis,
    ) -> Result<(), CoreError> {
        let index = record.chain.index;
        let (before, after) = self.store.neighbours(signer.incarnation, index)?;
        let missing = index - before.map_or(0, |before| before + 1).max(missing_from);
        if missing == 0 || after.is_some() {
            return Ok(());
        }
        let (first, last) = (record.clock.at, record.clock.at);
        let gap = Gap { cause: "chain-hole".into(), dropped: missing, first, last };
        self.note_gap(signer.tenant, signer.appliance, &gap, now)
    }

    /// Moves a chain's end to `head` and over records that came before their turn, as many as there are `steps` left.
    fn advance_chain(
        &mut self,
        signer: &IncarnationRow,
        mut head: Head,
        steps: &mut usize,
        now: Millis,
    ) -> Result<(), CoreError> {
        while *steps > 0
            && let [(next, previous)] = self.store.links_at(signer.incarnation, head.next)?[..]
        {
            if previous != head.digest {
                self.quarantine(signer.appliance, &forked(head.next), now)?;
                break;
            }
            head = head.after(next);
            *steps -= 1;
        }
        if head != signer.chain {
            self.quiet.ends_for(signer.appliance);
            self.store.put_chain(signer.incarnation, head)?;
        }
        Ok(())
    }
}

fn forked(index: u64) -> String {
    format!("two histories of evidence at index {index} of one incarnation")
}
