//! Evidence as it arrives: whose it is, where it stands, and what is not evidence.

use proto::{
    digest::Digest,
    dsse,
    evidence::{self, Body, Hold, STATEMENT_PAYLOAD_TYPE, Verdict},
    ids::Incarnation,
    keys::SecretKey,
    sync::{Phase, Record},
};

use crate::{
    appliance::{Appliance, execution},
    world::{DISK, World},
};

fn kept(world: &World) -> i64 {
    world.count("SELECT count(*) FROM evidence")
}

fn quarantine(world: &World) -> String {
    world.text("SELECT group_concat(state || ':' || state_reason, ';') FROM appliance")
}

fn hold() -> Body {
    Body::Hold(Hold { held: true, by: "file".into(), checkpoint: None })
}

/// A record that is not what it should be, in an envelope that is signed.
fn forged(appliance: &Appliance, key: &SecretKey, change: impl FnOnce(&mut evidence::Record)) -> Vec<u8> {
    let mut record = appliance.record(crate::world::START, hold());
    change(&mut record);
    evidence::seal(&record, key).unwrap()
}

#[test]
fn what_is_not_this_boxs_evidence_is_refused_and_its_orders_stop() {
    type Forge = fn(&mut World, &mut Appliance) -> Vec<u8>;
    let cases: [(&str, Forge, &str); 12] = [
        ("garbage", |_, _| b"{\"payload\":3}".to_vec(), "not a record"),
        ("nothing", |_, _| Vec::new(), "not a record"),
        (
            "a signed something else",
            |_, a| dsse::seal("text/plain", b"{}", &[&a.evidence_key]),
            "not a record",
        ),
        (
            "a statement of another predicate",
            |_, a| {
                let good = String::from_utf8(payload(&forged(a, &a.evidence_key, |_| {}))).unwrap();
                let other = good.replace("urn:orderly:evidence:v1", "urn:somebody:evidence:v1");
                dsse::seal(STATEMENT_PAYLOAD_TYPE, other.as_bytes(), &[&a.evidence_key])
            },
            "not a record",
        ),
        ("signed by a stranger", |_, a| forged(a, &SecretKey::ed25519([66; 32]), |_| {}), "not signed"),
        (
            "signed by the order key",
            |w, a| forged(a, &SecretKey::ed25519(w.safe.order), |_| {}),
            "not signed",
        ),
        (
            "of an incarnation that nobody enrolled",
            |_, a| forged(a, &a.evidence_key, |r| r.chain.incarnation = Incarnation([9; 16])),
            "not enrolled",
        ),
        (
            "in another appliance's name",
            |w, a| {
                let other = w.appliance().id();
                forged(a, &a.evidence_key, |r| r.identity.appliance = other)
            },
            "another organization",
        ),
        (
            "in another tenant's name",
            |w, a| {
                let other = w.tenant_named("Hill Clinic").parse().unwrap();
                forged(a, &a.evidence_key, |r| r.identity.tenant = other)
            },
            "another organization",
        ),
        (
            "in another organization's name",
            |_, a| forged(a, &a.evidence_key, |r| r.identity.organization = "other.example".into()),
            "another organization",
        ),
        (
            "an enrolment with another certificate",
            |_, a| {
                a.certificate.push(0);
                let Record::Evidence(envelope) = a.enrolment(crate::world::START) else { unreachable!() };
                a.head = proto::evidence::Head { next: 2, digest: previous(&envelope) };
                envelope
            },
            "another certificate",
        ),
        ("too far along", |_, a| forged(a, &a.evidence_key, |r| r.chain.index = u64::MAX), "that long"),
    ];
    for (case, forge, says) in cases {
        let mut world = World::new();
        let mut appliance = world.appliance();
        let (before, envelope) = (kept(&world), forge(&mut world, &mut appliance));
        let before = before.max(kept(&world));
        let response = world.send(&mut appliance, vec![Record::Evidence(envelope)]);
        assert!(response.quarantine.contains(says), "{case}: {}", response.quarantine);
        assert_eq!(kept(&world), before, "{case}: kept");
        assert_eq!(world.text("SELECT group_concat(cause) FROM gap"), "evidence-refused", "{case}");
        // The real one is still welcome.
        let beat = appliance.heartbeat(world.now);
        world.send(&mut appliance, vec![beat]);
        assert_eq!(kept(&world), before + 1, "{case}");
    }
}

/// What this record follows.
fn previous(envelope: &[u8]) -> Digest {
    evidence::peek(envelope).unwrap().chain.previous
}

fn payload(envelope: &[u8]) -> Vec<u8> {
    dsse::Envelope::parse(envelope).unwrap().unverified_payload().to_vec()
}

