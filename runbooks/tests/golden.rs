//! The bytes of a signed policy, recorded: a box that was not updated must go on reading what we write.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what fails there is the test's failure")]

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use proto::{
    charter::{Charter, Quorum},
    ids::TenantId,
    keys::SecretKey,
    time::Millis,
};
use runbooks::{ClinicHours, Mode, Policy, Risk, Windows};

const AT: Millis = Millis(1_795_000_000_000);

fn key(seed: u8) -> SecretKey {
    SecretKey::ed25519([seed; 32])
}

/// Every field says something else than the default, but for clinic hours and
/// modes of runbooks: a box of before those must go on reading this.
fn policy() -> Policy {
    let site = "0190a0c0-0000-7000-8000-000000000003".parse().unwrap();
    let window = runbooks::Window {
        zone: "America/Chicago".into(),
        days: [runbooks::Day::Monday, runbooks::Day::Sunday].into(),
        opens: "22:00".parse().unwrap(),
        closes: "05:30".parse().unwrap(),
    };
    Policy {
        serial: 8,
        tenant: Some(TenantId::new(AT, [2; 10])),
        allow: Some(["RB-DISK-002".parse().unwrap(), "RB-BACKUP-001".parse().unwrap()].into()),
        sites: [(site, ["RB-BACKUP-001".parse().unwrap()].into())].into(),
        modes: [
            (Risk::Low, Mode::Automatic),
            (Risk::Medium, Mode::Approval),
            (Risk::High, Mode::Approval),
            (Risk::Destructive, Mode::Never),
        ]
        .into(),
        runbook_modes: BTreeMap::new(),
        hold: Some("audit".into()),
        freeze_until: Some(AT),
        shadow_until: Some(AT.plus(Duration::from_secs(1))),
        standing_orders: false,
        windows: Windows::any_of([window]),
        clinic_hours: ClinicHours::default(),
        cooldown_at_least_seconds: 30,
        per_appliance_hour: 6,
        per_tenant_hour: 60,
        breaker_after: 2,
        breaker_reset_seconds: 1800,
    }
}

#[test]
fn a_policy() {
    is_recorded("policy.json", &policy());
}

#[test]
fn a_policy_with_clinic_hours() {
    let hours = ["monday-friday 08:00-18:00 America/Chicago", "saturday 09:00-12:00 America/Chicago"];
    let clinic_hours = ClinicHours::during(hours.map(|text| text.parse().unwrap()));
    is_recorded("policy-with-clinic-hours.json", &Policy { clinic_hours, ..policy() });
}

#[test]
fn a_policy_with_modes_of_runbooks() {
    let runbook_modes = [("RB-DISK-002".parse().unwrap(), Mode::Never)].into();
    is_recorded("policy-with-runbook-modes.json", &Policy { runbook_modes, ..policy() });
}

fn is_recorded(name: &str, policy: &Policy) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    let (was, now) = (fs::read(&path).unwrap_or_default(), policy.seal(&key(20)));
    assert!(
        was == now,
        "{} is not what is written now, which is:\n{}",
        path.display(),
        String::from_utf8_lossy(&now)
    );
    let charter = Charter {
        organization: "msp.example".into(),
        serial: 1,
        issued: AT,
        not_after: AT.plus(Duration::from_secs(86_400)),
        order_keys: [key(20).public()].into(),
        log_keys: [key(22).public()].into(),
        release_keys: Quorum { threshold: 2, keys: [key(23).public(), key(24).public()].into() },
        certificate_authorities: Vec::new(),
        witnesses: Vec::new(),
        witness_quorum: None,
        approvers: Vec::new(),
    };
    assert_eq!(Policy::open(&was, &charter).unwrap().into_value(), *policy);
}
