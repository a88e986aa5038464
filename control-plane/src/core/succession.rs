//! Successors: how a clinic goes on whose log is halted.
//!
//! The rule (DESIGN.md section 5, Restore): no key of this server begins another log, only a statement by 2 of 3 organization
//! keys that names the log that ends, the highest head of it that is known, and the one that follows. It lies in the vault
//! before the database goes by it, so a database that comes from a backup follows, too. The log that ended stays as it is,
//! here and in the vault. What was in it and not proven to its executors yet is put into the new one as well.

use proto::{
    act::Deed,
    digest::Digest,
    evidence::CheckpointSeen,
    ids::TenantId,
    log::{Head, log_number, prove_consistency, root},
    succession::{Cause, NamedHead, Succession},
    sync::Exchange,
    time::Millis,
};

use super::{Core, CoreError, chain, log::broken, payload_digest, unkept::Put};
use crate::store::{LogHead, TenantRow};

fn folder(tenant: TenantId) -> String {
    format!("{tenant}/successions")
}

impl Core {
    /// What the organization would have to sign for a clinic's halted log, and why that is halted. `known`: a larger head of
    /// it than is known here, an appliance's or a witness's.
    pub fn draft_succession(
        &self,
        called: &str,
        cause: Cause,
        known: Option<Head>,
        now: Millis,
    ) -> Result<(Succession, String), CoreError> {
        let row = self.tenant(called)?;
        let log = self.store.log_head(row.id)?;
        let halted = self.must_be_halted(&row, &log)?;
        let published = self.newest_published(&log.folder(row.id), &log.origin)?;
        let here = published.filter(|head| head.size > log.head.size).unwrap_or(log.head);
        let old = NamedHead::new(log.origin.clone(), known.unwrap_or(here));
        let succession = Succession::of(&self.settings.organization, row.id, old, cause, now)?;
        self.must_name_what_is_known(&log, &succession)?;
        must_say_what_is_lost(log.head, &succession)?;
        Ok((succession, halted))
    }

    /// Begins the log that follows a halted one, by word of the organization. The same word again changes nothing; one that
    /// names a larger head of the old log takes its place, for boxes that had seen more of it.
    pub fn succeed(&mut self, envelope: &[u8], now: Millis) -> Result<TenantRow, CoreError> {
        let offered = self.trust.open_succession(envelope)?.into_value();
        let tenant = offered.tenant;
        let row = self.tenant(&tenant.to_string())?;
        let log = self.store.log_head(tenant)?;
        if offered.new.origin == log.origin {
            let before = self.followed(tenant)?.filter(|before| before.old.origin == offered.old.origin);
            if before.as_ref() != Some(&offered) {
                let names_more = before.is_some_and(|before| offered.old.size > before.old.size);
                if !names_more {
                    return Err(CoreError::Precondition(format!(
                        "{} was begun by another word, which names no less of the log before",
                        log.origin
                    )));
                }
                let old = log_number(&offered.old.origin);
                let past = self.store.past_logs(tenant)?.into_iter().find(|(number, _)| *number == old);
                must_say_what_is_lost(past.map_or(Head::EMPTY, |(_, log)| log.head), &offered)?;
                self.keep_succession(&offered, envelope, now)?;
                self.store.put_succession(tenant, offered.number(), envelope)?;
            }
            return Ok(row);
        }
        if offered.old.origin != log.origin {
            let problem =
                format!("it ends {}; the log of {} is {}", offered.old.origin, row.name, log.origin);
            return Err(CoreError::Precondition(problem));
        }
        self.must_be_halted(&row, &log)?;
        self.must_name_what_is_known(&log, &offered)?;
        must_say_what_is_lost(log.head, &offered)?;
        self.keep_succession(&offered, envelope, now)?;
        self.follow(&offered, envelope, now)?;
        self.note_beginning(tenant, now)?;
        self.tenant(&tenant.to_string())
    }

    fn must_be_halted(&self, row: &TenantRow, log: &LogHead) -> Result<String, CoreError> {
        let halted = self.halt_reason(row.id, log).map(str::to_owned);
        halted.ok_or_else(|| {
            CoreError::Precondition(format!(
                "the log of {} goes on: only one that is halted is followed",
                row.name
            ))
        })
    }

