//! YAML sources: strict, closed, found by looking, and every complaint names the file, the key and what is right.
#![cfg(feature = "yaml")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proto::time::Millis;
use runbooks::{BadRunbook, Catalogue, Risk, from_yaml, read_folder, sources};

const FILE: &str = "RB-DISK-002.yaml";

fn source() -> &'static str {
    sources().iter().find(|(name, _)| *name == FILE).expect("it ships").1
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue")
}

/// An empty folder of this test's own.
fn scratch(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("yaml-{test}-{}", std::process::id()));
    fs::create_dir(&path).expect("a new folder");
    path
}

#[test]
fn what_ships_is_what_stands_in_the_folder() {
    let on_disk: BTreeSet<(String, String)> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect();
    let shipped = sources().iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    assert_eq!(on_disk, shipped);
    assert!(sources().is_sorted(), "by name");
}

#[test]
fn the_shipped_catalogue_builds_and_reads_back() {
    let runbooks = read_folder(&folder()).unwrap();
    let from_sources: Vec<_> = sources().iter().map(|(name, text)| from_yaml(text, name).unwrap()).collect();
    assert_eq!(runbooks, from_sources);
    let payload = Catalogue::build(1, Millis(1), Millis(2), runbooks.clone()).unwrap();
    let catalogue = Catalogue::parse(&payload).unwrap();
    let read: Vec<_> = catalogue.entries.values().map(|entry| entry.runbook.clone()).collect();
    assert_eq!(read, runbooks);
    for runbook in &runbooks {
        assert!(runbook.risk <= Risk::Medium, "{} runs without a person", runbook.id);
        for fault in &runbook.triggers {
            let watch = "it".parse().unwrap();
            assert!(
                runbook.parameters_for(*fault, &watch).is_some(),
                "{} can be planned for {fault}",
                runbook.id
            );
        }
    }
}

/// What runs while people work is decided here, by one who has read each; another flag is another decision.
#[test]
fn what_disturbs_people_at_work_is_what_was_decided() {
    let disruptive = sources().iter().map(|(name, text)| from_yaml(text, name).unwrap());
    let disruptive: Vec<String> = disruptive.filter(|r| r.disturbs()).map(|r| r.id.to_string()).collect();
    assert_eq!(disruptive, ["RB-CPU-001", "RB-MEM-001", "RB-NET-001"]);
    for (name, text) in sources() {
        let reason = text.split("\ndisruptive: ").next().and_then(|before| before.lines().last());
        assert!(reason.is_some_and(|line| line.starts_with("# ")), "{name}: a reason stands above");
    }
}

