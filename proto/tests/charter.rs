//! The charter: 2 of 3, its age, its succession, and what must not stand in one, whoever signed it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use proto::{
    charter::{
        Approver, CHARTER_TYPE, CHARTER_WARN_BEFORE, Charter, CharterError, OrganizationKeys, Quorum,
        succession,
    },
    digest::Digest,
    dsse::{self, EnvelopeError},
    keys::SecretKey,
    log::{VerifierKey, WitnessKey},
    time::Millis,
};

const DAY: Duration = Duration::from_secs(86_400);
const AUTHORITY: &str = include_str!("vectors/authority.pem");
const ISSUED: Millis = Millis(1_790_000_000_000);

fn key(seed: u8) -> SecretKey {
    SecretKey::ed25519([seed; 32])
}

fn trust() -> OrganizationKeys {
    OrganizationKeys {
        organization: "msp.example".into(),
        threshold: 2,
        keys: (1..=3).map(|n| key(n).public()).collect(),
    }
}

fn charter() -> Charter {
    Charter {
        organization: "msp.example".into(),
        serial: 7,
        issued: ISSUED,
        not_after: ISSUED.plus(180 * DAY),
        order_keys: [key(11).public()].into(),
        log_keys: [key(12).public()].into(),
        release_keys: Quorum { threshold: 2, keys: [key(13).public(), key(14).public()].into() },
        certificate_authorities: vec![AUTHORITY.into()],
        witnesses: Vec::new(),
        approvers: Vec::new(),
    }
}

fn witness(name: &str, seed: u8) -> String {
    WitnessKey::new(name, &key(seed).public()).expect("a key that cosigns").to_string()
}

/// A person with a passkey of their own.
fn approver(name: &str) -> Approver {
    Approver {
        name: name.into(),
        key: SecretKey::generate_p256().public(),
        rp_id: "msp.example".into(),
        origin: "https://msp.example".into(),
    }
}

fn signed_by(seeds: &[u8]) -> Result<Charter, CharterError> {
    let keys: Vec<_> = seeds.iter().map(|seed| key(*seed)).collect();
    let keys: Vec<_> = keys.iter().collect();
    trust().open(&charter().seal(&keys)).map(dsse::Verified::into_value)
}

#[test]
fn two_different_organization_keys_make_a_charter() {
    for good in [&[1, 2][..], &[1, 3], &[2, 3], &[1, 2, 3], &[9, 3, 8, 1]] {
        assert_eq!(signed_by(good), Ok(charter()), "{good:?}");
    }
    for (bad, found) in
        [(&[][..], 0), (&[1], 1), (&[1, 1], 1), (&[2, 9], 1), (&[8, 9], 0), (&[11, 12, 13], 0)]
    {
        let refused = CharterError::Signature(EnvelopeError::NotEnough { found, needed: 2 });
        assert_eq!(signed_by(bad), Err(refused), "{bad:?}");
    }
}

#[test]
fn a_second_signer_signs_what_the_first_did() {
    let begun = charter().seal(&[&key(1)]);
    assert!(trust().open(&begun).is_err());
    let done = dsse::countersign(&begun, &key(3)).unwrap();
    assert_eq!(trust().open(&done).unwrap().value(), &charter());
    assert!(trust().open(&dsse::countersign(&begun, &key(1)).unwrap()).is_err(), "the same again is one");
}

#[test]
fn signatures_for_another_purpose_do_not_count() {
    let payload = serde_json::to_vec(&charter()).unwrap();
    let other = dsse::seal("application/vnd.orderly.catalogue.v1+json", &payload, &[&key(1), &key(2)]);
    assert!(matches!(trust().open(&other), Err(CharterError::Signature(EnvelopeError::WrongType { .. }))));
}

#[test]
fn another_organizations_charter_is_not_ours_even_under_our_keys() {
    let other = Charter { organization: "other.example".into(), ..charter() };
    let refused = trust().open(&other.seal(&[&key(1), &key(2)])).unwrap_err();
    assert!(matches!(refused, CharterError::Content(bad) if bad.field == "organization"));
}

