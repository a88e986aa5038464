//! Letters through the settings, the outbox and real connections: a ticket system, a pager, webhooks.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use control_plane::{
    clock,
    config::Config,
    core::letters::Outgoing,
    files::{self, Access},
    serve::{outside::Outside, teller::Teller},
    telling::{Outcome, ticket::Change},
};
use proto::sync::Phase;
use serde_json::json;

use super::{acknowledge, due, fault, told};
use crate::{
    appliance::Appliance,
    receiver::Receiver,
    world::{MINUTE, World},
};

/// A clinic whose people are told as these settings say, and the ways to them.
struct Told {
    world: World,
    appliance: Appliance,
    tellers: Vec<(String, Teller)>,
    runtime: tokio::runtime::Runtime,
}

impl Told {
    fn by(settings: &str) -> Self {
        let text = format!("organization = \"msp.example\"\n[listen]\naddress = \"https://a\"\n{settings}");
        let config = Config::parse(&text).unwrap();
        let mut world = World::with(|safe| safe.settings.telling = config.escalation.rules.clone());
        let appliance = world.appliance();
        let teller = |channel: &control_plane::config::Channel| {
            let outside = Outside::new(Duration::from_secs(20));
            let teller = Teller::new(channel, None, "msp.example", outside, clock::now).unwrap();
            (channel.name.clone(), teller)
        };
        let tellers = config.escalation.channels.iter().map(teller).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { world, appliance, tellers, runtime }
    }

    fn fault(&mut self, phase: Phase) {
        fault(&mut self.world, &mut self.appliance, "disk.odd", phase);
    }

    /// Everything that is due goes out; says what came of it.
    fn send(&mut self) -> Vec<Outcome> {
        let mut all = Vec::new();
        for (channel, teller) in &self.tellers {
            for letter in due(&mut self.world, channel) {
                let outcome = self.runtime.block_on(teller.send(&letter));
                told(&mut self.world, &letter.row, outcome.clone());
                all.push(outcome);
            }
        }
        all
    }

    /// The next letter goes out, and this program ends before it has noted that.
    fn send_and_crash(&mut self) -> (Outgoing, Outcome) {
        let (channel, teller) = &self.tellers[0];
        let letter = due(&mut self.world, channel).remove(0);
        let outcome = self.runtime.block_on(teller.send(&letter));
        self.world.restart();
        self.world.now = self.world.now.plus(3 * MINUTE);
        (letter, outcome)
    }
}

/// Tickets of a system: key, state, and what was added.
type Tickets = Arc<Mutex<Vec<(String, String, Vec<String>)>>>;

/// A ticket system. What it is asked next it may do and not say.
fn system(silent_once: bool) -> (Receiver, Tickets) {
    let tickets = Tickets::default();
    let (kept, mut silent) = (tickets.clone(), silent_once);
    let receiver = Receiver::start(move |seen| {
        let mut all = kept.lock().unwrap();
        if seen.header("authorization") != "Basic dXM6aHVzaA==" || seen.header("x-client") != "orderly" {
            return Some((401, "who are you?".into()));
        }
        let path =
            seen.path.split('?').next().unwrap().trim_start_matches("/tickets").trim_start_matches('/');
        let (id, part) = path.split_once('/').unwrap_or((path, ""));
        let known = id.parse::<usize>().ok().filter(|id| (1..=all.len()).contains(id));
        match (seen.method.as_str(), known, part) {
            ("GET", None, "") => {
                let key = seen.path.split("key=").nth(1).unwrap();
                let found = all.iter().position(|(of, ..)| of == key).map(|at| json!({ "id": at + 1 }));
                Some((200, json!(found.into_iter().collect::<Vec<_>>()).to_string()))
            }
            ("POST", None, "") => {
                let asked = seen.json();
                let text = |name: &str| asked[name].as_str().unwrap().to_owned();
                all.push((text("key"), "open".into(), vec![text("summary")]));
                let answer = json!({ "id": all.len(), "summary": text("summary") }).to_string();
                (!std::mem::take(&mut silent)).then_some((201, answer))
            }
            ("POST", Some(id), "notes") => {
                all[id - 1].2.push(seen.json()["text"].as_str().unwrap().to_owned());
                Some((201, "{}".into()))
            }
            ("PATCH", Some(id), "") => {
                seen.json()[0]["value"].as_str().unwrap().clone_into(&mut all[id - 1].1);
                Some((200, "{}".into()))
            }
            _ => Some((404, "no such ticket".into())),
        }
    });
    (receiver, tickets)
}

fn settings(receiver: &Receiver, folder: &Path) -> String {
    let secret = folder.join("psa.headers");
    if !secret.exists() {
        files::create(&secret, b"Authorization: Basic dXM6aHVzaA==\n", Access::Secret).unwrap();
    }
    let (base, one) = (receiver.url("/tickets"), receiver.url("/tickets/{ticket}"));
    format!(
        r#"
        [[escalation.channel]]
        name = "psa"
        kind = "ticket"
        headers = ["X-Client: orderly"]
        secret_file = "{}"
        find = {{ method = "GET", url = "{base}?key={{key}}", id = "/0/id" }}
        open = {{ method = "POST", url = "{base}", id = "/id", body = '{{"summary": "{{title}}", "key": "{{key}}"}}' }}
        update = {{ method = "POST", url = "{one}/notes", body = '{{"text": "{{reason}}"}}' }}
        reopen = {{ method = "PATCH", url = "{one}", body = '[{{"value": "reopened"}}]' }}
        close = {{ method = "PATCH", url = "{one}", body = '[{{"value": "closed"}}]' }}
        "#,
        secret.display()
    )
}

