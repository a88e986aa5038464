//! Evidence taken in per second as the server does it, against verification and one durable append; and how long what came
//! in waits for the checkpoint that covers it.

use std::{
    fs::{self, File},
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use appliance::agent::credentials::{Folder, TlsKey};
use control_plane::{
    config::Config,
    core::Core,
    directory::Directory,
    metrics::Metrics,
    serve::{
        link::Appliances,
        listener::{Address, Admission, Peer},
        open::open_core,
        writer::Writer,
    },
    store::Store,
};
use proto::{
    digest::Digest,
    evidence::Identity,
    identity::{CertificateFacts, KeyProof, KeyProtection},
    ids::{Incarnation, StreamId},
    keys::{PublicKey, SecretKey},
    log::Checkpoint,
    pb::{self, SyncRequest, link_server::Link as _},
    sync::{Record, StreamState, pack},
};
use tokio::{runtime::Runtime, sync::watch};
use tonic::Request;

use super::{
    Effort,
    evidence::Signed,
    records::Executor,
    report::{Row, in_turn, rate},
    stage::{ORGANIZATION, TENANT},
};
use crate::{clock, rig::Provider};

/// Records in a batch: as many as an executor asks proofs for at once.
const BATCH: usize = 64;
/// Batches that each box sends in a turn, one after the other.
const EACH: usize = 4;
/// Batches in a transaction of theirs: of twenty boxes half are being stored while the others send.
const GROUP: usize = 10;
/// An index row and a tree place for each record, a vault object for each transaction; theirs has none of them.
const GOAL: f64 = 0.5;
/// Most milliseconds that a record may have come in without a published checkpoint that covers it.
const BEHIND: f64 = 2_000.0;

pub(super) fn run(work: &Path, effort: &Effort) -> Result<Vec<Row>> {
    let provider = Provider::init(&work.join("control-plane"), ORGANIZATION, None)?;
    let mut core = core(&provider.dir)?;
    let mut boxes = enrol(&mut core, work, effort.senders)?;
    let runtime = Runtime::new()?;
    let server = Server::start(core, &provider.dir)?;
    let mut file = File::create(work.join("appended"))?;
    let mut behind = Duration::ZERO;
    let figures = in_turn(
        effort.rounds,
        || {
            let batches: Vec<Batches> = boxes.iter_mut().map(Sender::batches).collect::<Result<_>>()?;
            let sent = batches.iter().map(|one| one.requests.clone()).collect();
            let (figure, longest) =
                rate(batches.len() * EACH * BATCH, || runtime.block_on(server.take(sent)))?;
            behind = behind.max(longest);
            Ok((figure, batches))
        },
        |batches| {
            let all = (0..EACH).flat_map(|n| batches.iter().map(move |one| (&one.signed[n], &one.key)));
            let pairs: Vec<_> = all.collect();
            let (figure, ()) = rate(pairs.len() * BATCH, || {
                for group in pairs.chunks(GROUP) {
                    for ((signed, bytes), key) in group {
                        signed.iter().try_for_each(|signed| signed.verify(key))?;
                        file.write_all(bytes)?;
                    }
                    file.sync_data()?;
                }
                Ok(())
            })?;
            Ok(figure)
        },
    )?;
    let sent = effort.rounds * boxes.len() * EACH * BATCH;
    let kept = runtime.block_on(server.kept())?;
    ensure!(kept == sent as u64, "{sent} records were sent, {kept} were kept");
    let what = format!(
        "evidence taken in from {} boxes: Link.Sync without its TLS, batches of {BATCH} (ed25519: verified, chained, logged, checkpoint \
         signed, in the directory vault and the database on disk)",
        boxes.len()
    );
    let against = format!(
        "bare verification of the same signatures on one core, and one fsync'd append of the same bytes for every {GROUP} batches"
    );
    let waits = "the longest that a batch waited, from handed over until a checkpoint that covers it was in the vault; it is \
                 acknowledged no sooner";
    let most = "what the checkpoint may be behind";
    let figures = Row::of_rates(what, "records/s", &against, figures, GOAL);
    let behind = behind.as_secs_f64() * 1e3;
    Ok(vec![figures, Row::of_times(waits.to_owned(), "ms", most, (behind, BEHIND), 1.0)])
}

/// What the boxes call, and where what it publishes lies.
struct Server {
    service: Appliances,
    writer: Writer,
    checkpoints: PathBuf,
    _running: watch::Sender<bool>,
}

impl Server {
    fn start(core: Core, dir: &Path) -> Result<Self> {
        let directory = Directory::new(dir);
        let tenant = core.tenant(TENANT)?.id;
        let reader = Store::open_reader(&directory.database())?;
        let (writer, _) = Writer::spawn(core, clock::now)?;
        let (_running, stopped) = watch::channel(false);
        let service = Appliances::new(writer.clone(), reader, stopped);
        let checkpoints = directory.vault().join(tenant.to_string()).join("checkpoints");
        Ok(Self { service, writer, checkpoints, _running })
    }

    /// All boxes at once, each one batch after the other. Gives the longest that one of them waited.
    async fn take(&self, boxes: Vec<Vec<(Vec<u8>, SyncRequest)>>) -> Result<Duration> {
        let tasks: Vec<_> = boxes
            .into_iter()
            .map(|requests| {
                let (service, checkpoints) = (self.service.clone(), self.checkpoints.clone());
                tokio::spawn(async move {
                    let mut longest = Duration::ZERO;
                    for (certificate, message) in requests {
                        longest = longest.max(send(&service, certificate, message, &checkpoints).await?);
                    }
                    anyhow::Ok(longest)
                })
            })
            .collect();
        let mut longest = Duration::ZERO;
        for task in tasks {
            longest = longest.max(task.await??);
        }
        Ok(longest)
    }

    /// Records of boxes in the log.
    async fn kept(&self) -> Result<u64> {
        let size = |core: &mut Core, _| {
            let (entries, size) = core.evidence(TENANT, 0, 1000)?;
            // Acts come first: boxes are claimed before they send anything.
            Ok(size - entries.iter().filter(|entry| entry.appliance.is_none()).count() as u64)
        };
        self.writer.run(size).await.map_err(|status| anyhow::anyhow!("{status}"))
    }
}

/// One batch; gives how long it took until a checkpoint that covers it was published.
async fn send(
    service: &Appliances,
    certificate: Vec<u8>,
    message: SyncRequest,
    checkpoints: &Path,
) -> Result<Duration> {
    let address = Address::Network(SocketAddr::from(([127, 0, 0, 1], 1)));
    let mut request = Request::new(message);
    request.extensions_mut().insert(Peer {
        certificate: Some(certificate),
        address,
        admission: Admission::new(false),
    });
    let start = clock::instant();
    let response = service.sync(request).await?.into_inner();
    ensure!(response.ack.is_some(), "not acknowledged: {}", response.quarantine);
    let note = std::str::from_utf8(&response.checkpoint)?;
    let text = note.split_once("\n\n").context("a checkpoint is a note")?.0;
    let size = Checkpoint::parse(&format!("{text}\n"))?.size;
    let published = |name: fs::DirEntry| name.file_name().to_str()?.parse::<u64>().ok();
    let newest = fs::read_dir(checkpoints)?.filter_map(|entry| published(entry.ok()?)).max();
    ensure!(
        newest.is_some_and(|newest| newest >= size),
        "acknowledged with {size}, published up to {newest:?}"
    );
    Ok(clock::since(start))
}

/// The core on the files that `init` made.
pub(super) fn core(dir: &Path) -> Result<Core> {
    let directory = Directory::new(dir);
    let config = Config::load(&directory.config())?;
    Ok(open_core(&directory, &config, &Metrics::default())?.core)
}

/// A box, and how far its outbox is.
struct Sender {
    certificate: Vec<u8>,
    executor: Executor,
    state: StreamState,
    stream: StreamId,
}

/// What a box sends in a turn, and the same for the bare loop.
struct Batches {
    requests: Vec<(Vec<u8>, SyncRequest)>,
    signed: Vec<(Vec<Signed>, Vec<u8>)>,
    key: PublicKey,
}

impl Sender {
    fn batches(&mut self) -> Result<Batches> {
        let (mut requests, mut signed) = (Vec::new(), Vec::new());
        for _ in 0..EACH {
            let records = self.executor.executions(BATCH)?;
            let all: Result<Vec<Signed>> =
                records.iter().map(|e| Signed::of(e, &self.executor.key)).collect();
            signed.push((all?, records.concat()));
            requests.push((self.certificate.clone(), self.request(records)));
        }
        Ok(Batches { requests, signed, key: self.executor.key.public() })
    }

    /// The next exchange of a box that knows all documents and asks for no proofs.
    fn request(&mut self, records: Vec<Vec<u8>>) -> SyncRequest {
        let records = pack(records.into_iter().map(Record::Evidence));
        let before = self.state;
        self.state = StreamState { number: before.number + 1, digest: Digest::of(&records) };
        SyncRequest {
            batch: Some(pb::Batch {
                stream: self.stream.0.to_vec(),
                number: self.state.number,
                previous: before.digest.to_vec(),
                records,
            }),
            incarnation: self.executor.incarnation.0.to_vec(),
            nonce: vec![9; 16],
            charter_serial: 1,
            catalogue_version: 1,
            policy_serial: 1,
            log: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..SyncRequest::default()
        }
    }
}

/// Appliances with keys of ours, enrolled.
fn enrol(core: &mut Core, work: &Path, count: usize) -> Result<Vec<Sender>> {
    let now = clock::now();
    core.run(now, |core| core.create_tenant(TENANT, now))?;
    core.run(now, |core| core.create_site(TENANT, "box", now))?;
    (0..count)
        .map(|number| enrol_one(core, &work.join(format!("agent-{number}")), u8::try_from(number)?))
        .collect()
}

fn enrol_one(core: &mut Core, folder: &Path, number: u8) -> Result<Sender> {
    let now = clock::now();
    fs::create_dir(folder)?;
    let tls = TlsKey::load_or_make(&Folder::at(folder.to_owned()))?;
    let hour = Duration::from_secs(3600);
    let token = core.run(now, |core| core.issue_enrolment_token(TENANT, "box", hour, now))?.secret;
    let (key, incarnation) = (SecretKey::ed25519([100 + number; 32]), Incarnation([number; 16]));
    let proof = KeyProof {
        incarnation,
        evidence_key: key.public(),
        protection: KeyProtection::File,
        tls_spki: tls.spki(),
        challenge: Digest::of(token.as_bytes()),
    };
    let request = pb::EnrollRequest {
        token,
        csr: tls.request()?,
        key_proof: proof.seal(&key),
        hardware: String::new(),
    };
    let welcome = core.run(now, |core| core.enroll(&request.try_into()?, now))?;
    let certificate = welcome.certificate;
    let name = CertificateFacts::read(&certificate)?.spiffe;
    let identity =
        Identity { organization: name.trust_domain, tenant: name.tenant, appliance: name.appliance };
    let executor = Executor::new(key, identity, incarnation);
    Ok(Sender { certificate, executor, state: StreamState::default(), stream: StreamId([number; 16]) })
}
