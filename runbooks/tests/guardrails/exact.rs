//! One proptest per guardrail: whatever one thing goes wrong, exactly the guardrail in charge refuses, and on the way
//! from envelope to execution it is the one that is named.

use std::time::Duration;

use proptest::prelude::*;
use proto::{
    order::{ORDER_LIFETIME_MAX, SEQUENCE_WINDOW},
    time::Millis,
};
use runbooks::{
    Guardrail, Mode, Presence, Risk, Windows, admit, clear, explain,
    guardrails::{CLOCK_SKEW, NOT_REPEATED_FOR},
    verify,
};

use crate::{
    case::{Approving, Case, KEYS, hours, valid},
    mutations::{MUTATIONS, elsewhere},
};

/// Guardrails that refuse, out of 2 to 12.
fn refusing(case: &Case, presence: Presence) -> Vec<Guardrail> {
    let verdicts = explain(&case.order(), &case.facts(), presence);
    assert_eq!(verdicts.len(), 11);
    verdicts
        .into_iter()
        .filter_map(|(guardrail, verdict)| {
            if let Err(refusal) = &verdict {
                assert_eq!(refusal.guardrail, guardrail, "a refusal names its own guardrail");
                assert!(!refusal.reason.is_empty());
            }
            verdict.is_err().then_some(guardrail)
        })
        .collect()
}

fn every_mutation_is_noticed(guardrail: Guardrail, case: &Case, k: u64) {
    for mutation in MUTATIONS.iter().filter(|mutation| mutation.guardrail == guardrail) {
        let mut case = case.clone();
        (mutation.apply)(&mut case, k);
        let named =
            case.verified().and_then(|order| admit(order, &case.facts())).map(drop).map_err(|r| r.guardrail);
        assert_eq!(named, Err(guardrail), "{}", mutation.name);
        let cleared = clear(&case.order(), &case.facts(), Presence::Present).map_err(|r| r.guardrail);
        assert_eq!(cleared, Err(guardrail), "{}", mutation.name);
        if guardrail != Guardrail::Signature {
            assert_eq!(refusing(&case, Presence::Present), [guardrail], "{}", mutation.name);
        }
    }
}

macro_rules! one_proptest_each {
    ($($test:ident: $guardrail:ident,)+) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(48))]
            $(#[test]
            fn $test(case in valid(), k in any::<u64>()) {
                every_mutation_is_noticed(Guardrail::$guardrail, &case, k);
            })+
        }
    };
}

