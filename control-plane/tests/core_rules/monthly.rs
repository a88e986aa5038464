//! Packets by themselves: a year of firsts of the month, nothing doubled whatever breaks, sent through a real mail server, and
//! acknowledged on the page behind a link.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use control_plane::{
    bundle::Month,
    core::{
        Core, CoreError,
        deliveries::{Posted, Tracked},
    },
    serve::{
        gate::{Gate, Rule},
        http::{Front, Health},
        known::Known,
        monthly::Monthly,
        operators::{About, Operators},
        review::Reviews,
        writer::Writer,
    },
    store::{MailState, Store},
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use proto::{
    act::{Claim, Deed, Through},
    time::Millis,
};
use rusqlite::{Connection, backup::Backup};
use tonic::{body::Body, service::Routes};
use tower::{Service as _, ServiceExt as _};

use crate::world::{DAY, HOUR, MINUTE, Safe, World, open};

/// The server's parts over a database in a file, and a clock that the test moves.
pub struct Server {
    pub writer: Writer,
    pub monthly: Monthly,
    pub reviews: Reviews,
    pub tenant: String,
    thread: JoinHandle<()>,
    world: World,
    file: PathBuf,
    clock: fn() -> Millis,
}

impl Server {
    /// As the world stands.
    pub fn start(world: World, folder: &Path, clock: fn() -> Millis) -> Self {
        let file = folder.join("control-plane.db");
        let (from, mut to) = (world.db.share(), Connection::open(&file).unwrap());
        Backup::new(&from, &mut to).unwrap().run_to_completion(1000, Duration::ZERO, None).unwrap();
        Self::on(world, file, clock)
    }

    fn on(world: World, file: PathBuf, clock: fn() -> Millis) -> Self {
        let store = Store::open(&file).unwrap();
        // Chance is another after each start, or secrets would come again.
        let seed = clock().0.cast_unsigned();
        let core = open(&world.safe, store, Box::new(world.vault.clone()), seed, clock()).unwrap();
        let (writer, thread) = Writer::spawn(core, clock).unwrap();
        let about = About {
            address: "https://control.msp.example:8443".into(),
            people: String::new(),
            trust: world.safe.trust.clone(),
            witnesses: Vec::new(),
            timestamps: String::new(),
            reader: Box::new({
                let file = file.clone();
                move || Store::open_reader(&file)
            }),
            clock,
        };
        let monthly = Monthly::new(Operators::new(writer.clone(), Arc::new(about)));
        let reader = Arc::new(Mutex::new(Store::open_reader(&file).unwrap()));
        let reviews = Reviews { writer: writer.clone(), reader, clock };
        Self { monthly, reviews, tenant: world.tenant.clone(), writer, thread, world, file, clock }
    }

    /// The program ends; it starts again on a copy of its database that is as old as `older`, or on its own.
    pub fn again(self, older: Option<&Path>) -> Self {
        let Self { writer, monthly, reviews, thread, world, file, clock, .. } = self;
        drop((writer, monthly, reviews));
        thread.join().unwrap();
        Self::on(world, older.map_or(file, Path::to_owned), clock)
    }

    /// A copy of the database as it is now.
    fn backup(&self, to: &Path) {
        let db = Connection::open(&self.file).unwrap();
        db.execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
    }

    pub async fn packets(&self, tenant: &str) -> Vec<Tracked> {
        let tenant = tenant.to_owned();
        let list = self.writer.run(move |core, now| core.tracked_packets(&tenant, 100, now));
        list.await.unwrap()
    }

    /// What the log tells of packets, in order.
    pub async fn deeds(&self) -> Vec<Deed> {
        let tenant = self.tenant.clone();
        let rows = self.writer.run(move |core, _| Ok(core.evidence(&tenant, 0, 1000)?.0)).await.unwrap();
        let acts = rows.into_iter().filter(|row| row.appliance.is_none());
        acts.map(|row| Claim::read(&row.envelope).unwrap().unwrap().unverified().deed)
            .filter(|deed| matches!(deed, Deed::Packet { .. } | Deed::Delivery { .. } | Deed::Review { .. }))
            .collect()
    }

    /// One recipient more.
    pub async fn recipient(&self, address: &str) {
        let (tenant, address) = (self.tenant.clone(), address.to_owned());
        let added = self.writer.run(move |core, now| core.change_recipients(&tenant, &[address], &[], now));
        added.await.unwrap();
    }
}

