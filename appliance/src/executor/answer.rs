//! Requests of the local protocol and their answers. There is no request that signs what the executor did not see.

use proto::{
    digest::Digest,
    evidence::{self, Body},
    field::BadField,
    ids::WatchId,
    local::{self, request::Call, response::Answer},
    sync::UNPROVEN_MAX,
};

use super::{
    ExecutorCore, ExecutorError, Measurement, chain_of, identity,
    store::{JournalEntry, JournalState, Kept, StoreError},
};

/// How many orders a description lists.
const LISTED: u32 = 10;
/// Bytes of one record and what it names that an answer holds; the rest of the frame is for what is around them.
const FRAME_ROOM: usize = crate::ipc::FRAME_MAX - (64 << 10);

impl ExecutorCore {
    /// Answers one request, at once: `Collect` does not wait here, and `Measure` measures before it returns.
    pub fn handle(&mut self, request: local::Request) -> local::Response {
        answer(self.call(request))
    }

    fn call(&mut self, request: local::Request) -> Result<Answer, ExecutorError> {
        match request.call {
            Some(Call::Describe(_)) => self.describe().map(Answer::Description),
            Some(Call::ProveKeys(message)) => self.prove_keys(&message).map(Answer::KeyProof),
            Some(Call::Adopt(message)) => self.adopt(&message).map(Answer::Adopted),
            Some(Call::Deliver(message)) => self.deliver(&message).map(Answer::Delivered),
            Some(Call::Collect(message)) => self.collect(&message).map(Answer::Collected),
            Some(Call::Measure(message)) => {
                let measurement = self.measurement(&message.watch)?;
                let measured = measurement.take();
                self.remember(&measured);
                Ok(Answer::Measured(measured.answer()))
            }
            // By itself this core does not know who asks: its service does.
            Some(Call::Foresee(_)) => Err(BadField::new("call", "is for the owner of this box alone").into()),
            Some(Call::WatchList(_)) => {
                Ok(Answer::WatchList(local::WatchListText { content: self.watch_list().to_vec() }))
            }
            None => Err(BadField::new("call", "must be one that this version knows").into()),
        }
    }

    fn describe(&mut self) -> Result<local::Description, ExecutorError> {
        let nonce = self.time.ask(&self.world);
        let view = self.store.view();
        let state = view.state()?.ok_or_else(|| BadField::new("state", "is empty"))?;
        let (charter_serial, catalogue_version, policy_serial) = self.trust.serials();
        let checkpoint = view.checkpoint()?;
        Ok(local::Description {
            incarnation: self.incarnation.to_vec(),
            evidence_key: self.key.public().to_string(),
            key_protection: self.protection.to_string(),
            identity: self.identity.as_ref().map(identity::wire),
            evidence_first: view.evidence_first()?.unwrap_or(state.head.next),
            evidence_next: state.head.next,
            checkpoint_size: checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.head.size),
            checkpoint_root: checkpoint.map(|checkpoint| checkpoint.head.root.to_vec()).unwrap_or_default(),
            unproven: view.unproven(UNPROVEN_MAX)?.iter().map(Digest::to_vec).collect(),
            nonce: nonce.to_vec(),
            order_high: state.order_high,
            charter_serial,
            catalogue_version,
            policy_serial,
            stop_serial: self.trust.stop().map_or(0, |stop| stop.serial),
            hold: self.held()?.map(|why| why.sentence).unwrap_or_default(),
            executions: view.journal(LISTED)?.into_iter().map(listed).collect(),
            standing: self.standing.set().map(|digest| digest.to_vec()).unwrap_or_default(),
            watch_list: match self.watch_list() {
                [] => Vec::new(),
                content => Digest::of(content).to_vec(),
            },
            log: self.trust.log(),
            documents: self.approved.set(self.time.best()).map(|set| set.to_vec()).unwrap_or_default(),
        })
    }

    /// Records with what they name, as much as was asked for. The first goes along however large it is, or nothing would.
    fn collect(&self, message: &local::Collect) -> Result<local::Collected, ExecutorError> {
        let most = u64::from(message.most_bytes).min(crate::ipc::FRAME_MAX as u64 / 2);
        let (mut items, mut bytes) = (Vec::new(), 0);
        for Kept { index, envelope } in self.store.view().evidence_from(message.from, most)? {
            let attachments = self.attachments_of(&envelope, FRAME_ROOM.saturating_sub(envelope.len()))?;
            bytes += (envelope.len() + attachments.iter().map(Vec::len).sum::<usize>()) as u64;
            if !items.is_empty() && bytes > most {
                break;
            }
            items.push(local::Item { index, envelope, attachments });
        }
        Ok(local::Collected { items })
    }

    /// What a record names by digest, as far as there is room; what is not kept any more, or never fits, is left out, and
    /// its absence shows.
    fn attachments_of(&self, envelope: &[u8], mut room: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let Ok(Body::Execution(execution)) = evidence::peek(envelope).map(|record| record.body) else {
            return Ok(Vec::new());
        };
        let (view, mut attachments) = (self.store.view(), Vec::new());
        for digest in execution.steps.iter().filter_map(|step| step.output) {
            let Some(content) = view.output(digest)? else { continue };
            match room.checked_sub(content.len()) {
                Some(left) => {
                    room = left;
                    attachments.push(content);
                }
                None => tracing::error!(
                    "output {digest} of {} bytes is left behind: it fits into no answer",
                    content.len()
                ),
            }
        }
        Ok(attachments)
    }

    /// Whether there is evidence from an index on; one that cannot be read is for [`Self::handle`] to report.
    #[must_use]
    pub fn has_evidence(&self, from: u64) -> bool {
        self.store.view().has_evidence(from).unwrap_or(true)
    }

    /// What to measure for a request, for whoever measures without holding the core.
    pub fn measurement(&self, watch: &str) -> Result<Measurement, ExecutorError> {
        let id: WatchId = watch.parse()?;
        self.measurement_of(&id)
    }
}

/// The response to whatever came out.
pub(super) fn answer(result: Result<Answer, ExecutorError>) -> local::Response {
    let answer = result.unwrap_or_else(|error| Answer::Failure(failure(&error)));
    local::Response { answer: Some(answer) }
}

/// The request changed nothing, and why.
fn failure(error: &ExecutorError) -> local::Failure {
    match error {
        ExecutorError::Refused(bad) => {
            local::Failure { field: bad.field.clone(), problem: bad.problem.clone() }
        }
        ExecutorError::Store(_) | ExecutorError::Evidence(_) => {
            tracing::error!("a request was not done: {}", chain_of(error));
            local::Failure { field: "executor".into(), problem: chain_of(error) }
        }
    }
}

fn listed(entry: JournalEntry) -> local::Execution {
    let state = match (entry.state, entry.verdict) {
        (JournalState::Accepted, _) => "accepted".to_owned(),
        (JournalState::Started, _) => "running".to_owned(),
        (JournalState::Refused, _) => "refused".to_owned(),
        (JournalState::Finished, verdict) => verdict
            .and_then(|verdict| serde_json::to_value(verdict).ok())
            .and_then(|verdict| verdict.as_str().map(str::to_owned))
            .unwrap_or_else(|| "finished".to_owned()),
    };
    local::Execution { order: entry.order, runbook: entry.runbook, state }
}
