//! Signed orders in the vault: what was carried out lies there, so what permitted it must, too.
//!
//! A database that comes from a backup has forgotten orders whose executions come back with the log; without them no
//! bundle could show who had ordered them. They come back as papers only: nothing is sent or counted because of them.

use std::collections::BTreeSet;

use proto::{digest::Digest, dsse::Envelope, ids::TenantId, time::Millis};

use super::{Core, CoreError};
use crate::vault::Object;

/// Where a signed order lies, by the digest of its payload: how evidence names it.
fn key(tenant: TenantId, digest: Digest) -> String {
    format!("{tenant}/orders/{digest}")
}

impl Core {
    /// Keeps orders there before they leave.
    pub(super) fn keep_orders(
        &self,
        tenant: TenantId,
        orders: &[(Digest, Vec<u8>)],
        now: Millis,
    ) -> Result<(), CoreError> {
        let retain_until = self.retain_until(now);
        let keys: Vec<String> = orders.iter().map(|(digest, _)| key(tenant, *digest)).collect();
        let named = orders.iter().zip(&keys);
        let objects: Vec<Object<'_>> =
            named.map(|((_, bytes), key)| Object { key, bytes, retain_until }).collect();
        self.keep_all(&objects)
    }

    /// After a start: the database has what the vault has, and the other way round.
    pub(super) fn restore_orders(&self, tenant: TenantId, now: Millis) -> Result<(), CoreError> {
        let here = self.store.order_papers(tenant)?;
        let known: BTreeSet<Digest> = here.iter().map(|(digest, _)| *digest).collect();
        let mut there = BTreeSet::new();
        for path in self.ports.vault.list(&format!("{tenant}/orders"))? {
            let Some(digest) = path.rsplit('/').next().and_then(|name| name.parse::<Digest>().ok()) else {
                continue;
            };
            there.insert(digest);
            if known.contains(&digest) {
                continue;
            }
            let Some(envelope) = self.object(&path)? else { continue };
            let own = Envelope::parse(&envelope).map(|envelope| Digest::of(envelope.unverified_payload()));
            if own.ok() != Some(digest) || !self.is_order(&envelope) {
                self.is_strange(&path)?;
                continue;
            }
            self.store.add_order_paper(tenant, digest, &envelope)?;
        }
        // Those that were signed before orders were kept there.
        let missing: Vec<_> = here.into_iter().filter(|(digest, _)| !there.contains(digest)).collect();
        if missing.is_empty() { Ok(()) } else { self.keep_orders(tenant, &missing, now) }
    }
}