fn months(packets: &[Tracked]) -> Vec<String> {
    packets.iter().map(|one| one.packet.month.clone()).rev().collect()
}

/// A clinic with a box that has told something.
pub fn world(change: impl FnOnce(&mut Safe)) -> World {
    let mut world = World::with(change);
    world.appliance();
    world
}

fn day(at: Millis) -> String {
    at.to_string()[..10].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_of_packets_each_made_on_the_first_and_what_was_missed_when_it_is_back() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let clock = || Millis(NOW.load(Ordering::SeqCst));
    let folder = tempfile::tempdir().unwrap();
    // Its first clinic has no box, and never a packet.
    let mut world = World::new();
    let start = world.now;
    NOW.store(start.0, Ordering::SeqCst);
    let empty = world.tenant.clone();
    let hill = world.tenant_named("Hill Clinic");
    world.appliance_at(&hill);
    let now = world.now;
    let chicago = ["monday-friday 08:00-18:00 America/Chicago".to_owned()];
    world.core.run(now, |core| core.set_clinic_hours(&hill, &chicago, now)).unwrap();
    let mut server = Server::start(world, folder.path(), clock);
    server.tenant.clone_from(&hill);

    // Half past midnight in UTC, every six hours; in spring nobody is there for seven weeks.
    let begin: Millis = format!("{}T00:30:00Z", day(start)).parse().unwrap();
    let away = "2027-02-20T00:00:00Z".parse().unwrap()..="2027-04-10T00:00:00Z".parse().unwrap();
    let mut made = Vec::new();
    for quarter in 0..4 * 365 {
        let now = begin.plus(6 * HOUR * quarter);
        NOW.store(now.max(start).0, Ordering::SeqCst);
        // Only around the turns of months is there anything to see.
        if away.contains(&now) || !matches!(&now.to_string()[8..10], "01" | "02" | "10" | "28") {
            continue;
        }
        let count = server.monthly.pass().await;
        if count > 0 {
            made.push((now.to_string()[..13].to_owned(), count));
        }
    }
    // At six in Chicago, which is noon in UTC or an hour before; what was missed in spring in one go.
    let mut expected: Vec<(String, usize)> =
        ["2026-12", "2027-01", "2027-02", "2027-05", "2027-06", "2027-07"]
            .into_iter()
            .chain(["2027-08", "2027-09", "2027-10", "2027-11"])
            .map(|month| (format!("{month}-01T12"), 1))
            .collect();
    expected.insert(3, ("2027-04-10T00".to_owned(), 2));
    assert_eq!(made, expected);
    let packets = server.packets(&server.tenant.clone()).await;
    let year = [
        "2026-11", "2026-12", "2027-01", "2027-02", "2027-03", "2027-04", "2027-05", "2027-06", "2027-07",
        "2027-08", "2027-09", "2027-10",
    ];
    assert_eq!(months(&packets), year);
    assert!(server.packets(&empty).await.is_empty());
    // Each follows the one before, those that were made late, too.
    for pair in packets.windows(2) {
        let edition: serde_json::Value = serde_json::from_slice(&pair[0].packet.edition).unwrap();
        assert_eq!(edition["previous"]["month"], pair[1].packet.month);
    }
    let deeds = server.deeds().await;
    assert_eq!(deeds.len(), 12, "each is an act, once: {deeds:?}");
}

