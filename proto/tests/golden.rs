//! The bytes of every signed document, recorded: an old auditor's bundle and a box that was not updated must go on reading
//! what we write, and we what they wrote. A change here is a new version of a format, never an edit.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what fails there is the test's failure")]

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use proto::{
    act::{self, Act, Actor, Change, Deed, End, Level, Place, Through},
    approval::Approval,
    charter::{Approver, Charter, OrganizationKeys, Quorum},
    digest::Digest,
    document::{self, DOCUMENT_TYPE, Document, Kind},
    dsse,
    evidence::{
        self, Beats, Body, CheckpointSeen, Clock, ClockSource, ControlFinding, DocumentTaken, Enrolment,
        Execution, Head, Heartbeat, Hold, Identity, OrderFacts, Record, Refusal, Scan, SeenBy, Software,
        StandingUse, Step, StepResult, Synchronised, Token, Update, Verdict,
    },
    identity::{KeyProof, KeyProtection},
    ids::{ApplianceId, Incarnation, IncidentId, Nonce, OrderId, SiteId, TenantId},
    keys::{PublicKey, SecretKey},
    order::{Core, Issuance, ORDER_TYPE, Order, Plan},
    standing::{STANDING_TYPE, StandingOrder},
    time::{Millis, TIME_TOKEN_TYPE, TimeToken},
};

const AT: Millis = Millis(1_795_000_000_000);
const HERE: Incarnation = Incarnation([5; 16]);

fn key(seed: u8) -> SecretKey {
    SecretKey::ed25519([seed; 32])
}

/// Compares with what was recorded under `name`; gives the recorded bytes, to be read.
fn recorded(name: &str, now: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/golden").join(name);
    let was = fs::read(&path).unwrap_or_default();
    assert!(
        was == now,
        "{} is not what is written now, which is:\n{}",
        path.display(),
        String::from_utf8_lossy(now)
    );
    was
}

fn core() -> Core {
    Core {
        id: OrderId::new(AT, [1; 10]),
        organization: "msp.example".into(),
        tenant: TenantId::new(AT, [2; 10]),
        site: SiteId::new(AT, [3; 10]),
        appliance: ApplianceId::new(AT, [4; 10]),
        incarnation: HERE,
        incident: IncidentId::new(AT, [6; 10]),
        runbook: "RB-DISK-002".parse().unwrap(),
        runbook_digest: Digest::of(b"runbook"),
        parameters: [("directory".to_owned(), "uploads".parse().unwrap())].into(),
        approve_until: Some(AT.plus(Duration::from_secs(900))),
    }
}

fn plan() -> Plan {
    Plan {
        planner: "model".into(),
        model: "a-model-1".into(),
        prompt_digest: Some(Digest::of(b"prompt")),
        reason: "directory.over-limit triggers RB-DISK-002".into(),
    }
}

fn order() -> Order {
    let issuance = Issuance {
        charter_serial: 7,
        policy_serial: 8,
        sequence: 9,
        issued: AT,
        lifetime: Duration::from_secs(600),
    };
    let approval = Approval {
        approver: "ann".into(),
        authenticator_data: vec![1; 37],
        client_data: b"{}".to_vec(),
        signature: vec![3; 70],
    };
    Order::issue(core(), &issuance, plan(), vec![approval])
}

#[test]
fn an_order() {
    let was = recorded("order.json", &order().seal(&key(20)));
    let payload = dsse::open(&was, ORDER_TYPE, [&key(20).public()], 1).unwrap();
    assert_eq!(Order::decode(payload.value()).unwrap(), order());
}

#[test]
fn a_standing_order() {
    let standing = StandingOrder {
        id: OrderId::new(AT, [1; 10]),
        organization: "msp.example".into(),
        tenant: TenantId::new(AT, [2; 10]),
        site: SiteId::new(AT, [3; 10]),
        appliance: ApplianceId::new(AT, [4; 10]),
        incarnation: HERE,
        runbook: "RB-BACKUP-001".parse().unwrap(),
        runbook_digest: Digest::of(b"runbook"),
        trigger: "backup.stale".into(),
        watch: "records".parse().unwrap(),
        most: 3,
        issued: AT,
        expires: AT.plus(Duration::from_secs(86_400)),
        charter_serial: 7,
        policy_serial: 8,
    };
    let was = recorded("standing-order.json", &standing.seal(&key(20)));
    let payload = dsse::open(&was, STANDING_TYPE, [&key(20).public()], 1).unwrap();
    assert_eq!(StandingOrder::decode(payload.value()).unwrap(), standing);
}

