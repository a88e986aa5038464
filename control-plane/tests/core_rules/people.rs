//! People sign in: by passkey, by recovery code; and whoever is not let in, or no longer. The real door without sockets.

mod attacks;
mod owners;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use control_plane::{
    access::{Grant, passkeys::Ceremonies},
    core::people::Invitee,
    serve::{
        gate::{Gate, Rule},
        http::{Front, Health, HealthCheck},
        known::Known,
        listener::{Address, Admission, Peer},
        operators::{About, Operators},
        people::People,
        services::operator_routes,
        writer::Writer,
    },
    store::Store,
};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use proto::time::Millis;
use rusqlite::{Connection, backup::Backup};
use serde_json::{Value, json};
use tonic::{Code, body::Body};
use tower::ServiceExt as _;

use crate::{
    authenticator::Authenticator,
    doors::known,
    world::{DAY, HOUR, MINUTE, World, open},
};

const ORIGIN: &str = "https://control.msp.example:8444";

/// A server without sockets, and a clock that a test turns.
struct Server {
    rule: Rule,
    front: Front,
    writer: Writer,
    now: Arc<AtomicI64>,
    db: Connection,
}

/// Somebody's browser: it keeps the cookie.
struct Browser<'s> {
    server: &'s Server,
    cookie: String,
    origin: Option<&'static str>,
    address: [u8; 4],
    /// An API token instead of a cookie.
    token: Option<&'static str>,
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
    code: Option<Code>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{} {}", self.status, self.text))
    }

    #[track_caller]
    fn good(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }

    #[track_caller]
    fn refused(&self, status: u16, words: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let said = self.json()["problem"].as_str().unwrap().to_owned();
        assert!(said.contains(words), "{said:?} lacks {words:?}");
        assert!(!self.headers.contains_key("set-cookie"));
    }
}

impl Server {
    fn new(world: World) -> Self {
        let known = known(&world);
        Self::behind(world, known)
    }

    /// Over a database in a file, whose reader does not wait while somebody writes.
    fn on_file(mut world: World, folder: &Path) -> Self {
        let file = folder.join("control-plane.db");
        let (from, mut to) = (world.db.share(), Connection::open(&file).unwrap());
        Backup::new(&from, &mut to).unwrap().run_to_completion(1000, Duration::ZERO, None).unwrap();
        let store = Store::open(&file).unwrap();
        world.core = open(&world.safe, store, Box::new(world.vault.clone()), 99, world.now).unwrap();
        let reader = Store::open_reader(&file).unwrap();
        Self::behind(world, Known::new(Arc::new(Mutex::new(reader))))
    }

    fn behind(world: World, known: Known) -> Self {
        let now = Arc::new(AtomicI64::new(world.now.0));
        let clock = {
            let now = now.clone();
            move || Millis(now.load(Ordering::SeqCst))
        };
        let (memory, trust) = (Mutex::new(world.db), world.safe.trust.clone());
        let db = memory.lock().unwrap().share();
        let (writer, _thread) = Writer::spawn(world.core, clock.clone()).unwrap();
        let about = About {
            address: "https://control.msp.example:8443".into(),
            people: ORIGIN.into(),
            trust,
            witnesses: Vec::new(),
            timestamps: String::new(),
            reader: Box::new(move || control_plane::store::Store::with(memory.lock().unwrap().share())),
            clock: control_plane::clock::now,
        };
        let routes = operator_routes(Operators::new(writer.clone(), Arc::new(about)));
        let health: HealthCheck = Arc::new(|| Box::pin(async { Health::Well }));
        let people = People {
            writer: writer.clone(),
            known: known.clone(),
            ceremonies: Arc::new(Ceremonies::new(ORIGIN, "msp.example", control_plane::clock::random)),
            guesses: Arc::default(),
            clock: Arc::new(clock),
            provider: None,
            organization: "Acme IT".into(),
            contact: "help@acme.example".into(),
        };
        let rule = Rule::People { writer: writer.clone(), known, origin: ORIGIN.into() };
        Self { rule, front: Front::people(routes, health, None).with_people(people), writer, now, db }
    }

    fn wait(&self, span: Duration) {
        self.now.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn browser(&self) -> Browser<'_> {
        Browser {
            server: self,
            cookie: String::new(),
            origin: Some(ORIGIN),
            address: [192, 0, 2, 7],
            token: None,
        }
    }

