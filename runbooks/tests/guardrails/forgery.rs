//! Forged, altered and replayed orders are never admitted, whatever else is right about them.

use proptest::prelude::*;
use proto::{charter::Quorum, dsse, order::ORDER_TYPE};
use runbooks::{Guardrail, admit, verify};

use crate::case::{KEYS, valid};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_key_that_the_charter_does_not_name_signs_no_order(mut case in valid()) {
        let refused = |envelope: &[u8], charter: &_| verify(envelope, charter, case.now).map_err(|r| r.guardrail).err();
        let envelope = case.order().seal(&KEYS.stranger);
        prop_assert_eq!(refused(&envelope, &case.charter), Some(Guardrail::Signature));
        // Neither do release and log keys, nor an order key that the next charter no longer names.
        let release = Quorum { threshold: 2, keys: [KEYS.stranger.public()].into() };
        case.charter.release_keys = release;
        case.charter.log_keys = [KEYS.stranger.public()].into();
        prop_assert_eq!(verify(&envelope, &case.charter, case.now).unwrap_err().guardrail, Guardrail::Signature);
        let envelope = case.order().seal(&KEYS.order);
        case.charter.order_keys = [KEYS.stranger.public()].into();
        prop_assert_eq!(verify(&envelope, &case.charter, case.now).unwrap_err().guardrail, Guardrail::Signature);
    }

    #[test]
    fn an_altered_envelope_is_refused_or_still_says_the_same(case in valid(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let order = case.order();
        let mut envelope = order.seal(&KEYS.order);
        let at = at.index(envelope.len());
        envelope[at] = to;
        match verify(&envelope, &case.charter, case.now) {
            // The key ID is only a hint, so its bytes decide nothing.
            Ok(verified) => prop_assert_eq!(verified.value(), &order),
            Err(refusal) => prop_assert_eq!(refusal.guardrail, Guardrail::Signature),
        }
    }

    #[test]
    fn altered_payload_bytes_are_refused(case in valid(), at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let order = case.order();
        let signature = KEYS.order.sign(&dsse::pae(ORDER_TYPE, &order.encode()));
        let mut payload = order.encode();
        let at = at.index(payload.len());
        payload[at] ^= 1 << bit;
        // The stranger's envelope with the right signature pasted in.
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        prop_assert_ne!(hex(&payload), hex(&order.encode()));
        prop_assert!(KEYS.order.public().verify(&dsse::pae(ORDER_TYPE, &payload), &signature).is_err());
        let swapped = dsse::seal(ORDER_TYPE, &payload, &[&KEYS.stranger]);
        prop_assert_eq!(verify(&swapped, &case.charter, case.now).unwrap_err().guardrail, Guardrail::Signature);
    }

    #[test]
    fn bytes_that_are_no_envelope_are_refused(case in valid(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(verify(&bytes, &case.charter, case.now).unwrap_err().guardrail, Guardrail::Signature);
    }

    #[test]
    fn what_the_order_key_signed_as_something_else_is_no_order(case in valid(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let payload = case.order().encode();
        for kind in [proto::time::TIME_TOKEN_TYPE, runbooks::POLICY_TYPE, runbooks::CATALOGUE_TYPE] {
            let other = dsse::seal(kind, &payload, &[&KEYS.order]);
            prop_assert_eq!(verify(&other, &case.charter, case.now).unwrap_err().guardrail, Guardrail::Signature);
        }
        // Signed as an order, and yet none.
        let noise = dsse::seal(ORDER_TYPE, &bytes, &[&KEYS.order]);
        prop_assert_eq!(verify(&noise, &case.charter, case.now).unwrap_err().guardrail, Guardrail::Signature);
    }

    /// What was admitted once is never admitted again, nor is anything that was issued before it.
    #[test]
    fn a_replayed_sequence_is_never_admitted(mut case in valid(), back in 0..5000u64) {
        admit(case.verified().unwrap(), &case.facts()).unwrap();
        case.order_high = case.issuance.sequence.saturating_add(back);
        let refusal = admit(case.verified().unwrap(), &case.facts()).unwrap_err();
        prop_assert_eq!(refusal.guardrail, Guardrail::Replay);
    }

    #[test]
    fn an_envelope_too_large_is_not_looked_at(case in valid(), more in 1..5000usize) {
        let mut envelope = case.order().seal(&KEYS.order);
        envelope.resize(48_000 + more, b' ');
        let refusal = verify(&envelope, &case.charter, case.now).unwrap_err();
        prop_assert_eq!(refusal.guardrail, Guardrail::Signature);
        prop_assert!(refusal.reason.contains("must be at most"), "{}", refusal.reason);
    }
}
