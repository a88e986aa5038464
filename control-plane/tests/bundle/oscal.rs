//! The exports in NIST's format: made from the bundle alone, the same to the byte, and saying what the scans say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use control_plane::{
    bundle::{
        Bundle, Manifest, Month,
        export::build,
        verify::{Status, facts},
    },
    oscal::{self, Export},
};
use proto::{
    act::Deed,
    digest::Digest,
    evidence::{Body, Standing},
};
use serde_json::Value;

use super::{
    check, fault_in, relisted,
    scans::{exception, name, scan},
    status_of,
    tenant::{HOUR, Tenant, at},
    with, without,
};

pub const CLAIM: &str = "(OSCAL)";
const TEXTS: &str = "exceptions that scans were judged with";

static TENANT: LazyLock<Tenant> = LazyLock::new(|| Tenant::scanned(1));
/// Without a packet, whose pages take longer to set than all else.
static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| TENANT.bundle());

fn november() -> Month {
    "2026-11".parse().unwrap()
}

pub fn packed(tenant: &Tenant) -> Bundle {
    build(&tenant.parts(tenant.evidence.len(), Some(november()))).unwrap()
}

pub fn place(export: Export) -> String {
    format!("oscal/{}", export.file())
}

fn json(bundle: &Bundle, export: Export) -> Value {
    serde_json::from_slice(&bundle.files()[&place(export)]).unwrap()
}

pub fn result(bundle: &Bundle) -> Value {
    json(bundle, Export::Results)["assessment-results"]["results"][0].clone()
}

pub fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// The one of a list whose title is, or begins with, this.
#[track_caller]
pub fn titled<'v>(list: &'v [Value], title: &str) -> &'v Value {
    let found: Vec<&Value> =
        list.iter().filter(|one| one["title"].as_str().unwrap().starts_with(title)).collect();
    assert_eq!(found.len(), 1, "{title}");
    found[0]
}

pub fn prop<'v>(value: &'v Value, name: &str) -> &'v str {
    let found = list(value, "props").iter().find(|prop| prop["name"] == name);
    found.map_or("", |prop| prop["value"].as_str().unwrap())
}

#[test]
fn a_bundle_carries_them_and_they_come_out_the_same_again() {
    let report = check(&TENANT, &*BUNDLE);
    assert_eq!((report.exit_code(), status_of(&report, CLAIM)), (0, Status::Proven), "{report}");
    assert_eq!(status_of(&report, TEXTS), Status::Proven, "{report}");
    assert_eq!(TENANT.bundle(), *BUNDLE);
    let made = oscal::build(&facts(&*BUNDLE).unwrap());
    assert_eq!(made.len(), Export::ALL.len());
    for (export, bytes) in made {
        assert_eq!(bytes, BUNDLE.files()[&place(export)], "{export:?}");
    }
}

#[test]
fn what_a_paragraph_comes_to_follows_from_every_control_that_cites_it() {
    let result = result(&BUNDLE);
    let findings = list(&result, "findings");
    let mut verdicts: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings {
        *verdicts.entry(finding["target"]["status"]["reason"].as_str().unwrap()).or_default() += 1;
    }
    // A box signed no scan at all: nothing is satisfied anywhere.
    assert!(!verdicts.contains_key("pass") && verdicts["other"] > 0 && verdicts["fail"] > 0, "{verdicts:?}");
    let drifted = baseline::Baseline::hipaa_v1().control("NXH-007".parse().unwrap()).unwrap();
    for citation in &drifted.hipaa {
        let finding = titled(findings, &format!("{} ", baseline::rule::short(citation)));
        let status = &finding["target"]["status"];
        assert_eq!((&status["state"], &status["reason"]), (&"not-satisfied".into(), &"fail".into()));
        let why = status["remarks"].as_str().unwrap();
        assert!(why.contains("drifted (NXH-007 on Front desk)"), "{why}");
        assert!(
            why.contains("could not be looked at (everything on Imaging")
                || why.contains("everything on Imaging"),
            "{why}"
        );
        assert!(!list(finding, "related-risks").is_empty());
    }
}

