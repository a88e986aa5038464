//! Who signs in: invited, known by a passkey, shut out.
//!
//! The rule: an invitation is a secret that is shown once, kept as a hash, and used up by the first passkey. Whoever is shut
//! out is so at once and for good: passkeys, sessions, codes and links go, the name stays taken, the logs of the clinics in
//! sight say so, and the vault keeps it, so that a database from a backup lets nobody in again, nor to what they may not do
//! any more.

use std::time::Duration;

use proto::{
    act::{Actor, Deed, NO_END},
    digest::Digest,
    field::{BadField, text},
    time::Millis,
};
use serde_json::{Value, json};

use super::{
    Core, CoreError,
    admin::Token,
    names,
    sessions::fresh,
    ways_in::{WayIn, paper_of},
};
use crate::{
    access::{Grant, Means, PersonState, Principal, Scope, SessionKind},
    store::{OperatorRow, PasskeyRow},
};

/// The longest an invitation lasts.
pub const INVITATION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// What is said of a link that leads nowhere.
pub const LINK_GONE: &str = "the link is used up, too old or none";
/// The most passkeys of one person.
pub const PASSKEYS_MAX: usize = 20;

/// Whom to invite, and to what.
#[derive(Debug, Clone)]
pub struct Invitee {
    /// What acts will call them.
    pub name: String,
    /// Where mail reaches them; may be empty.
    pub email: String,
    /// What they may do, and where.
    pub grant: Grant,
}

/// A passkey that was just made and verified.
#[derive(Debug, Clone)]
pub struct NewPasskey {
    /// What its authenticator calls it.
    pub id: Vec<u8>,
    /// What its owner calls it.
    pub label: String,
    /// What is kept of it ([`crate::access`] knows the form).
    pub credential: String,
}

/// What lets somebody make a passkey: a secret, so it is not printed.
#[derive(Clone)]
pub enum Proof {
    /// A link.
    Invitation(String),
    /// A session.
    Session(String),
}

/// Somebody came in: secrets, so they are not printed.
pub struct Entered {
    /// The session's secret: what the cookie holds.
    pub session: String,
    /// Who.
    pub person: OperatorRow,
    /// Recovery codes, where there were none: shown now and never again.
    pub codes: Vec<String>,
}

impl Core {
    /// Invites somebody, or somebody known again: another link, and from now on this role and scope.
    pub fn invite(
        &mut self,
        invitee: Invitee,
        valid: Duration,
        now: Millis,
    ) -> Result<(OperatorRow, Token), CoreError> {
        if valid.is_zero() || valid > INVITATION_MAX {
            return Err(BadField::new("valid_hours", "must be 1 to 720").into());
        }
        let row = match self.store.operator_called(&invitee.name)? {
            None => self.add_person(invitee, None, now)?,
            Some(known) if known.subject.is_some() => return Err(by_provider()),
            Some(known) => self.change_person(known, invitee, now)?,
        };
        let token = Token { secret: self.secret(), expires: now.plus(valid) };
        self.store.put_invitation(Digest::of(token.secret.as_bytes()), row.id, token.expires)?;
        self.person_changed(
            &row,
            "invitation",
            Value::Null,
            json!({ "name": row.name, "until": token.expires }),
        );
        Ok((row, token))
    }

    /// Takes the link that `init` printed, as long as nobody was ever invited; its hash came here by a file.
    pub fn first_owner(
        &mut self,
        name: &str,
        hash: Digest,
        expires: Millis,
        now: Millis,
    ) -> Result<bool, CoreError> {
        if !self.store.operators()?.is_empty() || expires <= now {
            return Ok(false);
        }
        let invitee = Invitee { name: name.to_owned(), email: String::new(), grant: Grant::everything() };
        let row = self.add_person(invitee, None, now)?;
        self.store.put_invitation(hash, row.id, expires)?;
        Ok(true)
    }

