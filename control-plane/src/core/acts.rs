//! Acts: what this control plane did, or was told to do, becomes evidence beside that of the boxes.
//!
//! The rule: an act is logged with the command that it tells of, and with the records that called for it in one append.
//! It lies in the vault before the answer leaves; where a power cut undoes the rest, the act stays, and says what was
//! about to be done. A log that is halted takes none: they wait, so that a box can still be shut out.

use std::mem;

use proto::{
    act::{Act, ActError, Claim, Deed, End, Mode, NO_END, Place},
    digest::Digest,
    dsse::Verified,
    ids::{ApplianceId, TenantId},
    sync::Gap,
    time::Millis,
};
use runbooks::Fault;

use super::{
    Core, CoreError, Intake, LOG_HALTED, beside::LOG_BESIDE, budget, deliveries, incidents, log::broken,
    months, oversight::Agreement, payload_digest, quarantine, silence, unkept::Put, witnesses,
};
use crate::{
    access::{PersonState, Scope},
    store::{ApplianceRow, ApplianceState, Document, IncidentRow, NewAct, WaitingAct},
};

/// Why something can be missing, as agents and this server call it.
const CAUSES: [&str; 8] = [
    "batches-missing",
    "buffer-full",
    "chain-hole",
    "events-over-budget",
    "evidence-refused",
    "gaps-over-budget",
    "lines-dropped",
    "outbox-damaged",
];
/// What this server itself finds wrong with a box or a log.
const OWN: [&str; 9] = [
    quarantine::FAULT,
    silence::SILENT,
    budget::OVER,
    incidents::CROWDED,
    LOG_HALTED,
    LOG_BESIDE,
    witnesses::LOG_WITNESS,
    months::NOT_MADE,
    deliveries::UNDELIVERED,
];
/// Instead of a word that is not known here.
const OTHER: &str = "other";

impl Core {
    /// Notes what is being done for a clinic.
    pub(super) fn note_act(&mut self, tenant: TenantId, deed: Deed, now: Millis) {
        // What is read back from the vault brings its acts along.
        if !self.replaying {
            self.acts
                .push((tenant, WaitingAct { at: now, by: self.acting.actor.clone(), deed, record: None }));
        }
    }

    /// Notes what is being done for every clinic.
    pub(super) fn note_act_everywhere(&mut self, deed: &Deed, now: Millis) -> Result<(), CoreError> {
        self.note_act_in(&Scope::Organization, deed, now)
    }

