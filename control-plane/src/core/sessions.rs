//! Sessions of people, and how they begin: a passkey, a recovery code, the identity provider's word.
//!
//! The rule: a session's secret is made here at each sign-in and never taken from outside; the database has its hash. Every
//! call asks anew whether the session holds and whether its owner was shut out.

use proto::{digest::Digest, time::Millis};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Core, CoreError, people::by_provider};
use crate::{
    access::{FRESH, PersonState, SESSION_IDLE, SESSION_MAX, SIGN_IN_AGAIN, SessionKind},
    store::{OperatorRow, PasskeyRow, SessionRow},
};

/// How many recovery codes somebody has.
pub const CODES: usize = 10;
/// What is said of a session that holds no more, or never was.
pub const SESSION_OVER: &str = "the session has ended; sign in again";
/// The most sessions of one person; the oldest ends.
const SESSIONS_MAX: usize = 20;
/// A use is noted once a minute, or every call would write.
const NOTE_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
/// Letters and digits that nobody confuses (Crockford's).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl Core {
    /// Begins a session of somebody who proved at `proven` who they are; its secret is what the cookie holds.
    pub(super) fn begin_session(
        &mut self,
        person: &OperatorRow,
        (kind, proven): (SessionKind, Millis),
        from: &str,
        now: Millis,
    ) -> Result<String, CoreError> {
        self.store.forget_sessions(now.minus(SESSION_IDLE), now.minus(SESSION_MAX))?;
        for row in self.store.sessions(person.id)?.into_iter().skip(SESSIONS_MAX - 1) {
            self.store.end_session(row.hash)?;
        }
        let (secret, address) = (self.secret(), from.to_owned());
        let hash = Digest::of(secret.as_bytes());
        self.store.add_session(&SessionRow {
            hash,
            operator: person.id,
            kind,
            created: now,
            used: now,
            address,
            proven,
        })?;
        self.store.used_session(hash, person.id, now)?;
        Ok(secret)
    }

    /// Whose session this is, if it still holds; notes the use.
    pub fn session(&mut self, secret: &str, now: Millis) -> Result<(SessionRow, OperatorRow), CoreError> {
        let over = || CoreError::Denied(SESSION_OVER.into());
        let row = self.store.session(Digest::of(secret.as_bytes()))?.ok_or_else(over)?;
        let person = self.store.operator(row.operator)?.ok_or_else(over)?;
        if !row.kind.holds(row.created, row.used, now) || person.state == PersonState::Ended {
            return Err(over());
        }
        if now >= row.used.plus(NOTE_EVERY) {
            self.store.used_session(row.hash, row.operator, now)?;
        }
        Ok((row, person))
    }

    /// The same of a session that is good for everything that its owner may do.
    pub fn full_session(
        &mut self,
        secret: &str,
        now: Millis,
    ) -> Result<(SessionRow, OperatorRow), CoreError> {
        match self.session(secret, now)? {
            (row, person) if row.kind == SessionKind::Full => Ok((row, person)),
            _ => Err(CoreError::Denied("this session is for making a new passkey, and nothing else".into())),
        }
    }

    /// Somebody's sessions that hold, the newest first.
    pub fn sessions_of(&self, id: Uuid, now: Millis) -> Result<Vec<SessionRow>, CoreError> {
        let rows = self.store.sessions(id)?.into_iter();
        Ok(rows.filter(|row| row.kind.holds(row.created, row.used, now)).collect())
    }

    /// Somebody's passkeys.
    pub fn passkeys_of(&self, id: Uuid) -> Result<Vec<PasskeyRow>, CoreError> {
        Ok(self.store.passkeys(id)?)
    }

    /// How many recovery codes somebody has left.
    pub fn codes_left(&self, id: Uuid) -> Result<u64, CoreError> {
        Ok(self.store.recovery_codes_left(id)?)
    }

    /// Ends one of one's own sessions, or (empty) all.
    pub fn end_own_sessions(
        &mut self,
        session: &str,
        called: &str,
        from: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        let (_, person) = self.full_session(session, now)?;
        let ended = self.end_sessions(person.id, called)?;
        self.as_person(&person, from, "Account/EndSession", now, |core| {
            core.changed(None, "sessions", json!({ "ended": 0 }), json!({ "ended": ended }));
            Ok(())
        })
    }

    /// Ends one of somebody's sessions, by the beginning of its hash, or (empty) all; says how many.
    pub(super) fn end_sessions(&mut self, id: Uuid, called: &str) -> Result<usize, CoreError> {
        let all = self.store.sessions(id)?;
        let ended: Vec<_> =
            all.iter().filter(|row| called.is_empty() || session_name(row) == called).collect();
        if ended.is_empty() && !called.is_empty() {
            return Err(CoreError::NotFound(format!("there is no session {called:?}")));
        }
        for row in &ended {
            self.store.end_session(row.hash)?;
        }
        Ok(ended.len())
    }

    /// The same, by an owner, of somebody by name.
    pub fn end_sessions_of(&mut self, name: &str, called: &str) -> Result<OperatorRow, CoreError> {
        let person = self.person_called(name)?;
        let ended = self.end_sessions(person.id, called)?;
        self.changed(
            None,
            "sessions",
            json!({ "of": name, "ended": 0 }),
            json!({ "of": name, "ended": ended }),
        );
        Ok(person)
    }

    /// Ends the session with this secret, if there is one: its owner leaves, or somebody else comes.
    pub fn sign_out(&mut self, secret: &str, from: &str, now: Millis) -> Result<(), CoreError> {
        let hash = Digest::of(secret.as_bytes());
        let Some(row) = self.store.session(hash)? else { return Ok(()) };
        self.store.end_session(hash)?;
        let Some(person) = self.store.operator(row.operator)? else { return Ok(()) };
        self.as_person(&person, from, "SignOut", now, |core| {
            core.changed(None, "signed out", Value::Null, json!({ "began": row.created }));
            Ok(())
        })
    }

    /// A passkey, and whose it is, if they may come in.
    pub fn passkey(&self, id: &[u8]) -> Result<Option<(PasskeyRow, OperatorRow)>, CoreError> {
        let Some(row) = self.store.passkey(id)? else { return Ok(None) };
        let person = self.store.operator(row.operator)?;
        Ok(person.filter(|person| person.state != PersonState::Ended).map(|person| (row, person)))
    }

    /// Begins a session for whoever has just shown a passkey. `before` and `after`: what was kept of it when its signature was
    /// verified, and what is to be kept now; where another sign-in came between, this one does not count.
    pub fn passkey_shown(
        &mut self,
        id: &[u8],
        (before, after): (&str, &str),
        from: &str,
        now: Millis,
    ) -> Result<(String, OperatorRow), CoreError> {
        let denied = || CoreError::Denied("this passkey is not known here; use another one".into());
        let (row, person) = self.passkey(id)?.ok_or_else(denied)?;
        if !self.store.used_passkey(id, (before, after), now)? {
            return Err(CoreError::Denied(
                "this passkey was used at the same moment elsewhere; try again".into(),
            ));
        }
        self.came_in(&person, &format!("passkey {}", row.label), from, now)?;
        Ok((self.begin_session(&person, (SessionKind::Full, now), from, now)?, person))
    }

    /// A passkey's counter went back: there may be two of it. Nobody came in, and the trail says why.
    pub fn passkey_copied(&mut self, id: &[u8], from: &str, now: Millis) -> Result<(), CoreError> {
        let Some((row, person)) = self.passkey(id)? else { return Ok(()) };
        tracing::warn!(name = %person.name, from, "a passkey's counter went back: there may be a copy of it");
        self.as_person(&person, from, "SignIn/Passkey", now, |core| {
            let after = json!({ "refused": "its counter went back: there may be a copy of it" });
            core.changed(None, "passkey", json!(row.label), after);
            Ok(())
        })
    }

    /// Lets somebody make a new passkey who shows a recovery code; `None`: it is none of theirs.
    pub fn recover(
        &mut self,
        name: &str,
        code: &str,
        from: &str,
        now: Millis,
    ) -> Result<Option<String>, CoreError> {
        let hash = code_hash(code);
        let Some(person) = self.store.operator_called(name)? else { return Ok(None) };
        if person.state == PersonState::Ended || !self.store.use_recovery_code(hash, person.id)? {
            return Ok(None);
        }
        self.came_in(&person, "recovery code", from, now)?;
        self.begin_session(&person, (SessionKind::Recovery, now), from, now).map(Some)
    }

    /// New recovery codes for whoever this session belongs to; the old ones are good no more.
    pub fn renew_codes(&mut self, session: &str, from: &str, now: Millis) -> Result<Vec<String>, CoreError> {
        let (row, person) = self.full_session(session, now)?;
        fresh(&row, now)?;
        if person.subject.is_some() {
            return Err(by_provider());
        }
        let codes = self.new_codes(person.id)?;
        self.as_person(&person, from, "Account/RenewCodes", now, |core| {
            core.person_changed(&person, "recovery codes", Value::Null, json!(CODES));
            Ok(())
        })?;
        Ok(codes)
    }

    pub(super) fn new_codes(&mut self, of: Uuid) -> Result<Vec<String>, CoreError> {
        let codes: Vec<String> = (0..CODES).map(|_| written(&self.random::<16>())).collect();
        let hashes: Vec<Digest> = codes.iter().map(|code| code_hash(code)).collect();
        self.store.put_recovery_codes(of, &hashes)?;
        Ok(codes)
    }

    /// That somebody signed in is in the trail: 45 CFR 164.308(a)(5)(ii)(C) wants log-ins looked at.
    pub(super) fn came_in(
        &mut self,
        person: &OperatorRow,
        by: &str,
        from: &str,
        now: Millis,
    ) -> Result<(), CoreError> {
        self.as_person(person, from, "SignIn", now, |core| {
            core.changed(None, "signed in", Value::Null, json!({ "by": by }));
            Ok(())
        })
    }
}

