//! Permissions: orders for one run, and standing orders; whose signature holds, and whether a record says the same.

use std::{borrow::Cow, collections::BTreeMap};

use proto::{
    approval,
    charter::Charter,
    digest::Digest,
    dsse::{self, Envelope},
    evidence::{Body, OrderFacts},
    field::BadField,
    order::{ORDER_TYPE, Order},
    standing::{STANDING_TYPE, StandingOrder},
    time::Millis,
};
use runbooks::{Runbook, derive};

use super::{charters::Charters, contents::Contents, findings::Findings};
use crate::bundle::{Fact, Permission, Place, Source};

/// Orders and standing orders whose signature holds, by digest of the payload.
pub(super) fn read(
    source: &dyn Source,
    contents: &Contents,
    charters: &Charters,
    findings: &mut Findings,
) -> BTreeMap<Digest, Permission> {
    let mut permissions = BTreeMap::new();
    for &digest in &contents.orders {
        let place = Place::Order(digest);
        let Some(bytes) = findings.read(source, &place) else { continue };
        match open(&bytes, digest, charters) {
            Ok(Some(permission)) => {
                permissions.insert(digest, permission);
            }
            Ok(None) => {}
            Err(bad) => findings.fault(&place.to_string(), None, &bad.to_string()),
        }
    }
    permissions
}

/// `None`: the charter it was signed under is not here.
fn open(bytes: &[u8], digest: Digest, charters: &Charters) -> Result<Option<Permission>, BadField> {
    let envelope = Envelope::parse(bytes).map_err(|error| bad(error.to_string()))?;
    let payload = envelope.unverified_payload();
    if Digest::of(payload) != digest {
        return Err(bad("is not the one that its name says".into()));
    }
    // Which of the two it is, the signed type confirms.
    if let Ok(claimed) = StandingOrder::decode(payload) {
        let Some(charter) = charters.by_serial(claimed.charter_serial) else { return Ok(None) };
        let payload = signed(bytes, STANDING_TYPE, charter)?;
        let standing = StandingOrder::decode(&payload)?;
        in_time(charter, standing.issued)?;
        return Ok(Some(Permission::Standing(Box::new(standing))));
    }
    let claimed = Order::decode(payload)?;
    let Some(charter) = charters.by_serial(claimed.charter_serial) else { return Ok(None) };
    let order = Order::decode(&signed(bytes, ORDER_TYPE, charter)?)?;
    in_time(charter, order.issued)?;
    approval::approvers(&order.approvals, &charter.approvers, order.core_digest)
        .map_err(|error| bad(error.to_string()))?;
    Ok(Some(Permission::Order(Box::new(order))))
}

fn bad(problem: String) -> BadField {
    BadField::new("order", problem)
}

fn signed(bytes: &[u8], kind: &str, charter: &Charter) -> Result<Vec<u8>, BadField> {
    dsse::open(bytes, kind, &charter.order_keys, 1)
        .map(dsse::Verified::into_value)
        .map_err(|error| bad(format!("by charter {}: {error}", charter.serial)))
}

fn in_time(charter: &Charter, issued: Millis) -> Result<(), BadField> {
    if charter.holds_at(issued) {
        return Ok(());
    }
    Err(bad(format!("was signed after charter {} had ended", charter.serial)))
}

/// Where a record says something else than what permitted it. A use of a standing order must be what follows from it by
/// code, parameters and all.
pub(super) fn difference(
    fact: &Fact,
    stated: &OrderFacts,
    permission: &Permission,
    procedure: Option<&Runbook>,
) -> Option<String> {
    let refused = matches!(fact.record.body, Body::Refusal(_));
    let order = match (permission, &stated.standing) {
        (Permission::Order(order), None) => Cow::Borrowed(&**order),
        (Permission::Standing(standing), Some(used)) => {
            // Refused when it was given, none of its executions was meant yet.
            let counts = (used.id, used.most, &used.trigger)
                == (standing.id, standing.most, &standing.trigger)
                && (refused || (1..=standing.most).contains(&used.count));
            if !counts {
                return Some(format!("states another use than standing order {} permits", standing.id));
            }
            Cow::Owned(derive(standing, used.count.max(1), procedure))
        }
        (Permission::Order(order), Some(_)) => {
            return Some(format!("takes order {}, which is for one run, for a standing one", order.core.id));
        }
        (Permission::Standing(standing), None) => {
            return Some(format!("takes standing order {} for one that is for one run", standing.id));
        }
    };
    // They follow from a procedure: unknown here, or unknown to an executor that refused.
    let unknown =
        stated.standing.is_some() && (procedure.is_none() || refused && stated.parameters.is_empty());
    let excused = |name: &str| {
        // A refusal may be exactly about an order that was meant for somebody else.
        refused && ["organization", "tenant", "appliance", "incarnation"].contains(&name)
            || unknown && name == "parameters"
    };
    let name = differences(fact, stated, &order).into_iter().find(|name| !excused(name))?;
    Some(format!("states another {name} than the signed order {}", order.core.id))
}

/// What a record says otherwise than the signed order that it names.
fn differences(fact: &Fact, stated: &OrderFacts, order: &Order) -> Vec<&'static str> {
    let core = &order.core;
    let identity = &fact.record.identity;
    let mut approvers: Vec<&str> =
        order.approvals.iter().map(|approval| approval.approver.as_str()).collect();
    let mut stated_approvers: Vec<&str> = stated.approvers.iter().map(String::as_str).collect();
    for names in [&mut approvers, &mut stated_approvers] {
        names.sort_unstable();
        names.dedup();
    }
    let same = [
        ("id", stated.id == core.id),
        ("incident", stated.incident == core.incident),
        ("sequence", stated.sequence == order.sequence),
        ("charter", stated.charter_serial == order.charter_serial),
        ("policy", stated.policy_serial == order.policy_serial),
        ("runbook", stated.runbook == core.runbook && stated.runbook_digest == core.runbook_digest),
        ("parameters", stated.parameters == core.parameters),
        ("plan", stated.plan == order.plan),
        ("approvers", stated_approvers == approvers),
        ("organization", identity.organization == core.organization),
        ("tenant", identity.tenant == core.tenant),
        ("appliance", identity.appliance == core.appliance),
        ("incarnation", fact.record.chain.incarnation == core.incarnation),
    ];
    same.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}