#[test]
fn a_bad_source_is_refused_by_file_key_and_what_is_right() {
    for (from, to, key, right) in [
        ("title: ", "colour: red\ntitle: ", "colour", "is no key; keys are: id, title, version"),
        ("title: Prune a watched directory to its limit\n", "", "title", "must be present"),
        ("title: Prune a watched directory to its limit", "title: ''", "title", "must not be empty"),
        ("title: Prune a watched directory to its limit", "title: 7", "title", "expected a string"),
        ("title: Prune a watched directory to its limit", "title: [a]", "title", "expected a string"),
        ("version: 2", "version: one", "version", "expected u32"),
        ("version: 2", "version: -1", "version", "expected u32"),
        ("version: 2", "version: 0", "version", "must be at least 1"),
        ("version: 2", "version: '1'", "version", "expected u32"),
        ("id: RB-DISK-002", "id: disk", "id", "must look like RB-DISK-002"),
        (
            "id: RB-DISK-002",
            "id: RB-DISK-003",
            "id",
            "is RB-DISK-003, so the file must be named RB-DISK-003.yaml",
        ),
        ("risk: medium", "risk: some", "risk", "must be one of: low, medium, high, destructive"),
        ("disruptive: false\n", "", "disruptive", "must be present"),
        ("disruptive: false", "disruptive: no", "disruptive", "expected a boolean"),
        ("disruptive: false", "disruptive: ~", "disruptive", "expected a boolean"),
        ("risk: medium", "risk: Medium", "risk", "must be one of: low, medium"),
        ("- directory.over-limit", "- directory.full", "triggers[0]", "must be one of: directory.over-limit"),
        (
            "triggers:\n  - directory.over-limit",
            "triggers: directory.over-limit",
            "triggers",
            "must be a list",
        ),
        ("do: files.prune,", "do: shell.run,", "steps[0]", "do must be one of: files.prune, restic.backup"),
        (
            "do: files.prune, target: directory",
            "do: files.prune, path: /srv",
            "steps[0]",
            "unknown field `path`, expected `do` or `target`",
        ),
        ("do: files.prune, target: directory", "do: files.prune", "steps[0]", "missing field `target`"),
        (
            "do: files.prune, target: directory",
            "do: files.prune, target: home",
            "steps[0].target",
            "declared are: directory",
        ),
        (
            "do: files.prune, target: directory",
            "do: restic.backup, target: directory",
            "steps[0].target",
            "needs a backup",
        ),
        ("  - { do: files.prune, target: directory }", "  []", "steps", "must be 1 to 16 steps, are 0"),
        (
            "  directory: directory",
            "  directory: directory\n  spare: log",
            "parameters.spare",
            "is declared and never used",
        ),
        (
            "  directory: directory",
            "  directory: folder",
            "parameters.directory",
            "must be one of: directory, backup, log, metric",
        ),
        ("parameters:\n  directory: directory", "parameters: [directory]", "parameters", "must be a map"),
        ("expect: gone", "expect: present", "verification", "at least one that expects gone"),
        (
            "on: directory, expect: present",
            "at: directory, expect: present",
            "precondition[0]",
            "unknown field `at`",
        ),
        ("  per_hour: 12", "  per_hour: 12\n  per_day: 40", "limits", "unknown field `per_day`"),
        ("45 CFR 164.312(b)", "164.312(b)", "hipaa[1]", "must look like 45 CFR 164.308(a)(7)(ii)(A)"),
        ("on_failure: escalate", "on_failure: ignore", "on_failure", "must be one of: escalate"),
        ("version: 2", "version: 2\nversion: 3", "yaml", "duplicate"),
        ("version: 2", "version: &one 1", "yaml", "anchor"),
        ("version: 2", "version: *one", "yaml", ""),
        ("version: 2", "<<: { version: 1 }", "yaml", "merge"),
        ("version: 2", "version: !shell 1", "yaml", "tag"),
        ("version: 2", "version: [", "yaml", ""),
        ("undo:", "---\nundo:", "yaml", ""),
    ] {
        assert_eq!(source().matches(from).count().min(1), 1, "{from}");
        let error = from_yaml(&source().replacen(from, to, 1), FILE).expect_err(to);
        let text = error.to_string();
        let BadRunbook::Content { file, key: named, .. } = error else { panic!("{text}") };
        assert_eq!((file.as_str(), named.as_str()), (FILE, key), "{text}");
        assert!(text.to_lowercase().contains(&right.to_lowercase()), "{text}, not {right}");
    }
}

#[test]
fn a_list_or_a_bare_word_is_no_runbook() {
    for text in ["", "runbook", "- id: RB-DISK-002", "~"] {
        assert!(
            from_yaml(text, FILE).unwrap_err().to_string().starts_with("RB-DISK-002.yaml: yaml: "),
            "{text}"
        );
    }
}

#[test]
fn bombs_and_monsters_are_refused_early() {
    let laughs = (1..9).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, n| {
        format!("{text}a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "))
    });
    let deep = format!("id: {}", "[".repeat(5000));
    let wide = "- x\n".repeat(10_000);
    let large = format!("{}# {}", source(), "x".repeat(64 * 1024));
    for text in [laughs, deep, wide, large.clone()] {
        assert!(matches!(from_yaml(&text, FILE), Err(BadRunbook::Content { .. })));
    }
    assert!(from_yaml(&large, FILE).unwrap_err().to_string().contains("must be at most 65536 bytes"));
}

#[test]
fn a_folder_is_read_by_looking_and_nothing_in_it_is_passed_over() {
    let folder = scratch("looking");
    assert_eq!(read_folder(&folder).unwrap(), []);
    fs::write(folder.join(".gitkeep"), "").unwrap();
    fs::write(folder.join(FILE), source()).unwrap();
    assert_eq!(read_folder(&folder).unwrap().len(), 1);

    fs::write(folder.join("RB-DISK-003.yml"), source().replace("RB-DISK-002", "RB-DISK-003")).unwrap();
    let refused = read_folder(&folder).unwrap_err().to_string();
    assert_eq!(refused, "RB-DISK-003.yml: id: is RB-DISK-003, so the file must be named RB-DISK-003.yaml");
    fs::remove_file(folder.join("RB-DISK-003.yml")).unwrap();

    fs::write(folder.join("RB-HUGE-001.yaml"), vec![b'#'; 100_000]).unwrap();
    assert!(
        read_folder(&folder).unwrap_err().to_string().contains("must be at most 65536 bytes, has 100000")
    );
    fs::remove_dir_all(&folder).unwrap();

    let gone = read_folder(&folder).unwrap_err();
    assert!(gone.to_string().starts_with("cannot read /"), "{gone}");
}
