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

impl Core {
    /// Takes a batch's evidence into the tenant's log.
    pub(super) fn take_batch(&mut self, tenant: TenantId, envelopes: &[Vec<u8>], now: Millis) -> Result<Vec<Intake>, CoreError> {
        if envelopes.is_empty() {
            return Ok(Vec::new());
        }
        let mut index = self.open_log(tenant, now)?.head.size;
        let mut kept: Vec<&[u8]> = Vec::new();
        let mut intakes = Vec::new();
        for envelope in envelopes {
            let intake = self.take_evidence(tenant, envelope, index, now)?;
            if intake == Intake::Kept {
                kept.push(envelope);
                index += 1;
            }
            intakes.push(intake);
        }
        if !kept.is_empty() {
            self.append_to_log(tenant, &kept)?;
        }
        Ok(intakes)
    }

    /// Verifies one envelope, stores it under `index`, and acts on what it says. The caller appends it to the log.
    pub(super) fn take_evidence(
        &mut self,
        tenant: TenantId,
        envelope: &[u8],
        index: u64,
        now: Millis,
    ) -> Result<Intake, CoreError> {
        let sha256 = Digest::of(envelope);
        if self.store.evidence_index(tenant, sha256)?.is_some() {
            return Ok(Intake::Known);
        }
        let rejected = |why: &str| Ok(Intake::Rejected(why.to_owned()));
        let Ok(claimed) = evidence::peek(envelope) else { return rejected("it is not a record of this version") };
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
            return rejected("it names another organization, tenant or appliance than its key was enrolled for");
        }
        self.place_in_chain(&signer, &record, sha256, now)?;
        let until = self.retain_until(now);
        self.ports.vault.put(&entry_key(tenant, index), envelope, until)?;
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
        self.act_on(&signer, &record, now)?;
        Ok(Intake::Kept)
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
            Arrival::Fork => {
                let why = format!("two histories of evidence at index {} of one incarnation", record.chain.index);
                self.quarantine(signer.appliance, &why)
            }
        }
    }

    /// Moves a chain's end over records that came before their turn.
    fn advance_chain(&mut self, signer: &IncarnationRow, mut head: Head) -> Result<(), CoreError> {
        while let [next] = self.store.evidence_at(signer.incarnation, head.next)?[..] {
            head = head.after(next);
        }
        Ok(self.store.put_chain(signer.incarnation, head)?)
    }

    fn act_on(&mut self, signer: &IncarnationRow, record: &Record, now: Millis) -> Result<(), CoreError> {
        match &record.body {
            Body::Heartbeat(beat) => {
                let current = self.store.appliance(signer.appliance)?;
                if current.is_some_and(|a| a.incarnation == signer.incarnation && a.heartbeat_at <= record.clock.at) {
                    self.store.put_heartbeat(signer.appliance, self.generation, record.clock.at, beat)?;
                    self.wake.insert(signer.appliance);
                }
                Ok(())
            }
            Body::Execution(execution) => self.order_was_executed(signer, execution, now),
            Body::Refusal(refusal) => self.order_was_refused(signer, refusal, now),
            Body::Enrolment(_) | Body::Hold(_) => Ok(()),
        }
    }

    /// Withholds an appliance's orders; its evidence keeps coming.
    pub(super) fn quarantine(&mut self, appliance: proto::ids::ApplianceId, why: &str) -> Result<(), CoreError> {
        if self.store.set_appliance_state(appliance, ApplianceState::Quarantined, why)? {
            tracing::error!(%appliance, why, "appliance {appliance} is quarantined");
        }
        Ok(())
    }
}

fn summary(body: &Body) -> String {
    match body {
        Body::Enrolment(_) => "enrolled".into(),
        Body::Heartbeat(beat) => format!("alive, highest order {}", beat.order_high),
        Body::Execution(e) => format!("{} {}", e.order.runbook, super::orders::verdict_word(e.verdict)),
        Body::Refusal(r) => format!("order refused by guardrail {} {}", r.guardrail, r.name),
        Body::Hold(h) => if h.held { "orders held at the box".into() } else { "orders released at the box".into() },
    }
}