    /// An invitation, as the console gives it: its secret.
    async fn invite(&self, name: &str, grant: Grant, valid: Duration) -> String {
        let invitee = Invitee { name: name.into(), email: String::new(), grant };
        self.writer.run(move |core, now| core.invite(invitee, valid, now)).await.unwrap().1.secret
    }

    /// Somebody who has a passkey, and is signed in.
    async fn signed_in(&self, name: &str, grant: Grant, id: u8) -> (Browser<'_>, Authenticator, Vec<String>) {
        let link = self.invite(name, grant, DAY).await;
        let (mut browser, mut key) = (self.browser(), Authenticator::new(ORIGIN, id));
        let codes = browser.make("/invite", &link, &mut key).await.good()["codes"].clone();
        (browser, key, serde_json::from_value(codes).unwrap())
    }
}

impl Browser<'_> {
    async fn send(&mut self, method: Method, path: &str, kind: &str, body: Vec<u8>) -> Got {
        let mut request = Request::builder().method(method).uri(path).header("content-type", kind);
        if let Some(origin) = self.origin {
            request = request.header("origin", origin);
        }
        if let Some(token) = self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !self.cookie.is_empty() {
            request = request.header("cookie", format!("other=1; {}", self.cookie));
        }
        let mut request = request.body(Body::new(Full::from(body))).unwrap();
        let address = Address::Network(SocketAddr::from((self.address, 1)));
        request.extensions_mut().insert(Peer {
            certificate: None,
            address,
            admission: Admission::new(false),
        });
        let door = Gate::new(self.server.rule.clone(), self.server.front.clone());
        let answer = door.oneshot(request).await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.into_body().collect().await.unwrap();
        let late = body.trailers().cloned().unwrap_or_default();
        let bytes = body.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let code =
            late.get("grpc-status").or(headers.get("grpc-status")).map(|code| code.as_bytes().to_vec());
        // gRPC-web has the trailers at the end of the body.
        let code = code.or_else(|| {
            let (_, rest) = text.split_once("grpc-status:")?;
            Some(rest.bytes().take_while(u8::is_ascii_digit).collect())
        });
        if let Some(cookie) = headers.get("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{cookie}");
            let (pair, _) = cookie.split_once(';').unwrap();
            self.cookie = if pair.ends_with('=') { String::new() } else { pair.to_owned() };
        }
        Got { status, headers, text, code: code.map(|code| Code::from_bytes(&code)) }
    }

    async fn post(&mut self, path: &str, body: Value) -> Got {
        self.send(Method::POST, path, "application/json", body.to_string().into_bytes()).await
    }

    async fn look(&mut self, path: &str) -> Got {
        self.send(Method::GET, path, "text/html", Vec::new()).await
    }

    /// A gRPC-web call of an empty message, as a page makes it.
    async fn call(&mut self, call: &str) -> Code {
        let kind = "application/grpc-web+proto";
        let got = self.send(Method::POST, &format!("/orderly.v1.{call}"), kind, vec![0; 5]).await;
        got.code.unwrap_or_else(|| panic!("{call}: {} {:?}", got.status, got.text))
    }

    async fn make(&mut self, place: &str, link: &str, key: &mut Authenticator) -> Got {
        let begun = self.post(&format!("{place}/begin"), json!({ "link": link })).await;
        if begun.status != StatusCode::OK {
            return begun;
        }
        let begun = begun.json();
        let answer = key.make(&begun["options"]);
        let body =
            json!({ "link": link, "label": "Laptop", "ceremony": begun["ceremony"], "answer": answer });
        self.post(&format!("{place}/finish"), body).await
    }

    async fn show(&mut self, key: &mut Authenticator) -> Got {
        let begun = self.post("/sign-in/begin", json!({})).await.good();
        let answer = key.show(&begun["options"]);
        self.post("/sign-in/finish", json!({ "ceremony": begun["ceremony"], "answer": answer })).await
    }
}

