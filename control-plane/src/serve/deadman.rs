//! The dead man's switch: somebody outside hears regularly that this server is well, and rings when nothing comes any more.
//!
//! The rule: it is fed only by a server that can do its work: that is healthy, and whose writer has just stored something. What
//! is unwell is silent.

use std::time::Duration;

use http::{Method, Request};
use tokio::time;

use super::{
    http::{Health, HealthCheck},
    listener::{self, Stop},
    outside::{Outside, Reply},
    writer::Writer,
};
use crate::config::Deadman;

/// How long the writer may take to answer.
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);

/// Feeds it until `stopped`; at once, and then as often as the settings say.
pub async fn feed(
    writer: Writer,
    health: HealthCheck,
    deadman: Deadman,
    outside: Outside,
    mut stopped: Stop,
) {
    let mut tick = time::interval(deadman.every);
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = listener::stopped(&mut stopped) => return,
            _ = tick.tick() => {}
        }
        tokio::select! {
            () = listener::stopped(&mut stopped) => return,
            fed = feed_once(&writer, &health, &deadman, &outside) => {
                if let Err(why) = fed {
                    tracing::error!(why, "the dead man's switch was not fed: {why}");
                }
            }
        }
    }
}

/// Feeds it, if all is well.
pub async fn feed_once(
    writer: &Writer,
    health: &HealthCheck,
    deadman: &Deadman,
    outside: &Outside,
) -> Result<(), String> {
    if let Health::Unwell(why) = health().await {
        return Err(why);
    }
    match time::timeout(WRITTEN_WITHIN, writer.run(|core, now| core.still_writes(now))).await {
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
