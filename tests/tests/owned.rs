//! Somebody owns the agent process of an installed appliance: its user, its key, its outbox, its socket to the executor
//! and its link to the control plane. As root.
//!
//! What must stay true: nothing runs but a valid order, nothing is signed that the executor did not do or see, and no
//! evidence is lost.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use appliance::agent::{
    authorities::Authorities,
    credentials::Folder,
    link::{GrpcLink, Identity, Link as _, Pins},
};
use prost::Message as _;
use proto::{
    dsse::{self, Envelope},
    evidence::{self, Body, Hold},
    ids::{Incarnation, Nonce},
    keys::SecretKey,
    local::{
        Adopt, Collect, Deliver, Describe, Description, Inclusion, Request, Response, request::Call,
        response::Answer,
    },
    log::{Checkpoint, Hash, Head, log_origin},
    pb,
    sync::{Record, pack},
    time::TimeToken,
};
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tests::{
    clock,
    rig::{Installed, Tree, machine, practice::TENANT, wait},
};

const LIMIT: Duration = Duration::from_secs(60);
const WATCH: &str = "[[watch.directory]]\nid = \"uploads\"\npath = \"/srv/uploads\"\nlimit_bytes = 1000\n\
                     keep_newer_than_seconds = 0\n";
/// Sends what it is given as whoever it is, and keeps what comes back.
const ATTACKER: &str = r#"
import socket, sys, pathlib
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.frame")):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect("/run/orderly/executor.sock")
    answer = b""
    try:
        s.sendall(path.read_bytes())
        s.shutdown(socket.SHUT_WR)
        while True:
            more = s.recv(65536)
            if not more:
                break
            answer += more
    except (ConnectionResetError, BrokenPipeError):
        pass
    print(path.name, answer.hex())
"#;

struct Owned {
    all: Installed,
    mine: SecretKey,
}

impl Owned {
    /// Sends frames as the agent's user; gives what came back, bytes and all.
    fn send(&self, frames: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        let folder = self.all.folder.join("machine/frames");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        for (n, frame) in frames.iter().enumerate() {
            fs::write(folder.join(format!("{n:04}.frame")), frame)?;
        }
        let script = self.all.folder.join("machine/attacker.py");
        fs::write(&script, ATTACKER)?;
        let (script, folder) = (script.display().to_string(), folder.display().to_string());
        let who = [
            "--reuid=orderly-agent",
            "--regid=orderly-agent",
            "--clear-groups",
            "--no-new-privs",
            "/usr/bin/python3",
        ];
        let said = self.all.machine.run("setpriv", &[&who[..], &[&script, &folder]].concat())?;
        let answer = |line: &str| Ok(hex::decode(line.split_whitespace().nth(1).unwrap_or_default())?);
        let answers: Vec<Vec<u8>> = said.lines().map(answer).collect::<Result<_>>()?;
        ensure!(answers.len() == frames.len(), "{said}");
        Ok(answers)
    }

    fn ask(&self, call: Call) -> Result<Answer> {
        let message = Request { call: Some(call) }.encode_to_vec();
        let answer = self.send(&[framed(&message)])?.remove(0);
        let answer = Response::decode(answer.get(4..).context("an answer has a length")?)?;
        answer.answer.context("an answer says something")
    }

    fn describe(&self) -> Result<Description> {
        match self.ask(Call::Describe(Describe {}))? {
            Answer::Description(description) => Ok(description),
            other => anyhow::bail!("{other:?}"),
        }
    }

    /// Delivers, and gives the problems that the executor has with it.
    fn deliver(&self, deliver: Deliver) -> Result<(Vec<String>, Vec<bool>)> {
        match self.ask(Call::Deliver(deliver))? {
            Answer::Delivered(said) => {
                let accepted = said.outcomes.iter().map(|outcome| outcome.accepted).collect();
                Ok((said.problems, accepted))
            }
            Answer::Failure(failure) => Ok((vec![failure.problem], vec![])),
            other => anyhow::bail!("{other:?}"),
        }
    }

