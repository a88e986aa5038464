//! `control-plane evidence verify` on a bundle in a folder: its exit codes, and what it says to people and to programs.

use std::{fs, path::Path, sync::LazyLock};

use clap::Parser as _;
use control_plane::cli::{Answer, Cli, World};
use proto::time::Millis;
use serde_json::Value;

use super::tenant::{Tenant, at};

static TENANT: LazyLock<Tenant> = LazyLock::new(|| Tenant::genuine(1));

/// When the auditor looks: after all that is in the bundle, whatever this machine's clock says.
fn now() -> Millis {
    at("2026-11-04T12:00:00Z")
}

/// A bundle with the month's packet, and beside it the organization's public keys.
fn handed_over() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let parts = TENANT.parts(TENANT.evidence.len(), Some("2026-11".parse().unwrap()));
    control_plane::bundle::export::build(&parts).unwrap().write(&folder.path().join("bundle")).unwrap();
    fs::write(folder.path().join("trust.json"), serde_json::to_vec(&TENANT.trust()).unwrap()).unwrap();
    folder
}

fn verify(folder: &Path, trust: bool) -> Answer {
    let path = |name: &str| folder.join(name).display().to_string();
    let (keys, bundle) = (path("trust.json"), path("bundle"));
    let mut arguments = vec!["control-plane", "evidence", "verify"];
    if trust {
        arguments.extend(["--trust", &keys]);
    }
    arguments.push(&bundle);
    Cli::try_parse_from(arguments).unwrap().run(World { now, random: |_| unreachable!() }).unwrap()
}

/// The file of the record with that index in the log.
fn record(folder: &Path, index: u64) -> std::path::PathBuf {
    let named = format!("{index:08}-");
    let mut files = fs::read_dir(folder.join("bundle/evidence")).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.file_name().unwrap().to_string_lossy().starts_with(&named)).unwrap()
}

