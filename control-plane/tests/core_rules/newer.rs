//! Evidence of a newer version of the appliance's program: genuine, so it is kept, and never acted on. And the way out of
//! a quarantine.

use control_plane::{
    bundle::{self, verify::Status},
    core::{CoreError, export},
    store::Store,
    vault::Vault as _,
};
use proto::{
    digest::Digest,
    dsse,
    evidence::{self, Body, Hold},
    keys::SecretKey,
    sync::Record,
};
use serde_json::{Value, json};

use crate::{
    appliance::Appliance,
    world::{DAY, DISK, MINUTE, World, bad_field},
};

/// The next record of a box, as `change` makes it, with another predicate and its digest put right.
fn newer(
    world: &World,
    appliance: &Appliance,
    key: &SecretKey,
    change: impl FnOnce(&mut Value, &mut Value),
) -> Vec<u8> {
    let body = Body::Hold(Hold { held: true, by: "file".into(), checkpoint: None });
    let sealed = evidence::seal(&appliance.record(world.now, body), key).unwrap();
    let payload = dsse::Envelope::parse(&sealed).unwrap().unverified_payload().to_vec();
    let mut statement: Value = serde_json::from_slice(&payload).unwrap();
    let mut predicate = statement["predicate"].take();
    change(&mut statement, &mut predicate);
    let text = serde_json::to_string(&predicate).unwrap();
    statement["subject"][0]["digest"]["sha256"] = Digest::of(text.as_bytes()).to_string().into();
    statement["predicate"] = predicate;
    dsse::seal(evidence::STATEMENT_PAYLOAD_TYPE, &serde_json::to_vec(&statement).unwrap(), &[key])
}

/// Another field, another kind of body, another version altogether.
type Change = fn(&mut Value, &mut Value);
const CHANGES: [(&str, Change); 3] = [
    ("a field", |_, predicate| predicate["weather"] = json!("fine")),
    ("a body", |_, predicate| predicate["body"] = json!({ "kind": "attestation", "quote": "xyz" })),
    ("a version", |statement, predicate| {
        statement["predicateType"] = json!("urn:orderly:evidence:v2");
        predicate["chain"]["shard"] = json!(7);
        predicate["identity"]["floor"] = json!("second");
        predicate["clock"] = json!({ "at": predicate["clock"]["at"], "source": "gps" });
        predicate["key_protection"] = json!("enclave");
    }),
];

#[test]
fn genuine_evidence_of_a_newer_version_is_kept_and_acted_on_by_nobody() {
    for (case, change) in CHANGES {
        let mut world = World::new();
        let mut appliance = world.appliance();
        let envelope = newer(&world, &appliance, &appliance.evidence_key, change);
        appliance.head = appliance.head.after(Digest::of(&envelope));
        appliance.unproven.push(envelope.clone());
        let beat = appliance.heartbeat(world.now);
        let event = appliance.event(world.now, DISK, "uploads", proto::sync::Phase::Raised);
        let response = world.send(&mut appliance, vec![Record::Evidence(envelope.clone()), beat, event]);
        assert_eq!((response.quarantine.as_str(), response.evidence_next), ("", 4), "{case}");
        // Held, had it been understood.
        assert_eq!(response.orders.len(), 1, "{case}");
        world.call(&mut appliance);
        assert!(appliance.unproven.is_empty(), "{case}: proven to its executor");
        assert_eq!(
            world.text("SELECT kind FROM evidence WHERE kind != 'enrolment' AND chain_index = 2"),
            "unknown",
            "{case}"
        );
        assert_eq!(world.count("SELECT count(*) FROM gap"), 0, "{case}");
        let packed = world.vault.get(&format!("{}/entries/0000000004", world.tenant)).unwrap().unwrap();
        assert_eq!(proto::log::unpack(&packed).unwrap()[0], envelope, "{case}");

        // And a verifier says what it could not read.
        let row = world.core.tenant(&world.tenant.clone()).unwrap();
        let store = Store::with(world.db.share()).unwrap();
        let parts = export::parts(&store, &row, world.core.charter(), None, world.now.plus(MINUTE)).unwrap();
        let bundle = bundle::export::build(&parts).unwrap();
        let report = bundle::verify::verify(&bundle, Some(&world.safe.trust), world.now.plus(MINUTE));
        assert_eq!(
            (report.exit_code(), report.fault_count, report.gaps.len()),
            (3, 0, 0),
            "{case}: {report}"
        );
        let unread: Vec<_> = report.claims.iter().filter(|claim| claim.status == Status::Missing).collect();
        assert_eq!(unread.len(), 1, "{case}: {report}");
        assert!(unread[0].reason.contains("of a newer version; signature and chain checked, content not"));
    }
}

