//! Policies only tighten: joining two commutes, associates, changes nothing when repeated, and whatever the join admits,
//! each side admits.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use proto::{
    ids::{RunbookId, SiteId, TenantId},
    time::Millis,
};
use runbooks::{
    ClinicHours, Day, Guardrail, Mode, Policy, Presence, Refusal, Risk, Window, Windows, explain,
};

use crate::case::{Case, hours, valid};

fn runbook() -> impl Strategy<Value = RunbookId> {
    prop::sample::select(vec!["RB-CASE-001", "RB-OTHER-001", "RB-MORE-001"])
        .prop_map(|id| id.parse().expect("a name"))
}

fn window() -> impl Strategy<Value = Window> {
    let zone = prop::sample::select(vec!["UTC", "America/Chicago", "America/Gotham"]);
    let days = prop::collection::btree_set(prop::sample::select(Day::ALL.to_vec()), 1..=7);
    (zone, days, 0..24u8, 0..24u8).prop_map(|(zone, days, opens, closes)| Window {
        zone: zone.into(),
        days,
        opens: format!("{opens:02}:00").parse().expect("a time of day"),
        closes: format!("{closes:02}:00").parse().expect("a time of day"),
    })
}

fn windows() -> impl Strategy<Value = Windows> {
    prop::collection::vec(prop::collection::vec(window(), 0..3), 0..3)
        .prop_map(|sets| sets.into_iter().fold(Windows::always(), |all, set| all.and(&Windows::any_of(set))))
}

/// Some sort before every case's tenant, some after.
fn some_tenant(n: u8) -> TenantId {
    TenantId::new(Millis(if n.is_multiple_of(2) { 1 } else { 1 << 47 }), [n; 10])
}

fn site(n: u8) -> SiteId {
    SiteId::new(Millis(1), [n; 10])
}

fn allowed() -> impl Strategy<Value = std::collections::BTreeSet<RunbookId>> {
    prop::collection::btree_set(runbook(), 0..3)
}

/// Any policy, from nothing forbidden to nothing allowed.
fn policies() -> impl Strategy<Value = Policy> {
    let who = (any::<u64>(), prop::option::of((0..3u8).prop_map(some_tenant)), prop::option::of(allowed()));
    let sites = prop::collection::btree_map((0..3u8).prop_map(site), allowed(), 0..3);
    let modes = prop::collection::btree_map(
        prop::sample::select(Risk::ALL.to_vec()),
        prop::sample::select(Mode::ALL.to_vec()),
        0..4,
    );
    let own = prop::collection::btree_map(runbook(), prop::sample::select(Mode::ALL.to_vec()), 0..3);
    let moment = || prop::option::of(any::<i64>().prop_map(Millis));
    let hours = prop::collection::vec(window(), 0..3).prop_map(ClinicHours::during);
    let stops = (prop::option::of("[a-c]{1,2}"), moment(), moment(), any::<bool>(), windows(), hours);
    let rates = (0..9000u64, any::<[u32; 3]>(), 0..9000u64);
    (who, sites, (modes, own), stops, rates).prop_map(
        |(
            (serial, tenant, allow),
            sites,
            (modes, runbook_modes),
            (hold, freeze_until, shadow_until, standing_orders, windows, clinic_hours),
            (cooldown, counts, reset),
        )| Policy {
            serial,
            tenant,
            allow,
            sites,
            modes,
            runbook_modes,
            hold,
            freeze_until,
            shadow_until,
            standing_orders,
            windows,
            clinic_hours,
            cooldown_at_least_seconds: cooldown,
            per_appliance_hour: counts[0],
            per_tenant_hour: counts[1],
            breaker_after: counts[2],
            breaker_reset_seconds: reset,
        },
    )
}

/// A policy around a case: every part either lets it pass or, less often, hits it.
fn near(case: &Case, part: [u8; 10]) -> Policy {
    let mut policy = case.policy.clone();
    let hits = |at: usize| part[at] < 40;
    let changed = |at: usize| part[at] < 150;
    policy.tenant = [None, Some(case.core.tenant), Some(some_tenant(part[0]))]
        [usize::from(changed(0)) + usize::from(hits(0))];
    policy.allow = match (changed(1), hits(1)) {
        (false, _) => None,
        (_, false) => Some([case.core.runbook.clone(), "RB-MORE-001".parse().expect("a name")].into()),
        (_, true) => Some(["RB-MORE-001".parse().expect("a name")].into()),
    };
    policy.sites = match (changed(2), hits(2)) {
        (false, _) => BTreeMap::new(),
        (_, false) => [(case.core.site, [case.core.runbook.clone()].into())].into(),
        (_, true) => [(case.core.site, [].into())].into(),
    };
    let mode = Mode::ALL[usize::from(changed(3)) + usize::from(hits(3))];
    policy.modes = Risk::ALL.iter().filter(|_| part[3] > 20).map(|risk| (*risk, mode)).collect();
    policy.runbook_modes = match (changed(4), hits(0)) {
        (false, _) => BTreeMap::new(),
        (_, false) => [(case.core.runbook.clone(), Mode::Automatic)].into(),
        (_, true) => [(case.core.runbook.clone(), Mode::Never)].into(),
    };
    policy.hold = hits(4).then(|| format!("hold {}", part[4] % 3));
    let around = |at: usize| Duration::from_secs(u64::from(part[at]));
    policy.shadow_until = hits(6).then(|| case.now().plus(std::time::Duration::from_millis(1)));
    policy.freeze_until =
        changed(5).then(|| if hits(5) { case.now().plus(around(5)) } else { case.now().minus(around(5)) });
    if hits(6) {
        policy.windows = policy.windows.and(&Windows::any_of([]));
    }
    // Around now: begun or not, over or not.
    let minutes = |at: usize| i64::from(part[at] % 4) - 1;
    if changed(7) {
        policy.clinic_hours = hours(case.now(), minutes(7), minutes(8));
    }
    policy.cooldown_at_least_seconds = if hits(7) { u64::from(part[7]) * 400 } else { 0 };
    policy.per_appliance_hour = case.history.appliance_hour + u32::from(!hits(8)) + u32::from(part[8] % 3);
    policy.per_tenant_hour = case.history.tenant_hour + u32::from(!hits(8)) + u32::from(part[8] % 2);
    policy.breaker_after = case.history.failures_in_a_row + u32::from(!hits(9));
    policy.breaker_reset_seconds = u64::from(part[9]) * 30;
    policy
}