/// A tenant's agent cannot bring in another tenant's evidence, however genuine.
#[test]
fn another_tenants_genuine_evidence_is_refused() {
    let mut world = World::new();
    let other = world.tenant_named("Hill Clinic");
    let (mut here, mut there) = (world.appliance(), world.appliance_at(&other));
    let beat = there.heartbeat(world.now);
    let response = world.send(&mut here, vec![beat.clone()]);
    assert!(response.quarantine.contains("another organization, tenant or appliance"));
    assert_eq!(kept(&world), 4);
    assert!(world.send(&mut there, vec![beat]).quarantine.is_empty(), "its own tenant takes it");
}

/// A neighbour of the same clinic may carry it (an exchange of boxes, a USB stick): it proves itself.
#[test]
fn genuine_evidence_may_come_by_a_neighbour_but_not_of_a_revoked_box() {
    let mut world = World::new();
    let (mut carrier, mut source) = (world.appliance(), world.appliance());
    let (first, second) = (source.heartbeat(world.now), source.heartbeat(world.now));
    assert!(world.send(&mut carrier, vec![first]).quarantine.is_empty());
    assert_eq!(kept(&world), 5);
    let (id, now) = (source.id().to_string(), world.now);
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    assert!(world.send(&mut carrier, vec![second]).quarantine.contains("revoked"));
    assert_eq!(kept(&world), 5);
}

#[test]
fn what_is_known_is_acknowledged_and_kept_once() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let beat = appliance.heartbeat(world.now);
    for _ in 0..2 {
        assert!(world.send(&mut appliance, vec![beat.clone(), beat.clone()]).quarantine.is_empty());
    }
    assert_eq!(kept(&world), 3);
}

#[test]
fn a_hole_in_the_chain_is_said_and_filled() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let records: Vec<Record> = (0..4).map(|_| appliance.heartbeat(world.now)).collect();
    let response = world.send(&mut appliance, vec![records[2].clone(), records[3].clone()]);
    assert_eq!((response.evidence_next, response.quarantine.as_str()), (2, ""));
    assert!(world.text("SELECT cause || ' ' || amount FROM gap ORDER BY id").starts_with("chain-hole 2"));
    assert_eq!(world.send(&mut appliance, vec![records[1].clone()]).evidence_next, 2);
    let response = world.send(&mut appliance, vec![records[0].clone()]);
    assert_eq!((response.evidence_next, response.quarantine.as_str()), (6, ""));
    assert_eq!(kept(&world), 6);
}

#[test]
fn a_fork_is_kept_stops_the_orders_and_is_never_unsaid() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let other = forged(&appliance, &appliance.evidence_key, |_| {});
    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    let response = world.send(&mut appliance, vec![Record::Evidence(other)]);
    assert!(response.quarantine.contains("two histories of evidence at index 2"), "{}", response.quarantine);
    assert_eq!(kept(&world), 4, "genuine evidence is never thrown away");
    assert_eq!(response.evidence_next, 3);
}

#[test]
fn the_next_record_of_another_past_is_a_fork() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let other = forged(&appliance, &appliance.evidence_key, |r| r.chain.previous = Digest::of(b"another"));
    let response = world.send(&mut appliance, vec![Record::Evidence(other)]);
    assert!(response.quarantine.contains("two histories"));
}

/// The hole hid that what came after it follows another record than the one that fills it.
#[test]
fn a_fork_behind_a_hole_is_found_when_the_hole_is_filled() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let filling = forged(&appliance, &appliance.evidence_key, |_| {});
    appliance.heartbeat(world.now);
    let after = appliance.heartbeat(world.now);
    assert!(world.send(&mut appliance, vec![after]).quarantine.is_empty());
    let response = world.send(&mut appliance, vec![Record::Evidence(filling)]);
    assert!(response.quarantine.contains("two histories of evidence at index 3"), "{}", response.quarantine);
    assert_eq!(response.evidence_next, 3);
}

