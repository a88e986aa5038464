//! Guardrails 3 and 4: only now, and only once.

use std::time::Duration;

use proto::{
    order::{ORDER_LIFETIME_MAX, Order, sequence_follows},
    time::Millis,
};

use super::{Facts, Guardrail, Refusal};

/// How far ahead of trusted time an order may begin.
pub const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// **Guardrail 3**, "freshness (window, bounded clock skew)"; orders live "at most 15 minutes".
///
/// Skew is granted at the beginning only: an order that has expired by trusted time has expired.
pub fn freshness(order: &Order, facts: &Facts<'_>) -> Result<(), Refusal> {
    let refuse = |reason: String| Err(Guardrail::Freshness.refuses(reason));
    let Some(now) = facts.now else {
        return refuse("no trusted time since boot; waits for a time token".to_owned());
    };
    let (begins, issued, expires) = (order.not_before, order.issued, order.expires);
    if expires <= begins {
        return refuse(format!("expires {expires}, which is not after its beginning {begins}"));
    }
    if expires.since(begins) > ORDER_LIFETIME_MAX {
        let most = ORDER_LIFETIME_MAX.as_secs() / 60;
        return refuse(format!("lives from {begins} to {expires}; at most {most} minutes are right"));
    }
    if issued < begins || issued >= expires {
        return refuse(format!("was issued {issued}; right is from {begins} on and before {expires}"));
    }
    let latest_beginning: Millis = now.plus(CLOCK_SKEW);
    if begins > latest_beginning || issued > latest_beginning {
        let skew = CLOCK_SKEW.as_secs();
        return refuse(format!(
            "begins {begins}, issued {issued}, but it is {now}; at most {skew} s ahead are right"
        ));
    }
    if now >= expires {
        return refuse(format!("expired {expires}, it is {now}; a new order is needed"));
    }
    Ok(())
}

/// **Guardrail 4**, "replay (sequence window, across restarts)": "under the newest charter serial seen, with high <
/// sequence ≤ high + 2^20, in order".
///
/// A sequence is the order key's to choose, an order's ID is not: it is in the core that approvers sign. So the same core
/// under a new sequence is a replay too, and an approval is good for one run.
pub fn replay(order: &Order, facts: &Facts<'_>) -> Result<(), Refusal> {
    let newest = facts.charter.serial;
    if order.charter_serial != newest {
        return Err(Guardrail::Replay.refuses(format!(
            "was signed under charter {}; the newest seen here is {newest}, sign under that",
            order.charter_serial
        )));
    }
    if facts.taken_before {
        return Err(Guardrail::Replay.refuses(format!(
            "order {} was taken before; an order runs once, sign another with an ID of its own",
            order.core.id
        )));
    }
    sequence_follows(facts.order_high, order.sequence).map_err(|e| {
        Guardrail::Replay.refuses(format!("{e}; the next is {}", facts.order_high.saturating_add(1)))
    })
}
