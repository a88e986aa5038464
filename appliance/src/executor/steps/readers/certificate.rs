//! A certificate in a file: how long it lasts, whether the chain leads to a root that is believed, whether the name is right.

use std::fs;

use proto::{evidence::Readings, time::Millis};

use crate::{certificate, config::Certificate};

/// Readings of the file; see [`certificate::judge`].
pub(in crate::executor::steps) fn read(entry: &Certificate, now: Millis) -> Readings {
    let pem = entry.file.as_ref().and_then(|file| fs::read(file).ok());
    certificate::judge(&pem.map(|pem| certificate::chain_of(&pem)).unwrap_or_default(), entry, now)
}