/// Whether somebody proved a moment ago who they are.
#[must_use]
pub fn is_fresh(row: &SessionRow, now: Millis) -> bool {
    now < row.proven.plus(FRESH)
}

/// Whoever finds a session open does not make themselves at home in it: ways in are changed by who has just signed in.
pub(super) fn fresh(row: &SessionRow, now: Millis) -> Result<(), CoreError> {
    if is_fresh(row, now) { Ok(()) } else { Err(CoreError::Precondition(SIGN_IN_AGAIN.into())) }
}

/// What a session is called in lists: enough of its hash to tell it from others.
#[must_use]
pub fn session_name(row: &SessionRow) -> String {
    row.hash.to_string().chars().take(16).collect()
}

/// Sixteen letters, five bits each, in fours.
fn written(random: &[u8; 16]) -> String {
    let letters: Vec<u8> = random.iter().map(|byte| ALPHABET[usize::from(byte % 32)]).collect();
    let groups: Vec<_> = letters.chunks(4).map(String::from_utf8_lossy).collect();
    groups.join("-")
}

/// What is kept of a recovery code.
#[must_use]
pub fn code_hash(code: &str) -> Digest {
    Digest::of(plain(code).as_bytes())
}

/// A code as it counts, however it was typed.
fn plain(code: &str) -> String {
    let letters = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase());
    letters
        .map(|c| match c {
            'O' => '0',
            'I' | 'L' => '1',
            c => c,
        })
        .collect()
}
