//! Exceptions: all of it said, an end in sight, and a complaint that names the field.

use std::time::Duration;

use baseline::{BadSource, Exception};
use proto::time::Millis;

const FILE: &str = "NXH-053";
const GOOD: &str = concat!(
    r#"{"control":"NXH-053","reason":"Calibration.","risk":"A stick.","compensating":"In hand.","approver":"Lead","#,
    r#""issued":"2026-11-16T00:00:00.000Z","expires":"2026-12-01T00:00:00.000Z"}"#
);

fn at(text: &str) -> Millis {
    text.parse().expect("a time")
}

fn now() -> Millis {
    at("2026-11-20T00:00:00Z")
}

#[test]
fn a_good_one_reads_and_is_known_by_its_bytes() {
    let exception = Exception::from_json(GOOD.as_bytes(), FILE, now()).unwrap();
    assert_eq!(exception.canonical(), GOOD.as_bytes());
    assert_eq!(exception.control.to_string(), "NXH-053");
    assert_eq!(exception.digest(), proto::digest::Digest::of(GOOD.as_bytes()));
}

#[test]
fn what_must_not_be_is_refused_by_the_field() {
    for (from, to, key, right) in [
        (r#","expires":"2026-12-01T00:00:00.000Z""#, "", "expires", "must be present"),
        (r#""expires":"2026-12-01T00:00:00.000Z""#, r#""expires":null"#, "expires", "expected a string"),
        (r#""expires":"2026-12-01T00:00:00.000Z""#, r#""expires":"never""#, "expires", "must be RFC 3339"),
        ("2026-12-01", "2026-11-19", "expires", "is past"),
        ("2026-12-01T00:00:00.000Z", "2026-11-20T00:00:00.000Z", "expires", "is past"),
        ("2026-12-01", "2026-11-16", "expires", "must be after issued"),
        ("2026-12-01", "2027-11-17", "expires", "must be at most 365 days after issued: 2027-11-16"),
        ("2026-11-16", "2026-11-21", "issued", "must not be after now"),
        (r#""risk":"A stick.","#, "", "risk", "must be present"),
        (r#""risk":"A stick.""#, r#""risk":"""#, "risk", "must not be empty"),
        (r#""compensating":"In hand.","#, "", "compensating", "must be present"),
        (r#""approver":"Lead","#, "", "approver", "must be present"),
        (r#""reason":"Calibration.","#, "", "reason", "must be present"),
        ("NXH-053", "NXH-53", "control", "must look like NXH-007"),
        (
            r#"{"control""#,
            r#"{"scope":"all","control""#,
            "scope",
            "is no key; keys are: control, reason, risk",
        ),
        (r#""risk":"#, r#""risk": "#, "json", "must be canonical"),
        (r#""risk":"A stick.""#, r#""risk":"None.","risk":"A stick.""#, "json", "must be canonical"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        let BadSource { file, key: named, problem } =
            Exception::from_json(text.as_bytes(), FILE, now()).expect_err(to);
        assert_eq!((file.as_str(), named.as_str()), (FILE, key), "{problem}");
        assert!(problem.contains(right), "{problem}, not {right}");
    }
    let refused = Exception::from_json(b"[]", FILE, now()).unwrap_err();
    assert_eq!(refused.to_string(), "NXH-053: document: must be a map of keys");
}

#[test]
fn it_holds_from_its_first_moment_until_just_before_its_end_and_a_year_is_the_most() {
    let exception = Exception::from_json(GOOD.as_bytes(), FILE, now()).unwrap();
    let moment = Duration::from_millis(1);
    for (when, holds) in [
        (exception.issued.minus(moment), false),
        (exception.issued, true),
        (exception.expires.minus(moment), true),
        (exception.expires, false),
    ] {
        assert_eq!(exception.holds(when).is_ok(), holds, "{when}");
    }
    let year = exception.issued.plus(Duration::from_secs(365 * 24 * 3600));
    assert!(Exception { expires: year, ..exception.clone() }.check().is_ok());
    assert!(Exception { expires: year.plus(moment), ..exception }.check().is_err());
}

#[cfg(feature = "yaml")]
#[test]
fn the_examples_are_exceptions_named_after_their_control() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("exceptions/examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let exception = baseline::yaml::exception(&text, &file, now()).unwrap();
        assert_eq!(file, format!("{}.yaml", exception.control));
        assert!(baseline::Baseline::hipaa_v1().control(exception.control).is_some());
        let endless: String =
            text.lines().filter(|line| !line.starts_with("expires:")).map(|l| format!("{l}\n")).collect();
        let refused = baseline::yaml::exception(&endless, &file, now()).unwrap_err();
        assert_eq!(refused.to_string(), format!("{file}: expires: must be present"));
        seen += 1;
    }
    assert!(seen >= 2);
}

#[test]
fn one_for_an_image_may_be_laid_out_as_one_likes_and_needs_all_the_same() {
    let indented = GOOD.replace(',', ",\n  ").replacen('{', "{ ", 1);
    let exception = Exception::of_image(indented.as_bytes(), FILE).unwrap();
    assert_eq!(exception.canonical(), GOOD.as_bytes());
    for (from, to, right) in [
        (r#","expires":"2026-12-01T00:00:00.000Z""#, "", "missing field `expires`"),
        (r#""risk":"A stick.""#, r#""risk":"""#, "risk"),
        (r#""risk":"A stick.""#, r#""risk":"None.","risk":"A stick.""#, "duplicate field `risk`"),
        (r#"{"control""#, r#"{"scope":"all","control""#, "unknown field `scope`"),
        ("2026-12-01", "2027-11-17", "at most 365 days"),
        ("NXH-053", "NXH-900", "which the baseline does not have"),
    ] {
        let refused = Exception::of_image(GOOD.replacen(from, to, 1).as_bytes(), FILE).expect_err(to);
        let said = refused.to_string();
        assert!(said.contains(FILE) && said.contains(right), "{said}");
    }
    let past = GOOD.replace("2026", "2020").replace("2020-12-01", "2020-11-30");
    assert!(Exception::of_image(past.as_bytes(), FILE).is_ok(), "at its start, a box does not know the time");
}

#[test]
fn one_of_a_document_is_canonical_and_for_the_control_that_names_it() {
    assert!(Exception::of_document(GOOD.as_bytes(), "NXH-053").is_ok());
    let field = |content: &str, name| Exception::of_document(content.as_bytes(), name).unwrap_err().field;
    assert_eq!(field(GOOD, "NXH-054"), "content.control");
    assert_eq!(field(&GOOD.replace(':', ": "), "NXH-053"), "content");
    assert_eq!(field(&GOOD.replace("2026-12-01", "2027-11-17"), "NXH-053"), "content.expires");
    assert_eq!(field("", "NXH-053"), "content");
}