    /// Notes what is being done for every clinic within a scope.
    pub(super) fn note_act_in(&mut self, scope: &Scope, deed: &Deed, now: Millis) -> Result<(), CoreError> {
        for tenant in self.store.tenants()?.into_iter().filter(|tenant| scope.sees(tenant.id)) {
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
        let is_known = row.kind.parse::<Fault>().is_ok() || OWN.contains(&row.kind.as_str());
        let fault = if is_known { row.kind.clone() } else { OTHER.to_owned() };
        let heartbeat = self.store.appliance(row.appliance)?.and_then(|appliance| appliance.heartbeat);
        let is_listed = heartbeat.is_some_and(|beat| beat.watch.contains_key(&row.watch));
        let is_control = row.watch.as_str().parse::<baseline::ControlId>().is_ok();
        let watch = (is_listed || is_control).then(|| row.watch.clone());
        let (id, appliance, opened) = (row.id, row.appliance, row.opened);
        self.note_act(row.tenant, Deed::Incident { id, appliance, fault, watch, opened, end }, now);
        Ok(())
    }

    /// Logs what was noted and is not logged yet; what a log cannot take now, waits for it.
    pub(super) fn keep_acts(&mut self) -> Result<(), CoreError> {
        // Opening a log may find more to note: that this database comes from a backup.
        while let Some((tenant, now)) = self.acts.first().map(|(tenant, act)| (*tenant, act.at)) {
            let noted: Vec<WaitingAct> =
                self.acts.iter().filter(|(of, _)| *of == tenant).map(|(_, act)| act.clone()).collect();
            self.mark()?;
            match self.log_acts(tenant, now) {
                Ok(()) => self.keep_since_mark()?,
                Err(error) => {
                    self.undo_to_mark()?;
                    let error = super::chain(&error);
                    tracing::error!(%tenant, error, "acts of tenant {tenant} wait: its log takes none now");
                    self.acts.retain(|(of, _)| *of != tenant);
                    noted.iter().try_for_each(|act| self.store.add_waiting_act(tenant, act))?;
                }
            }
        }
        Ok(())
    }

    /// Tries the logs again that acts wait for.
    pub(super) fn keep_waiting_acts(&mut self, now: Millis) -> Result<(), CoreError> {
        for tenant in self.store.tenants_with_waiting_acts()? {
            self.mark()?;
            match self.log_acts(tenant, now) {
                Ok(()) => self.keep_since_mark()?,
                // It was said when they began to wait.
                Err(_) => self.undo_to_mark()?,
            }
        }
        Ok(())
    }

    fn log_acts(&mut self, tenant: TenantId, now: Millis) -> Result<(), CoreError> {
        let log = self.open_log(tenant, now)?;
        let sealed = self.seal_acts(tenant, log.head.size)?;
        self.keep_in_log(tenant, log.head.size, &sealed, Put::Now, now)
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
                record: waiting.record,
            };
            let unfit = |e: ActError| broken(tenant, e.to_string());
            let envelope = Act::fitting(self.seal(&act.unsigned().map_err(unfit)?)?).map_err(unfit)?;
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
        now: Millis,
    ) -> Result<Intake, CoreError> {
        let rejected = |why: &str| Ok(Intake::Rejected(why.to_owned()));
        let named = self.store.document(Document::Charter, claim.charter_serial())?;
        let verified = match named.map(|envelope| self.trust.open(&envelope)).transpose()? {
            Some(charter) => claim.verify(charter.value()),
            // A database from a backup may lack the newest charter; this server has its key.
            None => claim.verify_by(&[self.keys.order.public()]),
        };
        let Ok(act) = verified else {
            return rejected("it is an act that no order key of its charter signed");
        };
        if self.is_by_a_key_taken_away(tenant, &act)? {
            return rejected("it is an act by a key that was taken away before, as this log says");
        }
        let act = act.into_value();
        if act.tenant != tenant || act.organization != self.settings.organization {
            return rejected("it is an act of another clinic");
        }
        if act.chain != self.store.next_act(tenant)? {
            return rejected("it is an act that does not follow the one before it");
        }
        self.add_act(&act, index, envelope)?;
        self.do_again(tenant, &act.deed, now)?;
        // A database from a backup may think that it is still to be logged.
        let waiting = WaitingAct { at: act.at, by: act.by, deed: act.deed, record: act.record };
        self.store.drop_waiting_act(tenant, &waiting)?;
        Ok(Intake::Kept)
    }

    /// Whether the newest charter that the log speaks of does not name the key that signed an act which comes after that.
    fn is_by_a_key_taken_away(&self, tenant: TenantId, act: &Verified<Act>) -> Result<bool, CoreError> {
        if !self.charter.document.order_keys.is_disjoint(act.signers()) {
            return Ok(false);
        }
        let acts = self.store.acts(tenant, "charter")?;
        let said = acts.iter().filter_map(|act| Claim::read(act).ok().flatten().map(Claim::unverified));
        let serials = said.filter_map(|act| match act.deed {
            Deed::Charter { serial, .. } => Some(serial),
            _ => None,
        });
        let Some(newest) = serials.max().filter(|newest| act.value().charter_serial < *newest) else {
            return Ok(false);
        };
        let envelope = self.store.document(Document::Charter, newest)?;
        // One that only the log knows names nobody.
        let charter = envelope.map(|envelope| self.trust.open(&envelope)).transpose()?;
        Ok(charter.is_some_and(|charter| charter.value().order_keys.is_disjoint(act.signers())))
    }

