//! The packet of a month that is over: made once, and the same ever after.

use std::time::Duration;

use control_plane::{
    bundle::{self, Bundle, Month},
    core::{export, packets::Edition},
    packet::PacketFiles,
    store::Store,
    vault::{Object, Vault as _},
};

use crate::{
    appliance::Appliance,
    log::witnesses,
    world::{MINUTE, World},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The month that the world is in.
pub fn this_month(world: &World) -> Month {
    world.now.to_string()[..7].parse().unwrap()
}

/// As the server makes it: by its edition, where there is one, else anew.
pub fn make(world: &mut World, month: Month) -> (Bundle, Edition, PacketFiles) {
    let row = world.core.tenant(&world.tenant.clone()).unwrap();
    let now = world.now;
    let edition = world.core.edition(row.id, month, now).unwrap();
    let store = Store::with(world.db.share()).unwrap();
    let charter = world.core.charter();
    let parts = export::parts_as_of(&store, &row, charter, Some(month), edition.as_ref(), now).unwrap();
    let bundle = bundle::export::build(&parts).unwrap();
    let (edition, files) = Edition::of(&parts, &bundle::export::said(&parts), &bundle).unwrap();
    (bundle, edition, files)
}

fn keep(world: &mut World, month: Month, edition: Edition, files: &PacketFiles) -> Edition {
    let id = world.core.tenant(&world.tenant.clone()).unwrap().id;
    let now = world.now;
    world.core.keep_packet(id, month, edition, files, now).unwrap()
}

/// A box that has told something, and a month that is over.
fn month_over(world: &mut World) -> (Appliance, Month) {
    let mut appliance = world.enrolled();
    let records = vec![appliance.enrolment(world.now), appliance.heartbeat(world.now)];
    world.send(&mut appliance, records);
    let month = this_month(world);
    world.now = month.end().plus(MINUTE);
    (appliance, month)
}

/// A heartbeat, another box, and a new name of the clinic's boxes.
fn goes_on(world: &mut World, appliance: &mut Appliance) {
    world.now = world.now.plus(2 * DAY);
    let records = vec![appliance.heartbeat(world.now)];
    world.send(appliance, records);
    world.appliance();
}

#[test]
fn made_again_it_is_the_same_whatever_came_later() {
    let mut world = World::new();
    let (mut appliance, month) = month_over(&mut world);
    let (first, edition, files) = make(&mut world, month);
    assert_eq!(keep(&mut world, month, edition.clone(), &files), edition);
    goes_on(&mut world, &mut appliance);
    let (again, same, _) = make(&mut world, month);
    assert_eq!(same, edition);
    assert!(again == first, "all of the bundle is as it was");
}

#[test]
fn what_a_witness_had_seen_by_then_stays_in_it() {
    let mut world = witnesses::watched();
    let mut appliance = world.appliance();
    let seen = witnesses::newest(&world);
    let note = witnesses::cosign(&seen, world.now);
    witnesses::keep(&mut world, &note).unwrap();
    let beat = appliance.heartbeat(world.now);
    world.send(&mut appliance, vec![beat]);
    let month = this_month(&world);
    world.now = month.end().plus(MINUTE);
    let (first, edition, files) = make(&mut world, month);
    let place = format!("log/cosigned/{}", witnesses::key().id());
    assert_eq!(first.files()[&place], note, "it was behind");
    keep(&mut world, month, edition, &files);
    // It catches up.
    goes_on(&mut world, &mut appliance);
    let all = witnesses::cosign(&witnesses::newest(&world), world.now);
    witnesses::keep(&mut world, &all).unwrap();
    let (again, ..) = make(&mut world, month);
    assert!(again == first, "all of the bundle is as it was");
    let said = format!("| 1 of 1 have seen {} records by ", seen.checkpoint().size);
    assert!(files.markdown.contains(&said), "{}", files.markdown);
}

#[test]
fn the_first_is_the_one() {
    let mut world = World::new();
    let (mut appliance, month) = month_over(&mut world);
    let (_, first, files) = make(&mut world, month);
    goes_on(&mut world, &mut appliance);
    let (_, second, later) = make(&mut world, month);
    assert_ne!(first.said.made_at, second.said.made_at);
    assert_eq!(keep(&mut world, month, first.clone(), &files), first);
    assert_eq!(keep(&mut world, month, second, &later), first, "whoever comes second makes the first's");
}

#[test]
fn a_database_from_a_backup_makes_no_second_one() {
    let mut world = World::new();
    let (_, month) = month_over(&mut world);
    let copy = world.backup();
    let (bundle, edition, files) = make(&mut world, month);
    keep(&mut world, month, edition, &files);
    assert_eq!(world.vault_keys("packets").len(), 1);
    assert_eq!(world.vault_keys("packet-files").len(), 1 + usize::from(cfg!(feature = "pdf")));
    world.restore(copy).unwrap();
    assert_eq!(world.count("SELECT count(*) FROM packet"), 0);
    let (again, ..) = make(&mut world, month);
    assert!(again == bundle);
    assert_eq!(world.count("SELECT count(*) FROM packet"), 1);
}

#[test]
fn the_next_month_names_it() {
    let mut world = World::new();
    let (mut appliance, month) = month_over(&mut world);
    let (_, edition, files) = make(&mut world, month);
    keep(&mut world, month, edition.clone(), &files);
    goes_on(&mut world, &mut appliance);
    let next = this_month(&world);
    world.now = next.end().plus(MINUTE);
    let (bundle, follows, _) = make(&mut world, next);
    let previous = follows.previous.unwrap();
    assert_eq!((previous.month, previous.markdown_sha256), (month, edition.markdown_sha256));
    assert_eq!((previous.size, previous.made_at), (edition.size, edition.said.made_at));
    assert!(files.markdown.contains("None is named"), "the first has none before it");
    let text = std::str::from_utf8(&bundle.files()["packet.md"]).unwrap();
    assert!(text.contains(&edition.markdown_sha256.to_string()), "{text}");
    let report = bundle::verify::verify(&bundle, Some(&world.safe.trust), world.now);
    assert!(report.faults.is_empty(), "{report}");
}

/// What another version made stays as it made it: its words may not be this one's.
#[test]
fn what_another_version_made_is_handed_out_as_it_was() {
    let mut world = World::new();
    let (_, month) = month_over(&mut world);
    let (_, mut edition, mut files) = make(&mut world, month);
    files.markdown.push_str("In other words.\n");
    edition.said.generator = "orderly control-plane 0.0.1".into();
    edition.markdown_sha256 = proto::digest::Digest::of(files.markdown.as_bytes());
    keep(&mut world, month, edition.clone(), &files);
    let (bundle, again, _) = make(&mut world, month);
    assert_eq!(again, edition);
    assert!(bundle.files()["packet.md"].ends_with(b"In other words.\n"));
    let report = bundle::verify::verify(&bundle, Some(&world.safe.trust), world.now);
    assert!(report.faults.is_empty(), "{report}");
}

/// Whoever can write to the vault could otherwise have any text sent to a clinic as its packet.
#[test]
fn an_edition_in_another_months_place_is_none_of_ours() {
    let mut world = World::new();
    let (mut appliance, month) = month_over(&mut world);
    let (_, edition, files) = make(&mut world, month);
    keep(&mut world, month, edition.clone(), &files);
    let [key] = &world.vault_keys("packets")[..] else { panic!("one packet") };
    let paper = world.vault.get(key).unwrap().unwrap();
    let plain = serde_json::to_vec(&edition).unwrap();
    let until = world.now.plus(DAY);
    for (of, bytes) in [(month.next(), &paper), (month.next().next(), &plain)] {
        let key = key.replace(&month.to_string(), &of.to_string());
        world.vault.put_all(&[Object { key: &key, bytes, retain_until: until }]).unwrap();
    }
    goes_on(&mut world, &mut appliance);
    let id = world.core.tenant(&world.tenant.clone()).unwrap().id;
    let now = month.next().next().end().plus(MINUTE);
    for of in [month.next(), month.next().next()] {
        assert!(world.core.edition(id, of, now).unwrap().is_none(), "{of}");
    }
    assert_eq!(world.core.edition(id, month, now).unwrap().unwrap().0, edition);
}
