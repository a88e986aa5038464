//! The dead man's switch: somebody outside hears regularly that this server is well, and rings when nothing comes any more.
//!
//! The rule: it is fed only by a server that can do its work: that is healthy, whose watchdog has just made a whole round, and
//! whose writer has just stored something. What is unwell is silent.

use std::time::Duration;

use http::{Method, Request};
use tokio::{sync::watch, time};

use super::{
    http::{Health, HealthCheck},
    listener::Stop,
    outside::{Outside, Reply},
    rounds::Rounds,
    watchdog::Round,
    writer::Writer,
};
use crate::config::Deadman;

/// How long the writer may take to answer, and the watchdog to go round.
const DONE_WITHIN: Duration = Duration::from_secs(30);

/// Feeds it until `stopped`; at once, and then as often as the settings say.
pub async fn feed(
    writer: Writer,
    health: HealthCheck,
    rounds: watch::Receiver<Round>,
    (deadman, outside): (Deadman, Outside),
    stopped: Stop,
) {
    let mut feeding = Rounds::every(deadman.every, stopped);
    while feeding.next().await {
        let fed = feed_once(&writer, &health, rounds.clone(), &deadman, &outside);
        let Some(fed) = feeding.unless_stopped(fed).await else { return };
        if let Err(why) = fed {
            tracing::error!(why, "the dead man's switch was not fed: {why}");
        }
    }
}

/// Feeds it, if all is well.
pub async fn feed_once(
    writer: &Writer,
    health: &HealthCheck,
    mut rounds: watch::Receiver<Round>,
    deadman: &Deadman,
    outside: &Outside,
) -> Result<(), String> {
    if let Health::Unwell(why) = health().await {
        return Err(why);
    }
    // The next round: those before may have been long ago.
    rounds.mark_unchanged();
    match time::timeout(DONE_WITHIN, rounds.changed()).await {
        Ok(Ok(())) => rounds.borrow().clone()?,
        Ok(Err(_)) => return Err("the watchdog is gone".to_owned()),
        Err(_) => return Err("the watchdog makes no round".to_owned()),
    }
    match time::timeout(DONE_WITHIN, writer.run(|core, now| core.still_writes(now))).await {
        Ok(Ok(())) => {}
        Ok(Err(status)) => return Err(status.message().to_owned()),
        Err(_) => return Err("the writer does not answer".to_owned()),
    }
    let method = if deadman.post { Method::POST } else { Method::GET };
    // Its URL is a secret of a kind: whoever has it can keep it quiet.
    match outside.call(Request::builder().method(method).uri(&deadman.url), Vec::new()).await {
        Reply::Answered(answer) if (200..300).contains(&answer.status) => Ok(()),
        Reply::Answered(answer) => Err(format!("it answered {}: {}", answer.status, answer.said())),
        Reply::TimedOut => Err("it did not answer in time".to_owned()),
        Reply::Unreachable { reason } => Err(reason),
    }
}