/// Whoever carries an envelope (the agent, the network) can write the same JSON in many ways, and each way has another
/// digest: it must not be able to make two records, a fork, out of one.
#[test]
fn an_envelope_that_was_written_anew_is_refused_and_the_real_one_taken() {
    type Rewrite = fn(&str, &Appliance) -> String;
    let rewrites: [(&str, Rewrite); 7] = [
        ("a space", |text, _| text.replacen(':', ": ", 1)),
        ("a space at the end", |text, _| format!("{text} ")),
        ("another key", |text, _| text.replacen('{', "{\"more\":1,", 1)),
        ("another hint", |text, a| text.replace(&a.evidence_key.public().hint(), "0000")),
        ("the signature twice", |text, _| {
            let at = text.find("[{").unwrap() + 1;
            let signature = &text[at..text.len() - 2];
            text.replace(signature, &format!("{signature},{signature}"))
        }),
        ("a signature too many", |text, _| {
            let more = dsse::countersign(text.as_bytes(), &SecretKey::ed25519([66; 32])).unwrap();
            String::from_utf8(more).unwrap()
        }),
        ("URL-safe base64", |text, _| text.replace('+', "-").replace('/', "_")),
    ];
    for (case, rewrite) in rewrites {
        let mut world = World::new();
        let mut appliance = world.appliance();
        let envelope = loop {
            let Record::Evidence(envelope) = appliance.heartbeat(world.now) else { unreachable!() };
            let text = String::from_utf8(envelope.clone()).unwrap();
            // The payload type has slashes too, and must stay.
            if case != "URL-safe base64"
                || text.split('"').any(|word| word.len() > 60 && word.contains(['+', '/']))
            {
                break envelope;
            }
            world.send(&mut appliance, vec![Record::Evidence(envelope)]);
        };
        let text = String::from_utf8(envelope.clone()).unwrap();
        let changed =
            rewrite(&text, &appliance).replace("application_vnd.in-toto-json", STATEMENT_PAYLOAD_TYPE);
        assert_ne!(changed, text, "{case}");
        let before = kept(&world);
        let response = world.send(&mut appliance, vec![Record::Evidence(changed.into_bytes())]);
        assert!(!response.quarantine.is_empty(), "{case}");
        assert_eq!(kept(&world), before, "{case}");
        world.send(&mut appliance, vec![Record::Evidence(envelope)]);
        assert_eq!(kept(&world), before + 1, "{case}");
        assert!(!quarantine(&world).contains("histories"), "{case}");
    }
}

/// ECDSA: (r, s) and (r, n - s) both verify. Only one of them is evidence.
#[test]
fn a_p256_signature_has_one_form() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut world = World::new();
    let token = world.token(&world.tenant.clone());
    let mut appliance = world.unknown_box();
    appliance.evidence_key = SecretKey::generate_p256();
    let answer = world.enroll(&appliance.enrol_request(&token)).unwrap();
    appliance.adopt(&world.safe.trust, &answer);
    let records = vec![appliance.enrolment(world.now), appliance.heartbeat(world.now)];
    assert!(world.send(&mut appliance, records).quarantine.is_empty());
    let Record::Evidence(envelope) = appliance.heartbeat(world.now) else { unreachable!() };
    let text = String::from_utf8(envelope.clone()).unwrap();
    let at = text.find("\"sig\":\"").unwrap() + 7;
    let signature = STANDARD.decode(&text[at..text.len() - 4]).unwrap();
    let twin = text.replace(&text[at..text.len() - 4], &STANDARD.encode(other_s(&signature)));
    let message = dsse::pae(STATEMENT_PAYLOAD_TYPE, &payload(&envelope));
    appliance.evidence_key.public().verify(&message, &other_s(&signature)).expect("it is a valid signature");
    let response = world.send(&mut appliance, vec![Record::Evidence(twin.into_bytes())]);
    assert!(!response.quarantine.is_empty());
    assert_eq!(kept(&world), 2);
    world.send(&mut appliance, vec![Record::Evidence(envelope)]);
    assert_eq!(kept(&world), 3);
}

/// The other signature by the same key over the same message: s becomes n - s (DER in, DER out).
fn other_s(der: &[u8]) -> Vec<u8> {
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let r_len = usize::from(der[3]);
    let (r, s) = (&der[4..4 + r_len], &der[6 + r_len..]);
    let s: Vec<u8> = [vec![0; 33 - s.len().min(33)], s.to_vec()].concat().split_off(1);
    let (mut borrow, mut other) = (0_i16, vec![0_u8; 32]);
    for at in (0..32).rev() {
        let digit = i16::from(order[at]) - i16::from(s[at]) - borrow;
        borrow = i16::from(digit < 0);
        other[at] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    let start = other.iter().position(|byte| *byte != 0).unwrap();
    let mut s = other.split_off(start);
    if s[0] >= 0x80 {
        s.insert(0, 0);
    }
    let body = [&[2, r.len() as u8][..], r, &[2, s.len() as u8], &s].concat();
    [&[0x30, body.len() as u8][..], &body].concat()
}

#[test]
fn bulk_is_write_once_only_when_a_record_names_it() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    let order = appliance.newest_order();
    let (named, stray) = (b"two files removed".to_vec(), b"a patient's name".to_vec());
    let body = execution(&order, Verdict::Repaired, Some(Digest::of(&named)));
    let record = Record::Evidence(appliance.seal(world.now, body));
    let records = vec![Record::Attachment(stray.clone()), Record::Attachment(named.clone()), record];
    world.send(&mut appliance, records);
    let attachments = world.vault_keys("attachments");
    assert_eq!(attachments, [format!("{}/attachments/{}", world.tenant, Digest::of(&named))]);
}