    /// Adds somebody. `subject`: who they are to the identity provider.
    pub(super) fn add_person(
        &mut self,
        invitee: Invitee,
        subject: Option<String>,
        now: Millis,
    ) -> Result<OperatorRow, CoreError> {
        let Invitee { name, email, grant } = invitee;
        let name = operator_name(&name)?;
        let email = mail_address(email)?;
        self.scope_exists(&grant.scope)?;
        let id = uuid::Builder::from_unix_timestamp_millis(now.0.cast_unsigned(), &self.random()).into_uuid();
        let row = OperatorRow {
            id,
            name,
            email,
            state: PersonState::Invited,
            created: now,
            used: Millis(0),
            grant,
            subject,
            granted: now,
        };
        if self.is_called(&row.name)? || !self.store.add_operator(&row)? {
            return Err(CoreError::Exists(format!(
                "there is somebody or a token called {:?} already; choose another name",
                row.name
            )));
        }
        self.person_changed(&row, "access", Value::Null, said(&row));
        self.note_act_in(&row.grant.scope, &Deed::Access { name: row.name.clone(), until: NO_END }, now)?;
        Ok(row)
    }

    /// Whether somebody, or a token, is called so, or nearly so: acts call both by their names.
    pub(super) fn is_called(&self, name: &str) -> Result<bool, CoreError> {
        let people = self.store.operators()?.into_iter().map(|row| row.name);
        let tokens = self.store.operator_tokens()?.into_iter().map(|row| row.name);
        Ok(people.chain(tokens).any(|known| names::same(&known, name)))
    }

    /// Gives somebody known another role, scope or address.
    pub(super) fn change_person(
        &mut self,
        known: OperatorRow,
        invitee: Invitee,
        now: Millis,
    ) -> Result<OperatorRow, CoreError> {
        if known.state == PersonState::Ended {
            return Err(CoreError::Precondition(format!(
                "{:?} was shut out for good, and acts still call them so; choose another name",
                known.name
            )));
        }
        let email = match invitee.email {
            empty if empty.is_empty() => known.email.clone(),
            email => mail_address(email)?,
        };
        self.scope_exists(&invitee.grant.scope)?;
        self.keeps_an_owner(&known, Some(invitee.grant))?;
        let mut row = OperatorRow { email, grant: invitee.grant, ..known.clone() };
        if row.grant != known.grant {
            self.keep_token_revocation(paper_of(&WayIn::Grant(known.id, known.granted)), now)?;
            row.granted = Millis(now.0.max(known.granted.0.saturating_add(1)));
        }
        self.store.put_operator(&row)?;
        if row.grant != known.grant {
            // In each clinic's own words: gone from where they were, come to where they are.
            self.person_changed(&known, "access", said(&known), Value::Null);
            self.person_changed(&row, "access", Value::Null, said(&row));
            let (ends, begins) = (known.grant.scope, row.grant.scope);
            self.note_act_in(&ends, &Deed::AccessEnd { name: row.name.clone() }, now)?;
            self.note_act_in(&begins, &Deed::Access { name: row.name.clone(), until: NO_END }, now)?;
        } else {
            self.person_changed(&row, "access", said(&known), said(&row));
        }
        Ok(row)
    }

    /// Everybody, and those who were.
    pub fn people(&self) -> Result<Vec<OperatorRow>, CoreError> {
        Ok(self.store.operators()?)
    }

    /// Somebody by name.
    pub fn person_called(&self, name: &str) -> Result<OperatorRow, CoreError> {
        let missing = || CoreError::NotFound(format!("there is nobody called {name:?}"));
        self.store.operator_called(name)?.ok_or_else(missing)
    }

