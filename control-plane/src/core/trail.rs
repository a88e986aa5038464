//! The audit trail: every change by anyone, with who, as what, from where, what was before and after.
//!
//! The rule: a record is kept in the transaction of the change, and what an operator's command signed into a clinic's log
//! names the record by its digest: the log holds no word that people typed, and the record cannot be rewritten unseen.
//! A change that nothing else is signed about is signed as that.

use std::{collections::BTreeSet, mem};

use proto::{act::Deed, digest::Digest, ids::TenantId, time::Millis};
use serde_json::{Value, json};

use super::{Core, CoreError};
use crate::{access::Principal, store::AuditRow};

/// Something that a command changed.
#[derive(Debug)]
pub(crate) struct Change {
    tenant: Option<TenantId>,
    what: String,
    before: Value,
    after: Value,
}

impl Core {
    /// Runs a command in somebody's name. `call` is what they called.
    pub fn acting_as<T>(
        &mut self,
        by: Principal,
        call: &str,
        now: Millis,
        command: impl FnOnce(&mut Self) -> Result<T, CoreError>,
    ) -> Result<T, CoreError> {
        let before = mem::replace(&mut self.acting, by);
        // What the control plane changed by itself before is nobody's doing here.
        self.changes.clear();
        let noted = self.acts.len();
        let outcome = command(self).and_then(|done| self.keep_trail(call, noted, now).map(|()| done));
        self.changes.clear();
        self.acting = before;
        outcome
    }

    /// Says what is being changed, of a clinic or (`None`) of the organization.
    pub(super) fn changed(&mut self, tenant: Option<TenantId>, what: &str, before: Value, after: Value) {
        if before != after {
            self.quiet.ends();
            self.changes.push(Change { tenant, what: what.to_owned(), before, after });
        }
    }

    /// Records of the trail in sight, newest first.
    pub fn trail(&self, tenant: &str, before: Option<Digest>, most: u32) -> Result<Vec<AuditRow>, CoreError> {
        let most = if most == 0 { 100 } else { most.min(1000) };
        Ok(self.store.audit(self.tenant_filter(tenant)?, before, most)?)
    }

    fn keep_trail(&mut self, call: &str, noted: usize, now: Millis) -> Result<(), CoreError> {
        let changes = mem::take(&mut self.changes);
        let noted = noted.min(self.acts.len());
        let signed: BTreeSet<TenantId> = self.acts[noted..].iter().map(|(tenant, _)| *tenant).collect();
        let touched: BTreeSet<TenantId> = changes.iter().filter_map(|change| change.tenant).collect();
        let of_all = changes.iter().any(|change| change.tenant.is_none());
        for tenant in touched.difference(&signed) {
            self.note_act(*tenant, Deed::Operation { call: call.to_owned() }, now);
        }
        // One record for each clinic, so that none speaks of two; one for all where it is the organization that changed.
        let each = if of_all { touched } else { touched.union(&signed).copied().collect() };
        let mut whole = None;
        if of_all {
            whole = Some(self.keep_record(None, call, &changes, noted, now)?);
        }
        for tenant in &each {
            let digest = self.keep_record(Some(*tenant), call, &changes, noted, now)?;
            self.name_record(noted, Some(*tenant), digest);
        }
        if let Some(digest) = whole {
            self.name_record(noted, None, digest);
        }
        Ok(())
    }

    fn keep_record(
        &self,
        tenant: Option<TenantId>,
        call: &str,
        changes: &[Change],
        noted: usize,
        now: Millis,
    ) -> Result<Digest, CoreError> {
        let own = changes.iter().filter(|change| change.tenant == tenant);
        let signed = self.acts[noted..].iter().filter(|(of, _)| tenant.is_none_or(|tenant| *of == tenant));
        let deeds: BTreeSet<String> = signed.map(|(_, act)| act.deed.sentence()).collect();
        let Principal { actor, from, grant, .. } = &self.acting;
        let record = json!({
            "at": now,
            "by": actor.to_string(),
            "role": grant.role,
            "scope": grant.scope.to_string(),
            "from": from,
            "call": call,
            "tenant": tenant,
            "changes": own.map(|change| {
                json!({ "what": change.what, "before": change.before, "after": change.after })
            }).collect::<Vec<_>>(),
            "signed": deeds,
        })
        .to_string();
        let digest = Digest::of(record.as_bytes());
        self.store.add_audit(tenant, now, digest, &record)?;
        Ok(digest)
    }

    /// Has the acts of a clinic, or all that name none yet, name a record.
    fn name_record(&mut self, noted: usize, tenant: Option<TenantId>, digest: Digest) {
        for (of, act) in &mut self.acts[noted..] {
            if act.record.is_none() && tenant.is_none_or(|tenant| *of == tenant) {
                act.record = Some(digest);
            }
        }
    }
}
