//! Enrolment and renewal: which keys are admitted, and for whom.

use control_plane::core::CoreError;
use proto::{
    digest::Digest,
    identity::{CertificateFacts, KeyProof},
    ids::Incarnation,
    keys::SecretKey,
    pb,
};

use crate::{
    appliance::Appliance,
    world::{DAY, HOUR, World, bad_field, denied},
};

/// Key proof changed by somebody who holds the evidence key.
fn reproved(
    request: &pb::EnrollRequest,
    key: &SecretKey,
    change: impl FnOnce(&mut KeyProof),
) -> pb::EnrollRequest {
    let mut proof = KeyProof::open_self_signed(&request.key_proof).unwrap().into_value();
    change(&mut proof);
    pb::EnrollRequest { key_proof: proof.seal(key), ..request.clone() }
}

#[test]
fn a_token_enrols_one_appliance_under_the_tokens_tenant() {
    let mut world = World::new();
    let appliance = world.enrolled();
    let row = world.core.appliances("").unwrap().remove(0);
    assert_eq!((row.id, row.tenant), (appliance.id(), appliance.tenant()));
    assert_eq!(row.tenant.to_string(), world.tenant);
    assert_eq!((row.tls_spki, row.incarnation), (appliance.spki(), appliance.incarnation));
    let life = CertificateFacts::read(&appliance.certificate).unwrap();
    assert_eq!(row.hardware, "small", "as it said");
    assert!(life.not_before <= world.now && life.not_after == world.now.plus(7 * DAY));
}

#[test]
fn unknown_used_and_expired_tokens_are_refused_in_the_same_words() {
    let mut world = World::new();
    let token = world.token(&world.tenant.clone());
    let late = world.token(&world.tenant.clone());
    let first = world.unknown_box();
    world.enroll(&first.enrol_request(&token)).unwrap();
    let second = world.unknown_box();
    let used = denied(world.enroll(&second.enrol_request(&token)));
    let unknown = denied(world.enroll(&second.enrol_request("no such token")));
    world.now = world.now.plus(HOUR);
    let expired = denied(world.enroll(&second.enrol_request(&late)));
    assert!(used == unknown && unknown == expired);
    assert_eq!(world.core.appliances("").unwrap().len(), 1);
}

#[test]
fn a_token_holds_until_the_moment_it_ends() {
    let mut world = World::new();
    let token = world.token(&world.tenant.clone());
    world.now = world.now.plus(HOUR).minus(std::time::Duration::from_millis(1));
    let appliance = world.unknown_box();
    world.enroll(&appliance.enrol_request(&token)).unwrap();
}

#[test]
fn the_same_keys_may_ask_again_even_late_and_get_the_same_answer() {
    let mut world = World::new();
    let token = world.token(&world.tenant.clone());
    let appliance = world.unknown_box();
    let request = appliance.enrol_request(&token);
    let first = world.enroll(&request).unwrap();
    world.now = world.now.plus(2 * HOUR);
    assert!(world.enroll(&request).unwrap() == first);
    // A new CSR for the same key is the same question.
    assert!(world.enroll(&appliance.enrol_request(&token)).unwrap() == first);
    assert_eq!(world.core.appliances("").unwrap().len(), 1);
}

#[test]
fn a_used_token_answers_nobody_but_the_keys_that_used_it() {
    let mut world = World::new();
    let token = world.token(&world.tenant.clone());
    let appliance = world.unknown_box();
    world.enroll(&appliance.enrol_request(&token)).unwrap();

    let mut other_tls = world.unknown_box();
    other_tls.incarnation = appliance.incarnation;
    other_tls.evidence_key = SecretKey::from_file(&appliance.evidence_key.to_file()).unwrap();
    denied(world.enroll(&other_tls.enrol_request(&token)));

    let request = appliance.enrol_request(&token);
    let other_incarnation =
        reproved(&request, &appliance.evidence_key, |p| p.incarnation = Incarnation([1; 16]));
    denied(world.enroll(&other_incarnation));

    // The agent alone, with an evidence key of its own making.
    let forged = SecretKey::ed25519([77; 32]);
    let other_evidence = reproved(&request, &forged, |p| p.evidence_key = forged.public());
    denied(world.enroll(&other_evidence));
}

