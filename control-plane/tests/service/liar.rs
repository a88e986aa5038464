//! A provider that lies about one thing at a time. No other's does: this one is ours, and its tokens are made by hand.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use control_plane::clock;
use http::StatusCode;
use proto::digest::Digest;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::provider::{Browser, Got, home_of};

/// What it lies about, and the nonce that it was sent.
type Lie = Arc<Mutex<(&'static str, String)>>;

struct Liar {
    url: String,
    key: EcdsaKeyPair,
    other: EcdsaKeyPair,
    lie: Lie,
}

impl Liar {
    /// Starts it, on a thread that ends with the test.
    fn start() -> (String, Lie) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let [key, other] =
            [(); 2].map(|()| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
        let liar = Self { url: url.clone(), key, other, lie: Lie::default() };
        let lie = liar.lie.clone();
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| liar.answer(stream)));
        (url, lie)
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        let (mut first, mut length) = (String::new(), 0);
        lines.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(said) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = said.trim().parse().unwrap();
            }
        }
        lines.read_exact(&mut vec![0; length]).unwrap();
        let path = first.split(' ').nth(1).unwrap_or_default();
        let text = self.said(path).to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{text}", text.len()).unwrap();
    }

    fn said(&self, path: &str) -> Value {
        let (lie, nonce) = self.lie.lock().unwrap().clone();
        let url = self.url.as_str();
        match path {
            "/.well-known/openid-configuration" => json!({
                "issuer": if lie == "metadata" { "https://login.evil.example" } else { url },
                "authorization_endpoint": format!("{url}/authorize"),
                "token_endpoint": format!("{url}/token"),
                "userinfo_endpoint": format!("{url}/userinfo"),
                "jwks_uri": format!("{url}/keys"),
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
            }),
            "/keys" => {
                let point = self.key.public_key().as_ref();
                let [x, y] = [&point[1..33], &point[33..65]].map(|part| URL_SAFE_NO_PAD.encode(part));
                json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "kid": "1", "x": x, "y": y }] })
            }
            "/token" => {
                let token = self.token(lie, &nonce);
                json!({ "access_token": "access", "token_type": "Bearer", "id_token": token })
            }
            _ => {
                let sub = if lie == "userinfo" { "2" } else { "1" };
                let groups = if lie == "groups" { json!({ "owners": true }) } else { json!(["owners"]) };
                json!({ "sub": sub, "preferred_username": "olga", "groups": groups })
            }
        }
    }

    fn token(&self, lie: &str, nonce: &str) -> String {
        let now = clock::now().0 / 1000;
        let access = if lie == "access token" { "other" } else { "access" };
        let mut claims = json!({
            "iss": if lie == "issuer" { "https://login.evil.example" } else { self.url.as_str() },
            "aud": match lie {
                "audience" => json!("another"),
                "second audience" => json!(["orderly", "another"]),
                _ => json!("orderly"),
            },
            "sub": "1",
            "iat": now - 7200,
            "exp": if lie == "expiry" { now - 3600 } else { now + 300 },
            "nonce": if lie == "nonce" { "another" } else { nonce },
            "auth_time": match lie {
                "an hour ago" => now - 3600,
                "as long as it may be known" => now - 30,
                _ => now,
            },
            "at_hash": URL_SAFE_NO_PAD.encode(&Digest::of(access.as_bytes()).0[..16]),
        });
        let claim = match lie {
            "no nonce" => "nonce",
            "no auth_time" => "auth_time",
            // It may be left out, and needs a key of the provider's: only the signature is to be wrong.
            "our secret's signature" | "no signature" => "at_hash",
            _ => "",
        };
        claims.as_object_mut().unwrap().remove(claim);
        let alg = match lie {
            "our secret's signature" => "HS256",
            "no signature" => "none",
            _ => "ES256",
        };
        let header = json!({ "alg": alg, "kid": "1" });
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let by = |key: &EcdsaKeyPair| {
            let made = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            URL_SAFE_NO_PAD.encode(made.as_ref())
        };
        let signature = match lie {
            "our secret's signature" => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, b"hush");
                URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()).as_ref())
            }
            "no signature" => String::new(),
            "another's signature" => by(&self.other),
            _ => by(&self.key),
        };
        format!("{signed}.{signature}")
    }
}

#[test]
fn a_provider_that_lies_lets_nobody_in() {
    let (url, lie) = Liar::start();
    let home = home_of(&url);
    let server = home.start();
    let runtime = Runtime::new().unwrap();
    let browser = Browser { runtime: &runtime, home: &home, people: server.people, provider: &url };
    let come_by = |path: &str, about: &'static str| {
        lie.lock().unwrap().0 = about;
        let away = browser.ours(path, "");
        if about == "metadata" {
            return away;
        }
        let (visit, there) = (away.cookie("__Host-orderly-visit").unwrap(), away.location());
        let asked = |name: &str| {
            let pairs = there.query().unwrap().split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next().unwrap()
        };
        assert_eq!((asked("response_type"), asked("code_challenge_method")), ("code".into(), "S256".into()));
        assert_eq!(there.query().unwrap().contains("max_age="), path.ends_with("?anew"));
        assert!(asked("redirect_uri").ends_with("%2Fsign-in%2Fcallback"));
        lie.lock().unwrap().1 = asked("nonce");
        browser.ours(&format!("/sign-in/callback?code=code&state={}", asked("state")), &visit)
    };
    let come = |about: &'static str| come_by("/sign-in/provider", about);
    let good = come("nothing");
    assert_eq!(good.status, StatusCode::OK, "{}", good.text);
    assert!(good.cookie("__Host-orderly-session").is_some());
    for about in [
        "metadata",
        "issuer",
        "audience",
        "second audience",
        "expiry",
        "nonce",
        "no nonce",
        "access token",
        "our secret's signature",
        "no signature",
        "another's signature",
        "userinfo",
        "groups",
    ] {
        let got = come(about);
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{about}: {}", got.text);
        assert!(got.cookie("__Host-orderly-session").is_none(), "{about}");
    }
    assert_eq!(come("nothing").status, StatusCode::OK);

    // It is asked to have them prove anew who they are, and must say that it did: only then they let others in.
    let invites = |got: &Got| {
        let session = got.cookie("__Host-orderly-session").unwrap();
        browser.calls("People/Invite", &session)
    };
    let unasked = come("an hour ago");
    assert_eq!((unasked.status, invites(&unasked)), (StatusCode::OK, "9".into()), "sign in anew");
    let unknown = come("no auth_time");
    assert_eq!((unknown.status, invites(&unknown)), (StatusCode::OK, "9".into()));
    for about in ["an hour ago", "no auth_time"] {
        let got = come_by("/sign-in/provider?anew", about);
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{about}: {}", got.text);
        assert!(got.cookie("__Host-orderly-session").is_none(), "{about}");
    }
    for about in ["nothing", "as long as it may be known"] {
        let anew = come_by("/sign-in/provider?anew", about);
        assert_eq!((anew.status, invites(&anew)), (StatusCode::OK, "3".into()), "an empty name, by then");
    }
    server.end();
}