fn not_checked(json: &Value) -> Vec<&str> {
    json["not_checked"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

#[test]
fn a_sound_and_complete_bundle_is_0_and_says_what_files_cannot_tell() {
    let folder = handed_over();
    let answer = verify(folder.path(), true);
    assert_eq!(answer.code, 0, "{}", answer.text);
    let json = &answer.json;
    assert_eq!((&json["integrity"], &json["completeness"]), (&"sound".into(), &"complete".into()));
    assert_eq!((&json["anchored"], &json["fault_count"]), (&true.into(), &0.into()));
    assert!(json["claims"].as_array().unwrap().iter().all(|claim| claim["status"] == "proven"), "{json}");
    let lines = not_checked(json);
    for says in [
        "before an appliance's first record",
        "that much silence is still within what heartbeats promised",
        "the appliance's own clock",
        "the provider's words",
        "Nobody outside has seen this log",
        "compare with `appliance status` there",
    ] {
        assert!(lines.iter().any(|line| line.contains(says)), "not checked lacks {says:?}: {lines:#?}");
        assert!(answer.text.contains(says), "people are not told {says:?}:\n{}", answer.text);
    }
    // One line for each executor whose key nobody outside of the clinic can see.
    assert_eq!(lines.iter().filter(|line| line.contains("holds the key")).count(), TENANT.boxes.len());
    assert!(answer.text.contains("not checked, because files cannot tell"), "{}", answer.text);
}

#[test]
fn a_fault_is_1_and_names_file_and_record() {
    for index in [7_u64, 25] {
        let folder = handed_over();
        let path = record(folder.path(), index);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let answer = verify(folder.path(), true);
        assert_eq!((answer.code, &answer.json["integrity"]), (1, &"fault".into()), "{}", answer.text);
        let name = format!("evidence/{}", path.file_name().unwrap().to_string_lossy());
        let faults = answer.json["faults"].as_array().unwrap();
        let fault = faults.iter().find(|fault| fault["file"] == *name && !fault["record"].is_null());
        assert_eq!(fault.unwrap_or_else(|| panic!("{faults:#?}"))["record"], index);
        assert!(answer.text.contains(&format!("{name}, record {index}\n")), "{}", answer.text);
        assert!(!not_checked(&answer.json).is_empty(), "also then it says what it could not check");
    }
}

#[test]
fn a_proof_of_another_record_is_a_fault_of_its_own() {
    let folder = handed_over();
    let proofs = folder.path().join("bundle/proofs");
    let mut paths: Vec<_> = fs::read_dir(&proofs).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    fs::copy(&paths[3], &paths[4]).unwrap();
    let answer = verify(folder.path(), true);
    let faults = answer.json["faults"].as_array().unwrap();
    assert_eq!(answer.code, 1);
    assert!(
        faults.iter().any(|fault| fault["record"] == 4 && fault["problem"] == "is for record 3"),
        "{faults:#?}"
    );
}

#[test]
fn without_trust_it_is_3() {
    let folder = handed_over();
    let answer = verify(folder.path(), false);
    assert_eq!((answer.code, &answer.json["anchored"]), (3, &false.into()), "{}", answer.text);
    assert!(answer.text.contains("nobody vouches"), "{}", answer.text);
    assert!(answer.json["faults"].as_array().unwrap().is_empty());
    assert_eq!(not_checked(&answer.json).len(), 6 + TENANT.boxes.len());
}

#[test]
fn an_archive_is_not_opened_and_a_head_from_elsewhere_is_held_against_the_log() {
    let folder = handed_over();
    let run = |more: &[&str], bundle: &str| {
        let (trust, bundle) = (folder.path().join("trust.json"), folder.path().join(bundle));
        let mut arguments = vec!["control-plane", "evidence", "verify", "--trust", trust.to_str().unwrap()];
        arguments.extend(more);
        arguments.push(bundle.to_str().unwrap());
        Cli::try_parse_from(arguments).unwrap().run(World { now, random: |_| unreachable!() })
    };
    // However much it would unpack to.
    fs::write(folder.path().join("bundle.zip"), b"PK\x03\x04").unwrap();
    let refused = run(&[], "bundle.zip").unwrap_err();
    assert_eq!(control_plane::cli::exit_code(&refused), 2);
    assert!(refused.to_string().contains("must be the folder of a bundle"), "{refused}");

    let head = |size: usize| {
        let head = TENANT.checkpoint(size).checkpoint().head();
        format!("{}:{}", head.size, head.root.to_base64())
    };
    for (known, code, says) in [
        (head(12), 0, "proven"),
        (head(30), 0, "proven"),
        (head(12).replacen("12", "13", 1), 1, "is of another log than the head you know"),
        (head(30).replacen("30", "31", 1), 3, "it ends after 30 records, your head is of 31"),
    ] {
        let answer = run(&["--head", &known], "bundle").unwrap();
        assert_eq!(answer.code, code, "{known}: {}", answer.text);
        assert!(answer.text.contains(says) && answer.text.contains("continues the head that you know"));
    }
    let checkpoint = folder.path().join("bundle/log/checkpoint");
    assert_eq!(run(&["--head", checkpoint.to_str().unwrap()], "bundle").unwrap().code, 0);
}

#[test]
fn the_exports_are_written_again_as_the_bundle_has_them() {
    let folder = handed_over();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |bundle: &str, out: &str| {
        let arguments = ["control-plane", "evidence", "oscal", &path(bundle), "--out", &path(out)];
        Cli::try_parse_from(arguments).unwrap().run(World { now, random: |_| unreachable!() })
    };
    let answer = write("bundle", "again").unwrap();
    assert_eq!((answer.code, &answer.json["faults"]), (0, &0.into()), "{}", answer.text);
    let written = fs::read_dir(folder.path().join("again")).unwrap().map(|entry| entry.unwrap());
    let names: Vec<_> = written.map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 5);
    for name in names {
        let read = |of: &str| fs::read(folder.path().join(of).join(&name)).unwrap();
        assert_eq!(read("again"), read("bundle/oscal"), "{name:?}");
    }
    for (bundle, out, problem) in [
        ("bundle", "again", "must be an empty folder or none"),
        ("trust.json", "new", "must be the folder of a bundle"),
        ("bundle/oscal", "new", "must be the folder of a bundle"),
    ] {
        let refused = write(bundle, out).unwrap_err();
        assert!(format!("{refused:#}").contains(problem), "{refused:#}");
        assert_eq!(control_plane::cli::exit_code(&refused), 2, "{refused:#}");
        assert!(!folder.path().join("new").exists());
    }
}