    /// A word that names less than is known would leave evidence behind unsaid.
    fn must_name_what_is_known(&self, log: &LogHead, offered: &Succession) -> Result<(), CoreError> {
        let published = self.newest_published(&log.folder(offered.tenant), &log.origin)?;
        let known: Vec<Head> = [Some(log.head), published].into_iter().flatten().collect();
        let most = known.iter().map(|head| head.size).max().unwrap_or(0);
        let named = offered.old.head();
        let is_known = known.contains(&named) || known.iter().all(|head| head.size < named.size);
        if named.size < most || !is_known {
            return Err(CoreError::Precondition(format!(
                "it names a head of {} entries of the log that ends; known are {}",
                named.size,
                known
                    .iter()
                    .map(|head| format!("{} of root {}", head.size, head.root))
                    .collect::<Vec<_>>()
                    .join(" and ")
            )));
        }
        Ok(())
    }

    fn keep_succession(
        &self,
        succession: &Succession,
        envelope: &[u8],
        now: Millis,
    ) -> Result<(), CoreError> {
        // By content, so that nothing can lie in its place.
        let key = format!("{}/{}", folder(succession.tenant), Digest::of(envelope));
        self.keep(&key, envelope, self.retain_until(now))
    }

    fn follow(&mut self, succession: &Succession, envelope: &[u8], now: Millis) -> Result<(), CoreError> {
        let (tenant, origin) = (succession.tenant, &succession.new.origin);
        self.store.end_log(tenant, log_number(&succession.old.origin), (origin, envelope))?;
        self.halts.remove(&tenant);
        self.quiet.ends();
        tracing::warn!(%tenant, origin, "the log {origin} follows {}: {}", succession.old.origin, succession.cause);
        self.log_goes_on(tenant, &format!("the log {origin} follows it, by word of the organization"), now)
    }

    /// Follows what the vault says of the log that the database has; `false`: nothing.
    pub(super) fn follow_from_vault(&mut self, tenant: TenantId, now: Millis) -> Result<bool, CoreError> {
        let origin = self.store.log_head(tenant)?.origin;
        let mut newest: Option<(Succession, Vec<u8>)> = None;
        for key in self.ports.vault.list(&folder(tenant))? {
            let Some(envelope) = self.object(&key)? else { continue };
            let Some(offered) = self.succession(tenant, &envelope) else {
                self.is_strange(&key)?;
                continue;
            };
            let is_newer = newest.as_ref().is_none_or(|(newest, _)| newest.old.size < offered.old.size);
            if offered.old.origin == origin && is_newer {
                newest = Some((offered, envelope));
            }
        }
        let Some((succession, envelope)) = newest else { return Ok(false) };
        let log = self.store.log_head(tenant)?;
        if let Err(less) = self.must_name_what_is_known(&log, &succession) {
            tracing::error!(%tenant, origin, "the log {origin} is not ended by the word in the vault: {less}");
            return Ok(false);
        }
        self.follow(&succession, &envelope, now)?;
        Ok(true)
    }

    /// A succession of this clinic, when the organization keys signed it.
    pub(super) fn succession(&self, tenant: TenantId, envelope: &[u8]) -> Option<Succession> {
        let opened = self.trust.open_succession(envelope).ok()?.into_value();
        (opened.tenant == tenant).then_some(opened)
    }

    /// By what word a clinic's newest log follows another.
    fn followed(&self, tenant: TenantId) -> Result<Option<Succession>, CoreError> {
        let newest = self.store.successions(tenant)?.pop();
        Ok(newest.and_then(|(_, envelope)| self.succession(tenant, &envelope)))
    }

    /// What a box must be told that goes by its clinic's `log`-th log; empty: that is the newest.
    pub(super) fn succession_after(&self, tenant: TenantId, log: u64) -> Result<Vec<u8>, CoreError> {
        let mut all = self.store.successions(tenant)?.into_iter();
        Ok(all.find(|(number, _)| *number == log.saturating_add(1)).unwrap_or_default().1)
    }

