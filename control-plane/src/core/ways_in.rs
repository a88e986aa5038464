//! Who and what may come in, and what the vault calls its end.
//!
//! The rule: what ended before a database was restored from a backup ends again before anybody is let in.

use std::collections::BTreeMap;

use proto::{digest::Digest, time::Millis};
use uuid::Uuid;

use super::{Core, CoreError};
use crate::{
    access::PersonState,
    store::{OperatorRow, Within},
};

/// What a database from a backup may have too much of.
pub(super) enum WayIn {
    Person(Uuid, String),
    Grant(Uuid, Millis),
    Passkey(Vec<u8>, Uuid),
    Ticket(Digest),
}

impl Core {
    /// Who and what may come in, by what the vault would call their end.
    pub(super) fn ways_in(&self) -> Result<BTreeMap<Digest, WayIn>, CoreError> {
        let mut ways = Vec::new();
        for person in self.store.operators()?.into_iter().filter(|row| row.state != PersonState::Ended) {
            let keys = self.store.passkeys(person.id)?.into_iter();
            ways.extend(keys.map(|key| WayIn::Passkey(key.id, person.id)));
            ways.push(WayIn::Grant(person.id, person.granted));
            ways.push(WayIn::Person(person.id, person.name));
        }
        let tickets = self.store.open_enrolment_tokens(Within::default(), Millis(0))?;
        ways.extend(tickets.into_iter().map(|ticket| WayIn::Ticket(ticket.hash)));
        Ok(ways.into_iter().map(|way| (paper_of(&way), way)).collect())
    }

    /// Ends what ended before this database was restored.
    pub(super) fn close(&self, way: &WayIn) -> Result<(), CoreError> {
        match way {
            WayIn::Person(_, name) => {
                self.store.end_operator(name)?;
                tracing::warn!("{name} was shut out before this database was restored");
            }
            WayIn::Grant(id, _) => {
                let row = self.store.operator(*id)?.filter(|row| row.state != PersonState::Ended);
                let Some(row) = row else { return Ok(()) };
                tracing::warn!(
                    "what {} may do was changed before this database was restored: invite them anew",
                    row.name
                );
                self.store.forget_ways_in(*id)?;
                self.store.put_operator(&OperatorRow {
                    state: PersonState::Invited,
                    granted: Millis(row.granted.0.saturating_add(1)),
                    ..row
                })?;
            }
            WayIn::Passkey(id, of) => {
                self.store.remove_passkey(id, *of)?;
                tracing::warn!("a passkey was removed before this database was restored");
            }
            WayIn::Ticket(hash) => {
                self.store.end_enrolment_token(*hash)?;
                tracing::warn!("an enrolment ticket was taken back before this database was restored");
            }
        }
        Ok(())
    }
}

/// What the vault calls somebody who was shut out, a grant that was changed, a passkey that was removed, or a ticket that was
/// taken back.
pub(super) fn paper_of(way: &WayIn) -> Digest {
    match way {
        WayIn::Person(id, _) => Digest::of(format!("operator {id}").as_bytes()),
        WayIn::Grant(id, since) => Digest::of(format!("grant of operator {id} since {}", since.0).as_bytes()),
        WayIn::Passkey(id, _) => Digest::of(&[b"passkey ", id.as_slice()].concat()),
        WayIn::Ticket(hash) => Digest::of(format!("enrolment ticket {hash}").as_bytes()),
    }
}
