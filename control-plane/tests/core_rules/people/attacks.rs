//! Whoever means ill: replays, lies, guesses, leads a browser here, comes again after being shut out.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use control_plane::access::{Grant, passkeys::approvers_here};
use http::{Method, StatusCode};
use proto::{
    approval::{Approval, ApprovalError, approvers},
    charter::Approver,
    digest::Digest,
    time::Millis,
};
use serde_json::{Value, json};
use tonic::Code;

use super::{Authenticator, ORIGIN, Server};
use crate::world::{MINUTE, World};

#[tokio::test]
async fn an_answer_counts_once_in_time_and_for_whoever_was_asked() {
    let server = Server::new(World::new());
    let (mut browser, mut key, _) = server.signed_in("alice", Grant::everything(), 1).await;
    let mut thief = server.browser();
    let begun = thief.post("/sign-in/begin", json!({})).await.good();
    let heard = json!({ "ceremony": begun["ceremony"], "answer": key.show(&begun["options"]) });
    thief.post("/sign-in/finish", heard.clone()).await.good();
    server.browser().post("/sign-in/finish", heard.clone()).await.refused(403, "sent twice");
    // The same words under a ceremony of the thief's own.
    let own = server.browser().post("/sign-in/begin", json!({})).await.good();
    let moved = json!({ "ceremony": own["ceremony"], "answer": heard["answer"] });
    server.browser().post("/sign-in/finish", moved).await.refused(403, "not accepted");
    // Too late.
    let begun = browser.post("/sign-in/begin", json!({})).await.good();
    let answer = json!({ "ceremony": begun["ceremony"], "answer": key.show(&begun["options"]) });
    server.wait(2 * MINUTE);
    server.browser().post("/sign-in/finish", answer).await.refused(403, "took too long");
    // A ceremony to make a passkey with does not sign anybody in, and another's link does not take it.
    let (one, two) = (
        server.invite("bob", Grant::everything(), MINUTE * 60).await,
        server.invite("carol", Grant::everything(), MINUTE * 60).await,
    );
    let begun = thief.post("/invite/begin", json!({ "link": one })).await.good();
    let mut new = Authenticator::new(ORIGIN, 7);
    let body = json!({
        "link": two, "label": "x", "ceremony": begun["ceremony"], "answer": new.make(&begun["options"]),
    });
    server.browser().post("/invite/finish", body).await.refused(403, "begin again");
}

/// As an executor is handed it.
fn approval(answer: &Value) -> Approval {
    let bytes = |field: &str| URL_SAFE_NO_PAD.decode(answer["response"][field].as_str().unwrap()).unwrap();
    Approval {
        approver: "alice".into(),
        authenticator_data: bytes("authenticatorData"),
        client_data: bytes("clientDataJSON"),
        signature: bytes("signature"),
    }
}

/// One passkey for both, at one page: the worst that a charter could allow.
#[tokio::test]
async fn an_approval_signs_nobody_in_and_a_sign_in_approves_nothing() {
    let approver = |key: &Authenticator| Approver {
        name: "alice".into(),
        key: key.public(),
        rp_id: "control.msp.example".into(),
        origin: ORIGIN.into(),
    };
    let world = World::with(|safe| safe.charter.approvers = vec![approver(&Authenticator::new(ORIGIN, 3))]);
    let warning = approvers_here(world.core.charter(), ORIGIN).unwrap();
    assert!(warning.contains("alice approve at https://control.msp.example:8444"), "{warning}");
    assert_eq!(approvers_here(world.core.charter(), "https://control.msp.example"), None);

    let server = Server::new(world);
    let (_, mut key, _) = server.signed_in("alice", Grant::everything(), 1).await;
    let known = approver(&key);
    let core = Digest::of(b"an order's core");
    let asked = json!({ "publicKey": {
        "challenge": URL_SAFE_NO_PAD.encode(core.0), "rpId": "control.msp.example",
    } });
    let approved = key.show(&asked);
    assert!(
        approvers(&[approval(&approved)], std::slice::from_ref(&known), core).is_ok(),
        "it is good for what it is"
    );
    let mut thief = server.browser();
    let begun = thief.post("/sign-in/begin", json!({})).await.good();
    let body = json!({ "ceremony": begun["ceremony"], "answer": approved });
    thief.post("/sign-in/finish", body).await.refused(403, "not accepted");

    // What a sign-in answers is no digest of anything, however an order is made up for it.
    let begun = thief.post("/sign-in/begin", json!({})).await.good();
    let challenge = begun["options"]["publicKey"]["challenge"].as_str().unwrap();
    let challenge = URL_SAFE_NO_PAD.decode(challenge).unwrap();
    assert_eq!(challenge.len(), 16);
    let shown = approval(&key.show(&begun["options"]));
    let mut padded = [0; 32];
    padded[..16].copy_from_slice(&challenge);
    for digest in [core, Digest(padded), Digest::of(&challenge)] {
        let refused = approvers(std::slice::from_ref(&shown), std::slice::from_ref(&known), digest);
        assert!(matches!(&refused, Err(ApprovalError::ClientData { .. })), "{refused:?}");
    }
    // The same where a passkey is made: its challenge is no digest either.
    let mut browser = server.browser();
    browser.show(&mut key).await.good();
    let begun = browser.post("/account/begin", json!({})).await.good();
    let challenge = begun["options"]["publicKey"]["challenge"].as_str().unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(challenge).unwrap().len(), 16);
}