#[test]
fn a_fault_is_one_ticket_opened_updated_closed_and_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, tickets) = system(false);
    let mut told = Told::by(&settings(&receiver, folder.path()));
    let state = || tickets.lock().unwrap().iter().map(|(_, state, _)| state.clone()).collect::<Vec<_>>();
    told.fault(Phase::Raised);
    assert_eq!(told.send(), [Outcome::Taken(Change::Open("1".into()))]);
    assert_eq!(state(), ["open"]);
    acknowledge(&mut told.world, "ann").unwrap();
    assert_eq!(told.send(), [Outcome::Taken(Change::Open("1".into()))]);
    told.fault(Phase::Cleared);
    assert_eq!(told.send(), [Outcome::Taken(Change::Closed)]);
    assert_eq!(state(), ["closed"]);
    told.fault(Phase::Raised);
    assert_eq!(told.send(), [Outcome::Taken(Change::Open("1".into()))]);
    assert_eq!(state(), ["reopened"]);
    assert_eq!(
        tickets.lock().unwrap()[0].2,
        ["disk.odd on uploads at Riverside Dental", "acknowledged by ann"]
    );
    // The same fault of another box is another ticket.
    let mut other = told.world.appliance();
    fault(&mut told.world, &mut other, "disk.odd", Phase::Raised);
    assert_eq!(told.send(), [Outcome::Taken(Change::Open("2".into()))]);
    let keys: Vec<String> =
        receiver.seen().iter().map(|seen| seen.header("idempotency-key").to_owned()).collect();
    assert!(keys.iter().all(|key| key.starts_with("msg_")), "{keys:?}");
}

#[test]
fn a_ticket_that_was_opened_before_a_crash_is_found_again() {
    for silent in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (receiver, tickets) = system(silent);
        let mut told = Told::by(&settings(&receiver, folder.path()));
        told.fault(Phase::Raised);
        // Once the answer came, and this program ended; once the line broke.
        let (letter, first) = told.send_and_crash();
        assert_eq!(matches!(first, Outcome::Later(..)), silent, "{first:?}");
        assert_eq!(told.send(), [Outcome::Taken(Change::Open("1".into()))]);
        assert_eq!(tickets.lock().unwrap().len(), 1, "one ticket");
        let posts = receiver.seen().iter().filter(|seen| seen.method == "POST").count();
        assert_eq!(posts, 1);
        let keys: Vec<String> =
            receiver.seen().iter().map(|seen| seen.header("idempotency-key").to_owned()).collect();
        assert!(keys.iter().all(|key| *key == letter.row.key), "{keys:?}");
    }
}

/// Its answer never came, until no more was tried: what comes next in the thread must look for it.
#[test]
fn a_ticket_that_a_dead_letter_opened_is_found_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, tickets) = system(true);
    let mut told = Told::by(&settings(&receiver, folder.path()));
    told.fault(Phase::Raised);
    let (letter, _) = told.send_and_crash();
    let now = told.world.now;
    told.world.core.run(now, |core| core.told(&letter.row, &Outcome::Never("no more".into()), now)).unwrap();
    told.fault(Phase::Cleared);
    told.fault(Phase::Raised);
    told.send();
    told.send();
    assert_eq!(tickets.lock().unwrap().len(), 1);
    assert_eq!(told.world.text("SELECT number FROM ticket"), "1");
}

#[test]
fn a_ticket_that_somebody_deleted_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, tickets) = system(false);
    let mut told = Told::by(&settings(&receiver, folder.path()));
    told.fault(Phase::Raised);
    told.send();
    tickets.lock().unwrap().clear();
    acknowledge(&mut told.world, "ann").unwrap();
    assert_eq!(told.send(), [Outcome::TicketLost]);
    told.world.now = told.world.now.plus(MINUTE);
    // What is only taken on needs no ticket of its own; what is there does.
    assert_eq!(told.send(), [Outcome::Taken(Change::None)]);
    told.fault(Phase::Cleared);
    told.send();
    told.fault(Phase::Raised);
    assert_eq!(told.send(), [Outcome::Taken(Change::Open("1".into()))]);
}

#[test]
fn an_opened_ticket_without_an_id_is_not_opened_again_and_a_wrong_key_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|seen| match seen.method.as_str() {
        "POST" => Some((201, format!("{{\"much\": \"{}\"}}", "x".repeat(1 << 20)))),
        _ => Some((200, "[]".into())),
    });
    let mut told = Told::by(&settings(&receiver, folder.path()));
    told.fault(Phase::Raised);
    let said = told.send().remove(0);
    assert!(
        matches!(&said, Outcome::Never(why) if why.contains("the answer has no ID at \"/id\"")),
        "{said:?}"
    );
    assert_eq!(told.world.core.notifications("", "dead", 9).unwrap().len(), 1);

    let (receiver, _tickets) = system(false);
    let folder = tempfile::tempdir().unwrap();
    files::create(&folder.path().join("psa.headers"), b"Authorization: Basic wrong\n", Access::Secret)
        .unwrap();
    let mut told = Told::by(&settings(&receiver, folder.path()));
    told.fault(Phase::Raised);
    let said = told.send().remove(0);
    assert!(matches!(&said, Outcome::Later(why, _) if why.contains("401: who are you?")), "{said:?}");
}

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
    let events: Vec<serde_json::Value> =
        receiver.seen().iter().map(super::super::receiver::Seen::json).collect();
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
