//! Asking people: what they sign is what is ordered, an approval is good for that alone, and every question ends.

mod changed;
mod modes;
mod told;

use std::{collections::BTreeMap, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use control_plane::{
    access::{Grant, Principal},
    core::{CoreError, asking::State},
    store::AskedRow,
};
use proto::{
    act::{Claim, Deed, Verdict},
    approval::Approval,
    charter::Approver,
    digest::Digest,
    ids::WatchId,
    keys::SecretKey,
    sync::Phase,
    time::Millis,
};
use runbooks::{Catalogue, Facts, History, Patch, Policy, Presence, Risk, WatchKind, admit, verify};

use crate::{
    appliance::Appliance,
    world::{DAY, DISK, HOUR, MINUTE, Safe, World, shipped},
};

static PASSKEYS: LazyLock<BTreeMap<&str, SecretKey>> =
    LazyLock::new(|| ["ann", "bob", "eve"].map(|name| (name, SecretKey::generate_p256())).into());

/// An assertion by that passkey over these bytes, as a browser hands it over.
pub fn assertion(approver: &str, core: &[u8], key: &SecretKey) -> Approval {
    let challenge = URL_SAFE_NO_PAD.encode(Digest::of(core).0);
    let client_data =
        format!(r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"https://msp.example"}}"#);
    let authenticator_data = [&Digest::of(b"msp.example").0[..], &[0x05, 0, 0, 0, 1]].concat();
    let signed = [&authenticator_data[..], &Digest::of(client_data.as_bytes()).0].concat();
    Approval {
        approver: approver.into(),
        authenticator_data,
        signature: key.sign(&signed),
        client_data: client_data.into_bytes(),
    }
}

pub fn approver(name: &str) -> Approver {
    Approver {
        name: name.into(),
        key: PASSKEYS[name].public(),
        rp_id: "msp.example".into(),
        origin: "https://msp.example".into(),
    }
}

/// A clinic where that runbook needs approval, under a charter of two approvers, and a box that has the fault.
fn asked_about(risk: Option<Risk>) -> (World, Appliance) {
    asked_about_under(risk, |_| {})
}