/// Without the box that signed none: the rest is judged by its scans.
#[test]
fn satisfied_is_said_where_everything_was_looked_at_and_right() {
    let mut tenant = Tenant::new(1, at("2026-11-02T06:00:00Z"));
    let n = tenant.enrol(false);
    tenant.heartbeat(n);
    tenant.scan(n, &[], None);
    tenant.wait(HOUR);
    let bundle = tenant.bundle();
    let made = result(&bundle);
    let findings = list(&made, "findings");
    assert!(
        findings.len() > 10 && findings.iter().all(|one| one["target"]["status"]["state"] == "satisfied")
    );
    assert!(!bundle.files().contains_key(&place(Export::Poam)), "OSCAL knows no empty plan");
    let report = check(&tenant, &bundle);
    assert_eq!((report.exit_code(), status_of(&report, CLAIM)), (0, Status::Proven), "{report}");
    let one_too_many = with(&bundle, &place(Export::Poam), BUNDLE.files()[&place(Export::Poam)].clone());
    let mut files = relisted(&one_too_many).into_files();
    let mut manifest = Manifest::parse(&files["manifest.json"]).unwrap();
    let line = manifest.files.iter_mut().find(|line| line.path == "oscal/poam.json").unwrap();
    line.proves = "nothing by itself: it is made again from the evidence".into();
    files.insert("manifest.json".into(), manifest.encode());
    let report = check(&tenant, &Bundle::new(files));
    assert!(fault_in(&report, "oscal/poam.json").contains("not the export"), "{report}");

    // One that could not look, or was excepted, or that the scan leaves out, and it is satisfied no more.
    for (standing, word) in [
        (Some(Standing::NotEvaluable), "could not be looked at"),
        (Some(Standing::Excepted), "excepted"),
        (None, "could not be looked at"),
    ] {
        let mut tenant = Tenant::new(1, at("2026-11-02T06:00:00Z"));
        let n = tenant.enrol(false);
        tenant.heartbeat(n);
        let odd: Vec<_> = standing.map(|standing| ("NXH-001", standing)).into_iter().collect();
        let mut looked = scan(&odd, None);
        if standing.is_none() {
            looked.findings.remove(&name("NXH-001"));
        }
        tenant.log(n, Body::Scan(looked));
        tenant.wait(HOUR);
        let made = result(&tenant.bundle());
        let status = titled(list(&made, "findings"), "164.312(e)(1) ")["target"]["status"].clone();
        assert_eq!((&status["state"], &status["reason"]), (&"not-satisfied".into(), &"other".into()));
        let why = status["remarks"].as_str().unwrap();
        assert!(why.contains(&format!("1 {word} (NXH-001 on Front desk)")), "{why}");
    }
}

#[test]
fn each_observation_names_the_files_that_prove_it() {
    let result = result(&BUNDLE);
    let observations = list(&result, "observations");
    assert_eq!(
        observations.len(),
        2 * 56 + 1,
        "each control on each box that looked, and the box that did not"
    );
    for observation in observations {
        assert_eq!(observation["methods"], serde_json::json!(["TEST"]));
        let unseen = observation["title"] == "No scan by Imaging";
        assert_eq!(list(observation, "relevant-evidence").is_empty(), unseen);
        for evidence in list(observation, "relevant-evidence") {
            let path = evidence["href"].as_str().unwrap().strip_prefix("../").unwrap();
            let bytes = BUNDLE.files().get(path).unwrap_or_else(|| panic!("{path} is not in the bundle"));
            assert_eq!(prop(evidence, "sha256"), Digest::of(bytes).to_string());
            if let Some(record) = path.strip_prefix("evidence/") {
                assert_eq!(
                    prop(evidence, "log-index").parse::<u64>().unwrap(),
                    record[..8].parse::<u64>().unwrap()
                );
                assert!(prop(evidence, "log-origin").contains("msp.example"));
            }
        }
    }
    let mended = titled(observations, "NXH-009 on Front desk");
    assert_eq!((prop(mended, "standing"), prop(mended, "changes")), ("compliant", "2"));
    let said: Vec<&str> =
        list(mended, "relevant-evidence").iter().map(|one| one["description"].as_str().unwrap()).collect();
    assert_eq!(
        said,
        [
            "Scan of 2026-11-12 06:00 UTC: compliant",
            "Scan of 2026-11-08 06:00 UTC: compliant",
            "Scan of 2026-11-05 06:00 UTC: drifted",
            "Scan of 2026-11-03 06:00 UTC: compliant",
        ]
    );
    let excepted = titled(observations, "NXH-028 on Server closet");
    let hrefs: Vec<&str> =
        list(excepted, "relevant-evidence").iter().map(|one| one["href"].as_str().unwrap()).collect();
    assert!(hrefs.iter().any(|href| href.starts_with("../exceptions/")), "{hrefs:?}");
}

#[test]
fn uuids_stand_once_and_references_lead_somewhere() {
    for export in Export::ALL {
        let document = json(&BUNDLE, export);
        let (mut own, mut referred) = (Vec::new(), Vec::new());
        uuids(&document, &mut own, &mut referred);
        let once: BTreeSet<&String> = own.iter().collect();
        assert_eq!(once.len(), own.len(), "{export:?}");
        for uuid in &referred {
            assert!(once.contains(uuid), "{export:?}: {uuid} leads nowhere");
        }
    }
}

