//! What is sent, and a disk that can be filled.

mod model;

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use appliance::agent::{
    authorities::Authorities,
    credentials::Folder,
    link::{Identity, Pins},
};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use proto::{
    dsse::Envelope,
    ids::{Incarnation, IncidentId, OrderId},
    keys::SecretKey,
    local::Description,
    order::{Core, Issuance, Order, Plan},
    pb,
    time::Millis,
};
use runbooks::Catalogue;
use tests::{
    clock,
    rig::{Practice, attack::Intruder, practice::TENANT, wait},
};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(60);

/// Frames that are none, on the executor's socket: hung up on or answered with an error, and the next caller is served.
pub fn frames(socket: &Path) -> Result<()> {
    let truncated = [&100_u32.to_be_bytes()[..], &[1, 2, 3]].concat();
    let malformed = [&4_u32.to_be_bytes()[..], &[0xff; 4]].concat();
    let enormous = [&u32::MAX.to_be_bytes()[..], &[0; 64]].concat();
    for (what, bytes) in [("truncated", truncated), ("malformed", malformed), ("enormous", enormous)] {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(&bytes)?;
        if what == "truncated" {
            stream.shutdown(Shutdown::Write)?;
        }
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
            Err(e) => return Err(e).with_context(|| format!("a {what} frame")),
        }
        ensure!(answer.len() < 1000, "a {what} frame was answered with {} bytes", answer.len());
        Intruder::enter(socket)?.describe().with_context(|| format!("after a {what} frame"))?;
    }
    Ok(())
}

/// Sync requests that are none, by the appliance's own certificate: an error that says why.
pub fn syncs(practice: &Practice) -> Result<()> {
    let described = Intruder::enter(&practice.clinic.socket())?.describe()?;
    let events = || -> Result<i64> {
        Ok(practice.provider.database()?.query_row("SELECT count(*) FROM event", [], |row| row.get(0))?)
    };
    let before = events()?;
    let good = pb::SyncRequest {
        incarnation: described.incarnation.clone(),
        nonce: vec![1; 16],
        order_high: described.order_high,
        version: "test".into(),
        ..Default::default()
    };
    let records = |records: Vec<u8>| {
        let batch = pb::Batch { stream: vec![7; 16], number: 1, previous: vec![0; 32], records };
        framed(&pb::SyncRequest { batch: Some(batch), ..good.clone() }.encode_to_vec())
    };
    let whole = framed(&good.encode_to_vec());
    let mut cut = good.encode_to_vec();
    cut.pop();
    let enormous = [&[0][..], &(17_u32 << 20).to_be_bytes(), &[0; 64]].concat();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (what, body) in [
        ("a frame that ends too early", whole[..whole.len() - 1].to_vec()),
        ("a message that ends too early", framed(&cut)),
        ("a message of 17 MB", enormous),
        ("records that are none", records(vec![0xff; 20])),
        ("records that end too early", records(vec![0x0a, 100, 1])),
        (
            "an incarnation of 3 bytes",
            framed(&pb::SyncRequest { incarnation: vec![1; 3], ..good.clone() }.encode_to_vec()),
        ),
    ] {
        let (status, message) = runtime.block_on(call(practice, body)).context(what)?;
        println!("{what}: status {status}: {message}");
        ensure!(status != "0", "{what} was taken");
        ensure!(!message.is_empty(), "{what} was refused without a word");
    }
    let (status, message) = runtime.block_on(call(practice, whole))?;
    ensure!(status == "0", "a good request is refused: {status}: {message}");
    ensure!(events()? == before, "events came of bad requests");
    Ok(())
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a small message");
    [&[0][..], &length.to_be_bytes(), message].concat()
}

