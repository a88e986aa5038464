//! The executor, asked in types: each question has its own kind of answer, and a refusal is an error.

use std::path::PathBuf;

use proto::{
    evidence::Readings,
    ids::WatchId,
    local::{self, request::Call, response::Answer},
};

use crate::{
    ipc::{Connection, IpcError},
    world::Executor,
};

/// Why a question to the executor was not answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It could not be asked.
    #[error("cannot ask the executor to {question}")]
    Ipc {
        /// To do what.
        question: &'static str,
        /// Why.
        #[source]
        source: IpcError,
    },
    /// It said no, and changed nothing.
    #[error("the executor refused to {question}: {field} {problem}")]
    Refused {
        /// To do what.
        question: &'static str,
        /// What was wrong with the question.
        field: String,
        /// And how.
        problem: String,
    },
    /// It answered another question.
    #[error("the executor gave no answer to {question}; agent and executor must be of one version")]
    OtherAnswer {
        /// To do what.
        question: &'static str,
    },
}

/// How it stands.
pub fn describe(executor: &mut dyn Executor) -> Result<local::Description, AskError> {
    ask(executor, "describe itself", Call::Describe(local::Describe {}), |answer| match answer {
        Answer::Description(description) => Some(description),
        _ => None,
    })
}

/// The statement that binds both keys and the incarnation: a DSSE envelope.
pub fn prove_keys(
    executor: &mut dyn Executor,
    tls_spki: Vec<u8>,
    challenge: Vec<u8>,
) -> Result<Vec<u8>, AskError> {
    let call = Call::ProveKeys(local::ProveKeys { tls_spki, challenge });
    ask(executor, "prove its keys", call, |answer| match answer {
        Answer::KeyProof(proof) => Some(proof.envelope),
        _ => None,
    })
}

/// Tells it who it is.
pub fn adopt(executor: &mut dyn Executor, adopt: local::Adopt) -> Result<local::Adopted, AskError> {
    ask(executor, "adopt its identity", Call::Adopt(adopt), |answer| match answer {
        Answer::Adopted(adopted) => Some(adopted),
        _ => None,
    })
}

/// The watch list that an approver signed; empty: the configuration's own is in force.
pub fn watch_list(executor: &mut dyn Executor) -> Result<Vec<u8>, AskError> {
    ask(executor, "tell the watch list", Call::WatchList(local::WatchList {}), |answer| match answer {
        Answer::WatchList(list) => Some(list.content),
        _ => None,
    })
}

/// Hands on what the control plane sent.
pub fn deliver(executor: &mut dyn Executor, deliver: local::Deliver) -> Result<local::Delivered, AskError> {
    ask(executor, "take a delivery", Call::Deliver(deliver), |answer| match answer {
        Answer::Delivered(delivered) => Some(delivered),
        _ => None,
    })
}

/// Evidence from an index on.
pub fn collect(executor: &mut dyn Executor, collect: local::Collect) -> Result<Vec<local::Item>, AskError> {
    ask(executor, "hand out evidence", Call::Collect(collect), |answer| match answer {
        Answer::Collected(collected) => Some(collected.items),
        _ => None,
    })
}

/// A reading of one entry of the watch list, and what people want to know beside it.
pub fn measure(executor: &mut dyn Executor, watch: &WatchId) -> Result<(Readings, String), AskError> {
    let call = Call::Measure(local::Measure { watch: watch.to_string() });
    ask(executor, "measure", call, |answer| match answer {
        Answer::Measured(measured) => {
            Some((measured.readings.into_iter().map(|r| (r.name, r.value)).collect(), measured.note))
        }
        _ => None,
    })
}

/// What a runbook would do on an entry now.
pub fn foresee(
    executor: &mut dyn Executor,
    runbook: String,
    watch: &WatchId,
) -> Result<local::Foreseen, AskError> {
    let call = Call::Foresee(local::Foresee { runbook, watch: watch.to_string() });
    ask(executor, "foresee", call, |answer| match answer {
        Answer::Foreseen(foreseen) => Some(foreseen),
        _ => None,
    })
}

fn ask<T>(
    executor: &mut dyn Executor,
    question: &'static str,
    call: Call,
    read: impl FnOnce(Answer) -> Option<T>,
) -> Result<T, AskError> {
    let request = local::Request { call: Some(call) };
    let response = executor.call(request).map_err(|source| AskError::Ipc { question, source })?;
    match response.answer {
        Some(Answer::Failure(local::Failure { field, problem })) => {
            Err(AskError::Refused { question, field, problem })
        }
        answer => answer.and_then(read).ok_or(AskError::OtherAnswer { question }),
    }
}

/// A connection that is opened when first needed, and anew after it broke: executors restart.
///
/// A call that failed is not repeated: nobody knows what became of it, and whoever asked will ask again.
#[derive(Debug)]
pub struct Reconnecting {
    socket: PathBuf,
    connection: Option<Connection>,
}

impl Reconnecting {
    /// To the executor at `socket`; nothing is opened yet.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, connection: None }
    }
}

impl Executor for Reconnecting {
    fn call(&mut self, request: local::Request) -> Result<local::Response, IpcError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.socket)?,
        };
        let response = connection.call(request)?;
        self.connection = Some(connection);
        Ok(response)
    }
}