fn uuids(value: &Value, own: &mut Vec<String>, referred: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(uuid) if key == "uuid" => own.push(uuid.clone()),
                    Value::String(uuid) if key.ends_with("-uuid") => referred.push(uuid.clone()),
                    other => uuids(other, own, referred),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| uuids(value, own, referred)),
        _ => {}
    }
}

#[test]
fn what_is_open_has_its_age_its_end_and_what_puts_it_right() {
    let poam = json(&BUNDLE, Export::Poam)["plan-of-action-and-milestones"].clone();
    let (items, risks) = (list(&poam, "poam-items"), list(&poam, "risks"));
    assert_eq!((items.len(), risks.len()), (4, 4), "drifted, excepted, not evaluable, not looked at");

    let drifted = titled(items, "Drifted: NXH-007 on Front desk");
    assert_eq!((prop(drifted, "open-since"), prop(drifted, "age-days")), ("2026-11-05T06:00:00.000Z", "7"));
    let risk = titled(risks, "Drifted: NXH-007");
    assert_eq!((&risk["status"], &risk["deadline"]), (&"open".into(), &Value::Null));
    assert!(!list(risk, "remediations").is_empty());

    let excepted = titled(risks, "Excepted: NXH-028 on Server closet");
    assert_eq!(excepted["status"], "deviation-approved");
    assert_eq!(excepted["deadline"], "2027-05-01T00:00:00.000Z");
    assert_eq!(excepted["statement"], "A host in the imaging network can talk to one socket of the box.");
    assert!(excepted["description"].as_str().unwrap().contains("nothing but \\*plain\\* TCP"), "{excepted}");
    assert!(list(excepted, "mitigating-factors")[0]["description"].as_str().unwrap().contains("one VLAN"));

    let blind = titled(risks, "Could not be looked at: NXH-012");
    assert_eq!(blind["status"], "investigating");
    assert_eq!(list(blind, "remediations")[0]["title"], "A person must see why", "not by a program");
    assert_eq!(titled(risks, "Not looked at: Imaging")["status"], "investigating");
    assert_eq!(
        json(&BUNDLE, Export::Poam)["plan-of-action-and-milestones"]["system-id"]["id"],
        TENANT.tenant.to_string()
    );
}

#[test]
fn a_risk_keeps_its_name_while_it_is_open_and_gets_another_when_it_opens_again() {
    let uuid = |bundle: &Bundle| {
        let made = result(bundle);
        titled(list(&made, "risks"), "Drifted: NXH-007")["uuid"].as_str().unwrap().to_owned()
    };
    let mut tenant = Tenant::scanned(1);
    let first = uuid(&tenant.bundle());
    // December: the same drift goes on.
    tenant.now = at("2026-12-03T06:00:00Z");
    tenant.scan(0, &[("NXH-007", Standing::Drifted)], None);
    tenant.wait(HOUR);
    let december = |tenant: &Tenant| {
        let mut parts = tenant.parts(tenant.evidence.len(), None);
        parts.period = "2026-12".parse::<Month>().unwrap().until(tenant.now);
        build(&parts).unwrap()
    };
    assert_eq!(uuid(&december(&tenant)), first);
    tenant.scan(0, &[], None);
    tenant.wait(HOUR);
    tenant.scan(0, &[("NXH-007", Standing::Drifted)], None);
    tenant.wait(HOUR);
    assert_ne!(uuid(&december(&tenant)), first);
}

#[test]
fn each_of_them_that_says_something_else_is_found() {
    for export in Export::ALL {
        let path = place(export);
        let text = String::from_utf8(BUNDLE.files()[&path].clone()).unwrap();
        let bent = match export {
            Export::Results => text.replacen("\"not-satisfied\"", "\"satisfied\"", 1),
            Export::Poam => text.replacen("2027-05-01", "2028-05-01", 1),
            _ => text.replacen("support", "suppose", 1),
        };
        assert_ne!(bent, text, "{path}");
        let report = check(&TENANT, &relisted(&with(&BUNDLE, &path, bent.into_bytes())));
        assert_eq!(report.exit_code(), 1, "{report}");
        assert_eq!(fault_in(&report, &path), "is not the export that this evidence gives");

        let report = check(&TENANT, &relisted(&without(&BUNDLE, &path)));
        assert_eq!((report.exit_code(), status_of(&report, CLAIM)), (3, Status::Missing), "{report}");
    }
}

#[test]
fn an_older_versions_bundle_without_any_of_them_is_none_the_worse() {
    let mut bundle = BUNDLE.clone();
    for export in Export::ALL {
        bundle = without(&bundle, &place(export));
    }
    let report = check(&TENANT, &relisted(&bundle));
    assert_eq!(report.exit_code(), 0, "{report}");
    assert!(!report.claims.iter().any(|claim| claim.claim.contains(CLAIM)));
}

