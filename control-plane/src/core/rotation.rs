//! New online keys: what was signed once and is handed out again, a clinic's policy and the head of its log, is signed
//! anew when the charter in force does not name the key that signed it any more.
//!
//! The rule: a stolen key must be exchangeable for good. What stands in one's own database is trusted for its words,
//! whoever's signature is on it; the boxes are shown nothing but signatures of the charter's keys.

use std::sync::Arc;

use proto::{
    act::Change,
    charter::{Charter, CharterError},
    dsse::Envelope,
    field::BadField,
    keys::SecretKey,
    log::{Checkpoint, SignedCheckpoint, VerifierKey},
    time::Millis,
};
use runbooks::Policy;

use super::{Core, CoreError, log::broken, payload_digest, ports::Signer};
use crate::store::TenantRow;

/// Keys to sign with from now on; `None`: the one in use goes on.
pub(super) struct NextKeys {
    order: Option<Arc<dyn Signer>>,
    log: Option<SecretKey>,
}

impl Core {
    /// The keys to sign with under a charter, which must name one of each that is here. The newest that it names is taken, at
    /// once and while the server runs; who has not heard of that charter yet gets it with what is signed by its keys.
    pub(super) fn keys_under(&self, charter: &Charter) -> Result<NextKeys, CoreError> {
        let keys = &self.keys;
        let order = keys.ring.order(&charter.order_keys)?.filter(|key| key.public() != keys.order.public());
        let log = keys.ring.log(&charter.log_keys)?.filter(|key| key.public() != keys.log.public());
        let is_signed = order.is_some() || charter.order_keys.contains(&keys.order.public());
        if !is_signed || !(log.is_some() || charter.log_keys.contains(&keys.log.public())) {
            let problem = "and log_keys must name the keys this server signs with, or ones that it has";
            return Err(CoreError::Charter(CharterError::Content(BadField::new("order_keys", problem))));
        }
        self.ports
            .issuer
            .check(&charter.certificate_authorities)
            .map_err(|bad| CoreError::Charter(CharterError::Content(bad)))?;
        Ok(NextKeys { order, log })
    }

    /// Signs with these from now on.
    pub(super) fn take_keys(&mut self, next: NextKeys) {
        if let Some(order) = next.order {
            tracing::warn!("orders are signed by another key from now on: {}", order.public());
            self.keys.order = order;
        }
        if let Some(log) = next.log {
            tracing::warn!("logs are signed by another key from now on: {}", log.public());
            self.keys.log = log;
        }
    }

    /// Signs anew what the keys of the charter in force do not stand behind.
    pub(super) fn sign_anew(&mut self, now: Millis) -> Result<(), CoreError> {
        for tenant in self.store.tenants()? {
            self.seal_policy_anew(&tenant, now)?;
            self.sign_head_anew(&tenant)?;
        }
        Ok(())
    }

    fn seal_policy_anew(&mut self, tenant: &TenantRow, now: Millis) -> Result<(), CoreError> {
        if Policy::open(&tenant.policy, &self.charter.document).is_ok() {
            return Ok(());
        }
        let read = Envelope::parse(&tenant.policy)
            .ok()
            .and_then(|envelope| serde_json::from_slice::<Policy>(envelope.unverified_payload()).ok());
        let sound = |policy: &Policy| policy.tenant == Some(tenant.id) && policy.check().is_ok();
        // One clinic's damaged row must not keep the others from their new key.
        let Some(mut policy) = read.filter(sound) else {
            tracing::error!(tenant = %tenant.id, "the policy of tenant {} cannot be read", tenant.id);
            return Ok(());
        };
        policy.serial = tenant.policy_serial + 1;
        let envelope = self.seal(&policy.unsigned())?;
        self.store.put_policy(tenant.id, policy.serial, &envelope)?;
        let digest = payload_digest(&envelope)?;
        self.note_policy(tenant.id, policy.serial, Change::Signature, digest, now)?;
        tracing::warn!(tenant = %tenant.id, serial = policy.serial, "the policy of tenant {} is signed anew", tenant.id);
        self.wake.extend(self.store.appliances(Some(tenant.id))?.into_iter().map(|appliance| appliance.id));
        Ok(())
    }

    fn sign_head_anew(&mut self, tenant: &TenantRow) -> Result<(), CoreError> {
        let log = self.store.log_head(tenant.id)?;
        let Some(note) = &log.checkpoint else { return Ok(()) };
        let keys = &self.charter.document.log_keys;
        let keys: Vec<VerifierKey> =
            keys.iter().filter_map(|key| VerifierKey::new(&log.origin, key).ok()).collect();
        // A log that is halted has no head that anybody should be told.
        if SignedCheckpoint::open(note, &keys).is_ok() || self.halt_reason(tenant.id, &log).is_some() {
            return Ok(());
        }
        let signed = Checkpoint::new(&log.origin, log.head)
            .sign(&self.keys.log)
            .map_err(|e| broken(tenant.id, e.to_string()))?;
        tracing::warn!(tenant = %tenant.id, size = log.head.size, "the log of tenant {} is signed anew", tenant.id);
        Ok(self.store.put_checkpoint(tenant.id, log.head, signed.note().as_bytes())?)
    }
}
