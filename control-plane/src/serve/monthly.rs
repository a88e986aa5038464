//! Makes the packets of months that are over, by itself: when it is time, off the writer's thread, as many at once as there
//! are cores to spare.
//!
//! The rule: a pass asks anew what is due and remembers nothing that matters. Killed at any point, the next start makes what is
//! missing; what was kept already is the one that counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZero,
    thread,
    time::Duration,
};

use proto::{ids::TenantId, time::Millis};
use tokio::task::JoinSet;

use super::{listener::Stop, operators::Operators, rounds::Rounds};
use crate::bundle::Month;

const LOOK_EVERY: Duration = Duration::from_secs(60);
/// First wait after a failure; doubled each time.
const AGAIN: Duration = Duration::from_secs(60);
const AGAIN_MOST: Duration = Duration::from_secs(6 * 3600);
/// Failures in a row after which a person is told.
const TELL_AFTER: u32 = 3;

/// What it takes to make packets.
pub struct Monthly {
    operators: Operators,
    at_once: usize,
    /// How often each failed in a row, and when it is tried again.
    failed: BTreeMap<(TenantId, Month), (u32, Millis)>,
}

impl Monthly {
    /// One core stays free for what else there is to do, where there are several.
    #[must_use]
    pub fn new(operators: Operators) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self { operators, at_once: cores.saturating_sub(1).max(1), failed: BTreeMap::new() }
    }

    /// Makes what is due now, of each clinic one month after the other; says how many were made.
    pub async fn pass(&mut self) -> usize {
        let mut made = BTreeSet::new();
        loop {
            let now = (self.operators.about.clock)();
            let Ok(due) = self.operators.writer.run(|core, now| core.packets_due(now)).await else {
                return made.len();
            };
            // What is still due once it was made, is for the next pass.
            let is_new = |of: &(TenantId, Month)| !made.contains(of) && self.is_ready(*of, now);
            let mut due: Vec<_> = due.into_iter().filter(is_new).collect();
            if due.is_empty() {
                return made.len();
            }
            let mut making = JoinSet::new();
            loop {
                while making.len() < self.at_once
                    && let Some((tenant, month)) = due.pop()
                {
                    let operators = self.operators.clone();
                    making.spawn(async move {
                        let made = operators.bundle(tenant, Some(month), 0).await.map(drop);
                        ((tenant, month), made)
                    });
                }
                match making.join_next().await {
                    None => break,
                    Some(Ok((of, Ok(())))) => {
                        self.failed.remove(&of);
                        made.insert(of);
                    }
                    Some(Ok((of, Err(status)))) => self.failed(of, &status, now).await,
                    Some(Err(error)) => tracing::error!(%error, "making a packet broke off"),
                }
            }
        }
    }

    fn is_ready(&self, of: (TenantId, Month), now: Millis) -> bool {
        self.failed.get(&of).is_none_or(|(_, next)| *next <= now)
    }

    async fn failed(&mut self, of: (TenantId, Month), status: &tonic::Status, now: Millis) {
        let (tenant, month) = of;
        let failures = self.failed.get(&of).map_or(0, |(failures, _)| *failures) + 1;
        let wait = AGAIN.saturating_mul(1 << failures.min(16)).min(AGAIN_MOST);
        self.failed.insert(of, (failures, now.plus(wait)));
        tracing::error!(%tenant, %month, error = status.message(), "the packet of {month} could not be made");
        if failures >= TELL_AFTER {
            let told = self.operators.writer.run(move |core, now| core.packet_not_made(tenant, month, now));
            let _ = told.await; // it is tried again, and told again, with the next failure
        }
    }
}

/// Makes packets until `stopped`.
pub async fn make(mut monthly: Monthly, stopped: Stop) {
    let mut rounds = Rounds::every(LOOK_EVERY, stopped);
    while rounds.next().await {
        rounds.unless_stopped(monthly.pass()).await;
    }
}
