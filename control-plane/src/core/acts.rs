//! Acts: what this control plane did, or was told to do, becomes evidence beside that of the boxes.
//!
//! The rule: an act is logged with the command that it tells of, and with the records that called for it in one append.
//! It lies in the vault before the answer leaves; where a power cut undoes the rest, the act stays, and says what was
//! about to be done. A log that is halted takes none: they wait, so that a box can still be shut out.

use std::{collections::BTreeSet, mem};

use proto::{
    act::{Act, Actor, Claim, Deed, End, Place},
    digest::Digest,
    ids::{ApplianceId, TenantId},
    keys::PublicKey,
    sync::Gap,
    time::Millis,
};
use runbooks::Fault;

use super::{Core, CoreError, Intake, log::broken, quarantine::WATCH};
use crate::store::{Document, IncidentRow, NewAct, WaitingAct};

/// Why something can be missing, as agents and this server call it.
const CAUSES: [&str; 6] =
    ["batches-missing", "buffer-full", "chain-hole", "evidence-refused", "lines-dropped", "outbox-damaged"];
/// Instead of a word that is not known here.
const OTHER: &str = "other";

impl Core {
    /// Runs a command in somebody's name.
    pub fn acting_as<T>(
        &mut self,
        by: Actor,
        command: impl FnOnce(&mut Self) -> Result<T, CoreError>,
    ) -> Result<T, CoreError> {
        let before = mem::replace(&mut self.acting, by);
        let outcome = command(self);
        self.acting = before;
        outcome
    }

    /// Notes what is being done for a clinic.
    pub(super) fn note_act(&mut self, tenant: TenantId, deed: Deed, now: Millis) {
        // What is read back from the vault brings its acts along.
        if !self.replaying {
            self.acts.push((tenant, WaitingAct { at: now, by: self.acting.clone(), deed }));
        }
    }

    /// Notes what is being done for every clinic.
    pub(super) fn note_act_everywhere(&mut self, deed: &Deed, now: Millis) -> Result<(), CoreError> {
        for tenant in self.store.tenants()? {
            self.note_act(tenant.id, deed.clone(), now);
        }
        Ok(())
    }

    /// Notes that something is missing. An agent may call the cause what it likes; write-once storage keeps known words.
    pub(super) fn note_gap_act(&mut self, tenant: TenantId, appliance: ApplianceId, gap: &Gap, now: Millis) {
        let cause = CAUSES.iter().find(|known| **known == gap.cause).unwrap_or(&OTHER);
        let deed = Deed::Gap {
            appliance,
            cause: (*cause).to_owned(),
            amount: gap.dropped,
            first: gap.first,
            last: gap.last,
        };
        self.note_act(tenant, deed, now);
    }

    /// Notes how an incident ended; of fault and watch entry, what is not made up.
    pub(super) fn note_incident_act(
        &mut self,
        row: &IncidentRow,
        end: End,
        now: Millis,
    ) -> Result<(), CoreError> {
        let is_of_server = row.watch.as_str() == WATCH;
        let fault = match row.kind.parse::<Fault>() {
            Ok(_) => row.kind.clone(),
            Err(_) if is_of_server => row.kind.clone(),
            Err(_) => OTHER.to_owned(),
        };
        let heartbeat = self.store.appliance(row.appliance)?.and_then(|appliance| appliance.heartbeat);
        let is_listed = heartbeat.is_some_and(|beat| beat.watch.contains_key(&row.watch));
        let is_control = row.watch.as_str().parse::<baseline::ControlId>().is_ok();
        let watch = (is_listed || is_control).then(|| row.watch.clone());
        let (id, appliance, opened) = (row.id, row.appliance, row.opened);
        self.note_act(row.tenant, Deed::Incident { id, appliance, fault, watch, opened, end }, now);
        Ok(())
    }

