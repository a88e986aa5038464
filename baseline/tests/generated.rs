//! The committed JSON is what the YAML says, and the committed map is what controls, runbooks and `evidence.csv` say.
//! `ORDERLY_WRITE=1` (`make generate`) writes both anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use baseline::{Baseline, map, rule};
use proto::ids::RunbookId;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Compares, or writes.
fn current(name: &str, now: &str) {
    let kept = here().join(name);
    if std::env::var_os("ORDERLY_WRITE").is_some() {
        fs::write(&kept, now).expect("write generated file");
    }
    let was = fs::read_to_string(&kept).unwrap_or_default();
    assert!(was == now, "{} is stale: run `make generate`", kept.display());
}

/// The citations of each runbook, taken from the text: this crate must not depend on theirs.
fn runbooks() -> BTreeMap<RunbookId, Vec<String>> {
    let folder = here().join("../runbooks/catalogue");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the catalogue") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a runbook");
        let id = text.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").trim();
        let citations = citations(&text);
        assert!(!citations.is_empty(), "{} cites nothing", path.display());
        found.insert(id.parse().expect("a runbook's name"), citations);
    }
    assert!(!found.is_empty());
    found
}

fn citations(text: &str) -> Vec<String> {
    text.lines()
        .skip_while(|line| line.trim_end() != "hipaa:")
        .skip(1)
        .map_while(|line| line.strip_prefix("  - "))
        .map(|item| item.split('#').next().unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned())
        .collect()
}

#[cfg(feature = "yaml")]
fn from_source() -> Baseline {
    let text = fs::read_to_string(here().join("hipaa-v1.yaml")).expect("the source");
    baseline::yaml::baseline(&text, "hipaa-v1.yaml").unwrap_or_else(|refused| panic!("{refused}"))
}

#[cfg(feature = "yaml")]
#[test]
fn the_canonical_json_is_current() {
    let now = String::from_utf8(from_source().canonical()).expect("JSON is UTF-8");
    current("hipaa-v1.json", &now);
    assert_eq!(Baseline::parse(now.as_bytes()), Ok(from_source()));
}

/// The baseline that the map is made of: the source where it can be read, so that one run writes both anew.
#[cfg(feature = "yaml")]
fn newest() -> Baseline {
    from_source()
}

#[cfg(not(feature = "yaml"))]
fn newest() -> Baseline {
    let text = fs::read(here().join("hipaa-v1.json")).expect("the committed JSON");
    Baseline::parse(&text).unwrap_or_else(|refused| panic!("{refused}"))
}

#[cfg(feature = "oscal")]
#[test]
fn the_exports_are_current() {
    use baseline::oscal::{CATALOG_FILE, assessment_plan, catalog, component_definition};

    let baseline = newest();
    for (name, document) in [
        (CATALOG_FILE, catalog()),
        ("component-definition.json", component_definition(&[&baseline], CATALOG_FILE)),
        ("assessment-plan.json", assessment_plan(&[&baseline])),
    ] {
        let now = String::from_utf8(document.encode()).expect("JSON is UTF-8");
        current(&format!("oscal/{name}"), &now);
    }
}

fn evidence() -> String {
    fs::read_to_string(here().join("evidence.csv")).expect("evidence.csv")
}

#[test]
fn the_map_is_current() {
    let baseline = newest();
    let rows = map::rows(&baseline, &runbooks(), &evidence()).unwrap_or_else(|refused| panic!("{refused}"));
    current("controls-map.csv", &map::render(&baseline, &rows));
}

#[test]
fn the_map_has_every_paragraph_once_with_something_or_a_reason() {
    let mut seen = BTreeSet::new();
    for line in map::CSV.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [citation, name, designation, controls, runbooks, evidence, otherwise] = fields[..] else {
            panic!("{} fields in {line}", fields.len())
        };
        let paragraph = rule::lookup(citation).expect(citation);
        assert_eq!(
            (paragraph.name, paragraph.designation.to_string().as_str()),
            (name, designation),
            "{line}"
        );
        assert!(seen.insert(citation), "{citation} stands twice");
        assert_eq!(evidence.is_empty(), otherwise.starts_with(map::NOT_HERE), "{line}");
        assert!(!evidence.is_empty() || otherwise.len() > map::NOT_HERE.len() + 10, "{line}");
        assert!(evidence.contains("drift-scan") || controls.is_empty(), "{line}");
        assert!(evidence.contains("execution") || runbooks.is_empty(), "{line}");
    }
    assert_eq!(seen.len(), rule::paragraphs().len(), "no paragraph is silently missing");
    for control in &newest().controls {
        assert!(map::CSV.contains(&control.id.to_string()), "{}", control.id);
    }
}

#[test]
fn a_map_with_a_hole_or_a_lie_is_refused_by_the_citation() {
    let baseline = newest();
    let rows = |evidence: &str, runbooks: &BTreeMap<RunbookId, Vec<String>>| {
        map::rows(&baseline, runbooks, evidence).map(drop).map_err(|refused| refused.to_string())
    };
    let (good, catalogue) = (evidence(), runbooks());
    assert_eq!(rows(&good, &catalogue), Ok(()));
    let line = good.lines().find(|line| line.starts_with("164.310(a)(1),")).expect("a reason").to_owned();
    for (evidence, right) in [
        (good.replace(&format!("{line}\n"), ""), "164.310(a)(1) is served by nothing"),
        (format!("{good}164.312(a)(1),,not ours\n"), "164.312(a)(1) is served, so"),
        (format!("{good}164.999,packet,\n"), "164.999 is no paragraph"),
        (format!("{good}{line}\n"), "stands twice"),
        (good.replace(&line, "164.310(a)(1),,"), "must have either evidence or a reason"),
        (good.replace(&line, "164.310(a)(1),packet,ours"), "must have either evidence or a reason"),
        (good.replace(&line, "164.310(a)(1),hope,"), "must be one of: approval, drift-scan"),
        (good.replace(&line, "164.310(a)(1),,a, b"), "must have 3 fields, has 4"),
        (good.replace("citation,evidence,", "citation,"), "must begin with"),
    ] {
        let refused = rows(&evidence, &catalogue).expect_err(right);
        assert!(refused.contains(right), "{refused}, not {right}");
    }
    let lost = BTreeMap::from([("RB-DISK-002".parse().unwrap(), vec!["45 CFR 164.512(b)".to_owned()])]);
    assert!(rows(&good, &lost).expect_err("refused").contains("RB-DISK-002 cites 45 CFR 164.512(b)"));
}

#[test]
fn citations_are_found_in_a_runbooks_text() {
    let text = "id: RB-A-001\nhipaa:\n  - 45 CFR 164.312(b)  # why\n  - \"45 CFR 164.312(d)\"\nrisk: low\nx:\n  - 45 CFR 1\n";
    assert_eq!(citations(text), ["45 CFR 164.312(b)", "45 CFR 164.312(d)"]);
}
