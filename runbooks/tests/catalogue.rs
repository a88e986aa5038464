//! The catalogue as a signed document: who may sign it, what may stand in it, and that its bytes are its identity.

use proto::{
    charter::{Charter, Quorum},
    digest::Digest,
    dsse,
    evidence::Readings,
    keys::SecretKey,
    time::Millis,
};
use runbooks::{
    Action, CATALOGUE_TYPE, Catalogue, CatalogueError, Collect, Condition, Expect, Fault, Policy,
    PolicyError, Presence, Runbook, WatchKind, policy, succession,
};

/// Canonical JSON, written down: when this changes, every digest in the field changes.
const CANONICAL: &str = concat!(
    r#"{"id":"RB-DISK-002","title":"Prune","version":1,"why":"Room.","hipaa":["45 CFR 164.312(b)"],"risk":"medium","disruptive":false,"#,
    r#""triggers":["directory.over-limit"],"parameters":{"directory":"directory"},"#,
    r#""precondition":[{"fault":"directory.over-limit","on":"directory","expect":"present"}],"#,
    r#""steps":[{"do":"files.prune","target":"directory"}],"#,
    r#""verification":[{"fault":"directory.over-limit","on":"directory","expect":"gone"}],"#,
    r#""on_failure":"escalate","cooldown_seconds":300,"limits":{"per_hour":12},"timeout_seconds":60,"#,
    r#""evidence":["readings","counts"],"undo":"Restore."}"#
);

fn runbook() -> Runbook {
    serde_json::from_str(CANONICAL).expect("the sample is a runbook")
}

fn named(id: &str) -> Runbook {
    Runbook { id: id.parse().expect("a runbook's name"), ..runbook() }
}

fn release_key(n: u8) -> SecretKey {
    SecretKey::ed25519([10 + n; 32])
}

fn charter() -> Charter {
    Charter {
        organization: "msp.example".into(),
        serial: 1,
        issued: Millis(0),
        not_after: Millis(1_000_000),
        order_keys: [SecretKey::ed25519([1; 32]).public()].into(),
        log_keys: [SecretKey::ed25519([2; 32]).public()].into(),
        release_keys: Quorum { threshold: 2, keys: (0..3).map(|n| release_key(n).public()).collect() },
        certificate_authorities: Vec::new(),
        witnesses: Vec::new(),
        witness_quorum: None,
        approvers: Vec::new(),
    }
}

fn payload() -> Vec<u8> {
    Catalogue::build(7, Millis(1000), Millis(2000), vec![named("RB-ZOO-001"), runbook()]).expect("sound")
}

/// Signs whatever `payload` is with two release keys and opens it.
fn opened(payload: &[u8]) -> Result<Catalogue, CatalogueError> {
    Catalogue::open(&Catalogue::seal(payload, &[&release_key(0), &release_key(1)]), &charter())
        .map(|v| v.into_value())
}

fn refusal(payload: &str) -> String {
    opened(payload.as_bytes()).expect_err("refused").to_string()
}

#[test]
fn the_canonical_form_is_pinned_and_is_the_identity() {
    assert_eq!(runbook().canonical(), CANONICAL.as_bytes());
    let catalogue = opened(&payload()).unwrap();
    let entry = catalogue.runbook(&"RB-DISK-002".parse().unwrap()).unwrap();
    assert_eq!(entry.digest, Digest::of(CANONICAL.as_bytes()));
    assert_eq!(entry.runbook, runbook());
    assert_eq!((catalogue.version, catalogue.issued, catalogue.expires), (7, Millis(1000), Millis(2000)));
    assert_eq!(catalogue.runbook(&"RB-NONE-001".parse().unwrap()), None);
    let ids: Vec<String> = catalogue.entries.keys().map(ToString::to_string).collect();
    assert_eq!(ids, ["RB-DISK-002", "RB-ZOO-001"]);
    assert!(
        String::from_utf8(payload()).unwrap().contains(CANONICAL),
        "the exact bytes stand in the payload"
    );
}

