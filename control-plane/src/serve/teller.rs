//! Tells people: takes what is due from the core's outbox and posts it, over and over until somebody has taken it.

use std::time::Duration;

use http::Uri;
use tokio::{task::JoinSet, time};

use super::{
    listener::{self, Stop},
    webhook::{Outcome, Webhook},
    writer::Writer,
};
use crate::store::NotificationRow;

const LOOK_EVERY: Duration = Duration::from_millis(500);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Posts notifications to `url` until `stopped`.
pub async fn tell(writer: Writer, url: Uri, mut stopped: Stop) {
    let webhook = Webhook::new(ANSWER_WITHIN);
    let mut tick = time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = listener::stopped(&mut stopped) => return,
            _ = tick.tick() => {}
        }
        let Ok(due) = writer.run(|core, now| core.to_tell(now)).await else { continue };
        // All at once: what is slow to be told delays the next round, and nothing else of this one.
        let mut posts: JoinSet<(NotificationRow, Outcome)> = due
            .into_iter()
            .map(|note| {
                let (webhook, url) = (webhook.clone(), url.clone());
                async move {
                    let outcome =
                        webhook.post(&url, &note.id.to_string(), note.body.clone().into_bytes()).await;
                    (note, outcome)
                }
            })
            .collect();
        loop {
            let (note, outcome) = tokio::select! {
                // Told again after the next start: the receiver drops doubles by the number.
                () = listener::stopped(&mut stopped) => return,
                posted = posts.join_next() => match posted {
                    None => break,
                    Some(Err(_)) => continue,
                    Some(Ok(posted)) => posted,
                },
            };
            let outcome = match outcome {
                Outcome::Delivered { .. } => Ok(()),
                Outcome::Refused { status, answer } => {
                    Err(format!("the receiver answered {status}: {answer}"))
                }
                Outcome::TimedOut => Err("the receiver did not answer in time".to_owned()),
                Outcome::Unreachable { reason } => Err(reason),
            };
            // If this is not stored it is told again: the receiver drops doubles by the number.
            let _ = writer.run(move |core, now| core.told(&note, outcome, now)).await;
        }
    }
}
