//! Acts of the control plane in a bundle: signed by it, of this clinic, one after the other, and none taken out.

use control_plane::bundle::{GapKind, verify::Status};
use proto::{act::Deed, digest::Digest, ids::TenantId, keys::SecretKey, time::Millis};

use crate::{
    check, fault_in, status_of,
    tenant::{HOUR, Tenant, at},
};

const CLAIM: &str = "Every act of the control plane";

/// Three acts among the records of one box.
fn tenant() -> Tenant {
    let mut tenant = Tenant::new(1, at("2026-11-03T06:00:00Z"));
    let n = tenant.enrol(false);
    let mut previous = Digest::ZERO;
    for index in 0..3 {
        tenant.wait(HOUR);
        tenant.heartbeat(n);
        let act =
            tenant.act(index, previous, Deed::Access { name: format!("bob {index}"), until: tenant.now });
        let envelope = act.seal(&tenant.order_key).unwrap();
        previous = Digest::of(&envelope);
        tenant.evidence.push(envelope);
    }
    tenant.wait(HOUR / 2);
    tenant
}

/// Where the act of that number lies in the log.
fn place(index: u64) -> usize {
    2 + 2 * usize::try_from(index).unwrap()
}

#[test]
fn acts_are_proven_and_say_what_was_done() {
    let tenant = tenant();
    let bundle = tenant.bundle();
    let report = check(&tenant, &bundle);
    assert_eq!(report.exit_code(), 0, "{report}");
    let claim = report.claims.iter().find(|claim| claim.claim.starts_with(CLAIM)).unwrap();
    assert_eq!((claim.status, claim.count), (Status::Proven, 3));
    let manifest = String::from_utf8(bundle.files()["manifest.json"].clone()).unwrap();
    assert!(manifest.contains("record 2, by alice: bob 0 was given access until"), "{manifest}");
}

#[test]
fn a_forged_act_is_found() {
    type Forge = fn(&mut proto::act::Act, &mut SecretKey);
    let cases: [(&str, Forge, &str); 5] = [
        ("another key", |_, key| *key = SecretKey::ed25519([99; 32]), "not signed by an order key"),
        (
            "another tenant",
            |act, _| act.tenant = TenantId::new(Millis(0), [9; 10]),
            "another tenant than the log",
        ),
        ("another organization", |act, _| act.organization = "other.example".into(), "another charter"),
        ("another past", |act, _| act.chain.previous = Digest::of(b"other"), "does not follow record 2"),
        ("the same number", |act, _| act.chain.index = 0, "act 0 and does not follow record 2"),
    ];
    for (case, forge, says) in cases {
        let mut tenant = tenant();
        let before = Digest::of(&tenant.evidence[place(0)]);
        let mut act = tenant.act(1, before, Deed::AccessEnd { name: "bob".into() });
        let mut key = SecretKey::ed25519([0; 32]);
        std::mem::swap(&mut key, &mut tenant.order_key);
        forge(&mut act, &mut key);
        tenant.evidence.truncate(place(1));
        tenant.evidence.push(act.seal(&key).unwrap());
        let report = check(&tenant, &tenant.bundle());
        assert_eq!(report.exit_code(), 1, "{case}: {report}");
        assert!(fault_in(&report, "evidence/").contains(says), "{case}: {report}");
        assert_eq!(status_of(&report, CLAIM), Status::NotProven, "{case}");
    }
}