    /// A database from a backup must not trust a box that was stopped since, nor who lost access; who let a box in again,
    /// did so knowingly.
    fn do_again(&mut self, tenant: TenantId, deed: &Deed, now: Millis) -> Result<(), CoreError> {
        match deed {
            Deed::Hold { .. } | Deed::Release { .. } => self.hold_again(tenant, deed, now),
            Deed::Quarantine { appliance, cause } => self.quarantine(*appliance, cause, now),
            Deed::Readmission { appliance } => {
                let stopped = |row: &ApplianceRow| row.state == ApplianceState::Quarantined;
                if self.store.appliance(*appliance)?.filter(stopped).is_some() {
                    self.store.set_appliance_state(*appliance, ApplianceState::Active, "readmitted")?;
                }
                self.is_over(*appliance, quarantine::FAULT, "readmitted", now)
            }
            Deed::Revocation { appliance } => {
                self.store.set_appliance_state(*appliance, ApplianceState::Revoked, "revoked")?;
                match self.store.appliance(*appliance)? {
                    Some(row) => self.box_is_gone(&row, "the appliance was revoked", now),
                    None => Ok(()),
                }
            }
            Deed::Closure {} => Ok(self.store.close_tenant(tenant, now)?),
            Deed::AccessEnd { name } => {
                self.store.revoke_operator_token(name).map(|_| ()).map_err(CoreError::from)
            }
            _ => Ok(()),
        }
    }

    /// Notes a charter or catalogue that was put in force while no server ran.
    pub(super) fn note_documents(&mut self, now: Millis) -> Result<(), CoreError> {
        let (charter, catalogue) = (self.charter.document.serial, self.catalogue.document.version);
        let digest = payload_digest(&self.charter.envelope)?;
        let of_catalogue = payload_digest(&self.catalogue.envelope)?;
        for (key, number, deed) in [
            ("charter-noted", charter, Deed::Charter { serial: charter, digest }),
            ("catalogue-noted", catalogue, Deed::Catalogue { version: catalogue, digest: of_catalogue }),
        ] {
            let noted = self.store.number(key)?;
            if noted < number {
                // Of the first, every record says under which it was made.
                if noted > 0 {
                    self.note_act_everywhere(&deed, now)?;
                }
                self.store.put_number(key, number)?;
            }
        }
        Ok(())
    }

    /// Notes what lies in the vault as a paper and has no act: the power went between the two.
    pub(super) fn note_papers(&mut self, tenant: TenantId, now: Millis) -> Result<(), CoreError> {
        for row in self.store.appliances(Some(tenant))? {
            let (appliance, certificate) = (row.id, Digest::of(&row.certificate));
            let (incarnation, site) = (row.incarnation, row.site);
            let mut deeds = vec![Deed::Claim { appliance, incarnation, site, certificate }];
            if row.state == ApplianceState::Revoked {
                deeds.push(Deed::Revocation { appliance });
            }
            for deed in deeds {
                self.note_once(tenant, deed, now)?;
            }
        }
        Ok(())
    }

    /// Notes what is being done, unless the log says so already.
    pub(super) fn note_once(&mut self, tenant: TenantId, deed: Deed, now: Millis) -> Result<(), CoreError> {
        if !self.store.has_act(tenant, deed.kind(), &deed.sentence())? {
            self.note_act(tenant, deed, now);
        }
        Ok(())
    }

    /// Notes what held before a clinic's log began: that it follows another, who has access, and what is in force.
    pub(super) fn note_in_force(&mut self, tenant: TenantId, now: Millis) -> Result<(), CoreError> {
        self.note_succession(tenant, now)?;
        let (charter, catalogue) = (self.charter.document.serial, self.catalogue.document.version);
        let digest = payload_digest(&self.charter.envelope)?;
        // Of the first, every record says under which it was made.
        if self.store.documents(Document::Charter)?.len() > 1 {
            self.note_once(tenant, Deed::Charter { serial: charter, digest }, now)?;
        }
        let digest = payload_digest(&self.catalogue.envelope)?;
        if self.store.documents(Document::Catalogue)?.len() > 1 {
            self.note_once(tenant, Deed::Catalogue { version: catalogue, digest }, now)?;
        }
        for token in self.store.operator_tokens()? {
            if !token.revoked && now < token.expires && token.grant.scope.sees(tenant) {
                self.note_once(tenant, Deed::Access { name: token.name, until: token.expires }, now)?;
            }
        }
        for person in self.store.operators()? {
            if person.state != PersonState::Ended && person.grant.scope.sees(tenant) {
                self.note_once(tenant, Deed::Access { name: person.name, until: NO_END }, now)?;
            }
        }
        let mode = self.settings.running.mode;
        if mode != Mode::Reseller {
            self.note_once(tenant, Deed::Mode { mode }, now)?;
        }
        if let Some(Agreement { signed, until, document, .. }) = self.agreement(tenant)? {
            self.note_once(tenant, Deed::Agreement { signed, until, document }, now)?;
        }
        Ok(())
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
