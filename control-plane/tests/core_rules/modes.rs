//! The two modes, as the log, the trail and those who are told have them.

use std::sync::Arc;

use control_plane::{
    core::CoreError,
    mode::Mode,
    telling::{Message, RECIPIENTS, Rules},
};
use proto::{
    act::{Claim, Deed},
    pb::RecordAgreement,
    sync::Phase,
};

use crate::world::{CHANNEL, World};

fn modes(world: &World, tenant: &str) -> Vec<(Mode, bool)> {
    let (rows, _) = world.core.evidence(tenant, 0, 1000).unwrap();
    let read = |envelope: &[u8]| {
        let act = Claim::read(envelope).unwrap()?.unverified();
        if let Deed::Mode { mode } = act.deed { Some((mode, act.record.is_some())) } else { None }
    };
    rows.iter().filter_map(|row| read(&row.envelope)).collect()
}

fn run_in(world: &mut World, mode: Mode) {
    Arc::get_mut(&mut world.safe).expect("nobody else looks into it").settings.running.mode = mode;
    world.restart();
}

#[test]
fn a_change_of_mode_is_an_act_of_every_clinic_with_an_audit_record() {
    let mut world = World::new();
    let elm = world.tenant_named("Elm Street Clinic");
    let riverside = world.tenant.clone();
    world.restart();
    assert!(modes(&world, &riverside).is_empty(), "a provider runs it as long as nobody says otherwise");
    run_in(&mut world, Mode::Direct);
    world.restart();
    for tenant in [&riverside, &elm] {
        assert_eq!(modes(&world, tenant), [(Mode::Direct, true)], "said once");
        let record = world.core.trail(tenant, None, 1).unwrap().remove(0).record;
        for says in ["Settings/Mode", r#""before":"reseller""#, r#""after":"direct""#] {
            assert!(record.contains(says), "{record}");
        }
    }
    // Who comes later has it from the beginning; who left hears no more.
    let oak = world.tenant_named("Oak");
    assert_eq!(modes(&world, &oak).iter().map(|(mode, _)| *mode).collect::<Vec<_>>(), [Mode::Direct]);
    let now = world.now;
    world.core.run(now, |core| core.offboard_tenant(&elm, "Elm Street Clinic", "sold", now)).unwrap();
    run_in(&mut world, Mode::Reseller);
    assert_eq!(modes(&world, &riverside), [(Mode::Direct, true), (Mode::Reseller, true)]);
    assert_eq!(modes(&world, &elm).len(), 1);
}

#[test]
fn an_organization_that_runs_it_itself_has_no_agreement_to_record() {
    let mut world = World::new();
    let (now, tenant) = (world.now, world.tenant.clone());
    let asked =
        RecordAgreement { tenant, change: true, signed_ms: now.0 - 1, until_ms: 0, document: vec![7; 32] };
    world.core.run(now, |core| core.record_agreement(&asked, now)).unwrap();
    run_in(&mut world, Mode::Direct);
    let refused = world.core.run(now, |core| core.record_agreement(&asked, now)).unwrap_err();
    assert!(matches!(&refused, CoreError::Precondition(why) if why.contains("mode is direct")), "{refused}");
}

#[test]
fn each_recipient_has_letters_of_their_own_and_none_waits_for_another() {
    let channels = [(CHANNEL.to_owned(), vec![]), (RECIPIENTS.to_owned(), vec![])];
    let mut world = World::with(|safe| safe.settings.telling = Rules::at_once(channels.into()));
    let (now, tenant) = (world.now, world.tenant.clone());
    let add = ["owner@clinic.example".to_owned(), "nurse@clinic.example".to_owned()];
    world.core.run(now, |core| core.change_recipients(&tenant, &add, &[], now)).unwrap();
    let elm = world.tenant_named("Elm Street Clinic");
    let (mut ours, mut theirs) = (world.appliance(), world.appliance_at(&elm));
    for appliance in [&mut ours, &mut theirs] {
        let event = appliance.event(now, "disk.odd", "uploads", Phase::Raised);
        world.send(appliance, vec![event]);
    }
    let due = world.core.run(now, |core| core.to_tell(RECIPIENTS, now)).unwrap();
    let to = |message: &Message| (message.to.clone(), message.tenant.name.clone());
    let told: Vec<_> = due.iter().map(|letter| to(&letter.message)).collect();
    let of = |name: &str| (format!("{name}@clinic.example"), "Riverside Dental".to_owned());
    assert_eq!(told, [of("nurse"), of("owner")], "both at once, and of no other clinic");
    let due = world.core.run(now, |core| core.to_tell(CHANNEL, now)).unwrap();
    assert_eq!((due.len(), due[0].message.to.as_str()), (2, ""));
}
