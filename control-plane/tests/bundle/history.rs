//! What a provider can do who has all keys of the server: rewrite history, and be contradicted by the appliances.

use std::time::Duration;

use control_plane::bundle::{
    GapKind,
    export::build,
    verify::{Completeness, Report, Status},
};
use proto::{
    charter::Charter,
    digest::Digest,
    evidence::{Body, Enrolment, Head, Verdict},
    keys::SecretKey,
};

use super::{
    check, fault_in, status_of,
    tenant::{BACKED_UP, Deed, HOUR, PRUNED, Tenant, at},
};

fn is_contradicted(report: &Report) -> bool {
    report
        .faults
        .iter()
        .any(|fact| fact.problem.contains("another log") || fact.problem.contains("include itself"))
}

fn kinds(report: &Report) -> Vec<GapKind> {
    report.gaps.iter().map(|gap| gap.kind).collect()
}

/// The provider signs the log again, as he now wants it to have been.
fn rewritten(change: impl FnOnce(&mut Vec<Vec<u8>>)) -> (Tenant, Report) {
    let mut tenant = Tenant::genuine(1);
    change(&mut tenant.evidence);
    let report = check(&tenant, &tenant.bundle());
    (tenant, report)
}

#[test]
fn a_record_taken_out_of_the_log_is_missed() {
    for index in [0, 10, 25] {
        let (_, report) = rewritten(|evidence| drop(evidence.remove(index)));
        assert_eq!(report.exit_code(), 1, "{index}:\n{report}");
        assert!(is_contradicted(&report), "{index}:\n{report}");
    }
    // Every later record stands one place too early for what it has seen.
    let (_, report) = rewritten(|evidence| drop(evidence.remove(2)));
    assert!(fault_in(&report, "evidence/").contains("include itself"), "{report}");
    // The newest: no appliance has seen it in the log. Its own heartbeat is missed.
    let (_, report) = rewritten(|evidence| evidence.truncate(23));
    assert_eq!(
        (report.exit_code(), kinds(&report)),
        (3, vec![GapKind::Silence, GapKind::Silence]),
        "{report}"
    );
}

#[test]
fn records_in_another_order_are_found() {
    let (_, report) = rewritten(|evidence| evidence.swap(4, 5));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(is_contradicted(&report), "{report}");
}

#[test]
fn a_record_logged_twice_is_found() {
    let (_, report) = rewritten(|evidence| evidence.push(evidence[10].clone()));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, "evidence/00000030").contains("a fork"), "{report}");
}

#[test]
fn a_record_that_follows_another_past_is_found() {
    let mut tenant = Tenant::genuine(1);
    tenant.mislead(0, Digest::of(b"another past"));
    tenant.heartbeat(0);
    let report = check(&tenant, &tenant.bundle());
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, "evidence/00000030").contains("does not follow record 28"), "{report}");
}

#[test]
fn the_tail_cut_off_is_missed() {
    let tenant = Tenant::genuine(1);
    let report = check(&tenant, &build(&tenant.parts(20, None)).unwrap());
    assert_eq!((report.exit_code(), report.completeness), (3, Completeness::Incomplete), "{report}");
    assert_eq!(kinds(&report), [GapKind::Silence, GapKind::Silence], "{report}");
    assert!(report.to_string().contains("silent from then on"), "{report}");
}

#[test]
fn an_executor_made_up_by_the_server_is_contradicted() {
    // All keys of the server: it writes the whole history of one box anew, under a key of its own.
    let genuine = Tenant::genuine(1);
    let mut forged = Tenant::genuine(1);
    forged.boxes[0].key = SecretKey::ed25519([77; 32]);
    let key = SecretKey::ed25519([77; 32]);
    let mut head = Head::default();
    for envelope in &mut forged.evidence {
        let mut record = proto::evidence::peek(envelope).unwrap();
        if record.chain.incarnation == genuine.boxes[0].incarnation {
            record.chain = head.link(record.chain.incarnation);
            *envelope = proto::evidence::seal(&record, &key).unwrap();
            head = head.after(Digest::of(envelope));
        }
    }
    let proof = proto::identity::KeyProof::open_self_signed(&genuine.boxes[0].enrolled.key_proof)
        .unwrap()
        .into_value();
    let proof = proto::identity::KeyProof { evidence_key: key.public(), ..proof };
    forged.boxes[0].enrolled.key_proof = proof.seal(&key);
    let report = check(&genuine, &forged.bundle());
    assert_eq!(report.exit_code(), 1, "{report}");
    // The other box saw the true log.
    assert!(is_contradicted(&report), "{report}");

    // Without its own papers it does not get that far.
    forged.boxes[0].enrolled = genuine.boxes[0].enrolled.clone();
    let report = check(&genuine, &forged.bundle());
    assert!(fault_in(&report, "evidence/00000000").contains("not signed by the enrolled key"), "{report}");
}

