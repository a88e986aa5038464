//! A certificate that somebody else puts into files: taken anew when they change, or when the server is told to (SIGHUP).

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use proto::digest::Digest;
use tokio::{
    signal::unix::{SignalKind, signal},
    time,
};

use super::{
    super::listener::{self, Stop},
    Given, PeopleCertificate,
};
use crate::{config::Secret, files};

const LOOK_EVERY: Duration = Duration::from_secs(2);
const CHAIN_MAX: u64 = 1 << 20;

/// Where they are.
#[derive(Debug, Clone)]
pub struct Files {
    /// The chain, PEM.
    pub chain: PathBuf,
    /// Its key, PEM.
    pub key: Secret,
}

impl Files {
    fn read(&self) -> Result<(Vec<u8>, String)> {
        let chain = files::read(&self.chain, CHAIN_MAX).context("certificate.chain")?;
        Ok((chain, self.key.read()?.expose().to_owned()))
    }

    /// What they hold.
    pub fn load(&self) -> Result<Given> {
        let (chain, key) = self.read()?;
        Given::read(&chain, key.as_bytes())
            .with_context(|| format!("certificate {} with its key {}", self.chain.display(), self.key))
    }

    /// What they hold, and a digest by which a change of them is seen.
    fn look(&self) -> (Digest, Result<Given>) {
        match self.read() {
            Ok((chain, key)) => {
                let digest = Digest::of(&[Digest::of(&chain).0, Digest::of(key.as_bytes()).0].concat());
                (digest, self.load())
            }
            Err(error) => (Digest::of(format!("{error:#}").as_bytes()), Err(error)),
        }
    }
}

/// Shows what the files hold, until `stopped`. What is wrong with them is said once, and what was shown stays.
pub async fn watch(certificate: Arc<PeopleCertificate>, files: Files, mut stopped: Stop) {
    let mut tick = time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut told = signal(SignalKind::hangup()).ok();
    let mut seen = None;
    loop {
        let hung_up = async {
            match &mut told {
                Some(told) => told.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = listener::stopped(&mut stopped) => return,
            _ = tick.tick() => {}
            _ = hung_up => seen = None,
        }
        let asked = files.clone();
        let Ok((digest, found)) = tokio::task::spawn_blocking(move || asked.look()).await else { continue };
        if seen.replace(digest) == Some(digest) {
            continue;
        }
        match found {
            Ok(given) => {
                tracing::info!(until = %given.not_after, "people are shown the certificate in {}", files.chain.display());
                certificate.show(given);
            }
            Err(error) => tracing::error!("the certificate is not taken, the one before stays: {error:#}"),
        }
    }
}
