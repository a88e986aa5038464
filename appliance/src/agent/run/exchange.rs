//! One exchange after the other, with what an answer, a failure or a certificate of age means for the next.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use proto::{digest::Digest, local, pb, time::Millis};
use tokio::time::timeout;

use super::{RunError, Shared};
use crate::{
    agent::{
        chain,
        contact::Contact,
        core::{Absorbed, AgentError, Asked},
        credentials::{self, CredentialError, Folder, TlsKey},
        executor::{self, AskError},
        link::{Link, LinkError},
        renew,
    },
    world::draw,
};

/// The first pause after a failure, at most; it doubles.
const BACKOFF_BASE: Duration = Duration::from_millis(500);
/// The longest pause after a failure.
const BACKOFF_MOST: Duration = Duration::from_secs(60);
/// The shortest pause after an answer that moved nothing: a server that does not hold must not be hammered.
const BREATH: Duration = Duration::from_millis(100);

/// How many batches go in a row before a breath is drawn.
const BURST: u32 = 16;
/// The longest breath.
const BREATHER: Duration = Duration::from_secs(1);

/// How long to pause after the `sent`-th batch in a row that was acknowledged: a backlog goes in bounded bursts, and
/// boxes that were cut off together do not keep time together. `random` is uniform.
#[must_use]
pub fn breather(sent: u32, random: u32) -> Duration {
    if sent == 0 || !sent.is_multiple_of(BURST) {
        return Duration::ZERO;
    }
    BREATHER.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// How long to pause after `failures` in a row: full jitter, so that a fleet that lost its server together does not
/// come back together. `random` is uniform.
#[must_use]
pub fn backoff(failures: u32, random: u32) -> Duration {
    let ceiling = BACKOFF_BASE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MOST);
    ceiling.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// Why no new certificate came.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error("cannot use key or certificate")]
    Credentials(#[from] CredentialError),
    #[error("the executor did not vouch for it")]
    Executor(#[from] AskError),
    #[error("the control plane did not give one")]
    Link(#[from] LinkError),
    #[error("the charter that came with it")]
    Charter(#[from] AgentError),
    #[error("cannot go on")]
    Broken(#[from] RunError),
}

/// What the loop remembers between two exchanges.
pub(super) struct Shell<L> {
    shared: Arc<Shared>,
    link: L,
    folder: Folder,
    contact: Contact,
    failures: u32,
    /// Batches in a row that were acknowledged.
    sent: u32,
    refused: bool,
    renewal_tried: Option<Millis>,
}

impl<L: Link> Shell<L> {
    pub(super) fn new(shared: Arc<Shared>, link: L, folder: Folder) -> Self {
        let contact = Contact::read(&folder.contact()).ok().flatten().unwrap_or_default();
        Self { shared, link, folder, contact, failures: 0, sent: 0, refused: false, renewal_tried: None }
    }

    /// Talks until `stop`.
    pub(super) async fn converse(
        &mut self,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), RunError> {
        let mut fresh = self.shared.fresh.subscribe();
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                () = self.renew_when_due() => {}
            }
            fresh.borrow_and_update(); // what was found until here goes into this request
            let pause = match self.shared.with(|core| core.next_request()).await? {
                Err(problem) => self.failed(&problem),
                Ok(asked) => {
                    let answer = tokio::select! {
                        biased; // an answer that is here is taken, whatever else happened
                        answer = self.link.sync(asked.request.clone()) => answer,
                        () = &mut stop => return Ok(()),
                        // Held open with nothing to say, while there is something: say it.
                        _ = fresh.changed(), if asked.request.batch.is_none() => continue,
                    };
                    self.settle(asked, answer).await?
                }
            };
            if timeout(pause, stop.as_mut()).await.is_ok() {
                return Ok(());
            }
        }
    }

    /// Sends what waits, without being held.
    pub(super) async fn last_words(&mut self) -> Result<(), RunError> {
        while let Ok(asked) = self.shared.with(|core| core.next_request()).await? {
            if asked.request.batch.is_none() {
                return Ok(());
            }
            let answer = self.link.sync(asked.request.clone()).await;
            self.settle(asked, answer).await?;
            if self.failures > 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes an answer, or its absence; gives the pause until the next request.
    async fn settle(
        &mut self,
        asked: Asked,
        answer: Result<pb::SyncResponse, LinkError>,
    ) -> Result<Duration, RunError> {
        let response = match answer {
            Ok(response) => response,
            Err(problem) => {
                self.refused = problem.is_refusal();
                return Ok(self.failed(&problem));
            }
        };
        let sent = asked.request.batch.is_some();
        match self.shared.with(move |core| core.absorb(&asked, response)).await? {
            Err(problem) => Ok(self.failed(&problem)),
            Ok(absorbed) => {
                if absorbed.acknowledged {
                    self.shared.made_room();
                }
                Ok(self.answered(sent, &absorbed))
            }
        }
    }

    fn answered(&mut self, sent: bool, absorbed: &Absorbed) -> Duration {
        for refused in absorbed.outcomes.iter().filter(|outcome| !outcome.accepted) {
            tracing::warn!("the executor refused an order: {}", refused.refusal);
        }
        for problem in &absorbed.problems {
            tracing::warn!("part of an answer was not believed: {problem}");
        }
        if let Some(next) = absorbed.moved_back_to {
            tracing::info!(
                evidence.next = next,
                "the control plane misses evidence; sending again from {next}"
            );
        }
        if self.failures > 0 || self.contact.answered.is_none() {
            tracing::info!("the control plane answers");
        }
        self.refused = false;
        let contact = Contact::answered(self.shared.world.clock.wall(), &absorbed.quarantine);
        self.remember(contact);
        if absorbed.began_anew {
            return self.count_failure(
                "the control plane has another past of this outbox, of a copy; what waits goes again in a new stream",
            );
        }
        if sent && !absorbed.acknowledged {
            return self.count_failure("the control plane answered, but did not acknowledge what was sent");
        }
        self.failures = 0;
        // An order that was taken is soon evidence, and that should not wait.
        self.sent = if absorbed.acknowledged { self.sent.saturating_add(1) } else { 0 };
        let random = u32::from_be_bytes(draw(self.shared.world.entropy.as_ref()));
        let come_again = absorbed.come_again.max(breather(self.sent, random));
        let moved = absorbed.acknowledged || absorbed.outcomes.iter().any(|outcome| outcome.accepted);
        if moved { come_again } else { come_again.max(BREATH) }
    }

    fn failed(&mut self, problem: &(dyn std::error::Error + 'static)) -> Duration {
        let code = problem.downcast_ref().and_then(LinkError::trouble);
        let problem = chain(problem);
        let contact = self.contact.failed(self.shared.world.clock.wall(), problem.clone(), code);
        let known = self.contact.problem == problem && self.failures > 0;
        self.remember(contact);
        self.count_failure(if known { "" } else { &problem })
    }

    fn count_failure(&mut self, news: &str) -> Duration {
        if !news.is_empty() {
            tracing::warn!("{news}");
        }
        self.failures = self.failures.saturating_add(1);
        backoff(self.failures, u32::from_be_bytes(draw(self.shared.world.entropy.as_ref())))
    }

    fn remember(&mut self, contact: Contact) {
        if self.contact.is_news(&contact)
            && let Err(e) = contact.write(&self.folder.contact())
        {
            tracing::warn!("`appliance status` will not know how the link stands: {}", chain(&e));
        }
        self.contact = contact;
    }

    /// Gets a new certificate when it is time. What goes wrong is said, tried again later, and stops nothing.
    async fn renew_when_due(&mut self) {
        let Ok((_, certificate)) = credentials::certificate(&self.folder) else { return };
        let now = self.shared.world.clock.wall();
        if !renew::is_due(&certificate, now, self.renewal_tried, self.refused) {
            return;
        }
        self.renewal_tried = Some(now);
        match self.renew().await {
            Ok(until) => {
                self.link.reconnect();
                self.refused = false;
                tracing::info!("the certificate was renewed; it lasts until {until}");
            }
            Err(e) => tracing::warn!("the certificate was not renewed: {}", chain(&e)),
        }
    }

    async fn renew(&mut self) -> Result<Millis, RenewError> {
        let key = TlsKey::load(&self.folder)?;
        let (csr, spki) = (key.request()?, key.spki());
        let challenge = Digest::of(&csr);
        let (spki, challenge) = (spki.to_vec(), challenge.to_vec());
        let key_proof =
            self.shared.with(move |core| executor::prove_keys(core.executor(), spki, challenge)).await??;
        let pb::RenewResponse { certificate, charter } =
            self.link.renew(pb::RenewRequest { csr, key_proof }).await?;
        // By an authority that only this charter names, it may be. The executor knows that it is still the same appliance.
        let charter = self.shared.with(move |core| core.newer_charter(charter)).await??;
        let adopt = local::Adopt { certificate: certificate.clone(), charter, ..local::Adopt::default() };
        self.shared.with(move |core| executor::adopt(core.executor(), adopt)).await??;
        Ok(credentials::keep_certificate(&self.folder, &key, &certificate)?.not_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_goes_in_bounded_bursts() {
        let pauses = (1..=100).filter(|sent| !breather(*sent, u32::MAX).is_zero()).count();
        assert_eq!(pauses, 6, "one after each sixteen");
        assert!(breather(16, u32::MAX) <= Duration::from_secs(1) && breather(16, 0).is_zero());
        assert!(
            breather(1, u32::MAX).is_zero() && breather(0, u32::MAX).is_zero(),
            "what is new does not wait"
        );
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_are_spread_from_nothing() {
        for (failures, most) in
            [(1, 500), (2, 1000), (3, 2000), (7, 32_000), (8, 60_000), (1_000_000, 60_000)]
        {
            assert_eq!(backoff(failures, u32::MAX), Duration::from_millis(most), "{failures}");
            assert_eq!(backoff(failures, 0), Duration::ZERO);
            assert!(backoff(failures, u32::MAX / 2) < Duration::from_millis(most / 2 + 1));
        }
    }
}
