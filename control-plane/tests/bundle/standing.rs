//! Standing orders in a bundle: what was done on one must be what follows from it.

use proto::{
    digest::Digest,
    evidence::{Body, Execution, SeenBy, StandingUse},
    keys::SecretKey,
    standing::StandingOrder,
};

use super::{
    check, fault_in,
    tenant::{BACKED_UP, HOUR, Tenant},
};

/// A tenant whose first box drew once on a standing order.
fn drawn(change: impl FnOnce(&mut Execution, &mut StandingOrder)) -> Tenant {
    let mut tenant = Tenant::genuine(1);
    let (facts, _) = tenant.order(0, BACKED_UP.runbook, BACKED_UP.target);
    let entry = tenant.entries.runbook(&facts.runbook).unwrap();
    let mut standing = StandingOrder {
        id: facts.id,
        organization: tenant.charter.organization.clone(),
        tenant: tenant.tenant,
        site: "0190a0c0-0000-7000-8000-000000000009".parse().unwrap(),
        appliance: tenant.boxes[0].id,
        incarnation: tenant.boxes[0].incarnation,
        runbook: facts.runbook.clone(),
        runbook_digest: facts.runbook_digest,
        trigger: entry.runbook.triggers[0].to_string(),
        watch: BACKED_UP.target.parse().unwrap(),
        most: 2,
        issued: tenant.now,
        expires: tenant.now.plus(24 * HOUR),
        charter_serial: 1,
        policy_serial: 1,
    };
    let order = runbooks::derive(&standing, 1, Some(&entry.runbook));
    let mut execution = tenant.execution(facts, &BACKED_UP);
    execution.order.incident = order.core.incident;
    execution.order.sequence = order.sequence;
    execution.order.parameters.clone_from(&order.core.parameters);
    execution.order.plan.clone_from(&order.plan);
    execution.order.digest = Digest::of(&standing.encode());
    execution.order.standing = Some(StandingUse {
        id: standing.id,
        count: 1,
        most: 2,
        trigger: standing.trigger.clone(),
        held_ms: 130_000,
        seen_by: SeenBy::Executor,
    });
    change(&mut execution, &mut standing);
    tenant.orders.push(standing.seal(&tenant.order_key));
    tenant.attachments.extend(BACKED_UP.output.map(<[u8]>::to_vec));
    tenant.log(0, Body::Execution(Box::new(execution)));
    tenant
}

#[test]
fn a_use_of_a_standing_order_is_proven_by_it() {
    let tenant = drawn(|_, _| {});
    let report = check(&tenant, &tenant.bundle());
    assert_eq!(report.exit_code(), 0, "{report}");
}

#[test]
fn a_use_must_be_what_follows_from_it() {
    type Change = fn(&mut Execution, &mut StandingOrder);
    let cases: [(Change, &str); 6] = [
        (|execution, _| execution.order.standing.as_mut().unwrap().count = 3, "another use"),
        (|execution, _| execution.order.standing.as_mut().unwrap().most = 9, "another use"),
        (
            |execution, _| execution.order.standing.as_mut().unwrap().trigger = "restore.due".into(),
            "another use",
        ),
        (|execution, _| execution.order.standing = None, "for one that is for one run"),
        (
            |execution, _| {
                let all = execution.order.parameters.values_mut();
                all.for_each(|watch| *watch = "uploads".parse().unwrap());
            },
            "another parameters",
        ),
        (
            |execution, standing| {
                standing.appliance = "0190a0c0-0000-7000-8000-0000000000ff".parse().unwrap();
                execution.order.digest = Digest::of(&standing.encode());
            },
            "another appliance",
        ),
    ];
    for (change, says) in cases {
        let tenant = drawn(change);
        let report = check(&tenant, &tenant.bundle());
        assert_eq!(report.exit_code(), 1, "{says}: {report}");
        let problem = fault_in(&report, "evidence/00000030");
        assert!(problem.contains(says), "{problem}");
    }
}

#[test]
fn a_standing_order_by_another_key_is_none() {
    let mut tenant = drawn(|_, _| {});
    let standing = tenant.orders.pop().unwrap();
    let payload = proto::dsse::Envelope::parse(&standing).unwrap().unverified_payload().to_vec();
    let standing = StandingOrder::decode(&payload).unwrap();
    tenant.orders.push(standing.seal(&SecretKey::ed25519([55; 32])));
    let report = check(&tenant, &tenant.bundle());
    assert!(fault_in(&report, "orders/").contains("by charter 1"), "{report}");
}
