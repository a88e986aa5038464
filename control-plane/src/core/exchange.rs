//! One exchange with one appliance: take what it sends, say what there is for it.

use std::{fmt, sync::Arc};

use proto::{
    digest::Digest,
    ids::ApplianceId,
    log::{log_number, prove_consistency, prove_inclusion},
    pb,
    sync::{Ack, Exchange, Gap, IncarnationCheck, Receipt, Record, StreamState, incarnation, receipt},
    time::{Millis, TimeToken},
};

use super::{
    Ahead, Core, CoreError, Intake,
    ahead::Opened,
    budget::Events,
    chain,
    evidence::Entries,
    ports::{Signer, SignerError},
    steps::{Step, StepKind},
};
use crate::store::{ApplianceRow, ApplianceState};

/// The most bytes of attachments that one box may keep here while no record names them.
const UNNAMED_MAX: u64 = 64 << 20;

/// The most bytes of lines, as they are packed, that are kept of one box.
const LINES_MAX: u64 = 64 << 20;

/// What there is to say.
#[derive(Debug)]
pub struct Answer {
    /// To whom.
    pub appliance: ApplianceId,
    /// The answer.
    pub response: pb::SyncResponse,
    /// Whether it could as well wait: nothing in it but time.
    pub idle: bool,
    /// The time, where its signature is still to be fetched. A box can do without for once.
    pub time: Option<Untimed>,
}

/// Time that nobody has vouched for yet.
pub struct Untimed {
    token: TimeToken,
    signer: Arc<dyn Signer>,
}

impl Untimed {
    /// Fetches the signature. Blocks.
    pub fn seal(&self) -> Result<Vec<u8>, SignerError> {
        self.signer.seal(&self.token.unsigned())
    }
}

impl fmt::Debug for Untimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.token.fmt(f)
    }
}

impl Core {
    /// Takes an exchange. `spki` is the digest of the key that the caller proved to hold.
    pub fn sync(&mut self, spki: Digest, exchange: &Exchange, now: Millis) -> Result<Answer, CoreError> {
        let batch = match exchange.batch.clone() {
            Some(batch) => {
                let signer = self.store.incarnation(exchange.incarnation)?;
                let key = signer.as_ref().map(|signer| &signer.evidence_key);
                Some(Ahead::of(batch, exchange.incarnation, key))
            }
            None => None,
        };
        self.sync_read(spki, exchange, batch, now)
    }

    /// The same of an exchange whose batch was read before; one that is in `exchange` is not looked at.
    pub fn sync_read(
        &mut self,
        spki: Digest,
        exchange: &Exchange,
        batch: Option<Ahead>,
        now: Millis,
    ) -> Result<Answer, CoreError> {
        if batch.is_none()
            && let Some(answer) = self.nothing_new(spki, exchange, now)
        {
            return Ok(answer);
        }
        let mut appliance = self.admitted(spki)?;
        if incarnation(appliance.incarnation, exchange.incarnation) == IncarnationCheck::Other {
            self.quarantine(
                appliance.id,
                "it speaks for another incarnation than was enrolled: wiped, cloned or re-imaged",
                now,
            )?;
            appliance = self.admitted(spki)?;
        }
        self.carry_over(appliance.tenant, &exchange.unproven, now)?;
        let ack = match batch {
            Some(batch) => self.take(&appliance, batch, now)?,
            None => None,
        };
        // After the batch: what it leads to rings.
        if ack.is_some()
            && let Some(mut answer) = self.nothing_new(spki, exchange, now)
        {
            answer.response.ack = ack.map(Into::into);
            return Ok(Answer { idle: false, ..answer });
        }
        self.catch_up(appliance.incarnation, now)?;
        self.store.saw_appliance(appliance.id, now, &exchange.version, exchange.order_high)?;
        self.doubt(&appliance, exchange)?;
        let appliance = self.admitted(spki)?;
        let answer = self.compose(&appliance, exchange, ack, now)?;
        self.note_nothing(spki, exchange, &answer, now);
        Ok(answer)
    }

