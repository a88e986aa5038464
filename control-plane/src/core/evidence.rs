//! Evidence arriving: who signed it, where it stands in its chain, what it means for orders and incidents.
//!
//! Genuine evidence is never thrown away, whatever else is wrong with its appliance. What does not verify is not
//! evidence: it is counted, its appliance's orders stop, and the executor still holds the real one.

use proto::{
    digest::Digest,
    evidence::{self, Arrival, Body, ChainState, Head, Record},
    ids::TenantId,
    sync::Gap,
    time::Millis,
};

use super::{Core, CoreError, log::entry_key};
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

/// A batch's evidence on its way into a log.
#[derive(Default)]
pub(super) struct Entries {
    begin: Option<u64>,
    kept: Vec<Vec<u8>>,
}

impl Core {
    /// Takes one more envelope of a batch; [`Core::append_entries`] must follow.
    pub(super) fn take_into(
        &mut self,
        entries: &mut Entries,
        tenant: TenantId,
        envelope: Vec<u8>,
        now: Millis,
    ) -> Result<Intake, CoreError> {
        let begin = match entries.begin {
            Some(begin) => begin,
            None => self.open_log(tenant, now)?.head.size,
        };
        entries.begin = Some(begin);
        let index = begin + entries.kept.len() as u64;
        let intake = self.take_evidence(tenant, &envelope, index, Origin::Appliance, now)?;
        if intake == Intake::Kept {
            entries.kept.push(envelope);
        }
        Ok(intake)
    }

    /// Appends a batch's evidence to the tenant's log.
    pub(super) fn append_entries(&mut self, tenant: TenantId, entries: &Entries) -> Result<(), CoreError> {
        if entries.kept.is_empty() {
            return Ok(());
        }
        let kept: Vec<&[u8]> = entries.kept.iter().map(Vec::as_slice).collect();
        self.append_to_log(tenant, &kept)
    }