fn asked_about_under(risk: Option<Risk>, change: impl FnOnce(&mut Safe)) -> (World, Appliance) {
    let mut world = World::with(|safe| {
        change(safe);
        safe.charter.approvers = vec![approver("ann"), approver("bob")];
        let mut all = shipped();
        if let Some(risk) = risk {
            all.iter_mut().find(|one| one.id.as_str() == "RB-DISK-002").unwrap().risk = risk;
        }
        safe.catalogue = safe.catalogue(1, all);
    });
    let (now, tenant) = (world.now, world.tenant.clone());
    let settings = Patch::parse(r#"{"runbook_modes":{"RB-DISK-002":"approval"}}"#).unwrap();
    let level = world.core.level(&tenant, "", "").unwrap();
    world.core.run(now, |core| core.patch_policy(level, &settings, now)).unwrap();
    let mut appliance = world.appliance();
    appliance.policy_serial = 2;
    raise(&mut world, &mut appliance, "uploads");
    (world, appliance)
}

fn raise(world: &mut World, appliance: &mut Appliance, watch: &str) {
    let event = appliance.event(world.now, DISK, watch, Phase::Raised);
    assert!(world.send(appliance, vec![event]).orders.is_empty(), "people are asked first");
}

fn waiting(world: &World) -> AskedRow {
    let mut all = world.core.all_asked("", false, 0).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn approve(world: &mut World, asked: &AskedRow, name: &str) -> Result<AskedRow, CoreError> {
    let (now, approval) = (world.now, assertion(name, &asked.core, &PASSKEYS[name]));
    world.core.run(now, |core| core.approve(&asked.order.to_string(), approval, now))
}

/// Where each question stands, oldest first; of those of one moment, what is over first.
fn stand(world: &World) -> String {
    world.text(r#"SELECT group_concat(state, ' ') FROM (SELECT state FROM asked ORDER BY asked_ms, ended_ms IS NULL)"#)
}

fn incident(world: &World) -> String {
    world.text("SELECT state || ': ' || reason FROM incident WHERE watch = 'uploads' ORDER BY opened_ms DESC LIMIT 1")
}

/// What the acts say of it, whatever charter they are under.
fn verdicts(world: &World) -> Vec<(Verdict, Option<String>)> {
    let (rows, _) = world.core.evidence(&world.tenant, 0, 1000).unwrap();
    let said = |envelope: &[u8]| match Claim::read(envelope).unwrap()?.unverified().deed {
        Deed::Decision { verdict, approver, .. } => Some((verdict, approver)),
        _ => None,
    };
    rows.iter().filter_map(|row| said(&row.envelope)).collect()
}

/// What the box's executor says, by the same functions and its own facts.
fn executor_admits(world: &World, appliance: &Appliance, envelope: &[u8]) -> Result<(), runbooks::Refusal> {
    let charter = world.core.charter();
    let catalogue = Catalogue::open(world.core.catalogue().1, charter).unwrap().into_value();
    let watch: BTreeMap<WatchId, WatchKind> =
        appliance.watch.iter().map(|(id, kind)| (id.clone(), kind.parse().unwrap())).collect();
    let facts = Facts {
        identity: appliance.identity.as_ref().unwrap(),
        incarnation: appliance.incarnation,
        charter,
        catalogue: &catalogue,
        policy: &Policy::default_local(),
        policy_serial: appliance.policy_serial,
        watch: &watch,
        now: Some(world.now),
        wall: None,
        order_high: appliance.order_high,
        taken_before: false,
        history: History::default(),
        hold: None,
    };
    admit(verify(envelope, charter, Some(world.now))?, &facts)?
        .confirm(Presence::Present)
        .map_err(|(_, no)| no)?;
    Ok(())
}

#[test]
fn what_was_approved_is_what_is_ordered_byte_for_byte() {
    let (mut world, mut appliance) = asked_about(None);
    let asked = waiting(&world);
    assert_eq!((asked.state, asked.needed, asked.until), (State::Waiting, 1, world.now.plus(4 * HOUR)));
    assert!(incident(&world).starts_with("planned: waits for approval: order"), "{}", incident(&world));
    let told = world.text("SELECT body FROM notification");
    assert!(told.contains("approval.asked"), "somebody must hear of it: {told}");
    world.wait(2 * HOUR);
    assert!(world.call(&mut appliance).orders.is_empty());
    assert!(incident(&world).starts_with("planned"), "it does not stall while people may still answer");
    world.core.take_wakes();
    assert_eq!(approve(&mut world, &asked, "ann").unwrap().state, State::Granted);
    assert_eq!(world.core.take_wakes(), [appliance.id()].into());
    // An approval that was acknowledged is not lost.
    world.restart();
    let orders = world.call(&mut appliance).orders;
    let order = appliance.newest_order();
    assert_eq!((order.core_digest, order.approvals.len()), (Digest::of(&asked.core), 1));
    assert_eq!(order.approvals[0].approver, "ann");
    executor_admits(&world, &appliance, &orders[0]).unwrap();
    assert_eq!((stand(&world).as_str(), incident(&world).split(':').next()), ("used", Some("ordered")));
    assert_eq!(verdicts(&world), [(Verdict::Asked, None), (Verdict::Approved, Some("ann".into()))]);
    let done = appliance.executed(world.now, &order, proto::evidence::Verdict::Repaired);
    world.send(&mut appliance, vec![done]);
    assert!(incident(&world).starts_with("resolved"));
}

#[test]
fn destructive_wants_two_different_people() {
    let (mut world, mut appliance) = asked_about(Some(Risk::Destructive));
    let asked = waiting(&world);
    assert_eq!(asked.needed, 2);
    assert_eq!(approve(&mut world, &asked, "ann").unwrap().state, State::Waiting);
    assert!(incident(&world).contains("1 of 2"), "{}", incident(&world));
    assert!(matches!(approve(&mut world, &asked, "ann"), Err(CoreError::Exists(_))), "the same one again");
    // Another name for the same passkey is nobody.
    let (now, twice) = (world.now, assertion("bob", &asked.core, &PASSKEYS["ann"]));
    assert!(world.core.run(now, |core| core.approve(&asked.order.to_string(), twice, now)).is_err());
    assert!(world.call(&mut appliance).orders.is_empty());
    assert_eq!(approve(&mut world, &asked, "bob").unwrap().state, State::Granted);
    let orders = world.call(&mut appliance).orders;
    executor_admits(&world, &appliance, &orders[0]).unwrap();
    assert!(matches!(approve(&mut world, &asked, "bob"), Err(CoreError::Precondition(_))), "it is over");
}

#[test]
fn what_is_no_approval_of_this_order_changes_nothing() {
    let (mut world, mut appliance) = asked_about(None);
    let asked = waiting(&world);
    let good = assertion("ann", &asked.core, &PASSKEYS["ann"]);
    let other_core = [&asked.core[..], b" "].concat();
    let mut cases = vec![
        ("an altered core", assertion("ann", &other_core, &PASSKEYS["ann"])),
        ("nobody of the charter", assertion("eve", &asked.core, &PASSKEYS["eve"])),
        ("a stranger's passkey", assertion("ann", &asked.core, &PASSKEYS["eve"])),
        ("another approver's passkey", assertion("ann", &asked.core, &PASSKEYS["bob"])),
    ];
    let client = String::from_utf8(good.client_data.clone()).unwrap();
    let resigned = |client: String, authenticator_data: Vec<u8>| {
        let signed = [&authenticator_data[..], &Digest::of(client.as_bytes()).0].concat();
        let signature = PASSKEYS["ann"].sign(&signed);
        Approval { approver: "ann".into(), authenticator_data, client_data: client.into_bytes(), signature }
    };
    let data = good.authenticator_data.clone();
    cases.push(("another origin", resigned(client.replace("https://", "https://evil."), data.clone())));
    cases.push((
        "another ceremony",
        resigned(client.replace("webauthn.get", "webauthn.create"), data.clone()),
    ));
    let elsewhere = [&Digest::of(b"evil.example").0[..], &data[32..]].concat();
    cases.push(("another relying party", resigned(client.clone(), elsewhere)));
    let mut nobody = data;
    nobody[32] = 0x01;
    cases.push(("a person who was not verified", resigned(client, nobody)));
    for (case, approval) in cases {
        let now = world.now;
        let said = world.core.run(now, |core| core.approve(&asked.order.to_string(), approval, now));
        assert!(matches!(said, Err(CoreError::Bad(_))), "{case}: {said:?}");
        assert_eq!(world.count("SELECT count(*) FROM consent"), 0, "{case}");
        assert!(world.call(&mut appliance).orders.is_empty(), "{case}");
    }
    approve(&mut world, &asked, "ann").unwrap();
    assert_eq!(world.call(&mut appliance).orders.len(), 1);
}

#[test]
fn an_approval_of_one_order_is_none_of_another() {
    let (mut world, mut appliance) = asked_about(None);
    let first = waiting(&world);
    raise(&mut world, &mut appliance, "scans");
    let second =
        world.core.all_asked("", false, 0).unwrap().into_iter().find(|one| one.order != first.order).unwrap();
    let (now, replayed) = (world.now, assertion("ann", &first.core, &PASSKEYS["ann"]));
    let said = world.core.run(now, |core| core.approve(&second.order.to_string(), replayed, now));
    assert!(matches!(said, Err(CoreError::Bad(_))), "{said:?}");
}

#[test]
fn somebody_says_no_and_it_is_a_persons() {
    let (mut world, mut appliance) = asked_about(None);
    let asked = waiting(&world);
    let (now, id) = (world.now, asked.order.to_string());
    let no = |core: &mut control_plane::core::Core| {
        let carol = Principal::token("carol".into(), "192.0.2.7".into(), Grant::everything());
        core.acting_as(carol, "Approvals/Reject", now, |core| core.reject(&id, "Dr Miller needs them", now))
    };
    assert_eq!(world.core.run(now, no).unwrap().state, State::Rejected);
    assert_eq!(incident(&world), "escalated: rejected by carol: Dr Miller needs them");
    assert_eq!(verdicts(&world).last(), Some(&(Verdict::Rejected, None)));
    let (rows, _) = world.core.evidence(&world.tenant.clone(), 0, 0).unwrap();
    assert!(
        !rows.iter().any(|row| String::from_utf8_lossy(&row.envelope).contains("Miller")),
        "people's words"
    );
    assert!(matches!(approve(&mut world, &asked, "ann"), Err(CoreError::Precondition(_))));
    assert!(world.core.run(now, no).is_err(), "once");
    world.wait(MINUTE);
    raise(&mut world, &mut appliance, "uploads");
    assert_eq!(
        world.count("SELECT count(*) FROM asked"),
        1,
        "nor are people asked again while it is a person's"
    );
}

#[test]
fn a_granted_order_can_be_rejected_until_it_is_signed() {
    let (mut world, mut appliance) = asked_about(None);
    let asked = waiting(&world);
    approve(&mut world, &asked, "ann").unwrap();
    let now = world.now;
    world.core.run(now, |core| core.reject(&asked.order.to_string(), "not now", now)).unwrap();
    assert!(world.call(&mut appliance).orders.is_empty());
    assert!(incident(&world).starts_with("escalated"));
}

#[test]
fn who_is_asked_in_vain_is_asked_once_more_and_then_it_is_a_persons() {
    let (mut world, mut appliance) = asked_about(None);
    let first = waiting(&world);
    world.wait(4 * HOUR);
    assert_eq!(stand(&world), "expired");
    assert!(matches!(approve(&mut world, &first, "ann"), Err(CoreError::Precondition(_))), "too late");
    assert!(world.call(&mut appliance).orders.is_empty());
    let second = waiting(&world);
    assert_ne!(second.order, first.order);
    assert!(matches!(approve(&mut world, &first, "ann"), Err(CoreError::Precondition(_))));
    world.wait(4 * HOUR);
    assert_eq!(stand(&world), "expired expired");
    assert!(incident(&world).starts_with("escalated: not approved before"), "{}", incident(&world));
    assert!(incident(&world).ends_with("for the second time"));
    world.call(&mut appliance);
    assert_eq!(world.count("SELECT count(*) FROM asked"), 2);
    let expired = verdicts(&world).iter().filter(|(verdict, _)| *verdict == Verdict::Expired).count();
    assert_eq!(expired, 2);
}

#[test]
fn an_approval_that_no_box_fetched_in_time_runs_nothing() {
    let (mut world, mut appliance) = asked_about(None);
    let asked = waiting(&world);
    approve(&mut world, &asked, "ann").unwrap();
    world.now = world.now.plus(4 * HOUR);
    assert!(world.call(&mut appliance).orders.is_empty(), "even before the watchdog has come round");
    assert_eq!(stand(&world), "expired");
}

#[test]
fn a_fault_that_went_away_needs_no_approval() {
    let (mut world, mut appliance) = asked_about(None);
    let asked = waiting(&world);
    let cleared = appliance.event(world.now, DISK, "uploads", Phase::Cleared);
    world.send(&mut appliance, vec![cleared]);
    assert_eq!((stand(&world).as_str(), incident(&world).split(':').next()), ("void", Some("withdrawn")));
    assert!(matches!(approve(&mut world, &asked, "ann"), Err(CoreError::Precondition(_))));
}

#[test]
fn nobody_is_asked_in_vain() {
    // The charter names nobody.
    let (mut world, mut appliance) = asked_about(None);
    let charter = world.safe.charter(|charter| {
        charter.serial = 2;
        charter.approvers.clear();
    });
    let now = world.now;
    world.core.run(now, |core| core.publish_charter(&charter, now)).unwrap();
    appliance.charter_serial = 2;
    let beat = appliance.heartbeat(now);
    world.send(&mut appliance, vec![beat]);
    raise(&mut world, &mut appliance, "scans");
    let said = world.text("SELECT state || ': ' || reason FROM incident WHERE watch = 'scans'");
    assert!(said.starts_with("escalated: RB-DISK-002 needs 1 approvers, and the charter names 0"), "{said}");
    // What would be refused whoever agrees, is not asked about.
    let (mut world, mut appliance) = asked_about(None);
    appliance.watch.remove(&crate::appliance::watch("scans"));
    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    raise(&mut world, &mut appliance, "scans");
    let said = world.text("SELECT state || ': ' || reason FROM incident WHERE watch = 'scans'");
    assert!(said.starts_with("escalated: guardrail 7 (parameters)"), "{said}");
    assert_eq!(world.count("SELECT count(*) FROM asked"), 1);
}

#[test]
fn a_closed_window_does_not_keep_people_from_being_asked_and_an_open_one_runs_it() {
    let (mut world, mut appliance) = asked_about(None);
    let asked = waiting(&world);
    let (tenant, now) = (world.tenant.clone(), world.now);
    let opens = now.plus(2 * HOUR).to_string()[11..16].to_owned();
    let closes = now.plus(3 * HOUR).to_string()[11..16].to_owned();
    let windows = [format!("daily {opens}-{closes} UTC")];
    world.core.run(now, |core| core.set_windows(&tenant, &windows, now)).unwrap();
    appliance.policy_serial = 3;
    approve(&mut world, &asked, "ann").unwrap();
    assert!(world.call(&mut appliance).orders.is_empty());
    assert!(incident(&world).contains("maintenance windows"), "{}", incident(&world));
    world.wait(2 * HOUR + MINUTE);
    assert_eq!(world.call(&mut appliance).orders.len(), 1);
}

#[test]
fn a_policy_that_asks_nobody_any_more_makes_it_void_and_runs_it() {
    let (mut world, mut appliance) = asked_about(None);
    let (tenant, now) = (world.tenant.clone(), world.now);
    let settings = Patch::parse(r#"{"unset":["runbook_modes"]}"#).unwrap();
    let level = world.core.level(&tenant, "", "").unwrap();
    world.core.run(now, |core| core.patch_policy(level, &settings, now)).unwrap();
    world.wait(2 * MINUTE);
    assert_eq!(world.call(&mut appliance).orders.len(), 1);
    assert_eq!(stand(&world), "void");
    assert!(appliance.newest_order().approvals.is_empty());
}

#[test]
fn an_order_that_was_lost_is_asked_about_anew_and_not_for_ever() {
    let (mut world, mut appliance) = asked_about(None);
    let mut seen = Vec::<Millis>::new();
    for _ in 0..8 {
        if let Some(asked) = world.core.all_asked("", false, 0).unwrap().into_iter().next() {
            seen.push(asked.asked);
            approve(&mut world, &asked, "ann").unwrap();
        }
        world.call(&mut appliance);
        // The box is gone before it has taken the order.
        world.wait(12 * MINUTE);
        world.wait(2 * MINUTE);
        world.call(&mut appliance);
    }
    assert!((2..=4).contains(&seen.len()), "{seen:?}");
    assert!(incident(&world).starts_with("escalated"), "{}", incident(&world));
    world.wait(DAY);
    world.call(&mut appliance);
    assert!(world.core.all_asked("", false, 0).unwrap().is_empty());
}
