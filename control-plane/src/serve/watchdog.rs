//! The watchdog's rounds, once a second; what became of each is said to whoever waits for it.

use std::time::Duration;

use tokio::sync::watch;

use super::{listener::Stop, rounds::Rounds, writer::Writer};

const EVERY: Duration = Duration::from_secs(1);

/// What became of the newest round: done and stored, or why it was not.
pub type Round = Result<(), String>;

/// Makes its rounds until `stopped`.
pub async fn watch(writer: Writer, rounds: watch::Sender<Round>, stopped: Stop) {
    let mut tick = Rounds::every(EVERY, stopped);
    while tick.next().await {
        go_round(&writer, &rounds).await;
    }
}

/// One round.
pub async fn go_round(writer: &Writer, rounds: &watch::Sender<Round>) {
    let round = writer.run(|core, now| core.watch(now)).await.map_err(|status| {
        let why = format!("the watchdog's round failed: {}", status.message());
        tracing::error!(%status, "{why}");
        why
    });
    // What became of the round before was for whoever waited then.
    let _ = rounds.send_replace(round);
}