#[test]
fn after_a_revocation_the_token_answers_no_more() {
    let mut world = World::new();
    let token = world.token(&world.tenant.clone());
    let mut appliance = world.unknown_box();
    let request = appliance.enrol_request(&token);
    let answer = world.enroll(&request).unwrap();
    appliance.adopt(&world.safe.trust, &answer);
    let (id, now) = (appliance.id().to_string(), world.now);
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    denied(world.enroll(&request));
}

#[test]
fn a_key_proof_is_for_this_token_and_this_csr_by_the_key_it_names() {
    let mut world = World::new();
    let token = world.token(&world.tenant.clone());
    let appliance = world.unknown_box();
    let request = appliance.enrol_request(&token);
    let key = &appliance.evidence_key;
    let stranger = SecretKey::ed25519([77; 32]);
    for (case, request) in [
        ("another token", reproved(&request, key, |p| p.challenge = Digest::of(b"another"))),
        ("another TLS key", reproved(&request, key, |p| p.tls_spki = Digest::of(b"another"))),
        ("signed by a stranger", reproved(&request, &stranger, |_| {})),
        ("garbage", pb::EnrollRequest { key_proof: b"{}".to_vec(), ..request.clone() }),
        ("nothing", pb::EnrollRequest { key_proof: Vec::new(), ..request.clone() }),
    ] {
        assert_eq!(bad_field(world.enroll(&request)), "key_proof", "{case}");
    }
    // None of them used the token up.
    world.enroll(&request).unwrap();
}

#[test]
fn a_csr_is_signed_by_its_own_key() {
    let mut world = World::new();
    let token = world.token(&world.tenant.clone());
    let appliance = world.unknown_box();
    let request = appliance.enrol_request(&token);
    let mut flipped = request.csr.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut longer = request.csr.clone();
    longer.push(0);
    for (case, csr) in [("flipped", flipped), ("longer", longer), ("empty", Vec::new())] {
        let changed = pb::EnrollRequest { csr, ..request.clone() };
        assert_eq!(bad_field(world.enroll(&changed)), "csr", "{case}");
    }
    let others = pb::EnrollRequest { csr: world.unknown_box().csr(), ..request.clone() };
    assert_eq!(bad_field(world.enroll(&others)), "key_proof", "a whole CSR of somebody else");
}

#[test]
fn keys_and_incarnations_enrol_once() {
    let mut world = World::new();
    let appliance = world.enrolled();
    let token = world.token(&world.tenant.clone());
    let again = world.enroll(&appliance.enrol_request(&token));
    assert!(matches!(again, Err(CoreError::Exists(_))));
    // A clone of the disk that only made a new TLS key is the same executor.
    let mut clone = world.unknown_box();
    clone.incarnation = appliance.incarnation;
    let again = world.enroll(&clone.enrol_request(&token));
    assert!(matches!(again, Err(CoreError::Exists(_))));
    // The refused tries did not use the token up.
    let fresh = world.unknown_box();
    world.enroll(&fresh.enrol_request(&token)).unwrap();
}

#[test]
fn renewal_keeps_the_keys_and_the_name() {
    let mut world = World::new();
    let appliance = world.enrolled();
    world.now = world.now.plus(4 * DAY);
    let renewed = world.renew(&appliance.certificate, &appliance.renew_request()).unwrap().certificate;
    let (old, new) =
        (CertificateFacts::read(&appliance.certificate).unwrap(), CertificateFacts::read(&renewed).unwrap());
    assert_eq!((new.spki, new.spiffe), (old.spki, old.spiffe));
    assert_eq!(new.not_after, world.now.plus(7 * DAY));
    assert_eq!(world.core.appliances("").unwrap()[0].certificate, renewed);
}

