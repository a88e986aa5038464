//! Asks an outside witness to cosign every log that has grown: beside the writer, over and over until it has.
//!
//! The rule: evidence never waits for a witness. What is asked is read from the database as others see it; what is answered
//! is kept by the writer once it is verified. A witness that cannot be reached is left alone for a while that grows, one log
//! that it refuses too; no two servers that begin together ask together for long.

pub(super) mod client;

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::StatusCode;
use proto::{
    digest::Digest,
    ids::TenantId,
    log::{Note, Signature, WitnessKey},
    time::Millis,
};
use tokio::task::JoinSet;
use tonic::Status;

use self::client::{Client, Reply};
use super::{
    listener::Stop,
    operators::About,
    pace::{DOWN, Pace, REFUSED},
    rounds::Rounds,
    writer::Writer,
};
use crate::{
    config::Witness,
    core::{
        CoreError, chain,
        witnesses::{Submission, submission},
    },
    store::{Document, Store},
};

const LOOK_EVERY: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Logs that one witness is asked about at once.
const AT_ONCE: usize = 8;
/// How often one submission follows what the witness says of its newest size.
const TRIES: usize = 3;

/// One witness, and all that is needed to ask it.
#[derive(Clone)]
struct Asking {
    writer: Writer,
    about: Arc<About>,
    client: Client,
}

/// What came of asking about one log.
#[derive(Debug)]
enum Outcome {
    /// Cosigned, or nothing is to be cosigned any more.
    Done,
    /// Not now, and it is about this log.
    Refused(String),
    /// It has seen another log; people are told.
    Contradicted(String),
    /// Not now, whatever the log.
    Down(String),
}

/// Submits to `witness` until `stopped`.
pub async fn submit(writer: Writer, about: Arc<About>, witness: Witness, stopped: Stop) {
    let client = Client::new(&witness.url, ANSWER_WITHIN);
    let asking = Asking { writer, about, client };
    let mut whole = Pace::default();
    let mut logs: HashMap<TenantId, Pace> = HashMap::new();
    // At first all are looked at: a database that was put back from a backup is to know it before it goes on.
    let mut looks = true;
    let mut rounds = Rounds::every(LOOK_EVERY, stopped);
    while rounds.next().await {
        let now = (asking.about.clock)();
        if whole.waits(now) {
            continue;
        }
        let Some((key, mut due)) = asking.due(&witness.name, looks).await else { continue };
        logs.retain(|tenant, _| due.contains(tenant));
        due.retain(|tenant| !logs.get(tenant).is_some_and(|pace| pace.waits(now)));
        // What is left off is asked again after the next start.
        let Some(round) = rounds.unless_stopped(asking.round(&key, due, looks)).await else { return };
        let mut down = None;
        for (tenant, outcome) in round {
            match outcome {
                Outcome::Done => drop(logs.remove(&tenant)),
                Outcome::Refused(why) | Outcome::Contradicted(why) => {
                    let wait = logs.entry(tenant).or_default().again(REFUSED, now);
                    tracing::warn!(%tenant, witness = witness.name, why, wait_s = wait.as_secs(), "not cosigned");
                }
                Outcome::Down(why) => down = Some(why),
            }
        }
        match down {
            None => (whole, looks) = (Pace::default(), false),
            Some(why) => {
                let wait = whole.again(DOWN, now);
                tracing::warn!(
                    witness = witness.name,
                    why,
                    wait_s = wait.as_secs(),
                    "the witness is not there"
                );
            }
        }
    }
}