fn document() -> Document {
    let core = document::Core {
        organization: "msp.example".into(),
        tenant: TenantId::new(AT, [2; 10]),
        appliance: Some(ApplianceId::new(AT, [4; 10])),
        incarnation: Some(HERE),
        kind: Kind::Exception,
        name: "NXH-028".into(),
        serial: 9,
        issued: AT,
        content: b"{}".to_vec(),
    };
    Document::new(&core.encode(), 7, order().approvals).unwrap()
}

#[test]
fn a_document() {
    let was = recorded("document.json", &document().seal(&key(20)));
    let payload = dsse::open(&was, DOCUMENT_TYPE, [&key(20).public()], 1).unwrap();
    assert_eq!(Document::decode(payload.value()).unwrap(), document());
}

#[test]
fn a_time_token() {
    let token = TimeToken { incarnation: HERE, nonce: Nonce([6; 16]), at: AT };
    let was = recorded("time-token.json", &token.seal(&key(20)));
    let payload = dsse::open(&was, TIME_TOKEN_TYPE, [&key(20).public()], 1).unwrap();
    assert_eq!(serde_json::from_slice::<TimeToken>(payload.value()).unwrap(), token);
}

#[test]
fn a_key_proof() {
    let proof = KeyProof {
        incarnation: HERE,
        evidence_key: key(30).public(),
        protection: KeyProtection::Tpm,
        tls_spki: Digest::of(b"tls"),
        challenge: Digest::of(b"token"),
    };
    let was = recorded("key-proof.json", &proof.seal(&key(30)));
    assert_eq!(KeyProof::open_self_signed(&was).unwrap().into_value(), proof);
}

#[test]
fn a_charter() {
    let encoded = [vec![4], vec![7; 32]].concat();
    let id = Digest::of(&[b"witness.example/w1\n", encoded.as_slice()].concat()).to_string()[..8].to_owned();
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &encoded);
    let charter = Charter {
        organization: "msp.example".into(),
        serial: 7,
        issued: AT,
        not_after: AT.plus(Duration::from_secs(180 * 86_400)),
        order_keys: [key(20).public(), key(21).public()].into(),
        log_keys: [key(22).public()].into(),
        release_keys: Quorum { threshold: 2, keys: [23, 24, 25].map(|seed| key(seed).public()).into() },
        certificate_authorities: vec![include_str!("vectors/authority.pem").into()],
        witnesses: vec![format!("witness.example/w1+{id}+{base64}")],
        witness_quorum: None,
        approvers: vec![Approver {
            name: "ann".into(),
            key: PublicKey::P256(std::array::from_fn(|at| if at == 0 { 4 } else { at as u8 })),
            rp_id: "msp.example".into(),
            origin: "https://msp.example".into(),
        }],
    };
    let trust = OrganizationKeys {
        organization: "msp.example".into(),
        threshold: 2,
        keys: [1, 2, 3].map(|seed| key(seed).public()).into(),
    };
    let was = recorded("charter.json", &charter.seal(&[&key(1), &key(3)]));
    assert_eq!(trust.open(&was).unwrap().into_value(), charter);
}

fn facts() -> OrderFacts {
    let order = order();
    OrderFacts {
        digest: Digest::of(&order.encode()),
        id: order.core.id,
        incident: order.core.incident,
        sequence: order.sequence,
        charter_serial: order.charter_serial,
        policy_serial: order.policy_serial,
        runbook: order.core.runbook.clone(),
        runbook_digest: order.core.runbook_digest,
        parameters: order.core.parameters.clone(),
        plan: order.plan,
        approvers: vec!["ann".into()],
        standing: Some(StandingUse {
            id: OrderId::new(AT, [1; 10]),
            count: 2,
            most: 3,
            trigger: "directory.over-limit".into(),
            held_ms: 60_000,
            seen_by: SeenBy::Executor,
        }),
    }
}

