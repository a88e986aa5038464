//! What strangers can write: nothing of it makes the verifier panic, loop or take more than its bounds.

use std::sync::LazyLock;

use control_plane::bundle::{
    Bundle, FILE_MAX, GapKind,
    verify::{Status, verify},
};
use proptest::prelude::*;
use proto::{
    evidence::{Beats, Body, Heartbeat},
    log::{Checkpoint, Hash, Head, log_origin},
    time::Millis,
};

use super::{
    check, fault_in, relisted, status_of,
    tenant::{ORGANIZATION, Tenant, at},
    with, without,
};

static TENANT: LazyLock<Tenant> = LazyLock::new(|| Tenant::genuine(1));
static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| TENANT.bundle());

fn heartbeat(tenant: &Tenant) -> Heartbeat {
    let Body::Heartbeat(beat) = proto::evidence::peek(&tenant.evidence[29]).unwrap().body else { panic!() };
    beat
}

#[test]
fn nothing_at_all_is_not_sound() {
    for trust in [None, Some(&TENANT.trust())] {
        let report = verify(&Bundle::default(), trust, TENANT.now);
        assert_eq!(report.exit_code(), 3, "{report}");
        assert!(report.claims.iter().all(|claim| claim.status != Status::Proven), "{report}");
    }
}

#[test]
fn a_checkpoint_over_more_than_there_is() {
    for size in [31, 5_000_000, u64::MAX] {
        let head = Head { size, root: Hash([7; 32]) };
        let note =
            Checkpoint::new(&log_origin(ORGANIZATION, TENANT.tenant), head).sign(&TENANT.log_key).unwrap();
        let report = check(&TENANT, &relisted(&with(&BUNDLE, "log/checkpoint", note.note().into())));
        assert_eq!(report.exit_code(), 1, "proofs and tiles are of another log:\n{report}");
        assert_eq!(report.gaps[0].kind, GapKind::NotInBundle, "{report}");
        assert_ne!(status_of(&report, "root follows"), Status::Proven, "{report}");
    }
}

#[test]
fn a_checkpoint_over_something_else() {
    let head = Head { size: 30, root: Hash([7; 32]) };
    let note = Checkpoint::new(&log_origin(ORGANIZATION, TENANT.tenant), head).sign(&TENANT.log_key).unwrap();
    let report = check(&TENANT, &relisted(&with(&BUNDLE, "log/checkpoint", note.note().into())));
    assert!(fault_in(&report, "log/checkpoint").contains("the records give"), "{report}");
    assert_eq!(status_of(&report, "root follows"), Status::NotProven, "{report}");
}

#[test]
fn an_executor_that_says_the_most_it_can() {
    let mut tenant = Tenant::genuine(1);
    let most = Beats {
        made: u64::MAX,
        every_ms: 1,
        longest_ms: u64::MAX,
        longest_ago_ms: u64::MAX,
        boots: u64::MAX,
        off_ms: u64::MAX,
        clock_steps: u64::MAX,
        no_room_ms: u64::MAX,
    };
    let beat = Heartbeat {
        every_ms: u64::MAX,
        up_ms: u64::MAX,
        refusals_not_signed: u64::MAX,
        beats: Some(most),
        ..heartbeat(&tenant)
    };
    for now in ["-009998-01-01T00:00:00Z", "9999-12-30T00:00:00Z", "2026-11-03T19:00:00Z"] {
        tenant.now = at(now);
        tenant.log(0, Body::Heartbeat(beat.clone()));
        tenant.log(1, Body::Heartbeat(beat.clone()));
    }
    let mut parts = tenant.parts(36, Some("2026-11".parse().unwrap()));
    parts.made_at = at("2026-11-03T20:00:00Z");
    parts.period = parts.packet.unwrap().until(parts.made_at);
    let bundle = control_plane::bundle::export::build(&parts).unwrap();
    let report = verify(&bundle, Some(&tenant.trust()), parts.made_at);
    assert_eq!(report.exit_code(), 3, "{report}");
    assert!(report.gaps.iter().any(|gap| gap.kind == GapKind::Clock), "{report}");
}

#[test]
fn a_promise_of_years_is_none() {
    let mut tenant = Tenant::genuine(1);
    let beat = Heartbeat { every_ms: u64::MAX, ..heartbeat(&tenant) };
    for n in [0, 1] {
        tenant.log(n, Body::Heartbeat(beat.clone()));
    }
    tenant.now = at("2026-11-30T00:00:00Z");
    let report = check(&tenant, &tenant.bundle());
    assert_eq!(report.gaps.len(), 2, "{report}");
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let big = vec![0; usize::try_from(FILE_MAX).unwrap() + 1];
    let report = check(&TENANT, &with(&BUNDLE, "log/checkpoint", big));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, "log/checkpoint").contains("at most"), "{report}");
}