#[test]
fn papers_must_agree_with_the_charter_and_with_the_first_record() {
    let genuine = Tenant::genuine(1);
    let stranger = Tenant::genuine(2);
    let papers = |change: &dyn Fn(&mut Tenant)| {
        let mut tenant = Tenant::genuine(1);
        tenant.evidence.clone_from(&genuine.evidence);
        change(&mut tenant);
        let report = check(&genuine, &tenant.bundle());
        assert_eq!(report.exit_code(), 1, "{report}");
        fault_in(&report, "appliances/")
    };
    // A certificate by somebody else's CA, a key proof for another TLS key.
    let certificate = stranger.boxes[0].enrolled.certificate.clone();
    let problem = papers(&|tenant| tenant.boxes[0].enrolled.certificate.clone_from(&certificate));
    assert!(problem.contains("another TLS key"), "{problem}");
    let key_proof = stranger.boxes[0].enrolled.key_proof.clone();
    let problem = papers(&|tenant| tenant.boxes[0].enrolled.key_proof.clone_from(&key_proof));
    assert!(problem.contains("another incarnation"), "{problem}");

    // The first record names another certificate or TLS key than the one shown, though all are genuine.
    for (change, problem) in [
        ((|e| e.certificate = Digest::of(b"another")) as fn(&mut Enrolment), "certificate is not the one"),
        (|e| e.tls_spki = Digest::of(b"another"), "tls_spki is not the one"),
    ] {
        let mut tenant = Tenant::new(1, at("2026-11-03T06:00:00Z"));
        tenant.enrol(false);
        let Body::Enrolment(mut enrolment) = proto::evidence::peek(&tenant.evidence.remove(0)).unwrap().body
        else {
            panic!("an enrolment is first")
        };
        change(&mut enrolment);
        tenant.forget(0);
        tenant.log(0, Body::Enrolment(enrolment));
        let report = check(&tenant, &tenant.bundle());
        assert!(fault_in(&report, "appliances/").contains(problem), "{report}");
    }

    // A certificate that says all the right things, by a CA that no charter names.
    let mut tenant = Tenant::new(1, at("2026-11-03T06:00:00Z"));
    tenant.authority = stranger.authority;
    tenant.enrol(false);
    let report = check(&tenant, &tenant.bundle());
    assert!(fault_in(&report, "appliances/").contains("certificate authority"), "{report}");
}

#[test]
fn a_log_key_that_was_taken_away_signs_no_more() {
    let mut tenant = Tenant::genuine(1);
    let newer = Charter {
        serial: 2,
        log_keys: [SecretKey::ed25519([99; 32]).public()].into(),
        ..tenant.charter.clone()
    };
    tenant.charters.push(newer.seal(&[&tenant.organization[1], &tenant.organization[2]]));
    let report = check(&tenant, &tenant.bundle());
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, "log/vkey").contains("charter 2"), "{report}");
}

#[test]
fn a_newer_charter_than_shown_is_missed() {
    let mut tenant = Tenant::genuine(1);
    tenant.wait(HOUR / 4);
    let Body::Heartbeat(mut beat) = proto::evidence::peek(&tenant.evidence[29]).unwrap().body else {
        panic!()
    };
    beat.charter_serial = 2;
    tenant.log(1, Body::Heartbeat(beat));
    let report = check(&tenant, &tenant.bundle());
    assert_eq!((report.exit_code(), status_of(&report, "newest charter")), (3, Status::Missing), "{report}");
}

