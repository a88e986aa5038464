//! What a server writes into its log: lines that programs read, and no secret, however much it is asked to say.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
};

use http::StatusCode;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{home::Home, web::Web};

const PASSWORD: &str = "correct-horse-battery-staple";

/// A program that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What must not be in a log: what is in the key files, each long word of them.
fn in_files(home: &Home) -> Vec<String> {
    let directory = home.directory();
    let paths = [directory.order_key(), directory.log_key(), directory.ca_key()];
    let texts = paths.map(|path| fs::read_to_string(path).unwrap());
    let words = texts.iter().flat_map(|text| text.split_whitespace());
    words.filter(|word| word.len() >= 32 && !word.starts_with('-')).map(str::to_owned).collect()
}

#[test]
fn a_log_is_lines_of_json_without_a_secret_even_when_it_says_everything() {
    let home = Home::new();
    let path = home.directory().config();
    let text = fs::read_to_string(&path).unwrap();
    let people = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mail = "[mail]\nserver = \"127.0.0.1\"\nport = 9\nfrom = \"p@msp.example\"\nuser = \"me\"\npassword_file = \"env:MAIL_PASSWORD\"\n";
    let text = text.replace("people = \"127.0.0.1:0\"", &format!("people = \"{people}\""));
    fs::write(&path, format!("{text}\n{mail}")).unwrap();
    let log = home.path().join("server.log");
    let serve = Command::new(env!("CARGO_BIN_EXE_control-plane"))
        .args(["--json", "serve", "--dir"])
        .arg(home.directory().root())
        .env("RUST_LOG", "trace")
        .env("MAIL_PASSWORD", PASSWORD)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut serve = Running(serve);
    while home.run(&["tenant", "list"]).code != 0 {
        assert!(serve.0.try_wait().unwrap().is_none(), "{}", fs::read_to_string(&log).unwrap());
    }
    let mut secrets = in_files(&home);
    assert!(secrets.len() >= 4, "{secrets:?}");
    secrets.push(PASSWORD.to_owned());
    home.json(&["tenant", "create", "Elm Street Clinic"]);
    home.json(&["site", "create", "--tenant", "Elm Street Clinic", "Main"]);
    let ticket = home.json(&["appliance", "token", "--tenant", "Elm Street Clinic", "--site", "Main"]);
    secrets.push(ticket["token"].as_str().unwrap().to_owned());
    home.json(&[
        "operator",
        "token",
        "--name",
        "alice",
        "--role",
        "auditor",
        "--days",
        "1",
        "--out",
        "alice.token",
    ]);
    let token = fs::read_to_string(home.path().join("alice.token")).unwrap().trim().to_owned();
    let ca = fs::read_to_string(home.directory().ca_certificate()).unwrap();
    Runtime::new().unwrap().block_on(async {
        let web = Web::new(people, &ca);
        assert_eq!(web.get("/metrics", Some(&token)).await.0, StatusCode::OK);
        assert_eq!(web.get("/metrics", Some("a-token-that-was-guessed")).await.0, StatusCode::FORBIDDEN);
        web.get("/review/a-link-that-was-guessed", None).await;
    });
    secrets.extend([token, "a-token-that-was-guessed".into(), "a-link-that-was-guessed".into()]);
    let ended = Command::new("kill").args(["-TERM", &serve.0.id().to_string()]).status().unwrap();
    assert!(ended.success() && serve.0.wait().unwrap().success(), "{}", fs::read_to_string(&log).unwrap());

    let text = fs::read_to_string(&log).unwrap();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    assert!(text.contains("\"serving\"") && text.contains("stopping"), "{text}");
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} is in the log");
    }
}
