//! The packet: made from the bundle alone, the same to the byte, and not to be bent.

use std::sync::LazyLock;

use control_plane::{
    bundle::{
        Bundle, Month,
        export::{ExportError, build},
        verify::{Status, verify},
    },
    packet::PacketError,
};

use proto::evidence::Verdict;

use super::{
    check, fault_in, relisted, status_of,
    tenant::{BACKED_UP, HOUR, Tenant, at},
    with, without,
};

static TENANT: LazyLock<Tenant> = LazyLock::new(|| Tenant::genuine(1));
static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| build(&TENANT.parts(30, Some(november()))).unwrap());

fn november() -> Month {
    "2026-11".parse().unwrap()
}

fn text(bundle: &Bundle) -> &str {
    std::str::from_utf8(&bundle.files()["packet.md"]).unwrap()
}

#[test]
fn a_bundle_with_a_packet_is_sound_and_makes_it_again() {
    let report = check(&TENANT, &*BUNDLE);
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!(status_of(&report, "packet says"), Status::Proven);
    assert_eq!(build(&TENANT.parts(30, Some(november()))).unwrap(), *BUNDLE);
    assert_eq!(BUNDLE.files().contains_key("packet.pdf"), cfg!(feature = "pdf"));
}

#[test]
fn it_says_what_the_evidence_says() {
    let packet = text(&BUNDLE);
    for line in [
        "**Northside Family Practice** · November 2026",
        "Integrity: **Sound.** All 30 records are signed",
        "Completeness: **Complete.**",
        "Prune a watched directory to its limit: uploads<br>size: 62.4 MB → 44.1 MB, files: 1,310 → 904, limit: 50.0 MB; files removed: 406; took 41 s",
        "| Restore proven | 164.308(a)(7)(ii)(D)",
        "| 164.308(a)(7)(ii)(A) | Contingency plan: data backup plan (required) | Supported | 2 actions, all successful | 2026-11-03 | 20, 15 |",
        "| 2 binding | order is for another appliance; one for this is right | 25 |",
        "The month was not over",
        "control-plane evidence verify --trust organization.keys.json BUNDLE",
        "## 5. Findings and plan of action",
        "No scan of the baseline was signed in this period.",
        "## 2. Scope and what is not covered",
    ] {
        assert!(packet.contains(line), "{line}\n\n{packet}");
    }
    for (number, envelope) in
        TENANT.evidence.iter().enumerate().filter(|(n, _)| [0, 1, 10, 15, 20, 25].contains(n))
    {
        let digest = proto::digest::Digest::of(envelope);
        assert!(packet.contains(&format!("`{digest}`")), "record {number}");
    }
}

#[test]
fn every_file_says_which_line_it_proves() {
    let report = check(&TENANT, &*BUNDLE);
    let proves = |path: &str| {
        let line = report.files.iter().find(|line| line.path.starts_with(path)).unwrap();
        line.proves.as_str()
    };
    assert_eq!(proves("evidence/00000010"), "packet, Activity, record 10: RB-DISK-002 on uploads");
    assert_eq!(proves("evidence/00000025"), "packet, Activity, record 25: refused by guardrail 2");
    assert_eq!(proves("proofs/00000010"), "that record 10 is in the log");
    assert!(report.files.iter().any(|line| line.proves == "the order behind record 10"));
}

#[test]
fn a_packet_that_says_something_else_is_a_fault() {
    let bent = text(&BUNDLE).replace("3 actions, all successful", "9 actions, all successful");
    assert_ne!(bent, text(&BUNDLE));
    let report = check(&TENANT, &relisted(&with(&BUNDLE, "packet.md", bent.into_bytes())));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, "packet.md").contains("not the packet that this evidence gives"));

    // The clinic's name is the provider's word, but packet and manifest must say the same.
    let mut files = BUNDLE.files().clone();
    let manifest =
        String::from_utf8(files["manifest.json"].clone()).unwrap().replace("Northside", "Southside");
    files.insert("manifest.json".into(), manifest.into_bytes());
    assert_eq!(check(&TENANT, &Bundle::new(files)).exit_code(), 1);

    let another = relisted(&with(&TENANT.bundle(), "packet.md", text(&BUNDLE).as_bytes().to_vec()));
    assert_eq!(check(&TENANT, &another).exit_code(), 1, "a packet that the manifest does not speak of");
}

#[test]
fn a_packet_that_is_not_here_is_missed() {
    let report = check(&TENANT, &relisted(&without(&BUNDLE, "packet.md")));
    assert_eq!((report.exit_code(), status_of(&report, "packet says")), (3, Status::Missing), "{report}");
}

#[test]
#[cfg(feature = "pdf")]
fn a_changed_page_is_found() {
    let mut pdf = BUNDLE.files()["packet.pdf"].clone();
    let middle = pdf.len() / 2;
    pdf[middle] ^= 1;
    let report = check(&TENANT, &relisted(&with(&BUNDLE, "packet.pdf", pdf)));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, "packet.pdf").contains("not the packet"));
}

