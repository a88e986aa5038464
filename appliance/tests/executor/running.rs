//! What runs on the box and how its clock is kept: other software is evidence once, whatever happens in between; each record
//! says by what clock; and a heartbeat tells of the time since the one before.

use std::{sync::atomic::Ordering, time::Duration};

use appliance::{executor::ExecutorCore, world::Stands};
use proto::evidence::{Beats, Body, Software, Synchronised, Token, Update};

use crate::{
    crash_points::limit,
    story::{bodies, enrolled, tell_time, work},
    support::{box_world::Appliance, collect, office::Office},
};

const MINUTE: Duration = Duration::from_secs(60);
const OLD: &str = "0c1v2k3m4n5p6q7r8s9w0x1y2z3a4b5d";
const NEW: &str = "zz1v2k3m4n5p6q7r8s9w0x1y2z3a4b5d";

fn runs(system: &str, generation: u64) -> Stands {
    let system = Some(Token::try_from(system.to_owned()).unwrap());
    Stands { synchronised: Synchronised::Yes, system, generation: Some(generation) }
}

fn updates(office: &mut Office, core: &mut ExecutorCore) -> Vec<Update> {
    let update = |body| if let Body::Update(update) = body { Some(update) } else { None };
    bodies(office, core).into_iter().filter_map(update).collect()
}

fn beats(office: &mut Office, core: &mut ExecutorCore) -> Vec<Beats> {
    let beats = |body| if let Body::Heartbeat(beat) = body { beat.beats } else { None };
    bodies(office, core).into_iter().filter_map(beats).collect()
}

#[test]
fn other_software_is_evidence_once() {
    let (mut office, appliance, mut core) = enrolled();
    appliance.machine.lock().stands = Some(runs(OLD, 41));
    work(&mut core);
    assert!(updates(&mut office, &mut core).is_empty(), "what ran from the first is no update");
    // Another number of the same system runs nothing else, and what cannot be read is no news.
    for stands in [Some(runs(OLD, 42)), None] {
        appliance.machine.lock().stands = stands;
        appliance.clock.pass(15 * MINUTE);
        work(&mut core);
        assert!(updates(&mut office, &mut core).is_empty());
    }
    // A switch while the executor runs on, or that made it begin anew.
    appliance.machine.lock().stands = Some(runs(NEW, 43));
    appliance.clock.pass(15 * MINUTE);
    work(&mut core);
    drop(core);
    let mut core = appliance.open();
    work(&mut core);
    let found = updates(&mut office, &mut core);
    let [update] = &found[..] else { panic!("{found:?}") };
    let said =
        |software: &Software| (software.system.as_ref().unwrap().to_string(), software.generation.unwrap());
    assert_eq!((said(&update.from), said(&update.to)), ((OLD.to_owned(), 42), (NEW.to_owned(), 43)));
    assert_eq!(update.from.program, update.to.program);
}

#[test]
fn another_version_of_the_program_is_an_update_and_a_new_boxs_first_is_none() {
    let (mut office, appliance, mut core) = enrolled();
    work(&mut core);
    drop(core);
    appliance.connection().execute("UPDATE software SET program = '0.0.9'", []).unwrap();
    let mut core = appliance.open();
    work(&mut core);
    let found = updates(&mut office, &mut core);
    let [update] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (update.from.program.as_str(), update.to.program.as_str()),
        ("0.0.9", env!("CARGO_PKG_VERSION"))
    );
    // It stands before the first heartbeat of the new program.
    let kinds: Vec<_> = bodies(&mut office, &mut core).iter().map(Body::kind).collect();
    assert_eq!(kinds, ["enrolment", "heartbeat", "update"]);
}

