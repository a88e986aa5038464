//! Orders as bytes: what was encoded reads back, and nothing that anybody sends makes the reader fall over.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what fails there is the test's failure")]

use std::time::Duration;

use proptest::prelude::*;
use prost::Message as _;
use proto::{
    approval::Approval,
    digest::Digest,
    field::BadField,
    ids::{ApplianceId, Incarnation, IncidentId, OrderId, SiteId, TenantId},
    order::{Core, Issuance, ORDER_MAX, Order, Plan, SEQUENCE_WINDOW, SequenceError, sequence_follows},
    pb,
    time::Millis,
};

const NOW: Millis = Millis(1_795_000_000_000);

fn core() -> Core {
    Core {
        id: OrderId::new(NOW, [1; 10]),
        organization: "msp.example".into(),
        tenant: TenantId::new(NOW, [2; 10]),
        site: SiteId::new(NOW, [3; 10]),
        appliance: ApplianceId::new(NOW, [4; 10]),
        incarnation: Incarnation([5; 16]),
        incident: IncidentId::new(NOW, [6; 10]),
        runbook: "RB-DISK-002".parse().unwrap(),
        runbook_digest: Digest::of(b"runbook"),
        parameters: [("directory".to_owned(), "uploads".parse().unwrap())].into(),
        approve_until: None,
    }
}

fn order() -> Order {
    let issuance = Issuance {
        charter_serial: 1,
        policy_serial: 2,
        sequence: 3,
        issued: NOW,
        lifetime: Duration::from_secs(600),
    };
    let plan = Plan {
        planner: "rules".into(),
        model: String::new(),
        prompt_digest: None,
        reason: "directory.over-limit triggers RB-DISK-002".into(),
    };
    let approval = Approval {
        approver: "ann".into(),
        authenticator_data: vec![1; 37],
        client_data: b"{}".to_vec(),
        signature: vec![3; 70],
    };
    Order::issue(core(), &issuance, plan, vec![approval])
}

/// The wire form, changed by hand.
fn changed(change: impl FnOnce(&mut pb::Order, &mut pb::OrderCore)) -> Result<Order, BadField> {
    let mut wire = pb::Order::decode(&order().encode()[..]).unwrap();
    let mut inner = pb::OrderCore::decode(&wire.core[..]).unwrap();
    let before = inner.clone();
    change(&mut wire, &mut inner);
    if inner != before {
        wire.core = inner.encode_to_vec();
    }
    Order::decode(&wire.encode_to_vec())
}

#[test]
fn what_was_encoded_reads_back() {
    let read = Order::decode(&order().encode()).unwrap();
    assert_eq!(read, order());
    assert_eq!(read.core_digest, Digest::of(&core().encode()));
    assert_eq!(read.encode(), order().encode());
    let approved = Core { approve_until: Some(NOW), ..core() };
    let issuance =
        Issuance { charter_serial: 1, policy_serial: 1, sequence: 1, issued: NOW, lifetime: Duration::ZERO };
    let issued = Order::issue(approved, &issuance, order().plan, Vec::new());
    assert_eq!(Order::decode(&issued.encode()).unwrap().core.approve_until, Some(NOW));
}

/// Approvers sign the core's exact bytes; a core that says the same in other bytes is another core.
#[test]
fn the_core_is_its_bytes_not_its_meaning() {
    let mut wire = pb::Order::decode(&order().encode()[..]).unwrap();
    // An unknown field (number 99, varint 1) after the rest: protobuf readers skip it.
    wire.core.extend([0x98, 0x06, 0x01]);
    let read = Order::decode(&wire.encode_to_vec()).unwrap();
    assert_eq!(read.core, core());
    assert_eq!(read.core_digest, Digest::of(&wire.core));
    assert_ne!(read.core_digest, order().core_digest);
    assert_eq!(pb::Order::decode(&read.encode()[..]).unwrap().core, wire.core, "kept as it came");
}

