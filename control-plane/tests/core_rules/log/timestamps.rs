//! Timestamps as the core sees them: what is kept, how often, and what another's token is worth.

use control_plane::{
    core::{CoreError, timestamps::to_stamp},
    store::Store,
    timestamp::{Authority, request},
};
use proto::{ids::TenantId, time::Millis};

use crate::{tsa::Tsa, world::World};

fn id(world: &World) -> TenantId {
    world.tenant.parse().unwrap()
}

fn note(world: &World) -> Vec<u8> {
    to_stamp(&Store::with(world.db.share()).unwrap(), id(world)).unwrap().expect("a published checkpoint")
}

fn keep(world: &mut World, tsa: &Tsa, note: &[u8], token: &[u8]) -> Result<(), CoreError> {
    let (tenant, now) = (id(world), world.now);
    let authority = Authority::parse(&std::fs::read(tsa.path("root.pem")).unwrap()).unwrap();
    world.core.run(now, |core| core.keep_timestamp(tenant, (note, token), &authority, now))
}

fn due(world: &World, since: Millis) -> bool {
    let store = Store::with(world.db.share()).unwrap();
    store.not_stamped_since(since).unwrap() == [id(world)]
}

#[test]
fn a_log_gets_one_when_the_last_is_old_and_it_has_grown() {
    let (mut world, tsa) = (World::new(), Tsa::make());
    let mut appliance = world.appliance();
    assert!(due(&world, Millis(0)));
    let first = note(&world);
    let token = tsa.reply(&request(&first, [1; 8]));
    let forgotten = world.backup();
    keep(&mut world, &tsa, &first, &token).unwrap();
    let (rows, trouble) = world.core.timestamps(id(&world)).unwrap();
    let [row] = &rows[..] else { panic!("{} timestamps", rows.len()) };
    assert_eq!((&row.note, &row.token, trouble), (&first, &token, None));
    let kept = |ending: &str| format!("{}/timestamps/{:010}.{ending}", world.tenant, row.size);
    assert_eq!(world.vault_keys("timestamps"), [kept("checkpoint"), kept("tsr")]);
    let files = ["kept.tsr", "kept.checkpoint"].map(|name| tsa.path(name));
    std::fs::write(&files[0], &row.token).unwrap();
    std::fs::write(&files[1], &row.note).unwrap();
    assert!(tsa.takes(&files[0], &files[1]), "OpenSSL says otherwise");
    assert!(!due(&world, world.now), "it has not grown");
    let at = world.now;

    // Another token of the same checkpoint, by a database that has forgotten the first: the vault has not.
    world.restore(forgotten).unwrap();
    assert!(world.core.timestamps(id(&world)).unwrap().0.is_empty());
    keep(&mut world, &tsa, &first, &tsa.reply(&request(&first, [2; 8]))).unwrap();
    assert_eq!(world.core.timestamps(id(&world)).unwrap().0[0].token, token);

    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    assert!(due(&world, at) && !due(&world, Millis(at.0 - 1)), "once in a while");
}

#[test]
fn what_is_not_of_this_log_is_not_kept() {
    let (mut world, tsa) = (World::new(), Tsa::make());
    world.appliance();
    let here = note(&world);
    let other = b"somebody else's".to_vec();
    let (of_here, of_other) = (tsa.reply(&request(&here, [1; 8])), tsa.reply(&request(&other, [1; 8])));
    for (note, token, says) in [
        (&here, &of_other, "of other bytes"),
        (&other, &of_other, "timestamp: "),
        (&here, &b"nothing".to_vec(), "cannot be read as a timestamp"),
        (&here, &Tsa::make().reply(&request(&here, [1; 8])), "does not lead to one that was given"),
    ] {
        let refused = keep(&mut world, &tsa, note, token).unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
    let tenant = id(&world);
    for (at, why) in [(1, "down"), (2, "down"), (3, "no")] {
        world.core.run(Millis(at), |core| core.timestamp_troubled(tenant, why, Millis(at))).unwrap();
    }
    let (rows, trouble) = world.core.timestamps(tenant).unwrap();
    assert_eq!((rows.len(), trouble), (0, Some(("no".to_owned(), Millis(3)))));
    assert!(world.vault_keys("timestamps").is_empty());
    keep(&mut world, &tsa, &here, &of_here).unwrap();
    assert_eq!(world.core.timestamps(tenant).unwrap().1, None);
}
