//! Standing orders under attack: from a valid one among valid facts, one thing at a time goes wrong.

use std::time::Duration;

use proptest::prelude::*;
use proto::{
    dsse,
    ids::{ApplianceId, Incarnation, TenantId},
    standing::{STANDING_LIFETIME_MAX, STANDING_MOST, STANDING_TYPE, StandingOrder},
    time::Millis,
};
use runbooks::{Guardrail, Mode, Refusal, Risk, admit_standing, verify_standing};

use crate::case::{Case, KEYS, hours, valid};

const DAY: Duration = Duration::from_secs(86_400);
const MS: Duration = Duration::from_millis(1);

/// A case for a standing order: low risk, nobody needs to agree, one parameter.
fn case_of(mut case: Case) -> (Case, StandingOrder) {
    case.runbook().risk = Risk::Low;
    case.policy.modes.insert(Risk::Low, Mode::Automatic);
    let first = case.core.parameters.keys().next().expect("a case has a parameter").clone();
    case.runbook().parameters.retain(|name, _| *name == first);
    let canonical = case.runbook().canonical();
    let entry = case.catalogue.entries.get_mut(&case.core.runbook).expect("it is there");
    entry.digest = proto::digest::Digest::of(&canonical);
    let standing = StandingOrder {
        id: case.core.id,
        organization: case.core.organization.clone(),
        tenant: case.core.tenant,
        site: case.core.site,
        appliance: case.core.appliance,
        incarnation: case.core.incarnation,
        runbook: case.core.runbook.clone(),
        runbook_digest: entry.digest,
        trigger: entry.runbook.triggers[0].to_string(),
        watch: case.core.parameters[&first].clone(),
        most: 5,
        issued: case.now().minus(DAY),
        expires: case.now().plus(DAY),
        charter_serial: case.charter.serial,
        policy_serial: case.policy_serial,
    };
    (case, standing)
}

fn ask(case: &Case, standing: &StandingOrder, used: u32) -> Result<Vec<Guardrail>, Refusal> {
    let verified = verify_standing(&standing.seal(&KEYS.order), &case.charter, case.now)?;
    admit_standing(&verified, used, &case.facts()).map(|admitted| {
        assert_eq!(admitted.order().sequence, u64::from(used) + 1);
        assert_eq!(admitted.order().core.parameters.values().collect::<Vec<_>>(), [&standing.watch]);
        admitted.passed().to_vec()
    })
}

type Change = fn(&mut Case, &mut StandingOrder);

