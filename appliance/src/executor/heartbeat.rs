//! Heartbeats: signed on the executor's own timer, so that silence is visible and a restored server learns what this
//! executor has seen. Each rolls up the beats since the one before it.

use std::time::Duration;

use proto::evidence::{Body, Footprint, Heartbeat};

use super::{ExecutorCore, ExecutorError, store::StoreError, time::milliseconds};
use crate::world::{Cost, Usage};

/// A new session signs its first heartbeat at once, unless the last one is younger than this.
const AT_ONCE_AFTER: Duration = Duration::from_secs(60);

impl ExecutorCore {
    /// Time until the next heartbeat; `None`: nobody to sign for.
    pub(super) fn heartbeat_due(&self) -> Result<Option<Duration>, StoreError> {
        if self.identity.is_none() {
            return Ok(None);
        }
        if self.beat_soon {
            return Ok(Some(Duration::ZERO));
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
        let (cost, boot) = (self.host.cost(), self.time.boot());
        let footprint = cost.map(|cost| footprint(self.cost.as_ref(), &cost, boot));
        let pulse = self.pulse.beat(self.time.moment(), false);
        let (charter_serial, catalogue_version, policy_serial) = self.trust.serials();
        let heartbeat = Heartbeat {
            charter_serial,
            catalogue_version,
            policy_serial,
            order_high: state.order_high,
            every_ms: milliseconds(self.settings.heartbeat),
            watch: self.kinds.iter().map(|(id, kind)| (id.clone(), kind.to_string())).collect(),
            hold: self.held()?.map(|why| why.word),
            refusals_not_signed: state.refusals_not_signed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            up_ms: milliseconds(boot),
            footprint,
            sealing_key: Some(self.opening_key.public()),
            beats: Some(pulse.beats),
        };
        let sealer = self.sealer(identity);
        self.store.write(|tx| {
            sealer.append(tx, Body::Heartbeat(heartbeat))?;
            tx.keep_pulse(&pulse.told())?;
            tx.beat(sealer.times().active).map_err(ExecutorError::from)
        })?;
        (self.has_beaten, self.beat_soon) = (true, false);
        self.cost = cost.map(|cost| (cost, boot));
        (self.pulse, self.pulsed) = (pulse.told(), Some(boot));
        Ok(())
    }
}

/// What was used since `before`, which was read that long after boot; without one, since this boot.
fn footprint(before: Option<&(Cost, Duration)>, now: &Cost, boot: Duration) -> Footprint {
    let since = |usage: Usage| {
        let earlier = before.iter().flat_map(|(cost, _)| [Some(cost.executor), cost.agent]).flatten();
        let same = earlier.into_iter().find(|earlier| earlier.process == usage.process);
        usage.cpu_ms.saturating_sub(same.map_or(0, |earlier| earlier.cpu_ms))
    };
    Footprint {
        executor_resident_kb: now.executor.resident_kb,
        agent_resident_kb: now.agent.map(|agent| agent.resident_kb),
        cpu_ms: since(now.executor) + now.agent.map_or(0, since),
        over_ms: milliseconds(boot.saturating_sub(before.map_or(Duration::ZERO, |(_, at)| *at))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_counted_once() {
        let usage = |process, cpu_ms| Usage { process, resident_kb: 4000, cpu_ms };
        let first = Cost { executor: usage((1, 5), 100), agent: Some(usage((2, 6), 50)) };
        let at = Duration::from_secs(10);
        assert_eq!(footprint(None, &first, at).cpu_ms, 150);
        let later = Cost { executor: usage((1, 5), 130), agent: Some(usage((2, 6), 51)) };
        let made = footprint(Some(&(first, at)), &later, at * 2);
        assert_eq!((made.cpu_ms, made.over_ms, made.executor_resident_kb), (31, 10_000, 4000));
        // Another agent of the same number: all that it has used is new.
        let another = Cost { agent: Some(usage((2, 9), 7)), ..later };
        assert_eq!(footprint(Some(&(first, at)), &another, at * 2).cpu_ms, 37);
        let none = footprint(Some(&(first, at)), &Cost { agent: None, ..later }, at * 2);
        assert_eq!((none.agent_resident_kb, none.cpu_ms), (None, 30));
    }
}
