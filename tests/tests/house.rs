//! The rules of the house that no compiler checks: the fixed top level, the crates that must be in use, versions
//! that stand once, files of a readable size, SQL in its stores; and what is built into what (`house/built.rs`).
//!
//! Each rule is a function over plain text that returns its faults; the tests below feed it this repository, and
//! `mod tests` feeds it what it must refuse.

#[path = "house/built.rs"]
mod built;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The rooms; the top level holds these, [`PAPERS`], and dot-files, and nothing else.
const ROOMS: &[&str] =
    &["appliance", "baseline", "control-plane", "hardware", "nixos-image", "proto", "runbooks", "tests"];
const PAPERS: &[&str] = &["Cargo.lock", "Cargo.toml", "LICENSE", "Makefile", "README.md"];

/// What the product is made of; `tests` tests it and is no part of it.
const PRODUCT: &[&str] = &["appliance", "baseline", "control-plane", "hardware", "proto", "runbooks"];
const MANDATED: &[&str] =
    &["tokio", "hyper", "rustls", "rusqlite", "serde_json", "sha2", "nix", "sysinfo", "tonic", "prost"];

const LONGEST_FILE: usize = 450;

/// Where SQL is: one place per database.
const STORES: &[&str] =
    &["appliance/src/agent/outbox", "appliance/src/executor/store", "control-plane/src/store", WHOLE];
/// Asks of a database whether it is whole, and nothing of what is in it.
const WHOLE: &str = "appliance/src/executor/steps/readers/store.rs";
/// What no other line of shipped code says.
const SQL: &[&str] =
    &["\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE FROM", "\"CREATE ", "\"PRAGMA ", "\"BEGIN"];

#[test]
fn the_top_level_is_fixed() {
    let found = top_level();
    let faults = top_level_faults(&found);
    assert!(faults.is_empty(), "the top level is fixed:\n{}", faults.join("\n"));
}

