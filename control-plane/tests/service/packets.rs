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
        ("Elm Street Clinic", "2026-13", 1, "month"),
        ("Elm Street Clinic", "", 1, "month must look like 2026-11"),
        ("Elm Street Clinic", "2999-01", 1, "after the month began"),
        ("Oak Street Clinic", month.as_str(), 1, "there is no tenant"),
    ] {
        let said = home.run(&["packet", "build", "--tenant", tenant, "--month", month, "--out", "others"]);
        assert_eq!(said.code, code, "{tenant} {month}: {}", said.err);
        assert!(said.err.contains(says), "{tenant} {month}: {}", said.err);
    }
    assert!(!home.path().join("others").exists(), "nothing is written when there is no packet");
    drop(running);
}
