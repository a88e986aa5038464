//! What strangers may send: every field that is not as the contract says is refused by its name.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what fails there is the test's failure")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proto::{
    digest::Digest,
    dsse,
    enrolment::{Enrolment, HARDWARE_MAX, Renewal, TOKEN_MAX},
    field::BadField,
    identity::{KeyProof, KeyProtection, csr_spki},
    ids::{EventId, Incarnation},
    keys::SecretKey,
    pb,
    sync::{BATCH_MAX, Event, Exchange, HOLD_MAX_MS, NUMBER_MAX, Phase, UNPROVEN_MAX},
    time::Millis,
};

const TOKEN: &str = "a one-time token";

fn refused<T: std::fmt::Debug>(outcome: Result<T, BadField>) -> String {
    outcome.expect_err("must be refused").field
}

fn exchange() -> pb::SyncRequest {
    pb::SyncRequest {
        batch: Some(pb::Batch {
            stream: vec![1; 16],
            number: 1,
            previous: vec![0; 32],
            records: b"records".to_vec(),
        }),
        incarnation: vec![2; 16],
        nonce: vec![3; 16],
        checkpoint_size: u64::MAX,
        unproven: vec![vec![4; 32]; UNPROVEN_MAX],
        order_high: NUMBER_MAX,
        charter_serial: 1,
        catalogue_version: 1,
        policy_serial: 1,
        stop_serial: 1,
        hold_ms: HOLD_MAX_MS + 1,
        version: "0.1.0".into(),
        standing: vec![5; 32],
        documents: vec![6; 32],
        log: 2,
    }
}

#[test]
fn an_exchange() {
    let read = Exchange::try_from(exchange()).unwrap();
    assert_eq!((read.unproven.len(), read.order_high, read.hold_ms), (UNPROVEN_MAX, NUMBER_MAX, HOLD_MAX_MS));
    assert_eq!(Exchange::try_from(pb::SyncRequest { batch: None, ..exchange() }).unwrap().batch, None);
    assert_eq!(
        Exchange::try_from(pb::SyncRequest { standing: vec![], ..exchange() }).unwrap().standing,
        None
    );
    assert_eq!(
        Exchange::try_from(pb::SyncRequest { documents: vec![], ..exchange() }).unwrap().documents,
        None
    );

    type Change = fn(&mut pb::SyncRequest);
    fn batch(m: &mut pb::SyncRequest) -> &mut pb::Batch {
        m.batch.as_mut().expect("a batch")
    }
    let cases: [(&str, Change); 24] = [
        ("incarnation", |m| m.incarnation.clear()),
        ("incarnation", |m| m.incarnation.push(0)),
        ("nonce", |m| m.nonce.clear()),
        ("nonce", |m| m.nonce.truncate(15)),
        ("nonce", |m| m.nonce.push(0)),
        ("unproven", |m| m.unproven.push(vec![4; 32])),
        ("unproven", |m| m.unproven[63] = vec![4; 31]),
        ("unproven", |m| m.unproven[0] = Vec::new()),
        ("order_high", |m| m.order_high = NUMBER_MAX + 1),
        ("version", |m| m.version.clear()),
        ("version", |m| m.version = "v".repeat(101)),
        ("version", |m| m.version = "0.1\n".into()),
        ("standing", |m| m.standing.truncate(31)),
        ("standing", |m| m.standing.push(0)),
        ("documents", |m| m.documents.truncate(31)),
        ("documents", |m| m.documents.push(0)),
        ("batch.stream", |m| batch(m).stream.clear()),
        ("batch.stream", |m| batch(m).stream.truncate(15)),
        ("batch.stream", |m| batch(m).stream.push(0)),
        ("batch.number", |m| batch(m).number = 0),
        ("batch.number", |m| batch(m).number = NUMBER_MAX + 1),
        ("batch.previous", |m| batch(m).previous.clear()),
        ("batch.previous", |m| batch(m).previous.truncate(31)),
        ("batch.records", |m| batch(m).records = vec![0; BATCH_MAX + 1]),
    ];
    for (at, (field, change)) in cases.into_iter().enumerate() {
        let mut changed = exchange();
        change(&mut changed);
        assert_eq!(refused(Exchange::try_from(changed)), field, "case {at}");
    }
}

fn event() -> pb::Event {
    pb::Event {
        id: EventId::new(Millis(1_790_000_000_000), [5; 10]).to_string(),
        kind: "directory.over-limit".into(),
        watch: "uploads".into(),
        phase: pb::event::Phase::Raised.into(),
        at_ms: 1_790_000_000_000,
        readings: vec![pb::Reading { name: "bytes".into(), value: -1 }; 32],
        note: "n".repeat(1000),
    }
}