/// The packet lies in the vault before the database knows it: whatever is forgotten in between is not made or sent twice.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_between_or_restored_a_packet_is_made_and_sent_once() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let clock = || Millis(NOW.load(Ordering::SeqCst));
    let folder = tempfile::tempdir().unwrap();
    let (world, before) = (world(|_| {}), folder.path().join("before.db"));
    NOW.store(world.now.0, Ordering::SeqCst);
    let mut server = Server::start(world, folder.path(), clock);
    server.recipient("owner@clinic.example").await;
    let month: Month = "2026-11".parse().unwrap();
    NOW.store(month.end().plus(7 * HOUR).0, Ordering::SeqCst);
    server.backup(&before);
    assert_eq!(server.monthly.pass().await, 1);
    let first = server.packets("").await.remove(0);
    assert_eq!((first.mails.len(), first.mails[0].state), (1, MailState::Waiting));

    // From the backup, an hour later: log and vault know of it, and nobody knows that the mail went out.
    NOW.store(month.end().plus(8 * HOUR).0, Ordering::SeqCst);
    let mut server = server.again(Some(&before));
    server.monthly.pass().await;
    let second = server.packets("").await.remove(0);
    assert_eq!(second.packet, first.packet, "the first that was made is the one");
    assert_eq!((second.mails.len(), second.mails[0].state), (1, MailState::Waiting));
    assert_eq!(second.mails[0].message_id, first.mails[0].message_id, "a repeat can be told apart");
    assert_eq!(server.deeds().await.len(), 1);
    assert_eq!(server.monthly.pass().await, 0);

    // The vault has it, and the power went before the log did: it is news.
    NOW.store(month.next().end().plus(7 * HOUR).0, Ordering::SeqCst);
    let keys = |server: &Server| server.world.vault_keys("packets").len();
    assert_eq!((server.monthly.pass().await, keys(&server)), (1, 2));
    let third = server.packets("").await.remove(0);
    let db = Connection::open(&server.file).unwrap();
    db.execute_batch("DELETE FROM packet WHERE month = '2026-12'; DELETE FROM mail; UPDATE act SET summary = '' WHERE summary LIKE '%2026-12%'")
        .unwrap();
    let mut server = server.again(None);
    server.monthly.pass().await;
    let fourth = server.packets("").await.remove(0);
    assert_eq!(fourth.packet, third.packet);
    assert_eq!(fourth.mails[0].message_id, third.mails[0].message_id, "a repeat can be told apart");

    // Who is a recipient no more gets nothing more, and the link that he got leads nowhere.
    let path = format!("/review/{}", secret(&server).await);
    let arrives = |core: &mut Core, now: Millis| {
        let row = core.tracked_packets("", 1, now)?.remove(0).mails.remove(0);
        core.mailed(&row, &Posted::Taken, now)
    };
    server.writer.run(arrives).await.unwrap();
    assert_eq!(page(asked(&server, Method::GET, &path, "").await).await.0, StatusCode::OK);
    let tenant = server.tenant.clone();
    let gone = ["owner@clinic.example".to_owned()];
    server.writer.run(move |core, now| core.change_recipients(&tenant, &[], &gone, now)).await.unwrap();
    assert!(server.writer.run(|core, now| core.mails_to_send(now)).await.unwrap().is_empty());
    let form = "name=Ann&role=Owner&reviewed=yes";
    for (method, form) in [(Method::GET, ""), (Method::POST, form)] {
        assert_eq!(page(asked(&server, method, &path, form).await).await.0, StatusCode::NOT_FOUND);
    }
    assert!(server.packets("").await.iter().all(|packet| packet.reviews.is_empty()));
}

/// What a door answers.
async fn asked(server: &Server, method: Method, path: &str, form: &str) -> Response<Body> {
    let health: control_plane::serve::http::HealthCheck = Arc::new(|| Box::pin(async { Health::Well }));
    let front = Front::people(Routes::default(), health, Some(server.reviews.clone()));
    let (writer, known) = (server.writer.clone(), Known::new(server.reviews.reader.clone()));
    let mut door = Gate::new(Rule::People { writer, known, origin: "https://localhost".into() }, front);
    let body = Body::new(Full::from(form.to_owned()));
    let request = Request::builder().method(method).uri(path).body(body).unwrap();
    door.ready().await.unwrap().call(request).await.unwrap()
}

async fn page(response: Response<Body>) -> (StatusCode, String) {
    let status = response.status();
    let headers = response.headers();
    let policy = headers["content-security-policy"].to_str().unwrap().to_owned();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert_eq!(headers["cache-control"], "no-store");
    let text = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    // Well-formed, every field with a label, and nothing that is fetched or run.
    let html = text.strip_prefix("<!DOCTYPE html>").unwrap();
    let read = roxmltree::Document::parse(html).unwrap();
    let named = |name: &str| read.descendants().filter(|node| node.has_tag_name(name)).collect::<Vec<_>>();
    assert_eq!(read.root_element().attribute("lang"), Some("en"));
    assert_eq!((named("h1").len(), named("main").len(), named("title").len()), (1, 1, 1));
    for input in named("input") {
        let id = input.attribute("id").unwrap();
        assert!(named("label").iter().any(|label| label.attribute("for") == Some(id)), "{id} has no label");
    }
    for what in ["script", "img", "link", "iframe"] {
        assert!(named(what).is_empty(), "{what}");
    }
    (status, text)
}

