//! Signed orders in the vault: what was carried out lies there, so what permitted it must, too.
//!
//! A database that comes from a backup has forgotten orders whose executions come back with the log; without them no
//! bundle could show who had ordered them. They come back as papers only: nothing is sent or counted because of them. Of those
//! whose key was taken away since come back those that evidence names.

use std::collections::BTreeSet;

use proto::{digest::Digest, dsse::Envelope, evidence, ids::TenantId, time::Millis};

use super::{
    Core, CoreError,
    ours::{Signer, first_part},
};
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

    /// After a start, and after the log: the database has what the vault has, and the other way round.
    pub(super) fn restore_orders(&self, tenant: TenantId, now: Millis) -> Result<(), CoreError> {
        let here = self.store.order_papers(tenant)?;
        let mut known: BTreeSet<Digest> = here.iter().map(|(digest, _)| *digest).collect();
        let mut named = None;
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
            let is_ours = match self.order_by(&envelope).filter(|_| own.ok() == Some(digest)) {
                Some(Signer::Now) => true,
                Some(Signer::Once) => match &mut named {
                    Some(named) => named,
                    none => none.insert(self.orders_in_evidence(tenant)?),
                }
                .contains(&digest),
                None => false,
            };
            if !is_ours {
                self.is_strange(&path)?;
                continue;
            }
            self.store.add_order_paper(tenant, digest, &envelope)?;
            known.insert(digest);
        }
        self.note_unknown_in(&format!("{tenant}/orders"), |path, _| {
            first_part(path).parse().is_ok_and(|digest| known.contains(&digest))
        })?;
        // Those that were signed before orders were kept there.
        let missing: Vec<_> = here.into_iter().filter(|(digest, _)| !there.contains(digest)).collect();
        if missing.is_empty() { Ok(()) } else { self.keep_orders(tenant, &missing, now) }
    }
    /// Orders that executors say they carried out or refused.
    fn orders_in_evidence(&self, tenant: TenantId) -> Result<BTreeSet<Digest>, CoreError> {
        let envelopes = self.store.answers_to_orders(tenant)?;
        // Verified before they were kept here.
        let records = envelopes.iter().filter_map(|envelope| evidence::peek(envelope).ok());
        Ok(records.filter_map(|record| record.body.order_digest()).collect())
    }
}
