//! Entries on their way into the vault: those of all commands of a transaction go together, just before it is durable.
//!
//! The rule: what a transaction appends is in the vault before the database knows it, in the order of the log, and what a
//! command appended that is undone never goes there. Where the vault does not take them, the transaction is undone as a
//! whole and its callers send again; from then on what is appended for the clinics concerned goes by itself, so that it
//! fails alone, until one is taken.

use std::{collections::BTreeSet, mem};

use proto::{ids::TenantId, time::Millis};

use super::{Core, CoreError};
use crate::vault::{Object, VaultError};

/// When entries go into the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// With all others of the transaction, when it ends.
    Together,
    /// Now: whoever appends them goes on without, where that cannot be.
    Now,
}

/// What the open transaction has appended and not yet put into the vault.
#[derive(Default)]
pub(crate) struct Unkept {
    appends: Vec<Append>,
    /// How many there were at each mark that is open.
    marks: Vec<usize>,
    /// Clinics of which each append goes by itself.
    alone: BTreeSet<TenantId>,
    /// Or all of them: the vault was away.
    is_away: bool,
}

/// Entries that follow one another, packed.
struct Append {
    tenant: TenantId,
    key: String,
    /// In which log, and from where to where.
    log: String,
    begin: u64,
    end: u64,
    packed: Vec<u8>,
}

impl Unkept {
    pub(super) fn mark(&mut self) {
        self.marks.push(self.appends.len());
    }

    pub(super) fn keep_since_mark(&mut self) {
        self.marks.pop();
    }

    pub(super) fn undo_to_mark(&mut self) {
        self.appends.truncate(self.marks.pop().unwrap_or(0));
    }

    /// The transaction is over, one way or the other.
    pub(super) fn forget(&mut self) {
        self.appends.clear();
        self.marks.clear();
    }

    fn waits(&self, tenant: TenantId) -> bool {
        self.appends.iter().any(|append| append.tenant == tenant)
    }

    /// All there is, joined: one object for each log, so that none can be there without the one that it follows.
    fn take(&mut self) -> Vec<Append> {
        let mut objects: Vec<Append> = Vec::new();
        for append in mem::take(&mut self.appends) {
            match objects.iter_mut().find(|object| (&object.log, object.end) == (&append.log, append.begin)) {
                Some(object) => {
                    object.packed.extend_from_slice(&append.packed);
                    object.end = append.end;
                }
                None => objects.push(append),
            }
        }
        objects
    }
}

impl Core {
    /// Puts the `count` entries of a log from `begin` on into the vault, or has them wait for the transaction's end.
    pub(super) fn keep_entries(
        &mut self,
        tenant: TenantId,
        (begin, count): (u64, usize),
        packed: Vec<u8>,
        put: Put,
        now: Millis,
    ) -> Result<(), CoreError> {
        let head = self.store.log_head(tenant)?;
        let key = head.entries_key(tenant, begin);
        let is_alone = self.unkept.is_away || self.unkept.alone.contains(&tenant);
        // Never before those that they follow.
        if (put == Put::Now || is_alone) && !self.unkept.waits(tenant) {
            self.keep(&key, &packed, self.retain_until(now))?;
            self.unkept.alone.remove(&tenant);
            self.unkept.is_away = false;
            return Ok(());
        }
        let (log, end) = (head.origin, begin + count as u64);
        self.unkept.appends.push(Append { tenant, key, log, begin, end, packed });
        Ok(())
    }

    /// Puts what waits into the vault: the last step before the transaction is made durable.
    pub fn keep_unkept(&mut self, now: Millis) -> Result<(), CoreError> {
        let all = self.unkept.take();
        let retain_until = self.retain_until(now);
        let objects: Vec<Object<'_>> = all
            .iter()
            .map(|append| Object { key: &append.key, bytes: &append.packed, retain_until })
            .collect();
        if objects.is_empty() || self.keep_all(&objects).is_ok() {
            return Ok(());
        }
        // One by one, to know whose it is. Where all are kept after all, nobody has noticed anything.
        let mut refused = None;
        for (append, object) in all.iter().zip(objects) {
            match self.keep_all(&[object]) {
                Ok(()) => {}
                Err(CoreError::Vault(error)) if is_of_one(&error) => {
                    self.unkept.alone.insert(append.tenant);
                    refused = Some(error.into());
                }
                Err(error) => {
                    self.unkept.is_away = true;
                    return Err(error);
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

/// Whether the vault would take another object.
fn is_of_one(error: &VaultError) -> bool {
    matches!(error, VaultError::Changed { .. }) || error.is_of_the_object()
}