    /// Verifies one envelope, stores it under `index`, and acts on what it says. The caller appends it to the log.
    pub(super) fn take_evidence(
        &mut self,
        tenant: TenantId,
        envelope: &[u8],
        index: u64,
        origin: Origin,
        now: Millis,
    ) -> Result<Intake, CoreError> {
        let sha256 = Digest::of(envelope);
        if self.store.evidence_index(tenant, sha256)?.is_some() {
            return Ok(Intake::Known);
        }
        let rejected = |why: &str| Ok(Intake::Rejected(why.to_owned()));
        let Ok(claimed) = evidence::peek(envelope) else {
            return rejected("it is not a record of this version");
        };
        let Some(signer) = self.store.incarnation(claimed.chain.incarnation)? else {
            return rejected("its incarnation is not enrolled");
        };
        let Ok(record) = evidence::open(envelope, &signer.evidence_key) else {
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
        let revoked = |row: crate::store::ApplianceRow| row.state == ApplianceState::Revoked;
        if origin == Origin::Appliance && self.store.appliance(signer.appliance)?.is_some_and(revoked) {
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
        self.place_in_chain(&signer, &record, sha256, now)?;
        self.keep_outputs(tenant, &record.body, origin, now)?;
        if origin == Origin::Appliance {
            let until = self.retain_until(now);
            self.ports.vault.put(&entry_key(tenant, index), envelope, until)?;
        }
        self.store.add_evidence(&NewEvidence {
            tenant,
            log_index: index,
            sha256,
            appliance: signer.appliance,
            incarnation: signer.incarnation,
            chain_index: record.chain.index,
            kind: record.body.kind(),
            summary: &summary(&record.body),
            at: record.clock.at,
            received: now,
            envelope,
        })?;
        self.act_on(&signer, &record, origin, now)?;
        Ok(Intake::Kept)
    }

    /// Bulk that a record names goes where the record goes, and comes back from there with it.
    fn keep_outputs(
        &self,
        tenant: TenantId,
        body: &Body,
        origin: Origin,
        now: Millis,
    ) -> Result<(), CoreError> {
        let Body::Execution(execution) = body else { return Ok(()) };
        for output in execution.steps.iter().filter_map(|step| step.output) {
            let key = format!("{tenant}/attachments/{output}");
            match (self.store.attachment(tenant, output)?, origin) {
                (Some(content), Origin::Appliance) => {
                    self.ports.vault.put(&key, &content, self.retain_until(now))?;
                }
                (None, Origin::Vault { .. }) => {
                    if let Some(content) = self.ports.vault.get(&key)? {
                        self.store.add_attachment(tenant, output, &content)?;
                    }
                }
                (Some(_), Origin::Vault { .. }) | (None, Origin::Appliance) => {}
            }
        }
        Ok(())
    }

    fn place_in_chain(
        &mut self,
        signer: &IncarnationRow,
        record: &Record,
        sha256: Digest,
        now: Millis,
    ) -> Result<(), CoreError> {
        let at = self.store.evidence_at(signer.incarnation, record.chain.index)?;
        let state = ChainState { head: signer.chain, at_index: at.first().copied() };
        match evidence::arrival(state, &record.chain, sha256) {
            Arrival::Next => self.advance_chain(signer, signer.chain.after(sha256)),
            Arrival::Known | Arrival::Fills => Ok(()),
            Arrival::AfterGap { missing_from } => {
                let gap = Gap {
                    cause: "chain-hole".into(),
                    dropped: record.chain.index - missing_from,
                    first: record.clock.at,
                    last: record.clock.at,
                };
                Ok(self.store.add_gap(signer.tenant, signer.appliance, &gap, now)?)
            }
            Arrival::Fork => self.quarantine(signer.appliance, &forked(record.chain.index)),
        }
    }

    /// Moves a chain's end over records that came before their turn.
    fn advance_chain(&mut self, signer: &IncarnationRow, mut head: Head) -> Result<(), CoreError> {
        while let [next] = self.store.evidence_at(signer.incarnation, head.next)?[..] {
            let envelope = self.store.envelope(next)?.unwrap_or_default();
            if !evidence::peek(&envelope).is_ok_and(|record| record.chain.previous == head.digest) {
                self.quarantine(signer.appliance, &forked(head.next))?;
                break;
            }
            head = head.after(next);
        }
        Ok(self.store.put_chain(signer.incarnation, head)?)
    }

    fn act_on(
        &mut self,
        signer: &IncarnationRow,
        record: &Record,
        origin: Origin,
        now: Millis,
    ) -> Result<(), CoreError> {
        match &record.body {
            // Of an incarnation that is not in force any more: what it is now, another says.
            Body::Heartbeat(_) | Body::Hold(_) if !self.is_in_force(signer)? => Ok(()),
            Body::Heartbeat(beat) => {
                // By its place in the chain: a box whose clock was once ahead must not be stuck with that heartbeat.
                if !self.store.has_later(signer.incarnation, record.chain.index, record.body.kind())? {
                    // One from before a restore says nothing about what came after it.
                    let generation = match origin {
                        Origin::Vault { restored: true } => 0,
                        Origin::Vault { restored: false } | Origin::Appliance => self.generation,
                    };
                    self.store.put_heartbeat(signer.appliance, generation, record.clock.at, beat)?;
                    self.wake.insert(signer.appliance);
                }
                Ok(())
            }
            Body::Execution(execution) => self.order_was_executed(signer, execution, now),
            Body::Refusal(refusal) => self.order_was_refused(signer, refusal, now),
            Body::Hold(hold) => {
                let later = |kind| self.store.has_later(signer.incarnation, record.chain.index, kind);
                if !later("hold")? && !later("heartbeat")? {
                    self.store.put_hold(signer.appliance, hold.held.then_some(hold.by.as_str()))?;
                    self.wake.insert(signer.appliance);
                }
                Ok(())
            }
            Body::Enrolment(_) => Ok(()),
        }
    }

    fn is_in_force(&self, signer: &IncarnationRow) -> Result<bool, CoreError> {
        Ok(self.store.appliance(signer.appliance)?.is_some_and(|row| row.incarnation == signer.incarnation))
    }

    /// Withholds an appliance's orders; its evidence keeps coming.
    pub(super) fn quarantine(
        &mut self,
        appliance: proto::ids::ApplianceId,
        why: &str,
    ) -> Result<(), CoreError> {
        if self.store.set_appliance_state(appliance, ApplianceState::Quarantined, why)? {
            tracing::error!(%appliance, why, "appliance {appliance} is quarantined");
        }
        Ok(())
    }
}

fn forked(index: u64) -> String {
    format!("two histories of evidence at index {index} of one incarnation")
}

fn summary(body: &Body) -> String {
    match body {
        Body::Enrolment(_) => "enrolled".into(),
        Body::Heartbeat(beat) => format!("alive, highest order {}", beat.order_high),
        Body::Execution(e) => format!("{} {}", e.order.runbook, super::orders::verdict_word(e.verdict)),
        Body::Refusal(r) => format!("order refused by guardrail {} {}", r.guardrail, r.name),
        Body::Hold(h) => {
            if h.held {
                "orders held at the box".into()
            } else {
                "orders released at the box".into()
            }
        }
    }
}
