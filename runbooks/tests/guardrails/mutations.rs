//! What can go wrong: one change to a valid case each, and the guardrail that must notice.
//!
//! `k` is drawn anew for every case, so that a change is not always by the same amount.

use std::{collections::BTreeSet, time::Duration};

use proto::{
    digest::Digest,
    ids::{ApplianceId, Incarnation, SiteId, TenantId},
    order::SEQUENCE_WINDOW,
    time::Millis,
};
use runbooks::{
    Guardrail, Mode, Risk, WatchKind, Window, Windows,
    guardrails::{APPROVAL_AHEAD_MAX, NOT_REPEATED_FOR},
};

use crate::case::{Approving, Case, hours};

pub(crate) struct Mutation {
    pub(crate) guardrail: Guardrail,
    pub(crate) name: &'static str,
    pub(crate) apply: fn(&mut Case, u64),
}

const fn m(guardrail: Guardrail, name: &'static str, apply: fn(&mut Case, u64)) -> Mutation {
    Mutation { guardrail, name, apply }
}

/// Milliseconds from `k`: often exactly one, so that every edge is walked; at most a bit over an hour.
fn ms(k: u64) -> Duration {
    Duration::from_millis(if k.is_multiple_of(4) { 1 } else { 1 + k % 4_000_000 })
}

fn random(k: u64) -> [u8; 10] {
    let mut bytes = [0xa5; 10];
    bytes[..8].copy_from_slice(&k.to_be_bytes());
    bytes
}

/// Adds approvals until there are as many people as anything can need, and makes sure that some are needed.
fn needs_approval(case: &mut Case) {
    let risk = case.runbook().risk;
    case.policy.modes.insert(risk, Mode::Approval);
    case.core.approve_until = Some(case.now().plus(Duration::from_millis(1)));
    case.approving =
        (0..3).map(|at| Approving { name: format!("approver-{at}"), passkey: at, over: None }).collect();
}

fn needed(case: &mut Case) -> usize {
    if case.runbook().risk == Risk::Destructive { 2 } else { 1 }
}

fn window(zone: &str, days: &[runbooks::Day]) -> Windows {
    let whole_day = || "00:00".parse().expect("a time of day");
    let days = days.iter().copied().collect();
    Windows::any_of([Window { zone: zone.into(), days, opens: whole_day(), closes: whole_day() }])
}