    /// Answers an exchange that was held open, without taking its batch again.
    pub fn answer(&mut self, spki: Digest, exchange: &Exchange, now: Millis) -> Result<Answer, CoreError> {
        let appliance = self.admitted(spki)?;
        self.compose(&appliance, exchange, None, now)
    }

    fn admitted(&self, spki: Digest) -> Result<ApplianceRow, CoreError> {
        let denied = |why: &str| CoreError::Denied(why.to_owned());
        let row = self.store.appliance_by_key(spki)?.ok_or_else(|| denied("this key is not enrolled"))?;
        match row.state {
            ApplianceState::Revoked => Err(denied("this appliance is revoked")),
            ApplianceState::Active | ApplianceState::Quarantined => Ok(row),
        }
    }

    /// A box that was given orders which this database does not know: it is older than they are, or somebody else signs.
    /// Until the executor has said where it stands, it gets none; what an agent says is reason enough to wait.
    fn doubt(&self, appliance: &ApplianceRow, exchange: &Exchange) -> Result<(), CoreError> {
        let known = self
            .store
            .appliance(appliance.id)?
            .map_or(0, |row| row.issued_high.max(row.heartbeat.map_or(0, |beat| beat.order_high)));
        if exchange.order_high > known {
            tracing::warn!(appliance = %appliance.id, order_high = exchange.order_high, known,
                "appliance {} knows orders that this database does not", appliance.id);
            self.store.await_heartbeat(appliance.id)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        appliance: &ApplianceRow,
        Ahead { batch, digest, records }: Ahead,
        now: Millis,
    ) -> Result<Option<Ack>, CoreError> {
        let state = self.store.stream(appliance.id, batch.stream)?;
        // What is known is acknowledged again, however late: a stalled connection may deliver a batch after its successors.
        let known = StreamState { number: batch.number, digest };
        let late = batch.number < state.number && self.store.has_batch(appliance.id, batch.stream, known)?;
        let verdict = if late { Receipt::Again } else { receipt(state, &batch) };
        if let Receipt::CommitAfterGap { missing } = verdict {
            let gap = Gap { cause: "batches-missing".into(), dropped: missing, first: now, last: now };
            self.note_gap(appliance.tenant, appliance.id, &gap, now)?;
        }
        match verdict {
            Receipt::Commit | Receipt::CommitAfterGap { .. } => {
                self.take_records(appliance, records?, now)?;
                self.store.put_stream(
                    appliance.id,
                    batch.stream,
                    StreamState { number: batch.number, digest },
                )?;
            }
            Receipt::Again => {}
            Receipt::Conflict => {
                let why = format!("two histories of its stream {} at batch {}", batch.stream, batch.number);
                self.quarantine(appliance.id, &why, now)?;
                // Its evidence is still taken, if it can be read, with what goes with it: it proves itself.
                let (mut records, opened) = records.unwrap_or_default();
                records.retain(|record| matches!(record, Record::Evidence(_) | Record::Attachment(_)));
                self.take_records(appliance, (records, opened), now)?;
                return Ok(None);
            }
        }
        Ok(Some(Ack { stream: batch.stream, number: batch.number, digest }))
    }

    fn take_records(
        &mut self,
        appliance: &ApplianceRow,
        (records, opened): (Vec<Record>, Vec<Opened>),
        now: Millis,
    ) -> Result<(), CoreError> {
        // In the order in which they were kept: a fault that came back after its repair must not be taken for the old one.
        let (mut entries, mut events, mut unnamed) = (Entries::default(), Events::default(), false);
        let mut opened = opened.into_iter();
        for record in records {
            match record {
                Record::Event(event) => self.take_event_within(&mut events, appliance, &event, now)?,
                Record::Evidence(envelope) => {
                    let opened = opened.next().unwrap_or_else(|| Opened::nothing(&envelope));
                    let arrived = (envelope, opened);
                    if let Intake::Rejected(why) =
                        self.take_into(&mut entries, appliance.tenant, arrived, now)?
                    {
                        let gap = Gap { cause: "evidence-refused".into(), dropped: 1, first: now, last: now };
                        self.note_gap(appliance.tenant, appliance.id, &gap, now)?;
                        self.quarantine(
                            appliance.id,
                            &format!("it sent evidence that was refused: {why}"),
                            now,
                        )?;
                    }
                }
                // Into write-once storage only when a record names it.
                Record::Attachment(content) => {
                    self.store.add_attachment(appliance.tenant, appliance.id, &content, now)?;
                    unnamed = true;
                }
                Record::Gap(gap) => self.note_gap(appliance.tenant, appliance.id, &gap, now)?,
                Record::Lines(lines) => {
                    self.store.add_lines(appliance.tenant, appliance.id, &lines, LINES_MAX, now)?;
                }
            }
        }
        self.close_events(&events, appliance, now)?;
        if unnamed {
            self.store.sweep_attachments(appliance.id, UNNAMED_MAX)?;
        }
        self.append_entries(appliance.tenant, entries, now)
    }

    fn compose(
        &mut self,
        appliance: &ApplianceRow,
        exchange: &Exchange,
        ack: Option<Ack>,
        now: Millis,
    ) -> Result<Answer, CoreError> {
        let mut response = pb::SyncResponse { ack: ack.map(Into::into), ..Default::default() };
        self.add_documents(exchange, &mut response);
        self.add_proofs(appliance, exchange, &mut response)?;
        // Along with whatever is said: a box that does not follow would else be told without a pause.
        response.succession = self.succession_after(appliance.tenant, exchange.log)?;
        if !response.succession.is_empty() {
            response.consistency = self.shown_after(appliance.tenant, exchange)?;
        }
        if !response.checkpoint.is_empty() {
            self.spoken_of.insert(appliance.tenant);
        }
        if appliance.state == ApplianceState::Quarantined {
            response.quarantine.clone_from(&appliance.state_reason);
        }
        let told_anew = self.add_signed_if_possible(appliance, exchange, &mut response, now)?;
        let chain = self.store.incarnation(appliance.incarnation)?.map_or(0, |row| row.chain.next);
        response.evidence_next = chain;
        // Standing orders come along with whatever is said; only new ones are worth an answer of their own.
        let idle = response.ack.is_none()
            && !told_anew
            && response.orders.is_empty()
            && response.inclusions.is_empty()
            && response.charter.is_empty()
            && response.catalogue.is_empty()
            && response.policy.is_empty()
            && response.stop.is_empty();
        let mut time = None;
        if exchange.incarnation == appliance.incarnation {
            let token = TimeToken { incarnation: appliance.incarnation, nonce: exchange.nonce, at: now };
            (response.time_token, time) = self.time_for(token)?;
        }
        Ok(Answer { appliance: appliance.id, response, idle, time })
    }

    /// The time, signed; or what is to be signed where nobody waits for it.
    pub(super) fn time_for(&self, token: TimeToken) -> Result<(Vec<u8>, Option<Untimed>), CoreError> {
        match self.keys.order.is_at_hand() {
            true => Ok((self.seal(&token.unsigned())?, None)),
            false => Ok((Vec::new(), Some(Untimed { token, signer: self.keys.order.clone() }))),
        }
    }

    fn add_documents(&self, exchange: &Exchange, response: &mut pb::SyncResponse) {
        if exchange.charter_serial < self.charter.document.serial {
            response.charter.clone_from(&self.charter.envelope);
        }
        if exchange.catalogue_version < self.catalogue.document.version {
            response.catalogue.clone_from(&self.catalogue.envelope);
        }
    }

    /// What the order key must sign. Where that key is elsewhere and cannot be used now, the rest is said without: whatever
    /// a box has sent is taken all the same.
    fn add_signed_if_possible(
        &mut self,
        appliance: &ApplianceRow,
        exchange: &Exchange,
        response: &mut pb::SyncResponse,
        now: Millis,
    ) -> Result<bool, CoreError> {
        if self.keys.order.is_at_hand() {
            return self.add_signed(appliance, exchange, response, now);
        }
        self.mark()?;
        let (before, noted) = (response.clone(), (self.counted, self.steps.len(), self.acts.len()));
        match self.add_signed(appliance, exchange, response, now) {
            Err(CoreError::Signer(error)) => {
                self.undo_to_mark()?;
                self.told.remove(&appliance.id);
                self.counted = noted.0;
                self.steps.truncate(noted.1);
                self.acts.truncate(noted.2);
                *response = before;
                tracing::warn!(appliance = %appliance.id, error = chain(&error), "appliance {} is told nothing new", appliance.id);
                Ok(false)
            }
            done => {
                self.keep_since_mark()?;
                done
            }
        }
    }

    /// The same; and whether standing orders or documents among it are news.
    fn add_signed(
        &mut self,
        appliance: &ApplianceRow,
        exchange: &Exchange,
        response: &mut pb::SyncResponse,
        now: Millis,
    ) -> Result<bool, CoreError> {
        let tenant = self
            .store
            .tenant(appliance.tenant)?
            .ok_or_else(|| CoreError::NotFound("tenant is gone".into()))?;
        if exchange.policy_serial < tenant.policy_serial {
            response.policy = self.policy_for(&tenant, appliance.site)?;
        }
        response.stop = self.stop_for(appliance, exchange, now)?;
        let (mut renewed, mut decided) = (false, false);
        match appliance.state {
            ApplianceState::Active => {
                (response.standing, renewed) = self.standing_orders(appliance, exchange, now)?;
                (response.documents, decided) = self.documents_for(appliance, exchange, now)?;
                self.issue_orders(appliance, now)?;
                if self.hold_over(appliance, now)?.is_none() {
                    let (incarnation, high) = (appliance.incarnation, exchange.order_high);
                    for order in self.store.orders_to_send(appliance.id, incarnation, high, now)? {
                        let handed = Step::of(order.incident, StepKind::Exchange, now, "handed over");
                        self.note_step(Step { order: Some(order.id), ..handed });
                        response.orders.push(order.envelope);
                    }
                }
            }
            ApplianceState::Quarantined | ApplianceState::Revoked => {}
        }
        Ok(renewed || decided)
    }

    /// The newest checkpoint, that it continues the caller's, and that the caller's evidence is in it.
    fn add_proofs(
        &self,
        appliance: &ApplianceRow,
        exchange: &Exchange,
        response: &mut pb::SyncResponse,
    ) -> Result<(), CoreError> {
        let tenant = appliance.tenant;
        let log = self.store.log_head(tenant)?;
        // Nor what is of another log than the caller goes by.
        if self.halt_reason(tenant, &log).is_some() || exchange.log != log_number(&log.origin) {
            return Ok(());
        }
        let (Some(checkpoint), size) = (log.checkpoint, log.head.size) else { return Ok(()) };
        // A caller that has seen a larger log than this one: a backup was restored. It must not be told a smaller past.
        if exchange.checkpoint_size > size {
            return Ok(());
        }
        let broken = |problem: String| CoreError::Log { tenant: tenant.to_string(), problem };
        let tiles = self.store.tiles(tenant);
        for sha256 in &exchange.unproven {
            let Some(index) = self.store.evidence_index(tenant, *sha256)? else { continue };
            let proof = prove_inclusion(&tiles, index, size).map_err(|e| broken(super::error::chain(&e)))?;
            response.inclusions.push(pb::Inclusion {
                sha256: sha256.to_vec(),
                index,
                hashes: proof.into_iter().map(|hash| hash.to_vec()).collect(),
            });
        }
        if exchange.checkpoint_size < size {
            let proof = prove_consistency(&tiles, exchange.checkpoint_size, size)
                .map_err(|e| broken(super::error::chain(&e)))?;
            response.consistency = proof.into_iter().map(|hash| hash.to_vec()).collect();
        }
        response.checkpoint = checkpoint;
        Ok(())
    }
}
