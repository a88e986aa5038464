//! `packet build`: the files, and that they are what the server made.

use std::fs;

use control_plane::clock;
use proto::digest::Digest;

use crate::{
    home::Home,
    running::{Device, Running},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_is_two_files_and_a_digest() {
    let home = Home::new();
    let running = Running::start(&home);
    let mut device = Device::enrol(&home, running.appliances).await;
    let records = device.beginning();
    let asked = device.exchange(records, 0);
    device.link(&home).await.sync(asked).await.unwrap();

    let month = clock::now().to_string()[..7].to_owned();
    let build = ["packet", "build", "--tenant", "Elm Street Clinic", "--month", &month, "--out", "packets"];
    let built = home.json(&build);
    let read = |name: &str| fs::read(home.path().join("packets").join(name)).unwrap();
    let markdown = String::from_utf8(read("packet.md")).unwrap();
    assert!(markdown.contains("Elm Street Clinic") && markdown.contains("msp.example"), "{markdown}");
    if cfg!(feature = "pdf") {
        let pdf = read("packet.pdf");
        assert!(pdf.starts_with(b"%PDF-"));
        assert_eq!(built["files"], serde_json::json!(["packets/packet.md", "packets/packet.pdf"]));
        assert_eq!(built["sha256"], Digest::of(&pdf).to_string());
    } else {
        assert_eq!(built["files"], serde_json::json!(["packets/packet.md"]));
        assert_eq!(built["sha256"], Digest::of(markdown.as_bytes()).to_string());
    }
    // Built again it replaces what is there.
    assert!(
        home.run(&build)
            .out
            .contains(&format!("SHA-256 of packet.{}:", if cfg!(feature = "pdf") { "pdf" } else { "md" }))
    );

    for (tenant, month, code, says) in [
        ("Elm Street Clinic", "2026-13", 2, "month"),
        ("Elm Street Clinic", "", 2, "month must look like 2026-11"),
        ("Elm Street Clinic", "2999-01", 2, "after the month began"),
        ("Oak Street Clinic", month.as_str(), 1, "there is no tenant"),
    ] {
        let said = home.run(&["packet", "build", "--tenant", tenant, "--month", month, "--out", "others"]);
        assert_eq!(said.code, code, "{tenant} {month}: {}", said.err);
        assert!(said.err.contains(says), "{tenant} {month}: {}", said.err);
    }
    assert!(!home.path().join("others").exists(), "nothing is written when there is no packet");
    drop(running);
}

/// What people answer for beside the boxes, from the command line to the log and back.
#[test]
fn what_is_recorded_of_people_is_shown_again() {
    let home = Home::new();
    let running = Running::start(&home);
    home.json(&["tenant", "create", "Elm Street Clinic"]);
    fs::write(home.path().join("baa.pdf"), "signed").unwrap();
    let agreement = |more: &[&str]| {
        let command = ["tenant", "agreement", "Elm Street Clinic"];
        home.run(&[&command, more].concat())
    };
    assert!(agreement(&[]).out.contains("none recorded"));
    assert_eq!(agreement(&["--signed", "2026-01-05"]).code, 2, "it must say what was signed");
    let refused = agreement(&["--signed", "2999-01-05", "--document", "baa.pdf"]);
    assert!(refused.code == 2 && refused.err.contains("signed must be a day until today"), "{}", refused.err);
    let said = agreement(&["--signed", "2026-01-05", "--until", "2099-01-04", "--document", "baa.pdf"]).out;
    let digest = Digest::of(b"signed").to_string();
    let line = format!("signed 2026-01-05 until 2099-01-04, document SHA-256 {digest}");
    assert!(said.contains(&line), "{said}");
    let tenants = home.json(&["tenant", "list"]);
    assert_eq!(tenants["tenants"][0]["agreement"]["document_sha256"], digest);
    assert!(agreement(&[]).out.contains(&line));

    let recipients = ["tenant", "recipients", "Elm Street Clinic"];
    let added = home.json(&[&recipients[..], &["--add", "owner@clinic.example"]].concat());
    assert_eq!(added["recipients"], serde_json::json!(["owner@clinic.example"]));
    let refused = home.run(&[&recipients[..], &["--add", "owner"]].concat());
    assert!(refused.err.contains("add must be an e-mail address"), "{}", refused.err);

    home.json(&["operator", "token", "--name", "alice", "--role", "operator"]);
    assert!(home.run(&["operator", "review"]).out.contains("alice"));
    let refused = home.run(&["operator", "review", "--confirm"]);
    assert!(refused.err.contains("nothing is said of") && refused.err.contains("alice"), "{}", refused.err);
    let reviewed = home.json(&["operator", "review", "--confirm", "--keep", "alice", "--keep", "owner"]);
    assert!(reviewed["reviewed"].is_string() && reviewed["due"].is_string(), "{reviewed}");

    let listed = home.json(&["packet", "list"]);
    assert_eq!(listed, serde_json::json!({ "packets": [], "mails": false }));
    for command in [
        &["packet", "send", "Elm Street Clinic", "2026-10"][..],
        &["packet", "review", "Elm Street Clinic", "2026-10", "--by", "Ann", "--role", "Owner"],
    ] {
        let said = home.run(command);
        assert!(said.code == 1 && said.err.contains("there is no packet of 2026-10"), "{}", said.err);
    }
    drop(running);
}