const CHANGES: &[(Guardrail, &str, Change)] = &[
    (Guardrail::Binding, "another organization", |_, s| s.organization = "other.example".into()),
    (Guardrail::Binding, "another tenant", |_, s| s.tenant = TenantId::new(Millis(1), [0xee; 10])),
    (Guardrail::Binding, "another box", |_, s| s.appliance = ApplianceId::new(Millis(1), [0xee; 10])),
    (Guardrail::Binding, "another incarnation", |_, s| {
        s.incarnation = Incarnation([s.incarnation.0[0].wrapping_add(1); 16]);
    }),
    (Guardrail::Freshness, "no trusted time", |c, _| c.now = None),
    (Guardrail::Freshness, "expired now", |c, s| s.expires = c.now()),
    (Guardrail::Freshness, "lives too long", |_, s| s.expires = s.issued.plus(STANDING_LIFETIME_MAX + MS)),
    (Guardrail::Freshness, "ends before it begins", |_, s| s.expires = s.issued),
    (Guardrail::Freshness, "from the future", |c, s| s.issued = c.now().plus(Duration::from_millis(30_001))),
    (Guardrail::Replay, "an older charter", |c, _| c.charter.serial += 1),
    (Guardrail::Replay, "for nothing", |_, s| s.most = 0),
    (Guardrail::Replay, "without measure", |_, s| s.most = STANDING_MOST + 1),
    (Guardrail::Allowlist, "another policy", |c, _| c.policy_serial += 1),
    (Guardrail::Allowlist, "policy wants none", |c, _| c.policy.standing_orders = false),
    (Guardrail::Allowlist, "not allowed", |c, _| c.policy.allow = Some([].into())),
    (Guardrail::Allowlist, "medium risk", |c, _| c.runbook().risk = Risk::Medium),
    (Guardrail::Allowlist, "high risk", |c, _| c.runbook().risk = Risk::High),
    (Guardrail::Allowlist, "destructive", |c, _| c.runbook().risk = Risk::Destructive),
    (Guardrail::Digest, "another wording", |_, s| s.runbook_digest.0[0] ^= 1),
    (Guardrail::Digest, "no such runbook", |c, s| {
        (c.policy.allow, c.policy.sites) = (None, std::collections::BTreeMap::new());
        s.runbook = "RB-NONE-001".parse().expect("a name");
    }),
    (Guardrail::Parameters, "not on the list", |_, s| s.watch = "nowhere".parse().expect("a slug")),
    (Guardrail::Parameters, "another kind", |_, s| s.watch = "unused".parse().expect("a slug")),
    (Guardrail::Parameters, "no fault", |_, s| s.trigger = "rm -rf".into()),
    (Guardrail::Parameters, "another fault", |_, s| s.trigger = "log.match".into()),
    (Guardrail::Cooldown, "too soon", |c, _| {
        c.runbook().cooldown_seconds = 60;
        c.history.since_last = Some(Duration::ZERO);
    }),
    (Guardrail::Budget, "too often", |c, _| c.history.appliance_hour = c.policy.per_appliance_hour),
    (Guardrail::Window, "needs approval", |c, _| {
        c.policy.modes.insert(Risk::Low, Mode::Approval);
    }),
    (Guardrail::Window, "never", |c, _| {
        c.policy.modes.insert(Risk::Low, Mode::Never);
    }),
    (Guardrail::Window, "frozen", |c, _| c.policy.freeze_until = Some(c.now().plus(MS))),
    (Guardrail::Window, "people are at work", |c, _| {
        c.runbook().disruptive = Some(true);
        c.policy.clinic_hours = hours(c.now(), 0, 0);
    }),
    (Guardrail::Hold, "held at the box", |c, _| c.hold = Some("file".into())),
    (Guardrail::Hold, "held by policy", |c, _| c.policy.hold = Some("no".into())),
    (Guardrail::Hold, "shadow mode", |c, _| c.policy.shadow_until = Some(c.now().plus(MS))),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_valid_one_passes_until_it_is_used_up(case in valid()) {
        let (case, standing) = case_of(case);
        for used in 0..5 {
            let passed = ask(&case, &standing, used).map_err(|r| TestCaseError::fail(r.to_string()))?;
            let numbers: Vec<u8> = passed.iter().map(|guardrail| guardrail.number()).collect();
            prop_assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12]);
        }
        for used in [5, 6, u32::MAX] {
            prop_assert_eq!(ask(&case, &standing, used).unwrap_err().guardrail, Guardrail::Replay);
        }
    }

    #[test]
    fn one_thing_wrong_is_refused_by_its_guardrail(case in valid()) {
        for (guardrail, name, change) in CHANGES {
            let (mut case, mut standing) = case_of(case.clone());
            change(&mut case, &mut standing);
            match ask(&case, &standing, 0) {
                Ok(_) => prop_assert!(false, "{} passes", name),
                Err(refusal) => prop_assert_eq!(refusal.guardrail, *guardrail, "{}: {}", name, refusal),
            }
        }
    }

    #[test]
    fn only_an_order_key_gives_one(case in valid(), flip in any::<prop::sample::Index>()) {
        let (case, standing) = case_of(case);
        let by_stranger = standing.seal(&KEYS.stranger);
        let as_order = dsse::seal(proto::order::ORDER_TYPE, &standing.encode(), &[&KEYS.order]);
        let garbage = dsse::seal(STANDING_TYPE, b"{}", &[&KEYS.order]);
        for envelope in [by_stranger, as_order, garbage, Vec::new()] {
            let refused = verify_standing(&envelope, &case.charter, case.now).unwrap_err();
            prop_assert_eq!(refused.guardrail, Guardrail::Signature);
        }
        let mut bent = standing.seal(&KEYS.order);
        let at = flip.index(bent.len());
        bent[at] ^= 1;
        if let Ok(verified) = verify_standing(&bent, &case.charter, case.now) {
            prop_assert_eq!(verified.value(), &standing, "what was signed");
        }
        // And it is no order.
        prop_assert!(runbooks::verify(&standing.seal(&KEYS.order), &case.charter, case.now).is_err());
    }
}
