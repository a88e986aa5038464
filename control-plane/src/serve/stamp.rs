//! Asks a timestamp authority (RFC 3161) about each log's newest checkpoint, once a day: beside the writer.
//!
//! The rule: evidence never waits for it, and nothing it answers counts unverified, under the certificates that the settings
//! name. An authority that cannot be reached is left alone for a while that grows, one log that it refuses too.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use proto::ids::TenantId;
use tokio::time;

use super::{
    listener::Stop,
    operators::About,
    pace::{DOWN, Pace, REFUSED},
    rounds::Rounds,
    submit::client::{Http, http},
    writer::Writer,
};
use crate::{
    clock,
    core::{
        Core, CoreError, chain,
        timestamps::{STAMP_EVERY, to_stamp},
    },
    store::Store,
    timestamp::{Authority, Token, request},
};

const LOOK_EVERY: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// The most bytes of an answer: a token with all certificates.
const ANSWER_MAX: usize = 64 * 1024;

/// The authority, and all that is needed to ask it.
#[derive(Clone)]
struct Asking {
    writer: Writer,
    about: Arc<About>,
    http: Http,
    url: Uri,
    authority: Arc<Authority>,
}

/// Why there is no timestamp now.
#[derive(Debug)]
enum Failed {
    /// It is about this log.
    Refused(String),
    /// It is not there.
    Down(String),
}

/// Has logs stamped by the authority at `url` until `stopped`.
pub async fn stamp(writer: Writer, about: Arc<About>, url: Uri, authority: Authority, stopped: Stop) {
    let asking = Asking { writer, about, http: http(), url, authority: Arc::new(authority) };
    let mut whole = Pace::default();
    let mut logs: HashMap<TenantId, Pace> = HashMap::new();
    let mut rounds = Rounds::every(LOOK_EVERY, stopped);
    while rounds.next().await {
        let now = (asking.about.clock)();
        if whole.waits(now) {
            continue;
        }
        let due = asking.due().await;
        logs.retain(|tenant, _| due.contains(tenant));
        for tenant in due {
            if logs.get(&tenant).is_some_and(|pace| pace.waits(now)) {
                continue;
            }
            let Some(done) = rounds.unless_stopped(asking.one(tenant)).await else { return };
            match done {
                Ok(()) => {
                    logs.remove(&tenant);
                    whole = Pace::default();
                }
                Err(Failed::Refused(why)) => {
                    let wait = logs.entry(tenant).or_default().again(REFUSED, now);
                    tracing::warn!(%tenant, why, wait_s = wait.as_secs(), "no timestamp");
                }
                Err(Failed::Down(why)) => {
                    let wait = whole.again(DOWN, now);
                    tracing::warn!(why, wait_s = wait.as_secs(), "the timestamp authority is not there");
                    break;
                }
            }
        }
    }
}

impl Asking {
    async fn due(&self) -> Vec<TenantId> {
        let read = |store: Store, now: proto::time::Millis| store.not_stamped_since(now.minus(STAMP_EVERY));
        let about = self.about.clone();
        let found = tokio::task::spawn_blocking(move || read((about.reader)()?, (about.clock)()));
        match found.await {
            Ok(Ok(due)) => due,
            Ok(Err(error)) => {
                tracing::error!(error = chain(&error), "cannot look up what is to be stamped");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// One log. Why it came to nothing is noted, for people.
    async fn one(&self, tenant: TenantId) -> Result<(), Failed> {
        let done = self.stamped(tenant).await;
        if let Err(Failed::Refused(why) | Failed::Down(why)) = &done {
            let why = why.clone();
            let noted = self.writer.run(move |core, now| core.timestamp_troubled(tenant, &why, now));
            // It is in the program's log too.
            let _ = noted.await;
        }
        done
    }

    async fn stamped(&self, tenant: TenantId) -> Result<(), Failed> {
        let about = self.about.clone();
        let read = tokio::task::spawn_blocking(move || {
            let store: Store = (about.reader)()?;
            store.snapshot()?;
            to_stamp(&store, tenant)
        });
        let read: Result<Result<_, CoreError>, _> = read.await;
        let note = read
            .map_err(|_| Failed::Refused("the log could not be read".to_owned()))?
            .map_err(|error| Failed::Refused(chain(&error)))?;
        let Some(note) = note else { return Ok(()) };
        let mut nonce = [0; 8];
        clock::random(&mut nonce);
        let answer = self.ask(request(&note, nonce)).await.map_err(Failed::Down)?;
        let verified = Token::parse(&answer)
            .and_then(|token| token.answers(&note, nonce).and_then(|()| token.verify(Some(&self.authority))));
        if let Err(bad) = verified {
            return Err(Failed::Refused(format!("what it answered is no timestamp here: {bad}")));
        }
        let authority = self.authority.clone();
        let keep = move |core: &mut Core, now| core.keep_timestamp(tenant, (&note, &answer), &authority, now);
        let kept = self.writer.run(keep);
        kept.await.map_err(|status| Failed::Refused(status.message().to_owned()))
    }

    async fn ask(&self, body: Vec<u8>) -> Result<Vec<u8>, String> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.url)
            .header(header::CONTENT_TYPE, "application/timestamp-query")
            .header(header::USER_AGENT, concat!("orderly-control-plane/", env!("CARGO_PKG_VERSION")))
            .body(Full::from(Bytes::from(body)))
            .map_err(|e| e.to_string())?;
        let answer = async {
            let response = self.http.request(request).await.map_err(|e| chain(&e))?;
            if response.status() != StatusCode::OK {
                return Err(format!("it answered {}", response.status()));
            }
            let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
            Ok(body.map_err(|e| chain(e.as_ref()))?.to_bytes().to_vec())
        };
        time::timeout(ANSWER_WITHIN, answer)
            .await
            .unwrap_or_else(|_| Err("it did not answer in time".to_owned()))
    }
}