#[test]
fn the_keys_do_not_change_what_it_says() {
    // Whoever verifies without keys makes the same packet as the server did.
    let report = verify(&*BUNDLE, None, TENANT.now);
    assert_eq!(report.exit_code(), 3, "{report}");
    assert!(report.faults.is_empty(), "{report}");
}

#[test]
fn what_needs_attention_is_said() {
    let mut tenant = Tenant::genuine(1);
    tenant.hold(0, true);
    tenant.execute(1, &super::tenant::Deed { verdict: Verdict::Failed, output: None, ..BACKED_UP });
    tenant.wait(4 * HOUR);
    let packet = build(&tenant.parts(32, Some(november()))).unwrap();
    for line in [
        "4 actions, 3 successful, 1 not; nothing was changed afterwards; 2 gaps.",
        "| Failed | 164.308(a)(7)(ii)(A)<br>164.310(d)(2)(iv) | 31 |",
        "ended with “Failed” (record 31).",
        "| held | A person at the box stopped all orders. | 30 |",
        "No restore from “records” at Front desk was proven this month.",
        "It was silent from then on: offline or off, or what it sent was left out.",
    ] {
        assert!(text(&packet).contains(line), "{line}\n\n{}", text(&packet));
    }
}

#[test]
fn anyone_makes_it_again_from_the_bundle() {
    let facts = control_plane::bundle::verify::facts(&*BUNDLE).unwrap();
    let made = control_plane::packet::build(&facts, november()).unwrap();
    assert_eq!(made.markdown, text(&BUNDLE));
    assert_eq!(made.pdf.as_ref(), BUNDLE.files().get("packet.pdf"));
}

#[test]
fn another_versions_packet_is_not_proven_and_no_fault() {
    let generator = "orderly control-plane 0.0.1";
    let mut files = BUNDLE.files().clone();
    let mut manifest = control_plane::bundle::Manifest::parse(&files["manifest.json"]).unwrap();
    manifest.provider_says.generator = generator.into();
    files.insert("manifest.json".into(), manifest.encode());
    let report = check(&TENANT, &Bundle::new(files));
    assert_eq!((report.exit_code(), status_of(&report, "packet says")), (3, Status::Missing), "{report}");
}

/// The table of paragraphs is the program's: another version may have had another, and this one cannot say which is right.
#[test]
fn another_versions_table_is_not_proven_and_no_fault() {
    let manifest = || control_plane::bundle::Manifest::parse(&BUNDLE.files()["manifest.json"]).unwrap();
    let own = manifest().provider_says.generator.clone();
    for (generator, code, status) in
        [("orderly control-plane 0.0.1", 3, Status::Missing), (own.as_str(), 1, Status::NotProven)]
    {
        let mut files = BUNDLE.files().clone();
        files.get_mut("baseline/security-rule.csv").unwrap().extend(b"164.999,Another\n");
        let mut manifest = manifest();
        manifest.provider_says.generator = generator.into();
        let table = &files["baseline/security-rule.csv"];
        for line in manifest.files.iter_mut().filter(|line| line.path == "baseline/security-rule.csv") {
            (line.bytes, line.sha256) = (table.len() as u64, proto::digest::Digest::of(table));
        }
        files.insert("manifest.json".into(), manifest.encode());
        let report = check(&TENANT, &Bundle::new(files));
        assert_eq!((report.exit_code(), status_of(&report, "Security Rule's")), (code, status), "{report}");
    }
}

#[test]
fn a_month_that_has_not_begun_has_no_packet() {
    let refused = build(&TENANT.parts(30, Some("2026-12".parse().unwrap()))).unwrap_err();
    assert!(matches!(refused, ExportError::Packet { cause: PacketError::NotBegun { .. }, .. }), "{refused}");
}

#[test]
fn names_are_never_markup() {
    let mut tenant = Tenant::new(3, at("2026-11-03T06:00:00Z"));
    tenant.enrol(false);
    tenant.heartbeat(0);
    let mut parts = tenant.parts(2, Some(november()));
    parts.made_at = tenant.now.plus(HOUR);
    parts.period = november().until(parts.made_at);
    parts.clinic = "<script> | *x* #read(\"/etc/passwd\") ]".into();
    parts.appliance_names.values_mut().for_each(|name| *name = "\u{202e}evil`_|".into());
    let bundle = build(&parts).unwrap();
    assert!(text(&bundle).contains(r#"\<script\> \| \*x\* \#read("/etc/passwd") \]"#), "{}", text(&bundle));
    assert!(!text(&bundle).contains('\u{202e}'));
    let report = verify(&bundle, Some(&tenant.trust()), parts.made_at);
    assert_eq!(report.exit_code(), 0, "{report}");
}
