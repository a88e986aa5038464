//! What a packet says of contract, access and acknowledgements, as acts of its bundle have it.

use control_plane::{
    bundle::{Bundle, PreviousPacket, export::build},
    mode::Brand,
};
use proto::{
    act::{Deed, Mode, Through},
    digest::Digest,
};

use super::{
    check,
    tenant::{HOUR, Tenant, at},
};

/// A box since June, and acts, each so many days after its enrolment; the packet of November.
fn packet(acts: Vec<(u32, Deed)>) -> (Tenant, Bundle) {
    let begin = at("2026-06-03T06:00:00Z");
    let mut tenant = Tenant::new(4, begin);
    tenant.every = 30 * 24 * HOUR;
    let n = tenant.enrol(false);
    let mut before = None;
    for (day, deed) in acts {
        tenant.now = begin.plus(24 * day * HOUR);
        before = Some(tenant.log_act(before, deed));
    }
    tenant.now = at("2026-12-01T00:30:00Z");
    tenant.heartbeat(n);
    let october = tenant.checkpoint(1);
    tenant.previous = Some(PreviousPacket {
        month: "2026-10".parse().unwrap(),
        markdown_sha256: Digest::of(b"markdown"),
        pdf_sha256: Some(Digest::of(b"pdf")),
        size: 1,
        root: Digest(october.checkpoint().root.0),
        made_at: at("2026-11-01T00:30:00Z"),
    });
    let bundle = build(&tenant.parts(tenant.evidence.len(), Some("2026-11".parse().unwrap()))).unwrap();
    (tenant, bundle)
}

fn text(bundle: &Bundle) -> &str {
    std::str::from_utf8(&bundle.files()["packet.md"]).unwrap()
}

fn access(name: &str) -> Deed {
    Deed::Access { name: name.into(), until: at("2027-06-01T00:00:00Z") }
}

fn signed(month: &str, packet: &[u8], name: &str) -> Deed {
    Deed::Review {
        month: month.into(),
        packet: Digest::of(packet),
        name: name.into(),
        role: "Owner".into(),
        through: Through::Link,
    }
}

#[test]
fn who_had_access_follows_from_what_was_given_ended_and_reviewed() {
    let kept =
        [("alice".to_owned(), at("2027-06-01T00:00:00Z")), ("old".to_owned(), at("2027-01-01T00:00:00Z"))];
    let short = Deed::Access { name: "short".into(), until: at("2026-11-29T00:00:00Z") };
    let (tenant, bundle) = packet(vec![
        (1, access("alice")),
        (2, access("bob")),
        (3, access("carol")),
        (100, Deed::AccessEnd { name: "bob".into() }),
        (101, Deed::AccessReview { kept: kept.into(), ended: [].into() }),
        (102, short),
    ]);
    let text = text(&bundle);
    let names: Vec<&str> = text
        .split("### Who had access at the end of the period")
        .nth(1)
        .unwrap()
        .lines()
        .skip_while(|line| !line.starts_with("| --- "))
        .skip(1)
        .map_while(|line| line.strip_prefix("| ")?.split(" |").next())
        .collect();
    assert_eq!(names, ["alice", "old"], "{text}");
    assert!(text.contains("| Next due | December 13, 2026 |"), "{text}");
    assert!(!text.contains("was not gone through"), "{text}");
    assert!(check(&tenant, &bundle).faults.is_empty());
}

#[test]
fn a_review_that_nobody_made_is_overdue_after_a_quarter() {
    let (_, bundle) = packet(vec![(1, access("alice"))]);
    assert!(text(&bundle).contains("| Last review | none in this log |"));
    assert!(text(&bundle).contains("| Next due | September 4, 2026 (overdue) |"));
    assert!(text(&bundle).contains("not gone through for more than 92 days"));
    let (_, bundle) = packet(vec![(100, access("alice"))]);
    assert!(!text(&bundle).contains("overdue"), "{}", text(&bundle));
}

