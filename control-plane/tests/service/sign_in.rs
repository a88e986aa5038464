//! Somebody signs in with Chromium: the link of `init`, a passkey, out, in again, a call with the cookie.

use std::{fs, sync::Arc};

use proto::digest::Digest;
use rustls_pki_types::ServerName;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{
    chromium::{Chromium, unpacked},
    home::Home,
    running::trusting,
};

const CALL: &str = "fetch('/orderly.v1.People/List', { method: 'POST', headers: { 'content-type': \
    'application/grpc-web+proto' }, body: new Uint8Array(5) }).then((got) => got.text().then((text) => \
    got.headers.get('grpc-status') || /grpc-status:(\\d+)/.exec(text)[1]))";

#[test]
fn a_browser_makes_a_passkey_signs_in_with_it_and_calls() {
    let Some(root) = unpacked() else { return };
    let home = Home::new();
    let config = home.directory().config();
    // Passkeys are for names.
    let text =
        fs::read_to_string(&config).unwrap().replace("https://127.0.0.1:8443", "https://localhost:8443");
    fs::write(&config, text).unwrap();
    let server = home.start();
    let people = server.people;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let spki = runtime.block_on(async {
        let tcp = TcpStream::connect(people).await.unwrap();
        let tls = TlsConnector::from(Arc::new(trusting(&home).with_no_client_auth()));
        let stream = tls.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
        let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        Digest::of(X509Certificate::from_der(&leaf).unwrap().1.public_key().raw)
    });
    let invited = home.json(&["operator", "invite", "--name", "alice", "--role", "owner"]);
    let link = invited["link"].as_str().unwrap().to_owned();
    let origin = format!("https://localhost:{}", people.port());
    assert!(link.starts_with(&format!("{origin}/invite/")), "{link}");

    let mut browser = Chromium::start(&root, &spki.0);
    browser.open(&link);
    browser.until("document.querySelector('h1')?.textContent === 'Welcome, alice'");
    browser.look("invitation");
    browser.press("Make a passkey");
    browser.until("document.querySelectorAll('ul.codes li').length === 10");
    assert_eq!(browser.value("document.activeElement.tagName"), Some(json!("H1")), "read out at once");
    assert_eq!(browser.value("document.cookie"), Some(json!("")), "scripts do not see it");
    browser.look("codes");
    browser.press("I have them; go on");
    browser
        .until("location.pathname === '/account' && document.querySelector('h1')?.textContent === 'alice'");
    assert_eq!(browser.value(CALL), Some(json!("0")));
    browser.look("account");

    browser.press("Sign out");
    browser.until("location.pathname === '/sign-in' && document.readyState === 'complete'");
    assert_eq!(browser.value(CALL), Some(json!("16")), "nobody is signed in");
    browser.press("I have lost my passkeys");
    browser.look("sign-in");
    browser.press("Sign in with a passkey");
    browser
        .until("location.pathname === '/account' && document.querySelector('h1')?.textContent === 'alice'");
    assert_eq!(browser.value(CALL), Some(json!("0")));

    // Whoever is shut out is told so where they stand.
    home.json(&["operator", "end", "alice"]);
    assert_eq!(browser.value(CALL), Some(json!("7")));
    browser.press("Make new codes");
    browser.until("document.getElementById('said').className === 'wrong'");
    let said = browser.value("document.getElementById('said').textContent").unwrap();
    assert_eq!(said, "The session has ended; sign in again.");
    browser.look("account-ended");
    browser.open(&link);
    browser.until("document.querySelector('h1')?.textContent === 'This link does not lead anywhere'");
    browser.look("no-such-link");
    drop(browser);
    server.end();
}