#[test]
fn a_packets_month_counts_and_without_one_the_bundles_period() {
    let made = result(&BUNDLE);
    assert_eq!(made["start"], "2026-11-01T00:00:00.000Z");
    assert_eq!(made["end"], TENANT.now.to_string());
    assert_eq!(made["title"], "Scans of the baseline, 2026-11-01 00:00 to 2026-11-12 07:00 UTC");

    // Of an older month, made in a newer one: what came later is not in it.
    let mut tenant = Tenant::scanned(1);
    tenant.now = at("2026-12-03T06:00:00Z");
    tenant.scan(0, &[], None);
    let bundle = packed(&tenant);
    let made = result(&bundle);
    assert_eq!(
        (&made["end"], &made["title"]),
        (&"2026-12-01T00:00:00.000Z".into(), &"Scans of the baseline, November 2026".into())
    );
    let held = titled(list(&made, "observations"), "NXH-007 on Front desk");
    assert_eq!(prop(held, "since"), "2026-11-05T06:00:00.000Z");
    assert_eq!((prop(held, "standing"), &held["collected"]), ("drifted", &"2026-11-12T06:00:00.000Z".into()));
    assert_eq!(status_of(&check(&tenant, &bundle), CLAIM), Status::Proven);
}

#[test]
fn an_exception_is_in_the_bundle_in_the_words_that_were_approved() {
    let right = exception("NXH-028");
    let path = format!("exceptions/{}.json", right.digest());
    assert_eq!(BUNDLE.files()[&path], right.canonical());

    let report = check(&TENANT, &relisted(&without(&BUNDLE, &path)));
    assert_eq!((report.exit_code(), status_of(&report, TEXTS)), (1, Status::Missing), "{report}");
    assert!(report.to_string().contains("of NXH-028, which record"), "{report}");

    let another = exception("NXH-029");
    let path = format!("exceptions/{}.json", another.digest());
    let report = check(&TENANT, &relisted(&with(&BUNDLE, &path, another.canonical())));
    assert_eq!(fault_in(&report, &path), "no record names it");

    let path = format!("exceptions/{}.json", right.digest());
    let report = check(&TENANT, &relisted(&with(&BUNDLE, &path, another.canonical())));
    assert!(fault_in(&report, &path).contains("its name says otherwise"));
}

/// One that is baked into an image is known by its digest alone.
#[test]
fn an_exception_whose_text_is_not_here_is_said_to_be_so() {
    let mut tenant = Tenant::scanned(1);
    tenant.exceptions.clear();
    let bundle = tenant.bundle();
    let made = result(&bundle);
    let risk = titled(list(&made, "risks"), "Excepted: NXH-028");
    assert!(risk["description"].as_str().unwrap().contains("whose text is not here"), "{risk}");
    assert_eq!(risk["deadline"], Value::Null);
    let report = check(&tenant, &bundle);
    assert_eq!((report.exit_code(), status_of(&report, TEXTS)), (3, Status::Missing), "{report}");
    assert_eq!(status_of(&report, CLAIM), Status::Proven, "{report}");
}

#[test]
fn one_that_waives_another_control_than_the_scan_says_is_a_fault() {
    let mut tenant = Tenant::new(1, at("2026-11-02T06:00:00Z"));
    let n = tenant.enrol(false);
    tenant.heartbeat(n);
    let other = exception("NXH-029");
    tenant.exceptions.push(other.canonical());
    tenant.scan(n, &[("NXH-028", Standing::Excepted)], Some(other.digest()));
    tenant.wait(HOUR);
    let report = check(&tenant, &tenant.bundle());
    assert!(fault_in(&report, "exceptions/").contains("must be NXH-028"), "{report}");
}

/// A box that was taken out of use before the month says nothing of it, and nothing is missed.
#[test]
fn a_box_that_was_revoked_before_the_period_is_not_in_it() {
    let findings_without_a_look = |revoked: bool, speaks: bool| {
        let mut tenant = Tenant::new(1, at("2026-10-02T06:00:00Z"));
        let (old, n) = (tenant.enrol(false), tenant.enrol(false));
        tenant.heartbeat(old);
        if revoked {
            let deed = Deed::Revocation { appliance: tenant.boxes[old].id };
            let act = tenant.act(0, Digest::ZERO, deed).seal(&tenant.order_key).unwrap();
            tenant.evidence.push(act);
        }
        tenant.now = at("2026-11-02T06:00:00Z");
        tenant.scan(n, &[], None);
        if speaks {
            tenant.heartbeat(old);
        }
        tenant.wait(HOUR);
        let made = result(&tenant.bundle());
        let open = |one: &&Value| one["target"]["status"]["state"] == "not-satisfied";
        list(&made, "findings").iter().filter(open).count()
    };
    assert!(findings_without_a_look(false, false) > 10);
    assert_eq!(findings_without_a_look(true, false), 0);
    assert!(findings_without_a_look(true, true) > 10, "one that is not gone is looked for");
}
