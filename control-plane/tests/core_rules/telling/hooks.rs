//! Pagers and webhooks, at receivers that answer as theirs do.

use std::{fs, path::Path};

use control_plane::{
    files::{self, Access},
    telling::{Outcome, ticket::Change},
};
use proto::sync::Phase;
use serde_json::json;

use super::{acknowledge, tickets::Told};
use crate::{
    receiver::{Receiver, Seen},
    world::MINUTE,
};

#[test]
fn a_pager_hears_of_one_alert_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("pager.key");
    files::create(&key, b"R0UTINGKEY\n", Access::Secret).unwrap();
    let receiver = Receiver::start(|_| Some((202, r#"{"status":"success"}"#.into())));
    let url = receiver.url("/v2/enqueue");
    let mut told = Told::by(&format!(
        "[[escalation.channel]]\nname = \"pager\"\nkind = \"pagerduty\"\nsecret_file = \"{}\"\nurl = \"{url}\"\n",
        key.display()
    ));
    told.fault(Phase::Raised);
    told.send();
    acknowledge(&mut told.world, "ann").unwrap();
    told.send();
    told.fault(Phase::Cleared);
    told.send();
    let events: Vec<serde_json::Value> = receiver.seen().iter().map(Seen::json).collect();
    let actions: Vec<&str> = events.iter().map(|event| event["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "acknowledge", "resolve"]);
    assert!(events.iter().all(|event| event["dedup_key"] == events[0]["dedup_key"]));
    assert!(events.iter().all(|event| event["routing_key"] == "R0UTINGKEY"));
    assert_eq!(events[0]["payload"]["severity"], "error");
}

/// `.ci/setup test` installs it.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers-venv/bin/python");
const VERIFY: &str = "import sys, json
from standardwebhooks import Webhook
print(json.dumps(Webhook(sys.argv[1]).verify(sys.argv[3], json.loads(sys.argv[2]))))";

#[test]
fn a_webhook_is_signed_as_somebody_elses_library_verifies_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hook.secret");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    files::create(&file, secret.as_bytes(), Access::Secret).unwrap();
    let mut busy = true;
    let receiver = Receiver::start(move |_| match std::mem::take(&mut busy) {
        true => Some((503, "busy".into())),
        false => Some((204, String::new())),
    });
    let mut told = Told::by(&format!(
        "[escalation]\nwebhook = \"{}\"\nwebhook_secret_file = \"{}\"\n",
        receiver.url("/hook?a=b"),
        file.display()
    ));
    told.fault(Phase::Raised);
    assert!(matches!(&told.send()[..], [Outcome::Later(why, None)] if why.contains("503: busy")));
    told.world.now = told.world.now.plus(MINUTE);
    assert_eq!(told.send(), [Outcome::Taken(Change::None)]);
    let seen = receiver.seen();
    assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
    assert_eq!(
        (seen[0].path.as_str(), seen[0].json()["type"].as_str()),
        ("/hook?a=b", Some("incident.escalated"))
    );

    if !Path::new(PYTHON).exists() || !has_library() {
        assert!(std::env::var_os("CI").is_none(), "`make setup-test` installs standardwebhooks from PyPI");
        println!("skipped: standardwebhooks is not here; `.ci/setup test` installs it");
        return;
    }
    let body = String::from_utf8(seen[1].body.to_vec()).unwrap();
    let headers = |change: &str| {
        json!({
            "webhook-id": format!("{}{change}", seen[1].header("webhook-id")),
            "webhook-timestamp": seen[1].header("webhook-timestamp"),
            "webhook-signature": seen[1].header("webhook-signature"),
        })
        .to_string()
    };
    let verify = |headers: &str, body: &str| {
        let said =
            std::process::Command::new(PYTHON).args(["-c", VERIFY, secret, headers, body]).output().unwrap();
        (
            said.status.success(),
            String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr),
        )
    };
    let (is_good, said) = verify(&headers(""), &body);
    assert!(is_good && said.contains("incident.escalated"), "{said}");
    assert!(!verify(&headers("x"), &body).0);
    assert!(!verify(&headers(""), &body.replace("uploads", "nothing")).0);
}

fn has_library() -> bool {
    let folder = Path::new(PYTHON).parent().and_then(Path::parent).unwrap().join("lib");
    let pythons = fs::read_dir(folder).into_iter().flatten().flatten();
    pythons.into_iter().any(|python| python.path().join("site-packages/standardwebhooks").exists())
}
