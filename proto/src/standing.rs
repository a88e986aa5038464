//! Standing orders: permission given in advance, for use while nobody can be asked. Low risk only; the executor measures the
//! trigger itself and counts every use durably.
//!
//! A standing order names one runbook, one fault and one entry of the box's own watch list; parameters follow from these by
//! code. It is for one incarnation, under one charter and one policy, and good for so many executions until it expires.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    dsse::Unsigned,
    field::{BadField, text},
    ids::{ApplianceId, Incarnation, OrderId, RunbookId, SiteId, TenantId, WatchId},
    keys::SecretKey,
    time::Millis,
};

/// DSSE payload type of a standing order.
pub const STANDING_TYPE: &str = "application/vnd.orderly.standing-order.v1+json";
/// The longest a standing order may live.
pub const STANDING_LIFETIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// The most executions that one may permit.
pub const STANDING_MOST: u32 = 1000;
/// The most bytes its payload may have.
pub const STANDING_MAX: usize = 4 * 1024;

/// Permission in advance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingOrder {
    /// This standing order.
    pub id: OrderId,
    /// Trust domain.
    pub organization: String,
    /// The clinic.
    pub tenant: TenantId,
    /// The place.
    pub site: SiteId,
    /// The box.
    pub appliance: ApplianceId,
    /// The executor's state it is meant for.
    pub incarnation: Incarnation,
    /// Which procedure.
    pub runbook: RunbookId,
    /// SHA-256 of that procedure's canonical JSON.
    pub runbook_digest: Digest,
    /// The fault that must be there, as the executor itself measures it: `backup.stale`.
    pub trigger: String,
    /// Where: an entry of the box's own watch list.
    pub watch: WatchId,
    /// How many executions it permits.
    pub most: u32,
    /// When it was signed.
    pub issued: Millis,
    /// Good for nothing from here on.
    pub expires: Millis,
    /// Charter it was signed under.
    pub charter_serial: u64,
    /// Policy it was cleared under.
    pub policy_serial: u64,
}

impl StandingOrder {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data serialises")
    }

    /// What the order key is to sign.
    #[must_use]
    pub fn unsigned(&self) -> Unsigned {
        Unsigned::new(STANDING_TYPE, self.encode())
    }

    /// Signs with the order key.
    #[must_use]
    pub fn seal(&self, order_key: &SecretKey) -> Vec<u8> {
        self.unsigned().seal(order_key)
    }

    /// Reads a payload. Says what a standing order is, not that it may be used: that is for the guardrails.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadField> {
        if bytes.len() > STANDING_MAX {
            let have = bytes.len();
            return Err(BadField::new(
                "standing",
                format!("must be at most {STANDING_MAX} bytes, has {have}"),
            ));
        }
        let standing: Self =
            serde_json::from_slice(bytes).map_err(|e| BadField::new("standing", e.to_string()))?;
        text("organization", &standing.organization, 253)?;
        text("trigger", &standing.trigger, 60)?;
        Ok(standing)
    }

    /// When half of its life is over: time for the next.
    #[must_use]
    pub fn half_life(&self) -> Millis {
        self.issued.plus(self.expires.since(self.issued) / 2)
    }
}

/// What a set of standing orders is called by: the SHA-256 over the sorted digests of their payloads.
#[must_use]
pub fn set_digest(payloads: impl IntoIterator<Item = Digest>) -> Digest {
    let mut all: Vec<[u8; 32]> = payloads.into_iter().map(|digest| digest.0).collect();
    all.sort_unstable();
    Digest::of(&all.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> StandingOrder {
        let id = "0190a0c0-0000-7000-8000-000000000001";
        StandingOrder {
            id: id.parse().unwrap(),
            organization: "msp.example".into(),
            tenant: id.parse().unwrap(),
            site: id.parse().unwrap(),
            appliance: id.parse().unwrap(),
            incarnation: Incarnation([7; 16]),
            runbook: "RB-BACKUP-001".parse().unwrap(),
            runbook_digest: Digest([1; 32]),
            trigger: "backup.stale".into(),
            watch: "records".parse().unwrap(),
            most: 3,
            issued: Millis(1_000),
            expires: Millis(5_000),
            charter_serial: 1,
            policy_serial: 2,
        }
    }

    #[test]
    fn it_reads_back_and_knows_its_half_life() {
        assert_eq!(StandingOrder::decode(&standing().encode()), Ok(standing()));
        assert_eq!(standing().half_life(), Millis(3_000));
    }

    #[test]
    fn strange_payloads_are_refused() {
        let mut json = serde_json::to_value(standing()).unwrap();
        json["shell"] = "rm".into();
        assert!(StandingOrder::decode(json.to_string().as_bytes()).is_err(), "an unknown field");
        let long = StandingOrder { trigger: "x".repeat(61), ..standing() };
        assert!(StandingOrder::decode(&long.encode()).is_err());
        let padded = [standing().encode(), vec![b' '; STANDING_MAX]].concat();
        assert!(StandingOrder::decode(&padded).is_err());
    }

    #[test]
    fn a_set_is_called_the_same_in_any_order() {
        let (a, b) = (Digest([1; 32]), Digest([2; 32]));
        assert_eq!(set_digest([a, b]), set_digest([b, a]));
        assert_ne!(set_digest([a]), set_digest([a, b]));
    }
}
