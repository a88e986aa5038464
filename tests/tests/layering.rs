//! Dependencies between our own crates point down only.
//!
//! An arrow that is not drawn here does not exist: `appliance` and `control-plane` never see each other, and
//! `proto` sees nobody. Build and development dependencies count like any other, for a test that imports upwards
//! ties two rooms together just as firmly.
//!
//! ```text
//! tests ──> everything
//!   appliance ──┐  ┌── control-plane
//!               v  v
//!   runbooks  baseline  hardware
//!         └──────┼──────────┘
//!                v
//!              proto
//! ```

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::MetadataCommand;

const MAY_USE: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("runbooks", &["proto"]),
    ("baseline", &["proto"]),
    ("hardware", &["proto"]),
    ("appliance", &["proto", "runbooks", "baseline"]),
    ("control-plane", &["proto", "runbooks", "baseline"]),
    ("tests", &["proto", "runbooks", "baseline", "hardware", "appliance", "control-plane"]),
];

/// Crate name -> the names of everything it depends on, in any section of its manifest.
type Arrows = BTreeMap<String, BTreeSet<String>>;

#[test]
fn our_crates_depend_downwards_only() {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata reads this workspace");
    let found: Arrows = metadata
        .packages
        .iter()
        .map(|package| {
            let uses = package.dependencies.iter().map(|dependency| dependency.name.clone()).collect();
            (package.name.to_string(), uses)
        })
        .collect();

    // Without this, metadata that lost its dependencies would look like a house in perfect order.
    assert!(found["tests"].contains("proto"), "cargo metadata shows no dependencies at all");
    let faults = faults(&found);
    assert!(faults.is_empty(), "the arrows are wrong (see the drawing above):\n{}", faults.join("\n"));
}

/// Everything in which `found` differs from [`MAY_USE`], each as one line that says what to do.
fn faults(found: &Arrows) -> Vec<String> {
    let drawn: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut faults = Vec::new();
    for name in drawn.keys().filter(|name| !found.contains_key(**name)) {
        faults.push(format!("{name} is drawn here but is no member of the workspace"));
    }
    for (name, uses) in found {
        let Some(allowed) = drawn.get(name.as_str()) else {
            faults.push(format!("{name} is a member of the workspace but is not drawn here"));
            continue;
        };
        for other in uses.iter().filter(|other| found.contains_key(*other)) {
            if !allowed.contains(&other.as_str()) {
                faults.push(format!("{name} must not depend on {other}; it may use: {}", allowed.join(", ")));
            }
        }
    }
    faults
}

mod tests {
    use super::{Arrows, MAY_USE, faults};

    /// The house exactly as drawn.
    fn drawn() -> Arrows {
        MAY_USE
            .iter()
            .map(|(name, uses)| (name.to_string(), uses.iter().map(|other| other.to_string()).collect()))
            .collect()
    }

    #[test]
    fn the_drawing_itself_is_in_order() {
        assert_eq!(faults(&drawn()), Vec::<String>::new());
    }

    #[test]
    fn every_arrow_that_is_not_drawn_is_a_fault() {
        for (from, allowed) in MAY_USE {
            for (to, _) in MAY_USE.iter().filter(|(to, _)| !allowed.contains(to)) {
                let mut found = drawn();
                found.entry(from.to_string()).or_default().insert(to.to_string());
                assert_eq!(faults(&found).len(), 1, "{from} -> {to} was not noticed");
            }
        }
    }

    #[test]
    fn a_crate_more_or_less_is_a_fault() {
        let mut more = drawn();
        more.insert("common".to_owned(), Default::default());
        assert_eq!(faults(&more), ["common is a member of the workspace but is not drawn here"]);

        let mut less = drawn();
        less.remove("hardware");
        assert_eq!(faults(&less), ["hardware is drawn here but is no member of the workspace"]);
    }
}