    fn agent_folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/var/lib/orderly/agent", self.all.machine.init()))
    }

    fn kinds(&self, kind: &str) -> Result<usize> {
        Ok(self.all.provider.evidence(TENANT)?.iter().filter(|record| record["kind"] == kind).count())
    }

    fn executed(&self) -> Result<usize> {
        self.kinds("execution")
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a small message");
    [&length.to_be_bytes()[..], message].concat()
}

#[test]
fn whoever_owns_the_agent_runs_nothing_signs_nothing_and_loses_nothing() -> Result<()> {
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(());
    }
    let tree = Tree::new()?.started(
        "uploads.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/mkdir -p /srv/uploads\n",
    )?;
    let mut it = Owned { all: Installed::open(tree, WATCH)?, mine: SecretKey::ed25519([66; 32]) };
    // One genuine order, to be played again later.
    it.all.machine.run("sh", &["-c", "head -c 5000 /dev/zero > /srv/uploads/old"])?;
    wait::until("the order has run", LIMIT, || {
        it.all.provider.check()?;
        Ok((it.executed()? == 1).then_some(()))
    })
    .with_context(|| it.all.journal())?;
    it.all.machine.run("systemctl", &["stop", "orderly-agent.service"])?;
    // What is deleted would show.
    it.all.machine.run("sh", &["-c", "head -c 5000 /dev/zero > /srv/uploads/kept"])?;
    wait::until("evidence waits", LIMIT, || Ok((it.describe()?.unproven.len() >= 2).then_some(())))?;
    let before = it.describe()?;

    noise(&it)?;
    orders(&it)?;
    documents(&it, &before)?;
    let after = it.describe()?;
    ensure!(after.evidence_first == before.evidence_first, "evidence went before it was proven");
    ensure!(after.order_high == before.order_high && after.charter_serial == before.charter_serial);
    ensure!(
        (after.catalogue_version, after.policy_serial) == (before.catalogue_version, before.policy_serial)
    );
    ensure!(after.incarnation == before.incarnation && after.identity == before.identity);
    let kept = it.all.machine.run("sh", &["-c", "ls /srv/uploads"])?;
    ensure!(kept.trim() == "kept", "something ran: {kept}");

    lies(&it, &before)?;
    outbox(&it)?;

    // The genuine agent again: everything that the executor has signed arrives, and nothing else.
    wait::until("all evidence is proven", LIMIT, || {
        it.all.provider.check()?;
        let status = it.all.status()?;
        let seen = &status["executor"]["evidence"];
        Ok((seen["waiting_for_proof"] == 0 && seen["made"].as_u64() > Some(after.evidence_next))
            .then_some(()))
    })
    .with_context(|| it.all.journal())?;
    ensure!(it.executed()? == 1, "an order ran that nobody gave");
    // What the control plane saw of it may have made it stop the box: by its signature, not by the agent's word.
    let holds: Vec<Value> =
        it.all.provider.evidence(TENANT)?.into_iter().filter(|e| e["kind"] == "hold").collect();
    let by_stop = |hold: &Value| hold["summary"].as_str().is_some_and(|said| said.contains("quarantine"));
    ensure!(holds.iter().all(by_stop), "a record that no executor made is in the log: {holds:#?}");
    verified(&it)
}

/// Bytes of all kinds: the executor goes on.
fn noise(it: &Owned) -> Result<()> {
    let mut random = StdRng::seed_from_u64(7);
    let mut frames =
        vec![u32::MAX.to_be_bytes().to_vec(), framed(&[0xff; 4]), 100_u32.to_be_bytes().to_vec()];
    for n in 0..60 {
        let mut bytes = vec![0; 1 + n * 7];
        random.fill_bytes(&mut bytes);
        frames.push(if n % 2 == 0 { framed(&bytes) } else { bytes });
    }
    let answers = it.send(&frames)?;
    ensure!(answers.iter().all(|answer| answer.len() < 1000));
    ensure!(it.describe()?.identity.is_some(), "it answers as before");
    Ok(())
}

