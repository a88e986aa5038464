//! Exports held against readers that are none of ours: NIST's schemas, and compliance-trestle, which is stricter.

use std::{fs, path::PathBuf, process::Command};

use control_plane::{bundle::Bundle, oscal::Export};
use proto::evidence::Standing;

use super::{
    oscal::{packed, place},
    tenant::{HOUR, Tenant, at},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What both say of some files; `None`: they are not on this machine, which is a failure in CI.
fn peers(files: &[(String, Vec<u8>)]) -> Option<(bool, String)> {
    let python = root().join("target/peers-venv/bin/python");
    if !python.exists() {
        assert!(std::env::var_os("CI").is_none(), "{} is missing: run `.ci/setup test`", python.display());
        eprintln!("skipped: {} is missing; `.ci/setup test` makes it", python.display());
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path().join("trestle");
    fs::create_dir(&scratch).unwrap();
    let mut command = Command::new(python);
    command.arg(root().join("tests/peers/exports.py")).arg(root().join("tests/oscal")).arg(&scratch);
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        command.arg(path);
    }
    let output = command.output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), said))
}

fn exports(bundle: &Bundle, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let file = |export: Export| {
        Some((format!("{prefix}-{}", export.file()), bundle.files().get(&place(export))?.clone()))
    };
    Export::ALL.into_iter().filter_map(file).collect()
}

/// Whatever a provider may call things, and whenever a box thinks it is.
fn odd() -> Bundle {
    let mut tenant = Tenant::new(3, at("2026-11-03T06:00:00Z"));
    let n = tenant.enrol(false);
    tenant.heartbeat(n);
    tenant.scan(n, &[("NXH-002", Standing::Drifted)], None);
    tenant.now = proto::time::Millis(-99_000_000_000_000);
    tenant.scan(n, &[("NXH-002", Standing::Drifted)], None);
    tenant.now = at("2026-11-03T09:00:00Z");
    tenant.scan(n, &[("NXH-002", Standing::Drifted), ("NXH-003", Standing::Excepted)], None);
    let mut parts = tenant.parts(tenant.evidence.len(), None);
    parts.made_at = tenant.now.plus(HOUR);
    parts.period.to = parts.made_at;
    parts.clinic = "  <b>*Elm*</b>\u{a0}Street | Clinic ".into();
    parts.appliance_names.values_mut().for_each(|name| *name = " ".into());
    control_plane::bundle::export::build(&parts).unwrap()
}

#[test]
fn nists_schemas_and_trestle_call_every_export_valid() {
    let scanned = Tenant::scanned(1);
    let mut files = exports(&scanned.bundle(), "scanned");
    assert_eq!(files.len(), Export::ALL.len());
    files.extend(exports(&packed(&Tenant::genuine(1)), "unscanned"));
    // What follows from the baseline alone is the same each time.
    let own = |(name, _): &(String, Vec<u8>)| name.ends_with("results.json") || name.ends_with("poam.json");
    files.extend(exports(&odd(), "odd").into_iter().filter(own));
    let kept =
        |name: &str| (format!("kept-{name}"), fs::read(root().join("baseline/oscal").join(name)).unwrap());
    files.extend(
        ["assessment-plan.json", "component-definition.json", "security-rule-catalog.json"].map(kept),
    );
    let Some((valid, said)) = peers(&files) else { return };
    assert!(valid, "{said}");
    assert_eq!(said.matches(": VALID").count(), files.len(), "{said}");
}

/// They would have to notice: what is tampered with in each file is found by at least one of them.
#[test]
fn what_is_not_oscal_any_more_is_refused_by_them() {
    let files = exports(&Tenant::scanned(1).bundle(), "bent").into_iter().map(|(name, bytes)| {
        let text = String::from_utf8(bytes).unwrap();
        let bent = match name.as_str() {
            "bent-catalog.json" => text.replacen("\"oscal-version\"", "\"oscal-edition\"", 1),
            "bent-component-definition.json" => twice(&text),
            "bent-assessment-plan.json" => text.replacen("\"days\"", "\"fortnights\"", 1),
            "bent-assessment-results.json" => text.replacen("\"not-satisfied\"", "\"nearly\"", 1),
            _ => text.replacen("2027-05-01T", "May 1, 2027 ", 1),
        };
        assert_ne!(bent, text, "{name}");
        (name, bent.into_bytes())
    });
    let files: Vec<_> = files.collect();
    let Some((valid, said)) = peers(&files) else { return };
    assert!(!valid && !said.contains(": VALID"), "{said}");
    assert!(said.contains("bent-component-definition.json: trestle"), "no schema sees that:\n{said}");
}

/// The UUID of the second thing in the place of the third's.
fn twice(text: &str) -> String {
    let uuids: Vec<&str> =
        text.match_indices("\"uuid\": \"").map(|(at, key)| &text[at + key.len()..][..36]).collect();
    text.replacen(uuids[3], uuids[2], 1)
}