/// Guesses are answered while the writer is busy with something else: they do not wait in its queue.
#[tokio::test]
async fn a_guess_does_not_keep_the_writer_busy() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::on_file(World::new(), folder.path());
    let (browser, mut key, _) = server.signed_in("alice", Grant::everything(), 1).await;
    let begun = server.browser().post("/sign-in/begin", json!({})).await.good();
    let mut unknown = Authenticator::new(ORIGIN, 9);
    let (go, begin) = std::sync::mpsc::channel::<()>();
    let busy = server.writer.run(move |_, _| {
        begin.recv().unwrap();
        Ok(())
    });
    let guesses = async {
        let mut thief = server.browser();
        thief.cookie = "__Host-orderly-session=guessed".into();
        assert_eq!(thief.call("Tenants/List").await, Code::PermissionDenied);
        assert_eq!(thief.look("/account").await.status, StatusCode::SEE_OTHER);
        for path in ["/account/begin", "/account/codes", "/account/end"] {
            thief.post(path, json!({})).await.refused(403, "has ended");
        }
        thief.post("/account/leave", json!({})).await.good();
        assert_eq!(thief.look("/invite/guessed").await.status, StatusCode::NOT_FOUND);
        thief.post("/invite/begin", json!({ "link": "guessed" })).await.refused(403, "used up");
        let answer = unknown.show(&begun["options"]);
        let body = json!({ "ceremony": begun["ceremony"], "answer": answer });
        thief.post("/sign-in/finish", body).await.refused(403, "not accepted");
        let code = json!({ "name": "alice", "code": "AAAA-BBBB-CCCC-0000" });
        thief.post("/sign-in/recover", code).await.refused(403, "wrong");
        thief.token = Some("guessed");
        assert_eq!(thief.call("Tenants/List").await, Code::PermissionDenied);
    };
    let all = async {
        let in_time = tokio::time::timeout(Duration::from_secs(30), guesses).await;
        // What is known waits for its turn.
        let mut known = server.browser();
        known.cookie = browser.cookie.clone();
        let waits = tokio::time::timeout(Duration::from_millis(1), known.call("Tenants/List")).await;
        go.send(()).unwrap();
        in_time.expect("no guess waits for the writer");
        assert!(waits.is_err(), "the writer was not busy");
        assert_eq!(known.call("Tenants/List").await, Code::Ok);
    };
    let (busy, ()) = tokio::join!(busy, all);
    busy.unwrap();
    server.browser().show(&mut key).await.good();
}

/// What the library before this one wrote of a passkey (its `Passkey`, as JSON).
fn as_before(kept: &Value) -> String {
    let key = &kept["key"];
    json!({ "cred": {
        "cred_id": URL_SAFE_NO_PAD.encode([1; 32]),
        "cred": { "type_": "ES256", "key": { "EC_EC2": { "curve": "SECP256R1", "x": key["x"], "y": key["y"] } } },
        "counter": kept["count"], "transports": null, "user_verified": true,
        "backup_eligible": false, "backup_state": false, "registration_policy": "required",
        "extensions": {
            "cred_protect": "NotRequested", "hmac_create_secret": "NotRequested", "appid": "NotRequested",
            "cred_props": "NotRequested",
        },
        "attestation": { "data": "None", "metadata": "None" }, "attestation_format": "none",
    } })
    .to_string()
}

