//! `control-plane init`: what it makes, and what it never does.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "common/program.rs"]
mod program;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use control_plane::{
    ca::CertificateAuthority,
    config::Config,
    directory::Directory,
    files,
    init::{InitError, Options, init},
};
use program::run;
use proto::{charter::OrganizationKeys, dsse, keys::SecretKey, time::Millis};
use runbooks::{CATALOGUE_TYPE, Catalogue};

fn now() -> Millis {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn options() -> Options {
    Options {
        organization: "msp.example".into(),
        address: "https://control.msp.example:8443".into(),
        appliances: "127.0.0.1:0".into(),
        people: "127.0.0.1:0".into(),
        webhook: None,
        owner: "owner".into(),
    }
}

/// Bytes that are never the same twice, and the same in every run.
fn counting() -> impl FnMut(&mut [u8]) {
    let mut next = 0u8;
    move |bytes| {
        next += 1;
        bytes.fill(next);
    }
}

fn make(folder: &Path) -> Directory {
    let directory = Directory::new(folder.join("orderly"));
    init(&directory, &options(), now(), &mut counting()).unwrap();
    directory
}

/// All files under `folder`, relative.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn trust(directory: &Directory) -> OrganizationKeys {
    OrganizationKeys::parse(&fs::read(directory.organization_keys()).unwrap()).unwrap()
}

fn offline(directory: &Directory, kind: &str) -> Vec<SecretKey> {
    let read = |n| files::read_secret_key(&directory.offline().join(format!("{kind}-{n}.key"))).unwrap();
    (1..=3).map(read).collect()
}

#[test]
fn everything_is_there_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let directory = make(folder.path());
    let files: Vec<String> = walk(directory.root())
        .iter()
        .map(|path| path.strip_prefix(directory.root()).unwrap().display().to_string())
        .collect();
    assert_eq!(
        files,
        [
            "catalogue.json",
            "charter.json",
            "config.toml",
            "first-owner.json",
            "keys/ca.key",
            "keys/ca.pem",
            "keys/log.key",
            "keys/order.key",
            "offline/organization-1.key",
            "offline/organization-1.txt",
            "offline/organization-2.key",
            "offline/organization-2.txt",
            "offline/organization-3.key",
            "offline/organization-3.txt",
            "offline/release-1.key",
            "offline/release-1.txt",
            "offline/release-2.key",
            "offline/release-2.txt",
            "offline/release-3.key",
            "offline/release-3.txt",
            "trust/organization.keys.json",
        ]
    );
    assert!(directory.vault().is_dir() && directory.logs().is_dir());
}

#[test]
fn keys_are_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let directory = make(folder.path());
    for path in walk(directory.root()) {
        let text = fs::read_to_string(&path).unwrap();
        let secret = text.contains("orderly-secret-key") || text.contains("PRIVATE KEY");
        let is_key = path.extension().is_some_and(|e| e == "key");
        assert_eq!(secret, is_key, "{} and only keys hold secrets", path.display());
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if secret {
            assert_eq!(mode, 0o600, "{}", path.display());
        }
        assert_eq!(mode & 0o022, 0, "nobody else writes {}", path.display());
    }
    assert_eq!(fs::metadata(directory.root()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn trust_opens_the_charter_and_the_charter_the_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    let directory = make(folder.path());
    let trust = trust(&directory);
    assert_eq!((trust.threshold, trust.keys.len()), (2, 3));
    let charter = trust.open(&fs::read(directory.charter()).unwrap()).unwrap();
    assert_eq!(charter.signers().len(), 2, "two of three signed");
    let charter = charter.into_value();
    assert_eq!((charter.serial, charter.issued), (1, now()));
    assert_eq!(charter.not_after, "2027-05-21T12:00:00Z".parse().unwrap(), "180 days");

    let catalogue = Catalogue::open(&fs::read(directory.catalogue()).unwrap(), &charter).unwrap();
    assert_eq!(catalogue.signers().len(), 2);
    assert_eq!(catalogue.value().expires, "2027-11-22T12:00:00Z".parse().unwrap(), "a year");
    assert_eq!(catalogue.value().entries.len(), runbooks::sources().len());

    let order = files::read_secret_key(&directory.order_key()).unwrap().public();
    let log = files::read_secret_key(&directory.log_key()).unwrap().public();
    assert_eq!(charter.order_keys, [order].into());
    assert_eq!(charter.log_keys, [log].into());
    let pem = fs::read_to_string(directory.ca_certificate()).unwrap();
    assert_eq!(charter.certificate_authorities, std::slice::from_ref(&pem));
    CertificateAuthority::load(&pem, &fs::read_to_string(directory.ca_key()).unwrap()).unwrap();
    let config = Config::load(&directory.config()).unwrap();
    config.agrees_with(&charter).unwrap();
}

#[test]
fn the_offline_keys_are_the_ones_that_count_and_all_are_different() {
    let folder = tempfile::tempdir().unwrap();
    let directory = make(folder.path());
    let (organization, release) = (offline(&directory, "organization"), offline(&directory, "release"));
    let publics =
        |keys: &[SecretKey]| keys.iter().map(SecretKey::public).collect::<std::collections::BTreeSet<_>>();
    let charter = trust(&directory).open(&fs::read(directory.charter()).unwrap()).unwrap().into_value();
    assert_eq!(publics(&organization), trust(&directory).keys);
    assert_eq!(publics(&release), charter.release_keys.keys);
    let all: std::collections::BTreeSet<_> = publics(&organization)
        .into_iter()
        .chain(publics(&release))
        .chain(charter.order_keys)
        .chain(charter.log_keys)
        .collect();
    assert_eq!(all.len(), 8, "no key has two uses");
    // The third of each, which signed nothing yet, is as good as the others.
    let payload =
        Catalogue::build(2, now(), now().plus(std::time::Duration::from_secs(60)), shipped()).unwrap();
    let sealed = Catalogue::seal(&payload, &[&release[2], &release[0]]);
    dsse::open(&sealed, CATALOGUE_TYPE, &charter.release_keys.keys, 2).unwrap();
}

fn shipped() -> Vec<runbooks::Runbook> {
    runbooks::sources().iter().map(|(name, text)| runbooks::from_yaml(text, name).unwrap()).collect()
}

#[test]
fn every_offline_key_says_where_it_belongs_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let directory = make(folder.path());
    for kind in ["organization", "release"] {
        for (n, key) in (1..).zip(offline(&directory, kind)) {
            let text = fs::read_to_string(directory.offline().join(format!("{kind}-{n}.txt"))).unwrap();
            for part in
                [format!("{kind}-{n}.key"), "Where it belongs: with ".into(), key.public().to_string()]
            {
                assert!(text.contains(&part), "{kind}-{n}.txt lacks {part}");
            }
        }
    }
}