/// An order that has run, one that is changed, and one by another key.
fn orders(it: &Owned) -> Result<()> {
    let db = it.all.provider.database()?;
    let genuine: Vec<u8> = db
        .query_row("SELECT envelope FROM orders LIMIT 1", [], |row| row.get(0))
        .or_else(|_| db.query_row("SELECT envelope FROM \"order\" LIMIT 1", [], |row| row.get(0)))?;
    let mut value: Value = serde_json::from_slice(&genuine)?;
    let signature = value["signatures"][0]["sig"].as_str().context("an order is signed")?;
    let flipped = signature.replacen(&signature[4..5], if &signature[4..5] == "A" { "B" } else { "A" }, 1);
    value["signatures"][0]["sig"] = flipped.into();
    let envelope = Envelope::parse(&genuine)?;
    let kind =
        serde_json::from_slice::<Value>(&genuine)?["payloadType"].as_str().unwrap_or_default().to_owned();
    let mut payload = envelope.unverified_payload().to_vec();
    let resealed = dsse::seal(&kind, &payload, &[&it.mine]);
    if let Some(byte) = payload.last_mut() {
        *byte ^= 1;
    }
    let changed = dsse::seal(&kind, &payload, &[&it.mine]);
    let all = vec![genuine, serde_json::to_vec(&value)?, resealed, changed, b"{}".to_vec(), vec![0; 3000]];
    let count = all.len();
    let (_, accepted) = it.deliver(Deliver { orders: all.clone(), ..Default::default() })?;
    ensure!(accepted == vec![false; count], "{accepted:?}");
    let (_, standing) = it.deliver(Deliver { standing: all, ..Default::default() })?;
    ensure!(standing.iter().all(|accepted| !accepted));
    Ok(())
}

/// Acknowledgements, time, policy, catalogue, charter, identity: nothing of it by the keys that count.
fn documents(it: &Owned, before: &Description) -> Result<()> {
    let identity = before.identity.clone().context("it is enrolled")?;
    let head = Head { size: before.checkpoint_size + 1000, root: Hash([7; 32]) };
    let origin = log_origin(&identity.organization, identity.tenant.parse()?);
    let note = Checkpoint::new(&origin, head).sign(&it.mine)?.note().to_owned();
    let inclusions = before.unproven.iter().enumerate().map(|(index, sha256)| Inclusion {
        sha256: sha256.clone(),
        index: index as u64,
        hashes: vec![vec![7; 32]; 10],
    });
    let inclusions: Vec<Inclusion> = inclusions.collect();
    let token = TimeToken {
        incarnation: Incarnation::from_field("incarnation", &before.incarnation)?,
        nonce: Nonce(before.nonce.clone().try_into().ok().context("a nonce of 16 bytes")?),
        at: clock::now().plus(Duration::from_secs(365 * 24 * 3600)),
    };
    let paper = |kind: &str| dsse::seal(kind, b"{}", &[&it.mine]);
    for (what, deliver) in [
        (
            "a checkpoint and proofs",
            Deliver { checkpoint: note.into_bytes(), inclusions: inclusions.clone(), ..Default::default() },
        ),
        ("proofs alone", Deliver { inclusions, ..Default::default() }),
        ("time", Deliver { time_token: token.seal(&it.mine), ..Default::default() }),
        ("policy", Deliver { policy: paper("application/vnd.orderly.policy+json"), ..Default::default() }),
        (
            "catalogue",
            Deliver { catalogue: paper("application/vnd.orderly.catalogue+json"), ..Default::default() },
        ),
        ("charter", Deliver { charter: paper("application/vnd.orderly.charter+json"), ..Default::default() }),
    ] {
        let (problems, _) = it.deliver(deliver)?;
        println!("{what}: {problems:?}");
        ensure!(!problems.is_empty() || what == "proofs alone", "{what} was taken without a word");
    }
    let adopt = Adopt { charter: paper("x"), certificate: vec![1; 100], ..Default::default() };
    ensure!(matches!(it.ask(Call::Adopt(adopt))?, Answer::Failure(_)), "it became somebody else");
    Ok(())
}

