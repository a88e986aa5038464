//! What the agent delivers from the control plane, in the order in which one thing makes the next believable: charter,
//! catalogue, policy, stop, time, succession, checkpoint and proofs, documents, orders.
//!
//! The rule: each part stands for itself. One that is not believed is named among the problems and holds up nothing
//! else; only a database that cannot be written ends the delivery.

use proto::{
    document::DOCUMENTS_MAX,
    field::BadField,
    local,
    time::{Millis, TimeError},
};

use super::{
    ExecutorCore, ExecutorError, chain_of,
    store::{StoreError, Write},
    trust::Newer,
};

/// The most orders of one delivery.
const ORDERS_MAX: usize = 64;
/// The most standing orders.
const STANDING_MAX: usize = 256;

impl ExecutorCore {
    pub(super) fn deliver(&mut self, message: &local::Deliver) -> Result<local::Delivered, ExecutorError> {
        if self.identity.is_none() {
            return Err(BadField::new(
                "identity",
                "this executor is not enrolled; adopt comes before deliver",
            )
            .into());
        }
        let mut problems = Problems::default();
        if !message.charter.is_empty() {
            problems.of(self.take_charter(&message.charter))?;
        }
        if !message.catalogue.is_empty() {
            problems.of(self.take_catalogue(&message.catalogue))?;
        }
        if !message.policy.is_empty() {
            problems.of(self.take_policy(&message.policy))?;
        }
        if !message.stop.is_empty() {
            problems.of(self.take_stop(&message.stop))?;
        }
        if !message.time_token.is_empty() {
            problems.of(self.take_time(&message.time_token))?;
        }
        if !message.succession.is_empty() {
            problems.of(self.take_succession(&message.succession, &message.consistency))?;
        }
        if !message.checkpoint.is_empty() {
            let taken = self.take_checkpoint(&message.checkpoint, &message.consistency, &message.inclusions);
            problems.0.extend(problems_of(taken)?);
        }
        for envelope in message.documents.iter().take(DOCUMENTS_MAX) {
            problems.of(self.take_document(envelope))?;
        }
        for envelope in message.standing.iter().take(STANDING_MAX) {
            problems.of(self.take_standing(envelope))?;
        }
        let mut outcomes = Vec::new();
        for envelope in message.orders.iter().take(ORDERS_MAX) {
            outcomes.push(self.take_order(envelope)?);
        }
        if message.orders.len() > ORDERS_MAX {
            problems.0.push(format!("orders must be at most {ORDERS_MAX}, are {}", message.orders.len()));
        }
        let order_high = self.store.view().state()?.map_or(0, |state| state.order_high);
        Ok(local::Delivered { outcomes, order_high, problems: problems.0 })
    }

    fn take_charter(&mut self, envelope: &[u8]) -> Result<(), ExecutorError> {
        let Some(newer) = self.trust.offer_charter(envelope)? else { return Ok(()) };
        self.keep(Some(newer))?;
        self.apply_documents();
        Ok(())
    }

    fn take_catalogue(&mut self, envelope: &[u8]) -> Result<(), ExecutorError> {
        let Some(charter) = self.trust.charter() else { return Err(no_charter("catalogue")) };
        let newer = self.trust.offer_catalogue(envelope, charter)?;
        self.keep(newer).map_err(ExecutorError::from)
    }

    fn take_policy(&mut self, envelope: &[u8]) -> Result<(), ExecutorError> {
        let (Some(charter), Some(identity)) = (self.trust.charter(), &self.identity) else {
            return Err(no_charter("policy"));
        };
        let newer = self.trust.offer_policy(envelope, charter, identity.tenant)?;
        self.keep(newer).map_err(ExecutorError::from)
    }

    fn take_stop(&mut self, envelope: &[u8]) -> Result<(), ExecutorError> {
        let (Some(charter), Some(identity)) = (self.trust.charter(), &self.identity) else {
            return Err(no_charter("stop"));
        };
        let newer = self.trust.offer_stop(envelope, charter, identity)?;
        self.keep(newer).map_err(ExecutorError::from)
    }

    fn keep(&mut self, newer: Option<Newer>) -> Result<(), StoreError> {
        let Some(newer) = newer else { return Ok(()) };
        let floor = self.floor_under(&newer);
        self.store.write(|tx| keep_newer(tx, &newer, floor))?;
        self.trust.take(newer);
        Ok(())
    }

    /// The floor of time that a document sets back: only a charter does, when it takes an order key away.
    pub(super) fn floor_under(&mut self, newer: &Newer) -> Option<Millis> {
        let (older, offered) = (self.trust.charter()?, newer.charter.as_deref()?);
        self.time.withdrawn(older, offered)
    }

    fn take_time(&mut self, token: &[u8]) -> Result<(), ExecutorError> {
        let Some(charter) = self.trust.charter() else { return Err(no_charter("time_token")) };
        self.time
            .accept(token, charter, self.incarnation)
            .map_err(|refused: TimeError| BadField::new("time_token", chain_of(&refused)))?;
        let times = self.time.durable();
        self.store.write(|tx| tx.keep_times(&times)).map_err(ExecutorError::from)
    }
}

/// Keeps a newer document, and with it the floor of time that it sets back.
pub(super) fn keep_newer(tx: &Write<'_>, newer: &Newer, floor: Option<Millis>) -> Result<(), StoreError> {
    tx.keep_document(newer.kind, &newer.document)?;
    floor.map_or(Ok(()), |floor| tx.take_back_floor(floor))
}

fn no_charter(field: &str) -> ExecutorError {
    BadField::new(field, "cannot be judged: no charter is believed here").into()
}

/// What was not believed, for the agent to report.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn of(&mut self, result: Result<(), ExecutorError>) -> Result<(), ExecutorError> {
        self.0.extend(problems_of(result.map(|()| Vec::new()))?);
        Ok(())
    }
}

fn problems_of(result: Result<Vec<String>, ExecutorError>) -> Result<Vec<String>, ExecutorError> {
    match result {
        Ok(problems) => Ok(problems),
        Err(ExecutorError::Refused(bad)) => Ok(vec![bad.to_string()]),
        Err(other) => Err(other),
    }
}
