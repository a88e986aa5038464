//! What a refusal says: what was wrong, and what would be right, in words that a person can act on.

use std::time::Duration;

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use proto::time::Millis;
use runbooks::{Guardrail, Presence, Risk, WatchKind, clear, history_key};

use crate::case::{Case, hours, valid};

/// A plain case: one directory, low risk, nothing special.
fn plain() -> Case {
    let mut runner = TestRunner::deterministic();
    loop {
        let mut case = valid().new_tree(&mut runner).expect("cases can be made").current();
        let runbook = case.runbook();
        if runbook.risk == Risk::Low && runbook.parameters.values().eq([&WatchKind::Directory]) {
            case.watch = [
                ("records", WatchKind::Directory),
                ("uploads", WatchKind::Directory),
                ("syslog", WatchKind::Log),
            ]
            .map(|(id, kind)| (id.parse().expect("a slug"), kind))
            .into();
            case.core.parameters = [("target_0".to_owned(), "uploads".parse().expect("a slug"))].into();
            return case;
        }
    }
}

fn refusal(change: impl FnOnce(&mut Case)) -> String {
    let mut case = plain();
    change(&mut case);
    clear(&case.order(), &case.facts(), Presence::Present).expect_err("refused").to_string()
}

#[test]
fn a_watch_entry_that_is_not_listed_is_named_beside_those_that_are() {
    let text = refusal(|c| *c.core.parameters.get_mut("target_0").unwrap() = "nope".parse().unwrap());
    assert_eq!(
        text,
        "guardrail 7 (parameters): parameter target_0 names watch entry `nope`, which is not on this box's list; \
         it lists: records, syslog, uploads"
    );
    let text = refusal(|c| *c.core.parameters.get_mut("target_0").unwrap() = "syslog".parse().unwrap());
    assert!(text.ends_with("names watch entry `syslog`, a log; it must be a directory"), "{text}");
}

#[test]
fn every_reason_says_what_would_be_right() {
    for (change, right) in [
        ((|c| c.core.organization = "Mrs Jones".into()) as fn(&mut Case), "this box belongs to msp.example"),
        (|c| c.issuance.sequence = c.order_high, "the highest seen; the next is"),
        (|c| c.issuance.charter_serial += 1, "sign under that"),
        (|c| c.issuance.policy_serial += 1, "the newest seen here is"),
        (|c| c.policy.allow = Some(["RB-DISK-002".parse().unwrap()].into()), "it allows: RB-DISK-002"),
        (|c| c.catalogue.expires = c.now(), "the release keys must sign the next"),
        (|c| c.core.parameters.clear(), "lacks parameter target_0, a directory of this box's list"),
        (|c| c.history.since_last = Some(Duration::ZERO), "are left"),
        (|c| c.history.appliance_hour = 1000, "executions for this appliance in the last hour; at most"),
        (
            |c| c.policy.freeze_until = Some(Millis(4_102_444_800_000)),
            "change freeze until 2100-01-01T00:00:00.000Z",
        ),
        (|c| c.policy.windows = runbooks::Windows::any_of([]), "must wait until one of each set is open"),
        (
            |c| {
                c.runbook().disruptive = Some(true);
                c.policy.clinic_hours = hours(c.now(), 0, 0);
            },
            "runbook RB-CASE-001 disturbs people at work; it is within clinic hours; it must wait until they are over",
        ),
        (
            |c| {
                c.runbook().disruptive = Some(true);
                let jones = ["daily 00:00-00:00 Mrs/Jones".parse().unwrap()];
                c.policy.clinic_hours = runbooks::ClinicHours::during(jones);
            },
            "the clinic hours name a time zone that is not known here; name one of the IANA database",
        ),
        (|c| c.policy.hold = Some("Mrs Jones".into()), "a policy without hold releases them"),
        (|c| c.hold = Some("file".into()), "paused at the box itself, by file; release them there"),
        (|c| c.charter.not_after = c.now(), "the organization must sign the next charter"),
    ] {
        let text = refusal(change);
        assert!(text.contains(right), "{text}");
        assert!(!text.contains("Jones"), "evidence cannot be cleaned: {text}");
    }
}

#[test]
fn an_undeclared_parameters_name_is_not_repeated() {
    let text = refusal(|c| drop(c.core.parameters.insert("Mrs Jones".into(), "uploads".parse().unwrap())));
    assert!(text.contains("does not declare; it declares: target_0"), "{text}");
    assert!(!text.contains("Jones"));
}

#[test]
fn the_same_runbook_on_the_same_target_has_the_same_key() {
    let case = plain();
    let (runbook, target) = history_key(&case.core);
    assert_eq!((runbook.as_str(), target.as_str()), ("RB-CASE-001", "target_0=uploads"));
    let mut other = case.core.clone();
    other.id = proto::ids::OrderId::new(Millis(9), [9; 10]);
    other.incident = proto::ids::IncidentId::new(Millis(9), [9; 10]);
    assert_eq!(history_key(&other), history_key(&case.core));
    *other.parameters.get_mut("target_0").unwrap() = "records".parse().unwrap();
    assert_ne!(history_key(&other), history_key(&case.core));
}

#[test]
fn guardrail_1_knows_the_charters_end_before_anything_else() {
    let text = refusal(|c| {
        c.charter.not_after = c.now();
        c.hold = Some("file".into());
    });
    assert!(text.starts_with(&format!("guardrail {} (signature)", Guardrail::Signature.number())), "{text}");
}
