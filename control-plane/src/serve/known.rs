//! What strangers bring, looked up by a reader: is it anything that is known here?
//!
//! The rule: all share one writer, so nobody has it look at guesses. What is unknown to the reader is refused in the words in
//! which the core refuses it; what is known goes on to the core, which decides. Where the reader cannot tell, the core does.

use std::sync::{Arc, Mutex, PoisonError};

use proto::{digest::Digest, time::Millis};
use tonic::Status;

use crate::{
    core::{
        people::LINK_GONE,
        sessions::{SESSION_OVER, code_hash},
        tokens::TOKEN_OVER,
    },
    store::{Store, StoreError},
};

/// The database, for reading, at the people's door.
#[derive(Clone)]
pub struct Known(Arc<Mutex<Store>>);

impl Known {
    /// By this connection.
    #[must_use]
    pub fn new(reader: Arc<Mutex<Store>>) -> Self {
        Self(reader)
    }

    /// Whether there is, or was, an API token of this secret.
    pub fn token(&self, secret: &str) -> Result<(), Status> {
        let hash = Digest::of(secret.as_bytes());
        self.is_known(TOKEN_OVER, |store| Ok(store.operator_token(hash)?.is_some()))
    }

    /// Whether there is a session of this secret.
    pub fn session(&self, secret: &str) -> Result<(), Status> {
        let hash = Digest::of(secret.as_bytes());
        self.is_known(SESSION_OVER, |store| Ok(store.session(hash)?.is_some()))
    }

    /// Whether there is an invitation of this secret.
    pub fn invitation(&self, secret: &str, now: Millis) -> Result<(), Status> {
        let hash = Digest::of(secret.as_bytes());
        self.is_known(LINK_GONE, |store| Ok(store.invitation(hash, now)?.is_some()))
    }

    /// Whether there is a passkey of this ID.
    pub fn has_passkey(&self, id: &[u8]) -> bool {
        self.is_known("", |store| Ok(store.passkey(id)?.is_some())).is_ok()
    }

    /// Whether it is a recovery code of anybody's.
    pub fn has_recovery_code(&self, code: &str) -> bool {
        self.is_known("", |store| store.has_recovery_code(code_hash(code))).is_ok()
    }

    fn is_known(
        &self,
        words: &'static str,
        look: impl FnOnce(&Store) -> Result<bool, StoreError>,
    ) -> Result<(), Status> {
        let found = look(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
        match found {
            Ok(false) => Err(Status::permission_denied(words)),
            Ok(true) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "the people's door cannot read the database: {error}");
                Ok(())
            }
        }
    }
}