    /// Shuts somebody out.
    pub fn end_person(&mut self, name: &str, now: Millis) -> Result<OperatorRow, CoreError> {
        let before = self.person_called(name)?;
        self.keeps_an_owner(&before, None)?;
        // Again, where it went wrong the first time; but it ended once.
        self.keep_token_revocation(paper_of(&WayIn::Person(before.id, name.to_owned())), now)?;
        self.store.end_operator(name)?;
        let row = OperatorRow { state: PersonState::Ended, ..before.clone() };
        if before.state != PersonState::Ended {
            self.person_changed(&row, "access", said(&before), said(&row));
            self.note_act_in(&row.grant.scope, &Deed::AccessEnd { name: row.name.clone() }, now)?;
        }
        Ok(row)
    }

    /// Nobody who signs in leaves the organization without an owner who can. The console may: it lets another one in.
    fn keeps_an_owner(&self, of: &OperatorRow, becomes: Option<Grant>) -> Result<(), CoreError> {
        let owns = |row: &OperatorRow| row.state == PersonState::Active && row.grant == Grant::everything();
        if self.acting.means == Means::Console || !owns(of) || becomes == Some(Grant::everything()) {
            return Ok(());
        }
        match self.store.operators()?.iter().any(|row| row.id != of.id && owns(row)) {
            true => Ok(()),
            false => Err(CoreError::Precondition(format!(
                "{:?} is the last owner who can sign in; have another one come first, or use the server's console",
                of.name
            ))),
        }
    }

    /// Whose invitation this is, if it still holds.
    pub fn invited(&self, secret: &str, now: Millis) -> Result<Option<OperatorRow>, CoreError> {
        let Some(id) = self.store.invitation(Digest::of(secret.as_bytes()), now)? else { return Ok(None) };
        Ok(self.store.operator(id)?.filter(|row| row.state != PersonState::Ended))
    }

    /// Who may make a passkey with this proof, and the IDs of those that they have.
    pub fn maker(&mut self, proof: &Proof, now: Millis) -> Result<(OperatorRow, Vec<Vec<u8>>), CoreError> {
        let person = match proof {
            Proof::Invitation(secret) => self.invited(secret, now)?.ok_or_else(gone)?,
            Proof::Session(secret) => match self.session(secret, now)? {
                (row, person) if row.kind == SessionKind::Recovery => person,
                (row, person) => fresh(&row, now).map(|()| person)?,
            },
        };
        if person.subject.is_some() {
            return Err(by_provider());
        }
        let known = self.store.passkeys(person.id)?.into_iter().map(|row| row.id).collect();
        Ok((person, known))
    }

    /// Keeps a passkey that was just made, and begins a session with it.
    pub fn add_passkey(
        &mut self,
        proof: &Proof,
        new: NewPasskey,
        from: &str,
        now: Millis,
    ) -> Result<Entered, CoreError> {
        let label = text("label", new.label.trim(), 60)?;
        let (mut person, known) = self.maker(proof, now)?;
        if let Proof::Invitation(secret) = proof
            && !self.store.use_invitation(Digest::of(secret.as_bytes()))?
        {
            return Err(gone());
        }
        if matches!(proof, Proof::Invitation(_)) {
            self.begin_anew(&person, now)?;
        } else if known.len() >= PASSKEYS_MAX {
            let problem = format!("you have {PASSKEYS_MAX} passkeys; remove one first");
            return Err(CoreError::Precondition(problem));
        }
        let row = PasskeyRow {
            id: new.id,
            operator: person.id,
            label,
            created: now,
            used: Millis(0),
            credential: new.credential,
        };
        if !self.store.add_passkey(&row)? {
            return Err(CoreError::Exists("this passkey is known here already".into()));
        }
        person.state = PersonState::Active;
        self.store.put_operator(&person)?;
        self.as_person(&person, from, "Account/AddPasskey", now, |core| {
            core.person_changed(&person, "passkey", Value::Null, json!(row.label));
            Ok(())
        })?;
        let codes = match self.store.recovery_codes_left(person.id)? {
            0 => self.new_codes(person.id)?,
            _ => Vec::new(),
        };
        if let Proof::Session(secret) = proof {
            // Whatever the session before was good for: this one is another.
            self.store.end_session(Digest::of(secret.as_bytes()))?;
        }
        let session = self.begin_session(&person, (SessionKind::Full, now), from, now)?;
        Ok(Entered { session, person, codes })
    }