#[tokio::test]
async fn an_invitation_a_passkey_a_session_and_a_call() {
    let server = Server::new(World::new());
    let link = server.invite("alice", Grant::everything(), DAY).await;
    let (mut browser, mut key) = (server.browser(), Authenticator::new(ORIGIN, 1));
    let page = browser.look(&format!("/invite/{link}")).await;
    assert!(page.text.contains("Welcome, alice") && page.text.contains("data-way=\"make\""), "{}", page.text);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers["referrer-policy"], "no-referrer");

    assert_eq!(browser.call("People/List").await, Code::Unauthenticated);
    let made = browser.make("/invite", &link, &mut key).await.good();
    assert_eq!(made["codes"].as_array().unwrap().len(), 10);
    assert_eq!(browser.call("People/List").await, Code::Ok, "in person, with a cookie");
    let account = browser.look("/account").await.text;
    assert!(account.contains("Laptop") && account.contains("10 are left") && account.contains("192.0.2.7"));

    browser.post("/account/leave", json!({})).await.good();
    assert_eq!(browser.cookie, "");
    assert_eq!(browser.call("People/List").await, Code::Unauthenticated);
    assert_eq!(browser.look("/account").await.headers["location"], "/sign-in");
    let page = browser.look("/sign-in").await.text;
    assert!(page.contains("Acme IT") && page.contains("Questions: help@acme.example"), "{page}");
    browser.show(&mut key).await.good();
    assert_eq!(browser.call("People/List").await, Code::Ok, "the key knows the name");

    // What is kept is no secret, and no secret is kept.
    let cookie = browser.cookie.split_once('=').unwrap().1.to_owned();
    let dump = server.dump();
    for secret in [&cookie, &link, made["codes"][0].as_str().unwrap()] {
        assert!(!dump.contains(secret), "{secret}");
    }
    assert!(dump.contains("alice") && dump.contains("signed in") && dump.contains("signed out"), "{dump}");
}

impl Server {
    /// All that the database holds of people, as text.
    fn dump(&self) -> String {
        let tables = ["operator", "passkey", "invitation", "session", "recovery_code", "audit"];
        let rows = tables.iter().flat_map(|table| {
            let mut statement = self.db.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let columns = statement.column_count();
            let read = statement.query_map([], |row| {
                (0..columns)
                    .map(|at| Ok(format!("{:?}", row.get::<_, rusqlite::types::Value>(at)?)))
                    .collect::<rusqlite::Result<Vec<_>>>()
            });
            read.unwrap().map(|row| row.unwrap().join(" ")).collect::<Vec<_>>()
        });
        rows.collect::<Vec<_>>().join("\n")
    }
}

#[tokio::test]
async fn a_session_ends_by_itself_and_by_hand() {
    let server = Server::new(World::new());
    let (mut browser, mut key, _) = server.signed_in("alice", Grant::everything(), 1).await;
    let gives_access = ["People/Invite", "Operators/IssueToken"];
    server.wait(14 * MINUTE);
    for call in gives_access {
        assert_eq!(browser.call(call).await, Code::InvalidArgument, "{call}: nothing was said of whom");
    }
    server.wait(15 * MINUTE);
    for call in gives_access {
        assert_eq!(
            browser.call(call).await,
            Code::FailedPrecondition,
            "{call}: not with a session found open"
        );
    }
    assert_eq!(browser.call("People/List").await, Code::Ok);
    server.wait(29 * MINUTE);
    assert_eq!(browser.call("Tenants/List").await, Code::Ok, "each use begins the half hour anew");
    server.wait(30 * MINUTE);
    assert_eq!(browser.call("Tenants/List").await, Code::PermissionDenied, "half an hour of nothing");
    browser.show(&mut key).await.good();
    for _ in 0..47 {
        server.wait(15 * MINUTE);
        assert_eq!(browser.call("Tenants/List").await, Code::Ok);
    }
    server.wait(15 * MINUTE);
    assert_eq!(browser.call("Tenants/List").await, Code::PermissionDenied, "twelve hours at most");

    browser.show(&mut key).await.good();
    let mut phone = server.browser();
    phone.address = [198, 51, 100, 9];
    phone.show(&mut key).await.good();
    let page = browser.look("/account").await.text;
    let (_, rest) = page.split_once("data-path=\"/account/end\" data-id=\"").unwrap();
    let id = &rest[..16];
    browser.post("/account/end", json!({ "id": "0123" })).await.refused(404, "no session");
    browser.post("/account/end", json!({ "id": id })).await.good();
    assert_eq!(phone.call("Tenants/List").await, Code::PermissionDenied);
    assert_eq!(browser.call("Tenants/List").await, Code::Ok);
}

