//! Commands of one group: one transaction, and one object of the vault.

use super::*;

/// The three are one transaction, and what the vault gets of it is one object.
#[test]
fn a_command_that_is_undone_in_its_group_leaves_nothing_and_the_others_stay() {
    let mut world = World::new();
    let mut boxes = [world.appliance(), world.appliance(), world.appliance()];
    let (now, tenant) = (world.now, world.tenant.clone());
    let objects = world.vault_keys("entries").len();
    let asked = boxes.each_mut().map(|appliance| {
        let records = vec![appliance.heartbeat(now), appliance.heartbeat(now)];
        let batch = appliance.freeze(records);
        (appliance.spki(), appliance.ask(Some(batch)))
    });
    world.core.begin().unwrap();
    for (at, (spki, asked)) in asked.iter().enumerate() {
        let done = world.core.attempt(|core| {
            core.sync(*spki, asked, now)?;
            if at == 1 { Err(CoreError::Precondition("on second thoughts".into())) } else { Ok(()) }
        });
        assert_eq!(done.is_ok(), at != 1);
    }
    assert_eq!(world.vault_keys("entries").len(), objects, "before the group ends");
    world.core.commit(now).unwrap();
    assert_eq!((kept(&world), world.vault_keys("entries").len()), (10, objects + 1));
    check_vault(&world, &tenant);
    again(&mut world, &mut boxes[1]);
    assert_eq!(kept(&world), 12);
    world.restart();
    assert_eq!(world.text("SELECT coalesce(log_halted, '') FROM tenant"), "");
    boxes.iter_mut().for_each(|appliance| drop(world.call(appliance)));
    assert!(boxes.iter().all(|appliance| appliance.unproven.is_empty()));
    check_vault(&world, &tenant);
}

/// The power went when the vault had what several boxes had sent, and the database nothing of it.
#[test]
fn what_several_boxes_sent_in_one_group_is_read_back_in_its_order() {
    let mut world = World::new();
    let mut boxes = [world.appliance(), world.appliance()];
    let now = world.now;
    world.core.begin().unwrap();
    for turn in 0..2 {
        for appliance in &mut boxes {
            appliance.unacknowledged = None;
            let records =
                vec![appliance.heartbeat(now), appliance.event(now, DISK, "uploads", Phase::Raised)];
            let batch = appliance.freeze(records);
            let (spki, asked) = (appliance.spki(), appliance.ask(Some(batch.clone())));
            world.core.attempt(|core| core.sync(spki, &asked, now)).unwrap();
            if turn == 0 {
                appliance.acknowledged(&batch);
            }
        }
    }
    world.core.keep_unkept(now).unwrap();
    world.restart();
    assert_eq!(kept(&world), 8);
    check_vault(&world, &world.tenant.clone());
    assert_eq!(world.text("SELECT coalesce(log_halted, '') FROM tenant"), "");
}