#[test]
fn what_must_not_stand_in_a_charter_is_refused_whoever_signed_it() {
    type Change = fn(&mut Charter);
    let cases: [(&str, Change); 33] = [
        ("organization", |c| c.organization.clear()),
        ("organization", |c| c.organization = "MSP.example".into()),
        ("organization", |c| c.organization = "msp.example/tenant".into()),
        ("serial", |c| c.serial = 0),
        ("not_after", |c| c.not_after = c.issued),
        ("not_after", |c| c.not_after = c.issued.plus(180 * DAY).plus(Duration::from_millis(1))),
        ("not_after", |c| {
            (c.issued, c.not_after) = (Millis(-200_000_000_000_000), Millis(200_000_000_000_000))
        }),
        ("order_keys", |c| c.order_keys.clear()),
        ("log_keys", |c| c.log_keys.clear()),
        ("log_keys", |c| c.log_keys = [SecretKey::generate_p256().public()].into()),
        ("certificate_authorities", |c| c.certificate_authorities.clear()),
        ("organization", |c| c.organization = "a".repeat(256)),
        ("certificate_authorities", |c| c.certificate_authorities.push("PEM".into())),
        ("certificate_authorities", |c| c.certificate_authorities = vec![format!("{AUTHORITY}{AUTHORITY}")]),
        ("certificate_authorities", |c| c.certificate_authorities = vec![AUTHORITY.replace("MI", "MJ")]),
        ("certificate_authorities", |c| {
            c.certificate_authorities = vec![AUTHORITY.replace("CERTIFICATE", "PRIVATE KEY")]
        }),
        ("witnesses", |c| c.witnesses = vec!["w+00000000+AAAA".into()]),
        // A log's key signs notes; it is nobody's witness.
        ("witnesses", |c| c.witnesses = vec![VerifierKey::new("w", &key(12).public()).unwrap().to_string()]),
        ("witnesses", |c| c.witnesses = vec![witness("w", 20), witness("w", 21)]),
        ("witnesses", |c| c.witnesses = vec![witness("w", 20), witness("v", 20)]),
        // Words of the policy that names them to other people's verifiers.
        ("witnesses", |c| c.witnesses = vec![witness("none", 20)]),
        ("witnesses", |c| c.witnesses = vec![witness("witnesses", 20)]),
        ("witnesses", |c| c.witnesses = (0..33).map(|n| witness(&format!("w{n}"), 20 + n)).collect()),
        ("approvers[1].name", |c| c.approvers = vec![approver("owner"), approver("owner")]),
        ("approvers[0].name", |c| c.approvers = vec![approver("")]),
        ("approvers[1].key", |c| {
            let first = approver("owner");
            c.approvers = vec![first.clone(), Approver { name: "another".into(), ..first }]
        }),
        ("approvers[0].key", |c| c.approvers = vec![Approver { key: key(1).public(), ..approver("owner") }]),
        ("approvers[0].rp_id", |c| {
            c.approvers = vec![Approver { rp_id: String::new(), ..approver("owner") }]
        }),
        ("approvers[0].origin", |c| {
            c.approvers = vec![Approver { origin: "a\nb".into(), ..approver("owner") }]
        }),
        ("release_keys", |c| c.release_keys.threshold = 1),
        ("release_keys", |c| c.release_keys.threshold = 0),
        ("release_keys", |c| c.release_keys.threshold = 3),
        ("release_keys", |c| c.release_keys.keys = [key(13).public()].into()),
    ];
    for (field, change) in cases {
        let mut charter = charter();
        change(&mut charter);
        match trust().open(&charter.seal(&[&key(1), &key(2), &key(3)])) {
            Err(CharterError::Content(bad)) => assert_eq!(bad.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn witnesses_and_approvers_may_stand_in_it() {
    let mut charter = charter();
    // From the C2SP key of type 0x04: the ID is over name, newline, type and key.
    let encoded = [vec![4], vec![7; 32]].concat();
    let id = Digest::of(&[b"witness.example/w1\n", encoded.as_slice()].concat()).to_string()[..8].to_owned();
    charter.witnesses = vec![format!("witness.example/w1+{id}+{}", STANDARD.encode(encoded))];
    charter.witnesses.extend((0..31).map(|n| witness(&format!("w{n}"), 20 + n)));
    charter.approvers = vec![approver("owner"), approver("another")];
    assert_eq!(charter.check(), Ok(()));
    let keys = charter.witness_keys();
    assert_eq!(keys.iter().map(ToString::to_string).collect::<Vec<_>>(), charter.witnesses);
}

#[test]
fn unknown_and_doubled_words_are_refused() {
    let good = serde_json::to_string(&charter()).unwrap();
    for bad in [
        good.replacen('{', r#"{"more":1,"#, 1),
        good.replacen('{', r#"{"serial":9,"#, 1),
        good.replace(r#""serial":7"#, r#""serial":-7"#),
        good.replace(r#""serial":7"#, r#""serial":7.0"#),
        good[..good.len() - 1].to_owned(),
        format!("{good}{good}"),
        String::new(),
    ] {
        let sealed = dsse::seal(CHARTER_TYPE, bad.as_bytes(), &[&key(1), &key(2)]);
        assert!(matches!(trust().open(&sealed), Err(CharterError::Content(_))), "{bad}");
    }
}

#[test]
fn a_trust_file_needs_at_least_two_of_at_least_as_many() {
    let file = |threshold: usize, seeds: &[u8]| {
        let keys: Vec<String> =
            seeds.iter().map(|seed| format!("{:?}", key(*seed).public().to_string())).collect();
        let text = format!(
            r#"{{"organization":"msp.example","threshold":{threshold},"keys":[{}]}}"#,
            keys.join(",")
        );
        OrganizationKeys::parse(text.as_bytes())
    };
    assert_eq!(file(2, &[1, 2, 3]), Ok(trust()));
    assert!(file(3, &[1, 2, 3]).is_ok());
    for (threshold, seeds) in
        [(0, &[1, 2, 3][..]), (1, &[1, 2, 3]), (4, &[1, 2, 3]), (2, &[1]), (2, &[1, 1, 1]), (2, &[])]
    {
        assert_eq!(file(threshold, seeds).unwrap_err().field, "trust", "{threshold} of {seeds:?}");
    }
    for text in [&b""[..], b"{}", br#"{"organization":"x","threshold":2,"keys":[],"more":1}"#] {
        assert_eq!(OrganizationKeys::parse(text).unwrap_err().field, "trust");
    }
}

#[test]
fn its_age() {
    let charter = charter();
    let end = charter.not_after;
    for (now, holds, warns) in [
        (ISSUED, true, false),
        (end.minus(CHARTER_WARN_BEFORE).minus(Duration::from_millis(1)), true, false),
        (end.minus(CHARTER_WARN_BEFORE), true, true),
        (Millis(end.0 - 1), true, true),
        (end, false, true),
        (end.plus(1000 * DAY), false, true),
    ] {
        assert_eq!((charter.holds_at(now), charter.warning(now).is_some()), (holds, warns), "{now}");
    }
    assert!(charter.warning(end.minus(59 * DAY)).unwrap().contains("in 59 days"));
    assert!(charter.warning(end).unwrap().contains("no order is signed"));
}

#[test]
fn succession_by_table() {
    let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
    for (case, newest, offered, expected) in [
        ("the first", None, (3, one), Ok(true)),
        ("a newer", Some((3, one)), (4, other), Ok(true)),
        ("far newer", Some((3, one)), (u64::MAX, other), Ok(true)),
        ("the same", Some((3, one)), (3, one), Ok(false)),
        ("another of one serial", Some((3, one)), (3, other), Err(CharterError::Forked(3))),
        ("an older", Some((3, one)), (2, one), Err(CharterError::Older { offered: 2, newest: 3 })),
    ] {
        assert_eq!(succession(newest, offered), expected, "{case}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a holder of fewer than two keys sends, in whatever envelope: never a charter.
    #[test]
    fn one_key_makes_no_charter(seeds in prop::collection::vec(prop_oneof![Just(2_u8), 10..40_u8], 0..8), cut in 0..2000_usize) {
        let keys: Vec<_> = seeds.iter().map(|seed| key(*seed)).collect();
        let sealed = charter().seal(&keys.iter().collect::<Vec<_>>());
        prop_assert!(trust().open(&sealed).is_err());
        prop_assert!(trust().open(&sealed[..cut.min(sealed.len())]).is_err());
    }

    #[test]
    fn a_flipped_bit_is_no_charter(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let good = charter().seal(&[&key(1), &key(2)]);
        let mut flipped = good.clone();
        let at = at.index(flipped.len());
        flipped[at] ^= 1 << bit;
        if let Ok(opened) = trust().open(&flipped) {
            // The hint decides nothing, so it may change; what is said may not.
            prop_assert_eq!(opened.value(), &charter());
        }
    }
}

mod successions {
    use proto::{
        ids::TenantId,
        log::{Hash, Head, log_origin, origin_of},
        succession::{Cause, NamedHead, SUCCESSION_TYPE, Succession, SuccessionError},
    };

    use super::*;

    fn tenant() -> TenantId {
        "0190a0c0-0000-7000-8000-000000000001".parse().expect("an ID")
    }

    fn head(size: u64, byte: u8) -> Head {
        Head { size, root: Hash([byte; 32]) }
    }

    fn succession() -> Succession {
        let old = NamedHead::new(log_origin("msp.example", tenant()), head(7, 9));
        Succession::of("msp.example", tenant(), old, Cause::EntriesLost, ISSUED).expect("a good one")
    }

    #[test]
    fn two_of_three_organization_keys_say_what_follows_a_log() {
        let said = succession();
        assert_eq!((said.number(), &said.new.origin), (2, &origin_of("msp.example", tenant(), 2)));
        let one = said.seal(&[&key(1)]);
        let two = dsse::countersign(&one, &key(3)).expect("an envelope");
        assert_eq!(trust().open_succession(&two).expect("two signed").value(), &said);
        for (envelope, found) in [
            (one, 1),
            (said.seal(&[&key(1), &key(1)]), 1),
            (said.seal(&[&key(11), &key(12), &key(2)]), 1),
            (said.seal(&[]), 0),
        ] {
            let refused = trust().open_succession(&envelope);
            assert_eq!(
                refused.map(|_| ()),
                Err(SuccessionError::Signature(EnvelopeError::NotEnough { found, needed: 2 }))
            );
        }
        // What the same keys signed as something else is none.
        let payload = said.encode();
        let as_charter = dsse::seal(CHARTER_TYPE, &payload, &[&key(1), &key(2)]);
        assert!(trust().open_succession(&as_charter).is_err());
        let charter = dsse::seal(SUCCESSION_TYPE, &payload, &[&key(1), &key(2)]);
        assert!(trust().open(&charter).is_err());
    }

    #[test]
    fn what_must_not_stand_in_one_names_its_field() {
        let name = |number| origin_of("msp.example", tenant(), number);
        type Change = Box<dyn Fn(&mut Succession)>;
        let changes: Vec<(&str, Change)> = vec![
            ("organization", Box::new(|s| s.organization = "other.example".into())),
            ("old.origin", Box::new(|s| s.tenant = "0190a0c0-0000-7000-8000-000000000002".parse().unwrap())),
            ("old.origin", Box::new(|s| s.old.origin = "evidence.msp.example/x".into())),
            ("new.origin", Box::new(move |s| s.new.origin = name(3))),
            ("new.origin", Box::new(move |s| s.new.origin = name(1))),
            ("old.root", Box::new(|s| s.old.size = 0)),
            ("new", Box::new(|s| s.new = NamedHead::new(s.new.origin.clone(), head(1, 1)))),
        ];
        for (field, change) in changes {
            let mut said = succession();
            change(&mut said);
            let refused = trust().open_succession(&said.seal(&[&key(1), &key(2)])).map(|_| ());
            match refused {
                Err(SuccessionError::Content(bad)) => {
                    assert!(field == "organization" || bad.field == field, "{bad}")
                }
                other => panic!("{field}: {other:?}"),
            }
        }
        // Well made, and of another organization than is trusted.
        let old = NamedHead::new(log_origin("other.example", tenant()), head(7, 9));
        let theirs = Succession::of("other.example", tenant(), old, Cause::Other, ISSUED).unwrap();
        let refused = trust().open_succession(&theirs.seal(&[&key(1), &key(2)])).map(|_| ());
        assert!(matches!(refused, Err(SuccessionError::Content(bad)) if bad.field == "organization"));
    }

    #[test]
    fn nobody_follows_who_has_seen_more_or_something_else() {
        let said = succession();
        for seen in [Head::EMPTY, head(1, 1), head(6, 200), head(7, 9)] {
            assert_eq!(said.is_after(seen), Ok(()), "{seen:?}");
        }
        assert_eq!(said.is_after(head(7, 8)), Err(SuccessionError::Contradicts(7)));
        assert_eq!(said.is_after(head(8, 9)), Err(SuccessionError::Forgets { named: 7, seen: 8 }));
        assert!(said.is_after(head(u64::MAX, 9)).is_err());
    }
}