#[test]
fn a_second_account_of_an_order_changes_nothing() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    let order = appliance.newest_order();
    for (verdict, state) in [(Verdict::Failed, "escalated"), (Verdict::Repaired, "escalated")] {
        let record = appliance.executed(world.now, &order, verdict);
        world.send(&mut appliance, vec![record]);
        assert_eq!(world.text("SELECT state FROM incident"), state, "{verdict:?}");
    }
    assert_eq!(world.text(r#"SELECT outcome FROM "order""#), "failed");
}

/// One box cannot speak for another's order, nor for one that was never given.
#[test]
fn evidence_about_an_order_counts_for_its_own_box_and_its_own_bytes() {
    let mut world = World::new();
    let (mut appliance, mut other) = (world.appliance(), world.appliance());
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    let order = appliance.newest_order();
    let lie = other.executed(world.now, &order, Verdict::Repaired);
    world.send(&mut other, vec![lie]);
    assert_eq!(world.text("SELECT state FROM incident"), "ordered");
    let mut changed = order.clone();
    changed.sequence = 99;
    let record = appliance.executed(world.now, &changed, Verdict::Repaired);
    world.send(&mut appliance, vec![record]);
    assert_eq!(world.text("SELECT state FROM incident"), "ordered");
    let record = appliance.executed(world.now, &order, Verdict::Repaired);
    world.send(&mut appliance, vec![record]);
    assert_eq!(world.text("SELECT state FROM incident"), "resolved");
}

#[test]
fn whoever_is_quarantined_is_a_persons_and_is_told_once() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    for _ in 0..3 {
        world.send(&mut appliance, vec![Record::Evidence(b"{}".to_vec())]);
    }
    assert_eq!(world.text("SELECT kind || ' ' || state FROM incident"), "appliance.quarantined escalated");
    assert_eq!(world.count("SELECT count(*) FROM notification"), 1);
    assert!(world.text("SELECT body FROM notification").contains("evidence that was refused"));
}

/// Executors are witnesses: each record names the newest checkpoint that its executor has verified.
#[test]
fn a_checkpoint_that_is_not_of_this_log_is_seen() {
    use proto::{evidence::CheckpointSeen, log::EMPTY_ROOT};
    let root = |world: &World| {
        Digest(hex::decode(world.text("SELECT hex(log_root) FROM tenant")).unwrap().try_into().unwrap())
    };
    for (case, size, root, fine) in [
        ("nothing yet", 0, Some(Digest(EMPTY_ROOT.0)), true),
        ("this one", 4, None, true),
        ("another of this size", 4, Some(Digest::of(b"another")), false),
        ("another of an earlier size", 1, Some(Digest::of(b"another")), false),
        ("more than there is", 5, Some(Digest::of(b"later")), false),
        ("far more than there is", u64::MAX, Some(Digest::of(b"later")), false),
    ]
    .map(|(case, size, fixed, fine)| {
        (case, size, move |world: &World| fixed.unwrap_or_else(|| root(world)), fine)
    }) {
        let mut world = World::new();
        let mut appliance = world.appliance();
        let seen = CheckpointSeen { size, root: root(&world), log: 1 };
        let record = forged(&appliance, &appliance.evidence_key, |record| record.checkpoint = Some(seen));
        let response = world.send(&mut appliance, vec![Record::Evidence(record)]);
        assert_eq!(response.quarantine.is_empty(), fine, "{case}: {}", response.quarantine);
        assert_eq!(kept(&world), 3, "{case}: kept all the same");
    }
}

/// A box's own words reach people short and plain; what decides is the guardrail's number.
#[test]
fn a_refusals_words_are_the_boxs_own() {
    use proto::evidence::Refusal;
    let mut world = World::new();
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    let order = appliance.newest_order();
    let body = Body::Refusal(Refusal {
        order_digest: Digest::of(&order.encode()),
        order: Some(crate::appliance::facts(&order)),
        guardrail: 200,
        name: "<script>".into(),
        reason: format!("\u{1b}[2J{}", "all is well ".repeat(1000)),
    });
    let record = appliance.seal(world.now, body);
    world.send(&mut appliance, vec![Record::Evidence(record)]);
    assert_eq!(world.text("SELECT state FROM incident"), "escalated");
    assert_eq!(world.text(r#"SELECT outcome FROM "order""#), "unknown");
    let reason = world.text("SELECT reason FROM incident");
    assert!(reason.chars().count() < 400 && !reason.contains(['<', '\u{1b}']), "{reason}");
}
