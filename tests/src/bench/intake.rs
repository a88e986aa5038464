//! Evidence taken in per second by the control plane's core, against verification and one durable append.

use std::{fs::File, io::Write as _, path::Path, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use appliance::agent::credentials::{Folder, TlsKey};
use control_plane::{
    ca::CertificateAuthority, config::Config, core::Core, directory::Directory, metrics::Metrics,
    serve::open::open_core,
};
use proto::{
    digest::Digest,
    evidence::Identity,
    identity::{CertificateFacts, KeyProof, KeyProtection},
    ids::{Incarnation, Nonce, StreamId},
    keys::SecretKey,
    pb,
    sync::{Batch, Exchange, Record, StreamState, pack},
};

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
const STREAM: StreamId = StreamId([5; 16]);

/// Exchanges in a transaction: a busy server takes as many as are waiting.
const GROUP: usize = 10;
/// An index row and a tree place for each record, a vault object for each exchange; theirs has none of them.
const GOAL: f64 = 0.5;

pub(super) fn run(work: &Path, effort: &Effort) -> Result<Row> {
    let provider = Provider::init(&work.join("control-plane"), ORGANIZATION, None)?;
    let mut core = core(&provider.dir)?;
    let (spki, mut executor) = enrol(&mut core, work)?;
    let public = executor.key.public();
    let mut file = File::create(work.join("appended"))?;
    let mut state = StreamState::default();
    let figures = in_turn(
        effort.rounds,
        || {
            let batches: Vec<Vec<Vec<u8>>> =
                (0..effort.batches).map(|_| executor.executions(BATCH)).collect::<Result<_>>()?;
            let exchanges: Vec<Exchange> =
                batches.iter().map(|records| exchange(executor.incarnation, &mut state, records)).collect();
            let (figure, ()) = rate(effort.batches * BATCH, || {
                exchanges.chunks(GROUP).try_for_each(|group| take(&mut core, spki, group))
            })?;
            let signed = |records: &Vec<Vec<u8>>| {
                let signed: Result<Vec<Signed>> =
                    records.iter().map(|e| Signed::of(e, &executor.key)).collect();
                Ok((signed?, records.concat()))
            };
            Ok((figure, batches.iter().map(signed).collect::<Result<Vec<_>>>()?))
        },
        |batches| {
            let (figure, ()) = rate(effort.batches * BATCH, || {
                for group in batches.chunks(GROUP) {
                    for (signed, bytes) in group {
                        signed.iter().try_for_each(|signed| signed.verify(&public))?;
                        file.write_all(bytes)?;
                    }
                    file.sync_data()?;
                }
                Ok(())
            })?;
            Ok(figure)
        },
    )?;
    let (entries, log_size) = core.evidence(TENANT, 0, 1000)?;
    let acts = entries.iter().filter(|entry| entry.appliance.is_none()).count();
    let sent = effort.rounds * effort.batches * BATCH;
    ensure!(
        log_size == (sent + acts) as u64,
        "{sent} records were sent, the log has {log_size} with {acts} acts"
    );
    let what = format!(
        "evidence taken in: Core::sync with batches of {BATCH}, {GROUP} in a transaction (ed25519: verified, chained, logged, checkpoint signed, in the \
         directory vault and the database on disk)"
    );
    let against =
        "bare verification of the same signatures and one fsync'd append of the same bytes per transaction";
    Ok(Row::of_rates(what, "records/s", against, figures, GOAL))
}

/// As the writer does it: what is acknowledged is durable, and its checkpoint in the vault.
fn take(core: &mut Core, spki: Digest, group: &[Exchange]) -> Result<()> {
    let now = clock::now();
    core.begin()?;
    let answers: Vec<_> =
        group.iter().map(|exchange| core.attempt(|core| core.sync(spki, exchange, now))).collect();
    core.commit(now)?;
    for answer in answers {
        let response = answer?.response;
        ensure!(response.ack.is_some(), "not acknowledged: {}", response.quarantine);
    }
    Ok(())
}

/// The core on the files that `init` made.
pub(super) fn core(dir: &Path) -> Result<Core> {
    let directory = Directory::new(dir);
    let config = Config::load(&directory.config())?;
    let text = |path| std::fs::read_to_string(path);
    let authority =
        CertificateAuthority::load(&text(directory.ca_certificate())?, &text(directory.ca_key())?)?;
    Ok(open_core(&directory, &config, Arc::new(authority), &Metrics::default())?.0)
}

/// An appliance with keys of ours, enrolled.
fn enrol(core: &mut Core, work: &Path) -> Result<(Digest, Executor)> {
    let now = clock::now();
    let folder = work.join("agent");
    std::fs::create_dir(&folder)?;
    let tls = TlsKey::load_or_make(&Folder::at(folder))?;
    core.run(now, |core| core.create_tenant(TENANT, now))?;
    core.run(now, |core| core.create_site(TENANT, "box", now))?;
    let hour = Duration::from_secs(3600);
    let token = core.run(now, |core| core.issue_enrolment_token(TENANT, "box", hour, now))?.secret;
    let (key, incarnation) = (SecretKey::ed25519([7; 32]), Incarnation([6; 16]));
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
    let name = CertificateFacts::read(&welcome.certificate)?.spiffe;
    let identity =
        Identity { organization: name.trust_domain, tenant: name.tenant, appliance: name.appliance };
    Ok((tls.spki(), Executor::new(key, identity, incarnation)))
}

/// The next exchange of a box that knows all documents and asks for no proofs.
fn exchange(incarnation: Incarnation, state: &mut StreamState, records: &[Vec<u8>]) -> Exchange {
    let records = pack(records.iter().cloned().map(Record::Evidence));
    let batch = Batch { stream: STREAM, number: state.number + 1, previous: state.digest, records };
    *state = StreamState { number: batch.number, digest: Digest::of(&batch.records) };
    Exchange {
        batch: Some(batch),
        incarnation,
        nonce: Nonce([9; 16]),
        checkpoint_size: 0,
        unproven: Vec::new(),
        order_high: 0,
        charter_serial: 1,
        catalogue_version: 1,
        policy_serial: 1,
        standing: None,
        stop_serial: 0,
        documents: None,
        log: 1,
        hold_ms: 0,
        version: String::new(),
    }
}
