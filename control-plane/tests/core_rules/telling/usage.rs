//! What is to be on an invoice, when boxes come and go.

use control_plane::{
    bundle::Month,
    core::usage::usage,
    store::{Store, UsageRow},
};

use crate::world::{DAY, World};

pub fn used(world: &World, month: &str) -> UsageRow {
    let store = Store::with(world.db.share()).unwrap();
    usage(&store, world.tenant.parse().unwrap(), month.parse::<Month>().unwrap()).unwrap()
}

/// What was on an invoice stays what it was, whatever becomes of the box.
#[test]
fn a_box_counts_in_every_month_until_it_is_revoked_heard_or_not() {
    let mut world = World::new();
    let appliance = world.appliance();
    let boxes = |world: &World| {
        ["2026-10", "2026-11", "2026-12", "2027-01", "2027-02"].map(|month| {
            let used = used(world, month);
            (used.appliances, used.active)
        })
    };
    // The end of November: it is heard no more after.
    assert_eq!(boxes(&world)[..3], [(0, 0), (1, 1), (1, 0)]);
    world.now = world.now.plus(50 * DAY);
    let (now, id) = (world.now, appliance.id().to_string());
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    assert_eq!(boxes(&world), [(0, 0), (1, 1), (1, 0), (1, 0), (0, 0)]);
}