#[test]
fn an_agreement_whose_last_day_is_over_is_a_finding() {
    let deed = |until: &str, of: &[u8]| Deed::Agreement {
        signed: at("2026-06-03T00:00:00Z"),
        until: Some(at(until)),
        document: Digest::of(of),
    };
    let (_, bundle) = packet(vec![(1, deed("2026-11-29T00:00:00Z", b"a"))]);
    assert!(
        text(&bundle).contains("| Agreement | business associate agreement of June 3, 2026, not in force |")
    );
    assert!(
        text(&bundle).contains("The business associate agreement of June 3, 2026 was not in force any more")
    );
    // Its last day is the month's; and the newest counts.
    let (_, bundle) =
        packet(vec![(1, deed("2026-11-29T00:00:00Z", b"a")), (2, deed("2026-11-30T00:00:00Z", b"b"))]);
    assert!(text(&bundle).contains("agreement of June 3, 2026, in force |"));
    assert!(text(&bundle).contains(&format!("| Document | SHA-256 {} |", Digest::of(b"b"))));
}

#[test]
fn where_an_organization_runs_it_itself_there_is_nobody_to_have_an_agreement_with() {
    let (_, bundle) = packet(vec![]);
    assert!(text(&bundle).contains("| Service provider | msp.example |"));
    assert!(text(&bundle).contains("No business associate agreement with msp.example is recorded"));
    let (tenant, bundle) = packet(vec![(1, Deed::Mode { mode: Mode::Direct })]);
    let said = text(&bundle);
    assert!(
        said.contains("| Run by | msp.example, for its own clinics: there is no service provider |"),
        "{said}"
    );
    assert!(said.contains("| Agreement | none is needed: there is no service provider to have one with |"));
    assert!(said.contains("there was no service provider to have a contract with"));
    assert!(
        !said.contains("No business associate agreement") && !said.contains("the service provider"),
        "{said}"
    );
    assert!(!said.contains("That is a finding under 45 CFR"));
    assert!(check(&tenant, &bundle).faults.is_empty());
    // What was said later than the month, is not of it; what was said in it, stands there with its record.
    let changed = vec![(1, Deed::Mode { mode: Mode::Direct }), (165, Deed::Mode { mode: Mode::Reseller })];
    let (_, bundle) = packet(changed);
    assert!(text(&bundle).contains("| Service provider | msp.example |"));
    assert!(
        text(&bundle).contains("this is run by a service provider for the clinic, by "),
        "{}",
        text(&bundle)
    );
}

#[test]
fn a_brand_stands_beside_the_signed_name_and_without_one_nothing_is_otherwise() {
    let (tenant, bundle) = packet(vec![]);
    let manifest: serde_json::Value = serde_json::from_slice(&bundle.files()["manifest.json"]).unwrap();
    let keys: std::collections::BTreeSet<&str> =
        manifest["provider_says"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["appliances", "clinic", "generator", "made_at", "packet", "period"].into(),
        "as before there were brands"
    );
    let mut parts = tenant.parts(tenant.evidence.len(), Some("2026-11".parse().unwrap()));
    parts.brand = Brand { name: "Acme | IT".into(), contact: "help@acme.example".into() };
    let bundle = build(&parts).unwrap();
    let said = text(&bundle);
    assert!(said.contains("| Service provider | Acme \\| IT (msp.example) |"), "{said}");
    assert!(said.contains("| Questions to | help@acme.example |"), "{said}");
    assert!(check(&tenant, &bundle).faults.is_empty(), "it is made again from the bundle alone");
    parts.brand.name = "two\nlines".into();
    assert!(build(&parts).is_err());
}

#[test]
fn the_packet_before_is_acknowledged_by_whoever_saw_that_very_packet() {
    let (_, bundle) = packet(vec![]);
    assert!(text(&bundle).contains("Nobody had acknowledged it when this packet was made."));
    assert!(text(&bundle).contains("Nobody has acknowledged the packet of October 2026"));
    let (tenant, bundle) = packet(vec![
        (160, signed("2026-10", b"another", "Eve")),
        (161, signed("2026-09", b"pdf", "Mallory")),
        (162, signed("2026-10", b"pdf", "Ann <b>")),
    ]);
    let section = text(&bundle).split("### The packet of October 2026").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    assert!(section.contains("| Ann \\<b\\> | Owner | on its page | "), "{section}");
    assert!(!section.contains("Eve") && !section.contains("Mallory"), "{section}");
    assert!(!text(&bundle).contains("Nobody has acknowledged"));
    assert!(check(&tenant, &bundle).faults.is_empty());
}
