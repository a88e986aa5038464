//! Long poll, through the real listener and its mutual TLS: a box that is idle gets its order when it is signed, not when
//! it would have called next.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use control_plane::{
    serve::{
        crowd::Crowd,
        gate::{Gate, Rule},
        http::Front,
        link::Appliances,
        listener::{Limits, serve_tls},
        tls,
        writer::Writer,
    },
    store::Store,
};
use proto::{
    pb::{self, link_client::LinkClient, link_server::LinkServer},
    sync::{Exchange, HOLD_MAX_MS, Phase},
    time::Millis,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tonic::service::Routes;

use crate::{
    appliance::{Appliance, open_order},
    keyring::{self, identity, trusting},
    standing::takes,
    wire::channel,
    world::{DISK, HOUR, MINUTE, START, World},
};

/// Well below [`HOLD_MAX_MS`]: whoever is answered within it was not answered because the hold was over.
const AT_ONCE: Duration = Duration::from_secs(20);

static NOW: AtomicI64 = AtomicI64::new(START.0);

fn clock() -> Millis {
    Millis(NOW.load(Ordering::SeqCst))
}

fn wire(asked: Exchange) -> pb::SyncRequest {
    pb::SyncRequest {
        batch: asked.batch.map(Into::into),
        incarnation: asked.incarnation.to_vec(),
        nonce: asked.nonce.to_vec(),
        checkpoint_size: asked.checkpoint_size,
        unproven: asked.unproven.iter().map(|digest| digest.to_vec()).collect(),
        order_high: asked.order_high,
        charter_serial: asked.charter_serial,
        catalogue_version: asked.catalogue_version,
        policy_serial: asked.policy_serial,
        stop_serial: asked.stop_serial,
        hold_ms: HOLD_MAX_MS,
        version: asked.version,
        standing: asked.standing.map(|digest| digest.to_vec()).unwrap_or_default(),
        log: asked.log,
        documents: asked.documents.map(|digest| digest.to_vec()).unwrap_or_default(),
    }
}

/// A world in which an order was lost: its incident is to be tried again in a minute.
fn with_a_lost_order() -> (World, Appliance) {
    let mut world = World::with(|safe| safe.settings.stall_after = 24 * HOUR);
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, DISK, "uploads", Phase::Raised);
    assert_eq!(world.send(&mut appliance, vec![event]).orders.len(), 1);
    takes(&mut world, &mut appliance);
    world.wait(12 * MINUTE);
    assert_eq!(world.text("SELECT state FROM incident"), "planned");
    (world, appliance)
}

#[tokio::test]
async fn an_order_reaches_an_idle_box_at_once() {
    let (world, mut appliance) = with_a_lost_order();
    let World { core, db, safe, now, .. } = world;
    NOW.store(now.0, Ordering::SeqCst);
    let (writer, thread) = Writer::spawn(core, clock).unwrap();
    let (stop, stopped) = watch::channel(false);
    let (authority, at) = (safe.authority(), keyring::Clock::at(now));
    let authorities = safe.issuer.authorities.clone();
    let settings = tls::appliances(authorities.clone(), identity(&authorities, &at), at.shared());
    let reader = db.share();
    reader.busy_timeout(AT_ONCE).unwrap();
    let rule = Rule::Appliances {
        reader: Arc::new(Mutex::new(Store::with(reader).unwrap())),
        clock,
        calls: Crowd::default(),
        connections: Crowd::default(),
    };
    let service = Appliances::new(writer.clone(), Store::with(db.share()).unwrap(), stopped.clone());
    let gate = Gate::new(rule, Front::programs(Routes::new(LinkServer::new(service))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(serve_tls(listener, settings.unwrap(), gate, Limits::default(), stopped));

    let config = trusting(&[&rustls::version::TLS13], &authority, &at)
        .with_client_auth_cert(
            vec![CertificateDer::from(appliance.certificate.clone())],
            PrivateKeyDer::try_from(appliance.tls.serialize_der()).unwrap(),
        )
        .unwrap();
    let mut link = LinkClient::new(channel(address, config).await);
    // A millisecond of its own, by which its exchange is known.
    let called = NOW.fetch_add(1, Ordering::SeqCst) + 1;
    let asked = wire(appliance.ask(None));
    let held = tokio::spawn(async move { link.sync(asked).await });
    let seen = async {
        let newest = || writer.run(|core, _| Ok(core.appliances("")?.remove(0).seen));
        // Where nothing is written but in memory, whoever reads can be in a writer's way: asked again.
        while !matches!(newest().await, Ok(Millis(at)) if at == called) {
            assert!(!held.is_finished(), "it was refused, or had something to say");
            tokio::task::yield_now().await;
        }
    };
    timeout(AT_ONCE, seen).await.expect("the call arrives");
    assert!(!held.is_finished(), "there is nothing to say: the call is held");

    NOW.fetch_add(i64::try_from(MINUTE.as_millis()).unwrap(), Ordering::SeqCst);
    writer.run(|core, now| core.watch(now)).await.unwrap();
    let answer = timeout(AT_ONCE, held).await.expect("at once").unwrap().unwrap().into_inner();
    let order = open_order(&answer.orders[0], &safe.charter);
    assert_eq!((answer.orders.len(), order.sequence, order.issued), (1, 2, clock()));

    stop.send(true).unwrap();
    served.await.unwrap();
    drop(writer);
    thread.join().unwrap();
}
