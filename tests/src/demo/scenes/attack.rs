//! Somebody else's orders: each is refused by its guardrail, and each refusal is evidence.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use proto::{
    dsse::Envelope,
    ids::{ApplianceId, OrderId},
    keys::SecretKey,
    order::{Issuance, Order},
};

use super::audit::export;
use crate::{
    clock,
    demo::{
        Teller,
        stage::{Stage, TENANT},
    },
    rig::{attack::Intruder, wait},
};

pub(super) fn forged_orders(stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    let start = clock::instant();
    let seen = export(stage, "seen")?;
    let (envelope, order) = newest_order(&seen)?;
    let real_key = fs::read_to_string(stage.provider.dir.join("keys/order.key"))?;
    let real_key = SecretKey::from_file(&real_key)?;
    let mut intruder = Intruder::enter(&stage.clinic.socket())?;
    let high = intruder.describe()?.order_high;
    let again = |change: &dyn Fn(&mut proto::order::Core), key: &SecretKey| {
        let now = clock::now();
        let mut core = order.core.clone();
        core.id = OrderId::new(now, [7; 10]);
        change(&mut core);
        let issuance = Issuance {
            charter_serial: order.charter_serial,
            policy_serial: order.policy_serial,
            sequence: high + 1,
            issued: now,
            lifetime: Duration::from_secs(600),
        };
        Order::issue(core, &issuance, order.plan.clone(), Vec::new()).seal(key)
    };
    let unlisted: proto::ids::WatchId = "etc".parse()?;
    let attempts = [
        ("forged with another key", again(&|_| {}, &SecretKey::ed25519([9; 32])), 1),
        (
            "for another appliance",
            again(&|core| core.appliance = ApplianceId::new(clock::now(), [1; 10]), &real_key),
            2,
        ),
        ("replayed", envelope, 4),
        (
            "real key, unlisted directory",
            again(
                &|core| core.parameters.values_mut().for_each(|watch| *watch = unlisted.clone()),
                &real_key,
            ),
            7,
        ),
    ];
    let before = refusals(stage)?;
    for (what, order, guardrail) in attempts {
        if !stage.fault {
            continue;
        }
        let outcome = intruder.deliver(order)?.outcomes.into_iter().next().context("an outcome")?;
        let expected = format!("guardrail {guardrail} ");
        ensure!(!outcome.accepted && outcome.refusal.starts_with(&expected), "{what}: {outcome:?}");
        teller.say(format!("{what}: {}", outcome.refusal));
    }
    wait::until("the refusals are in the log", stage.patience, || {
        Ok((refusals(stage)? >= before + 4).then_some(()))
    })?;
    fs::remove_dir_all(seen)?;
    teller.proved(
        "forged orders",
        "4 of 4 refused, each by its guardrail; each refusal is evidence",
        clock::since(start),
    );
    Ok(())
}

fn refusals(stage: &Stage) -> Result<usize> {
    Ok(stage.provider.evidence(TENANT)?.iter().filter(|e| e["kind"] == "refusal").count())
}

fn newest_order(bundle: &Path) -> Result<(Vec<u8>, Order)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(bundle.join("orders"))? {
        let envelope = fs::read(entry?.path())?;
        let order = Order::decode(Envelope::parse(&envelope)?.unverified_payload())?;
        all.push((envelope, order));
    }
    let disk = |order: &Order| order.core.runbook.as_str().starts_with("RB-DISK-");
    all.into_iter()
        .filter(|(_, order)| disk(order))
        .max_by_key(|(_, order)| order.sequence)
        .context("an order was given")
}
