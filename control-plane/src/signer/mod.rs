//! Where the online keys are, and how they are asked to sign.
//!
//! The rule: whatever signs is held to the charter: a key that it does not name signs nothing, and a signature that is not
//! of that key goes nowhere. Of several that it names, the newest signs: so a key is exchanged by a charter that names both,
//! while the server runs, and the old one counts until a charter leaves it out.

mod transit;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use proto::{
    charter::Charter,
    keys::{PublicKey, SecretKey},
};

use crate::{
    config::OrderKey,
    core::{
        Keys,
        ports::{Keyring, Signer, SignerError},
    },
    directory::Directory,
    files::{self, FileError},
};

pub use transit::{TransitError, TransitKey, versions};

/// The keys that the settings name, as a charter wants them.
pub fn keys(settings: &OrderKey, directory: &Directory, charter: &Charter) -> Result<Keys> {
    let ring = Installed { settings: settings.clone(), directory: directory.clone() };
    let order = match settings {
        OrderKey::File => ring.order(&charter.order_keys)?,
        OrderKey::Transit(settings) => {
            let key = TransitKey::open(settings, &charter.order_keys);
            Some(Arc::new(key.with_context(|| format!("the order key at {}", settings.address))?) as Arc<_>)
        }
    };
    // A key that the charter does not name is refused by whoever opens the core with it, in words that name it.
    let order = match order {
        Some(order) => order,
        None => Arc::new(files::read_secret_key(&directory.order_key())?),
    };
    let log = match ring.log(&charter.log_keys)? {
        Some(log) => log,
        None => files::read_secret_key(&directory.log_key())?,
    };
    Ok(Keys { order, log, ring: Box::new(ring) })
}

/// The keys of an installation, looked for anew whenever they are asked for.
struct Installed {
    settings: OrderKey,
    directory: Directory,
}

impl Keyring for Installed {
    fn order(&self, named: &BTreeSet<PublicKey>) -> Result<Option<Arc<dyn Signer>>, SignerError> {
        match &self.settings {
            OrderKey::File => {
                let paths = [self.directory.next_order_key(), self.directory.order_key()];
                Ok(first(&paths, named)?.map(|key| Arc::new(key) as Arc<dyn Signer>))
            }
            OrderKey::Transit(settings) => match TransitKey::open(settings, named) {
                Ok(key) => Ok(Some(Arc::new(key))),
                Err(TransitError::NotNamed { .. }) => Ok(None),
                Err(error) => Err(SignerError(error.into())),
            },
        }
    }

    fn log(&self, named: &BTreeSet<PublicKey>) -> Result<Option<SecretKey>, SignerError> {
        first(&[self.directory.next_log_key(), self.directory.log_key()], named)
    }
}

/// The first of some files whose key is one of `named`.
fn first(paths: &[PathBuf], named: &BTreeSet<PublicKey>) -> Result<Option<SecretKey>, SignerError> {
    for path in paths {
        let key = read(path).map_err(|error| SignerError(error.into()))?;
        if let Some(key) = key.filter(|key| named.contains(&key.public())) {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// The key in a file; `None`: there is no such file.
pub fn read(path: &Path) -> Result<Option<SecretKey>, FileError> {
    if path.exists() { files::read_secret_key(path).map(Some) } else { Ok(None) }
}