#[test]
fn an_event() {
    let read = Event::try_from(event()).unwrap();
    assert_eq!((read.phase, read.readings.len(), read.note.len()), (Phase::Raised, 32, 1000));
    for (phase, expected) in [(2, Phase::Ongoing), (3, Phase::Cleared)] {
        assert_eq!(Event::try_from(pb::Event { phase, ..event() }).unwrap().phase, expected);
    }
    type Change = fn(&mut pb::Event);
    let cases: [(&str, Change); 18] = [
        ("id", |m| m.id.clear()),
        ("id", |m| m.id = "0190A0C0-0000-7000-8000-000000000001".into()),
        ("kind", |m| m.kind.clear()),
        ("kind", |m| m.kind = "a".repeat(81)),
        ("kind", |m| m.kind = "Disk.full".into()),
        ("kind", |m| m.kind = "disk full".into()),
        ("watch", |m| m.watch.clear()),
        ("watch", |m| m.watch = "../etc".into()),
        ("watch", |m| m.watch = "Uploads".into()),
        ("phase", |m| m.phase = 0),
        ("phase", |m| m.phase = 4),
        ("phase", |m| m.phase = -1),
        ("readings", |m| m.readings.push(pb::Reading { name: "more".into(), value: 0 })),
        ("readings.name", |m| m.readings[31].name.clear()),
        ("readings.name", |m| m.readings[0].name = "b".repeat(41)),
        ("readings.name", |m| m.readings[0].name = "by\ttes".into()),
        ("note", |m| m.note.push('n')),
        ("note", |m| m.note = "ö".repeat(501)),
    ];
    for (at, (field, change)) in cases.into_iter().enumerate() {
        let mut changed = event();
        change(&mut changed);
        assert_eq!(refused(Event::try_from(changed)), field, "case {at}");
    }
}

/// A real request of OpenSSL's making.
fn csr() -> Vec<u8> {
    let lines = include_str!("vectors/box.csr.pem").lines().filter(|line| !line.starts_with("-----"));
    STANDARD.decode(lines.collect::<String>()).unwrap()
}

fn evidence_key() -> SecretKey {
    SecretKey::ed25519([9; 32])
}

fn proof(challenge: &[u8]) -> KeyProof {
    KeyProof {
        incarnation: Incarnation([3; 16]),
        evidence_key: evidence_key().public(),
        protection: KeyProtection::File,
        tls_spki: csr_spki(&csr()).unwrap(),
        challenge: Digest::of(challenge),
    }
}

fn enrolment() -> pb::EnrollRequest {
    pb::EnrollRequest {
        token: TOKEN.into(),
        csr: csr(),
        key_proof: proof(TOKEN.as_bytes()).seal(&evidence_key()),
        hardware: "x86_64".into(),
    }
}

#[test]
fn an_enrolment() {
    let read = Enrolment::try_from(enrolment()).unwrap();
    assert_eq!((read.token, &read.proof), (Digest::of(TOKEN.as_bytes()), &proof(TOKEN.as_bytes())));
    assert_eq!((read.tls_spki, read.hardware.as_str()), (csr_spki(&csr()).unwrap(), "x86_64"));
    let silent = pb::EnrollRequest { hardware: String::new(), ..enrolment() };
    assert_eq!(Enrolment::try_from(silent).unwrap().hardware, "");

    type Change = fn(&mut pb::EnrollRequest);
    let cases: [(&str, Change); 15] = [
        ("token", |m| m.token.clear()),
        ("token", |m| m.token = "t".repeat(TOKEN_MAX + 1)),
        ("token", |m| m.token.push('\n')),
        ("csr", |m| m.csr.clear()),
        ("csr", |m| m.csr.push(0)),
        ("csr", |m| *m.csr.last_mut().expect("a byte") ^= 1),
        ("key_proof", |m| m.key_proof.clear()),
        ("key_proof", |m| m.key_proof = b"{}".to_vec()),
        ("key_proof", |m| m.key_proof = proof(b"another token").seal(&evidence_key())),
        ("key_proof", |m| m.key_proof = proof(TOKEN.as_bytes()).seal(&SecretKey::ed25519([8; 32]))),
        ("key_proof", |m| {
            let other = KeyProof { tls_spki: Digest::of(b"another key"), ..proof(TOKEN.as_bytes()) };
            m.key_proof = other.seal(&evidence_key());
        }),
        ("key_proof", |m| {
            let payload = serde_json::to_vec(&proof(TOKEN.as_bytes())).expect("plain data");
            m.key_proof = dsse::seal("application/json", &payload, &[&evidence_key()]);
        }),
        ("key_proof", |m| m.token = "another token".into()),
        ("hardware", |m| m.hardware = "h".repeat(HARDWARE_MAX + 1)),
        ("hardware", |m| m.hardware = "\u{1b}[2J".into()),
    ];
    for (at, (field, change)) in cases.into_iter().enumerate() {
        let mut changed = enrolment();
        change(&mut changed);
        assert_eq!(refused(Enrolment::try_from(changed)), field, "case {at}");
    }
}

#[test]
fn a_renewal() {
    let good = pb::RenewRequest { csr: csr(), key_proof: proof(&csr()).seal(&evidence_key()) };
    let read = Renewal::try_from(good.clone()).unwrap();
    assert_eq!((read.tls_spki, &read.key_proof), (csr_spki(&csr()).unwrap(), &good.key_proof));
    type Change = fn(&mut pb::RenewRequest);
    let cases: [(&str, Change); 6] = [
        ("csr", |m| m.csr.clear()),
        ("csr", |m| m.csr.push(0)),
        ("csr", |m| *m.csr.last_mut().expect("a byte") ^= 1),
        ("key_proof", |m| m.key_proof.clear()),
        ("key_proof", |m| m.key_proof = b"{}".to_vec()),
        ("key_proof", |m| m.key_proof = vec![b' '; (4 << 20) + 1]),
    ];
    for (at, (field, change)) in cases.into_iter().enumerate() {
        let mut changed = good.clone();
        change(&mut changed);
        assert_eq!(refused(Renewal::try_from(changed)), field, "case {at}");
    }
}
