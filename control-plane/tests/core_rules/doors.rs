//! What stands between the network and the writer: who may call what, how much at once; and who is told.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use control_plane::{
    access::Grant,
    config::{Channel, Way},
    serve::{
        crowd::Crowd,
        gate::{Gate, Rule},
        known::Known,
        link::Appliances,
        listener::{Address, Admission, Peer},
        outside::Outside,
        rate::Rates,
        teller::{self, Teller},
        writer::Writer,
    },
    store::Store,
    telling::Rules,
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use proto::{
    pb::{SyncRequest, link_server::Link as _},
    sync::Phase,
    time::Millis,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::timeout,
};
use tonic::{Code, body::Body};
use tower::{ServiceExt as _, service_fn};

use crate::{
    appliance::Appliance,
    world::{CHANNEL, DAY, START, World},
};

const PATIENCE: Duration = Duration::from_secs(30);
const SYNC: &str = "/orderly.v1.Link/Sync";

pub fn clock() -> Millis {
    START
}

pub fn peer(certificate: Option<&[u8]>) -> Peer {
    Peer {
        certificate: certificate.map(<[u8]>::to_vec),
        address: Address::Network(SocketAddr::from(([127, 0, 0, 1], 1))),
        admission: Admission::new(false),
    }
}

fn post(path: &str, peer: Peer, body: Vec<u8>) -> Request<Body> {
    let mut request = Request::post(path).body(Body::new(Full::from(body))).unwrap();
    request.extensions_mut().insert(peer);
    request
}

/// The gRPC status of an answer; `None`: it was answered by what lies behind the gate.
fn refused(response: &Response<Body>) -> Option<Code> {
    let status = response.headers().get("grpc-status")?;
    Some(Code::from_bytes(status.as_bytes()))
}

fn asked(appliance: &mut Appliance, batch: bool, world: &World) -> SyncRequest {
    let beat = appliance.heartbeat(world.now);
    let exchange = appliance.ask(None);
    let batch = batch.then(|| appliance.freeze(vec![beat]));
    appliance.unacknowledged = None;
    SyncRequest {
        batch: batch.map(Into::into),
        incarnation: appliance.incarnation.0.to_vec(),
        nonce: exchange.nonce.0.to_vec(),
        version: "0.1.0".into(),
        ..Default::default()
    }
}

/// Whether it is not done when it has had one turn.
async fn waits(future: &mut (impl Future + Unpin)) -> bool {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_pending())).await
}

/// A gate before something that answers when it is told to, with the size of the body.
fn appliances_gate(
    world: &World,
    answers: Arc<Semaphore>,
) -> impl tower::Service<
    Request<Body>,
    Response = Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send,
> + Clone {
    let reader = Arc::new(Mutex::new(Store::with(world.db.share()).unwrap()));
    let behind = service_fn(move |request: Request<Body>| {
        let answers = answers.clone();
        async move {
            answers.acquire().await.unwrap().forget();
            let text = match request.into_body().collect().await {
                Ok(body) => body.to_bytes().len().to_string(),
                Err(_) => "too much".to_owned(),
            };
            Ok::<_, Infallible>(Response::new(Body::new(Full::from(text))))
        }
    });
    Gate::new(
        Rule::Appliances { reader, clock, calls: Crowd::default(), connections: Crowd::default() },
        behind,
    )
}

#[tokio::test]
async fn one_box_has_few_calls_at_once_and_another_has_its_own() {
    let mut world = World::new();
    let (one, other) = (world.appliance(), world.appliance());
    let answers = Arc::new(Semaphore::new(0));
    let gate = appliances_gate(&world, answers.clone());
    let call = |of: &Appliance| gate.clone().oneshot(post(SYNC, peer(Some(&of.certificate)), Vec::new()));
    let mut held: Vec<_> = (0..4).map(|_| Box::pin(call(&one))).collect();
    for call in &mut held {
        assert!(waits(call).await, "held open");
    }
    assert_eq!(refused(&call(&one).await.unwrap()), Some(Code::ResourceExhausted));
    // A call that hangs up leaves its place; an answer does too.
    held.pop();
    answers.add_permits(100);
    assert_eq!(refused(&call(&other).await.unwrap()), None);
    assert_eq!(refused(&call(&one).await.unwrap()), None);
}