    /// Logs what was noted and is not logged yet.
    pub(super) fn keep_acts(&mut self) -> Result<(), CoreError> {
        // Opening a log may find more to note: that this database comes from a backup.
        while let Some(now) = self.acts.first().map(|(_, act)| act.at) {
            let tenants: BTreeSet<TenantId> = self.acts.iter().map(|(tenant, _)| *tenant).collect();
            for tenant in tenants {
                self.recover_log(tenant, now)?;
                let log = self.store.log_head(tenant)?;
                if self.halt_reason(tenant, &log).is_some() {
                    for act in self.noted_for(tenant) {
                        self.store.add_waiting_act(tenant, &act)?;
                    }
                } else {
                    let sealed = self.seal_acts(tenant, log.head.size)?;
                    self.keep_in_log(tenant, log.head.size, &sealed, now)?;
                }
            }
        }
        Ok(())
    }

    /// Signs what was noted for a clinic, and what waited for its log, as the entries of the log from `index` on.
    pub(super) fn seal_acts(&mut self, tenant: TenantId, index: u64) -> Result<Vec<Vec<u8>>, CoreError> {
        let mut place = self.store.next_act(tenant)?;
        let mut envelopes = Vec::new();
        let mut acts = self.store.take_waiting_acts(tenant)?;
        acts.extend(self.noted_for(tenant));
        for (index, waiting) in (index..).zip(acts) {
            let act = Act {
                chain: place,
                organization: self.settings.organization.clone(),
                tenant,
                at: waiting.at,
                charter_serial: self.charter.document.serial,
                by: waiting.by,
                deed: waiting.deed,
            };
            let envelope = act.seal(&self.keys.order).map_err(|e| broken(tenant, e.to_string()))?;
            place = Place { index: place.index + 1, previous: self.add_act(&act, index, &envelope)? };
            envelopes.push(envelope);
        }
        Ok(envelopes)
    }

    fn noted_for(&mut self, tenant: TenantId) -> Vec<WaitingAct> {
        let (of_tenant, others) = mem::take(&mut self.acts).into_iter().partition(|(of, _)| *of == tenant);
        self.acts = others;
        of_tenant.into_iter().map(|(_, act): (TenantId, WaitingAct)| act).collect()
    }

    /// Takes an act back from the vault: one that a key of ours signed, and that follows those before it.
    pub(super) fn take_act(
        &mut self,
        tenant: TenantId,
        claim: Claim<'_>,
        envelope: &[u8],
        index: u64,
    ) -> Result<Intake, CoreError> {
        let rejected = |why: &str| Ok(Intake::Rejected(why.to_owned()));
        let keys = self.order_keys()?;
        let Ok(act) = claim.verify_by(&keys) else {
            return rejected("it is an act that no order key of this organization signed");
        };
        let act = act.into_value();
        if act.tenant != tenant || act.organization != self.settings.organization {
            return rejected("it is an act of another clinic");
        }
        if act.chain != self.store.next_act(tenant)? {
            return rejected("it is an act that does not follow the one before it");
        }
        self.add_act(&act, index, envelope)?;
        Ok(Intake::Kept)
    }

    /// Of every charter that was ever in force, and this server's own: a database from a backup lacks the newest charter.
    fn order_keys(&self) -> Result<Vec<PublicKey>, CoreError> {
        let mut keys = vec![self.keys.order.public()];
        for (_, envelope) in self.store.documents(Document::Charter)? {
            keys.extend(self.trust.open(&envelope)?.into_value().order_keys);
        }
        Ok(keys)
    }

    fn add_act(&self, act: &Act, index: u64, envelope: &[u8]) -> Result<Digest, CoreError> {
        let sha256 = Digest::of(envelope);
        self.store.add_act(&NewAct {
            tenant: act.tenant,
            log_index: index,
            sha256,
            number: act.chain.index,
            kind: act.deed.kind(),
            summary: &act.deed.sentence(),
            actor: &act.by.to_string(),
            at: act.at,
            envelope,
        })?;
        Ok(sha256)
    }
}