/// Whoever keeps the log can leave an act out of it before anybody sees a checkpoint; not without its successor saying so.
#[test]
fn an_act_that_was_left_out_is_a_gap() {
    let mut tenant = Tenant::new(1, at("2026-11-03T06:00:00Z"));
    let n = tenant.enrol(false);
    let first = tenant.act(0, Digest::ZERO, Deed::Access { name: "eve".into(), until: tenant.now });
    let first = Digest::of(&first.seal(&tenant.order_key).unwrap());
    let second = tenant.act(1, first, Deed::AccessEnd { name: "eve".into() });
    tenant.evidence.push(second.seal(&tenant.order_key).unwrap());
    tenant.wait(HOUR / 2);
    tenant.heartbeat(n);
    let report = check(&tenant, &tenant.bundle());
    assert_eq!(report.exit_code(), 3, "{report}");
    assert!(
        report.gaps.iter().any(|gap| gap.kind == GapKind::Hole && gap.what.contains("act 0 is not here"))
    );
}

#[test]
fn what_the_control_plane_says_is_missing_is_a_gap_with_its_cause() {
    let mut tenant = Tenant::new(1, at("2026-11-03T06:00:00Z"));
    let n = tenant.enrol(false);
    let (appliance, now) = (tenant.boxes[n].id, tenant.now);
    let gap = |cause: &str| Deed::Gap { appliance, cause: cause.into(), amount: 7, first: now, last: now };
    let full = tenant.act(0, Digest::ZERO, gap("buffer-full")).seal(&tenant.order_key).unwrap();
    let hole = tenant.act(1, Digest::of(&full), gap("chain-hole")).seal(&tenant.order_key).unwrap();
    tenant.evidence.extend([full, hole]);
    tenant.wait(HOUR / 2);
    tenant.heartbeat(n);
    let report = check(&tenant, &tenant.bundle());
    let reported: Vec<_> = report.gaps.iter().filter(|gap| gap.kind == GapKind::Reported).collect();
    assert_eq!(reported.len(), 1, "a hole is what the chain itself shows: {report}");
    assert!(reported[0].what.contains("7 of what it was to report never came: buffer-full"), "{report}");
    assert_eq!(reported[0].appliance, Some(appliance));
}

/// An act of a newer version is in its place; what it says, nobody here has read.
#[test]
fn a_newer_act_is_not_vouched_for() {
    let mut tenant = tenant();
    let before = Digest::of(&tenant.evidence[place(2)]);
    let act = tenant.act(3, before, Deed::AccessEnd { name: "bob".into() });
    let payload =
        |envelope: &[u8]| proto::dsse::Envelope::parse(envelope).unwrap().unverified_payload().to_vec();
    let known = String::from_utf8(payload(&act.seal(&tenant.order_key).unwrap())).unwrap();
    let statement: serde_json::Value = serde_json::from_str(&known).unwrap();
    let predicate = serde_json::to_string(&statement["predicate"]).unwrap();
    let newer = predicate.replace("access-end", "time-travel");
    let text = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"record","digest":{{"sha256":"{}"}}}}],"predicateType":"urn:orderly:act:v1","predicate":{newer}}}"#,
        Digest::of(newer.as_bytes())
    );
    tenant.evidence.push(proto::dsse::seal(
        proto::evidence::STATEMENT_PAYLOAD_TYPE,
        text.as_bytes(),
        &[&tenant.order_key],
    ));
    let report = check(&tenant, &tenant.bundle());
    assert_eq!((report.exit_code(), report.fault_count), (3, 0), "{report}");
    assert_eq!(status_of(&report, CLAIM), Status::Proven);
    assert_eq!(status_of(&report, "What every record says"), Status::Missing);
}

/// A key that was taken away, or whose charter has ended: not proven, and said.
#[test]
fn an_act_under_a_charter_that_had_ended_is_not_proven() {
    let mut tenant = tenant();
    let before = Digest::of(&tenant.evidence[place(2)]);
    let mut act = tenant.act(3, before, Deed::AccessEnd { name: "bob".into() });
    act.at = tenant.charter.not_after;
    tenant.evidence.push(act.seal(&tenant.order_key).unwrap());
    let report = check(&tenant, &tenant.bundle());
    assert_eq!((report.exit_code(), report.fault_count), (3, 0), "{report}");
    assert_eq!(status_of(&report, CLAIM), Status::Missing);
}