#[test]
fn a_folder_with_anything_in_it_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let directory = make(folder.path());
    let before: Vec<_> = walk(directory.root()).iter().map(|path| fs::read(path).unwrap()).collect();
    let again = init(&directory, &options(), now(), &mut counting()).unwrap_err();
    assert!(matches!(again, InitError::NotEmpty { .. }), "{again}");
    let after: Vec<_> = walk(directory.root()).iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(before, after);

    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join(".hidden"), "mine").unwrap();
    assert!(matches!(
        init(&Directory::new(&other), &options(), now(), &mut counting()),
        Err(InitError::NotEmpty { .. })
    ));
    assert_eq!(walk(&other).len(), 1);
    let file = other.join(".hidden");
    assert!(matches!(
        init(&Directory::new(&file), &options(), now(), &mut counting()),
        Err(InitError::NotEmpty { .. })
    ));
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    init(&Directory::new(&empty), &options(), now(), &mut counting()).unwrap();
}

#[test]
fn what_would_not_start_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::new(folder.path().join("orderly"));
    for (wrong, named) in [
        (Options { organization: "MSP".into(), ..options() }, "organization"),
        (Options { organization: "a b".into(), ..options() }, "organization"),
        (Options { address: "http://a".into(), ..options() }, "listen.address"),
        (Options { people: "localhost".into(), ..options() }, "listen.people"),
        (Options { webhook: Some("mailto:me".into()), ..options() }, "escalation.webhook"),
    ] {
        let error = anyhow::Error::new(init(&directory, &wrong, now(), &mut counting()).unwrap_err());
        assert!(format!("{error:#}").contains(named), "{error:#}");
        assert!(!directory.root().exists(), "{named}: nothing is written");
    }
}

#[test]
fn what_a_crash_left_is_not_started_on() {
    let folder = tempfile::tempdir().unwrap();
    let directory = make(folder.path());
    // The settings come last, so this is what every crash looks like.
    fs::remove_file(directory.config()).unwrap();
    let said = run(folder.path(), &["serve", "--dir", "orderly"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("config.toml"), "{}", said.err);
    let again = run(folder.path(), &["init", "--dir", "orderly", "--organization", "msp.example"]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("empty folder"), "{}", again.err);
}

#[test]
fn the_program_prints_no_secret_and_says_what_to_do_next() {
    for json in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut arguments = vec!["init", "--dir", "orderly", "--organization", "msp.example"];
        if json {
            arguments.push("--json");
        }
        let said = run(folder.path(), &arguments);
        assert_eq!(said.code, 0, "{}", said.err);
        let printed = format!("{}{}", said.out, said.err);
        for path in walk(folder.path()).iter().filter(|path| path.extension().is_some_and(|e| e == "key")) {
            let text = fs::read_to_string(path).unwrap();
            for line in text.lines() {
                // The last word of a key file, or a line of PEM.
                let secret = line.split(' ').next_back().unwrap();
                if !secret.starts_with('-') && secret.len() >= 20 {
                    assert!(!printed.contains(secret), "the secret of {} was printed", path.display());
                }
            }
        }
        for next in ["offline/organization-1.key", "trust/organization.keys.json"] {
            assert!(said.out.contains(next), "lacks {next}: {}", said.out);
        }
        // Two installations never share a key.
        let other =
            run(folder.path(), &["init", "--dir", "other", "--organization", "msp.example", "--json"]).json();
        let ours = fs::read_to_string(folder.path().join("orderly/trust/organization.keys.json")).unwrap();
        for key in other["organization_keys"]["keys"].as_array().unwrap() {
            assert!(!ours.contains(key.as_str().unwrap()));
        }
    }
}

#[test]
fn openssl_takes_the_authority_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let directory = make(folder.path());
    let ca = directory.ca_certificate();
    let at = (now().0 / 1000).to_string();
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-attime", &at, "-CAfile"])
        .args([&ca, &ca])
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
