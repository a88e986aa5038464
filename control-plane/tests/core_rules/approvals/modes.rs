//! Whose people approve: where a provider has many clinics, a clinic's own count there alone.

use control_plane::mode::{Mode, Running};
use proto::act::Verdict;

use super::{approve, asked_about_under, stand, verdicts, waiting};
use crate::world::denied;

fn bob_is_of(clinic: &str, mode: Mode) -> Running {
    Running { mode, approvers: [("bob".to_owned(), clinic.to_owned())].into(), ..Running::default() }
}

#[test]
fn another_clinics_approver_counts_for_nothing_here() {
    let (mut world, mut appliance) = asked_about_under(None, |safe| {
        safe.settings.running = bob_is_of("Elm Street Clinic", Mode::Reseller)
    });
    let asked = waiting(&world);
    let said = denied(approve(&mut world, &asked, "bob"));
    assert!(said.contains("bob is an approver of Elm Street Clinic alone"), "{said}");
    assert!(said.contains("for Riverside Dental"), "{said}");
    assert_eq!((stand(&world), verdicts(&world).len()), ("waiting".to_owned(), 1), "nothing was changed");
    approve(&mut world, &asked, "ann").unwrap();
    world.call(&mut appliance);
    assert_eq!(verdicts(&world)[1], (Verdict::Approved, Some("ann".to_owned())));
}

#[test]
fn in_their_own_clinic_and_in_an_organizations_own_clinics_they_count() {
    for running in
        [bob_is_of("Riverside Dental", Mode::Reseller), bob_is_of("Elm Street Clinic", Mode::Direct)]
    {
        let (mut world, _) = asked_about_under(None, |safe| safe.settings.running = running);
        let asked = waiting(&world);
        approve(&mut world, &asked, "bob").unwrap();
        assert_eq!(verdicts(&world)[1], (Verdict::Approved, Some("bob".to_owned())));
    }
}

/// Who agreed before they were another clinic's alone, has not agreed.
#[test]
fn who_is_bound_to_another_clinic_later_has_not_agreed() {
    let (mut world, mut appliance) = asked_about_under(None, |_| {});
    let asked = waiting(&world);
    approve(&mut world, &asked, "bob").unwrap();
    let safe = std::sync::Arc::get_mut(&mut world.safe).expect("nobody else looks into it");
    safe.settings.running = bob_is_of("Elm Street Clinic", Mode::Reseller);
    world.restart();
    let beat = appliance.heartbeat(world.now);
    assert!(world.send(&mut appliance, vec![beat]).orders.is_empty());
    assert_eq!(stand(&world), "void waiting");
}
