//! The verdict as a function: exceptions, readings that must not be kept, and properties over any reading at all.

mod support;

use std::time::Duration;

use baseline::{
    Baseline, Blind, Control, Exception, Finding, Kind, Looked, Met, Reading, ReadingValue, Verdict, Word,
    judge,
};
use proptest::prelude::*;
use proto::time::Millis;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn control(id: &str) -> &'static Control {
    Baseline::hipaa_v1().control(id.parse().expect("a name")).expect("a control")
}

fn exception(id: &str) -> Exception {
    Exception {
        control: id.parse().expect("a name"),
        reason: "It must be.".into(),
        risk: "Something.".into(),
        compensating: "Something else.".into(),
        approver: "Somebody".into(),
        issued: Millis(0),
        expires: Millis(0).plus(30 * DAY),
    }
}

#[test]
fn an_exception_waives_its_control_while_it_is_in_force_and_nothing_else() {
    let control = control("NXH-030");
    let (good, bad) = (support::as_expected(control), support::drifted(control).remove(0).1);
    let now = Millis(0).plus(DAY);
    let verdict = |looked: &Looked, exceptions: &[Exception], now| judge(control, looked, exceptions, now);
    let waived = exception("NXH-030");
    let longer = Exception { expires: Millis(0).plus(366 * DAY), ..waived.clone() };

    let excepted = verdict(&Looked::Saw(bad.clone()), &[exception("NXH-031"), waived.clone()], now);
    assert_eq!((excepted.verdict, excepted.exception), (Verdict::Excepted, Some(waived.digest())));
    assert_eq!((excepted.reading, excepted.fields), (Some(bad.clone()), vec!["value".to_owned()]));

    for (case, looked, exceptions, now, expected) in [
        ("none", Looked::Saw(bad.clone()), vec![], now, Verdict::Drifted),
        ("another's", Looked::Saw(bad.clone()), vec![exception("NXH-031")], now, Verdict::Drifted),
        ("at its end", Looked::Saw(bad.clone()), vec![waived.clone()], waived.expires, Verdict::Drifted),
        ("before its time", Looked::Saw(bad.clone()), vec![waived.clone()], Millis(-1), Verdict::Drifted),
        ("for too long", Looked::Saw(bad.clone()), vec![longer], now, Verdict::Drifted),
        ("not needed", Looked::Saw(good), vec![waived.clone()], now, Verdict::Compliant),
        ("unseen", Looked::Blind(Blind::Denied), vec![waived.clone()], now, Verdict::NotEvaluable),
        ("incomplete", Looked::Saw(Reading::new()), vec![waived], now, Verdict::NotEvaluable),
    ] {
        let finding = verdict(&looked, &exceptions, now);
        assert_eq!((finding.verdict, finding.exception), (expected, None), "{case}");
    }
}

#[test]
fn a_reading_that_its_probe_cannot_yield_is_not_believed_and_not_kept() {
    let control = control("NXH-014");
    for (field, value) in [
        ("path", ReadingValue::Number(1)),
        ("miller", ReadingValue::Flag(true)),
        ("owner", support::word("miller").into()),
        ("mode", support::word("miller").into()),
        ("exists", ReadingValue::Number(1)),
    ] {
        let mut reading = support::as_expected(control);
        reading.insert(field.into(), value);
        let finding = judge(control, &Looked::Saw(reading), &[], Millis(0));
        assert_eq!(
            (finding.verdict, finding.blind),
            (Verdict::NotEvaluable, Some(Blind::Undeclared)),
            "{field}"
        );
        assert!(!serde_json::to_string(&finding).unwrap().contains("miller"), "{field}");
    }
}