fn verdicts(case: &Case, policy: &Policy) -> Vec<(Guardrail, Result<(), Refusal>)> {
    let mut case = case.clone();
    case.policy = policy.clone();
    explain(&case.order(), &case.facts(), Presence::Present)
}

fn each_side_admits_what_the_join_admits(case: &Case, a: &Policy, b: &Policy) -> Result<(), TestCaseError> {
    let joined = verdicts(case, &a.tightened_by(b));
    for side in [a, b] {
        for ((guardrail, joined), (_, alone)) in joined.iter().zip(verdicts(case, side)) {
            prop_assert!(
                joined.is_err() || alone.is_ok(),
                "{}: joined admits, but alone {:?}",
                guardrail,
                alone
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn joining_is_a_semilattice(a in policies(), b in policies(), c in policies()) {
        prop_assert_eq!(a.tightened_by(&Policy::silent()), a.clone());
        prop_assert_eq!(a.tightened_by(&b), b.tightened_by(&a));
        prop_assert_eq!(a.tightened_by(&b).tightened_by(&c), a.tightened_by(&b.tightened_by(&c)));
        prop_assert_eq!(a.tightened_by(&a), a.clone());
        prop_assert_eq!(a.tightened_by(&b).tightened_by(&b), a.tightened_by(&b));
    }

    #[test]
    fn whatever_two_policies_admit_together_each_admits(case in valid(), a in policies(), b in policies()) {
        each_side_admits_what_the_join_admits(&case, &a, &b)?;
        each_side_admits_what_the_join_admits(&case, &case.policy, &b)?;
    }

    #[test]
    fn nor_near_the_line(case in valid(), a in any::<[u8; 10]>(), b in any::<[u8; 10]>()) {
        each_side_admits_what_the_join_admits(&case, &near(&case, a), &near(&case, b))?;
    }

    /// And it is not stricter than both: a policy that forbids nothing changes nothing.
    #[test]
    fn joining_with_one_that_forbids_nothing_changes_no_verdict(case in valid(), part in any::<[u8; 10]>()) {
        let policy = near(&case, part);
        prop_assert_eq!(policy.tightened_by(&Policy::silent()), policy);
    }

    /// Organization, tenant and site, in whatever order: together they admit only what each admits.
    #[test]
    fn three_levels_admit_only_what_each_of_them_admits(
        case in valid(), a in any::<[u8; 10]>(), b in any::<[u8; 10]>(), c in any::<[u8; 10]>(),
    ) {
        let levels = [near(&case, a), near(&case, b), near(&case, c)];
        let joined = levels.iter().fold(Policy::silent(), |all, one| all.tightened_by(one));
        let admitted = verdicts(&case, &joined).iter().all(|(_, verdict)| verdict.is_ok());
        for level in &levels {
            prop_assert!(!admitted || verdicts(&case, level).iter().all(|(_, verdict)| verdict.is_ok()));
        }
        let people = |policy: &Policy| policy.approvers_for(&case.catalogue.entries[&case.core.runbook].runbook);
        match people(&joined) {
            None => prop_assert!(levels.iter().any(|level| people(level).is_none())),
            Some(needed) => prop_assert!(levels.iter().all(|level| people(level).is_some_and(|own| own <= needed))),
        }
    }

    #[test]
    fn strangers_admit_nothing_together(case in valid(), n in any::<u8>()) {
        let mut other = case.policy.clone();
        let mut own = case.policy.clone();
        own.tenant = Some(case.core.tenant);
        other.tenant = Some(some_tenant(n));
        let joined = own.tightened_by(&other);
        prop_assert!(verdicts(&case, &joined).iter().any(|(g, v)| *g == Guardrail::Allowlist && v.is_err()));
    }

    #[test]
    fn high_risk_needs_approval_whatever_a_policy_says(policy in policies()) {
        for risk in [Risk::High, Risk::Destructive] {
            prop_assert!(policy.mode(risk) >= Mode::Approval);
        }
    }
}
