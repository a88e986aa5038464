//! What it answers, to whom, and that somebody else's program believes it.

use std::{fs, process::Command};

use proto::{
    keys::PublicKey,
    log::{CosignedCheckpoint, SignedCheckpoint, VerifierKey, cosignatures},
};

use crate::{
    log::{Log, ORIGIN, shown},
    program::run,
    watcher::Watcher,
};

/// A witness that knows the log, and runs.
pub fn running(folder: &std::path::Path) -> Watcher {
    let mut witness = Watcher::init(folder, "witness.example/w1");
    assert_eq!(witness.run(&["trust", &Log::key().to_string()]).json()["added"], true);
    witness.start(&[]);
    witness
}

fn add(witness: &Watcher, request: impl ToString) -> (u16, String) {
    let got = witness.post("/add-checkpoint", request.to_string().as_bytes());
    (got.status, got.body)
}

#[test]
fn it_cosigns_what_continues_and_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let (witness, log) = (running(folder.path()), Log::new());
    assert_eq!(witness.get(&shown()).status, 404, "nothing was cosigned yet");
    for (old, size) in [(0, 3), (3, 3), (3, 10), (10, 40)] {
        let (status, lines) = add(&witness, log.request(old, size));
        assert_eq!(status, 200, "{lines}");
        let checkpoint = log.checkpoint(size);
        let note = format!("{}{lines}", checkpoint.note());
        let signed = SignedCheckpoint::open(note.as_bytes(), &[Log::key()]).unwrap();
        let word = cosignatures(&signed, std::slice::from_ref(&witness.key)).unwrap();
        assert_eq!(word.len(), 1, "{note}");
        let age = control_plane::clock::now().since(word[0].at);
        assert!(age.as_secs() < 60, "{:?}", word[0].at);
        // The same for whoever asks, with the log's own signature.
        let got = witness.get(&shown());
        assert_eq!((got.status, got.body.as_str()), (200, signed.note()));
    }
    let json = witness.run(&["list"]).json();
    assert_eq!((&json["logs"][0]["origin"], &json["logs"][0]["size"]), (&ORIGIN.into(), &40.into()));
    let page = witness.get("/");
    assert!(page.body.contains(&witness.key.to_string()) && page.body.contains("of 1 logs"), "{}", page.body);
}

#[test]
fn every_refusal_has_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let (witness, log) = (running(folder.path()), Log::new());
    assert_eq!(add(&witness, log.request(0, 10)).0, 200);
    let conflict = witness.post("/add-checkpoint", log.request(0, 20).to_string().as_bytes());
    assert_eq!((conflict.status, conflict.body.as_str()), (409, "10\n"));
    assert!(conflict.head.contains("content-type: text/x.tlog.size"), "{}", conflict.head);
    let unknown = log.request(0, 20).to_string().replace(ORIGIN, "evidence.other.example/t");
    let forged = log.request(10, 20).to_string().replace("\n20\n", "\n21\n");
    let mut no_proof = log.request(10, 20);
    no_proof.proof.clear();
    for (body, expected) in [
        ("old\n".to_owned(), 400),
        (String::new(), 400),
        (log.request(20, 40).to_string().replace("\n40\n", "\n9\n"), 403),
        (forged, 403),
        (unknown, 404),
        (no_proof.to_string(), 422),
        ("x".repeat(200_000), 413),
    ] {
        let got = witness.post("/add-checkpoint", body.as_bytes());
        assert_eq!(got.status, expected, "{:.60}: {}", body, got.body);
    }
    assert_eq!(witness.get("/add-checkpoint").status, 405);
    assert_eq!(witness.post(&shown(), b"").status, 405);
    for path in ["/x", "/../witness.key", "/witness.key/checkpoint", "/checkpoint"] {
        assert_eq!(witness.get(path).status, 404, "{path}");
    }
    assert_eq!(add(&witness, log.request(10, 20)).0, 200, "and it goes on");
}