#[test]
fn a_finding_is_strict_json() {
    let finding = judge(control("NXH-054"), &Looked::Saw(Reading::new()), &[], Millis(0));
    let json = serde_json::to_string(&finding).unwrap();
    assert_eq!(
        json,
        r#"{"control":"NXH-054","verdict":"not-evaluable","reading":{},"fields":["mounted","options"],"blind":"incomplete","exception":null}"#
    );
    assert_eq!(serde_json::from_str::<Finding>(&json).unwrap(), finding);
    assert!(serde_json::from_str::<Finding>(&json.replacen('{', r#"{"note":"x","#, 1)).is_err());
}

fn value(kind: Kind) -> BoxedStrategy<ReadingValue> {
    let pick = |words: &'static [&'static str]| {
        proptest::sample::select([words, &["other"][..]].concat()).prop_map(support::word)
    };
    match kind {
        Kind::Flag => any::<bool>().prop_map(ReadingValue::from).boxed(),
        Kind::Number => prop_oneof![-2_i64..4, any::<i64>()].prop_map(ReadingValue::from).boxed(),
        Kind::Mode => (0_u32..0o10000).prop_map(|bits| Word::mode(bits).into()).boxed(),
        Kind::Word(words) => pick(words).prop_map(ReadingValue::from).boxed(),
        Kind::Words(words) => proptest::collection::btree_set(pick(words), 0..=words.len())
            .prop_map(ReadingValue::Words)
            .boxed(),
    }
}

/// Any control, and any reading that its probe may yield, with any fields missing.
fn seen() -> impl Strategy<Value = (&'static Control, Reading)> {
    proptest::sample::select(Baseline::hipaa_v1().controls.iter().collect::<Vec<_>>()).prop_flat_map(
        |control| {
            let fields: Vec<_> = control
                .probe
                .fields()
                .iter()
                .map(|(name, kind)| (Just((*name).to_owned()), proptest::option::weighted(0.8, value(*kind))))
                .collect();
            let reading = fields.prop_map(|fields| {
                fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect::<Reading>()
            });
            (Just(control), reading)
        },
    )
}

proptest! {
    #[test]
    fn compliant_means_that_every_expected_field_was_seen_and_holds((control, reading) in seen()) {
        let finding = judge(control, &Looked::Saw(reading.clone()), &[], Millis(0));
        let all = control.expect.0.iter().all(|(field, p)| reading.get(field).is_some_and(|v| p.holds(v)));
        let wrong = control.expect.0.iter().any(|(field, p)| reading.get(field).is_some_and(|v| !p.holds(v)));
        prop_assert_eq!(finding.verdict == Verdict::Compliant, all);
        prop_assert_eq!(finding.verdict == Verdict::Drifted, wrong);
        prop_assert_eq!(finding.verdict == Verdict::NotEvaluable, !all && !wrong);
        prop_assert_eq!(finding.fields.is_empty(), all);
        prop_assert_eq!(finding.reading.as_ref(), Some(&reading));
    }

    #[test]
    fn an_exception_changes_drifted_into_excepted_and_no_other_verdict((control, reading) in seen()) {
        let looked = Looked::Saw(reading);
        let waived = Exception { control: control.id, ..exception("NXH-001") };
        let (without, with) =
            (judge(control, &looked, &[], Millis(0)), judge(control, &looked, &[waived], Millis(0)));
        let expected =
            if without.verdict == Verdict::Drifted { Verdict::Excepted } else { without.verdict };
        prop_assert_eq!(with.verdict, expected);
        prop_assert_eq!((with.reading, with.fields, with.blind), (without.reading, without.fields, without.blind));
    }

    #[test]
    fn to_see_less_never_makes_it_compliant((control, reading) in seen(), at in any::<prop::sample::Index>()) {
        prop_assume!(!reading.is_empty());
        let mut less = reading.clone();
        let field = at.get(&reading.keys().collect::<Vec<_>>()).to_string();
        less.remove(&field);
        if control.expect.met(&less) == Met::All {
            prop_assert_eq!(control.expect.met(&reading) == Met::All, !control.expect.0.contains_key(&field));
        }
    }

    #[test]
    fn findings_read_back_as_they_were_written((control, reading) in seen()) {
        let finding = judge(control, &Looked::Saw(reading), &[], Millis(0));
        let json = serde_json::to_string(&finding).unwrap();
        prop_assert_eq!(serde_json::from_str::<Finding>(&json).unwrap(), finding);
    }
}