/// Evidence of years ago was made under such a one, and what it holds must still be what was signed.
#[test]
fn a_catalogue_of_before_clinic_hours_is_read_and_all_of_it_disturbs() {
    let old = String::from_utf8(payload()).unwrap();
    let old = old.replace(r#"{"spec":2"#, r#"{"spec":1"#).replace(r#""disruptive":false,"#, "");
    let catalogue = opened(old.as_bytes()).unwrap();
    let entry = catalogue.runbook(&"RB-DISK-002".parse().unwrap()).unwrap();
    assert_eq!(entry.digest, Digest::of(CANONICAL.replace(r#""disruptive":false,"#, "").as_bytes()));
    assert_eq!(entry.runbook.disruptive, None);
    assert!(entry.runbook.disturbs(), "what nobody has said is never fine");
    assert!(!runbook().disturbs());
    let unsaid = vec![Runbook { disruptive: None, ..runbook() }];
    let refused = Catalogue::build(1, Millis(1), Millis(2), unsaid).unwrap_err().to_string();
    assert!(refused.contains("runbooks[0].RB-DISK-002.disruptive must be true or false"), "{refused}");
}

#[test]
fn two_distinct_release_keys_must_sign() {
    let charter = charter();
    let opens = |keys: &[&SecretKey]| Catalogue::open(&Catalogue::seal(&payload(), keys), &charter).is_ok();
    let (a, b, order) = (release_key(0), release_key(2), SecretKey::ed25519([1; 32]));
    assert!(opens(&[&a, &b]));
    assert!(!opens(&[&a]));
    assert!(!opens(&[&a, &a]));
    assert!(!opens(&[&a, &order]), "the order key releases nothing");
    assert!(!opens(&[&order, &SecretKey::ed25519([2; 32])]));
    let other_type = dsse::seal("application/vnd.orderly.other", &payload(), &[&a, &b]);
    assert!(matches!(Catalogue::open(&other_type, &charter), Err(CatalogueError::Signature(_))));
    assert_eq!(CATALOGUE_TYPE, "application/vnd.orderly.catalogue.v1+json");
}

#[test]
fn signed_or_not_what_must_not_be_is_refused_and_named() {
    let good = String::from_utf8(payload()).unwrap();
    for (from, to, named) in [
        (r#""spec":2"#, r#""spec":3"#, "spec must be 1 to 2, is 3"),
        (r#""spec":2"#, r#""spec":0"#, "spec must be 1 to 2, is 0"),
        (r#""spec":2"#, r#""spec":1"#, "RB-DISK-002.disruptive must not be given in spec 1"),
        (r#""disruptive":false,"#, "", "RB-DISK-002.disruptive must be true or false"),
        (r#""disruptive":false"#, r#""disruptive":null"#, "must be canonical"),
        (r#""disruptive":false"#, r#""disruptive":"no""#, "expected a boolean"),
        (r#"{"spec":2,"version":7"#, r#"{"spec":2,"version":0"#, "version must be at least 1"),
        (
            r#""expires":"1970-01-01T00:00:02.000Z""#,
            r#""expires":"1970-01-01T00:00:01.000Z""#,
            "expires must be after",
        ),
        (r#"{"spec":2"#, r#"{"more":1,"spec":2"#, "unknown field `more`"),
        (r#""title":"Prune""#, r#""title": "Prune""#, "runbooks[0].json must be canonical"),
        (r#""title":"Prune","version":1"#, r#""version":1,"title":"Prune""#, "must be canonical"),
        (
            r#""parameters":{"directory":"directory"}"#,
            r#""parameters":{"directory":"log","directory":"directory"}"#,
            "must be canonical",
        ),
        (r#""title":"Prune""#, r#""title":"\u0050rune""#, "must be canonical"),
        (r#""limits":{"per_hour":12}"#, r#""limits":{"per_hour":12,"per_day":1}"#, "unknown field `per_day`"),
        (r#""do":"files.prune""#, r#""do":"shell.run""#, "do must be one of: files.prune"),
        (
            r#""triggers":["directory.over-limit"]"#,
            r#""triggers":["directory.full"]"#,
            "must be one of: directory.over-limit",
        ),
        (r#""title":"Prune""#, r#""title":"""#, "runbooks[0].RB-DISK-002.title must not be empty"),
        (r#""RB-ZOO-001""#, r#""RB-DISK-002""#, "runbooks[1].id is RB-DISK-002 after RB-DISK-002"),
        (r#""RB-ZOO-001""#, r#""RB-ANT-001""#, "runbooks[1].id is RB-ANT-001 after RB-DISK-002"),
    ] {
        assert!(good.contains(from), "{from}");
        let text = refusal(&good.replacen(from, to, 1));
        assert!(text.contains(named), "{text}, not {named}");
    }
    assert!(refusal(r#"{"spec":2,"version":1,"issued":"1970-01-01T00:00:01Z","expires":"1970-01-01T00:00:02Z","runbooks":[]}"#)
        .contains("runbooks must have at least one"));
    assert!(matches!(opened(b"not json"), Err(CatalogueError::Content(_))));
}

#[test]
fn nothing_is_built_that_could_not_be_opened() {
    let build = |runbooks| Catalogue::build(1, Millis(1), Millis(2), runbooks).map_err(|e| e.to_string());
    assert!(build(vec![runbook(), runbook()]).unwrap_err().contains("is RB-DISK-002 after RB-DISK-002"));
    assert!(
        build(vec![Runbook { steps: vec![], ..runbook() }]).unwrap_err().contains("steps must be 1 to 16")
    );
    assert!(Catalogue::build(1, Millis(2), Millis(2), vec![runbook()]).is_err());
    assert!(Catalogue::build(0, Millis(1), Millis(2), vec![runbook()]).is_err());
}

/// Every rule on a runbook's content, by what breaks it.
#[test]
fn a_runbook_that_breaks_a_rule_is_refused_by_the_key() {
    let present = |fault, on: &str| Condition { fault, on: on.into(), expect: Expect::Present };
    let cases: Vec<(Runbook, &str, &str)> = vec![
        (Runbook { title: "x".repeat(121), ..runbook() }, "title", "at most 120 bytes"),
        (Runbook { why: "two\nlines".into(), ..runbook() }, "why", "control characters"),
        (Runbook { undo: String::new(), ..runbook() }, "undo", "must not be empty"),
        (Runbook { version: 0, ..runbook() }, "version", "at least 1"),
        (Runbook { hipaa: vec![], ..runbook() }, "hipaa", "1 to 16 entries, has 0"),
        (Runbook { hipaa: vec!["45 CFR 164.312(b)".into(); 2], ..runbook() }, "hipaa[1]", "listed twice"),
        (Runbook { triggers: vec![], ..runbook() }, "triggers", "1 to 16 entries"),
        (
            Runbook { triggers: vec![Fault::BackupStale], ..runbook() },
            "triggers[0]",
            "happens to a backup, but no parameter is one",
        ),
        (Runbook { evidence: vec![], ..runbook() }, "evidence", "1 to 3 entries"),
        (Runbook { evidence: vec![Collect::Counts; 2], ..runbook() }, "evidence[1]", "listed twice"),
        (Runbook { limits: runbooks::Limits { per_hour: 0 }, ..runbook() }, "limits.per_hour", "at least 1"),
        (Runbook { cooldown_seconds: 86_401, ..runbook() }, "cooldown_seconds", "at most 86400"),
        (Runbook { timeout_seconds: 0, ..runbook() }, "timeout_seconds", "1 to 86400"),
        (Runbook { timeout_seconds: 86_401, ..runbook() }, "timeout_seconds", "1 to 86400"),
        (Runbook { steps: vec![], ..runbook() }, "steps", "1 to 16 steps, are 0"),
        (
            Runbook { steps: vec![Action::FilesPrune.on("elsewhere")], ..runbook() },
            "steps[0].target",
            "names no declared parameter; declared are: directory",
        ),
        (
            Runbook { steps: vec![Action::ResticBackup.on("directory")], ..runbook() },
            "steps[0].target",
            "names parameter directory, a directory; restic.backup needs a backup",
        ),
        (
            Runbook {
                parameters: [("directory", WatchKind::Directory), ("spare", WatchKind::Log)]
                    .map(|(n, k)| (n.into(), k))
                    .into(),
                ..runbook()
            },
            "parameters.spare",
            "is declared and never used",
        ),
        (
            Runbook { parameters: [("../etc".into(), WatchKind::Directory)].into(), ..runbook() },
            "parameters.../etc",
            "lower-case letters",
        ),
        (Runbook { parameters: [].into(), ..runbook() }, "steps[0].target", "names no declared parameter"),
        (Runbook { precondition: vec![], ..runbook() }, "precondition", "at least one that expects present"),
        (Runbook { verification: vec![], ..runbook() }, "verification", "at least one that expects gone"),
        (
            Runbook { verification: vec![present(Fault::DirectoryOverLimit, "directory")], ..runbook() },
            "verification",
            "at least one that expects gone",
        ),
        (
            Runbook { precondition: vec![present(Fault::BackupStale, "directory")], ..runbook() },
            "precondition[0].on",
            "names parameter directory, a directory; backup.stale needs a backup",
        ),
        (
            Runbook { precondition: vec![present(Fault::DirectoryOverLimit, "directory"); 2], ..runbook() },
            "precondition[1]",
            "says twice",
        ),
    ];
    for (runbook, key, right) in cases {
        let refused = runbook.check().expect_err(key);
        assert_eq!(refused.field, key, "{refused}");
        assert!(refused.problem.contains(right), "{refused}");
    }
    let backup = |fault, expect| Condition { fault, on: "repository".into(), expect };
    let unverified = Runbook {
        triggers: vec![Fault::BackupStale],
        parameters: [("repository".into(), WatchKind::Backup)].into(),
        precondition: vec![backup(Fault::BackupStale, Expect::Present)],
        steps: vec![Action::ResticBackup.on("repository")],
        verification: vec![backup(Fault::RestoreDue, Expect::Gone)],
        ..runbook()
    };
    assert_eq!(
        unverified.check().unwrap_err().to_string(),
        "verification must expect backup.stale on repository gone: the precondition expects it present"
    );
}

#[test]
fn citations_are_of_the_security_rule_down_to_the_paragraph() {
    let cites = |text: &str| Runbook { hipaa: vec![text.into()], ..runbook() }.check().is_ok();
    for good in ["45 CFR 164.312(b)", "45 CFR 164.308(a)(7)(ii)(A)", "45 CFR 164.310(d)(2)(iv)"] {
        assert!(cites(good), "{good}");
    }
    for bad in [
        "",
        "164.312(b)",
        "45 CFR 164.312",
        "45 CFR 164.3(b)",
        "45 CFR 164.512(b)",
        "45 CFR 164.312()",
        "45 CFR 164.312(b",
        "45 CFR 164.312(b) ",
        "45 CFR 164.312 (b)",
        "45 CFR 164.312b)",
        "45 CFR 164.3123(b)",
        "45 CFR 164.312(b)(",
        "45 cfr 164.312(b)",
    ] {
        assert!(!cites(bad), "{bad}");
    }
}

#[test]
fn older_and_forked_catalogues_and_policies_are_refused() {
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    for (newest, offered, expected) in [
        (None, (1, a), Ok(true)),
        (Some((1, a)), (2, b), Ok(true)),
        (Some((2, a)), (2, a), Ok(false)),
        (Some((2, a)), (1, a), Err(CatalogueError::Older { offered: 1, newest: 2 })),
        (Some((2, a)), (2, b), Err(CatalogueError::Forked(2))),
    ] {
        assert_eq!(succession(newest, offered), expected);
    }
    assert_eq!(policy::succession(Some((2, a)), (1, a)), Err(PolicyError::Older { offered: 1, newest: 2 }));
    assert_eq!(policy::succession(Some((2, a)), (2, b)), Err(PolicyError::Forked(2)));
    assert_eq!(policy::succession(Some((2, a)), (3, b)), Ok(true));
}

#[test]
fn a_policy_is_the_order_keys_and_strict() {
    let (charter, order_key) = (charter(), SecretKey::ed25519([1; 32]));
    let policy = Policy { serial: 4, ..Policy::default_local() };
    assert_eq!(Policy::open(&policy.seal(&order_key), &charter).unwrap().value(), &policy);
    assert!(matches!(Policy::open(&policy.seal(&release_key(0)), &charter), Err(PolicyError::Signature(_))));
    let refused = |policy: &Policy| Policy::open(&policy.seal(&order_key), &charter).unwrap_err().to_string();
    assert!(refused(&Policy::default_local()).contains("serial must be at least 1"));
    assert!(
        refused(&Policy { breaker_after: 0, ..policy.clone() }).contains("breaker_after must be at least 1")
    );
    assert!(
        refused(&Policy { hold: Some(String::new()), ..policy.clone() }).contains("hold must not be empty")
    );
    let window = runbooks::Window {
        zone: "somewhere over the rainbow".into(),
        days: [runbooks::Day::Monday].into(),
        opens: "01:00".parse().unwrap(),
        closes: "02:00".parse().unwrap(),
    };
    let odd = Policy { clinic_hours: runbooks::ClinicHours::during([window.clone()]), ..policy.clone() };
    assert!(refused(&odd).contains("clinic_hours.zone must be an IANA time zone"));
    let odd = Policy { windows: runbooks::Windows::any_of([window]), ..policy.clone() };
    assert!(refused(&odd).contains("windows.zone must be an IANA time zone"));
    let json = serde_json::to_string(&policy).unwrap().replacen('{', r#"{"shell":"sh","#, 1);
    let sealed = dsse::seal(runbooks::POLICY_TYPE, json.as_bytes(), &[&order_key]);
    assert!(Policy::open(&sealed, &charter).unwrap_err().to_string().contains("unknown field `shell`"));
}

#[test]
fn parameters_come_from_the_incident_and_from_nowhere_else() {
    let watch = "uploads".parse().unwrap();
    let derived = runbook().parameters_for(Fault::DirectoryOverLimit, &watch).unwrap();
    assert_eq!(derived, [("directory".to_owned(), watch.clone())].into());
    assert_eq!(runbook().parameters_for(Fault::BackupStale, &watch), None);
    let two = Runbook {
        parameters: [("directory", WatchKind::Directory), ("other", WatchKind::Directory)]
            .map(|(n, k)| (n.into(), k))
            .into(),
        ..runbook()
    };
    assert_eq!(two.parameters_for(Fault::DirectoryOverLimit, &watch), None, "one incident cannot say both");
}

#[test]
fn presence_and_success_are_judged_on_readings_and_missing_ones_are_neither() {
    let readings = |bytes: i64| -> std::collections::BTreeMap<String, Readings> {
        [("directory".to_owned(), [("bytes".to_owned(), bytes), ("limit_bytes".to_owned(), 10)].into())]
            .into()
    };
    for (given, presence, worked) in [
        (readings(11), Presence::Present, false),
        (readings(10), Presence::Gone, true),
        (readings(-1), Presence::Present, false),
        ([].into(), Presence::Unknown, false),
        ([("directory".to_owned(), [].into())].into(), Presence::Unknown, false),
    ] {
        assert_eq!(runbook().presence(&given), presence, "{given:?}");
        assert_eq!(runbook().worked(&given), worked, "{given:?}");
    }
}

/// A file system can lack space or inodes; either is enough for the runbook that makes room.
#[test]
fn one_of_the_faults_that_a_runbook_repairs_is_enough_and_all_must_be_gone_afterwards() {
    let text = include_str!("../catalogue/RB-DISK-001.yaml");
    let room: Runbook = runbooks::from_yaml(text, "RB-DISK-001.yaml").expect("in the catalogue");
    let of = |pairs: &[(&str, i64)]| -> std::collections::BTreeMap<String, Readings> {
        let limits = [("limit_percent", 90), ("inodes_limit_percent", 90)];
        let all = pairs.iter().chain(&limits).map(|(name, value)| ((*name).to_owned(), *value));
        [("filesystem".to_owned(), all.collect())].into()
    };
    for (given, presence, worked) in [
        (of(&[("used_percent", 95), ("inodes_used_percent", 5)]), Presence::Present, false),
        (of(&[("used_percent", 5), ("inodes_used_percent", 95)]), Presence::Present, false),
        (of(&[("used_percent", 95), ("inodes_used_percent", 95)]), Presence::Present, false),
        (of(&[("used_percent", 5), ("inodes_used_percent", 5)]), Presence::Gone, true),
        (of(&[("inodes_used_percent", 95)]), Presence::Present, false),
        (of(&[("inodes_used_percent", 5)]), Presence::Unknown, false),
        (of(&[]), Presence::Unknown, false),
    ] {
        assert_eq!((room.presence(&given), room.worked(&given)), (presence, worked), "{given:?}");
    }
    let gone = Condition { fault: Fault::FilesystemFull, on: "filesystem".into(), expect: Expect::Gone };
    let only = Runbook { precondition: vec![room.precondition[1].clone(), gone], ..room };
    let presence =
        |used, inodes| only.presence(&of(&[("used_percent", used), ("inodes_used_percent", inodes)]));
    assert_eq!((presence(5, 95), presence(95, 95)), (Presence::Present, Presence::Gone));
}