/// Posts a body to Sync as the agent would; gives gRPC status and message.
async fn call(practice: &Practice, body: Vec<u8>) -> Result<(String, String)> {
    let config = fs::read_to_string(practice.clinic.dir.join("config.toml"))?;
    let address =
        config.lines().find_map(|line| line.strip_prefix("address = \"https://")).context("an address")?;
    let address = address.trim_end_matches('"');
    let pins = Pins {
        authorities: Authorities::pinned(practice.clinic.dir.join("ca.pem")),
        identity: Identity::Folder(Folder::at(practice.clinic.dir.join("state/agent"))),
        clock: appliance::clock::system().clock,
    };
    let stream = pins.connect("127.0.0.1", TcpStream::connect(address).await?).await?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::post(format!("https://{address}/orderly.v1.Link/Sync"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(body)))?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let trailers = body.collect().await?.trailers().cloned().unwrap_or_default();
    let text = |name: &str| {
        let value = head.headers.get(name).or_else(|| trailers.get(name));
        value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    Ok((text("grpc-status"), text("grpc-message")))
}

/// Orders by the real order key that must not run, each refused by its guardrail; then one that may.
pub fn orders(practice: &mut Practice) -> Result<()> {
    let key = SecretKey::from_file(&fs::read_to_string(practice.provider.dir.join("keys/order.key"))?)?;
    let mut intruder = Intruder::enter(&practice.clinic.socket())?;
    // Guardrail 3 judges by signed time alone, which came with the first answers.
    let template = template(practice, &intruder.describe()?)?;
    let (minute, now) = (Duration::from_secs(60), clock::now());
    let before = refusals(practice)?;
    let ten = minute * 10;
    let mut refused = |what: &str, guardrail: u8, core: Core, (issued, lifetime, padding)| -> Result<()> {
        let order = sealed(core, &intruder.describe()?, issued, lifetime, padding, &key);
        let outcome = intruder.deliver(order)?.outcomes.into_iter().next().context("an outcome")?;
        println!("{what}: {}", outcome.refusal);
        let expected = format!("guardrail {guardrail} ");
        ensure!(!outcome.accepted && outcome.refusal.starts_with(&expected), "{what}: {outcome:?}");
        Ok(())
    };
    let like = |change: &dyn Fn(&mut Core)| {
        let mut core = template.clone();
        change(&mut core);
        core
    };
    let same = || template.clone();
    let unknown = "RB-NOSUCH-001".parse()?;
    refused("an unknown runbook", 6, Core { runbook: unknown, ..same() }, (now, ten, 0))?;
    refused("another text of the runbook", 6, like(&|core| core.runbook_digest.0[0] ^= 1), (now, ten, 0))?;
    refused("without a parameter", 7, like(&|core| core.parameters.clear()), (now, ten, 0))?;
    refused("expired", 3, same(), (now.minus(minute * 20), ten, 0))?;
    refused("from the future", 3, same(), (now.plus(minute * 60), ten, 0))?;
    refused("for too long", 3, same(), (now, minute * 60, 0))?;
    refused("of too many bytes", 1, same(), (now, ten, 200_000))?;
    let description = intruder.describe()?;
    let good = sealed(template, &description, clock::now(), minute * 10, 0, &key);
    let cut = intruder.deliver(good[..good.len() / 2].to_vec())?.outcomes.remove(0);
    ensure!(!cut.accepted && cut.refusal.starts_with("guardrail 1 "), "half an order: {cut:?}");
    let taken = intruder.deliver(good)?.outcomes.remove(0);
    ensure!(taken.accepted, "what is right is refused too: {}", taken.refusal);
    // Seven, the half one, and the good one: the directory is not over its limit.
    wait::until(
        "the refusals are in the log",
        LIMIT,
        || Ok((refusals(practice)? >= before + 9).then_some(())),
    )
}

fn template(practice: &Practice, description: &Description) -> Result<Core> {
    let identity = description.identity.clone().context("it is enrolled")?;
    let catalogue = fs::read(practice.provider.dir.join("catalogue.json"))?;
    let catalogue = Catalogue::parse(Envelope::parse(&catalogue)?.unverified_payload())?;
    let runbook = "RB-DISK-002".parse()?;
    let digest = catalogue.runbook(&runbook).context("RB-DISK-002 is in the catalogue")?.digest;
    Ok(Core {
        id: OrderId::new(clock::now(), [1; 10]),
        organization: identity.organization,
        tenant: identity.tenant.parse()?,
        site: practice.site.parse()?,
        appliance: identity.appliance.parse()?,
        incarnation: Incarnation::from_field("incarnation", &description.incarnation)?,
        incident: IncidentId::new(clock::now(), [2; 10]),
        runbook,
        runbook_digest: digest,
        parameters: [("directory".to_owned(), "uploads".parse()?)].into(),
        approve_until: None,
    })
}

fn sealed(
    core: Core,
    known: &Description,
    issued: Millis,
    lifetime: Duration,
    padding: usize,
    key: &SecretKey,
) -> Vec<u8> {
    let issuance = Issuance {
        charter_serial: known.charter_serial,
        policy_serial: known.policy_serial,
        sequence: known.order_high + 1,
        issued,
        lifetime,
    };
    let plan = Plan {
        planner: "rules".into(),
        model: String::new(),
        prompt_digest: None,
        reason: format!("because{}", "!".repeat(padding)),
    };
    Order::issue(core, &issuance, plan, Vec::new()).seal(key)
}

fn refusals(practice: &Practice) -> Result<usize> {
    Ok(practice.provider.evidence(TENANT)?.iter().filter(|e| e["kind"] == "refusal").count())
}

/// A small disk, gone when it is dropped.
pub struct Mount(PathBuf);

impl Mount {
    /// Mounts one; `None`: this user may not.
    pub fn tmpfs(at: &Path, size: &str) -> Result<Option<Self>> {
        let options = format!("size={size},mode=755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(at).output()?;
        Ok(mounted.status.success().then(|| Self(at.to_owned())))
    }

    /// Leaves no byte of it.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = fs::File::create(self.0.join("ballast"))?;
        for size in [1 << 16, 1 << 10, 1] {
            loop {
                match ballast.write(&vec![0; size]) {
                    Ok(written) if written > 0 => {}
                    Ok(_) => break,
                    Err(e) if e.kind() == ErrorKind::StorageFull => break,
                    Err(e) => bail!(e),
                }
            }
        }
        Ok(())
    }

    /// Makes room again.
    pub fn empty(&self) -> Result<()> {
        Ok(fs::remove_file(self.0.join("ballast"))?)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}