/// The power fails at every commit of a session that finds other software.
#[test]
fn a_power_cut_makes_no_update_happen_twice_or_never() {
    for point in 0.. {
        let (mut office, appliance, mut core) = enrolled();
        appliance.machine.lock().stands = Some(runs(OLD, 41));
        work(&mut core);
        drop(core);
        appliance.machine.lock().stands = Some(runs(NEW, 42));
        let connection = appliance.connection();
        let left = limit(&connection, point);
        if let Ok(mut core) = appliance.open_with(connection) {
            while core.step().is_ok_and(|more| more) {}
        }
        let mut core = appliance.open();
        work(&mut core);
        assert_eq!(updates(&mut office, &mut core).len(), 1, "cut at commit {point}");
        if left.load(Ordering::SeqCst) > 0 {
            assert!(point >= 2, "{point}");
            return;
        }
    }
}

#[test]
fn each_record_says_how_the_clock_was_kept() {
    let (mut office, appliance, mut core) = enrolled();
    for synchronised in [Synchronised::Yes, Synchronised::No, Synchronised::Unknown] {
        appliance.machine.lock().stands = Some(Stands { synchronised, ..runs(OLD, 1) });
        appliance.clock.pass(60 * MINUTE);
        work(&mut core);
    }
    office.take(&collect(&mut core, 0));
    let said = |record: &proto::evidence::Record| (record.body.kind(), record.clock.synchronised.unwrap());
    let all: Vec<_> = office.records().iter().map(said).collect();
    let beats =
        all.iter().filter(|(kind, _)| *kind == "heartbeat").map(|(_, kept)| *kept).collect::<Vec<_>>();
    assert_eq!(beats, [Synchronised::Yes, Synchronised::No, Synchronised::Unknown], "{all:?}");
    assert_eq!(all[0], ("enrolment", Synchronised::Unknown), "nobody had looked yet");
}

/// Lets time pass as a box that runs does: something looks every few seconds.
fn run_for(appliance: &Appliance, core: &mut ExecutorCore, minutes: u32) {
    for _ in 0..minutes {
        appliance.clock.pass(MINUTE);
        work(core);
    }
}

#[test]
fn a_heartbeat_rolls_up_the_beats_since_the_one_before() {
    let (mut office, appliance, mut core) = enrolled();
    tell_time(&office, &mut core);
    work(&mut core);
    run_for(&appliance, &mut core, 60);
    let quiet = beats(&mut office, &mut core);
    let [first, second] = quiet[..] else { panic!("{quiet:?}") };
    assert_eq!((first.made, first.boots, first.longest_ms), (1, 0, 0));
    assert_eq!((second.made, second.every_ms, second.longest_ms), (12, 300_000, 300_000), "{second:?}");
    assert_eq!((second.off_ms, second.clock_steps, second.no_room_ms), (0, 0, 0));

    // The executor is gone for half an hour while the machine runs; its beats survive that it was killed.
    run_for(&appliance, &mut core, 10);
    drop(core);
    appliance.clock.pass(30 * MINUTE);
    let mut core = appliance.open();
    run_for(&appliance, &mut core, 20);
    let told = *beats(&mut office, &mut core).last().unwrap();
    // The first heartbeat of a session comes at once.
    assert_eq!(told.longest_ms, 30 * 60_000 + 60_000, "{told:?}");
    assert!(told.made >= 3 && told.boots == 0, "{told:?}");
}

#[test]
fn without_room_for_evidence_a_heartbeat_tells_how_long_it_could_not_come() {
    let (mut office, mut appliance, core) = enrolled();
    drop(core);
    appliance.settings.evidence_max = 1;
    let mut core = appliance.open();
    run_for(&appliance, &mut core, 60);
    assert!(beats(&mut office, &mut core).is_empty(), "no room");
    drop(core);
    appliance.settings.evidence_max = 1 << 20;
    let mut core = appliance.open();
    run_for(&appliance, &mut core, 5);
    let told = beats(&mut office, &mut core);
    let no_room = told[0].no_room_ms;
    assert!((50 * 60_000..=61 * 60_000).contains(&no_room), "{told:?}");
}