#[test]
fn every_refused_field_is_named() {
    type Change = fn(&mut pb::Order, &mut pb::OrderCore);
    let cases: [(&str, Change); 26] = [
        ("core.id", |_, c| c.id.clear()),
        ("core.id", |_, c| c.id = c.id.to_uppercase()),
        ("core.tenant", |_, c| c.tenant = c.tenant.replace('-', "")),
        ("core.tenant", |_, c| c.tenant = format!("{{{}}}", c.tenant)),
        ("core.tenant", |_, c| c.tenant = format!("urn:uuid:{}", c.tenant)),
        ("core.site", |_, c| c.site.push(' ')),
        ("core.appliance", |_, c| c.appliance = "../../etc".into()),
        ("core.incident", |_, c| c.incident = "7".into()),
        ("core.organization", |_, c| c.organization.clear()),
        ("core.organization", |_, c| c.organization = "a\nb".into()),
        ("core.organization", |_, c| c.organization = "a".repeat(254)),
        ("core.incarnation", |_, c| c.incarnation.truncate(15)),
        ("core.runbook", |_, c| c.runbook = "rb-disk-002".into()),
        ("core.runbook", |_, c| c.runbook = "RB-DISK-002; rm".into()),
        ("core.runbook_digest", |_, c| c.runbook_digest.push(0)),
        ("core.parameters.directory", |_, c| c.parameters[0].watch = "/srv/uploads".into()),
        ("core.parameters.directory", |_, c| c.parameters[0].watch = "Uploads".into()),
        ("core.parameters.directory", |_, c| c.parameters[0].watch.clear()),
        ("core.parameters.directory", |_, c| c.parameters.push(c.parameters[0].clone())),
        ("core.parameters.name", |_, c| c.parameters[0].name.clear()),
        ("core.parameters.name", |_, c| c.parameters[0].name = "x".repeat(41)),
        ("core.id", |o, _| o.core.clear()),
        ("core.core", |o, _| o.core = vec![0xff]),
        ("plan", |o, _| o.plan = None),
        ("plan.planner", |o, _| o.plan.as_mut().unwrap().planner.clear()),
        ("plan.prompt_digest", |o, _| o.plan.as_mut().unwrap().prompt_digest = vec![1; 31]),
    ];
    for (n, (field, change)) in cases.into_iter().enumerate() {
        assert_eq!(changed(change).unwrap_err().field, field, "case {n}");
    }
}

#[test]
fn an_order_has_a_size() {
    let mut large = order();
    large.plan.reason = "x".repeat(ORDER_MAX);
    assert_eq!(Order::decode(&large.encode()).unwrap_err().field, "order");
}

#[test]
fn every_prefix_is_refused_or_read() {
    let bytes = order().encode();
    for cut in 0..bytes.len() {
        if let Ok(read) = Order::decode(&bytes[..cut]) {
            // Cut between two fields: what is left says less, never something else.
            assert_eq!(read.core, core(), "cut at {cut}");
            assert_ne!(read, order(), "cut at {cut}");
        }
    }
}

#[test]
fn sequences_by_table() {
    let most = SEQUENCE_WINDOW;
    for (high, sequence, expected) in [
        (0, 1, Ok(())),
        (0, 0, Err(SequenceError::Replayed { sequence: 0, high: 0 })),
        (7, 7, Err(SequenceError::Replayed { sequence: 7, high: 7 })),
        (7, 6, Err(SequenceError::Replayed { sequence: 6, high: 7 })),
        (7, 9, Ok(())),
        (7, 7 + most, Ok(())),
        (7, 8 + most, Err(SequenceError::TooFar { sequence: 8 + most, high: 7 })),
        (0, u64::MAX, Err(SequenceError::TooFar { sequence: u64::MAX, high: 0 })),
        (u64::MAX - 1, u64::MAX, Ok(())),
        (u64::MAX, u64::MAX, Err(SequenceError::Replayed { sequence: u64::MAX, high: u64::MAX })),
    ] {
        assert_eq!(sequence_follows(high, sequence), expected, "{sequence} after {high}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Order::decode(&bytes).is_err());
    }

    #[test]
    fn a_changed_byte_never_panics_and_never_passes_for_the_original(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let good = order().encode();
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Order::decode(&bytes)
            && bytes != good
        {
            prop_assert_ne!(read, order());
        }
    }

    /// Sequences that are taken one after the other rise, and no number is ever taken twice.
    #[test]
    fn what_is_taken_rises(offered in prop::collection::vec(any::<u16>(), 0..200)) {
        let (mut high, mut taken) = (0_u64, Vec::new());
        for sequence in offered.into_iter().map(u64::from) {
            if sequence_follows(high, sequence).is_ok() {
                high = sequence;
                taken.push(sequence);
            }
        }
        prop_assert!(taken.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
