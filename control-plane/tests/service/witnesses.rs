//! A server, its log and a witness that somebody else runs: the real programs, killed and put back from a backup.

use std::{fs, process::Command, time::Duration};

use control_plane::clock;
use serde_json::Value;

use crate::{
    home::Home,
    running::{Device, Running},
    watcher::Watcher,
};

const NAME: &str = "witness.example/w1";
const CLINIC: &str = "Elm Street Clinic";

/// A charter that names the witness, and settings that say where it is.
fn names(home: &Home, witness: &Watcher) {
    let (first, second) = (home.offline("organization-1"), home.offline("organization-2"));
    let vkey = witness.key.to_string();
    let renew = ["charter", "renew", "--key", &first, "--key", &second, "--witness", &vkey];
    assert_eq!(home.json(&renew)["witnesses"][0], vkey.as_str());
    let config = home.directory().config();
    let text = fs::read_to_string(&config).unwrap();
    let block = format!("[[witness]]\nname = \"{NAME}\"\nurl = \"http://{}/\"\n", witness.address);
    fs::write(&config, format!("{text}\n{block}")).unwrap();
}

/// Waits until the witness has cosigned all of the log; gives its size.
fn cosigned(home: &Home) -> u64 {
    let found = standing(home, |list| list["witnesses"][0]["behind"] == 0 && list["size"] != 0);
    found["size"].as_u64().unwrap()
}

fn standing(home: &Home, is: impl Fn(&Value) -> bool) -> Value {
    until(home, &["evidence", "witnesses", "--tenant", CLINIC], is)
}

/// What a command says once it says that; it is asked as fast as it answers, for two minutes at most.
fn until(home: &Home, command: &[&str], is: impl Fn(&Value) -> bool) -> Value {
    let begun = clock::now();
    loop {
        let said = home.json(command);
        if is(&said) {
            return said;
        }
        assert!(clock::now().since(begun) < Duration::from_secs(120), "it stays so: {said}");
    }
}

fn verified(home: &Home, name: &str) -> (i32, Value) {
    let out = home.path().join(name);
    let _ = fs::remove_dir_all(&out);
    home.json(&["evidence", "export", "--tenant", CLINIC, "--out", name]);
    let keys = home.directory().organization_keys();
    let said = home.run(&["--json", "evidence", "verify", "--trust", keys.to_str().unwrap(), name]);
    (said.code, serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.err)))
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[test]
fn settings_that_name_a_stranger_are_refused() {
    let home = Home::new();
    let config = home.directory().config();
    let text = fs::read_to_string(&config).unwrap();
    let block = format!("[[witness]]\nname = \"{NAME}\"\nurl = \"http://127.0.0.1:9/\"\n");
    fs::write(&config, format!("{text}\n{block}")).unwrap();
    let said = home.run(&["serve", "--check-config"]);
    assert_eq!(said.code, 2, "{}", said.err);
    for part in ["witness.name", NAME, "a witness of the charter (serial 1: none)", "charter renew --witness"]
    {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    let (first, second) = (home.offline("organization-1"), home.offline("organization-2"));
    let renew = ["charter", "renew", "--key", &first, "--key", &second];
    let wrong = home.run(&[&renew[..], &["--witness", "nobody"]].concat());
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    let wrong = home.run(&[&renew[..], &["--without-witness", NAME]].concat());
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    assert!(wrong.err.contains("names no such witness"), "{}", wrong.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_cosigned_behind_what_is_acknowledged_and_a_restored_one_is_found() {
    let home = Home::new();
    let mut witness = Watcher::init(home.path(), NAME);
    witness.start(&[]);
    names(&home, &witness);
    let server = Running::start(&home);
    let mut device = Device::enrol(&home, server.appliances).await;
    let records = device.beginning();
    let mut link = device.link(&home).await;
    // The witness does not know this log yet: evidence does not wait for it, and people see why.
    let acknowledged = link.sync(device.exchange(records, 0)).await.unwrap().into_inner();
    assert!(acknowledged.ack.is_some());
    let list = standing(&home, |list| !list["witnesses"][0]["trouble"].is_null());
    let trouble = list["witnesses"][0]["trouble"].as_str().unwrap();
    assert!(trouble.contains("does not know this log"), "{trouble}");
    let (code, report) = verified(&home, "bundle");
    assert_eq!((code, &report["witnesses"][0]["size"]), (3, &Value::Null), "{report}");

    // Told of it, it cosigns; the next start asks at once.
    assert_eq!(witness.run(&["trust", list["log_keys"][0].as_str().unwrap()]).json()["added"], true);
    drop(server);
    let server = Running::start(&home);
    let first = cosigned(&home);
    let (_, report) = verified(&home, "bundle");
    assert_eq!(report["fault_count"], 0, "{report}");
    assert_eq!(report["witnesses"][0]["size"], first, "{report}");
    let head = fs::read_to_string(home.path().join("bundle/log/checkpoint")).unwrap();
    assert!(head.contains(&format!("\u{2014} {NAME} ")), "{head}");
    let text = home.run(&["evidence", "witnesses", "--tenant", CLINIC]).out;
    assert!(text.contains("up to date") && text.contains("witness trust"), "{text}");
    drop(server);
    let backup = home.path().join("backup");
    copy(home.directory().root(), &backup);

    // It is killed; evidence goes on, and it catches up when it is back.
    witness.kill();
    let server = Running::start(&home);
    let mut link = device.at(server.appliances).link(&home).await;
    let beat = vec![device.beat()];
    assert!(link.sync(device.exchange(beat, 0)).await.unwrap().into_inner().ack.is_some());
    let (_, report) = verified(&home, "bundle");
    assert_eq!(report["witnesses"][0]["size"], first, "{report}");
    assert!(report["log"]["size"].as_u64().unwrap() > first, "{report}");
    assert_eq!(report["fault_count"], 0, "{report}");
    assert!(home.path().join("bundle/log/cosigned").is_dir(), "the older one lies apart");
    witness.start(&[]);
    let second = cosigned(&home);
    assert!(second > first);
    drop(server);

    // All of it, vault too, is put back as it was before: the witness knows better, before anything is signed anew.
    fs::rename(home.directory().root(), home.path().join("truth")).unwrap();
    copy(&backup, home.directory().root());
    let server = Running::start(&home);
    let list = until(&home, &["tenant", "list"], |list| !list["tenants"][0]["log_halted"].is_null());
    let halted = list["tenants"][0]["log_halted"].as_str().unwrap();
    assert!(halted.contains(&format!("has a checkpoint of {second} entries")), "{halted}");
    assert!(halted.contains("this database is older than what left it"), "{halted}");
    let incidents = home.json(&["incident", "list"]);
    let kinds: Vec<&str> =
        incidents["incidents"].as_array().unwrap().iter().map(|i| i["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"log.witness") && kinds.contains(&"log.halted"), "{kinds:?}");
    drop(server);
    assert_eq!(witness.terminate(), Some(0));
}

#[test]
fn a_witness_that_is_not_there_does_not_keep_the_server_from_ending() {
    let home = Home::new();
    let mut witness = Watcher::init(home.path(), NAME);
    witness.start(&[]);
    witness.kill();
    names(&home, &witness);
    let mut server = Running::start(&home);
    home.json(&["tenant", "create", CLINIC]);
    server.terminate();
    assert!(server.ended().success());
}
