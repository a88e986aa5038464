//! Packets and letters through a mail server that is none of ours, with STARTTLS, a password, and the faults that real ones have.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use control_plane::{
    config::{Channel, Mail, MailTls, Secret, Way},
    files::{self, Access},
    serve::{
        mail::{Mailer, round},
        outside::Outside,
        teller::Teller,
    },
    store::MailState,
    telling::{Outcome, RECIPIENTS, Rules, ticket::Change},
};
use proto::{act::Deed, digest::Digest, sync::Phase, time::Millis};
use rcgen::{CertificateParams, KeyPair};

use crate::{
    monthly::{Server, world},
    world::{HOUR, MINUTE, START, World},
};

/// `.ci/setup test` makes it.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/mail-venv/bin/python");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/mail/server.py");

/// A mail server. Killed when dropped.
struct Post {
    child: Child,
    folder: PathBuf,
    mail: Mail,
}

impl Drop for Post {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Post {
    /// `None`: it is not here, which in CI is an error.
    fn start(folder: &Path) -> Option<Self> {
        if !Path::new(PYTHON).exists() {
            assert!(std::env::var_os("CI").is_none(), "`make setup-test` installs a mail server from PyPI");
            println!("skipped: {PYTHON} is not here; `.ci/setup test` makes it");
            return None;
        }
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let (pem, secret, password) =
            (folder.join("mail.pem"), folder.join("mail.key"), folder.join("mail.password"));
        fs::write(&pem, certificate.pem()).unwrap();
        fs::write(&secret, key.serialize_pem()).unwrap();
        files::create(&password, b"hush\n", Access::Secret).unwrap();
        let taken = folder.join("taken");
        fs::create_dir(&taken).unwrap();
        let mut child = Command::new(PYTHON)
            .arg(SCRIPT)
            .args([&taken, &pem, &secret])
            .args(["orderly", "hush"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mail = Mail {
            server: "localhost".into(),
            port: line.trim().parse().unwrap(),
            tls: MailTls::StartTls,
            from: "Evidence <packets@msp.example>".parse().unwrap(),
            login: Some(("orderly".into(), Secret::file("mail.password_file", password))),
            authority: Some(pem),
            link: Some("https://packets.msp.example".into()),
        };
        Some(Self { child, folder: taken, mail })
    }

    fn mailer(&self, change: impl FnOnce(&mut Mail)) -> Arc<Mailer> {
        let mut mail = self.mail.clone();
        change(&mut mail);
        Arc::new(Mailer::new(&mail, "msp.example", Duration::from_secs(5)).unwrap())
    }

    /// Mails that it took, as they came.
    fn taken(&self) -> Vec<String> {
        let mut files: Vec<_> =
            fs::read_dir(&self.folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    }
}

/// The value of a header.
fn header<'m>(mail: &'m str, name: &str) -> &'m str {
    mail.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap().trim()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_reaches_everybody_whom_a_mail_server_takes_it_for() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let clock = || Millis(NOW.load(Ordering::SeqCst));
    let folder = tempfile::tempdir().unwrap();
    let Some(post) = Post::start(folder.path()) else { return };
    let world = world(|_| {});
    NOW.store(world.now.0, Ordering::SeqCst);
    let mut server = Server::start(world, folder.path(), clock);
    for name in ["drop", "grey", "hang", "never", "owner"] {
        server.recipient(&format!("{name}@clinic.example")).await;
    }
    let month: control_plane::bundle::Month = "2026-11".parse().unwrap();
    NOW.store(month.end().plus(7 * HOUR).0, Ordering::SeqCst);
    server.monthly.pass().await;

    // Who sends without TLS or with a wrong password sends nothing, and nobody is given up for that.
    let wrong = folder.path().join("wrong.password");
    files::create(&wrong, b"loud", Access::Secret).unwrap();
    for mailer in [
        post.mailer(|mail| (mail.tls, mail.login, mail.authority) = (MailTls::None, None, None)),
        post.mailer(|mail| {
            mail.login = Some(("orderly".into(), Secret::file("mail.password_file", wrong.clone())))
        }),
        post.mailer(|mail| mail.authority = None),
    ] {
        round(&server.writer, &mailer, clock).await;
        let mails = server.packets("").await.remove(0).mails;
        assert!(mails.iter().all(|row| row.state == MailState::Waiting && row.attempts > 0), "{mails:?}");
        NOW.store(clock().plus(10 * MINUTE).0, Ordering::SeqCst);
    }
    assert!(post.taken().is_empty());

    let mailer = post.mailer(|_| {});
    round(&server.writer, &mailer, clock).await;
    let state = |mails: &[control_plane::store::MailRow]| -> Vec<(String, MailState)> {
        mails.iter().map(|row| (row.address.split('@').next().unwrap().to_owned(), row.state)).collect()
    };
    let first = server.packets("").await.remove(0).mails;
    let expect = |all: [MailState; 5]| -> Vec<(String, MailState)> {
        ["drop", "grey", "hang", "never", "owner"].map(str::to_owned).into_iter().zip(all).collect()
    };
    use MailState::{Refused, Sent, Waiting};
    assert_eq!(state(&first), expect([Waiting, Waiting, Waiting, Refused, Sent]));
    let error =
        |name: &str| first.iter().find(|row| row.address.starts_with(name)).unwrap().last_error.clone();
    assert!(error("never").contains("550") && error("grey").contains("450"), "{first:?}");
    assert!(error("hang").contains("did not answer in time"), "{first:?}");
    let deliveries =
        |deeds: Vec<Deed>| deeds.into_iter().filter(|deed| deed.kind() == "delivery").collect::<Vec<_>>();
    assert!(deliveries(server.deeds().await).is_empty(), "some still wait");

    // The program ends and starts again in between.
    let server = server.again(None);
    NOW.store(clock().plus(HOUR).0, Ordering::SeqCst);
    round(&server.writer, &mailer, clock).await;
    let tracked = server.packets("").await.remove(0);
    assert_eq!(state(&tracked.mails), expect([Sent, Sent, Sent, Refused, Sent]));
    let packet = tracked.sha256();
    let done = Deed::Delivery { month: "2026-11".into(), packet, sent: 4, refused: 1 };
    assert_eq!(deliveries(server.deeds().await), [done]);
    let incidents = server.writer.run(|core, _| core.incidents("", "", 10)).await.unwrap();
    assert!(
        incidents
            .iter()
            .any(|row| row.kind == "packet.undelivered" && row.reason.contains("4 recipients and not 1"))
    );

    // Each once, the packet attached as it was kept, and a link of its own.
    let taken = post.taken();
    let mut to: Vec<&str> = taken.iter().map(|mail| header(mail, "To")).collect();
    to.sort_unstable();
    assert_eq!(
        to,
        ["drop@clinic.example", "grey@clinic.example", "hang@clinic.example", "owner@clinic.example"]
    );
    let mut links = std::collections::BTreeSet::new();
    for mail in &taken {
        let row = first.iter().find(|row| row.address == header(mail, "To")).unwrap();
        assert_eq!(header(mail, "Message-ID"), row.message_id, "the name of the first try");
        assert!(header(mail, "Subject").contains("Riverside Dental"), "{mail}");
        let text = mail.replace("=\r\n", "");
        for says in ["Integrity: Sound.", "How to check it", &packet.to_string()] {
            assert!(text.contains(says), "{says}: {text}");
        }
        let link = text.split("https://packets.msp.example/review/").nth(1).unwrap();
        links.insert(link.split_whitespace().next().unwrap().to_owned());
        let part = mail.split("Content-Disposition: attachment").nth(1).unwrap();
        let encoded: String = part
            .split("\r\n\r\n")
            .nth(1)
            .unwrap()
            .split("\r\n--")
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
        assert_eq!(Digest::of(&bytes), packet);
    }
    assert_eq!(links.len(), 4);
    let page = links.pop_first().unwrap();
    let shown = server.writer.run(move |core, now| core.review_page(&page, now)).await.unwrap().unwrap();
    assert_eq!((shown.clinic.as_str(), shown.sha256), ("Riverside Dental", packet));
}

/// A letter about an incident, through the same server and the outbox of letters.
#[tokio::test(flavor = "multi_thread")]
async fn people_are_called_by_mail_and_all_mails_of_a_fault_lie_together() {
    let folder = tempfile::tempdir().unwrap();
    let Some(post) = Post::start(folder.path()) else { return };
    let to = |name: &str| {
        let way = Way::Mail { to: format!("{name}@msp.example").parse().unwrap() };
        Channel { name: name.to_owned(), quiet: vec![], tenants: vec![], way }
    };
    let recipients =
        Channel { name: RECIPIENTS.to_owned(), quiet: vec![], tenants: vec![], way: Way::Recipients };
    let channels = [to("desk"), to("grey"), to("never"), recipients];
    let names = channels.iter().map(|channel| (channel.name.clone(), vec![]));
    let mut world = World::with(|safe| safe.settings.telling = Rules::at_once(names.collect()));
    let (now, tenant) = (world.now, world.tenant.clone());
    let owner = ["owner@clinic.example".to_owned()];
    world.core.run(now, |core| core.change_recipients(&tenant, &owner, &[], now)).unwrap();
    let mut appliance = world.appliance();
    let rounds = async |world: &mut World| {
        let mut said = Vec::new();
        for channel in &channels {
            let outside = Outside::new(MINUTE);
            let mailer = post.mailer(|_| {});
            let teller = Teller::new(channel, Some(&mailer), "msp.example", outside, || START).unwrap();
            let (now, name) = (world.now, channel.name.clone());
            for letter in world.core.run(now, |core| core.to_tell(&name, now)).unwrap() {
                let outcome = teller.send(&letter).await;
                world.core.run(now, |core| core.told(&letter.row, &outcome, now)).unwrap();
                said.push((name.clone(), outcome));
            }
        }
        said
    };
    for phase in [Phase::Raised, Phase::Cleared] {
        let event = appliance.event(world.now, "odd.fault", "uploads", phase);
        world.send(&mut appliance, vec![event]);
    }
    let first = rounds(&mut world).await;
    let taken = || Outcome::Taken(Change::None);
    assert_eq!(first[0], ("desk".to_owned(), taken()));
    assert!(matches!(&first[1].1, Outcome::Later(why, None) if why.contains("450")), "{first:?}");
    assert!(matches!(&first[2].1, Outcome::Never(why) if why.contains("550")), "{first:?}");
    world.now = world.now.plus(MINUTE);
    rounds(&mut world).await;
    world.now = world.now.plus(MINUTE);
    rounds(&mut world).await;

    let mails = post.taken();
    let of = |name: &str| -> Vec<&String> {
        mails.iter().filter(|mail| header(mail, "To").starts_with(name)).collect()
    };
    assert_eq!((of("desk").len(), of("grey").len(), of("never").len()), (2, 2, 0));
    // Whoever it is, they are told what is wrong, and nothing to type at a server that is not theirs.
    let owners = of("owner@clinic");
    assert!(
        owners.len() == 2 && owners[0].contains("odd.fault") && !owners[0].contains("acknowledge"),
        "{owners:?}"
    );
    let [raised, gone] = of("desk")[..] else { panic!("{mails:?}") };
    assert_eq!(header(raised, "Subject"), "odd.fault on uploads at Riverside Dental");
    assert_eq!(header(gone, "Subject"), "Over: odd.fault on uploads at Riverside Dental");
    assert!(raised.contains("control-plane incident acknowledge"), "{raised}");
    assert_eq!(header(raised, "References"), header(gone, "References"));
    assert_ne!(header(raised, "Message-ID"), header(gone, "Message-ID"));
    let dead = world.core.notifications("", "dead", 9).unwrap();
    assert!(dead.iter().all(|row| row.channel == "never") && dead.len() == 2, "{dead:?}");
}