#[test]
fn records_of_another_tenant_do_not_pass() {
    let mut tenant = Tenant::genuine(1);
    let own = tenant.tenant;
    tenant.tenant = "0190a0c0-0000-7000-8000-00000000ffff".parse().unwrap();
    tenant.heartbeat(0);
    tenant.tenant = own;
    let report = check(&tenant, &tenant.bundle());
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, "evidence/00000030").contains("identity.tenant"), "{report}");
}

#[test]
fn a_hole_in_a_chain_is_named() {
    let mut tenant = Tenant::genuine(1);
    for _ in 0..3 {
        let _lost = tenant
            .record(0, Body::Hold(proto::evidence::Hold { held: true, by: "file".into(), checkpoint: None }));
    }
    tenant.heartbeat(0);
    let report = check(&tenant, &tenant.bundle());
    assert_eq!((report.exit_code(), kinds(&report)), (3, vec![GapKind::Hole]), "{report}");
    assert!(report.gaps[0].what.contains("records 15 to 17 (3 of them)"), "{report}");
}

#[test]
fn silence_is_named_with_its_cause() {
    let mut tenant = Tenant::genuine(1);
    tenant.wait(3 * HOUR);
    tenant.heartbeat(0);
    let Body::Heartbeat(mut beat) = proto::evidence::peek(&tenant.evidence[30]).unwrap().body else {
        panic!()
    };
    beat.up_ms = 600_000;
    tenant.log(1, Body::Heartbeat(beat));
    let report = check(&tenant, &tenant.bundle());
    assert_eq!((report.exit_code(), kinds(&report)), (3, vec![GapKind::Silence; 2]), "{report}");
    assert!(report.gaps[0].what.contains("sent no heartbeat"), "{report}");
    assert!(report.gaps[1].what.contains("was off"), "{report}");

    // Within the promise nothing is missed.
    let mut tenant = Tenant::genuine(1);
    tenant.wait(2 * HOUR - Duration::from_secs(60));
    for n in [0, 1] {
        tenant.heartbeat(n);
    }
    assert_eq!(check(&tenant, &tenant.bundle()).exit_code(), 0);
}

#[test]
fn a_clock_set_back_is_a_gap() {
    let mut tenant = Tenant::genuine(1);
    let now = tenant.now;
    tenant.now = now.minus(6 * HOUR);
    tenant.heartbeat(0);
    tenant.now = now;
    tenant.heartbeat(0);
    let report = check(&tenant, &tenant.bundle());
    assert!(kinds(&report).contains(&GapKind::Clock), "{report}");
    assert_eq!(report.exit_code(), 3);
}

#[test]
fn a_box_set_up_anew_must_follow_its_own_past() {
    for (follows, expected) in [(true, vec![]), (false, vec![GapKind::Predecessor])] {
        let mut tenant = Tenant::genuine(1);
        let predecessor = follows.then(|| tenant.head_of(0));
        let again = tenant.enrol_as(tenant.boxes[0].id, false, predecessor);
        tenant.wait(HOUR);
        for n in [1, again] {
            tenant.heartbeat(n);
        }
        let report = check(&tenant, &tenant.bundle());
        assert_eq!(kinds(&report), expected, "{report}");
    }
    // The old executor went on after the new one took over: the box was copied.
    let mut tenant = Tenant::genuine(1);
    let again = tenant.enrol_as(tenant.boxes[0].id, false, Some(tenant.head_of(0)));
    tenant.wait(HOUR);
    for n in [0, 1, again] {
        tenant.heartbeat(n);
    }
    assert_eq!(kinds(&check(&tenant, &tenant.bundle())), [GapKind::Predecessor, GapKind::Overlap]);
}

