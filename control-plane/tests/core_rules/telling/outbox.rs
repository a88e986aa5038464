//! What waits for nobody, what is too much, what is old.

use std::sync::Arc;

use control_plane::telling::{News, Rules};
use proto::sync::Phase;

use super::{NOON, at, due, fault, letters, rules, taken, told, usage::used};
use crate::world::{DAY, SECOND, World, bad_field};

/// The settings become others, and the server is started again.
fn under(world: &mut World, rules: Rules) {
    Arc::get_mut(&mut world.safe).expect("nobody else looks into it").settings.telling = rules;
    world.restart();
}

fn only_oak() -> Rules {
    Rules { only: [("desk".to_owned(), vec!["Oak".to_owned()])].into(), ..rules() }
}

#[test]
fn who_hears_of_a_clinic_no_longer_gets_nothing_more_about_it_not_even_what_waited() {
    let (mut world, mut appliance) = at(NOON, rules());
    fault(&mut world, &mut appliance, "disk.odd", Phase::Raised);
    let sent = due(&mut world, "desk").remove(0);
    told(&mut world, &sent.row, taken());
    fault(&mut world, &mut appliance, "lamp.odd", Phase::Raised);
    under(&mut world, only_oak());
    // What waited is dead, and stays so.
    assert!(due(&mut world, "desk").is_empty());
    let dead = world.core.notifications("", "dead", 10).unwrap().remove(0);
    assert!(dead.last_error.contains("does not hear of this clinic"), "{}", dead.last_error);
    let now = world.now;
    assert_eq!(bad_field(world.core.run(now, |core| core.retry_notification(&dead.key, now))), "key");
    // That it is over is told to nobody who must not hear.
    let before = letters(&world, now).len();
    fault(&mut world, &mut appliance, "disk.odd", Phase::Cleared);
    assert_eq!(letters(&world, now).len(), before);
    under(&mut world, rules());
    world.core.run(now, |core| core.retry_notification(&dead.key, now)).unwrap();
}

#[test]
fn names_of_clinics_that_there_are_not_are_found() {
    let known = ["Riverside Dental".to_owned()].into();
    assert_eq!(only_oak().strangers(&known), [("desk".to_owned(), "Oak".to_owned())]);
    assert!(rules().strangers(&known).is_empty());
}

#[test]
fn of_what_piles_up_for_one_that_hangs_the_oldest_is_given_up_and_no_other_clinics() {
    let (mut world, mut appliance) = at(NOON, rules());
    let elm = world.tenant_named("Elm Street Clinic");
    let mut theirs = world.appliance_at(&elm);
    fault(&mut world, &mut theirs, "disk.odd", Phase::Raised);
    for _ in 0..105 {
        for phase in [Phase::Raised, Phase::Cleared] {
            world.now = world.now.plus(SECOND);
            fault(&mut world, &mut appliance, "disk.odd", phase);
        }
    }
    let count = |state: &str| {
        world
            .count(&format!("SELECT count(*) FROM notification WHERE channel = 'desk' AND state = '{state}'"))
    };
    assert_eq!((count("due"), count("dead")), (201, 10));
    assert_eq!(world.count("SELECT max(id) < (SELECT min(id) FROM notification WHERE state = 'due' AND id > 1) FROM notification WHERE state = 'dead'"), 1);
    let said = world.text("SELECT DISTINCT last_error FROM notification WHERE state = 'dead'");
    assert!(said.contains("more than 200 letters about this clinic waited"), "{said}");
    assert!(world.core.notifications("Elm Street Clinic", "dead", 10).unwrap().is_empty());
}

#[test]
fn settled_letters_are_removed_after_a_year_and_what_is_invoiced_stays() {
    let (mut world, mut appliance) = at(NOON, rules());
    for (kind, phases) in [("disk.odd", &[Phase::Raised, Phase::Cleared][..]), ("lamp.odd", &[Phase::Raised])]
    {
        for phase in phases {
            fault(&mut world, &mut appliance, kind, *phase);
            let letter = due(&mut world, "desk").remove(0);
            told(&mut world, &letter.row, taken());
        }
    }
    let faults = "SELECT coalesce(group_concat(kind, ' '), '') FROM (SELECT kind FROM notification JOIN incident
                  ON incident.id = notification.incident WHERE channel = 'desk' AND kind LIKE '%.odd' ORDER BY notification.id)";
    let before = used(&world, "2026-11");
    world.wait(399 * DAY);
    world.wait(30 * SECOND);
    assert_eq!(world.text(faults), "disk.odd disk.odd lamp.odd");
    world.wait(2 * DAY);
    world.wait(30 * SECOND);
    // By its letter those are known who must hear when it is over.
    assert_eq!(world.text(faults), "lamp.odd");
    assert_eq!(used(&world, "2026-11"), before);
    let now = world.now;
    fault(&mut world, &mut appliance, "lamp.odd", Phase::Cleared);
    assert_eq!(letters(&world, now).last().map(|(_, news, _)| *news), Some(News::Gone));
}