/// However many it makes, the others find theirs.
#[tokio::test]
async fn one_box_has_few_connections_at_once_and_another_has_its_own() {
    let mut world = World::new();
    let (one, other) = (world.appliance(), world.appliance());
    let gate = appliances_gate(&world, Arc::new(Semaphore::new(100)));
    let call = |peer: &Peer| gate.clone().oneshot(post(SYNC, peer.clone(), Vec::new()));
    let mut connections: Vec<Peer> = (0..8).map(|_| peer(Some(&one.certificate))).collect();
    for connection in &connections {
        for _ in 0..2 {
            assert_eq!(
                refused(&call(connection).await.unwrap()),
                None,
                "a second call needs no second place"
            );
        }
    }
    let more = peer(Some(&one.certificate));
    assert_eq!(refused(&call(&more).await.unwrap()), Some(Code::ResourceExhausted));
    assert!(timeout(Duration::ZERO, more.admission.given()).await.is_err(), "it may not stay");
    assert_eq!(refused(&call(&peer(Some(&other.certificate))).await.unwrap()), None);
    // One that ends leaves its place.
    connections.pop();
    assert_eq!(refused(&call(&more).await.unwrap()), None);
}

#[tokio::test]
async fn requests_are_as_large_as_their_method_needs() {
    let mut world = World::new();
    let appliance = world.appliance();
    let gate = appliances_gate(&world, Arc::new(Semaphore::new(100)));
    let kib = |n: usize| n << 10;
    for (path, most) in [
        (SYNC, kib(1024 + 64)),
        ("/orderly.v1.Link/Renew", kib(64)),
        ("/orderly.v1.Enrollment/Enroll", kib(64)),
    ] {
        for (size, expected) in [(most, most.to_string()), (most + 1, "too much".to_owned())] {
            let request = post(path, peer(Some(&appliance.certificate)), vec![0; size]);
            let body = gate.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes(), expected, "{path}");
        }
    }
}

/// Only an exchange of an enrolled box, under a certificate that holds, makes its connection one that may stay.
#[tokio::test]
async fn who_is_known() {
    let mut world = World::new();
    let (good, revoked, stranger) = (world.appliance(), world.appliance(), world.unknown_box());
    let (id, now) = (revoked.id().to_string(), world.now);
    world.core.run(now, |core| core.revoke_appliance(&id, "stolen", now)).unwrap();
    world.now = now.minus(8 * DAY);
    let ended = world.enrolled();
    let gate = appliances_gate(&world, Arc::new(Semaphore::new(100)));
    for (case, path, certificate, known) in [
        ("an exchange", SYNC, Some(&good.certificate), true),
        ("a renewal", "/orderly.v1.Link/Renew", Some(&good.certificate), false),
        ("a renewal, late", "/orderly.v1.Link/Renew", Some(&ended.certificate), false),
        ("too late", SYNC, Some(&ended.certificate), false),
        ("revoked", SYNC, Some(&revoked.certificate), false),
        ("an enrolment", "/orderly.v1.Enrollment/Enroll", None, false),
        ("garbage", SYNC, Some(&stranger.certificate), false),
    ] {
        let peer = peer(certificate.map(Vec::as_slice));
        let admission = peer.admission.clone();
        gate.clone().oneshot(post(path, peer, Vec::new())).await.unwrap();
        assert_eq!(timeout(Duration::ZERO, admission.given()).await.is_ok(), known, "{case}");
    }
}

/// What the people's door looks guesses up in.
pub fn known(world: &World) -> Known {
    Known::new(Arc::new(Mutex::new(Store::with(world.db.share()).unwrap())))
}

/// Whoever could make tokens with a token could never be shut out.
#[tokio::test]
async fn api_tokens_are_not_made_with_api_tokens() {
    let mut world = World::new();
    let now = world.now;
    let token = world
        .core
        .run(now, |core| core.issue_operator_token("ci", Grant::everything(), DAY, now))
        .unwrap()
        .secret;
    let known = known(&world);
    let (writer, _thread) = Writer::spawn(world.core, clock).unwrap();
    let behind = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let gate = Gate::new(Rule::People { writer, known, origin: "https://localhost".into() }, behind);
    for (method, token, expected) in [
        ("Tenants/List", Some(&token), None),
        ("Operators/IssueToken", Some(&token), Some(Code::PermissionDenied)),
        ("Operators/ListTokens", Some(&token), Some(Code::PermissionDenied)),
        ("Operators/RevokeToken", Some(&token), Some(Code::PermissionDenied)),
        ("Operators/IssueToken", None, Some(Code::Unauthenticated)),
    ] {
        let peer = peer(None);
        let admission = peer.admission.clone();
        let mut request = post(&format!("/orderly.v1.{method}"), peer, Vec::new());
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        assert_eq!(refused(&gate.clone().oneshot(request).await.unwrap()), expected, "{method}");
        assert_eq!(timeout(Duration::ZERO, admission.given()).await.is_ok(), expected.is_none(), "{method}");
    }
}

