//! What people answer for beside the boxes: the contract with a clinic, and who may use this server.
//!
//! The rule: an act is the record. What is in force is what the newest act says, so a database that comes from a backup
//! learns it from the log, and an auditor reads the same in the bundle.

use std::collections::{BTreeMap, BTreeSet};

use proto::{
    act::{Claim, Deed, NO_END},
    digest::Digest,
    field::{BadField, fixed},
    ids::TenantId,
    pb::{RecordAgreement, ReviewAccess},
    time::Millis,
};

use serde_json::{Value, json};

use super::{Core, CoreError};
pub use crate::packet::REVIEW_EVERY;
use crate::{
    access::{Grant, PersonState},
    store::{OperatorRow, OperatorTokenRow, TenantRow},
};

/// As many accesses as one act can name.
const REVIEW_MOST: usize = 200;

/// The contract with a clinic, as it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// Day on which it was signed.
    pub signed: Millis,
    /// Its last day.
    pub until: Option<Millis>,
    /// SHA-256 of the document.
    pub document: Digest,
    /// When it was recorded.
    pub recorded: Millis,
}

/// Who has access, and when that was last gone through.
#[derive(Debug, Clone)]
pub struct Access {
    /// Tokens that hold.
    pub tokens: Vec<OperatorTokenRow>,
    /// People who were not shut out.
    pub people: Vec<OperatorRow>,
    /// The last review.
    pub reviewed: Option<Millis>,
    /// Until when the next is due; `None`: nobody ever had access.
    pub due: Option<Millis>,
}

/// Who has access, be it a person or a token.
struct Holder {
    name: String,
    until: Millis,
    grant: Grant,
}

impl Core {
    /// Records the contract with a clinic; it takes the place of the one before.
    pub fn record_agreement(&mut self, asked: &RecordAgreement, now: Millis) -> Result<TenantRow, CoreError> {
        let tenant = self.tenant(&asked.tenant)?;
        if !asked.change {
            return Ok(tenant);
        }
        if !self.differs().needs_agreement {
            return Err(CoreError::Precondition(
                "mode is direct in config.toml: the organization runs this itself, and has nobody to have a business \
                 associate agreement with"
                    .into(),
            ));
        }
        let signed = Millis(asked.signed_ms);
        if signed.0 <= 0 || signed > now {
            return Err(BadField::new("signed", format!("must be a day until today, {now}")).into());
        }
        let until = (asked.until_ms != 0).then_some(Millis(asked.until_ms));
        if until.is_some_and(|until| until < signed) {
            return Err(BadField::new("until", "must not be before the day of signing").into());
        }
        let document = Digest(fixed("document", &asked.document)?);
        let before = self.agreement(tenant.id)?.map(|one| one.document);
        self.changed(Some(tenant.id), "agreement", json!(before), json!(document));
        self.note_act(tenant.id, Deed::Agreement { signed, until, document }, now);
        Ok(tenant)
    }

    /// The contract with a clinic; `None`: none is recorded.
    pub fn agreement(&self, tenant: TenantId) -> Result<Option<Agreement>, CoreError> {
        let Some(act) = self.newest_act(Some(tenant), "agreement")? else { return Ok(None) };
        Ok(match act.deed {
            Deed::Agreement { signed, until, document } => {
                Some(Agreement { signed, until, document, recorded: act.at })
            }
            _ => None,
        })
    }

    /// Who has access. A review ends some, and signs for every clinic that the others keep theirs.
    pub fn review_access(&mut self, asked: &ReviewAccess, now: Millis) -> Result<Access, CoreError> {
        if asked.confirm {
            let (keep, end) = decided(&asked.keep, &asked.end)?;
            let Access { tokens, people, .. } = self.access(now)?;
            let holds: Vec<Holder> = tokens
                .into_iter()
                .map(|row| Holder { name: row.name, until: row.expires, grant: row.grant })
                .chain(people.into_iter().map(|row| Holder {
                    name: row.name,
                    until: NO_END,
                    grant: row.grant,
                }))
                .collect();
            if let Some(open) = holds.iter().find(|row| !keep.contains(&row.name) && !end.contains(&row.name))
            {
                let problem =
                    format!("and end must name everybody who has access; nothing is said of {:?}", open.name);
                return Err(BadField::new("keep", problem).into());
            }
            if holds.len() > REVIEW_MOST {
                let problem = format!(
                    "would name {} accesses, and one review at most {REVIEW_MOST}; first revoke what nobody needs",
                    holds.len()
                );
                return Err(BadField::new("keep", problem).into());
            }
            let known = |name: &&String| !holds.iter().any(|row| row.name == **name);
            if let Some(unknown) = keep.union(&end).find(known) {
                let problem = format!("and end must name who has access; {unknown:?} has none");
                return Err(BadField::new("keep", problem).into());
            }
            for name in &end {
                match self.store.operator_called(name)? {
                    Some(_) => self.end_person(name, now).map(drop)?,
                    None => self.revoke_operator_token(name, now).map(drop)?,
                }
            }
            self.changed(None, "review of access", Value::Null, json!({ "kept": keep, "ended": end }));
            for tenant in self.store.tenants()? {
                // Each clinic's log names who could see it, and nobody else.
                let sees = |row: &&Holder| row.grant.scope.sees(tenant.id);
                let of = |names: &BTreeSet<String>| -> BTreeMap<String, Millis> {
                    let named = holds.iter().filter(sees).filter(|row| names.contains(&row.name));
                    named.map(|row| (row.name.clone(), row.until)).collect()
                };
                let (kept, ended) = (of(&keep), of(&end).into_keys().collect());
                self.note_act(tenant.id, Deed::AccessReview { kept, ended }, now);
            }
            // What was noted is in the log when the command has ended; the answer speaks of it now.
            let access = self.access(now)?;
            return Ok(Access { reviewed: Some(now), due: Some(now.plus(REVIEW_EVERY)), ..access });
        }
        self.access(now)
    }

    fn access(&self, now: Millis) -> Result<Access, CoreError> {
        let all = self.store.operator_tokens()?;
        let reviewed = self.newest_act(None, "access-review")?.map(|act| act.at);
        let people = self.store.operators()?;
        let began = all.iter().map(|row| row.created).chain(people.iter().map(|row| row.created)).min();
        let since = reviewed.or(began);
        let holds = |row: &OperatorTokenRow| !row.revoked && now < row.expires;
        Ok(Access {
            tokens: all.into_iter().filter(holds).collect(),
            people: people.into_iter().filter(|row| row.state != PersonState::Ended).collect(),
            reviewed,
            due: since.map(|since| since.plus(REVIEW_EVERY)),
        })
    }

    pub(super) fn newest_act(
        &self,
        tenant: Option<TenantId>,
        kind: &str,
    ) -> Result<Option<proto::act::Act>, CoreError> {
        let Some(envelope) = self.store.newest_act(tenant, kind)? else { return Ok(None) };
        // Verified before it was kept here.
        Ok(Claim::read(&envelope).ok().flatten().map(Claim::unverified))
    }
}

fn decided(keep: &[String], end: &[String]) -> Result<(BTreeSet<String>, BTreeSet<String>), BadField> {
    let (keep, end): (BTreeSet<_>, BTreeSet<_>) =
        (keep.iter().cloned().collect(), end.iter().cloned().collect());
    match keep.intersection(&end).next() {
        Some(both) => Err(BadField::new("keep", format!("and end must not both name {both:?}"))),
        None => Ok((keep, end)),
    }
}
