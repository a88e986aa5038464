//! Enrolment tickets: one-time permissions to enrol one box at one site.
//!
//! The rule: a ticket is as good as whoever gave it out is at that moment. Who was shut out, or may give out none there any
//! more, has left no door open behind them. One that is taken back stays so in a database from a backup: the vault has it.

use std::time::Duration;

use proto::{
    act::{Actor, Deed},
    digest::Digest,
    field::BadField,
    time::Millis,
};
use serde_json::{Value, json};

use super::{
    Core, CoreError,
    admin::Token,
    ways_in::{WayIn, paper_of},
};
use crate::{
    access::{Grant, PersonState, table},
    store::EnrolmentTokenRow,
};

/// The longest an enrolment token lasts.
pub const ENROLMENT_TOKEN_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The call that gives tickets out.
const ISSUE: &str = "Appliances/IssueToken";

impl Core {
    /// Makes a one-time enrolment token.
    pub fn issue_enrolment_token(
        &mut self,
        tenant: &str,
        site: &str,
        valid: Duration,
        now: Millis,
    ) -> Result<Token, CoreError> {
        let tenant = self.served(tenant)?;
        let site = self.site_called(&tenant, site)?;
        if valid.is_zero() || valid > ENROLMENT_TOKEN_MAX {
            return Err(BadField::new("valid_minutes", "must be 1 to 43200 (30 days)").into());
        }
        let secret = self.secret();
        let row = EnrolmentTokenRow {
            hash: Digest::of(secret.as_bytes()),
            tenant: tenant.id,
            site: site.id,
            expires: now.plus(valid),
            appliance: None,
            created: now,
            by: self.acting.actor.to_string(),
        };
        self.store.add_enrolment_token(&row)?;
        self.note_act(tenant.id, Deed::Ticket { site: site.id, until: row.expires }, now);
        Ok(Token { secret, expires: row.expires })
    }

    /// Tickets in sight that nobody used and that have not run out, of a clinic or of all; and why one is good no more.
    pub fn tickets(
        &self,
        tenant: &str,
        now: Millis,
    ) -> Result<Vec<(EnrolmentTokenRow, Option<&'static str>)>, CoreError> {
        let rows = self.store.open_enrolment_tokens(self.within(tenant)?, now)?;
        rows.into_iter().map(|row| self.why_void(&row, now).map(|why| (row, why))).collect()
    }

    /// Takes a ticket back, by what lists call it.
    pub fn revoke_ticket(&mut self, called: &str, now: Millis) -> Result<EnrolmentTokenRow, CoreError> {
        let found = self.tickets("", now)?.into_iter().find(|(row, _)| ticket_name(row) == called);
        let (row, _) = found.ok_or_else(|| {
            CoreError::NotFound(format!(
                "there is no open ticket {called:?}; `control-plane appliance tickets` shows them"
            ))
        })?;
        self.keep_token_revocation(paper_of(&WayIn::Ticket(row.hash)), now)?;
        self.store.end_enrolment_token(row.hash)?;
        let before = json!({ "id": called, "site": row.site, "by": row.by, "until": row.expires });
        self.changed(Some(row.tenant), "ticket", before, Value::Null);
        Ok(row)
    }

    /// Why a ticket is good no more, although it has not run out; `None`: it is good.
    pub(super) fn why_void(
        &self,
        ticket: &EnrolmentTokenRow,
        now: Millis,
    ) -> Result<Option<&'static str>, CoreError> {
        if self.store.tenant(ticket.tenant)?.is_none_or(|tenant| tenant.closed.0 != 0) {
            return Ok(Some("the clinic left"));
        }
        let by = ticket.by.as_str();
        // The console and the control plane are always there; of tickets from before this was kept nobody knows.
        if by.is_empty() || [Actor::Console, Actor::ControlPlane].iter().any(|actor| actor.to_string() == by)
        {
            return Ok(None);
        }
        let grant = match self.store.operator_called(by)? {
            Some(person) => (person.state != PersonState::Ended).then_some(person.grant),
            None => {
                let token = self.store.operator_tokens()?.into_iter().find(|token| token.name == by);
                token.filter(|token| !token.revoked && now < token.expires).map(|token| token.grant)
            }
        };
        let may = |grant: &Grant| {
            table::roles_of(ISSUE).contains(&grant.role) && grant.scope.sees_site(ticket.tenant, ticket.site)
        };
        Ok(match grant {
            None => Some("the access of whoever gave it out has ended"),
            Some(grant) if !may(&grant) => Some("whoever gave it out may give out none there any more"),
            Some(_) => None,
        })
    }
}

/// What a ticket is called in lists: enough of its hash to tell it from others.
#[must_use]
pub fn ticket_name(row: &EnrolmentTokenRow) -> String {
    row.hash.to_string().chars().take(16).collect()
}
