//! What several unit tests need; the whole story with all keys is in `tests/support`.

use std::time::Duration;

use proto::{
    charter::{Charter, Quorum},
    keys::{PublicKey, SecretKey},
    time::Millis,
};

fn public(seed: u8) -> PublicKey {
    SecretKey::ed25519([seed; 32]).public()
}

/// A charter in which only the order key matters.
pub(super) fn charter_for_order_key(key: &SecretKey) -> Charter {
    Charter {
        organization: "msp.example".into(),
        serial: 1,
        issued: Millis(0),
        not_after: Millis(0).plus(Duration::from_secs(180 * 86_400)),
        order_keys: [key.public()].into(),
        log_keys: [public(101)].into(),
        release_keys: Quorum { threshold: 2, keys: [public(102), public(103)].into() },
        certificate_authorities: vec!["a certificate".into()],
        witnesses: Vec::new(),
        witness_quorum: None,
        approvers: Vec::new(),
    }
}
