//! Lines of logs: taken once, shown to whoever asks for them, and no more than there is room for.

use control_plane::store::Store;
use proto::{
    ids::TenantId,
    sync::{Lines, LinesPlace, Record},
    time::Millis,
};

use crate::world::World;

fn lines(watch: &str, offset: u64, text: &str) -> Lines {
    let place = LinesPlace { file: 1, offset, length: text.len() as u64 };
    let count = u32::try_from(text.lines().count()).unwrap();
    Lines::pack(watch.parse().unwrap(), Millis(7), place, count, text)
}

#[test]
fn lines_are_taken_once_and_shown_in_order() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let id = appliance.id().to_string();
    let batch = appliance.freeze(vec![
        Record::Lines(lines("portal", 0, "one\ntwo\n")),
        Record::Lines(lines("router", 0, "other\n")),
        Record::Lines(lines("portal", 8, "three\n")),
    ]);
    // The answer is lost, and the batch comes again.
    for _ in 0..2 {
        let asked = appliance.ask(Some(batch.clone()));
        assert!(world.exchange(&appliance, &asked).unwrap().ack.is_some());
    }
    let shown = |watch: &str, most| {
        let (rows, taken) = world.core.lines(&id, watch, most).unwrap();
        (rows.iter().map(|row| row.text.as_str()).collect::<String>(), taken)
    };
    assert_eq!(shown("portal", 100), ("one\ntwo\nthree\n".to_owned(), 4));
    assert_eq!(shown("", 100), ("one\ntwo\nother\nthree\n".to_owned(), 4));
    assert_eq!(shown("", 2), ("other\nthree\n".to_owned(), 4));
    assert_eq!(shown("nothing", 100), (String::new(), 4));
    assert!(world.core.lines("nobody", "", 1).is_err() && world.core.lines(&id, "../etc", 1).is_err());
}

#[test]
fn a_box_has_room_for_so_much_and_its_oldest_lines_go() {
    let mut world = World::new();
    let (first, second) = (world.appliance(), world.appliance());
    let tenant: TenantId = world.tenant.parse().unwrap();
    let store = Store::with(world.db.share()).unwrap();
    let most = 10_000;
    for number in 0..200 {
        for id in [first.id(), second.id()] {
            store
                .add_lines(
                    tenant,
                    id,
                    &lines("portal", number * 100, &format!("line {number}\n")),
                    most,
                    world.now,
                )
                .unwrap();
        }
    }
    for id in [first.id(), second.id()] {
        let kept = store.newest_lines(id, None, 1000, 1 << 20).unwrap();
        assert!((20..60).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept.last().map(|row| row.text.as_str()), Some("line 199\n"));
        assert_eq!(store.lines_taken(id).unwrap(), 200);
        let weight = world.text(&format!("SELECT weight || '' FROM lines_account WHERE appliance = '{id}'"));
        let kept: u64 = world
            .text(&format!("SELECT sum(length(packed) + 256) || '' FROM lines WHERE appliance = '{id}'"))
            .parse()
            .unwrap();
        assert!(weight == kept.to_string() && kept <= most, "{weight}, {kept}");
    }
    // One answer holds no more bytes than it may, and at least one record.
    assert_eq!(store.newest_lines(first.id(), None, 1000, 30).unwrap().len(), 3);
    assert_eq!(store.newest_lines(first.id(), None, 1000, 1).unwrap().len(), 1);
}

#[test]
fn what_is_not_as_it_says_is_refused_whole() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let good = proto::pb::Record::from(Record::Lines(lines("portal", 0, "one\n")));
    let Some(proto::pb::record::Kind::Lines(mut bad)) = good.kind else { unreachable!() };
    bad.size = 1 << 30;
    let record = proto::pb::Record { kind: Some(proto::pb::record::Kind::Lines(bad)) };
    let bytes = prost::Message::encode_to_vec(&proto::pb::Records { record: vec![record] });
    let batch = appliance.freeze_bytes(bytes);
    let asked = appliance.ask(Some(batch));
    let refused = world.exchange(&appliance, &asked).unwrap_err().to_string();
    assert!(refused.contains("records[0].lines.size"), "{refused}");
    assert_eq!(world.text("SELECT count(*) || '' FROM lines"), "0");
}