impl Asking {
    /// The witness's key in the charter in force, and the logs that it has not cosigned as they are; or all.
    async fn due(&self, name: &str, all: bool) -> Option<(WitnessKey, Vec<TenantId>)> {
        let (about, name) = (self.about.clone(), name.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            let store = (about.reader)().map_err(|e| chain(&e))?;
            let envelope = store.newest_document(Document::Charter).map_err(|e| chain(&e))?;
            let charter = about.trust.open(&envelope.unwrap_or_default()).map_err(|e| chain(&e))?;
            let key = charter.value().witness_keys().into_iter().find(|key| key.name() == name);
            // Taken out of the charter: it has no say any more.
            let Some(key) = key else { return Ok(None) };
            let due = if all { store.published() } else { store.not_cosigned_by(&key) };
            let due = due.map_err(|e| chain(&e))?;
            Ok::<_, String>(Some((key, due)))
        });
        match found.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::error!(error, "cannot look up what a witness is to cosign");
                None
            }
            Err(_) => None,
        }
    }

    /// Asks about each of these logs, a few at a time; once it is down the others are not asked about.
    async fn round(&self, witness: &WitnessKey, due: Vec<TenantId>, looks: bool) -> Vec<(TenantId, Outcome)> {
        let mut waiting = due.into_iter();
        let mut running: JoinSet<(TenantId, Outcome)> = JoinSet::new();
        let mut all = Vec::new();
        loop {
            let is_down = all.iter().any(|(_, outcome)| matches!(outcome, Outcome::Down(_)));
            while running.len() < AT_ONCE && !is_down {
                let Some(tenant) = waiting.next() else { break };
                let (asking, witness) = (self.clone(), witness.clone());
                running.spawn(async move {
                    let outcome = asking.one(&witness, tenant, looks).await;
                    if let Outcome::Refused(why) | Outcome::Down(why) = &outcome {
                        let why = why.clone();
                        let noted = asking
                            .writer
                            .run(move |core, now| core.witness_troubled(tenant, &witness, &why, now));
                        // It is in the program's log too.
                        let _ = noted.await;
                    }
                    (tenant, outcome)
                });
            }
            match running.join_next().await {
                None => return all,
                Some(Ok(one)) => all.push(one),
                Some(Err(_)) => {}
            }
        }
    }

    async fn one(&self, witness: &WitnessKey, tenant: TenantId, looks: bool) -> Outcome {
        if looks && let Err(outcome) = self.look(witness, tenant).await {
            return outcome;
        }
        let mut old = None;
        for _ in 0..TRIES {
            let asked = match self.read(witness.clone(), tenant, old).await {
                Ok(Some(asked)) => asked,
                Ok(None) => return self.nothing(witness, tenant).await,
                Err(error) => return Outcome::Refused(error),
            };
            match self.client.add(asked.request.to_string()).await {
                Reply::Cosigned(lines) => return self.keep(witness, tenant, &asked, &lines).await,
                Reply::Conflict(size) if size <= asked.size && size != asked.request.old => old = Some(size),
                Reply::Conflict(size) if size > asked.size => {
                    let says = format!("it has cosigned {size} entries, here are {}", asked.size);
                    return self.contradicted(witness, tenant, &asked, says).await;
                }
                // tlog-witness v1.0.0 says so of another tree of that size; later texts say 422.
                Reply::Conflict(size) if size == asked.size => {
                    let says = format!("it has cosigned another log of {size} entries");
                    return self.contradicted(witness, tenant, &asked, says).await;
                }
                Reply::Conflict(size) => {
                    return Outcome::Refused(format!("it refuses {size} as the size that it says it has"));
                }
                Reply::Refused(StatusCode::UNPROCESSABLE_ENTITY, says) => {
                    return self.contradicted(witness, tenant, &asked, says).await;
                }
                Reply::Refused(StatusCode::NOT_FOUND, says) => {
                    return Outcome::Refused(format!("it does not know this log: {says}"));
                }
                Reply::Refused(status, says) => {
                    return Outcome::Refused(format!("it answered {}: {says}", status.as_u16()));
                }
                Reply::Later(why) => return Outcome::Down(why),
            }
        }
        Outcome::Refused("its newest size changes faster than it can be followed".to_owned())
    }

    async fn nothing(&self, witness: &WitnessKey, tenant: TenantId) -> Outcome {
        let witness = witness.clone();
        // If it is not noted now, it is at the next occasion.
        let _ = self.writer.run(move |core, now| core.witness_answers(tenant, &witness, now)).await;
        Outcome::Done
    }

    /// What to ask, read from one state of the database.
    async fn read(
        &self,
        witness: WitnessKey,
        tenant: TenantId,
        old: Option<u64>,
    ) -> Result<Option<Submission>, String> {
        let about = self.about.clone();
        let read = tokio::task::spawn_blocking(move || {
            let store: Store = (about.reader)()?;
            store.snapshot()?;
            let kept = store.cosignature(tenant, &witness)?.unwrap_or_default().size;
            // Cosigned already, unless the witness says that it is that and the answer was lost.
            let asked = submission(&store, tenant, old.unwrap_or(kept))?;
            Ok(asked.filter(|asked| old.is_some() || asked.size > kept))
        });
        let read: Result<Result<_, CoreError>, _> = read.await;
        read.map_err(|_| "the log could not be read".to_owned())?.map_err(|e| chain(&e))
    }

    /// Takes what the witness has: what an answer that was lost said, or what another database has signed.
    async fn look(&self, witness: &WitnessKey, tenant: TenantId) -> Result<(), Outcome> {
        let Some(hash) = self.hash(tenant).await else { return Ok(()) };
        let Some(note) = self.client.newest(&hash).await.map_err(Outcome::Down)? else { return Ok(()) };
        let witness = witness.clone();
        let told = self.writer.run(move |core, now| core.witness_shows(tenant, &witness, &note, now));
        told.await.map_err(|status| Outcome::Refused(status.message().to_owned()))
    }

    /// Under which name a witness has a log.
    async fn hash(&self, tenant: TenantId) -> Option<String> {
        let about = self.about.clone();
        let read = move || (about.reader)()?.log_head(tenant);
        let head = tokio::task::spawn_blocking(read).await.ok()?.ok()?;
        Some(Digest::of(head.origin.as_bytes()).to_string())
    }

    /// Keeps the witness's own line of its answer; those of strangers are not asked for.
    async fn keep(&self, witness: &WitnessKey, tenant: TenantId, asked: &Submission, lines: &str) -> Outcome {
        let Some(note) = cosigned(&asked.request.checkpoint, lines, witness) else {
            return Outcome::Refused("its answer has no signature line of its own".to_owned());
        };
        let witness = witness.clone();
        let kept =
            self.writer.run(move |core, now| core.keep_cosigned(tenant, &witness, note.as_bytes(), now));
        match kept.await {
            Ok(()) => Outcome::Done,
            Err(status) => Outcome::Refused(status.message().to_owned()),
        }
    }

    /// Asks for what it has, and tells people.
    async fn contradicted(
        &self,
        witness: &WitnessKey,
        tenant: TenantId,
        asked: &Submission,
        says: String,
    ) -> Outcome {
        let hash = Digest::of(asked.request.origin().as_bytes()).to_string();
        // What cannot be had is not needed to tell people.
        let shown = self.client.newest(&hash).await.unwrap_or_default();
        let (witness, told) = (witness.clone(), says.clone());
        let kept: Result<(), Status> = self
            .writer
            .run(move |core, now: Millis| {
                core.witness_contradicts(tenant, &witness, &told, shown.as_deref(), now)
            })
            .await;
        match kept {
            Ok(()) => Outcome::Contradicted(says),
            Err(status) => Outcome::Refused(format!("{says}; {}", status.message())),
        }
    }
}

/// The checkpoint with this witness's line out of `lines`.
fn cosigned(checkpoint: &str, lines: &str, witness: &WitnessKey) -> Option<String> {
    let with = format!("{checkpoint}{lines}");
    let note = Note::parse(with.as_bytes()).ok()?;
    let its = |line: &&Signature| line.name == witness.name() && line.id == witness.id();
    let line = note.signatures().iter().rev().find(its)?;
    Some(format!("{checkpoint}{line}\n"))
}
