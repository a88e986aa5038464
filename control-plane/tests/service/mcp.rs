//! Assistants' tools, asked by the official SDK for Python: over stdio and over HTTP, as whoever's token it is.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::home::Home;

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/mcp-venv/bin/python");
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/mcp/client.py");
const ALL: [&str; 5] =
    ["get_compliance_posture", "get_incident", "list_incidents", "list_runbooks", "propose_runbook"];

/// What the client got; `None`: it is not installed, and that is said.
fn client(asked: &Value) -> Option<Value> {
    if !Path::new(PYTHON).exists() {
        assert!(std::env::var_os("CI").is_none(), "{PYTHON} is missing: `make setup-test` installs it");
        eprintln!("skipped: {PYTHON} is missing; `make setup-test` installs it");
        return None;
    }
    let mut client =
        Command::new(PYTHON).arg(CLIENT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    client.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let said = client.wait_with_output().unwrap();
    assert!(said.status.success());
    Some(serde_json::from_slice(&said.stdout).unwrap())
}

fn token(home: &Home, name: &str, more: &[&str]) -> String {
    let made = ["operator", "token", "--name", name];
    home.json(&[&made, more].concat())["token"].as_str().unwrap().to_owned()
}

fn answer(got: &Value, n: usize) -> (bool, Value) {
    let answer = &got["answers"][n];
    let text = answer["text"].as_str().unwrap();
    let read = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    (answer["failed"].as_bool().unwrap(), read)
}

#[test]
fn an_assistant_reads_what_its_token_may_and_no_more() {
    let home = Home::new();
    let server = home.start();
    let elm = home.json(&["tenant", "create", "Elm Street Clinic"]);
    home.json(&["tenant", "create", "Hill Clinic"]);
    let calls = json!([
        ["list_incidents", {}],
        ["list_runbooks", {}],
        ["get_compliance_posture", { "tenant": "Elm Street Clinic" }],
        ["get_compliance_posture", { "tenant": "Hill Clinic" }],
        ["get_incident", { "id": "0190a0c0-0000-7000-8000-000000000001" }],
        ["propose_runbook", { "incident": "0190a0c0-0000-7000-8000-000000000001", "runbook": "RB-DISK-002", "why": "full" }],
        ["list_incidents", { "tenant": "Elm Street Clinic", "surprise": true }],
        ["run_shell", { "command": "id" }],
    ]);
    let program = env!("CARGO_BIN_EXE_control-plane");
    let config = home.directory().config().display().to_string();
    let Some(console) = client(&json!({ "command": [program, "mcp", "--config", config], "calls": calls }))
    else {
        return server.end();
    };
    let tools: Vec<_> = console["tools"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(tools, ALL);
    assert_eq!(answer(&console, 0), (false, json!({ "incidents": [] })));
    let (failed, runbooks) = answer(&console, 1);
    assert!(!failed && runbooks["runbooks"].as_array().unwrap().len() > 3, "{runbooks}");
    assert_eq!(
        answer(&console, 2),
        (false, json!({ "tenant": { "id": elm["id"], "name": "Elm Street Clinic" }, "appliances": [] }))
    );
    assert!(!answer(&console, 3).0);
    for refused in 4..8 {
        assert!(answer(&console, refused).0, "{}", console["answers"][refused]);
    }
    assert!(answer(&console, 6).1.as_str().unwrap().contains("surprise"));

    // The same over HTTP; the token sees one clinic and changes nothing.
    let url = format!("https://{}/mcp", server.people);
    let ca = home.directory().ca_certificate().display().to_string();
    let over_http =
        |token: &str| client(&json!({ "url": url, "token": token, "ca": ca, "calls": calls })).unwrap();
    let auditor =
        over_http(&token(&home, "elm-audit", &["--role", "auditor", "--tenant", "Elm Street Clinic"]));
    assert_eq!(auditor["tools"], console["tools"]);
    assert_eq!(answer(&auditor, 2), answer(&console, 2));
    let (failed, other) = answer(&auditor, 3);
    assert!(failed && other.as_str().unwrap().contains("there is no tenant \"Hill Clinic\""), "{other}");
    let (failed, proposal) = answer(&auditor, 5);
    assert!(failed && proposal.as_str().unwrap().contains("needs the role"), "{proposal}");
    assert!(!auditor["answers"].to_string().replace("\\\"Hill Clinic\\\"", "").contains("Hill"), "{auditor}");
    let stranger = over_http("guessed");
    assert!(stranger["refused"].as_str().is_some_and(|why| !why.is_empty()), "{stranger}");
    server.end();
}
