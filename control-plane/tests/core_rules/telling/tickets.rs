//! Tickets, through the settings, the outbox and real connections.

use std::{
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
    world::{MINUTE, SECOND, World},
};

/// A clinic whose people are told as these settings say, and the ways to them.
pub struct Told {
    pub world: World,
    appliance: Appliance,
    tellers: Vec<(String, Teller)>,
    runtime: tokio::runtime::Runtime,
}

fn config(settings: &str) -> Config {
    Config::parse(&format!("organization = \"msp.example\"\n[listen]\naddress = \"https://a\"\n{settings}"))
        .unwrap()
}

fn tellers(config: &Config) -> Vec<(String, Teller)> {
    let teller = |channel: &control_plane::config::Channel| {
        let outside = Outside::new(Duration::from_secs(20));
        let teller = Teller::new(channel, None, "msp.example", outside, clock::now).unwrap();
        (channel.name.clone(), teller)
    };
    config.escalation.channels.iter().map(teller).collect()
}

impl Told {
    pub fn by(settings: &str) -> Self {
        let config = config(settings);
        let mut world = World::with(|safe| safe.settings.telling = config.escalation.rules.clone());
        let appliance = world.appliance();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { world, appliance, tellers: tellers(&config), runtime }
    }

    /// The settings become others, and the server is started again.
    pub fn lead_to(&mut self, settings: &str) {
        let config = config(settings);
        let safe = Arc::get_mut(&mut self.world.safe).expect("nobody else looks into it");
        safe.settings.telling = config.escalation.rules.clone();
        self.world.restart();
        self.tellers = tellers(&config);
    }

    pub fn fault(&mut self, phase: Phase) {
        // One after the other, as faults come and go.
        self.world.now = self.world.now.plus(SECOND);
        fault(&mut self.world, &mut self.appliance, "disk.odd", phase);
    }

    /// Everything that is due goes out; says what came of it.
    pub fn send(&mut self) -> Vec<Outcome> {
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
    let all = tickets.lock().unwrap().clone();
    assert_eq!(all.len(), 1);
    assert_eq!(told.world.text("SELECT number FROM ticket"), "1");
    // What the letter says is in it, and it is open.
    let why = told.world.core.incidents("", "escalated", 1).unwrap().remove(0).reason;
    assert_eq!((all[0].1.as_str(), all[0].2.last()), ("reopened", Some(&why)));
}

/// As a dead letter may leave it: that the fault is gone must reach it, too.
#[test]
fn a_ticket_that_is_not_known_is_closed_when_its_fault_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, tickets) = system(true);
    let mut told = Told::by(&settings(&receiver, folder.path()));
    told.fault(Phase::Raised);
    let (letter, _) = told.send_and_crash();
    let now = told.world.now;
    told.world.core.run(now, |core| core.told(&letter.row, &Outcome::Never("no more".into()), now)).unwrap();
    told.fault(Phase::Cleared);
    assert_eq!(told.send(), [Outcome::Taken(Change::Closed)]);
    assert_eq!(tickets.lock().unwrap()[0].1, "closed");
}