#[test]
fn an_index_without_end_is_not_read() {
    let lines = "{\"path\":\"x\",\"bytes\":1,\"sha256\":\"\",\"proves\":\"\"},".repeat(900_000);
    let report =
        check(&TENANT, &with(&BUNDLE, "manifest.json", format!("{{\"files\":[{lines}").into_bytes()));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, "manifest.json").contains("at most 33554432 bytes"), "{report}");
}

#[test]
fn more_records_than_any_log_that_is_verified_are_not_read() {
    let mut files = BUNDLE.files().clone();
    let most = control_plane::bundle::bounds::ENTRIES_MAX;
    for index in 1..=most.div_ceil(256) {
        files.insert(format!("log/{}", proto::log::Bundle::new(index, 256).unwrap()), Vec::new());
    }
    let report = check(&TENANT, &relisted(&Bundle::new(files)));
    assert_eq!(report.exit_code(), 1, "{report}");
    let problem = fault_in(&report, "log/tile/entries/");
    assert!(problem.starts_with("must hold at most 4000000 records"), "{problem}");
}

#[test]
fn papers_without_number_are_not_held_against_one_another() {
    let mut files = BUNDLE.files().clone();
    for number in 2..1000 {
        files.insert(format!("charter/{number}.json"), files["charter/1.json"].clone());
        files.insert(format!("catalogue/{number}.json"), files["catalogue/1.json"].clone());
    }
    let report = check(&TENANT, &Bundle::new(files));
    assert_eq!(report.exit_code(), 1, "{report}");
    for folder in ["charter/", "catalogue/"] {
        let fault = report.faults.iter().find(|fault| fault.file == folder).unwrap();
        assert_eq!(fault.problem, "must hold at most 256 files, has 999");
    }
}

#[test]
fn json_without_end_or_bottom() {
    let deep = "[".repeat(1_000_000).into_bytes();
    let wide = format!(
        "{{\"payload\":\"\",\"payloadType\":\"\",\"signatures\":[{}]}}",
        vec!["{\"sig\":\"\"}"; 50_000].join(",")
    );
    for bytes in [deep, wide.into_bytes()] {
        for place in
            ["manifest.json", "charter/1.json", "catalogue/1.json", "appliances/", "orders/", "evidence/"]
        {
            let path = BUNDLE.files().keys().find(|path| path.starts_with(place)).unwrap();
            assert_eq!(check(&TENANT, &with(&BUNDLE, path, bytes.clone())).exit_code(), 1, "{path}");
            assert!(verify(&with(&BUNDLE, path, bytes.clone()), None, TENANT.now).exit_code() == 1, "{path}");
        }
    }
}

#[test]
fn a_report_of_a_strangers_words_fits_a_terminal() {
    let path = "evidence/\u{1b}[2J\u{202e}.json";
    let report = check(&TENANT, &relisted(&with(&BUNDLE, path, b"{\"\x1b[31m\":1}".to_vec())));
    assert_eq!(report.exit_code(), 1);
    assert!(!report.to_string().contains(['\u{1b}', '\u{202e}']), "{report:?}");

    let mut parts = TENANT.parts(30, None);
    parts.clinic = "\u{202e}evil".into();
    parts.appliance_names.values_mut().for_each(|name| *name = "\u{2066}evil".into());
    let report = check(&TENANT, &control_plane::bundle::export::build(&parts).unwrap());
    assert_eq!(report.exit_code(), 0, "{report}");
    assert!(!report.to_string().contains(['\u{202e}', '\u{2066}']), "{report:?}");
}

#[test]
fn a_time_that_no_calendar_has() {
    let manifest = String::from_utf8(without(&BUNDLE, "log/vkey").files()["manifest.json"].clone()).unwrap();
    let from = format!("\"made_at\": \"{}\"", TENANT.now);
    assert!(manifest.contains(&from));
    let report = check(
        &TENANT,
        &with(&BUNDLE, "manifest.json", manifest.replace(&from, "\"made_at\": 7").into_bytes()),
    );
    assert_eq!(report.exit_code(), 1, "{report}");
    let report = verify(&*BUNDLE, Some(&TENANT.trust()), Millis(i64::MIN));
    assert_eq!(report.exit_code(), 3, "{report}");
    assert_eq!(verify(&*BUNDLE, Some(&TENANT.trust()), Millis(i64::MAX)).exit_code(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_file(file in any::<prop::sample::Index>(), bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let path = BUNDLE.files().keys().nth(file.index(BUNDLE.files().len())).unwrap();
        let changed = with(&BUNDLE, path, bytes);
        prop_assert_eq!(check(&TENANT, &changed).exit_code(), 1);
        let _ = verify(&changed, None, TENANT.now).to_string();
        if path != "manifest.json" {
            prop_assert_ne!(check(&TENANT, &relisted(&changed)).exit_code(), 0);
        }
    }
}
