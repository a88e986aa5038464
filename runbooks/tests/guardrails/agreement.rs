//! Both sides agree: what the control plane clears, the executor admits under the same facts, and the other way round.

use proptest::prelude::*;
use runbooks::{Guardrail, Presence, Refusal, admit, clear, verify};

use crate::{
    case::{Case, KEYS, valid},
    mutations::MUTATIONS,
};

/// The executor's whole path.
fn run(case: &Case, presence: Presence) -> Result<Vec<Guardrail>, Refusal> {
    let order = case.order();
    let cleared_bytes = order.seal(&KEYS.order);
    let admitted = admit(verify(&cleared_bytes, &case.charter, case.now)?, &case.facts())?;
    admitted.confirm(presence).map(|confirmed| confirmed.passed().to_vec()).map_err(|(_, refusal)| refusal)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Valid cases, and cases in which one to three things went wrong.
    #[test]
    fn cleared_is_admitted_and_refused_is_refused_for_the_same_reason(
        mut case in valid(),
        wrong in prop::collection::vec((prop::sample::select((0..MUTATIONS.len()).collect::<Vec<_>>()), any::<u64>()), 0..=3),
        without_time in prop::bool::weighted(0.05),
        presence in prop::sample::select(Presence::ALL.to_vec()),
    ) {
        for (at, k) in &wrong {
            (MUTATIONS[*at].apply)(&mut case, *k);
        }
        if without_time {
            case.now = None;
        }
        let cleared = clear(&case.order(), &case.facts(), presence);
        prop_assert_eq!(&cleared, &run(&case, presence));
        if wrong.is_empty() && !without_time {
            prop_assert_eq!(cleared.is_ok(), presence == Presence::Present);
        }
    }
}