/// Newer is no excuse: it must still be signed, in its place, and about its own box.
#[test]
fn what_only_claims_to_be_newer_is_refused() {
    let stranger = SecretKey::ed25519([66; 32]);
    for (_, change) in CHANGES {
        let mut world = World::new();
        let mut appliance = world.appliance();
        let envelope = newer(&world, &appliance, &stranger, change);
        let response = world.send(&mut appliance, vec![Record::Evidence(envelope)]);
        assert!(response.quarantine.contains("not signed"), "{}", response.quarantine);
    }
    let no_place: Change = |_, predicate| predicate["chain"] = json!({ "index": 2 });
    let of_another: Change = |_, predicate| {
        predicate["weather"] = json!("fine");
        predicate["identity"]["tenant"] = json!("0190a0c0-0000-7000-8000-0000000000ff");
    };
    for (change, says) in
        [(no_place, "not a record of any version"), (of_another, "another organization, tenant")]
    {
        let mut world = World::new();
        let mut appliance = world.appliance();
        let envelope = newer(&world, &appliance, &appliance.evidence_key, change);
        let response = world.send(&mut appliance, vec![Record::Evidence(envelope)]);
        assert!(response.quarantine.contains(says), "{}", response.quarantine);
    }
}

#[test]
fn a_person_ends_a_quarantine_and_says_why() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let (id, now) = (appliance.id().to_string(), world.now);
    let active = world.core.run(now, |core| core.readmit_appliance(&id, "it was nothing", now).map(drop));
    assert!(matches!(active, Err(CoreError::Precondition(why)) if why.contains("active, not quarantined")));
    world.send(&mut appliance, vec![Record::Evidence(b"{}".to_vec())]);
    let event = appliance.event(world.now, DISK, "uploads", proto::sync::Phase::Raised);
    assert!(world.send(&mut appliance, vec![event]).orders.is_empty());

    let silent = world.core.run(now, |core| core.readmit_appliance(&id, "", now).map(drop));
    assert_eq!(bad_field(silent), "why");
    world.core.take_wakes();
    let row = world.core.run(now, |core| core.readmit_appliance(&id, "the disk was exchanged", now)).unwrap();
    assert_eq!(
        (row.state.name(), row.state_reason.as_str()),
        ("active", "readmitted: the disk was exchanged")
    );
    assert_eq!(world.core.take_wakes(), [appliance.id()].into());
    let said = "SELECT group_concat(what || ': ' || detail) FROM timeline JOIN incident ON incident.id = incident \
                WHERE kind = 'appliance.quarantined' AND what = 'readmitted'";
    assert_eq!(world.text(said), "readmitted: the disk was exchanged");
    let response = world.call(&mut appliance);
    assert_eq!((response.quarantine.as_str(), response.orders.len()), ("", 1));
    world.restart();
    assert!(world.call(&mut appliance).quarantine.is_empty());
    // What happens again is told again; and revoked is for good.
    world.wait(DAY);
    world.send(&mut appliance, vec![Record::Evidence(b"{}".to_vec())]);
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE kind = 'appliance.quarantined'"), 2);
    let now = world.now;
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    let revoked = world.core.run(now, |core| core.readmit_appliance(&id, "found", now).map(drop));
    assert!(matches!(revoked, Err(CoreError::Precondition(why)) if why.contains("is revoked")));
}