pub(crate) const MUTATIONS: &[Mutation] = &[
    m(Guardrail::Hold, "shadow mode", |c, k| c.policy.shadow_until = Some(c.now().plus(ms(k)))),
    // 1: what of it holds before there is a signature; forged signatures are in `forgery`.
    m(Guardrail::Signature, "charter ended", |c, k| c.charter.not_after = Millis(c.now().minus(ms(k)).0 + 1)),
    // 2
    m(Guardrail::Binding, "organization", |c, _| c.core.organization = "other.example".into()),
    m(Guardrail::Binding, "tenant", |c, k| c.identity.tenant = TenantId::new(Millis(1), random(k))),
    m(Guardrail::Binding, "appliance", |c, k| c.core.appliance = ApplianceId::new(Millis(1), random(k))),
    m(Guardrail::Binding, "incarnation", |c, k| c.core.incarnation.0[(k % 16) as usize] ^= 1 << (k / 16 % 8)),
    m(Guardrail::Binding, "re-imaged", |c, k| {
        c.incarnation = Incarnation([c.incarnation.0[0].wrapping_add(1 + (k % 255) as u8); 16])
    }),
    // 3
    m(Guardrail::Freshness, "begins too early", |c, k| {
        let begins = c.now().plus(Duration::from_millis(30_000)).plus(ms(k));
        (c.not_before, c.issuance.issued, c.expires) =
            (begins, begins, begins.plus(Duration::from_millis(1)));
    }),
    m(Guardrail::Freshness, "expired", |c, k| {
        let expires = Millis(c.now().minus(ms(k)).0 + 1);
        let begins = expires.minus(Duration::from_millis(1));
        (c.not_before, c.issuance.issued, c.expires) = (begins, begins, expires);
    }),
    m(Guardrail::Freshness, "lives too long", |c, k| {
        c.expires = c.not_before.plus(Duration::from_secs(900)).plus(ms(k));
    }),
    m(Guardrail::Freshness, "ends before it begins", |c, k| {
        c.expires = Millis(c.not_before.minus(ms(k)).0 + 1)
    }),
    m(Guardrail::Freshness, "issued before it begins", |c, k| c.issuance.issued = c.not_before.minus(ms(k))),
    m(Guardrail::Freshness, "issued after it ends", |c, k| {
        c.issuance.issued = Millis(c.expires.plus(ms(k)).0 - 1)
    }),
    m(Guardrail::Freshness, "issued in the future", |c, _| {
        c.not_before = c.now();
        c.expires = c.now().plus(Duration::from_secs(900));
        c.issuance.issued = c.now().plus(Duration::from_millis(30_001));
    }),
    // 4
    m(Guardrail::Replay, "same or lower sequence", |c, k| {
        c.order_high = c.order_high.max(1);
        c.issuance.sequence = c.order_high - k % c.order_high.min(1000);
    }),
    m(Guardrail::Replay, "too far ahead", |c, k| {
        c.issuance.sequence = c.order_high + SEQUENCE_WINDOW + 1 + k % 1000
    }),
    m(Guardrail::Replay, "older charter", |c, _| {
        c.issuance.charter_serial = c.issuance.charter_serial.saturating_sub(1)
    }),
    m(Guardrail::Replay, "charter not seen here", |c, k| c.issuance.charter_serial += 1 + k % 9),
    m(Guardrail::Replay, "the same core under another sequence", |c, _| c.taken_before = true),
    // 5
    m(Guardrail::Allowlist, "policy not seen here", |c, k| c.issuance.policy_serial += 1 + k % 9),
    m(Guardrail::Allowlist, "older policy", |c, k| c.policy_serial += 1 + k % 9),
    m(Guardrail::Allowlist, "not allowed", |c, _| {
        c.policy.allow = Some(["RB-OTHER-001".parse().expect("a name")].into())
    }),
    m(Guardrail::Allowlist, "nothing allowed", |c, _| c.policy.allow = Some(BTreeSet::new())),
    m(Guardrail::Allowlist, "not allowed at this site", |c, _| {
        c.policy.sites.insert(c.core.site, ["RB-OTHER-001".parse().expect("a name")].into());
    }),
    m(Guardrail::Allowlist, "another tenant's policy", |c, k| {
        c.policy.tenant = Some(TenantId::new(Millis(1), random(k)))
    }),
    // 6
    m(Guardrail::Digest, "another digest", |c, k| {
        c.core.runbook_digest.0[(k % 32) as usize] ^= 1 << (k / 32 % 8)
    }),
    m(Guardrail::Digest, "another wording", |c, k| {
        let entry = c.catalogue.entries.get_mut(&c.core.runbook).expect("it is there");
        entry.digest = Digest::of(&k.to_be_bytes());
    }),
    m(Guardrail::Digest, "catalogue expired", |c, k| {
        c.catalogue.expires = Millis(c.now().minus(ms(k)).0 + 1)
    }),
    // 7
    m(Guardrail::Parameters, "one missing", |c, _| drop(c.core.parameters.pop_first())),
    m(Guardrail::Parameters, "one too many", |c, k| {
        c.core.parameters.insert(format!("more_{}", k % 100), "unused".parse().expect("a slug"));
    }),
    m(Guardrail::Parameters, "not on the list", |c, k| {
        for target in c.core.parameters.values_mut() {
            *target = format!("absent-{}", k % 100).parse().expect("a slug");
        }
    }),
    m(Guardrail::Parameters, "taken off the list", |c, _| c.watch.clear()),
    m(Guardrail::Parameters, "of another kind", |c, k| {
        for kind in c.watch.values_mut() {
            let others: Vec<_> = WatchKind::ALL.iter().copied().filter(|other| other != kind).collect();
            *kind = others[(k % 3) as usize];
        }
    }),
    // 8
    m(Guardrail::Cooldown, "too soon for the runbook", |c, k| {
        let least = c.runbook().cooldown();
        c.history.since_last = Some(least.saturating_sub(ms(k)));
        c.policy.cooldown_at_least_seconds = 0;
    }),
    m(Guardrail::Cooldown, "too soon for the policy", |c, k| {
        let since = c.runbook().cooldown() + ms(k);
        c.history.since_last = Some(since);
        c.policy.cooldown_at_least_seconds = since.as_secs() + 1;
    }),
    // 9
    m(Guardrail::Budget, "runbook's hour", |c, k| {
        c.history.runbook_hour = c.runbook().limits.per_hour + (k % 9) as u32
    }),
    m(Guardrail::Budget, "appliance's hour", |c, k| {
        c.history.appliance_hour = c.policy.per_appliance_hour + (k % 9) as u32
    }),
    m(Guardrail::Budget, "tenant's hour", |c, k| {
        c.history.tenant_hour = c.policy.per_tenant_hour + (k % 9) as u32
    }),
    m(Guardrail::Budget, "no budget", |c, _| c.policy.per_tenant_hour = 0),
    m(Guardrail::Budget, "breaker open", |c, k| {
        c.history.failures_in_a_row = c.policy.breaker_after + (k % 9) as u32;
        c.history.since_last_failure = Some(c.policy.breaker_reset().saturating_sub(ms(k)));
    }),
    m(Guardrail::Budget, "breaker open since nobody knows when", |c, _| {
        c.history.failures_in_a_row = c.policy.breaker_after;
        c.history.since_last_failure = None;
    }),
    m(Guardrail::Budget, "in vain the last time", |c, k| {
        c.history.since_ineffective = Some(NOT_REPEATED_FOR.saturating_sub(ms(k)));
    }),
    // 10
    m(Guardrail::Window, "never", |c, _| {
        let risk = c.runbook().risk;
        c.policy.modes.insert(risk, Mode::Never);
    }),
    m(Guardrail::Window, "never, this runbook", |c, _| {
        c.policy.runbook_modes.insert(c.core.runbook.clone(), Mode::Never);
    }),
    m(Guardrail::Window, "approval, this runbook, and nobody asked", |c, _| {
        c.policy.runbook_modes.insert(c.core.runbook.clone(), Mode::Approval);
        (c.core.approve_until, c.approving) = (None, Vec::new());
    }),
    m(Guardrail::Window, "change freeze", |c, k| c.policy.freeze_until = Some(c.now().plus(ms(k)))),
    m(Guardrail::Window, "no window at all", |c, _| c.policy.windows = Windows::any_of([])),
    m(Guardrail::Window, "unknown zone", |c, _| {
        c.policy.windows = c.policy.windows.and(&window("America/Gotham", runbooks::Day::ALL));
    }),
    m(Guardrail::Window, "no day", |c, _| c.policy.windows = c.policy.windows.and(&window("UTC", &[]))),
    m(Guardrail::Window, "people are at work", |c, k| {
        c.runbook().disruptive = Some(true);
        c.policy.clinic_hours = hours(c.now(), -((k % 600) as i64), 1 + (k % 90) as i64);
    }),
    m(Guardrail::Window, "some of them", |c, k| {
        c.runbook().disruptive = Some(true);
        c.policy.clinic_hours = hours(c.now(), -((k % 600) as i64), 1).or(&hours(c.now(), 60, -60));
    }),
    m(Guardrail::Window, "at work in a zone that nobody knows", |c, _| {
        c.runbook().disruptive = Some(true);
        let gotham = ["sunday 01:00-01:01 America/Gotham".parse().expect("a window")];
        c.policy.clinic_hours = runbooks::ClinicHours::during(gotham);
    }),
    m(Guardrail::Window, "nobody has said whether it disturbs", |c, _| {
        c.runbook().disruptive = None;
        c.policy.clinic_hours = hours(c.now(), 0, 0);
    }),
    m(Guardrail::Window, "at work, whoever approved it", |c, _| {
        needs_approval(c);
        c.runbook().disruptive = Some(true);
        c.policy.clinic_hours = hours(c.now(), 0, 0);
    }),
    m(Guardrail::Window, "too few people", |c, _| {
        needs_approval(c);
        let needed = needed(c);
        c.approving.truncate(needed - 1);
    }),
    m(Guardrail::Window, "one person twice", |c, _| {
        needs_approval(c);
        let needed = needed(c);
        c.approving = vec![c.approving[0].clone(); needed];
        c.approving.truncate(if needed == 2 { 2 } else { 0 });
    }),
    m(Guardrail::Window, "one passkey under two names", |c, _| {
        needs_approval(c);
        c.charter.approvers[1].key = c.charter.approvers[0].key.clone();
        let needed = needed(c);
        c.approving.truncate(needed);
        if let Some(second) = c.approving.get_mut(1) {
            second.passkey = 0;
        } else {
            c.approving.clear();
        }
    }),
    m(Guardrail::Window, "a stranger approves", |c, _| {
        needs_approval(c);
        c.approving.push(Approving { name: "mallory".into(), passkey: 3, over: None });
    }),
    m(Guardrail::Window, "a stranger's passkey", |c, k| {
        needs_approval(c);
        c.approving[(k % 3) as usize].passkey = 3;
    }),
    m(Guardrail::Window, "approval of another order", |c, k| {
        needs_approval(c);
        c.approving[(k % 3) as usize].over = Some(Digest::of(&k.to_be_bytes()));
    }),
    m(Guardrail::Window, "approval ended", |c, k| {
        needs_approval(c);
        c.core.approve_until = Some(Millis(c.now().minus(ms(k)).0 + 1));
    }),
    m(Guardrail::Window, "approval ends too far ahead", |c, k| {
        needs_approval(c);
        c.core.approve_until = Some(c.now().plus(APPROVAL_AHEAD_MAX).plus(ms(k)));
    }),
    m(Guardrail::Window, "no end of approval", |c, _| {
        needs_approval(c);
        c.core.approve_until = None;
    }),
    // 12
    m(Guardrail::Hold, "by policy", |c, _| c.policy.hold = Some("audit week".into())),
    m(Guardrail::Hold, "at the box", |c, _| c.hold = Some("file".into())),
];

/// A site that no case has.
pub(crate) fn elsewhere(k: u64) -> SiteId {
    SiteId::new(Millis(2), random(k))
}
