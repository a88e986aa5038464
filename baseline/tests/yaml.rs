//! The source: strict, closed, and every complaint names the file, the control, the key and what is right.
#![cfg(feature = "yaml")]

use baseline::yaml::{self, HIPAA_V1};

#[test]
fn a_bad_source_is_refused_by_file_key_and_what_is_right() {
    let (file, text) = HIPAA_V1;
    yaml::baseline(text, file).unwrap();
    for (from, to, key, right) in [
        (
            "name: nixos-hipaa",
            "name: nixos-hipaa\ncolour: red",
            "colour",
            "is no key; keys are: name, version, title, controls",
        ),
        ("name: nixos-hipaa\n", "", "name", "must be present"),
        ("version: 1", "version: one", "version", "expected u32"),
        (
            "    why: A password",
            "    colour: red\n    why: A password",
            "NXH-002.colour",
            "is no key; keys are: id, title, why",
        ),
        ("    title: SSH takes no passwords\n", "", "NXH-002.title", "must be present"),
        ("title: SSH takes no passwords", "title: ''", "NXH-002.title", "must not be empty"),
        ("- id: NXH-002", "- id: NXH-003", "controls[1].id", "is NXH-003, must be NXH-002"),
        ("- id: NXH-002", "- id: SSH-2", "SSH-2.id", "must look like NXH-007"),
        ("area: users-and-authentication", "area: users", "NXH-010.area", "must be one of: access-and-ssh"),
        (
            "hipaa: [45 CFR 164.312(b)]",
            "hipaa: [45 CFR 164.512(b)]",
            "NXH-022.hipaa[0]",
            "must be a paragraph",
        ),
        (
            "severity: critical",
            "severity: grave",
            "NXH-010.severity",
            "must be one of: low, medium, high, critical",
        ),
        (
            "    required: addressable",
            "    required: maybe",
            "NXH-007.required",
            "must be one of: required, addressable",
        ),
        ("read: users", "read: shell", "NXH-010.probe", "unknown variant `shell`, expected one of `sysctl`"),
        ("{ read: users }", "{ read: users, run: id }", "NXH-010.probe", "unknown field `run`"),
        (
            "uid_zero:",
            "uid_one:",
            "NXH-010.expect.uid_one",
            "is no field of users; fields are: duplicate_ids",
        ),
        ("uid_zero: { equals: 1 }", "uid_zero: { like: 1 }", "NXH-010.expect", "unknown variant `like`"),
        ("uid_zero: { equals: 1 }", "uid_zero: { equals: 1.5 }", "NXH-010.expect", "a whole number"),
        ("mode-within: \"0640\"", "mode-within: 640", "NXH-014.expect", "expected a string"),
        (
            "value: false, set: force",
            "value: false, set: hope",
            "NXH-002.nixos",
            "must be one of: force, add",
        ),
        (
            "option: users.mutableUsers, value: false",
            "option: users.mutableUsers, value: null",
            "NXH-010.nixos",
            "a list or a map",
        ),
        ("by: generation", "by: shell", "NXH-002.repair", "unknown variant `shell`"),
        ("version: 1", "version: 1\nversion: 2", "yaml", "duplicate"),
        ("version: 1", "version: &one 1", "yaml", "anchor"),
        ("version: 1", "<<: { version: 1 }", "yaml", "merge"),
        ("version: 1", "version: !shell 1", "yaml", "tag"),
        ("controls:", "---\ncontrols:", "yaml", ""),
    ] {
        assert!(text.contains(from), "{from}");
        let refused = yaml::baseline(&text.replacen(from, to, 1), file).map(drop).expect_err(to);
        assert_eq!((refused.file.as_str(), refused.key.as_str()), (file, key), "{refused}");
        assert!(refused.problem.to_lowercase().contains(&right.to_lowercase()), "{refused}, not {right}");
    }
    let refused = yaml::baseline("[]", file).unwrap_err();
    assert_eq!(refused.to_string(), "hipaa-v1.yaml: document: must be a map of keys");
    let long = format!("# {}\n{text}", "x".repeat(yaml::SOURCE_MAX));
    assert!(yaml::baseline(&long, file).unwrap_err().problem.contains("must be at most 262144 bytes"));
}
