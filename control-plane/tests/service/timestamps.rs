//! A server and a timestamp authority that is none of ours, OpenSSL's, over HTTP: not there, wrong, and right.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use control_plane::{clock, timestamp::request};
use serde_json::Value;

use crate::{
    home::Home,
    running::{Device, Running},
    tsa::Tsa,
};

const CLINIC: &str = "Elm Street Clinic";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Closed,
    Wrong,
    Right,
}

/// The authority's desk.
struct Desk {
    tsa: Arc<Tsa>,
    address: SocketAddr,
    /// How it answers, and how often it was asked so.
    mood: Arc<Mutex<(Mood, usize)>>,
}

impl Desk {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tsa, mood) = (Arc::new(Tsa::make()), Arc::new(Mutex::new((Mood::Closed, 0))));
        let (stamps, is) = (tsa.clone(), mood.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let how = {
                    let mut is = is.lock().unwrap();
                    is.1 += 1;
                    is.0
                };
                answer(stream.unwrap(), how, &stamps);
            }
        });
        Self { tsa, address, mood }
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = (mood, 0);
    }

    fn asked(&self) -> usize {
        self.mood.lock().unwrap().1
    }
}

fn answer(mut stream: TcpStream, mood: Mood, tsa: &Tsa) {
    let mut asked = Vec::new();
    let mut piece = [0; 4096];
    let (head, body, length) = loop {
        let read = stream.read(&mut piece).unwrap();
        asked.extend_from_slice(&piece[..read]);
        let end = asked.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let Some(end) = end.filter(|_| read > 0) else { continue };
        let head = String::from_utf8(asked[..end].to_vec()).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length = end + 4 + length.trim().parse::<usize>().unwrap();
        break (head, end + 4, length);
    };
    assert!(head.contains("content-type: application/timestamp-query"), "{head}");
    while asked.len() < length {
        let read = stream.read(&mut piece).unwrap();
        asked.extend_from_slice(&piece[..read]);
    }
    let (status, body) = match mood {
        Mood::Closed => ("503 Service Unavailable", Vec::new()),
        Mood::Wrong => ("200 OK", tsa.reply(&request(b"something else", [1; 8]))),
        Mood::Right => ("200 OK", tsa.reply(&asked[body..length])),
    };
    let kind = "content-type: application/timestamp-reply\r\nconnection: close";
    let head = format!("HTTP/1.1 {status}\r\n{kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    // Whoever hung up has heard enough.
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
}

fn names(home: &Home, authority: &str, url: &str) {
    let config = home.directory().config();
    let text = fs::read_to_string(&config).unwrap();
    let block = format!("[timestamps]\nurl = \"{url}\"\nauthority = \"{authority}\"\n");
    fs::write(&config, format!("{text}\n{block}")).unwrap();
}

/// How the log stands with the authority, once it stands so.
fn until(home: &Home, is: impl Fn(&Value) -> bool) -> Value {
    let begun = clock::now();
    loop {
        let said = home.json(&["evidence", "witnesses", "--tenant", CLINIC])["timestamps"].clone();
        if is(&said) {
            return said;
        }
        assert!(clock::now().since(begun) < Duration::from_secs(120), "it stays so: {said}");
    }
}

fn verified(home: &Home, more: &[&str]) -> Value {
    let keys = home.directory().organization_keys();
    let verify = ["--json", "evidence", "verify", "--trust", keys.to_str().unwrap()];
    // Without a period that heartbeats fill it is not complete.
    let said = home.run(&[&verify[..], more, &["bundle"]].concat()).out;
    let report: Value = serde_json::from_str(&said).unwrap();
    let claims = report["claims"].as_array().unwrap().iter();
    claims.clone().find(|claim| claim["file"] == "log/timestamps/").expect("it is claimed").clone()
}

#[test]
fn settings_without_certificates_are_refused() {
    let home = Home::new();
    let nothing = home.path().join("nothing.pem");
    fs::write(&nothing, "no certificate").unwrap();
    let before = fs::read_to_string(home.directory().config()).unwrap();
    for (authority, says) in
        [("/nowhere/tsa.pem", "/nowhere/tsa.pem"), (nothing.to_str().unwrap(), "from 1 to 16 certificates")]
    {
        names(&home, authority, "http://127.0.0.1:9/");
        let said = home.run(&["serve", "--check-config"]);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains("timestamps.authority") && said.err.contains(says), "{}", said.err);
        fs::write(home.directory().config(), &before).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_stamped_once_a_day_behind_what_is_acknowledged() {
    let (home, desk) = (Home::new(), Desk::open());
    names(&home, desk.tsa.path("root.pem").to_str().unwrap(), &format!("http://{}/tsa", desk.address));
    let server = Running::start(&home);
    let mut device = Device::enrol(&home, server.appliances).await;
    let records = device.beginning();
    let mut link = device.link(&home).await;
    // It is not there, or answers another question: evidence does not wait for it, and people see why.
    assert!(link.sync(device.exchange(records, 0)).await.unwrap().into_inner().ack.is_some());
    let closed = until(&home, |stamps| !stamps["trouble"].is_null());
    assert!(closed["trouble"].as_str().unwrap().contains("503"), "{closed}");
    desk.is(Mood::Wrong);
    let wrong = until(&home, |stamps| !stamps["trouble"].as_str().unwrap_or("503").contains("503"));
    assert!(wrong["trouble"].as_str().unwrap().contains("of other bytes"), "{wrong}");
    assert_eq!((&wrong["count"], desk.asked() > 0), (&0.into(), true), "{wrong}");

    // The next start asks at once.
    drop(server);
    desk.is(Mood::Right);
    let server = Running::start(&home);
    let stamped = until(&home, |stamps| stamps["count"] == 1);
    assert!(stamped["trouble"].is_null() && stamped["size"].as_u64().unwrap() > 0, "{stamped}");
    let mut link = device.at(server.appliances).link(&home).await;
    let beat = vec![device.beat()];
    assert!(link.sync(device.exchange(beat, 0)).await.unwrap().into_inner().ack.is_some());

    home.json(&["evidence", "export", "--tenant", CLINIC, "--out", "bundle"]);
    let place = |ending: &str| {
        home.path().join(format!("bundle/log/timestamps/{}.{ending}", stamped["size"].as_u64().unwrap()))
    };
    assert!(desk.tsa.takes(&place("tsr"), &place("checkpoint")), "OpenSSL says otherwise");
    assert_eq!(verified(&home, &[])["status"], "not-asked");
    let tsa = desk.tsa.path("root.pem");
    let proven = verified(&home, &["--tsa", tsa.to_str().unwrap()]);
    assert_eq!((&proven["status"], &proven["count"]), (&"proven".into(), &1.into()), "{proven}");
    let wrong = home.run(&["evidence", "verify", "--tsa", "bundle/log/checkpoint", "bundle"]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    assert!(
        wrong.err.contains("--tsa is bundle/log/checkpoint, must be a file of certificates"),
        "{}",
        wrong.err
    );
    // The log has grown meanwhile, and the day is not over.
    assert_eq!(desk.asked(), 1);
    let lines = home.run(&["evidence", "witnesses", "--tenant", CLINIC]).out;
    assert!(lines.contains("Timestamps (RFC 3161): 1, the newest of "), "{lines}");
}
