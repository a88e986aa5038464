//! The baseline that ships: complete, in order, and every control can be judged each way.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use baseline::{
    Area, Baseline, BaselineError, Binding, Blind, Control, HIPAA_V1, Looked, Predicate, Probe, Reading,
    Repair, Verdict, control::Setting, judge, judge_all, rule,
};
use proto::{
    charter::{Charter, Quorum},
    digest::Digest,
    keys::SecretKey,
    time::Millis,
};

fn hipaa() -> &'static Baseline {
    Baseline::hipaa_v1()
}

/// The readings that lack one field.
fn incomplete(control: &Control) -> Vec<(String, Reading)> {
    let drop = |field: &String| {
        let mut reading = support::as_expected(control);
        reading.remove(field);
        (field.clone(), reading)
    };
    control.expect.0.keys().map(drop).collect()
}

#[test]
fn ids_rise_without_holes_and_find_their_control() {
    for (at, control) in hipaa().controls.iter().enumerate() {
        assert_eq!(usize::from(control.id.number()), at + 1, "{}", control.id);
        assert_eq!(hipaa().control(control.id), Some(control));
    }
    assert!(hipaa().controls.len() >= 36, "has {}", hipaa().controls.len());
    assert_eq!(hipaa().control("NXH-999".parse().unwrap()), None);
}

#[test]
fn every_area_has_at_least_three_controls_and_titles_differ() {
    for area in Area::ALL {
        let count = hipaa().controls.iter().filter(|control| control.area == *area).count();
        assert!(count >= 3, "{area} has {count}");
    }
    let titles: BTreeSet<&str> = hipaa().controls.iter().map(|control| control.title.as_str()).collect();
    assert_eq!(titles.len(), hipaa().controls.len());
}

#[test]
fn every_citation_is_a_paragraph_of_the_rule() {
    for control in &hipaa().controls {
        for citation in &control.hipaa {
            assert!(rule::lookup(citation).is_some(), "{}: {citation}", control.id);
            assert!(citation.starts_with("45 CFR 164."), "{}: {citation}", control.id);
        }
    }
}

#[test]
fn every_control_is_compliant_as_expected_drifted_when_changed_and_not_evaluable_when_unseen() {
    for control in &hipaa().controls {
        let verdict = |looked: &Looked| judge(control, looked, &[], Millis(0));
        let expected = support::as_expected(control);
        let seen = verdict(&Looked::Saw(expected.clone()));
        assert_eq!((seen.verdict, seen.reading), (Verdict::Compliant, Some(expected)), "{}", control.id);
        let changes = support::drifted(control);
        assert_eq!(changes.len(), control.expect.0.len());
        for (field, reading) in changes {
            let seen = verdict(&Looked::Saw(reading.clone()));
            assert_eq!(seen.verdict, Verdict::Drifted, "{} {field}", control.id);
            assert_eq!((seen.fields, seen.reading), (vec![field], Some(reading)), "{}", control.id);
        }
        for (field, reading) in incomplete(control) {
            let seen = verdict(&Looked::Saw(reading));
            assert_eq!(seen.verdict, Verdict::NotEvaluable, "{} without {field}", control.id);
            assert_eq!((seen.blind, seen.fields), (Some(Blind::Incomplete), vec![field]), "{}", control.id);
        }
        for blind in Blind::ALL {
            let seen = verdict(&Looked::Blind(*blind));
            assert_eq!((seen.verdict, seen.blind), (Verdict::NotEvaluable, Some(*blind)), "{}", control.id);
        }
    }
}

#[test]
fn controls_with_equal_probes_share_one_look() {
    let probes = hipaa().probes();
    assert!(probes.len() < hipaa().controls.len(), "some are shared");
    let served: usize = probes.values().map(Vec::len).sum();
    assert_eq!(served, hipaa().controls.len());
    // One expectation for each probe, unless it is on other fields: two that contradict could never both hold.
    for (probe, ids) in probes {
        let mut seen: BTreeMap<&str, &Predicate> = BTreeMap::new();
        for id in ids {
            for (field, predicate) in &hipaa().control(id).unwrap().expect.0 {
                let before = seen.insert(field, predicate);
                assert!(before.is_none_or(|before| before == predicate), "{id}: {field} of {}", probe.name());
            }
        }
    }
}

/// What sets the controls must fit into one configuration.
#[test]
fn controls_that_force_the_same_option_force_the_same_value() {
    let mut forced = BTreeMap::new();
    for control in &hipaa().controls {
        let nixos = &control.nixos;
        let before = forced.insert(&nixos.option, (nixos.set, &nixos.value));
        if let Some((set, value)) = before {
            assert_eq!(set, nixos.set, "{}: {} is forced and added to", control.id, nixos.option);
            let agree = *value == nixos.value || set == Setting::Add;
            assert!(agree, "{}: {} is forced to two values", control.id, nixos.option);
        }
    }
}

#[test]
fn a_scan_judges_every_control_and_what_nobody_saw_is_not_evaluable() {
    let nothing = judge_all(hipaa(), &BTreeMap::new(), &[], Millis(0));
    assert_eq!(nothing.len(), hipaa().controls.len());
    assert!(nothing.iter().all(|f| f.verdict == Verdict::NotEvaluable && f.blind == Some(Blind::NotLooked)));

    let mut looked: BTreeMap<Probe, Looked> = BTreeMap::new();
    for control in &hipaa().controls {
        let Looked::Saw(reading) =
            looked.entry(control.probe.clone()).or_insert_with(|| Looked::Saw(Reading::new()))
        else {
            panic!("only readings here")
        };
        reading.extend(support::as_expected(control));
    }
    let all = judge_all(hipaa(), &looked, &[], Millis(0));
    for finding in &all {
        assert_eq!(finding.verdict, Verdict::Compliant, "{}: {:?}", finding.control, finding.fields);
    }
    let names: Vec<_> = all.iter().map(|finding| finding.control).collect();
    assert_eq!(names, hipaa().controls.iter().map(|control| control.id).collect::<Vec<_>>());
}

