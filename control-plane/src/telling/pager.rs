//! PagerDuty Events API v2: one alert per thread, by its `dedup_key`; sent twice, an event changes nothing there.

use serde_json::{Value, json};

use super::{Message, News, plain};

/// Where events go, unless the settings say otherwise.
pub const URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// The longest summary that is taken.
const SUMMARY_MAX: usize = 1024;

/// The event for a letter.
#[must_use]
pub fn event(routing_key: &str, thread: &str, news: News, message: &Message) -> Value {
    let action = match news {
        News::Raised | News::Asked | News::Grown => "trigger",
        News::Acknowledged => "acknowledge",
        News::Gone => "resolve",
    };
    let mut event = json!({ "routing_key": routing_key, "event_action": action, "dedup_key": thread });
    if action == "trigger" {
        let summary = format!("{}: {}", message.title(300), message.reason);
        event["payload"] = json!({
            "summary": plain(&summary, SUMMARY_MAX),
            "source": message.appliance,
            "severity": if message.urgent { "critical" } else { "error" },
            "timestamp": message.at,
            "component": message.watch,
            "group": message.tenant.name,
            "class": message.fault,
            "custom_details": { "incident": message.incident, "site": message.site, "opened": message.opened },
        });
        event["client"] = "Orderly".into();
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telling::tests::message;

    #[test]
    fn an_alert_is_triggered_acknowledged_and_resolved_by_one_key() {
        let event = |news| event("R0", "thread", news, &message(news));
        let raised = event(News::Raised);
        assert_eq!((&raised["event_action"], &raised["dedup_key"]), (&"trigger".into(), &"thread".into()));
        let payload = &raised["payload"];
        assert_eq!(payload["summary"], "backup.stale on records at Elm Street Clinic: no runbook mends it");
        assert_eq!(
            (&payload["severity"], &payload["timestamp"]),
            (&"error".into(), &json!(message(News::Raised).at))
        );
        for news in [News::Asked, News::Grown] {
            assert_eq!(event(news)["event_action"], "trigger");
        }
        let resolve = json!({ "routing_key": "R0", "event_action": "resolve", "dedup_key": "thread" });
        assert_eq!(event(News::Gone), resolve);
        assert_eq!(event(News::Acknowledged)["event_action"], "acknowledge");
    }

    #[test]
    fn a_long_story_is_cut_to_what_is_taken() {
        let mut long = message(News::Raised);
        long.reason = "x".repeat(5000);
        let event = super::event("R0", "t", News::Raised, &long);
        assert_eq!(event["payload"]["summary"].as_str().unwrap().chars().count(), SUMMARY_MAX);
    }
}
