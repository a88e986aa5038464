//! Stops: the control plane tells one box to carry out nothing, standing orders neither, until it is released: because its
//! story does not hold (quarantine), or because an operator holds it, its site, its clinic or everything.
//!
//! The rule: a stop only tightens, so an order key alone may sign one. The newest serial counts, and only as long as the
//! newest charter names the key that signed it, or a stolen key's stop would outlive its rotation.

use serde::{Deserialize, Serialize};

use crate::{
    charter::Charter,
    dsse::{self, EnvelopeError, Unsigned, Verified},
    evidence::Identity,
    field::{BadField, text},
    ids::{ApplianceId, TenantId},
    keys::SecretKey,
};

/// DSSE payload type of a stop.
pub const STOP_TYPE: &str = "application/vnd.orderly.stop.v1+json";

/// What the reason of an operator's hold begins with. It decides nothing, and stands in the words so that a program from
/// before holds obeys the stop all the same.
pub const HELD: &str = "held by an operator";

/// A stop, or the release from one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Trust domain.
    pub organization: String,
    /// The clinic.
    pub tenant: TenantId,
    /// The box, and every copy of it.
    pub appliance: ApplianceId,
    /// Rises with every one for this box.
    pub serial: u64,
    /// Whether it stops; else it releases.
    pub stopped: bool,
    /// Why, for people.
    pub reason: String,
}

/// Why a stop was not believed.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Not signed by an order key.
    #[error("stop is not signed by an order key of the charter")]
    Signature(#[source] EnvelopeError),
    /// Signed, but not what it must be.
    #[error("stop: {0}")]
    Content(#[from] BadField),
}

impl Stop {
    /// What the order key is to sign.
    #[must_use]
    pub fn unsigned(&self) -> Unsigned {
        Unsigned::new(STOP_TYPE, serde_json::to_vec(self).expect("plain data serialises"))
    }

    /// Signs with the order key.
    #[must_use]
    pub fn seal(&self, order_key: &SecretKey) -> Vec<u8> {
        self.unsigned().seal(order_key)
    }

    /// Opens one that an order key of `charter` signed.
    pub fn open(envelope: &[u8], charter: &Charter) -> Result<Verified<Self>, StopError> {
        dsse::open(envelope, STOP_TYPE, &charter.order_keys, 1).map_err(StopError::Signature)?.parse(
            |bytes| {
                let stop: Self =
                    serde_json::from_slice(&bytes).map_err(|e| BadField::new("payload", e.to_string()))?;
                text("reason", &stop.reason, 200)?;
                Ok(stop)
            },
        )
    }

    /// Whether it is an operator's hold, not a quarantine.
    #[must_use]
    pub fn is_hold(&self) -> bool {
        self.reason.starts_with(HELD)
    }

    /// Whether it is for this box.
    #[must_use]
    pub fn is_for(&self, identity: &Identity) -> bool {
        (&self.organization, self.tenant, self.appliance)
            == (&identity.organization, identity.tenant, identity.appliance)
    }
}