/// A sum of what is promised elsewhere: repairs exist for most, and whoever has none says why.
#[test]
fn most_controls_are_repaired_by_a_runbook() {
    let by_hand = hipaa().controls.iter().filter(|c| matches!(c.repair, Repair::None { .. })).count();
    assert!(by_hand * 4 <= hipaa().controls.len(), "{by_hand} wait for a person");
    let addressable = hipaa().controls.iter().filter(|c| c.required == Binding::Addressable).count();
    assert!((1..hipaa().controls.len()).contains(&addressable));
}

/// All of evidence fits into a record: a finding for every control, with readings, is far below 60 KB.
#[test]
fn the_findings_of_a_scan_fit_into_one_record() {
    let findings: Vec<_> = hipaa()
        .controls
        .iter()
        .map(|control| judge(control, &Looked::Saw(support::as_expected(control)), &[], Millis(0)))
        .collect();
    let size = serde_json::to_vec(&findings).unwrap().len();
    assert!(size * 2 < proto::EVIDENCE_MAX, "{size} bytes");
}

fn changed(from: &str, to: &str) -> String {
    assert!(HIPAA_V1.contains(from), "{from}");
    let json = HIPAA_V1.replacen(from, to, 1);
    Baseline::parse(json.as_bytes()).expect_err(to).to_string()
}

#[test]
fn what_is_not_canonical_or_must_not_be_is_refused_and_named() {
    for (from, to, right) in [
        (r#"{"spec":1"#, r#"{"spec":2"#, "spec must be 1, is 2"),
        (r#"{"spec":1"#, r#"{ "spec":1"#, "json must be canonical"),
        (r#"{"spec":1"#, r#"{"more":1,"spec":1"#, "unknown field `more`"),
        (r#""version":1"#, r#""version":0"#, "version must be at least 1"),
        (r#""id":"NXH-002""#, r#""id":"NXH-003""#, "controls[1].id is NXH-003, must be NXH-002"),
        (r#""id":"NXH-001""#, r#""shell":"id","id":"NXH-001""#, "unknown field `shell`"),
        (r#""read":"users""#, r#""read":"shell""#, "unknown variant `shell`"),
        (
            r#""keyword":"passwordauthentication""#,
            r#""keyword":"macs""#,
            "NXH-002.expect.value does not fit its field",
        ),
        (r#""45 CFR 164.312(a)(1)""#, r#""45 CFR 164.312(a)(9)""#, "NXH-001.hipaa[0] must be a paragraph of"),
        (r#""45 CFR 164.312(a)(1)""#, r#""164.312(a)(1)""#, "NXH-001.hipaa[0] must be a paragraph of"),
        (r#""AC-17""#, r#""AC-017""#, "NXH-001.nist[0] must look like AC-17"),
        (r#""V-268137""#, r#""V-1""#, "NXH-004.stig.id must look like V-268137"),
        (r#""required":"required""#, r#""required":"addressable""#, "NXH-001.required must be required"),
        (r#""required":"addressable""#, r#""required":"required""#, "NXH-007.required must be addressable"),
        (r#""severity":"high""#, r#""severity":"grave""#, "must be one of: low, medium, high, critical"),
        (
            r#""by":"stop","unit":"sshd.service""#,
            r#""by":"sysctl""#,
            "NXH-001.repair must fit the probe: a sysctl",
        ),
        (r#""runbook":"RB-TIME-001""#, r#""runbook":"RB-DISK-001""#, "unknown variant `RB-DISK-001`"),
        (r#""runbook":"RB-TIME-001""#, r#""runbook":"RB-BACKUP-001""#, "NXH-034.repair must fit the probe"),
        (
            r#""file":"logind.conf","key":"StopIdleSessionSec""#,
            r#""file":"nix.conf","key":"StopIdleSessionSec""#,
            "NXH-015.probe.key is of logind.conf, not of nix.conf",
        ),
    ] {
        let text = changed(from, to);
        assert!(text.contains(right), "{text}, not {right}");
    }
    assert!(matches!(Baseline::parse(b"not json"), Err(BaselineError::Content(_))));
}

#[test]
fn a_baseline_is_known_by_its_bytes_and_opened_with_two_release_keys() {
    assert_eq!(hipaa().canonical(), HIPAA_V1.as_bytes());
    assert_eq!(hipaa().digest(), Digest::of(HIPAA_V1.as_bytes()));
    let key = |n: u8| SecretKey::ed25519([n; 32]);
    let charter = Charter {
        organization: "msp.example".into(),
        serial: 1,
        issued: Millis(0),
        not_after: Millis(1_000_000),
        order_keys: [key(1).public()].into(),
        log_keys: [key(2).public()].into(),
        release_keys: Quorum { threshold: 2, keys: (10..13).map(|n| key(n).public()).collect() },
        certificate_authorities: Vec::new(),
        witnesses: Vec::new(),
        witness_quorum: None,
        approvers: Vec::new(),
    };
    let opens = |keys: &[&SecretKey]| Baseline::open(&hipaa().seal(keys), &charter);
    assert_eq!(opens(&[&key(10), &key(12)]).unwrap().value(), hipaa());
    assert!(matches!(opens(&[&key(10)]), Err(BaselineError::Signature(_))));
    assert!(matches!(opens(&[&key(10), &key(1)]), Err(BaselineError::Signature(_))));
}
