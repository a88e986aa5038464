//! What the control plane is held against: a bare tonic service behind the same TLS, that stores what it gets and answers.
//!
//! The rule: it is as good as this can be made. TLS is the control plane's own (version 1.3, a client's certificate, no
//! tickets), commits are grouped by one writer thread as the control plane's are, signatures are verified on all cores; and
//! it does nothing that a server that answers must not do.

use std::{net::Ipv4Addr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use control_plane::{
    authorities::Authorities, ca::CertificateAuthority, clock, directory::Directory, serve::tls,
};
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use proto::{
    digest::Digest,
    dsse::Envelope,
    evidence::STATEMENT_PAYLOAD_TYPE,
    keys::PublicKey,
    pb::{
        self,
        link_server::{Link, LinkServer},
    },
    sync::{BATCH_MAX, Event, Record, unpack},
};
use rusqlite::{Connection, Transaction, params};
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::{mpsc, oneshot},
};
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status};

use super::{listen, members::evidence_key, say};

/// Batches in a transaction at most, and waiting: as many as the control plane's.
const GROUP_MAX: usize = 256;
const QUEUE_MAX: usize = 4096;

/// What it must know.
#[derive(Serialize, Deserialize)]
pub(in crate::bench) struct Setup {
    /// The control plane's folder: clients expect the same authority.
    pub(in crate::bench) dir: PathBuf,
    /// Its database.
    pub(in crate::bench) database: PathBuf,
    /// Bytes of an answer.
    pub(in crate::bench) answer: usize,
}

/// Serves until standard input ends; says first where.
pub(super) fn run() -> Result<()> {
    let setup: Setup = listen()?.context("nobody said what to serve")?;
    let (queue, batches) = mpsc::channel(QUEUE_MAX);
    let db = open(&setup)?;
    std::thread::spawn(move || write(db, batches));
    let echo = Echo { queue, key: evidence_key().public(), token: vec![b'x'; setup.answer] };
    let tls = server_tls(&setup)?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        say(&listener.local_addr()?)?;
        let ended = tokio::task::spawn_blocking(listen::<()>);
        tokio::select! {
            ended = ended => ended?.map(drop),
            broke = serve(listener, tls, echo) => broke,
        }
    })
}

fn server_tls(setup: &Setup) -> Result<Arc<ServerConfig>> {
    let directory = Directory::new(&setup.dir);
    let text = |path| std::fs::read_to_string(path);
    let authority =
        CertificateAuthority::load(&text(directory.ca_certificate())?, &text(directory.ca_key())?)?;
    let (authorities, now): (_, tls::Now) = (Authorities::one(Arc::new(authority)), Arc::new(clock::now));
    let names = vec![Ipv4Addr::LOCALHOST.to_string()];
    let identity =
        tls::ServerIdentity::new(authorities.clone(), names, now.clone(), Arc::new(clock::random))?;
    Ok(tls::appliances(authorities, identity, now)?)
}

async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, echo: Echo) -> Result<()> {
    let acceptor = TlsAcceptor::from(tls);
    let service = LinkServer::new(echo).max_decoding_message_size(2 * BATCH_MAX);
    loop {
        let (tcp, _) = listener.accept().await?;
        let (acceptor, service) = (acceptor.clone(), service.clone());
        // A connection that breaks is its client's to tell of.
        tokio::spawn(async move { converse(tcp, acceptor, service).await });
    }
}

async fn converse(tcp: TcpStream, acceptor: TlsAcceptor, service: LinkServer<Echo>) -> Result<()> {
    tcp.set_nodelay(true)?;
    let stream = acceptor.accept(tcp).await?;
    ensure!(stream.get_ref().1.peer_certificates().is_some(), "no client certificate");
    let service = TowerToHyperService::new(service);
    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await?;
    Ok(())
}

/// What is to be stored, and whom to tell once it is.
struct Batch {
    records: Vec<Record>,
    stored: oneshot::Sender<()>,
}

struct Echo {
    queue: mpsc::Sender<Batch>,
    key: PublicKey,
    token: Vec<u8>,
}

#[tonic::async_trait]
impl Link for Echo {
    async fn sync(&self, request: Request<pb::SyncRequest>) -> Result<Response<pb::SyncResponse>, Status> {
        let mut answer = pb::SyncResponse { time_token: self.token.clone(), ..Default::default() };
        if let Some(batch) = request.into_inner().batch {
            let records = unpack(&batch.records)?;
            for record in &records {
                if let Record::Evidence(envelope) = record {
                    let verified = Envelope::parse(envelope).and_then(|envelope| {
                        envelope.verify(STATEMENT_PAYLOAD_TYPE, [&self.key], 1).map(drop)
                    });
                    verified.map_err(|error| Status::invalid_argument(error.to_string()))?;
                }
            }
            let (stored, is_stored) = oneshot::channel();
            let broke = |_| Status::unavailable("the writer broke");
            self.queue.send(Batch { records, stored }).await.map_err(|_| broke(()))?;
            is_stored.await.map_err(|_| broke(()))?;
            let digest = Digest::of(&batch.records).to_vec();
            answer.ack = Some(pb::Ack { stream: batch.stream, number: batch.number, digest });
        }
        Ok(Response::new(answer))
    }

    async fn renew(&self, _: Request<pb::RenewRequest>) -> Result<Response<pb::RenewResponse>, Status> {
        Err(Status::unimplemented("this server only answers"))
    }
}

/// As durable as the control plane's.
fn open(setup: &Setup) -> Result<Connection> {
    let db = Connection::open(&setup.database)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute_batch(
        "CREATE TABLE inbox (id TEXT PRIMARY KEY, kind TEXT, watch TEXT, at_ms INTEGER, readings TEXT, note TEXT) WITHOUT ROWID;
         CREATE TABLE evidence (sha256 BLOB PRIMARY KEY, envelope BLOB) WITHOUT ROWID;",
    )?;
    Ok(db)
}

/// One commit for as many batches as are waiting.
fn write(mut db: Connection, mut batches: mpsc::Receiver<Batch>) -> Result<()> {
    let mut waiting = Vec::new();
    while batches.blocking_recv_many(&mut waiting, GROUP_MAX) > 0 {
        let tx = db.transaction()?;
        waiting.iter().flat_map(|batch| &batch.records).try_for_each(|record| keep(&tx, record))?;
        tx.commit()?;
        for batch in waiting.drain(..) {
            // Nobody waits any more: the caller hung up.
            let _ = batch.stored.send(());
        }
    }
    Ok(())
}

fn keep(tx: &Transaction<'_>, record: &Record) -> Result<()> {
    match record {
        Record::Event(Event { id, kind, watch, at, readings, note, .. }) => {
            let readings = serde_json::to_string(readings)?;
            tx.prepare_cached("INSERT INTO inbox VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                id.to_string(),
                kind,
                watch.as_str(),
                at.0,
                readings,
                note
            ])?;
        }
        Record::Evidence(envelope) => {
            tx.prepare_cached("INSERT INTO evidence VALUES (?1, ?2)")?
                .execute(params![Digest::of(envelope).0, envelope])?;
        }
        Record::Attachment(_) | Record::Gap(_) | Record::Lines(_) => {}
    }
    Ok(())
}