#[test]
fn an_expired_certificate_renews_for_thirty_days() {
    for (days, works) in [(8, true), (36, true), (37, false), (400, false)] {
        let mut world = World::new();
        let appliance = world.enrolled();
        world.now = world.now.plus(days * DAY);
        let outcome = world.renew(&appliance.certificate, &appliance.renew_request());
        if works {
            outcome.unwrap();
        } else {
            assert!(denied(outcome).contains("30 days"), "{days} days");
        }
    }
}

#[test]
fn a_revoked_appliance_never_renews() {
    let mut world = World::new();
    let appliance = world.enrolled();
    let (id, now) = (appliance.id().to_string(), world.now);
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    assert!(denied(world.renew(&appliance.certificate, &appliance.renew_request())).contains("revoked"));
}

#[test]
fn a_quarantined_appliance_renews_or_its_evidence_would_end() {
    let mut world = World::new();
    let mut appliance = world.enrolled();
    let mut asked = appliance.ask(None);
    asked.incarnation = Incarnation([1; 16]);
    assert!(!world.exchange(&appliance, &asked).unwrap().quarantine.is_empty());
    world.renew(&appliance.certificate, &appliance.renew_request()).unwrap();
}

#[test]
fn renewal_needs_the_same_keys_and_a_fresh_word_of_the_executor() {
    let mut world = World::new();
    let appliance = world.enrolled();
    let request = appliance.renew_request();
    let stranger = world.enrolled();
    let proof = |box_: &Appliance, change: fn(&mut KeyProof)| {
        let mut proof = box_.proof(&request.csr);
        change(&mut proof);
        proof
    };
    let with = |key_proof: Vec<u8>| pb::RenewRequest { csr: request.csr.clone(), key_proof };

    let other_tls = pb::RenewRequest {
        csr: stranger.csr(),
        key_proof: appliance.proof(&stranger.csr()).seal(&appliance.evidence_key),
    };
    let same = |_: &mut KeyProof| {};
    for (case, request, says) in [
        ("another TLS key", other_tls, "enrolled key"),
        (
            "signed by somebody else's executor",
            with(proof(&appliance, same).seal(&stranger.evidence_key)),
            "co-signed",
        ),
        ("somebody else's proof", with(proof(&stranger, same).seal(&stranger.evidence_key)), "co-signed"),
        (
            "another incarnation",
            with(proof(&appliance, |p| p.incarnation = Incarnation([1; 16])).seal(&appliance.evidence_key)),
            "key_proof",
        ),
        (
            "another challenge",
            with(proof(&appliance, |p| p.challenge = Digest::of(b"then")).seal(&appliance.evidence_key)),
            "key_proof",
        ),
        (
            "another SPKI",
            with(proof(&appliance, |p| p.tls_spki = Digest::of(b"x")).seal(&appliance.evidence_key)),
            "key_proof",
        ),
    ] {
        let why = denied(world.renew(&appliance.certificate, &request));
        assert!(why.contains(says), "{case}: {why}");
    }
    assert_eq!(bad_field(world.renew(&appliance.certificate, &with(Vec::new()))), "key_proof", "none");
    let borrowed = world.renew(&stranger.certificate, &request);
    assert!(denied(borrowed).contains("enrolled key"), "somebody else's certificate");
}

/// What was recorded once (by an agent that was broken into, say) does not renew for ever: the executor co-signs each.
#[test]
fn an_old_renewal_sent_again_gives_the_old_certificate_only() {
    let mut world = World::new();
    let appliance = world.enrolled();
    world.now = world.now.plus(4 * DAY);
    let recorded = appliance.renew_request();
    let first = world.renew(&appliance.certificate, &recorded).unwrap();
    world.now = world.now.plus(DAY);
    assert!(world.renew(&appliance.certificate, &recorded).unwrap() == first, "a lost answer is given again");
    world.now = world.now.plus(7 * DAY);
    assert!(denied(world.renew(&first.certificate, &recorded)).contains("anew"));
    world.renew(&first.certificate, &appliance.renew_request()).unwrap();
}
