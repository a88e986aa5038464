//! `control-plane notification`: what people were told, and what they could not be told.

use clap::Subcommand;
use proto::pb::{self, ListNotifications, RetryNotification, notifications_client::NotificationsClient};
use serde_json::{Value, json};

use super::{
    Global, Of,
    connection::{answer, connect},
    output::{Answer, facts, optional, table, time, when},
};

#[derive(Debug, Subcommand)]
pub(super) enum Notification {
    /// Show what is told, newest first
    #[command(after_help = "Example:\n  control-plane notification list --state dead")]
    List {
        #[command(flatten)]
        of: Of,
        /// Only in this state: due, sent, dead (nobody took it, and no more is tried)
        #[arg(long, default_value = "", hide_default_value = true)]
        state: String,
    },
    /// Try a dead one again, once what was in the way is mended
    #[command(
        after_help = "Example:\n  control-plane notification retry msg_2f1c0c7e6f3b4d9a8e5d7c6b5a493827"
    )]
    Retry {
        /// Its key, as `notification list` shows it
        key: String,
    },
}

const HEADINGS: [&str; 7] = ["KEY", "CHANNEL", "NEWS", "STATE", "INCIDENT", "WRITTEN", "LAST ERROR"];

impl Notification {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let mut client = NotificationsClient::new(connect(global).await?);
        match self {
            Self::List { of: Of { tenant, limit }, state } => {
                let list = answer(client.list(ListNotifications { tenant, state, limit })).await?;
                let rows = list.notifications.iter().map(|one| {
                    [
                        one.key.clone(),
                        one.channel.clone(),
                        one.news.clone(),
                        one.state.clone(),
                        one.incident.clone(),
                        when(one.created_ms),
                        one.last_error.clone(),
                    ]
                });
                let json =
                    json!({ "notifications": list.notifications.iter().map(view).collect::<Vec<_>>() });
                Ok(Answer::new(table(HEADINGS, rows), json))
            }
            Self::Retry { key } => {
                let one = answer(client.retry(RetryNotification { key })).await?;
                let text = facts([
                    ("notification", one.key.clone()),
                    ("channel", one.channel.clone()),
                    ("state", one.state.clone()),
                ]);
                Ok(Answer::new(text, view(&one)))
            }
        }
    }
}

fn view(one: &pb::Notification) -> Value {
    json!({
        "key": one.key,
        "tenant": one.tenant,
        "incident": one.incident,
        "channel": one.channel,
        "news": one.news,
        "state": one.state,
        "attempts": one.attempts,
        "last_error": optional(&one.last_error),
        "written": time(one.created_ms),
        "due": time(one.due_ms),
    })
}