/// It was opened; whatever stands in the answer, its number does not.
#[test]
fn a_ticket_whose_number_did_not_come_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut is_there = false;
    let receiver = Receiver::start(move |seen| match seen.method.as_str() {
        "POST" => {
            is_there = true;
            Some((201, "<html>thank you</html>".into()))
        }
        _ => Some((200, if is_there { r#"[{"id":7}]"# } else { "[]" }.into())),
    });
    let mut told = Told::by(&settings(&receiver, folder.path()));
    told.fault(Phase::Raised);
    assert_eq!(told.send(), [Outcome::Taken(Change::Open("7".into()))]);
    assert_eq!(receiver.seen().iter().filter(|seen| seen.method == "POST").count(), 1);
}

/// The number of a ticket means another ticket in another system.
#[test]
fn a_channel_that_leads_to_another_system_leaves_its_tickets_behind() {
    let folder = tempfile::tempdir().unwrap();
    let ((first, ours), (second, strangers)) = (system(false), system(false));
    let mut told = Told::by(&settings(&first, folder.path()));
    told.fault(Phase::Raised);
    told.send();
    // As a program before this one kept it: by the channel's name alone.
    assert_eq!(told.world.db.share().execute("UPDATE ticket SET channel = 'psa'", []).unwrap(), 1);
    told.lead_to(&settings(&first, folder.path()));
    acknowledge(&mut told.world, "ann").unwrap();
    assert_eq!(told.send(), [Outcome::Taken(Change::Open("1".into()))]);
    assert_eq!(ours.lock().unwrap()[0].2.len(), 2);

    strangers.lock().unwrap().push(("somebody".into(), "open".into(), vec!["printer".into()]));
    told.lead_to(&settings(&second, folder.path()));
    told.fault(Phase::Cleared);
    told.send();
    told.fault(Phase::Raised);
    assert_eq!(told.send(), [Outcome::Taken(Change::Open("2".into()))]);
    let theirs = strangers.lock().unwrap().clone();
    assert_eq!((theirs[0].1.as_str(), theirs[0].2.len(), theirs.len()), ("open", 1, 2));
    // And back: it is the one that it was.
    told.lead_to(&settings(&first, folder.path()));
    told.fault(Phase::Cleared);
    assert_eq!(told.send(), [Outcome::Taken(Change::Closed)]);
    assert_eq!(ours.lock().unwrap()[0].1, "closed");
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

/// It lasts an hour: asked for once, again when it is refused, and the secret goes nowhere else.
#[test]
fn a_token_that_does_not_last_is_kept_while_it_holds_and_asked_for_again_when_refused() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("psa.client");
    files::create(&secret, b"hush&more\n", Access::Secret).unwrap();
    let mut given = 0;
    let receiver = Receiver::start(move |seen| {
        if seen.path == "/auth/token" {
            given += 1;
            return Some((
                200,
                format!(r#"{{"access_token":"t{given}","token_type":"Bearer","expires_in":3600}}"#),
            ));
        }
        // The first is taken back after it was used twice.
        match (seen.header("authorization"), seen.path.contains("notes")) {
            ("Bearer t1", false) | ("Bearer t2", _) => Some((201, r#"{"id":5}"#.into())),
            _ => Some((401, "who are you?".into())),
        }
    });
    let (open, one) = (receiver.url("/tickets"), receiver.url("/tickets/{ticket}"));
    let mut told = Told::by(&format!(
        r#"
        [[escalation.channel]]
        name = "psa"
        kind = "ticket"
        token = {{ url = "{}", client_id = "orderly", client_secret_file = "{}", scope = "all" }}
        open = {{ method = "POST", url = "{open}", id = "/id" }}
        update = {{ method = "POST", url = "{one}/notes" }}
        reopen = {{ method = "PATCH", url = "{one}" }}
        close = {{ method = "PATCH", url = "{one}" }}
        "#,
        receiver.url("/auth/token"),
        secret.display()
    ));
    told.fault(Phase::Raised);
    assert_eq!(told.send(), [Outcome::Taken(Change::Open("5".into()))]);
    acknowledge(&mut told.world, "ann").unwrap();
    assert!(matches!(&told.send()[..], [Outcome::Later(why, _)] if why.contains("401")));
    told.world.now = told.world.now.plus(MINUTE);
    assert_eq!(told.send(), [Outcome::Taken(Change::Open("5".into()))]);
    let seen = receiver.seen();
    let paths: Vec<&str> = seen.iter().map(|seen| seen.path.as_str()).collect();
    let (auth, notes) = ("/auth/token", "/tickets/5/notes");
    assert_eq!(paths, [auth, "/tickets", notes, auth, notes]);
    let form = "grant_type=client_credentials&client_id=orderly&client_secret=hush%26more&scope=all";
    assert_eq!(seen[0].body, form.as_bytes());
    assert!(seen.iter().filter(|seen| seen.path != auth).all(|seen| !format!("{seen:?}").contains("hush")));
}
