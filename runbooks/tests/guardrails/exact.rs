//! One proptest per guardrail: whatever one thing goes wrong, exactly the guardrail in charge refuses, and on the way
//! from envelope to execution it is the one that is named.

use proptest::prelude::*;
use runbooks::{Guardrail, Presence, admit, clear, explain, verify};

use crate::{
    case::{Case, KEYS, valid},
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

#[test]
fn every_guardrail_has_a_mutation_or_its_own_test() {
    for guardrail in Guardrail::ALL.iter().filter(|guardrail| **guardrail != Guardrail::Precondition) {
        assert!(MUTATIONS.iter().any(|mutation| mutation.guardrail == *guardrail), "{guardrail}");
    }
}