    /// Whoever is invited again begins anew: what was lost opens nothing any more, and whoever invited them stands beside
    /// nobody unseen.
    fn begin_anew(&mut self, person: &OperatorRow, now: Millis) -> Result<(), CoreError> {
        for row in self.store.passkeys(person.id)? {
            self.keep_token_revocation(paper_of(&WayIn::Passkey(row.id, person.id)), now)?;
        }
        Ok(self.store.forget_ways_in(person.id)?)
    }

    /// Removes one of the passkeys of whoever this session belongs to.
    pub fn remove_passkey(
        &mut self,
        session: &str,
        id: &[u8],
        from: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        let (row, person) = self.full_session(session, now)?;
        fresh(&row, now)?;
        let all = self.store.passkeys(person.id)?;
        let missing = || CoreError::NotFound("you have no such passkey".into());
        let row = all.iter().find(|row| row.id == id).ok_or_else(missing)?;
        if all.len() == 1 {
            let problem = "it is your only passkey; make another first, or you could not come in again";
            return Err(CoreError::Precondition(problem.into()));
        }
        self.keep_token_revocation(paper_of(&WayIn::Passkey(id.to_vec(), person.id)), now)?;
        self.store.remove_passkey(id, person.id)?;
        // Whoever has it may have come in with it.
        let here = Digest::of(session.as_bytes());
        for row in self.store.sessions(person.id)?.into_iter().filter(|row| row.hash != here) {
            self.store.end_session(row.hash)?;
        }
        self.as_person(&person, from, "Account/RemovePasskey", now, |core| {
            core.person_changed(&person, "passkey", json!(row.label), Value::Null);
            Ok(())
        })
    }

    /// Runs what somebody does for themselves, so that the trail says who it was.
    pub(super) fn as_person<T>(
        &mut self,
        person: &OperatorRow,
        from: &str,
        call: &str,
        now: Millis,
        command: impl FnOnce(&mut Self) -> Result<T, CoreError>,
    ) -> Result<T, CoreError> {
        let by = Principal::person(person.name.clone(), from.to_owned(), person.grant, true);
        self.acting_as(by, call, now, command)
    }

    pub(super) fn person_changed(&mut self, row: &OperatorRow, what: &str, before: Value, after: Value) {
        self.changed(row.grant.scope.tenant(), what, before, after);
    }

    fn scope_exists(&self, scope: &Scope) -> Result<(), CoreError> {
        match scope {
            Scope::Site(tenant, site) if !self.has_site(*tenant, *site)? => {
                Err(BadField::new("site", "must be one of the clinic's").into())
            }
            _ => Ok(()),
        }
    }
}

/// What acts may call somebody, or a token.
pub fn operator_name(name: &str) -> Result<String, BadField> {
    let name = names::name("name", name, 60)?;
    if name.trim() != name {
        return Err(BadField::new("name", "must not begin or end with a space"));
    }
    if [Actor::ControlPlane, Actor::Console].iter().any(|actor| names::same(&actor.to_string(), &name)) {
        return Err(BadField::new("name", format!("must not be {name:?}: acts call somebody else so")));
    }
    Ok(name)
}

pub(super) fn by_provider() -> CoreError {
    CoreError::Precondition("whoever comes by the identity provider's word has no other way in".into())
}

fn gone() -> CoreError {
    CoreError::Denied(LINK_GONE.into())
}

fn mail_address(email: String) -> Result<String, CoreError> {
    if email.is_empty() || email.parse::<lettre::Address>().is_ok() {
        return Ok(email);
    }
    Err(BadField::new("email", "must be an address such as alice@msp.example").into())
}

fn said(row: &OperatorRow) -> Value {
    json!({
        "name": row.name, "email": row.email, "role": row.grant.role, "scope": row.grant.scope.to_string(),
        "ended": row.state == PersonState::Ended,
    })
}
