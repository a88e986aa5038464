//! People who come by the identity provider's word.
//!
//! The rule: the provider decides each time what they may do, so they have no other way in: no passkeys, no codes, no links.
//! Whoever it lets do nothing any more is signed out; whoever was shut out here stays out, whatever it says.

use proto::time::Millis;

use super::{Core, CoreError, people::Invitee};
use crate::{
    access::{Grant, PersonState, Principal, Role, SessionKind},
    store::OperatorRow,
};

/// What the provider says of somebody, and what the settings make of it.
#[derive(Debug, Clone)]
pub struct Provided {
    /// Issuer and subject.
    pub subject: String,
    /// What to call them, as long as nobody is called so.
    pub name: String,
    /// Where mail reaches them; may be empty.
    pub email: String,
    /// As what.
    pub role: Role,
    /// In which clinic, by name or ID; empty: everywhere.
    pub tenant: String,
    /// At which of its sites; empty: all.
    pub site: String,
    /// When the provider had them prove who they are; 0: it does not say. It may let in, unasked, whom it asked hours ago.
    pub proven: Millis,
}

impl Core {
    /// Begins a session for somebody by the provider's word.
    pub fn provider_says(&mut self, who: Provided, from: &str, now: Millis) -> Result<String, CoreError> {
        let proven = who.proven.min(now);
        let grant = Grant { role: who.role, scope: self.scope_called(&who.tenant, &who.site)? };
        let person = self.acting_as(Principal::control_plane(), "SignIn/Provider", now, |core| {
            core.known_by_provider(who, grant, now)
        })?;
        self.came_in(&person, "identity provider", from, now)?;
        self.begin_session(&person, (SessionKind::Full, proven), from, now)
    }

    fn known_by_provider(
        &mut self,
        who: Provided,
        grant: Grant,
        now: Millis,
    ) -> Result<OperatorRow, CoreError> {
        let Provided { subject, name, email, .. } = who;
        let name = name.trim().to_owned();
        // A provider may say as an address what is none; nobody is kept out for that.
        let email = if email.parse::<lettre::Address>().is_ok() { email } else { String::new() };
        let mut person = match self.store.operator_known_as(&subject)? {
            Some(known) if known.state == PersonState::Ended => {
                return Err(CoreError::Denied("you were shut out of this control plane".into()));
            }
            Some(known) => {
                let name = known.name.clone();
                self.change_person(known, Invitee { name, email, grant }, now)?
            }
            None => self.add_person(Invitee { name, email, grant }, Some(subject), now)?,
        };
        person.state = PersonState::Active;
        self.store.put_operator(&person)?;
        Ok(person)
    }

    /// The provider lets somebody do nothing: they are signed out, wherever they are.
    pub fn provider_says_nothing(&mut self, subject: &str, now: Millis) -> Result<(), CoreError> {
        let Some(person) = self.store.operator_known_as(subject)? else { return Ok(()) };
        self.acting_as(Principal::control_plane(), "SignIn/Provider", now, |core| {
            core.end_sessions_of(&person.name, "").map(drop)
        })
    }
}
