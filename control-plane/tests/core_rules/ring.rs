//! The online keys of a control plane, and those that it has beside those that it began with.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use control_plane::core::{
    Keys,
    ports::{Keyring, Signer, SignerError},
};
use proto::{
    dsse::Unsigned,
    keys::{PublicKey, SecretKey},
};

use crate::world::Safe;

/// The keys of an installation.
pub fn keys(safe: &Safe) -> Keys {
    let ring = Box::new(Ring(safe.next.into_iter().chain([(safe.order, safe.log)]).collect()));
    let order = SecretKey::ed25519(safe.order);
    let order: Arc<dyn Signer> = match safe.away.clone() {
        Some(away) => Arc::new(Distant(order, away)),
        None => Arc::new(order),
    };
    Keys { order, log: SecretKey::ed25519(safe.log), ring }
}

/// Order and log keys by their seeds, the newest first.
struct Ring(Vec<([u8; 32], [u8; 32])>);

impl Keyring for Ring {
    fn order(&self, named: &BTreeSet<PublicKey>) -> Result<Option<Arc<dyn Signer>>, SignerError> {
        let mut keys = self.0.iter().map(|(order, _)| SecretKey::ed25519(*order));
        let found = keys.find(|key| named.contains(&key.public()));
        Ok(found.map(|key| Arc::new(key) as Arc<dyn Signer>))
    }

    fn log(&self, named: &BTreeSet<PublicKey>) -> Result<Option<SecretKey>, SignerError> {
        let mut keys = self.0.iter().map(|(_, log)| SecretKey::ed25519(*log));
        Ok(keys.find(|key| named.contains(&key.public())))
    }
}

/// An order key that is elsewhere, and out of reach when it is said to be.
struct Distant(SecretKey, Arc<AtomicBool>);

impl Signer for Distant {
    fn public(&self) -> PublicKey {
        self.0.public()
    }

    fn seal(&self, unsigned: &Unsigned) -> Result<Vec<u8>, SignerError> {
        match self.1.load(Ordering::SeqCst) {
            true => Err(SignerError("out of reach".into())),
            false => Ok(unsigned.seal(&self.0)),
        }
    }
}