/// By token, however many calls there are of others; by address, for whoever guesses.
#[tokio::test]
async fn whoever_asks_too_fast_is_told_to_wait_and_nobody_else_is() {
    let mut world = World::new();
    let now = world.now;
    let [one, other] = ["one", "other"].map(|name| {
        world
            .core
            .run(now, |core| core.issue_operator_token(name, Grant::everything(), DAY, now))
            .unwrap()
            .secret
    });
    let known = known(&world);
    let (writer, _thread) = Writer::spawn(world.core, clock).unwrap();
    let behind = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let gate = Gate::new(Rule::People { writer, known, origin: "https://127.0.0.1".into() }, behind)
        .with_rates(Rates::new(clock));
    let ask = async |token: &str, host: u8| {
        let mut peer = peer(None);
        peer.address = Address::Network(SocketAddr::from(([192, 0, 2, host], 1)));
        let mut request = post("/orderly.v1.Tenants/List", peer, Vec::new());
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        refused(&gate.clone().oneshot(request).await.unwrap())
    };
    for _ in 0..200 {
        assert_eq!(ask(&one, 1).await, None);
    }
    assert_eq!(ask(&one, 2).await, Some(Code::ResourceExhausted), "from wherever");
    assert_eq!(ask(&other, 1).await, None);
    for _ in 0..20 {
        assert_eq!(ask("guessed", 3).await, Some(Code::PermissionDenied));
    }
    // Not even looked at any more, whatever it is.
    assert_eq!(ask("guessed", 3).await, Some(Code::ResourceExhausted));
    assert_eq!(ask(&other, 3).await, Some(Code::ResourceExhausted));
    assert_eq!(ask(&other, 4).await, None);
}

/// The queue is for all: a box has one batch in it, even when it hangs up and calls again.
#[tokio::test]
async fn one_batch_of_each_box_waits_for_the_writer() {
    let mut world = World::new();
    let (mut one, mut other) = (world.appliance(), world.appliance());
    let calls =
        [asked(&mut one, true, &world), asked(&mut one, true, &world), asked(&mut other, true, &world)];
    let certificates = [&one, &one, &other].map(|appliance| appliance.certificate.clone());
    let again = asked(&mut one, false, &world);
    let (writer, _thread) = Writer::spawn(world.core, clock).unwrap();
    let (_stop, stopped) = watch::channel(false);
    let service = Appliances::new(writer.clone(), Store::with(world.db.share()).unwrap(), stopped);
    let sync = |message: SyncRequest, certificate: &Vec<u8>| {
        let mut request = tonic::Request::new(message);
        request.extensions_mut().insert(peer(Some(certificate)));
        let service = service.clone();
        async move { service.sync(request).await.map(tonic::Response::into_inner) }
    };
    let (go, begin) = std::sync::mpsc::channel::<()>();
    let busy = writer.run(move |_, _| {
        begin.recv().unwrap();
        Ok(())
    });
    let [first, second, others] = calls;
    let mut hangs_up = Box::pin(sync(first, &certificates[0]));
    let (_, (), second, others) = tokio::join!(
        busy,
        async {
            assert!(waits(&mut hangs_up).await);
            drop(hangs_up);
        },
        sync(second, &certificates[1]),
        async {
            let waiting = sync(others, &certificates[2]);
            go.send(()).unwrap();
            waiting.await
        }
    );
    assert_eq!(second.unwrap_err().code(), Code::Unavailable);
    assert!(others.unwrap().ack.is_some());
    // The first one was stored, although nobody waited for its answer; and its turn is over.
    assert_eq!(sync(again, &certificates[0]).await.unwrap().evidence_next, 3);
}