#[test]
fn evidence_of_a_part_is_incomplete_but_sound() {
    let tenant = Tenant::genuine(1);
    let mut parts = tenant.parts(30, None);
    parts.evidence.retain(|entry| entry.index >= 20);
    parts.proofs.retain(|proof| proof.index >= 20);
    let report = check(&tenant, &build(&parts).unwrap());
    assert_eq!(report.exit_code(), 3, "{report}");
    assert_eq!(status_of(&report, "root follows"), Status::Proven, "the tiles stand in:\n{report}");
    assert_eq!(status_of(&report, "first record confirm"), Status::Missing, "{report}");
    assert_eq!(
        kinds(&report)[..3],
        [GapKind::NotInBundle, GapKind::FirstMissing, GapKind::FirstMissing],
        "{report}"
    );
}

#[test]
fn records_after_the_checkpoint_are_named() {
    let tenant = Tenant::genuine(1);
    let mut parts = tenant.parts(28, None);
    parts.evidence = tenant.parts(30, None).evidence;
    let report = check(&tenant, &build(&parts).unwrap());
    assert_eq!((report.exit_code(), kinds(&report)), (3, vec![GapKind::NotCovered]), "{report}");
}

#[test]
fn an_execution_must_be_what_was_ordered() {
    let forged = |change: &dyn Fn(&mut Tenant, &mut proto::evidence::Execution)| {
        let mut tenant = Tenant::genuine(1);
        let (facts, envelope) = tenant.order(0, "RB-DISK-002", "uploads");
        tenant.orders.push(envelope);
        let mut execution = tenant.execution(facts, &PRUNED);
        change(&mut tenant, &mut execution);
        tenant.log(0, Body::Execution(Box::new(execution)));
        let report = check(&tenant, &tenant.bundle());
        assert_eq!(report.exit_code(), 1, "{report}");
        fault_in(&report, "evidence/00000030")
    };
    let target = forged(&|_, execution| {
        execution.order.parameters.values_mut().for_each(|watch| *watch = "records".parse().unwrap());
    });
    assert!(target.contains("another parameters than the signed order"), "{target}");
    let paragraphs = forged(&|_, execution| execution.hipaa.push("45 CFR 164.312(a)(1)".into()));
    assert!(paragraphs.contains("cites other paragraphs"), "{paragraphs}");
    let steps = forged(&|_, execution| execution.steps[0].action = "restic.backup".into());
    assert!(steps.contains("did other steps"), "{steps}");
    let approvers = forged(&|_, execution| execution.order.approvers.push("dr.rivera".into()));
    assert!(approvers.contains("another approvers"), "{approvers}");
}

#[test]
fn an_order_by_another_key_or_carried_out_twice_is_found() {
    let mut tenant = Tenant::genuine(1);
    let key = std::mem::replace(&mut tenant.order_key, SecretKey::ed25519([55; 32]));
    tenant.execute(0, &PRUNED);
    tenant.order_key = key;
    let report = check(&tenant, &tenant.bundle());
    assert!(fault_in(&report, "orders/").contains("by charter 1"), "{report}");

    let mut tenant = Tenant::genuine(1);
    tenant.execute(0, &PRUNED);
    let again = proto::evidence::peek(&tenant.evidence[30]).unwrap().body;
    tenant.log(0, again);
    let report = check(&tenant, &tenant.bundle());
    assert!(fault_in(&report, "evidence/00000031").contains("a second time"), "{report}");
}

#[test]
fn an_order_or_output_that_is_not_here_is_a_gap() {
    let mut tenant = Tenant::genuine(1);
    tenant.execute(0, &PRUNED);
    tenant.execute(1, &Deed { output: Some(b"never sent"), verdict: Verdict::Failed, ..BACKED_UP });
    tenant.orders.pop();
    tenant.attachments.pop();
    let report = check(&tenant, &tenant.bundle());
    assert_eq!(
        (report.exit_code(), kinds(&report)),
        (3, vec![GapKind::OrderMissing, GapKind::OutputMissing]),
        "{report}"
    );
}

#[test]
fn times_to_come_are_not_proven() {
    let tenant = Tenant::genuine(1);
    let early = control_plane::bundle::verify::verify(
        &tenant.bundle(),
        Some(&tenant.trust()),
        tenant.now.minus(2 * HOUR),
    );
    assert_eq!((early.exit_code(), kinds(&early)), (3, vec![GapKind::Clock, GapKind::Clock]), "{early}");
}
