//! What the journal remembers, and for how long.

use proto::{ids::Incarnation, keys::SecretKey};
use rusqlite::Connection;

use super::{
    super::{Store, Times},
    *,
};

fn order(sequence: u64, approved_until: Option<Millis>) -> Accepted {
    Accepted {
        waiting: Waiting { sequence, digest: Digest([0; 32]), envelope: Vec::new(), standing: None },
        id: OrderId::new(Millis(0), [u8::try_from(sequence % 251).unwrap(); 10]),
        key: ("RB-DISK-002".parse().unwrap(), "directory=a".to_owned()),
        approved_until,
    }
}

fn run(store: &mut Store, accepted: &Accepted) {
    store
        .write(|tx| {
            tx.accept(accepted, Duration::ZERO)?;
            tx.0.0.execute("UPDATE journal SET state = 'started' WHERE state = 'accepted'", []).unwrap();
            tx.finish(accepted.waiting.sequence, Verdict::Repaired, Duration::ZERO)
        })
        .unwrap();
}

#[test]
fn a_used_approval_is_remembered_until_it_has_ended() {
    let mut store = Store::open(Connection::open_in_memory().unwrap()).unwrap();
    let key = SecretKey::ed25519([1; 32]).public();
    store.write(|tx| tx.begin(Incarnation([9; 16]), &key, Millis(0))).unwrap();
    let (approved, plain) = (order(1, Some(Millis(1000))), order(2, None));
    run(&mut store, &approved);
    run(&mut store, &plain);
    let many = "WITH RECURSIVE n(at) AS (SELECT 100 UNION ALL SELECT at + 1 FROM n WHERE at < 2200)
        INSERT INTO journal (sequence, digest, order_id, runbook, target, state, envelope, accepted_active)
        SELECT at, x'', at, '', '', 'finished', x'', 0 FROM n";
    store.write(|tx| tx.0.0.execute(many, []).map(|_| ()).map_err(sql("fill"))).unwrap();
    run(&mut store, &order(3000, None));
    let taken = |store: &Store, order: &Accepted| store.view().was_taken(order.id, 5000).unwrap();
    assert_eq!((taken(&store, &approved), taken(&store, &plain)), (true, false));
    let again =
        Accepted { waiting: Waiting { sequence: 5000, ..approved.waiting.clone() }, ..approved.clone() };
    let refused = store.write(|tx| tx.accept(&again, Duration::ZERO));
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    let times = Times { floor: Millis(1000), active: Duration::ZERO, boot: None, mark: None };
    store.write(|tx| tx.keep_times(&times)).unwrap();
    run(&mut store, &order(3001, None));
    assert!(!taken(&store, &approved));
}