/// A call that is answered because a newer one came is not held any longer.
#[tokio::test]
async fn a_newer_call_ends_the_one_before() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let [hanging, newer] = [0, 1].map(|_| {
        let call = asked(&mut appliance, false, &world);
        SyncRequest {
            hold_ms: 60_000,
            checkpoint_size: 2,
            charter_serial: 1,
            catalogue_version: 1,
            policy_serial: 1,
            ..call
        }
    });
    let (writer, _thread) = Writer::spawn(world.core, clock).unwrap();
    let (_stop, stopped) = watch::channel(false);
    let service = Appliances::new(writer.clone(), Store::with(world.db.share()).unwrap(), stopped);
    let sync = |message: SyncRequest| {
        let mut request = tonic::Request::new(message);
        request.extensions_mut().insert(peer(Some(&appliance.certificate)));
        let service = service.clone();
        async move { service.sync(request).await }
    };
    let mut hanging = Box::pin(sync(hanging));
    let mut newer = Box::pin(sync(newer));
    for call in [&mut hanging, &mut newer] {
        // Asked; once what was asked after it is answered, it is too; and then it is held.
        assert!(waits(call).await);
        writer.run(|_, _| Ok(())).await.unwrap();
        assert!(waits(call).await);
    }
    timeout(PATIENCE, hanging).await.expect("the older one ends").unwrap();
    assert!(waits(&mut newer).await);
}

/// Reads one request and says so; answers when all are there.
async fn answer(mut stream: TcpStream, all: Arc<tokio::sync::Barrier>) {
    let mut request = vec![0; 64 << 10];
    let mut read = 0;
    while !request[..read].ends_with(b"}") {
        read += stream.read(&mut request[read..]).await.unwrap();
    }
    all.wait().await;
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
}

/// A channel of that name that ends at `listener`.
fn way_to(name: &str, listener: &TcpListener) -> Teller {
    let url = format!("http://{}/hook", listener.local_addr().unwrap()).parse().unwrap();
    let channel = Channel {
        name: name.into(),
        quiet: vec![],
        tenants: vec![],
        way: Way::Webhook { url, secret: None },
    };
    Teller::new(&channel, None, "msp.example", Outside::new(PATIENCE), clock).unwrap()
}

/// How many letters wait.
async fn waiting(writer: &Writer) -> usize {
    writer.run(|core, _| core.notifications("", "due", 100)).await.unwrap().len()
}

#[tokio::test]
async fn a_channel_that_hangs_holds_up_no_other() {
    let channels = ["hangs".to_owned(), "takes".to_owned()].map(|name| (name, vec![]));
    let mut world = World::with(|safe| safe.settings.telling = Rules::at_once(channels.into()));
    let mut appliance = world.appliance();
    let event = appliance.event(world.now, "odd.fault", "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    let [hangs, takes] =
        [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let (writer, _thread) = Writer::spawn(world.core, clock).unwrap();
    let (stop, stopped) = watch::channel(false);
    let tellers = [way_to("hangs", &hangs), way_to("takes", &takes)]
        .map(|way| tokio::spawn(teller::tell(writer.clone(), way, stopped.clone())));
    // Somebody picks up, and never says a word.
    let silent = hangs.accept().await.unwrap();
    let heard = async {
        let alone = Arc::new(tokio::sync::Barrier::new(1));
        answer(takes.accept().await.unwrap().0, alone).await;
        while waiting(&writer).await > 1 {}
    };
    timeout(PATIENCE, heard).await.expect("the other one is told");
    // And who hangs holds up no end.
    stop.send(true).unwrap();
    for teller in tellers {
        timeout(PATIENCE, teller).await.expect("it ends").unwrap();
    }
    drop(silent);
}

#[tokio::test]
async fn what_is_due_is_told_at_once_not_one_after_the_other() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let events = ["odd.one", "odd.two", "odd.three"]
        .map(|kind| appliance.event(world.now, kind, "uploads", Phase::Raised));
    world.send(&mut appliance, events.into());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = way_to(CHANNEL, &listener);
    let (writer, _thread) = Writer::spawn(world.core, clock).unwrap();
    let (stop, stopped) = watch::channel(false);
    let teller = tokio::spawn(teller::tell(writer.clone(), way, stopped));
    let all = Arc::new(tokio::sync::Barrier::new(3));
    let accept = async {
        for _ in 0..3 {
            tokio::spawn(answer(listener.accept().await.unwrap().0, all.clone()));
        }
        while waiting(&writer).await > 0 {}
    };
    timeout(PATIENCE, accept).await.expect("all are told");
    stop.send(true).unwrap();
    teller.await.unwrap();
}
