//! Heartbeats: signed on the executor's own timer, so that silence is visible and a restored server learns what this
//! executor has seen.

use std::time::Duration;

use proto::evidence::{Body, Heartbeat};

use super::{ExecutorCore, ExecutorError, store::StoreError};

/// A new session signs its first heartbeat at once, unless the last one is younger than this.
const AT_ONCE_AFTER: Duration = Duration::from_secs(60);

impl ExecutorCore {
    /// Time until the next heartbeat; `None`: nobody to sign for.
    pub(super) fn heartbeat_due(&self) -> Result<Option<Duration>, StoreError> {
        if self.identity.is_none() {
            return Ok(None);
        }
        let every = if self.has_beaten {
            self.settings.heartbeat
        } else {
            self.settings.heartbeat.min(AT_ONCE_AFTER)
        };
        let last = self.store.view().state()?.and_then(|state| state.heartbeat);
        Ok(Some(last.map_or(Duration::ZERO, |last| (last + every).saturating_sub(self.time.active()))))
    }

    /// Signs one.
    pub(super) fn beat(&mut self) -> Result<(), ExecutorError> {
        let Some(identity) = self.identity.clone() else { return Ok(()) };
        let Some(state) = self.store.view().state()? else { return Ok(()) };
        let (charter_serial, catalogue_version, policy_serial) = self.trust.serials();
        let heartbeat = Heartbeat {
            charter_serial,
            catalogue_version,
            policy_serial,
            order_high: state.order_high,
            every_ms: u64::try_from(self.settings.heartbeat.as_millis()).unwrap_or(u64::MAX),
            watch: self.kinds.iter().map(|(id, kind)| (id.clone(), kind.to_string())).collect(),
            hold: self.held()?.map(|why| why.word),
            refusals_not_signed: state.refusals_not_signed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            up_ms: u64::try_from(self.time.boot().as_millis()).unwrap_or(u64::MAX),
        };
        let sealer = self.sealer(identity);
        self.store.write(|tx| {
            sealer.append(tx, Body::Heartbeat(heartbeat))?;
            tx.beat(sealer.times().active).map_err(ExecutorError::from)
        })?;
        self.has_beaten = true;
        self.time_kept = self.time.active();
        Ok(())
    }
}