#[tokio::test]
async fn what_is_kept_of_a_passkey_is_ours_and_what_was_kept_before_is_read() {
    let server = Server::new(World::new());
    let (_, mut key, _) = server.signed_in("alice", Grant::everything(), 1).await;
    let kept = || -> Value {
        let text: String =
            server.db.query_row("SELECT credential FROM passkey", [], |row| row.get(0)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let keep = |text: &str| {
        assert_eq!(server.db.execute("UPDATE passkey SET credential = ?1", [text]).unwrap(), 1);
    };
    let made = kept();
    assert_eq!(
        (&made["key"]["alg"], &made["copies"], &made["count"]),
        (&json!("ES256"), &json!("never"), &json!(1))
    );
    keep(&as_before(&made));
    server.browser().show(&mut key).await.good();
    let now = kept();
    assert_eq!((&now["key"], &now["count"]), (&made["key"], &json!(2)), "it is ours again");
    // Its counter counted.
    key.counter = 0;
    keep(&as_before(&now));
    server.browser().show(&mut key).await.refused(403, "tell an owner");
    key.counter = 10;
    let short = json!({ "key": { "alg": "ES256", "x": "AQ", "y": "AQ" }, "count": 1, "copies": "never" });
    for unread in ["{}", "as nobody writes it", &short.to_string()] {
        keep(unread);
        server.browser().show(&mut key).await.refused(409, "cannot read what it kept");
    }
    keep(&now.to_string());
    server.browser().show(&mut key).await.good();
}

type Change = fn(&mut Authenticator);

#[tokio::test]
async fn an_authenticator_that_lies_about_anything_is_refused() {
    let server = Server::new(World::new());
    let (_, mut key, _) = server.signed_in("alice", Grant::everything(), 1).await;
    let (_, mut other, _) = server.signed_in("mallory", Grant::everything(), 2).await;
    let mut browser = server.browser();
    let lies: [(&str, Change, Change); 5] = [
        (
            "another origin",
            |key| key.origin = "https://evil.example".into(),
            |key| key.origin = ORIGIN.into(),
        ),
        ("another relying party", |key| key.rp = Some("evil.example".into()), |key| key.rp = None),
        (
            "our name at another port",
            |key| key.origin = "https://control.msp.example".into(),
            |key| {
                key.origin = ORIGIN.into();
            },
        ),
        ("nobody verified", |key| key.verifies = false, |key| key.verifies = true),
        ("in another site's page", |key| key.framed = true, |key| key.framed = false),
    ];
    for (lie, begin, end) in lies {
        begin(&mut key);
        let got = browser.show(&mut key).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{lie}");
        got.refused(403, "not accepted");
        end(&mut key);
        let mut new = Authenticator::new(ORIGIN, 9);
        begin(&mut new);
        let link = server.invite("dave", Grant::everything(), MINUTE).await;
        let got = browser.make("/invite", &link, &mut new).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{lie}: making");
    }
    key.tells_user = false;
    browser.show(&mut key).await.refused(403, "not accepted");
    key.tells_user = true;
    // Somebody else's name on one's own key, and somebody else's key ID.
    let begun = browser.post("/sign-in/begin", json!({})).await.good();
    let (mut mine, theirs) = (other.show(&begun["options"]), key.show(&begun["options"]));
    mine["response"]["userHandle"] = theirs["response"]["userHandle"].clone();
    let body = json!({ "ceremony": begun["ceremony"], "answer": mine });
    browser.post("/sign-in/finish", body).await.refused(403, "not accepted");
    let begun = browser.post("/sign-in/begin", json!({})).await.good();
    let mut mine = other.show(&begun["options"]);
    (mine["rawId"], mine["id"]) = (theirs["rawId"].clone(), theirs["id"].clone());
    mine["response"]["userHandle"] = theirs["response"]["userHandle"].clone();
    let body = json!({ "ceremony": begun["ceremony"], "answer": mine });
    browser.post("/sign-in/finish", body).await.refused(403, "not accepted");
    browser.show(&mut key).await.good();
}

#[tokio::test]
async fn a_counter_that_goes_back_lets_nobody_in_and_is_in_the_trail() {
    let server = Server::new(World::new());
    let (_, mut key, _) = server.signed_in("alice", Grant::everything(), 1).await;
    key.counter = 40;
    server.browser().show(&mut key).await.good();
    key.counter = 20;
    server.browser().show(&mut key).await.refused(403, "tell an owner");
    assert!(server.dump().contains("counter went back"));
    key.counter = 50;
    server.browser().show(&mut key).await.good();
}

#[tokio::test]
async fn a_cookie_is_not_enough_where_the_page_is_not_ours() {
    let server = Server::new(World::new());
    let (mut browser, mut key, _) = server.signed_in("alice", Grant::everything(), 1).await;
    for origin in [None, Some("https://evil.example"), Some("null"), Some("https://control.msp.example")] {
        browser.origin = origin;
        assert_eq!(browser.call("Tenants/List").await, Code::PermissionDenied, "{origin:?}");
        for path in ["/account/leave", "/account/codes", "/account/begin", "/sign-in/begin"] {
            let got = browser.post(path, json!({})).await;
            got.refused(403, "only for pages of");
        }
    }
    browser.origin = Some(ORIGIN);
    // What a form of another site's page could send.
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let got = browser.send(Method::POST, "/account/codes", kind, b"{}".to_vec()).await;
        got.refused(415, "application/json");
    }
    assert_eq!(browser.call("Tenants/List").await, Code::Ok);
    // A session that somebody else put into the browser does not become the one that signs in.
    let planted = browser.cookie.clone();
    let mut victim = server.browser();
    victim.cookie = planted.clone();
    victim.show(&mut key).await.good();
    assert_ne!(victim.cookie, planted);
    browser.cookie = planted;
    assert_eq!(browser.call("Tenants/List").await, Code::PermissionDenied);
    browser.cookie = "__Host-orderly-session=made-up".into();
    assert_eq!(browser.call("Tenants/List").await, Code::PermissionDenied);
    let made_up = victim.cookie.split_once('=').unwrap().1.to_owned();
    victim.cookie = format!("__Host-orderly-session={made_up}; __Host-orderly-session=other");
    assert_eq!(victim.call("Tenants/List").await, Code::Unauthenticated, "two are none");
}

#[tokio::test]
async fn codes_cannot_be_guessed_nor_names_asked_for() {
    let server = Server::new(World::new());
    let (_, _, codes) = server.signed_in("alice", Grant::everything(), 1).await;
    let mut thief = server.browser();
    let guess = |name: &str, n: usize| json!({ "name": name, "code": format!("AAAA-BBBB-CCCC-{n:04}") });
    let known = thief.post("/sign-in/recover", guess("alice", 0)).await;
    let unknown = thief.post("/sign-in/recover", guess("nobody", 0)).await;
    assert_eq!((known.status, known.text), (unknown.status, unknown.text));
    for n in 2..10 {
        thief.post("/sign-in/recover", guess("alice", n)).await.refused(403, "wrong");
    }
    let right = json!({ "name": "alice", "code": codes[0] });
    thief.post("/sign-in/recover", right.clone()).await.refused(429, "quarter of an hour");
    // Its owner comes in from elsewhere all the same; whoever guesses waits.
    let mut owner = server.browser();
    owner.address = [203, 0, 113, 5];
    owner.post("/sign-in/recover", right.clone()).await.good();
    thief.post("/sign-in/recover", guess("alice", 10)).await.refused(429, "quarter of an hour");
    server.wait(15 * MINUTE);
    thief.post("/sign-in/recover", right).await.refused(403, "was used");

    // Whoever is about to sign in learns of nobody's keys.
    let begun = server.browser().post("/sign-in/begin", json!({ "name": "alice" })).await.good();
    assert_eq!(begun["options"]["publicKey"]["allowCredentials"], json!([]));
    // No network can keep the others from signing in.
    let mut crowd = server.browser();
    crowd.address = [203, 0, 113, 200];
    for _ in 0..32 {
        crowd.post("/sign-in/begin", json!({})).await.good();
    }
    crowd.post("/sign-in/begin", json!({})).await.refused(429, "wait");
    server.browser().post("/sign-in/begin", json!({})).await.good();
}

#[tokio::test]
async fn whoever_is_shut_out_is_out_at_once_and_for_good() {
    let server = Server::new(World::new());
    let (mut browser, mut key, codes) = server.signed_in("alice", Grant::everything(), 1).await;
    let link = server.invite("alice", Grant::everything(), MINUTE * 60).await;
    let begun = browser.post("/sign-in/begin", json!({})).await.good();
    let ready = json!({ "ceremony": begun["ceremony"], "answer": key.show(&begun["options"]) });
    server.writer.run(|core, now: Millis| core.end_person("alice", now)).await.unwrap();
    assert_eq!(browser.call("Tenants/List").await, Code::PermissionDenied, "a session from before");
    browser.make("/account", "", &mut Authenticator::new(ORIGIN, 2)).await.refused(403, "has ended");
    browser.post("/sign-in/finish", ready).await.refused(403, "not accepted");
    browser.show(&mut key).await.refused(403, "not accepted");
    browser.make("/invite", &link, &mut Authenticator::new(ORIGIN, 3)).await.refused(403, "used up");
    let code = json!({ "name": "alice", "code": codes[0] });
    browser.post("/sign-in/recover", code).await.refused(403, "wrong");
}
