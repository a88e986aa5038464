//! What is built into what: the appliance without what has no business on it, the contract without a runtime, the
//! auditor's verifier without anything that could speak to anybody.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use super::root;

/// Parts of crate names that the appliance's programs must be built without, and why.
const NOT_ON_THE_APPLIANCE: &[(&str, &str)] = &[
    ("yaml", "the appliance reads signed canonical JSON, never YAML"),
    ("saphyr", "the appliance reads signed canonical JSON, never YAML"),
    ("openssl", "one TLS and crypto backend everywhere: aws-lc-rs"),
    ("native-tls", "one TLS and crypto backend everywhere: aws-lc-rs"),
    ("typst", "packets are made by the control plane"),
];

/// What the contract is built without: whatever opens sockets, speaks HTTP for itself, or runs tasks. rustls does none of
/// these by itself; the contract has its HPKE, which seals secrets.
const NOT_IN_THE_CONTRACT: &[&str] = &[
    "mio",
    "socket2",
    "hyper",
    "hyper-util",
    "hyper-timeout",
    "h2",
    "axum",
    "tower",
    "tokio-rustls",
    "tokio-macros",
    "rusqlite",
    "nix",
];
/// What of tokio comes along with tonic's streams.
const TOKIO_IN_THE_CONTRACT: &[&str] = &["", "default", "sync"];

/// Beginnings of crate names that the auditor's verifier must be built without: whatever runs tasks, opens sockets, keeps a
/// database or sets pages.
const NOT_IN_THE_VERIFIER: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "hyper",
    "h2",
    "http",
    "axum",
    "tower",
    "tonic",
    "rusqlite",
    "libsqlite3",
    "typst",
    "rcgen",
    "tracing-subscriber",
];

/// The contract has "no tokio, no I/O, no clock": what is left of a runtime in its tree is tokio's locks and channels,
/// which the stubs' message streams are made of; nothing that opens a socket, and nobody's HTTP.
#[test]
fn the_contract_is_built_without_a_runtime() {
    let tree = tree_of("proto", "{p} {f}", &[]);
    let crates: BTreeMap<&str, BTreeSet<&str>> = tree
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            let features = rest.trim_end_matches(" (*)").rsplit(' ').next().unwrap_or_default();
            Some((name, features.split(',').collect()))
        })
        .collect();
    // An empty tree would pass every rule.
    assert!(
        crates.contains_key("prost") && crates.contains_key("tonic"),
        "cargo tree shows too little: {tree}"
    );
    let faults = contract_faults(&crates);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_appliance_is_built_without_what_it_must_not_have() {
    let tree = tree_of("appliance", "{p}", &[]);
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();

    // An empty tree would pass every rule.
    assert!(names.contains("proto") && names.contains("rustls"), "cargo tree shows too little: {names:?}");
    let faults = appliance_faults(&names);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// `make verify-tool` builds it so.
#[test]
fn the_verifier_is_built_without_what_could_speak_to_anybody() {
    let tree = tree_of("control-plane", "{p}", &["--no-default-features"]);
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains("proto") && names.contains("clap"), "cargo tree shows too little: {names:?}");
    let faults = verifier_faults(&names);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // With everything it would not pass: the names are those that crates have.
    let server = tree_of("control-plane", "{p}", &[]);
    let server: BTreeSet<&str> = server.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(verifier_faults(&server).len() >= 8, "{server:?}");
}

fn verifier_faults(names: &BTreeSet<&str>) -> Vec<String> {
    let is_one = |name: &&&str| NOT_IN_THE_VERIFIER.iter().any(|part| name.starts_with(part));
    let fault = |name: &&str| {
        format!(
            "orderly-verify is built with {name}: it reads and computes, nothing else \
             (`cargo tree -p control-plane --no-default-features -i {name}`)"
        )
    };
    names.iter().filter(is_one).map(fault).collect()
}

/// A crate and all that it is built with, one a line. One package selected: these are its features as it is shipped, not
/// the union with its neighbours'.
fn tree_of(package: &str, format: &str, more: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--frozen", "--package", package, "--edges", "normal", "--prefix", "none"])
        .args(["--format", format])
        .args(more)
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("crate names are UTF-8")
}

/// By crate, with the features that are on.
fn contract_faults(crates: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let strange = NOT_IN_THE_CONTRACT.iter().filter(|name| crates.contains_key(*name)).map(|name| {
        format!("proto depends on {name}: it has no runtime and no I/O (`cargo tree -p proto -i {name}`)")
    });
    let tokio = crates.get("tokio").into_iter().flatten();
    let more = tokio.filter(|feature| !TOKIO_IN_THE_CONTRACT.contains(feature)).map(|feature| {
        format!(
            "proto depends on tokio with {feature}: only its `sync` part may come along with tonic's streams"
        )
    });
    strange.chain(more).collect()
}

fn appliance_faults(names: &BTreeSet<&str>) -> Vec<String> {
    let mut faults = Vec::new();
    for name in names {
        // `ring` is a whole name: "string" has it inside.
        if *name == "ring" {
            faults.push(format!(
                "appliance depends on {name}: one TLS and crypto backend everywhere: aws-lc-rs"
            ));
        }
        for (_, reason) in NOT_ON_THE_APPLIANCE.iter().filter(|(part, _)| name.contains(part)) {
            faults
                .push(format!("appliance depends on {name}: {reason} (`cargo tree -p appliance -i {name}`)"));
        }
    }
    faults
}

mod tests {
    use super::*;

    fn names<'a>(list: &[&'a str]) -> BTreeSet<&'a str> {
        list.iter().copied().collect()
    }

    #[test]
    fn a_runtime_in_the_contract_is_found() {
        let tree = |name: &'static str, features: &[&'static str]| {
            BTreeMap::from([
                ("tonic", BTreeSet::from(["codegen"])),
                (name, features.iter().copied().collect()),
            ])
        };
        assert_eq!(contract_faults(&tree("tokio", &["sync", "default"])), Vec::<String>::new());
        for bad in [
            tree("hyper", &[""]),
            tree("mio", &["net"]),
            tree("tokio", &["sync", "net"]),
            tree("tokio", &["rt"]),
        ] {
            assert_eq!(contract_faults(&bad).len(), 1, "{bad:?}");
        }
    }

    #[test]
    fn forbidden_crates_are_found_by_name() {
        let sound = names(&["aws-lc-rs", "rustls", "serde_json", "stringprep"]);
        assert_eq!(appliance_faults(&sound), Vec::<String>::new());
        for bad in
            ["ring", "serde_yaml", "serde-saphyr", "yaml-rust2", "openssl-sys", "native-tls", "typst-pdf"]
        {
            assert_eq!(appliance_faults(&names(&[bad])).len(), 1, "{bad}");
        }
    }
}
