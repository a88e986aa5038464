//! Whatever the facts and the order say, however far out, the guardrails answer; they never panic, and no reason grows
//! beyond what a record of evidence can hold.

use std::time::Duration;

use proptest::prelude::*;
use proto::{approval::Approval, ids::SiteId, time::Millis};
use runbooks::{
    ClinicHours, Guardrail, History, Mode, Presence, Risk, Window, Windows, admit, clear, explain,
    guardrails::REASON_MAX, verify,
};

use crate::case::{KEYS, valid};

fn extreme() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        Just(i64::MIN),
        Just(i64::MAX),
        Just(0),
        1_600_000_000_000..2_000_000_000_000i64
    ]
}

fn span() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![
        Just(None),
        Just(Some(Duration::MAX)),
        Just(Some(Duration::ZERO)),
        any::<u64>().prop_map(|ms| Some(Duration::from_millis(ms))),
    ]
}

fn history() -> impl Strategy<Value = History> {
    let spans = (span(), span(), span());
    (spans, any::<[u32; 4]>()).prop_map(|((since_last, since_last_failure, since_ineffective), counts)| {
        History {
            since_last,
            runbook_hour: counts[0],
            appliance_hour: counts[1],
            tenant_hour: counts[2],
            failures_in_a_row: counts[3],
            since_last_failure,
            since_ineffective,
        }
    })
}

fn window() -> impl Strategy<Value = Window> {
    let zone = prop_oneof![
        Just("UTC".to_owned()),
        Just("Europe/Berlin".to_owned()),
        Just("/etc/passwd".to_owned()),
        ".{0,20}"
    ];
    let days = prop::collection::btree_set(prop::sample::select(runbooks::Day::ALL.to_vec()), 0..7);
    (zone, days, 0..24u8, 0..60u8, 0..24u8).prop_map(|(zone, days, hour, minute, until)| Window {
        zone,
        days,
        opens: format!("{hour:02}:{minute:02}").parse().expect("a time of day"),
        closes: format!("{until:02}:00").parse().expect("a time of day"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_facts_get_an_answer(
        mut case in valid(),
        (now, begins, issued, expires, freeze) in (prop::option::of(extreme()), extreme(), extreme(), extreme(), prop::option::of(extreme())),
        (ends, catalogue_ends, approve_until) in (extreme(), extreme(), prop::option::of(extreme())),
        (high, sequence, serials) in (any::<u64>(), any::<u64>(), any::<[u64; 3]>()),
        history in history(),
        (cooldown, budgets, breaker, reset) in (any::<u64>(), any::<[u32; 2]>(), any::<u32>(), any::<u64>()),
        (mode, windows) in (prop::sample::select(Mode::ALL.to_vec()), prop::collection::vec(window(), 0..3)),
        (name, hold, rubbish) in (".{0,60}", prop::option::of(".{0,60}"), prop::collection::vec(any::<u8>(), 0..80)),
        (keep, site) in (any::<[bool; 12]>(), any::<[u8; 10]>()),
    ) {
        // Every part is replaced half of the time, so that the wild ones reach every guardrail.
        if keep[0] { case.now = now.map(Millis); }
        if keep[1] { (case.not_before, case.issuance.issued, case.expires) = (Millis(begins), Millis(issued), Millis(expires)); }
        if keep[2] { case.policy.freeze_until = freeze.map(Millis); }
        if keep[3] { case.charter.not_after = Millis(ends); }
        if keep[4] { case.catalogue.expires = Millis(catalogue_ends); }
        if keep[5] { (case.order_high, case.issuance.sequence) = (high, sequence); }
        if keep[6] { [case.issuance.charter_serial, case.issuance.policy_serial, case.policy_serial] = serials; }
        if keep[7] { case.history = history; }
        if keep[8] {
            case.policy.cooldown_at_least_seconds = cooldown;
            [case.policy.per_appliance_hour, case.policy.per_tenant_hour] = budgets;
            (case.policy.breaker_after, case.policy.breaker_reset_seconds) = (breaker, reset);
        }
        if keep[9] {
            for risk in Risk::ALL { case.policy.modes.insert(*risk, mode); }
            case.policy.clinic_hours = ClinicHours::during(windows.iter().take(1).cloned());
            case.policy.windows = Windows::any_of(windows);
            case.core.approve_until = approve_until.map(Millis);
        }
        if keep[10] {
            case.core.parameters.insert(name.clone(), "watch-0".parse().unwrap());
            case.core.site = SiteId::new(Millis(3), site);
            case.watch.clear();
        }
        case.policy.hold = hold.clone();
        if keep[11] { case.hold = hold.clone(); }

        let mut order = case.order();
        if keep[2] {
            let signature = rubbish.clone();
            let approval = Approval { approver: name.clone(), authenticator_data: rubbish.clone(), client_data: rubbish, signature };
            order.approvals.push(approval);
        }
        let facts = case.facts();
        let mut refusals: Vec<_> = Presence::ALL.iter().filter_map(|presence| clear(&order, &facts, *presence).err()).collect();
        refusals.extend(explain(&order, &facts, Presence::Present).into_iter().filter_map(|(_, verdict)| verdict.err()));
        match verify(&order.seal(&KEYS.order), &case.charter, case.now) {
            Ok(verified) => refusals.extend(admit(verified, &facts).err()),
            Err(refusal) => refusals.push(refusal),
        }
        for refusal in refusals {
            prop_assert!(refusal.reason.len() <= REASON_MAX, "{}", refusal.reason);
            // Free text from outside must not reach evidence, which cannot be cleaned: it is kept for six years.
            let outside = [Some(&name), case.policy.hold.as_ref()].into_iter().flatten();
            for text in outside.filter(|text| text.chars().filter(|c| !c.is_ascii()).count() > 3) {
                prop_assert!(!refusal.reason.contains(text.as_str()) || refusal.guardrail == Guardrail::Hold);
            }
        }
    }
}