one_proptest_each! {
    guardrail_01_signature: Signature,
    guardrail_02_binding: Binding,
    guardrail_03_freshness: Freshness,
    guardrail_04_replay: Replay,
    guardrail_05_allowlist: Allowlist,
    guardrail_06_digest: Digest,
    guardrail_07_parameters: Parameters,
    guardrail_08_cooldown: Cooldown,
    guardrail_09_budget: Budget,
    guardrail_10_window: Window,
    guardrail_12_hold: Hold,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_valid_case_passes_all_twelve(case in valid()) {
        prop_assert_eq!(refusing(&case, Presence::Present), []);
        let order = case.order();
        let verified = verify(&order.seal(&KEYS.order), &case.charter, case.now).unwrap();
        let admitted = admit(verified, &case.facts()).unwrap();
        prop_assert_eq!(admitted.passed().len(), 11);
        prop_assert!(!admitted.passed().contains(&Guardrail::Precondition));
        let confirmed = admitted.confirm(Presence::Present).unwrap();
        prop_assert_eq!(confirmed.passed(), Guardrail::ALL);
        prop_assert_eq!(&confirmed.runbook().id, &case.core.runbook);
        prop_assert_eq!(confirmed.order(), &order);
    }

    #[test]
    fn guardrail_11_precondition(case in valid(), presence in prop::sample::select(vec![Presence::Gone, Presence::Unknown])) {
        prop_assert_eq!(refusing(&case, presence), [Guardrail::Precondition]);
        let admitted = admit(case.verified().unwrap(), &case.facts()).unwrap();
        let (admitted, refusal) = admitted.confirm(presence).unwrap_err();
        prop_assert_eq!(refusal.guardrail, Guardrail::Precondition);
        prop_assert_eq!(admitted.order().sequence, case.issuance.sequence);
        prop_assert_eq!(clear(&case.order(), &case.facts(), presence).map_err(|r| r.guardrail), Err(Guardrail::Precondition));
    }

    #[test]
    fn without_trusted_time_nothing_runs_and_freshness_says_why(mut case in valid()) {
        case.now = None;
        prop_assert!(case.verified().is_ok(), "the signature needs no clock");
        let refusal = admit(case.verified().unwrap(), &case.facts()).unwrap_err();
        prop_assert_eq!(refusal.guardrail, Guardrail::Freshness);
        prop_assert_eq!(refusal.reason, "no trusted time since boot; waits for a time token");
        prop_assert!(refusing(&case, Presence::Present).contains(&Guardrail::Window), "nor by a window or by hours");
    }

    /// Clinic hours are a window turned round: what disturbs runs exactly while that window is closed.
    #[test]
    fn within_clinic_hours_exactly_what_disturbs_is_refused(
        mut case in valid(),
        (opens, closes) in (-1500..1500i64, -1500..1500i64),
        disruptive in prop::option::of(any::<bool>()),
        wall in prop::option::of(-1500..1500i64),
    ) {
        let now = case.now();
        case.wall = wall.map(|minutes| Millis(now.0 + minutes * 60_000));
        case.policy.clinic_hours = hours(now, opens, closes);
        case.runbook().disruptive = disruptive;
        let open = Windows::any_of(case.policy.clinic_hours.iter().cloned());
        let at_work = open.check_open(now).is_ok() || case.wall.is_some_and(|wall| open.check_open(wall).is_ok());
        let refused = if at_work && disruptive != Some(false) { vec![Guardrail::Window] } else { vec![] };
        prop_assert_eq!(refusing(&case, Presence::Present), refused.clone());
        let admitted = admit(case.verified().unwrap(), &case.facts()).map(drop).map_err(|r| r.guardrail);
        prop_assert_eq!(admitted, refused.first().map_or(Ok(()), |by| Err(*by)));
    }

    #[test]
    fn a_runbook_that_is_not_in_the_catalogue_is_the_digest_pins(mut case in valid()) {
        case.policy.allow = None;
        case.policy.sites.clear();
        case.core.runbook = "RB-NONE-001".parse().unwrap();
        let refusal = admit(case.verified().unwrap(), &case.facts()).unwrap_err();
        prop_assert_eq!(refusal.guardrail, Guardrail::Digest);
        prop_assert!(refusal.reason.contains("RB-CASE-001, RB-OTHER-001"), "{}", refusal.reason);
    }

    #[test]
    fn another_sites_list_does_not_matter_here(mut case in valid(), k in any::<u64>()) {
        case.policy.sites.insert(elsewhere(k), [].into());
        prop_assert_eq!(refusing(&case, Presence::Present), []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The other side of every edge: one millisecond, one execution, one sequence before it is too much.
    #[test]
    fn what_is_just_within_passes(case in valid()) {
        let ms = Duration::from_millis;
        for (edge, change) in [
            ("begins as early as skew allows, lives as long as allowed", (|c, now| {
                let begins = now.plus(CLOCK_SKEW);
                (c.not_before, c.issuance.issued, c.expires) = (begins, begins, begins.plus(ORDER_LIFETIME_MAX));
            }) as fn(&mut Case, Millis)),
            ("ends in the next millisecond", |c, now| {
                c.expires = now.plus(Duration::from_millis(1));
                c.not_before = c.expires.minus(ORDER_LIFETIME_MAX);
                c.issuance.issued = now;
            }),
            ("as far ahead as the window goes", |c, _| c.issuance.sequence = c.order_high + SEQUENCE_WINDOW),
            ("the very next", |c, _| c.issuance.sequence = c.order_high + 1),
            ("charter's last millisecond", |c, now| c.charter.not_after = now.plus(Duration::from_millis(1))),
            ("catalogue's last millisecond", |c, now| c.catalogue.expires = now.plus(Duration::from_millis(1))),
            ("freeze is over", |c, now| c.policy.freeze_until = Some(now)),
            ("people have just gone home", |c, now| {
                c.runbook().disruptive = Some(true);
                c.policy.clinic_hours = hours(now, -600, 0);
            }),
            ("people come in a minute", |c, now| {
                c.runbook().disruptive = Some(true);
                c.policy.clinic_hours = hours(now, 1, 600);
            }),
            ("people are at work and nobody notices", |c, now| {
                c.runbook().disruptive = Some(false);
                c.policy.clinic_hours = hours(now, 0, 0);
            }),
            ("cooldown is over", |c, _| {
                c.history.since_last = Some(c.runbook().cooldown().max(c.policy.cooldown_at_least()));
            }),
            ("last of the hour", |c, _| {
                c.history.runbook_hour = c.runbook().limits.per_hour - 1;
                c.history.appliance_hour = c.policy.per_appliance_hour - 1;
                c.history.tenant_hour = c.policy.per_tenant_hour - 1;
            }),
            ("breaker has been open for its time", |c, _| {
                c.history.failures_in_a_row = u32::MAX;
                c.history.since_last_failure = Some(c.policy.breaker_reset());
            }),
            ("in vain, and that is long enough ago", |c, _| {
                c.history.since_ineffective = Some(NOT_REPEATED_FOR);
            }),
        ] {
            let mut case = case.clone();
            let now = case.now();
            change(&mut case, now);
            prop_assert_eq!(refusing(&case, Presence::Present), [], "{}", edge);
            prop_assert!(case.verified().is_ok_and(|order| admit(order, &case.facts()).is_ok()), "{}", edge);
        }
        // And exactly the people that are needed, no more.
        let mut exactly = case.clone();
        let risk = exactly.runbook().risk;
        exactly.policy.modes.insert(risk, Mode::Approval);
        exactly.core.approve_until = Some(case.now().plus(ms(1)));
        exactly.approving = (0..if risk == Risk::Destructive { 2 } else { 1 })
            .map(|at| Approving { name: format!("approver-{at}"), passkey: at, over: None })
            .collect();
        prop_assert_eq!(refusing(&exactly, Presence::Present), []);
    }
}

#[test]
fn every_guardrail_has_a_mutation_or_its_own_test() {
    for guardrail in Guardrail::ALL.iter().filter(|guardrail| **guardrail != Guardrail::Precondition) {
        assert!(MUTATIONS.iter().any(|mutation| mutation.guardrail == *guardrail), "{guardrail}");
    }
}