#[test]
fn openssl_verifies_a_cosignature() {
    let folder = tempfile::tempdir().unwrap();
    let (witness, log) = (running(folder.path()), Log::new());
    let (_, lines) = add(&witness, log.request(0, 7));
    let note = format!("{}{lines}", log.checkpoint(7).note());
    let cosigned = CosignedCheckpoint::open(note.as_bytes(), std::slice::from_ref(&witness.key)).unwrap();
    let signed = SignedCheckpoint::open(note.as_bytes(), &[Log::key()]).unwrap();
    let Some(PublicKey::Ed25519(key)) = witness.key.public() else { panic!("an Ed25519 key") };
    // RFC 8410: the SubjectPublicKeyInfo of an Ed25519 key.
    let spki = [&hex::decode("302a300506032b6570032100").unwrap(), key.as_slice()].concat();
    let seconds = cosigned.cosigned()[0].at.0 / 1000;
    let message = format!("cosignature/v1\ntime {seconds}\n{}", log.checkpoint(7).text());
    let bytes = &signed.signatures()[1].bytes;
    assert_eq!(bytes[..8], u64::try_from(seconds).unwrap().to_be_bytes());
    let verify = |message: &str| {
        for (name, content) in [("key.der", &spki[..]), ("message", message.as_bytes()), ("sig", &bytes[8..])]
        {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let arguments = "pkeyutl -verify -pubin -inkey key.der -keyform DER -rawin -in message -sigfile sig";
        let mut openssl = Command::new("openssl");
        openssl.args(arguments.split(' ')).current_dir(folder.path()).output().unwrap().status.success()
    };
    assert!(verify(&message));
    assert!(!verify(&message.replacen("time ", "time 1", 1)));
}

#[test]
fn a_log_that_is_named_while_it_runs_counts_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut witness = Watcher::init(folder.path(), "witness.example/w1");
    witness.start(&[]);
    let log = Log::new();
    assert_eq!(add(&witness, log.request(0, 3)).0, 404);
    assert_eq!(witness.run(&["trust", &Log::key().to_string()]).json()["added"], true);
    assert_eq!(witness.run(&["trust", &Log::key().to_string()]).json()["added"], false);
    assert_eq!(add(&witness, log.request(0, 3)).0, 200);
    // Taken away again it is not cosigned, and not forgotten.
    fs::write(witness.path("logs.txt"), "").unwrap();
    assert_eq!(add(&witness, log.request(3, 5)).0, 404);
    fs::write(witness.path("logs.txt"), format!("{}\n", Log::key())).unwrap();
    assert_eq!(add(&witness, log.request(0, 5)), (409, "3\n".to_owned()));
}

#[test]
fn it_says_what_is_wrong_before_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let nobody = run(dir, &["--dir", "witness", "witness", "serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(nobody.code, 2, "{}", nobody.err);
    assert!(nobody.err.contains("witness init"), "{}", nobody.err);
    let name = run(dir, &["--dir", "witness", "witness", "init", "--name", "two words"]);
    assert_eq!(name.code, 2, "{}", name.err);
    assert!(!dir.join("witness").exists(), "nothing was made");
    let witness = Watcher::init(dir, "witness.example/w1");
    let again = witness.run(&["init", "--name", "witness.example/w2"]);
    assert!(again.code != 0 && again.err.contains("not overwritten"), "{}", again.err);
    let log = VerifierKey::new("other", &PublicKey::Ed25519([7; 32])).unwrap().to_string();
    for wrong in ["evidence.msp.example", &log[..log.len() - 2], &witness.key.to_string()] {
        assert_eq!(witness.run(&["trust", wrong]).code, 2, "{wrong}");
    }
    fs::write(witness.path("logs.txt"), format!("{log}\nnobody\n")).unwrap();
    let serve = witness.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(serve.code, 2, "{}", serve.err);
    assert!(serve.err.contains("logs.txt, line 2"), "{}", serve.err);
    fs::write(witness.path("logs.txt"), "").unwrap();
    fs::write(witness.path("witness.vkey"), format!("{}\n", Watcher::init(&dir.join("witness"), "w").key))
        .unwrap();
    let serve = witness.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(serve.code, 2, "{}", serve.err);
    assert!(serve.err.contains("does not name the key"), "{}", serve.err);
}