#[tokio::test]
async fn several_passkeys_are_made_and_removed_but_the_last_stays() {
    let server = Server::new(World::new());
    let (mut browser, mut key, _) = server.signed_in("alice", Grant::everything(), 1).await;
    let mut phone = server.browser();
    phone.show(&mut key).await.good();
    let first = hex::encode([1; 32]);
    browser.post("/account/remove", json!({ "id": first })).await.refused(409, "only passkey");
    let mut second = Authenticator::new(ORIGIN, 2);
    server.wait(15 * MINUTE);
    let stale = browser.make("/account", "", &mut second).await;
    stale.refused(409, "sign in anew");
    for path in ["/account/codes", "/account/remove"] {
        browser.post(path, json!({ "id": first })).await.refused(409, "sign in anew");
    }
    browser.show(&mut key).await.good();
    let before = browser.cookie.clone();
    let made = browser.make("/account", "", &mut second).await.good();
    assert_eq!(made["codes"], json!([]), "codes are shown once");
    assert_ne!(browser.cookie, before);
    browser.make("/account", "", &mut Authenticator::new(ORIGIN, 2)).await.refused(409, "known here already");
    browser
        .post("/account/remove", json!({ "id": hex::encode([9; 32]) }))
        .await
        .refused(404, "no such passkey");
    browser.post("/account/remove", json!({ "id": first })).await.good();
    assert_eq!(phone.call("Tenants/List").await, Code::PermissionDenied, "it may have come in with that key");
    server.browser().show(&mut key).await.refused(403, "not accepted");
    server.browser().show(&mut second).await.good();
}

#[tokio::test]
async fn a_recovery_code_lets_a_new_passkey_be_made_and_nothing_else() {
    let server = Server::new(World::new());
    let (_, _, codes) = server.signed_in("alice", Grant::everything(), 1).await;
    let mut browser = server.browser();
    let typed = codes[3].to_lowercase().replace('-', " ");
    browser.post("/sign-in/recover", json!({ "name": "alice", "code": typed })).await.good();
    assert_eq!(browser.call("Tenants/List").await, Code::PermissionDenied);
    for path in ["remove", "end", "codes"] {
        let got = browser.post(&format!("/account/{path}"), json!({ "id": hex::encode([1; 32]) })).await;
        got.refused(403, "nothing else");
    }
    let page = browser.look("/account").await.text;
    assert!(page.contains("Make a new passkey") && page.contains("9 are left") && !page.contains("Sessions"));
    let mut again = server.browser();
    let used = again.post("/sign-in/recover", json!({ "name": "alice", "code": codes[3] })).await;
    used.refused(403, "wrong, or the code was used");
    browser.make("/account", "", &mut Authenticator::new(ORIGIN, 2)).await.good();
    assert_eq!(browser.call("Tenants/List").await, Code::Ok);

    let renewed = browser.post("/account/codes", json!({})).await.good();
    let old = again.post("/sign-in/recover", json!({ "name": "alice", "code": codes[4] })).await;
    old.refused(403, "wrong");
    let new = json!({ "name": "alice", "code": renewed["codes"][0] });
    again.post("/sign-in/recover", new).await.good();
    server.wait(15 * MINUTE);
    let late = again.make("/account", "", &mut Authenticator::new(ORIGIN, 3)).await;
    late.refused(403, "session has ended");
}

#[tokio::test]
async fn an_invitation_is_good_once_in_time_and_until_the_next() {
    let server = Server::new(World::new());
    let link = server.invite("alice", Grant::everything(), HOUR).await;
    let mut browser = server.browser();
    browser.make("/invite", &link, &mut Authenticator::new(ORIGIN, 1)).await.good();
    let mut thief = server.browser();
    thief.make("/invite", &link, &mut Authenticator::new(ORIGIN, 2)).await.refused(403, "used up");
    assert_eq!(thief.look(&format!("/invite/{link}")).await.status, StatusCode::NOT_FOUND);

    let late = server.invite("bob", Grant::everything(), HOUR).await;
    server.wait(HOUR);
    thief.make("/invite", &late, &mut Authenticator::new(ORIGIN, 3)).await.refused(403, "too old");
    let (first, second) = (
        server.invite("bob", Grant::everything(), HOUR).await,
        server.invite("bob", Grant::everything(), HOUR).await,
    );
    thief.make("/invite", &first, &mut Authenticator::new(ORIGIN, 4)).await.refused(403, "used up");
    thief.make("/invite", &second, &mut Authenticator::new(ORIGIN, 5)).await.good();
    thief.make("/invite", "", &mut Authenticator::new(ORIGIN, 6)).await.refused(403, "none");
}
