//! An order key that is not on the machine: a server that keeps to the contract of Vault's transit engine, and ones that do
//! not. The contract is HashiCorp's (API documentation of the transit secrets engine, v1); the server is the test's own.

use std::{
    convert::Infallible,
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use control_plane::{
    clock,
    config::{OrderKey, Transit},
    core::ports::Signer as _,
    files,
    signer::{TransitError, TransitKey},
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use proto::{
    charter::{Charter, OrganizationKeys},
    dsse::{self, Unsigned},
    keys::{PublicKey, SecretKey},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime};

use crate::home::Home;

const TOKEN: &str = "hvs.a-token-that-nobody-else-has";
const KIND: &str = "application/x";

/// How the server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Sealed,
    Mute,
    /// Signs with another version than it was asked for.
    OtherKey,
    Garbled,
}

/// A transit engine with two versions of one key.
struct Engine {
    address: SocketAddr,
    versions: [PublicKey; 2],
    mood: Arc<Mutex<Mood>>,
    asked: Arc<AtomicUsize>,
    _runtime: Runtime,
}

fn key(version: usize) -> SecretKey {
    SecretKey::ed25519([40 + u8::try_from(version).unwrap(); 32])
}

impl Engine {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (mood, asked) = (Arc::new(Mutex::new(Mood::Well)), Arc::new(AtomicUsize::new(0)));
        let (moods, count) = (mood.clone(), asked.clone());
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (moods, count) = (moods.clone(), count.clone());
                let service = service_fn(move |request| {
                    count.fetch_add(1, SeqCst);
                    let mood = *moods.lock().unwrap();
                    async move {
                        if mood == Mood::Mute {
                            std::future::pending::<()>().await;
                        }
                        Ok::<_, Infallible>(answer(mood, request).await)
                    }
                });
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let versions = [1, 2].map(|version| key(version).public());
        Self { address, versions, mood, asked, _runtime: runtime }
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

fn says(status: StatusCode, body: Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response
}

async fn answer(mood: Mood, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let token = request.headers().get("x-vault-token").and_then(|token| token.to_str().ok());
    if token != Some(TOKEN) {
        return says(StatusCode::FORBIDDEN, json!({ "errors": ["permission denied"] }));
    }
    if mood == Mood::Sealed {
        return says(StatusCode::SERVICE_UNAVAILABLE, json!({ "errors": ["Vault is sealed"] }));
    }
    if mood == Mood::Garbled {
        return says(StatusCode::OK, json!({ "data": { "signature": "vault:v1:!" } }));
    }
    let (path, body) = (request.uri().path().to_owned(), request.into_body());
    let body = body.collect().await.unwrap().to_bytes();
    match path.as_str() {
        "/v1/transit/keys/orderly" => {
            let public = |version| match key(version).public() {
                PublicKey::Ed25519(bytes) => BASE64_STANDARD.encode(bytes),
                PublicKey::P256(_) => unreachable!(),
            };
            let version = |n| json!({ "name": "ed25519", "public_key": public(n), "creation_time": "" });
            let keys = json!({ "1": version(1), "2": version(2) });
            let data = json!({ "type": "ed25519", "latest_version": 2, "keys": keys, "exportable": false });
            says(StatusCode::OK, json!({ "data": data }))
        }
        "/v1/transit/sign/orderly" => {
            let asked: Value = serde_json::from_slice(&body).unwrap();
            let version = usize::try_from(asked["key_version"].as_u64().unwrap()).unwrap();
            let message = BASE64_STANDARD.decode(asked["input"].as_str().unwrap()).unwrap();
            let by = if mood == Mood::OtherKey { 3 - version } else { version };
            let signature = BASE64_STANDARD.encode(key(by).sign(&message));
            says(StatusCode::OK, json!({ "data": { "signature": format!("vault:v{version}:{signature}") } }))
        }
        _ => says(StatusCode::NOT_FOUND, json!({ "errors": [] })),
    }
}

/// Where the token is, and the settings that name it.
fn settings(home: &Home, engine: &Engine, token: &str) -> String {
    let path = home.path().join("vault.token");
    fs::write(&path, format!("{token}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    format!(
        "\n[order_key]\nkind = \"transit\"\naddress = \"http://{}\"\nkey = \"orderly\"\ntoken_file = \"{}\"\ntimeout_seconds = 1\n",
        engine.address,
        path.display()
    )
}

/// What those settings say.
fn transit(home: &Home, text: &str) -> Transit {
    let config = fs::read_to_string(home.directory().config()).unwrap();
    match control_plane::config::Config::parse(&format!("{config}{text}")).unwrap().order_key {
        OrderKey::Transit(transit) => transit,
        OrderKey::File => panic!("it is transit"),
    }
}

/// The installation's charter, with other order keys in it.
fn charter_with(home: &Home, key: &PublicKey) {
    let directory = home.directory();
    let trust = OrganizationKeys::parse(&fs::read(directory.organization_keys()).unwrap()).unwrap();
    let mut charter: Charter = trust.open(&fs::read(directory.charter()).unwrap()).unwrap().into_value();
    charter.order_keys = [key.clone()].into();
    charter.serial += 1;
    let keys =
        [1, 2].map(|n| files::read_secret_key(home.offline(&format!("organization-{n}")).as_ref()).unwrap());
    fs::write(directory.charter(), charter.seal(&[&keys[0], &keys[1]])).unwrap();
}

#[test]
fn the_version_that_the_charter_names_signs_and_no_other() {
    let (home, engine) = (Home::new(), Engine::start());
    let settings = transit(&home, &settings(&home, &engine, TOKEN));
    let paper = Unsigned::new(KIND, b"an order".to_vec());
    let [one, two] = &engine.versions;
    for (named, expected) in [([one, one], one), ([two, one], two)] {
        let signer = TransitKey::open(&settings, &named.into_iter().cloned().collect()).unwrap();
        assert_eq!(signer.public(), *expected);
        assert!(dsse::open(&signer.seal(&paper).unwrap(), KIND, [expected], 1).is_ok());
        assert!(!signer.is_at_hand());
    }
    let other = key(9).public();
    let error = TransitKey::open(&settings, &[other].into()).err().unwrap();
    assert!(error.to_string().contains(&two.to_string()), "whoever renews the charter needs it: {error}");

    let signer = TransitKey::open(&settings, &[two.clone()].into()).unwrap();
    for (mood, says) in [(Mood::OtherKey, "does not verify"), (Mood::Garbled, "must be vault:v2:")] {
        engine.is(mood);
        let error = control_plane::core::chain(&signer.seal(&paper).unwrap_err());
        assert!(error.contains(says) && !error.contains(TOKEN), "{error}");
    }
    // Neither is a reason to leave it alone.
    engine.is(Mood::Well);
    assert!(signer.seal(&paper).is_ok());
}

#[test]
fn a_wrong_token_is_said_at_the_start_without_it() {
    let (home, engine) = (Home::new(), Engine::start());
    let settings = transit(&home, &settings(&home, &engine, "hvs.guessed"));
    let error = TransitKey::open(&settings, &engine.versions.clone().into()).err().unwrap();
    assert!(matches!(&error, TransitError::Refused { status: 403, .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("permission denied") && !error.contains("guessed"), "{error}");
}

#[test]
fn a_server_that_is_away_delays_the_writer_once() {
    let (home, engine) = (Home::new(), Engine::start());
    let settings = transit(&home, &settings(&home, &engine, TOKEN));
    let signer = TransitKey::open(&settings, &engine.versions.clone().into()).unwrap();
    let paper = Unsigned::new(KIND, b"an order".to_vec());
    for mood in [Mood::Mute, Mood::Sealed] {
        engine.is(mood);
        let begin = clock::stopwatch();
        assert!(signer.seal(&paper).is_err());
        assert!(begin.elapsed() < 10 * Duration::from_secs(1), "as the settings say, on a busy machine");
        let asked = engine.asked.load(SeqCst);
        for _ in 0..100 {
            let error = control_plane::core::chain(&signer.seal(&paper).unwrap_err());
            assert!(error.contains("asked again in a moment"), "{error}");
        }
        assert_eq!(engine.asked.load(SeqCst), asked, "it is left alone");
        engine.is(Mood::Well);
        while signer.seal(&paper).is_err() {
            std::thread::yield_now();
        }
    }
}

/// The whole server, with no order key in its folder.
#[test]
fn a_server_signs_with_a_key_that_it_does_not_have() {
    let (home, engine) = (Home::new(), Engine::start());
    charter_with(&home, &engine.versions[1]);
    fs::remove_file(home.directory().order_key()).unwrap();
    let path = home.directory().config();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{}", settings(&home, &engine, TOKEN))).unwrap();
    let server = home.start();
    let asked = engine.asked.load(SeqCst);
    home.json(&["tenant", "create", "Elm Street Clinic"]);
    assert!(engine.asked.load(SeqCst) > asked, "its policy was signed there");
    let listed = home.json(&["key", "list"]);
    let order = listed["keys"].as_array().unwrap().iter().filter(|key| key["kind"] == "order");
    let order: Vec<_> = order.map(|key| (key["public_key"].clone(), key["named"].clone())).collect();
    let [one, two] = engine.versions.each_ref().map(|key| json!(key));
    assert_eq!(order, [(one, json!(false)), (two, json!(true))]);
    let rotate = home.run(&["key", "rotate", "order"]);
    assert!(rotate.code == 2 && rotate.err.contains("in a transit engine"), "{}", rotate.err);
    engine.is(Mood::Sealed);
    let refused = home.run(&["tenant", "create", "Oak Street Clinic"]);
    assert!(refused.code == 1 && refused.err.contains("could not store this now"), "{}", refused.err);
    // What needs no signature goes on.
    let tenants = home.json(&["tenant", "list"]);
    assert_eq!(tenants["tenants"].as_array().unwrap().len(), 1, "nothing of the other is left");
    engine.is(Mood::Well);
    while home.run(&["tenant", "create", "Oak Street Clinic"]).code != 0 {
        std::thread::yield_now();
    }
    server.end();
}
