//! Packets follow one another: each names the one before, and the log of then must be the beginning of the log of now.

use std::sync::LazyLock;

use control_plane::bundle::{Bundle, Month, PreviousPacket, export::build, verify::Status};
use proto::digest::Digest;

use super::{check, fault_in, relisted, status_of, tenant::Tenant, with};

const CLAIM: &str = "Last month's packet";
const PATH: &str = "packet/previous.json";

/// The packet before November's, as if it had been made when the log had twelve records.
fn october(tenant: &Tenant) -> PreviousPacket {
    let head = tenant.checkpoint(12);
    PreviousPacket {
        month: "2026-10".parse().unwrap(),
        markdown_sha256: Digest::of(b"markdown"),
        pdf_sha256: Some(Digest::of(b"pdf")),
        size: 12,
        root: Digest(head.checkpoint().root.0),
        made_at: tenant.now,
    }
}

static FOLLOWED: LazyLock<(Tenant, Bundle)> = LazyLock::new(|| {
    let mut tenant = Tenant::genuine(1);
    tenant.previous = Some(october(&tenant));
    let november: Month = "2026-11".parse().unwrap();
    let bundle = build(&tenant.parts(30, Some(november))).unwrap();
    (tenant, bundle)
});

fn bent(change: impl FnOnce(&mut PreviousPacket)) -> Bundle {
    let mut previous = october(&FOLLOWED.0);
    change(&mut previous);
    relisted(&with(&FOLLOWED.1, PATH, previous.encode()))
}

#[test]
fn a_packet_names_the_one_before_and_the_log_of_then_is_its_beginning() {
    let (tenant, bundle) = &*FOLLOWED;
    let report = check(tenant, bundle);
    assert_eq!((report.exit_code(), status_of(&report, CLAIM)), (0, Status::Proven), "{report}");
    let text = std::str::from_utf8(&bundle.files()["packet.md"]).unwrap();
    for line in [
        format!("| Follows | the packet of October 2026, SHA-256 {} |", Digest::of(b"pdf")),
        format!("| SHA-256 of packet.md | `{}` |", Digest::of(b"markdown")),
        "| Records then | `12` |".into(),
    ] {
        assert!(text.contains(&line), "{line}\n\n{text}");
    }
}

/// What was told too late for last month's packet is named in this one.
#[test]
fn records_that_came_too_late_are_named() {
    let mut tenant = Tenant::new(2, super::tenant::at("2026-10-30T06:00:00Z"));
    tenant.every = 24 * super::tenant::HOUR;
    let n = tenant.enrol(false);
    for _ in 0..12 {
        tenant.heartbeat(n);
        tenant.wait(24 * super::tenant::HOUR);
    }
    tenant.previous = Some(PreviousPacket {
        size: 2,
        root: Digest(tenant.checkpoint(2).checkpoint().root.0),
        ..october(&tenant)
    });
    let bundle = build(&tenant.parts(tenant.evidence.len(), Some("2026-11".parse().unwrap()))).unwrap();
    let text = std::str::from_utf8(&bundle.files()["packet.md"]).unwrap();
    let late = "> **Late.** 1 record of before this period came after the packet of October 2026 was made, so no packet tells of them: 2.";
    assert!(text.contains(late), "{text}");
}

#[test]
fn another_log_another_month_or_a_later_time_is_a_fault() {
    type Change = fn(&mut PreviousPacket);
    let cases: [(Change, &str); 5] = [
        (|p| p.root = Digest::of(b"another log"), "the first 12 records had another root"),
        (|p| p.size = 11, "the first 11 records had another root"),
        (|p| p.size = 31, "speaks of 31 records; the log has fewer"),
        (|p| p.month = "2026-11".parse().unwrap(), "must be of a month before 2026-11"),
        (|p| p.made_at = p.made_at.plus(super::tenant::HOUR), "was made after the packet that follows it"),
    ];
    for (change, problem) in cases {
        let report = check(&FOLLOWED.0, &bent(change));
        assert_eq!(report.exit_code(), 1, "{problem}\n{report}");
        assert!(fault_in(&report, PATH).contains(problem), "{problem}\n{report}");
    }
}

/// Its digests are the provider's word, and the packet repeats them: one of the two alone cannot be changed.
#[test]
fn a_changed_digest_is_not_the_one_that_the_packet_names() {
    let report = check(&FOLLOWED.0, &bent(|p| p.markdown_sha256 = Digest::of(b"another packet")));
    assert_eq!(report.exit_code(), 1, "{report}");
    assert!(fault_in(&report, "packet.md").contains("not the packet that this evidence gives"), "{report}");
}

#[test]
fn one_that_is_not_written_as_this_program_writes_it_is_a_fault() {
    for bytes in [&b"{}"[..], b"\xff", &[b" ", october(&FOLLOWED.0).encode().as_slice()].concat()] {
        let report = check(&FOLLOWED.0, &relisted(&with(&FOLLOWED.1, PATH, bytes.to_vec())));
        assert!(fault_in(&report, PATH).starts_with("previous.json "), "{report}");
    }
}