/// One of each kind, every optional field filled in.
fn bodies() -> [Body; 7] {
    let finding = |text: &str| serde_json::from_str::<ControlFinding>(text).unwrap();
    let control = |name: &str| name.to_owned().try_into().unwrap();
    let exception = Digest::of(b"exception");
    [
        Body::Enrolment(Enrolment {
            certificate: Digest::of(b"certificate"),
            tls_spki: Digest::of(b"tls"),
            charter_serial: 7,
            predecessor: Some(Digest::of(b"head")),
        }),
        Body::Heartbeat(Heartbeat {
            footprint: None,
            sealing_key: None,
            beats: None,
            charter_serial: 7,
            catalogue_version: 6,
            policy_serial: 8,
            order_high: 9,
            every_ms: 3_600_000,
            watch: [("uploads".parse().unwrap(), "directory".to_owned())].into(),
            hold: Some("file".into()),
            refusals_not_signed: 1,
            version: "0.1.0".into(),
            up_ms: 5_000,
        }),
        Body::Execution(Box::new(Execution {
            order: facts(),
            hipaa: vec!["45 CFR 164.312(b)".into()],
            guardrails: vec!["signature".into(), "binding".into()],
            before: BTreeMap::from([("bytes".to_owned(), 12)]),
            steps: vec![Step {
                action: "files.prune".into(),
                result: StepResult::Done,
                took_ms: 5,
                counts: BTreeMap::from([("files_removed".to_owned(), 3)]),
                output: Some(Digest::of(b"output")),
            }],
            after: BTreeMap::from([("bytes".to_owned(), -1)]),
            verdict: Verdict::InterruptedRepaired,
            took_ms: 7,
        })),
        Body::Refusal(Refusal {
            order_digest: facts().digest,
            order: Some(facts()),
            guardrail: 7,
            name: "parameters".into(),
            reason: "watch-list entry uploads must be a directory".into(),
        }),
        Body::Hold(Hold {
            held: true,
            by: "log-fork".into(),
            checkpoint: Some(CheckpointSeen { size: 3, root: Digest::of(b"root"), log: 1 }),
        }),
        Body::Scan(Scan {
            watch: std::collections::BTreeSet::new(),
            readings: BTreeMap::new(),
            baseline: Digest::of(b"baseline"),
            findings: [
                (
                    control("NXH-001"),
                    finding(r#"{"standing":"compliant","reading":{"value":true,"words":["a","b"]}}"#),
                ),
                (control("NXH-002"), finding(r#"{"standing":"not-evaluable","blind":"timed-out"}"#)),
                (
                    control("NXH-003"),
                    finding(&format!(
                        r#"{{"standing":"excepted","reading":{{"n":-1}},"exception":"{exception}"}}"#
                    )),
                ),
            ]
            .into(),
        }),
        Body::Document(DocumentTaken {
            what: Kind::Exception,
            name: "NXH-028".into(),
            serial: 9,
            core: document().core_digest,
            content: Digest::of(b"{}"),
            is_withdrawal: false,
            approvers: vec!["ann".into()],
        }),
    ]
}

/// What was added since to records that had been written before: of those older ones, each field is still as it was.
fn later_bodies() -> [(&'static str, Body); 2] {
    let token = |text: &str| Token::try_from(text.to_owned()).unwrap();
    let software = |program, system, generation| Software { program: token(program), system, generation };
    let [_, Body::Heartbeat(heartbeat), ..] = bodies() else { unreachable!() };
    let beats = Beats {
        made: 12,
        every_ms: 300_000,
        longest_ms: 300_500,
        longest_ago_ms: 600_000,
        boots: 1,
        off_ms: 30_000,
        clock_steps: 2,
        no_room_ms: 0,
    };
    [
        ("heartbeat-beats", Body::Heartbeat(Heartbeat { beats: Some(beats), ..heartbeat })),
        (
            "update",
            Body::Update(Update {
                from: software("0.1.0", None, None),
                to: software("0.2.0", Some(token("q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6")), Some(42)),
            }),
        ),
    ]
}

/// A chain of one record of each kind: every envelope's digest stands in the next.
#[test]
fn evidence_of_every_kind() {
    let mut head = Head::default();
    let first = bodies().map(|body| (body.kind(), None, body));
    let later = later_bodies().map(|(name, body)| (name, Some(Synchronised::No), body));
    for (name, synchronised, body) in first.into_iter().chain(later) {
        let name = format!("record-{name}.json");
        let record = Record {
            chain: head.link(HERE),
            identity: Identity {
                organization: "msp.example".into(),
                tenant: TenantId::new(AT, [2; 10]),
                appliance: ApplianceId::new(AT, [4; 10]),
            },
            clock: Clock { at: AT, source: ClockSource::Token, wall_offset_ms: -3, floor: AT, synchronised },
            checkpoint: Some(CheckpointSeen { size: 2, root: Digest::of(b"root"), log: 1 }),
            key_protection: KeyProtection::File,
            body,
        };
        let was = recorded(&name, &evidence::seal(&record, &key(30)).unwrap());
        assert_eq!(evidence::open(&was, &key(30).public()).unwrap().into_value(), record, "{name}");
        head = head.after(Digest::of(&was));
    }
}

/// One act of each kind, each after the one before.
#[test]
fn acts_of_every_kind() {
    let appliance = ApplianceId::new(AT, [4; 10]);
    let (digest, site) = (Digest::of(b"it"), SiteId::new(AT, [3; 10]));
    let deeds = [
        Deed::Claim { appliance, incarnation: HERE, site, certificate: digest },
        Deed::Renewal { appliance, incarnation: HERE, certificate: digest, until: AT },
        Deed::Quarantine { appliance, cause: "two histories".into() },
        Deed::Readmission { appliance },
        Deed::Revocation { appliance },
        Deed::Ticket { site, until: AT },
        Deed::Approval {
            what: Kind::Exception,
            name: "NXH-028".into(),
            serial: 9,
            appliance: None,
            core: digest,
            is_withdrawal: false,
            approvers: vec!["ann".into()],
        },
        Deed::Policy { serial: 2, change: Change::ClinicHours, digest, site: None },
        Deed::Charter { serial: 2, digest },
        Deed::Catalogue { version: 2, digest },
        Deed::Access { name: "bob".into(), until: AT },
        Deed::AccessEnd { name: "bob".into() },
        Deed::Gap { appliance, cause: "buffer-full".into(), amount: 3, first: AT, last: AT },
        Deed::Incident {
            id: IncidentId::new(AT, [5; 10]),
            appliance,
            fault: "backup.stale".into(),
            watch: Some("records".parse().unwrap()),
            opened: AT,
            end: End::Resolved,
        },
        Deed::Restore { generation: 2 },
        Deed::Agreement { signed: AT, until: Some(AT), document: digest },
        Deed::AccessReview { kept: [("ann".into(), AT)].into(), ended: ["bob".into()].into() },
        Deed::Recipients { count: 2 },
        Deed::Packet { month: "2026-11".into(), markdown: digest, pdf: Some(digest) },
        Deed::Delivery { month: "2026-11".into(), packet: digest, sent: 2, refused: 1 },
        Deed::Review {
            month: "2026-11".into(),
            packet: digest,
            name: "Ann Example".into(),
            role: "Security official".into(),
            through: Through::Link,
        },
        Deed::Hold { level: Level::Site, site: Some(site), appliance: None, until: Some(AT) },
        Deed::Release { level: Level::Appliance, site: None, appliance: Some(appliance) },
        Deed::Decision {
            order: OrderId::new(AT, [6; 10]),
            incident: IncidentId::new(AT, [5; 10]),
            appliance,
            runbook: "RB-DISK-002".parse().unwrap(),
            core: digest,
            verdict: proto::act::Verdict::Approved,
            approver: Some("ann".into()),
        },
        Deed::Acknowledgement { id: IncidentId::new(AT, [5; 10]), appliance },
        Deed::Mode { mode: proto::act::Mode::Direct },
    ];
    let mut place = Place { index: 0, previous: Digest::ZERO };
    for deed in deeds {
        let act = Act {
            chain: place,
            organization: "msp.example".into(),
            tenant: TenantId::new(AT, [2; 10]),
            at: AT,
            charter_serial: 1,
            by: Actor::Operator("ann".into()),
            deed,
            record: None,
        };
        let name = format!("act-{}.json", act.deed.kind());
        let was = recorded(&name, &act.seal(&key(30)).unwrap());
        let read = act::Claim::read(&was).unwrap().unwrap();
        assert_eq!(read.verify_by([&key(30).public()]).unwrap().into_value(), act, "{name}");
        assert!(evidence::Claim::read(&was).is_err(), "{name}: never taken for a record of a box");
        place = Place { index: place.index + 1, previous: Digest::of(&was) };
    }
}