#[test]
fn mandated_crates_are_in_use() {
    let faults: Vec<String> = MANDATED
        .iter()
        .filter(|name| !PRODUCT.iter().any(|room| is_used(room, name)))
        .map(name_unused)
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn versions_stand_once() {
    let mut faults = Vec::new();
    for room in ROOMS {
        // The image is Nix, not a crate.
        let Ok(manifest) = fs::read_to_string(root().join(room).join("Cargo.toml")) else { continue };
        faults
            .extend(version_faults(&manifest).into_iter().map(|fault| format!("{room}/Cargo.toml: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_have_a_readable_size() {
    let mut faults = Vec::new();
    for path in rust_files(&root()) {
        let lines = read(&path).lines().count();
        if lines > LONGEST_FILE && !is_generated(&path) {
            faults.push(format!("{} has {lines} lines; split it below {LONGEST_FILE}", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_crate_keeps_the_workspaces_lints() {
    let rooms = ROOMS.iter().filter_map(|room| {
        let manifest = fs::read_to_string(root().join(room).join("Cargo.toml")).ok()?;
        Some((room, manifest))
    });
    let rooms: Vec<_> = rooms.collect();
    assert!(rooms.len() >= 7, "too few crates are found: {rooms:?}");
    let without = rooms.iter().filter(|(_, manifest)| !keeps_lints(manifest));
    let faults: Vec<String> =
        without.map(|(room, _)| format!("{room}/Cargo.toml: must say [lints] workspace = true")).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Plain HTTP is the server's own: not through a framework's idea of it.
#[test]
fn the_control_plane_uses_hyper_directly() {
    assert!(is_used("control-plane", "hyper"), "control-plane must name hyper in its src/ (`hyper::...`)");
}

#[test]
fn all_sql_is_in_the_stores() {
    let mut faults = Vec::new();
    let mut stores = 0;
    for room in PRODUCT {
        for path in rust_files(&root().join(room).join("src")) {
            let place = path.strip_prefix(root()).unwrap_or(&path).to_string_lossy().into_owned();
            let source = read(&path);
            if STORES.iter().any(|store| place.starts_with(store)) {
                stores += usize::from(names_in_a_path(&source, "rusqlite"));
            } else {
                faults.extend(sql_faults(&source).into_iter().map(|fault| format!("{place}: {fault}")));
            }
        }
    }
    assert!(stores > STORES.len(), "the stores are not found where they were");
    assert!(faults.is_empty(), "SQL belongs into {}:\n{}", STORES.join(", "), faults.join("\n"));
}

/// Lines of shipped code that speak to a database.
fn sql_faults(source: &str) -> Vec<String> {
    let shipped = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code = shipped.lines().map(|line| line.split("//").next().unwrap_or_default());
    let speaks = |line: &&str| {
        // Whoever opens a connection for a store may name the type.
        let hands_over = ["rusqlite::Connection", "rusqlite::Error"].iter().any(|name| line.contains(name));
        (line.contains("rusqlite") && !hands_over) || SQL.iter().any(|verb| line.contains(verb))
    };
    code.filter(speaks).map(|line| format!("`{}`", line.trim())).collect()
}

/// Whether `[lints]` of this manifest says `workspace = true`.
fn keeps_lints(manifest: &str) -> bool {
    let mut sections = manifest.split("\n[").filter_map(|section| section.strip_prefix("lints]"));
    sections.any(|section| section.lines().any(|line| line.replace(' ', "") == "workspace=true"))
}

/// `entries` are the names at the top level.
fn top_level_faults(entries: &BTreeSet<String>) -> Vec<String> {
    let wanted: BTreeSet<&str> = ROOMS.iter().chain(PAPERS).copied().collect();
    let is_wanted = |name: &str| wanted.contains(name) || name.starts_with('.') || name.ends_with(".lock");
    let missing =
        wanted.iter().filter(|name| !entries.contains(**name)).map(|name| format!("{name} is missing"));
    let strange = entries.iter().filter(|name| !is_wanted(name)).map(|name| {
        format!(
            "{name} does not belong there: move it into its room, tool configuration to .ci/, or ignore it"
        )
    });
    missing.chain(strange).collect()
}

/// `manifest` is a member's Cargo.toml. One line each, so that a reader and this test see the same.
fn version_faults(manifest: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut in_dependencies = false;
    for line in manifest.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(header) = line.strip_prefix('[') {
            in_dependencies = header.ends_with("dependencies]");
            if !in_dependencies && header.contains("dependencies.") {
                faults.push(format!("{line}: write the dependency on one line"));
            }
        } else if in_dependencies && !line.replace(' ', "").contains("workspace=true") {
            faults.push(format!(
                "`{line}`: its version belongs into [workspace.dependencies], and here \
                                 `workspace = true`"
            ));
        }
    }
    faults
}

/// A direct dependency of the room's crate, and named in code that ships: a line in a manifest alone is decoration.
fn is_used(room: &str, name: &str) -> bool {
    let manifest = read(&root().join(room).join("Cargo.toml"));
    depends_on(&manifest, name)
        && rust_files(&root().join(room).join("src"))
            .iter()
            .filter(|path| !is_generated(path))
            .any(|path| names_in_a_path(&read(path), name))
}

fn name_unused(name: &&str) -> String {
    format!("{name} is mandated: a product crate must depend on it and name it in its src/ (`{name}::...`)")
}

/// Whether `[dependencies]` of this manifest has `name`.
fn depends_on(manifest: &str, name: &str) -> bool {
    let sections = manifest.split("\n[").filter_map(|section| section.strip_prefix("dependencies]"));
    sections
        .flat_map(str::lines)
        .any(|line| line.split(['.', '=', ' ']).next().is_some_and(|key| key == name))
}

/// Whether shipped code in `source` says `name::`; comments and the tests at the end of the file do not count.
fn names_in_a_path(source: &str, name: &str) -> bool {
    let shipped = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let path = format!("{name}::");
    shipped.lines().map(|line| line.split("//").next().unwrap_or_default()).any(|code| {
        code.match_indices(&path).any(|(at, _)| {
            // `hyper_rustls::` and `pb::prost::` are other crates' paths; `::prost::` is this one's.
            let before = code[..at].strip_suffix("::").unwrap_or(&code[..at]);
            !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>')
        })
    })
}

/// What git keeps or would keep; without git or in an export, what lies there.
fn top_level() -> BTreeSet<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .ok()
        .filter(|output| output.status.success() && !output.stdout.is_empty());
    if let Some(output) = listed {
        let names = String::from_utf8_lossy(&output.stdout);
        return names.lines().filter_map(|path| path.split('/').next()).map(str::to_owned).collect();
    }
    let entries = fs::read_dir(root()).expect("the top level can be listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "target").collect()
}

/// Every `.rs` file below `folder`, without what is built or hidden.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("cannot list {}: {e}", folder.display())) {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                files.extend(rust_files(&path));
            }
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    files
}

/// Only folders inside the repository count, whatever the folder it was cloned into is called.
fn is_generated(path: &Path) -> bool {
    path.strip_prefix(root()).unwrap_or(path).components().any(|part| part.as_os_str() == "gen")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

mod tests {
    use super::*;

    #[test]
    fn a_stranger_and_a_gap_at_the_top_level_are_named() {
        let mut entries: BTreeSet<String> = ROOMS.iter().chain(PAPERS).map(|name| name.to_string()).collect();
        entries.extend([".ci".to_owned(), ".gitignore".to_owned(), "flake.lock".to_owned()]);
        assert_eq!(top_level_faults(&entries), Vec::<String>::new());

        entries.insert("docs".to_owned());
        entries.remove("LICENSE");
        let faults = top_level_faults(&entries);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("LICENSE is missing") && faults[1].starts_with("docs does not belong"));
    }

    #[test]
    fn a_version_in_a_member_is_found_in_every_form() {
        let sound = "[dependencies]\na.workspace = true\nb = { workspace = true, features = [\"x\"] }\n";
        assert_eq!(version_faults(sound), Vec::<String>::new());
        for bad in [
            "[dependencies]\na = \"1\"\n",
            "[dev-dependencies]\na = { version = \"1\" }\n",
            "[build-dependencies]\na = { path = \"../a\" }\n",
            "[target.'cfg(unix)'.dependencies]\na = \"1\"\n",
            "[dependencies.a]\nversion = \"1\"\n",
        ] {
            assert_eq!(version_faults(bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_crate_is_in_use_only_where_shipped_code_names_it() {
        for used in ["use hyper::body;", "let x = ::hyper::Request::new(());", "fn f(_: hyper::Uri) {}"] {
            assert!(names_in_a_path(used, "hyper"), "{used}");
        }
        for unused in [
            "// use hyper::body;",
            "use hyper_util::rt;",
            "use my_hyper::body;",
            "use tonic::hyper::body;",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    use hyper::body;\n}\n",
        ] {
            assert!(!names_in_a_path(unused, "hyper"), "{unused}");
        }
    }

    #[test]
    fn sql_outside_of_the_stores_is_found() {
        for sound in [
            "use rusqlite::Connection;",
            "fn f(store: &Store) { store.number(\"SELECTED\"); }",
            "// db.execute(\"SELECT 1\", [])",
            "#[cfg(test)]\nmod tests {\n    use rusqlite::params;\n}\n",
        ] {
            assert_eq!(sql_faults(sound), Vec::<String>::new(), "{sound}");
        }
        for bad in [
            "use rusqlite::{Connection, params};",
            "db.query_row(\"SELECT 1\", [], |row| row.get(0))",
            "db.execute_batch(\"BEGIN IMMEDIATE\")",
            "db.execute(\"DELETE FROM incident\", [])",
        ] {
            assert_eq!(sql_faults(bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_crate_without_the_workspaces_lints_is_found() {
        assert!(keeps_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n\n[dependencies]\n"));
        for bad in ["[package]\nname = \"a\"\n", "[package]\na = 1\n\n[lints]\n\n[other]\nworkspace = true\n"]
        {
            assert!(!keeps_lints(bad), "{bad}");
        }
    }

    #[test]
    fn only_a_normal_dependency_counts() {
        let manifest = "[package]\nname = \"a\"\n\n[dependencies]\nhyper-util.workspace = true\nnix = { workspace = true }\n\n\
                        [dev-dependencies]\nsha2.workspace = true\n";
        assert!(depends_on(manifest, "nix") && depends_on(manifest, "hyper-util"));
        assert!(!depends_on(manifest, "hyper") && !depends_on(manifest, "sha2"));
    }
}
