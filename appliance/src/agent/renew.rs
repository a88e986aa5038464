//! When to ask for the next certificate.
//!
//! The rule itself is the contract's ([`proto::identity::renew_at`]); here is only when to try again. A server that
//! refuses the certificate at hand is a reason too: this machine's clock may be the one that is wrong.

use std::time::Duration;

use proto::{
    identity::{CertificateFacts, renew_at},
    time::Millis,
};

/// How long after one try the next may come.
pub const TRY_AGAIN: Duration = Duration::from_secs(600);

/// Whether to ask now. `tried` is when it was last asked in vain; `refused`, whether the server has just refused the
/// certificate at hand.
#[must_use]
pub fn is_due(certificate: &CertificateFacts, now: Millis, tried: Option<Millis>, refused: bool) -> bool {
    // A clock that was set back does not put off the next try.
    let rested = tried.is_none_or(|tried| tried > now || now.since(tried) >= TRY_AGAIN);
    rested && (refused || now >= renew_at(certificate.not_before, certificate.not_after, jitter(certificate)))
}

/// Spreads a fleet. By the key, so that an appliance that restarts does not draw anew.
fn jitter(certificate: &CertificateFacts) -> u16 {
    u16::from_be_bytes([certificate.spki.0[0], certificate.spki.0[1]])
}

#[cfg(test)]
mod tests {
    use proto::{digest::Digest, identity::CERTIFICATE_LIFETIME};

    use super::*;

    fn facts() -> CertificateFacts {
        let id = "spiffe://msp.example/tenant/0190a0c0-0000-7000-8000-000000000001/appliance/0190a0c0-0000-7000-8000-000000000002";
        CertificateFacts {
            spiffe: id.parse().unwrap(),
            spki: Digest([0; 32]),
            not_before: Millis(0),
            not_after: Millis(0).plus(CERTIFICATE_LIFETIME),
        }
    }

    #[test]
    fn from_half_life_on_and_not_too_often() {
        let half = Millis(0).plus(CERTIFICATE_LIFETIME / 2);
        for (case, now, tried, refused, expected) in [
            ("young", Millis(half.0 - 1), None, false, false),
            ("half its life", half, None, false, true),
            ("tried just now", half, Some(Millis(half.0 - 1)), false, false),
            ("tried long ago", half.plus(TRY_AGAIN), Some(half), false, true),
            ("tried in a future that is not", half, Some(half.plus(TRY_AGAIN)), false, true),
            ("young, but refused", Millis(1), None, true, true),
            ("refused, and renewal too", Millis(2), Some(Millis(1)), true, false),
            ("long over", half.plus(10 * CERTIFICATE_LIFETIME), None, false, true),
        ] {
            assert_eq!(is_due(&facts(), now, tried, refused), expected, "{case}");
        }
    }

    #[test]
    fn a_fleet_is_spread() {
        let half = Millis(0).plus(CERTIFICATE_LIFETIME / 2);
        let late = CertificateFacts { spki: Digest([255; 32]), ..facts() };
        assert!(!is_due(&late, half, None, false));
        assert!(is_due(&late, half.plus(CERTIFICATE_LIFETIME / 10), None, false));
    }
}
