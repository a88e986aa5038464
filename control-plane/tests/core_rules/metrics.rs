//! What is counted of a server's work: what is durable, once, and nothing that would name anybody.

use control_plane::{
    core::CoreError,
    metrics::{Metrics, Snapshot},
    serve::{link::Appliances, writer::Writer},
    store::Store,
};
use proto::{
    pb::{SyncRequest, link_server::Link as _},
    sync::{Phase, Record},
    time::Millis,
};
use tokio::sync::watch;

use crate::{
    appliance::Appliance,
    doors::{clock, peer},
    world::{DAY, DISK, START, World},
};

/// What one box says in one call.
fn said(appliance: &mut Appliance, records: Vec<Record>) -> SyncRequest {
    let exchange = appliance.ask(None);
    let batch = appliance.freeze(records);
    appliance.unacknowledged = None;
    SyncRequest {
        batch: Some(batch.into()),
        incarnation: appliance.incarnation.0.to_vec(),
        nonce: exchange.nonce.0.to_vec(),
        version: "0.1.0".into(),
        ..Default::default()
    }
}

fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn what_is_durable_is_counted_once_and_names_nobody() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let names = [world.tenant.clone(), world.site.clone(), "Riverside".into(), appliance.id().to_string()];
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    let beat = appliance.heartbeat(world.now);
    let call = said(&mut appliance, vec![event, beat]);
    let mut neighbour = world.appliance();
    let event = neighbour.event(world.now, DISK, "uploads", Phase::Raised);
    let batch = neighbour.freeze(vec![event]);
    let (other, spki) = (neighbour.ask(Some(batch)), neighbour.spki());
    world.core.take_counted();
    let reader = Store::with(world.db.share()).unwrap();
    let look = Store::with(world.db.share()).unwrap();
    let metrics = Metrics::default();
    let (writer, thread) = Writer::spawn_counted(world.core, clock, metrics.clone()).unwrap();
    let (_stop, stopped) = watch::channel(false);
    let service = Appliances::new(writer.clone(), reader, stopped);
    let sync = async |message: SyncRequest| {
        let mut request = tonic::Request::new(message);
        request.extensions_mut().insert(peer(Some(&appliance.certificate)));
        service.sync(request).await
    };
    let answer = sync(call.clone()).await.unwrap().into_inner();
    assert!(answer.ack.is_some() && answer.orders.len() == 1, "{answer:?}");
    // The same batch again is acknowledged again, and brings nothing new.
    sync(call).await.unwrap();
    // A command that fails is undone, with what it counted.
    let undone = writer.run(move |core, now| {
        core.sync(spki, &other, now)?;
        Err::<(), _>(CoreError::NotFound("nothing".into()))
    });
    assert!(undone.await.is_err());
    drop((service, writer));
    thread.join().unwrap();

    let snapshot = Snapshot {
        totals: look.totals().unwrap(),
        ends: vec![("charter", START.plus(DAY))],
        now: START.plus(DAY),
    };
    let text = metrics.text(&snapshot);
    for (name, expected) in [
        ("orderly_exchanges_total{outcome=\"answered\"}", 2.0),
        ("orderly_exchange_seconds_count", 2.0),
        ("orderly_done_total{what=\"event\"}", 1.0),
        ("orderly_done_total{what=\"evidence\"}", 1.0),
        ("orderly_done_total{what=\"incident\"}", 1.0),
        ("orderly_done_total{what=\"order\"}", 1.0),
        ("orderly_writer_waiting", 0.0),
        ("orderly_writer_commit_seconds_count", 3.0),
        ("orderly_writer_failures_total", 0.0),
        ("orderly_appliances{state=\"active\"}", 2.0),
        ("orderly_appliances{state=\"revoked\"}", 0.0),
        ("orderly_incidents{state=\"ordered\"}", 1.0),
        ("orderly_orders{state=\"issued\"}", 1.0),
        ("orderly_notifications{state=\"due\"}", 0.0),
        ("orderly_log_entries_unpublished", 0.0),
        ("orderly_logs_halted", 0.0),
        ("orderly_checkpoint_age_seconds{log=\"oldest\"}", 86_400.0),
        ("orderly_ends_timestamp_seconds{what=\"charter\"}", 1_795_086_400.0),
    ] {
        assert_eq!(value(&text, name), expected, "{name}");
    }
    assert!(value(&text, "orderly_log_entries") >= 3.0);
    for name in names {
        assert!(!text.contains(&name), "{name}");
    }
}

/// What was counted before is not shown any more when the database says otherwise.
#[test]
fn what_is_looked_up_is_what_there_is_now() {
    let mut world = World::new();
    let look = Store::with(world.db.share()).unwrap();
    let metrics = Metrics::default();
    let seen =
        |now: Millis| metrics.text(&Snapshot { totals: look.totals().unwrap(), ends: Vec::new(), now });
    assert_eq!(value(&seen(world.now), "orderly_appliances{state=\"active\"}"), 0.0);
    let appliance = world.appliance();
    assert_eq!(value(&seen(world.now), "orderly_appliances{state=\"active\"}"), 1.0);
    let (id, now) = (appliance.id().to_string(), world.now);
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    let text = seen(world.now);
    assert_eq!(value(&text, "orderly_appliances{state=\"active\"}"), 0.0);
    assert_eq!(value(&text, "orderly_appliances{state=\"revoked\"}"), 1.0);
}
