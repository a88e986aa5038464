//! A halted log goes on under another name, from the command line: drawn up, signed by two people, installed, exported.

use std::fs;

use crate::{
    home::Home,
    running::{Device, Running},
};

#[tokio::test(flavor = "multi_thread")]
async fn two_people_begin_the_log_that_follows_a_halted_one() {
    const CLINIC: &str = "Elm Street Clinic";
    let home = Home::new();
    let mut running = Running::start(&home);
    let mut device = Device::enrol(&home, running.appliances).await;
    let records = device.beginning();
    let asked = device.exchange(records, 0);
    device.link(&home).await.sync(asked).await.unwrap();
    let draft = ["succession", "draft", CLINIC, "--cause", "vault-blocked", "--out", "elm.json"];
    let early = home.run(&draft);
    assert!(early.code == 1 && early.err.contains("goes on"), "{}", early.err);

    // Somebody puts something into the place of the next entries.
    let tenant = home.json(&["tenant", "list"])["tenants"][0].clone();
    running.terminate();
    assert!(running.ended().success());
    let (id, size) = (tenant["id"].as_str().unwrap(), tenant["log_size"].as_u64().unwrap());
    fs::write(home.directory().vault().join(format!("{id}/entries/{size:010}")), b"mine").unwrap();
    let _running = Running::start(&home);
    assert!(home.run(&["tenant", "list"]).out.contains("HALTED"));

    let drawn = home.run(&draft);
    assert!(drawn.code == 0 && drawn.out.contains("halted: ") && drawn.out.contains(&format!("{id}/2")));
    assert_eq!(home.run(&draft).code, 1, "an existing file is left alone");
    let other = home.run(&["succession", "draft", CLINIC, "--cause", "boredom", "--out", "x.json"]);
    assert!(other.code == 2 && other.err.contains("entries-lost"), "{}", other.err);
    let sign = |key: &str| home.run(&["succession", "sign", "elm.json", "--key", &home.offline(key)]);
    assert!(sign("organization-1").out.contains("signatures"));
    let install = ["succession", "install", "elm.json"];
    let one = home.run(&install);
    assert!(one.code != 0 && one.err.contains("organization keys"), "{}", one.err);
    assert_eq!(sign("organization-3").code, 0);
    let said = home.run(&install);
    assert!(said.code == 0 && said.out.contains("goes on"), "{}{}", said.out, said.err);
    let after = home.json(&["tenant", "list"])["tenants"][0].clone();
    assert_eq!(after["log_origin"], format!("evidence.msp.example/{id}/2"));
    assert!(after["log_halted"].is_null());

    // The box is told at its next call; both logs are there to be verified.
    let asked = device.exchange(vec![], 0);
    let answer = device.link(&home).await.sync(asked).await.unwrap().into_inner();
    assert!(!answer.succession.is_empty() && answer.checkpoint.is_empty());
    let trust = home.directory().organization_keys().display().to_string();
    for (log, size) in [("1", size), ("2", after["log_size"].as_u64().unwrap())] {
        let out = format!("bundle-{log}");
        home.json(&["evidence", "export", "--tenant", CLINIC, "--log", log, "--out", &out]);
        let verified = home.run(&["--json", "evidence", "verify", "--trust", &trust, &out]);
        assert_ne!(verified.code, 1, "{}{}", verified.out, verified.err);
        let report: serde_json::Value = serde_json::from_str(&verified.out).unwrap();
        assert_eq!(
            (&report["integrity"], &report["log"]["size"]),
            (&"sound".into(), &size.into()),
            "log {log}"
        );
    }
    let none = home.run(&["evidence", "export", "--tenant", CLINIC, "--log", "3", "--out", "bundle-3"]);
    assert!(none.code == 1 && none.err.contains("no log 3"), "{}", none.err);
}
