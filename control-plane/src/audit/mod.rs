//! Holds the vault against the index: whether every record, checkpoint and paper lies there as it was kept.
//!
//! It reads the database and the vault and writes neither; the server may run meanwhile. What was put while it looked
//! may be missed, and is not mistaken for anything.

mod judge;
mod report;

use proto::{digest::Digest, ids::TenantId, log::pack, time::Millis};

pub use judge::{Expected, Fault, judge};
pub use report::{Finding, Report, Unseen};

use crate::{
    core::{CoreError, chain},
    store::{LogHead, Store, VaultRow},
    vault::{Vault, VaultError},
};

/// How many objects are looked at together.
const AT_ONCE: u32 = 256;

/// Audits one clinic, or all, and what belongs to none. `step` is told how many more objects were looked at, of how many.
pub fn audit(
    store: &Store,
    vault: &dyn Vault,
    tenant: Option<TenantId>,
    now: Millis,
    step: &mut dyn FnMut(u64, u64),
) -> Result<Report, CoreError> {
    let folder = tenant.map_or_else(String::new, |tenant| tenant.to_string());
    let mut report = Report::default();
    match vault.weaknesses() {
        Ok(weaknesses) => report.weaknesses = weaknesses,
        Err(error) => report.not_seen("the store's settings", &error),
    }
    let all = store.vault_object_count(&folder)?;
    let mut after = String::new();
    loop {
        let rows = store.vault_objects(&folder, &after, AT_ONCE)?;
        let Some(last) = rows.last() else { break };
        after.clone_from(&last.key);
        look(vault, &rows, now, &mut report)?;
        step(rows.len() as u64, all);
    }
    let tenants = match tenant {
        Some(tenant) => vec![tenant],
        None => store.tenants()?.iter().map(|row| row.id).collect(),
    };
    for tenant in tenants {
        against_the_log(store, tenant, &mut report)?;
        for (log, _) in store.past_logs(tenant)? {
            store.look_at_log(tenant, log)?;
            against_the_log(store, tenant, &mut report)?;
        }
        store.look_at_newest()?;
    }
    not_indexed(store, vault, &folder, &mut report)?;
    Ok(report)
}

/// Looks at objects, and again one by one when that did not work for all: one that cannot be read is to be named.
fn look(vault: &dyn Vault, rows: &[VaultRow], now: Millis, report: &mut Report) -> Result<(), CoreError> {
    let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    if let Ok(all) = vault.look(&keys) {
        for (row, seen) in rows.iter().zip(&all) {
            report.add(row, judge(&expected(row), seen, now));
        }
        return Ok(());
    }
    for row in rows {
        match vault.look(&[&row.key]) {
            Ok(seen) => {
                report.add(row, judge(&expected(row), seen.first().unwrap_or(&Default::default()), now))
            }
            Err(error) => report.not_seen(&row.key, &error),
        }
    }
    Ok(())
}

/// The index itself must agree with the log: what each append brought, and the newest checkpoint.
fn against_the_log(store: &Store, tenant: TenantId, report: &mut Report) -> Result<(), CoreError> {
    // Before the index: what comes in between lies behind it.
    let log = store.log_head(tenant)?;
    let objects = appends(store, tenant, &log)?;
    let ends = objects.iter().skip(1).map(|(first, _)| *first).chain([log.head.size]);
    let mut next = 0;
    for (&(first, sha256), end) in objects.iter().zip(ends) {
        if first != next {
            report.unlike_log.insert(log.entries_key(tenant, next));
        }
        if packed(store, tenant, first, end)? != Some(sha256) {
            report.unlike_log.insert(log.entries_key(tenant, first));
        }
        next = end;
    }
    if next != log.head.size {
        report.unlike_log.insert(log.entries_key(tenant, next));
    }
    let key = log.checkpoint_key(tenant, log.published);
    // Where somebody else's lies in its place, it lies beside that.
    let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
    let beside = || -> Result<bool, CoreError> {
        let next = store.vault_objects(folder, &key, 1)?;
        Ok(next.first().is_some_and(|row| row.key.starts_with(&format!("{key}."))))
    };
    if log.published > 0 && store.vault_object(&key)?.is_none() && !beside()? {
        report.unlike_log.insert(key);
    }
    Ok(())
}

/// What the index has of a log, by the number of its first entry.
fn appends(store: &Store, tenant: TenantId, log: &LogHead) -> Result<Vec<(u64, Digest)>, CoreError> {
    let folder = format!("{}/entries", log.folder(tenant));
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let rows = store.vault_objects(&folder, &after, AT_ONCE)?;
        let Some(last) = rows.last() else { return Ok(all) };
        after.clone_from(&last.key);
        let first = |key: &str| key.rsplit('/').next().and_then(|number| number.parse().ok());
        let known = rows.iter().filter_map(|row| Some((first(&row.key)?, row.sha256)));
        all.extend(known.filter(|(first, _)| *first < log.head.size));
    }
}

/// The digest of a log's entries as one append keeps them.
fn packed(store: &Store, tenant: TenantId, first: u64, end: u64) -> Result<Option<Digest>, CoreError> {
    let many = u32::try_from(end.saturating_sub(first)).unwrap_or(u32::MAX);
    let entries = store.evidence(tenant, first, many)?;
    if entries.len() != many as usize {
        return Ok(None);
    }
    let envelopes: Vec<_> = entries.into_iter().map(|entry| entry.envelope).collect();
    Ok(pack(&envelopes).ok().map(|bytes| Digest::of(&bytes)))
}

/// What lies in the vault and the index does not know.
fn not_indexed(store: &Store, vault: &dyn Vault, folder: &str, report: &mut Report) -> Result<(), CoreError> {
    // Twice: the server may have put something that it has noted by the second time.
    for _ in 0..2 {
        let keys = match vault.list(folder) {
            Ok(keys) => keys,
            Err(error) => {
                report.not_seen("what the index does not know", &error);
                return Ok(());
            }
        };
        report.not_indexed.clear();
        for key in keys {
            if store.vault_object(&key)?.is_none() {
                report.not_indexed.insert(key);
            }
        }
        if report.not_indexed.is_empty() {
            break;
        }
    }
    Ok(())
}

fn expected(row: &VaultRow) -> Expected {
    Expected {
        version: (!row.version.is_empty()).then(|| row.version.clone()),
        sha256: row.sha256,
        retain_until: (row.retain_until.0 > 0).then_some(row.retain_until),
    }
}

/// Why something could not be looked at, in one line.
fn reason(error: &VaultError) -> String {
    chain(error)
}