    /// That the head which the word after the caller's log names continues what he has verified; empty: he has verified all of it,
    /// or there is less of it here.
    pub(super) fn shown_after(
        &self,
        tenant: TenantId,
        exchange: &Exchange,
    ) -> Result<Vec<Vec<u8>>, CoreError> {
        let (log, seen) = (exchange.log, exchange.checkpoint_size);
        let envelope = self.succession_after(tenant, log)?;
        let named = self.succession(tenant, &envelope).map_or(0, |said| said.old.size);
        let here = self.store.past_logs(tenant)?.into_iter().find(|(number, _)| *number == log);
        if seen == 0 || seen >= named || here.is_none_or(|(_, here)| here.head.size < named) {
            return Ok(Vec::new());
        }
        let proof = prove_consistency(&self.store.past_tiles(tenant, log), seen, named)
            .map_err(|error| broken(tenant, chain(&error)))?;
        Ok(proof.into_iter().map(|hash| hash.to_vec()).collect())
    }

    /// Notes what has no act yet: what lies in the vault as a paper, and, where a log follows another and is new, that it does
    /// and what held before it began. What waited came before that, and is logged after it.
    pub(super) fn note_beginning(&mut self, tenant: TenantId, now: Millis) -> Result<(), CoreError> {
        let log = self.store.log_head(tenant)?;
        if log_number(&log.origin) <= 1 || self.store.next_act(tenant)?.index > 0 {
            return self.note_papers(tenant, now);
        }
        let waiting = self.store.take_waiting_acts(tenant)?;
        self.note_in_force(tenant, now)?;
        self.note_papers(tenant, now)?;
        self.acts.extend(waiting.into_iter().map(|act| (tenant, act)));
        Ok(())
    }

    /// That this log follows another, where it does and has not said so.
    pub(super) fn note_succession(&mut self, tenant: TenantId, now: Millis) -> Result<(), CoreError> {
        let Some((_, envelope)) = self.store.successions(tenant)?.pop() else { return Ok(()) };
        let Some(Succession { old, cause, .. }) = self.succession(tenant, &envelope) else { return Ok(()) };
        let statement = payload_digest(&envelope)?;
        self.note_once(
            tenant,
            Deed::Succession { origin: old.origin, size: old.size, root: old.root, cause, statement },
            now,
        )
    }

    /// Whether a checkpoint that an executor has verified is of this log, or of one that it follows.
    pub(super) fn is_of_a_log(&self, tenant: TenantId, seen: CheckpointSeen) -> Result<bool, CoreError> {
        if self.has_been(tenant, seen)? {
            return Ok(true);
        }
        let said = self.store.successions(tenant)?;
        let past = self.store.past_logs(tenant)?.into_iter();
        for (number, log) in past.filter(|(number, _)| *number == seen.log) {
            if seen.size <= log.head.size {
                let there = root(&self.store.past_tiles(tenant, number), seen.size);
                if there.map_err(|error| broken(tenant, chain(&error)))?.0 == seen.root.0 {
                    return Ok(true);
                }
                continue;
            }
            // More than this database has of it: the organization's word is all there is to go by.
            let named = said.iter().find(|(next, _)| *next == number + 1);
            let named =
                named.and_then(|(_, envelope)| self.succession(tenant, envelope)).map(|said| said.old);
            if named.is_some_and(|old| seen.size < old.size || (seen.size, seen.root) == (old.size, old.root))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts what executors still want to see proven from a log before into the newest.
    pub(super) fn carry_over(
        &mut self,
        tenant: TenantId,
        wanted: &[Digest],
        now: Millis,
    ) -> Result<(), CoreError> {
        let log = self.store.log_head(tenant)?;
        if log_number(&log.origin) <= 1 || wanted.is_empty() || self.halt_reason(tenant, &log).is_some() {
            return Ok(());
        }
        let begin = self.open_log(tenant, now)?.head.size;
        let mut carried = Vec::new();
        for sha256 in wanted {
            if self.store.evidence_index(tenant, *sha256)?.is_none()
                && let Some(envelope) =
                    self.store.carry_over(tenant, *sha256, begin + carried.len() as u64)?
            {
                carried.push(envelope);
            }
        }
        if carried.is_empty() {
            return Ok(());
        }
        self.keep_in_log(tenant, begin, &carried, Put::Together, now)
    }
}

/// More than is here nobody can show to a box that has verified less; it follows only when the organization says why.
fn must_say_what_is_lost(here: Head, offered: &Succession) -> Result<(), CoreError> {
    let named = offered.old.size;
    if named > here.size && offered.cause != Cause::EntriesLost {
        return Err(CoreError::Precondition(format!(
            "it names {named} entries of the log that ends, {} of them are here: its cause must be {}",
            here.size,
            Cause::EntriesLost
        )));
    }
    Ok(())
}