/// As a mail carries it.
pub async fn secret(server: &Server) -> String {
    let due = server.writer.run(|core, now| core.mails_to_send(now)).await.unwrap();
    due[0].secret.clone().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_link_acknowledges_once_and_everybody_else_gets_one_answer() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let clock = || Millis(NOW.load(Ordering::SeqCst));
    let folder = tempfile::tempdir().unwrap();
    let world = world(|_| {});
    NOW.store(world.now.0, Ordering::SeqCst);
    let mut server = Server::start(world, folder.path(), clock);
    server.recipient("owner@clinic.example").await;
    let month: Month = "2026-11".parse().unwrap();
    NOW.store(month.end().plus(7 * HOUR).0, Ordering::SeqCst);
    server.monthly.pass().await;
    // Tried twice: the link of either mail may be the one that arrived.
    let (first, second) = (secret(&server).await, secret(&server).await);
    let path = format!("/review/{second}");

    let (status, text) = page(asked(&server, Method::GET, &path, "").await).await;
    let packet = server.packets("").await.remove(0);
    assert_eq!(status, StatusCode::OK);
    for says in [
        "Evidence packet, November 2026",
        "Riverside Dental",
        "Integrity: Sound.",
        &packet.sha256().to_string(),
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
    let head = asked(&server, Method::HEAD, &path, "").await;
    assert_eq!(head.headers()["content-length"], text.len().to_string().as_str());
    for (form, says) in [
        ("name=Ann&role=Owner", "Tick the box"),
        ("name=&role=Owner&reviewed=yes", "name must not be empty"),
        ("name=Ann&role=%0a&reviewed=yes", "role must not be empty"),
        (&format!("name={}&role=Owner&reviewed=yes", "x".repeat(81)), "name must be at most 80"),
    ] {
        let (status, text) = page(asked(&server, Method::POST, &path, form).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(text.contains("role=\"alert\"") && text.contains(says), "{says}: {text}");
    }
    assert!(server.packets("").await[0].reviews.is_empty(), "looking and mistakes are no acknowledgement");

    let form = "name=Ann+%3Cb%3E&role=Security+official&reviewed=yes";
    let (status, text) = page(asked(&server, Method::POST, &path, form).await).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("Thank you"), "{text}");
    let reviews = server.packets("").await.remove(0).reviews;
    assert_eq!(reviews.len(), 1);
    assert_eq!((reviews[0].name.as_str(), reviews[0].role.as_str()), ("Ann <b>", "Security official"));
    assert_eq!(reviews[0].through, Through::Link);
    assert!(
        matches!(server.deeds().await.last(), Some(Deed::Review { packet: of, .. }) if *of == packet.sha256())
    );

    // Used, of the same mail, never made, and cut off: nobody can tell them apart.
    let mut answers = Vec::new();
    for (method, link) in [
        (Method::POST, second.as_str()),
        (Method::POST, first.as_str()),
        (Method::POST, "c2VjcmV0"),
        (Method::POST, ""),
        (Method::GET, second.as_str()),
        (Method::GET, "c2VjcmV0"),
    ] {
        let (status, text) = page(asked(&server, method, &format!("/review/{link}"), form).await).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        answers.push(text);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(server.packets("").await[0].reviews.len(), 1);

    // The next mail's page says who did already; its link ends, too.
    let tenant = server.tenant.clone();
    let sent = server.packets("").await[0].mails[0].id;
    let mail = move |core: &mut Core, now: Millis| -> Result<(), CoreError> {
        let row = core.tracked_packets("", 1, now)?.remove(0).mails.remove(0);
        assert_eq!(row.id, sent);
        core.mailed(&row, &Posted::Taken, now)?;
        core.send_packet(&tenant, "2026-11".parse()?, now).map(drop)
    };
    server.writer.run(mail).await.unwrap();
    let third = secret(&server).await;
    let path = format!("/review/{third}");
    let (_, text) = page(asked(&server, Method::GET, &path, "").await).await;
    assert!(
        text.contains("Acknowledged already") && text.contains("Ann &lt;b&gt;, Security official"),
        "{text}"
    );
    NOW.store((server.clock)().plus(60 * DAY + MINUTE).0, Ordering::SeqCst);
    let (status, _) = page(asked(&server, Method::GET, &path, "").await).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
