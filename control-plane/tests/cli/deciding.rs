//! `policy`, `hold`, `approval` and `order plan` as people type them.

use std::fs;

use serde_json::{Value, json};

use crate::home::Home;

const CLINIC: &str = "Elm Street Clinic";

#[test]
fn policy_of_every_level_is_set_shown_and_taken_back() {
    let home = Home::new();
    let server = home.start();
    home.json(&["tenant", "create", CLINIC]);
    home.json(&["site", "create", "--tenant", CLINIC, "Main"]);
    home.json(&["policy", "set", "--organization", "--risk", "medium=approval"]);
    home.json(&["policy", "set", "--tenant", CLINIC, "--runbook", "RB-DISK-002=never"]);
    let set = ["policy", "set", "--tenant", CLINIC, "--site", "Main", "--freeze-until", "2199-01-01"];
    let shown = home.json(&set);
    assert_eq!(shown["effective"]["modes"]["medium"], "approval");
    assert_eq!(shown["effective"]["runbook_modes"]["RB-DISK-002"], "never");
    let levels = json!({
        "organization": { "modes": { "medium": "approval" } },
        "tenant": { "runbook_modes": { "RB-DISK-002": "never" } },
        "site": { "freeze_until": "2199-01-01T00:00:00.000Z" },
    });
    assert_eq!(shown["levels"], levels);
    assert_eq!(shown["said_by"]["freeze_until"], json!(["site"]));
    let text = home.run(&["policy", "show", "--tenant", CLINIC, "--site", "Main"]).out;
    let line = text.lines().find(|line| line.starts_with("modes.medium ")).unwrap_or_default();
    assert!(line.ends_with("organization"), "{text}");
    let unset = ["policy", "set", "--tenant", CLINIC, "--site", "Main", "--unset", "freeze_until"];
    assert_eq!(home.json(&unset)["levels"]["site"], json!({}));
    for (args, named) in [
        (&["--tenant", CLINIC, "--risk", "medium"][..], "must be NAME=MODE"),
        (&["--tenant", CLINIC, "--risk", "some=never"], "risk must be one of: low"),
        (&["--tenant", CLINIC, "--runbook", "RB-DISK-002=perhaps"], "mode must be one of: automatic"),
        (&["--tenant", CLINIC, "--unset", "hold"], "setting must be one of: allow"),
        (&["--tenant", CLINIC], "settings must name at least one"),
        (&["--site", "Main", "--risk", "low=never"], "--tenant"),
        (&["--risk", "low=never"], "--tenant"),
    ] {
        let refused = home.run(&[&["policy", "set"], args].concat());
        assert!(refused.code == 2 && refused.err.contains(named), "{args:?}: {}", refused.err);
    }
    server.end();
}

#[test]
fn a_template_is_kept_applied_and_removed() {
    let home = Home::new();
    let server = home.start();
    for name in [CLINIC, "Hill Clinic"] {
        home.json(&["tenant", "create", name]);
    }
    let file = home.path().join("careful.toml");
    let text = "per_tenant_hour = 12\nwindows = [\"sunday 01:00-03:00 America/Chicago\"]\n[runbook_modes]\nRB-DISK-002 = \"approval\"\n";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let kept = home.json(&["policy", "template", "put", "careful", file]);
    assert_eq!(kept["templates"][0]["settings"]["per_tenant_hour"], 12);
    let nobody =
        home.run(&["policy", "template", "apply", "careful", "--tenant", CLINIC, "--tenant", "Nobody's"]);
    assert!(nobody.code == 1 && nobody.err.contains("no tenant"), "{}", nobody.err);
    assert_eq!(home.json(&["policy", "show", "--tenant", CLINIC])["levels"]["tenant"], json!({}));
    let applied = home.json(&["policy", "template", "apply", "careful", "--all"]);
    assert_eq!(applied["tenants"], json!([CLINIC, "Hill Clinic"]));
    let shown = home.json(&["policy", "show", "--tenant", "Hill Clinic"]);
    assert_eq!(shown["effective"]["windows"], json!(["sunday 01:00-03:00 America/Chicago"]));
    assert_eq!(shown["effective"]["runbook_modes"]["RB-DISK-002"], "approval");
    assert_eq!(home.json(&["policy", "template", "remove", "careful"])["templates"], json!([]));
    for (text, named) in [("per_tenant_hour = \"many\"", "per_tenant_hour"), ("serial = 7", "serial")] {
        fs::write(file, text).unwrap();
        let refused = home.run(&["policy", "template", "put", "careful", file]);
        assert!(refused.code == 2 && refused.err.contains(named), "{}", refused.err);
    }
    let budgets = home.json(&["policy", "budgets", CLINIC]);
    assert_eq!((&budgets["budgets"][0]["most"], &budgets["breakers"]), (&json!(12), &json!([])));
    server.end();
}

#[test]
fn holds_are_set_shown_and_released_and_nothing_waits_for_approval() {
    let home = Home::new();
    let server = home.start();
    home.json(&["tenant", "create", CLINIC]);
    assert_eq!(home.run(&["hold", "list"]).out, "none\n");
    let set = home.json(&["hold", "set", "--tenant", CLINIC, "--reason", "they are moving"]);
    assert_eq!(
        (&set["level"], &set["by"], &set["until"]),
        (&json!("tenant"), &json!("server console"), &Value::Null)
    );
    home.json(&["hold", "set", "--everything", "--reason", "we look into it", "--until", "2199-01-01"]);
    let list = home.json(&["hold", "list", "--tenant", CLINIC]);
    assert_eq!(list["holds"].as_array().map(Vec::len), Some(2), "{list:#}");
    home.json(&["hold", "release", "--everything"]);
    let again = home.run(&["hold", "release", "--everything"]);
    assert!(again.code == 1 && again.err.contains("no hold of this organization"), "{}", again.err);
    for args in [
        &["--reason", "x"][..],
        &["--tenant", CLINIC, "--everything", "--reason", "x"],
        &["--tenant", CLINIC, "--reason", ""],
        &["--tenant", CLINIC, "--reason", "x", "--until", "2001-01-01"],
        &["--appliance", "not-an-id", "--reason", "x"],
    ] {
        let refused = home.run(&[&["hold", "set"], args].concat());
        assert_eq!(refused.code, 2, "{args:?}: {}", refused.err);
    }
    assert_eq!(home.json(&["hold", "list"])["holds"].as_array().map(Vec::len), Some(1));
    assert_eq!(home.json(&["approval", "list"])["approvals"], json!([]));
    let id = "0190a0c0-0000-7000-8000-000000000001";
    let none = home.run(&["approval", "reject", id, "--reason", "x"]);
    assert!(none.code == 1 && none.err.contains("nobody was asked"), "{}", none.err);
    let plan = ["order", "plan", "--appliance", id, "--fault", "directory.over-limit", "--on", "uploads"];
    let none = home.run(&plan);
    assert!(none.code == 1 && none.err.contains("no appliance"), "{}", none.err);
    server.end();
}
