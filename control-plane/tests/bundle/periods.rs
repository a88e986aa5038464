//! The time a bundle is judged over: whoever makes it cannot choose one in which nothing was missing.

use control_plane::bundle::{
    Bundle, GapKind, Month, Period,
    export::build,
    verify::{Asked, Report, verify_within},
};

use super::{
    check, fault_in,
    tenant::{HOUR, Tenant, at},
};

fn november() -> Month {
    "2026-11".parse().unwrap()
}

/// Both boxes were silent for half a day, and then went on.
fn silent() -> Tenant {
    let mut tenant = Tenant::genuine(1);
    tenant.wait(12 * HOUR);
    for n in [0, 1] {
        tenant.heartbeat(n);
    }
    tenant
}

fn kinds(report: &Report) -> Vec<GapKind> {
    report.gaps.iter().map(|gap| gap.kind).collect()
}

/// A bundle whose provider says another period.
fn saying(tenant: &Tenant, packet: Option<Month>, period: Period) -> Bundle {
    let mut parts = tenant.parts(tenant.evidence.len(), packet);
    parts.period = period;
    build(&parts).unwrap()
}

#[test]
fn a_period_that_leaves_out_the_silence_does_not_hide_it() {
    let tenant = silent();
    assert_eq!(kinds(&check(&tenant, &tenant.bundle())), [GapKind::Silence; 2]);
    let (begin, now) = (at("2026-11-03T06:00:00Z"), tenant.now);
    for (from, to) in [
        (now, now.plus(HOUR / 60)),
        (begin, begin.plus(HOUR)),
        (at("2020-01-01T00:00:00Z"), at("2020-01-02T00:00:00Z")),
    ] {
        let report = check(&tenant, &saying(&tenant, None, Period { from, to }));
        assert_eq!(report.exit_code(), 3, "{report}");
        let kinds = kinds(&report);
        assert!(kinds.contains(&GapKind::Period) && kinds.contains(&GapKind::Silence), "{report}");
    }
}

#[test]
fn no_time_at_all_is_no_period() {
    let tenant = silent();
    let mut parts = tenant.parts(32, None);
    parts.period = Period { from: tenant.now, to: tenant.now };
    let refused = build(&parts).unwrap_err().to_string();
    assert!(refused.contains("period.to must be after period.from"), "{refused}");
    // What nobody would build may yet be written.
    let mut files = tenant.bundle().into_files();
    let mut manifest = control_plane::bundle::Manifest::parse(&files["manifest.json"]).unwrap();
    manifest.provider_says.period = parts.period;
    files.insert("manifest.json".into(), manifest.encode());
    let report = check(&tenant, &Bundle::new(files));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, "manifest.json").contains("period.to"), "{report}");
}

#[test]
fn the_period_of_a_packet_is_its_month() {
    let tenant = silent();
    let whole = november().until(tenant.now);
    let report = check(&tenant, &saying(&tenant, Some(november()), whole));
    assert_eq!(kinds(&report), [GapKind::Silence; 2], "{report}");
    for period in [
        Period { to: whole.to.minus(HOUR), ..whole },
        Period { from: tenant.now.minus(HOUR), ..whole },
        Period { to: november().end(), ..whole },
    ] {
        let report = check(&tenant, &saying(&tenant, Some(november()), period));
        assert_eq!(report.exit_code(), 1, "{report}");
        assert!(fault_in(&report, "manifest.json").contains("that of a packet of 2026-11"), "{report}");
    }
}

/// A packet that claims to be older than its records: the month would end before the silence.
#[test]
fn a_packet_dated_back_hides_nothing() {
    let tenant = silent();
    let mut parts = tenant.parts(32, Some(november()));
    parts.made_at = at("2026-11-03T08:00:00Z");
    parts.period = november().until(parts.made_at);
    let report = check(&tenant, &build(&parts).unwrap());
    assert_eq!(report.exit_code(), 3, "{report}");
    let kinds = kinds(&report);
    assert!(kinds.contains(&GapKind::Period) && kinds.contains(&GapKind::Silence), "{report}");
}

/// A log cut off before the silence, and its period with it: the files cannot tell, whoever knows the day can.
#[test]
fn an_auditor_may_ask_for_another_time() {
    let tenant = Tenant::genuine(1);
    let (bundle, trust, later) = (tenant.bundle(), tenant.trust(), tenant.now.plus(24 * HOUR));
    let said =
        |report: &Report| report.not_checked.iter().any(|line| line.contains("the provider's word; --from"));
    let ask = |from, to| verify_within(&bundle, Some(&trust), Asked { from, to, ..Asked::default() }, later);
    let report = ask(None, None);
    assert!(report.exit_code() == 0 && said(&report), "{report}");
    let report = ask(None, Some(later));
    assert_eq!((report.exit_code(), kinds(&report)), (3, vec![GapKind::Silence; 2]), "{report}");
    assert_eq!(report.period.to, later);
    // Only what was asked for, and then it is nobody's word but the auditor's.
    let report = ask(Some(tenant.now.minus(3 * HOUR)), Some(tenant.now));
    assert!(report.exit_code() == 0 && !said(&report), "{report}");
    let report = ask(Some(later), Some(later));
    assert_eq!((report.exit_code(), kinds(&report)), (3, vec![GapKind::Period]), "{report}");
}
