//! Appliances' calls: read, ask the core, hold the answer back while there is nothing to say.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proto::{
    digest::Digest,
    enrolment::{Enrolment, Renewal},
    identity::CertificateFacts,
    ids::Incarnation,
    pb::{
        EnrollRequest, EnrollResponse, RenewRequest, RenewResponse, SyncRequest, SyncResponse,
        enrollment_server::Enrollment, link_server::Link,
    },
    sync::{Batch, Exchange},
};
use tokio::{sync::Notify, time};
use tonic::{Request, Response, Status};

use super::{
    crowd::{Crowd, Place},
    listener::{Peer, Stop, stopped},
    writer::Writer,
};
use crate::{
    clock,
    core::{Ahead, Answer, Core, chain},
    store::Store,
};

/// How soon an appliance should call again after a held call that had nothing to say.
const COME_AGAIN_MS: u32 = 0;
/// Bytes of a batch that are worth a thread.
const WORTH: usize = 16 << 10;

/// The services of the appliances' listener.
#[derive(Clone)]
pub struct Appliances {
    writer: Writer,
    /// The database, for reading: whose key a batch is to be signed by.
    reader: Arc<Mutex<Store>>,
    stopping: Stop,
    /// Whose batch waits for the writer: one of each key, so that one box cannot fill the queue.
    turns: Crowd<Digest>,
}

impl Appliances {
    /// Serves until `stopping` turns true: then held calls are answered at once.
    #[must_use]
    pub fn new(writer: Writer, reader: Store, stopping: Stop) -> Self {
        Self { writer, reader: Arc::new(Mutex::new(reader)), stopping, turns: Crowd::default() }
    }

    /// Takes an exchange in, and a bell for what comes after it. Runs to its end, whoever hangs up: until then it is its turn.
    async fn take(
        self,
        spki: Digest,
        turn: Place<Digest>,
        exchange: Arc<Exchange>,
        batch: Option<Batch>,
    ) -> Result<(Answer, Arc<Notify>), Status> {
        let batch = match batch {
            Some(batch) => Some(self.read(exchange.incarnation, batch).await?),
            None => None,
        };
        let wakes = self.writer.wakes.clone();
        let take = move |core: &mut Core, now| {
            let _turn = turn;
            let answer = core.sync_read(spki, &exchange, batch, now)?;
            // Taken inside the transaction: whatever is committed after it rings.
            let bell = wakes.bell(answer.appliance);
            Ok((answer, bell))
        };
        self.writer.run(take).await
    }

    /// Reads a batch while the writer is busy with others. What is small, or signed by nobody known, he opens himself.
    async fn read(&self, incarnation: Incarnation, batch: Batch) -> Result<Ahead, Status> {
        if batch.records.len() < WORTH {
            return Ok(Ahead::of(batch, incarnation, None));
        }
        let reader = self.reader.clone();
        let read = move || {
            let signer = reader.lock().unwrap_or_else(PoisonError::into_inner).incarnation(incarnation);
            let key = signer.ok().flatten().map(|signer| signer.evidence_key);
            Ahead::of(batch, incarnation, key.as_ref())
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| broke())
    }
}

fn broke() -> Status {
    Status::internal("the exchange broke; the server's log says at what")
}

#[tonic::async_trait]
impl Enrollment for Appliances {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        let request = Enrolment::try_from(request.into_inner())?;
        self.writer.run(move |core, now| core.enroll(&request, now)).await.map(Response::new)
    }
}

#[tonic::async_trait]
impl Link for Appliances {
    async fn sync(&self, request: Request<SyncRequest>) -> Result<Response<SyncResponse>, Status> {
        let spki = peer_key(&request)?;
        let turn = self.turns.enter(spki, 1);
        let turn =
            turn.ok_or_else(|| Status::unavailable("your last call is still being stored; call again"))?;
        let mut asked = Exchange::try_from(request.into_inner())?;
        // What is held open while there is nothing to say does not hold the batch.
        let batch = asked.batch.take();
        let exchange = Arc::new(asked);
        let started = clock::stopwatch();
        // Not in the caller, who may hang up and call again.
        let taken = tokio::spawn(self.clone().take(spki, turn, exchange.clone(), batch));
        let taken = taken.await.map_err(|_| broke()).flatten();
        let outcome = match &taken {
            Ok((answer, _)) if answer.idle => "idle",
            Ok(_) => "answered",
            Err(_) => "refused",
        };
        self.writer.metrics.exchanged(outcome, started.elapsed());
        let (answer, bell) = taken?;
        if !answer.idle || exchange.hold_ms == 0 {
            return Ok(timed(answer).await);
        }
        let mut stopping = self.stopping.clone();
        let mut patience = pin!(patience(exchange.hold_ms));
        loop {
            let over = tokio::select! {
                () = bell.notified() => false,
                () = &mut patience => true,
                () = stopped(&mut stopping) => true,
            };
            let asked = exchange.clone();
            let mut answer = self.writer.run(move |core, now| core.answer(spki, &asked, now)).await?;
            // The place of a call that hangs in a broken connection is the newer one's.
            let last = over || !self.writer.wakes.is_newest(answer.appliance, &bell);
            if last || !answer.idle {
                answer.response.come_again_ms = COME_AGAIN_MS;
                return Ok(timed(answer).await);
            }
        }
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let certificate = peer_certificate(&request)?;
        let request = Renewal::try_from(request.into_inner())?;
        self.writer.run(move |core, now| core.renew(&certificate, &request, now)).await.map(Response::new)
    }
}

/// With the time, where a signature is still to be fetched for it: off the writer's thread. Without it, a box waits for the
/// next exchange.
async fn timed(mut answer: Answer) -> Response<SyncResponse> {
    if let Some(time) = answer.time.take() {
        match tokio::task::spawn_blocking(move || time.seal()).await {
            Ok(Ok(token)) => answer.response.time_token = token,
            Ok(Err(error)) => tracing::debug!(error = chain(&error), "an exchange goes without the time"),
            Err(error) => tracing::error!(%error, "an exchange goes without the time"),
        }
    }
    Response::new(answer.response)
}

#[expect(clippy::disallowed_methods, reason = "the appliance said how long its call may be held open")]
async fn patience(hold_ms: u32) {
    time::sleep(Duration::from_millis(hold_ms.into())).await;
}

fn peer_certificate<T>(request: &Request<T>) -> Result<Vec<u8>, Status> {
    request
        .extensions()
        .get::<Peer>()
        .and_then(|peer| peer.certificate.as_deref().map(<[u8]>::to_vec))
        .ok_or_else(|| Status::unauthenticated("this call needs an appliance's certificate"))
}

fn peer_key<T>(request: &Request<T>) -> Result<Digest, Status> {
    let certificate = peer_certificate(request)?;
    let facts =
        CertificateFacts::read(&certificate).map_err(|bad| Status::unauthenticated(bad.to_string()))?;
    Ok(facts.spki)
}