/// The link is the attacker's, too: a record by another key, "a scan was fine", "orders were released", is no evidence.
fn lies(it: &Owned, before: &Description) -> Result<()> {
    let Answer::Collected(collected) =
        it.ask(Call::Collect(Collect { from: before.evidence_first, wait_ms: 0, most_bytes: 1 << 20 }))?
    else {
        anyhow::bail!("evidence may be read")
    };
    let genuine = &collected.items.first().context("evidence waits")?.envelope;
    let mut record = evidence::peek(genuine)?;
    record.body = Body::Hold(Hold { held: false, by: "file".into(), checkpoint: None });
    let forged = evidence::seal(&record, &it.mine)?;
    let folder = it.agent_folder();
    let config = it.all.machine.run("cat", &["/etc/orderly/appliance.toml"])?;
    let address = config.lines().find_map(|line| line.strip_prefix("address = ")).context("an address")?;
    let authority = it.all.folder.join("ca.pem");
    fs::write(&authority, it.all.machine.run("cat", &["/etc/orderly/ca.pem"])?)?;
    let pins = Pins {
        authorities: Authorities::pinned(authority),
        identity: Identity::Folder(Folder::at(folder)),
        clock: appliance::clock::system().clock,
    };
    let batch =
        |records| pb::Batch { stream: vec![9; 16], number: 1, previous: vec![0; 32], records: pack(records) };
    let request = pb::SyncRequest {
        batch: Some(batch([Record::Evidence(forged)])),
        incarnation: before.incarnation.clone(),
        nonce: vec![1; 16],
        order_high: before.order_high,
        version: "test".into(),
        ..Default::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer =
        runtime.block_on(async { GrpcLink::new(address.trim_matches('"'), pins)?.sync(request).await });
    println!("a forged record: {:?}", answer.as_ref().map(|answer| answer.quarantine.clone()));
    ensure!(it.kinds("hold")? == 0);
    Ok(())
}

/// The outbox is replaced by rubbish, and then deleted: what the executor holds comes all the same.
fn outbox(it: &Owned) -> Result<()> {
    let replace = "cd /var/lib/orderly/agent && rm -f outbox.db* && head -c 20000 /dev/urandom > outbox.db && chown orderly-agent outbox.db";
    it.all.machine.run("sh", &["-c", replace])?;
    it.all.machine.run("systemctl", &["start", "--no-block", "orderly-agent.service"])?;
    wait::until("the agent says that its outbox is none", LIMIT, || {
        Ok(it.all.journal().contains("cannot open the outbox").then_some(()))
    })?;
    it.all.machine.run("systemctl", &["stop", "orderly-agent.service"])?;
    ensure!(it.describe()?.identity.is_some(), "the executor does not care");
    it.all.machine.run("sh", &["-c", "rm -f /var/lib/orderly/agent/outbox.db*"])?;
    it.all.machine.run("systemctl", &["start", "orderly-agent.service"]).map(drop)
}

/// Everything exported and verified offline.
fn verified(it: &Owned) -> Result<()> {
    let (out, trust) =
        (it.all.folder.join("bundle"), it.all.provider.dir.join("trust/organization.keys.json"));
    let (out, trust) = (out.display().to_string(), trust.display().to_string());
    it.all.provider.run(&["evidence", "export", "--tenant", TENANT, "--out", &out], &[0])?;
    let report = it.all.provider.run(&["evidence", "verify", "--trust", &trust, &out], &[0])?;
    println!("{}", String::from_utf8_lossy(&report.stdout));
    Ok(())
}
