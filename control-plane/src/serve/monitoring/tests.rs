//! What is said of a server's health, and what is counted.

use proto::time::Millis;

use super::{
    super::open::{seed, trust_of},
    *,
};
use crate::{
    clock,
    config::Config,
    directory::Directory,
    init::{Options, init},
};

const MADE: Millis = Millis(1_790_000_000_000);

/// An installation whose server ran once, as its health check sees it.
fn installed(clock: fn() -> Millis) -> (tempfile::TempDir, Arc<About>) {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::new(folder.path().join("orderly"));
    let options = Options {
        organization: "msp.example".into(),
        address: "https://127.0.0.1:8443".into(),
        appliances: "127.0.0.1:0".into(),
        people: "127.0.0.1:0".into(),
        webhook: None,
        owner: "owner".into(),
    };
    init(&directory, &options, MADE, &mut clock::random).unwrap();
    let config = Config::load(&directory.config()).unwrap();
    let trust = trust_of(&directory, &config).unwrap();
    seed(&Store::open(&directory.database()).unwrap(), &trust, &directory).unwrap();
    let database = directory.database();
    let reader = Box::new(move || Store::open_reader(&database));
    let about = About {
        address: String::new(),
        people: String::new(),
        trust,
        witnesses: vec![],
        timestamps: String::new(),
        reader,
        clock,
    };
    (folder, Arc::new(about))
}

#[track_caller]
fn is_unwell(about: &Arc<About>, says: &str) {
    let found = health(about.clone())();
    assert!(matches!(&found, Health::Unwell(why) if why.contains(says)), "{found:?}");
}

#[test]
fn a_server_is_well_until_its_charter_ends() {
    let (_folder, about) = installed(|| MADE);
    assert_eq!(health(about)(), Health::Well);
    let (_folder, about) = installed(|| MADE.plus(Duration::from_secs(179 * 86_400)));
    assert_eq!(health(about)(), Health::Well);
    let (_folder, about) = installed(|| MADE.plus(Duration::from_secs(180 * 86_400)));
    is_unwell(&about, "charter has ended");
}

#[test]
fn a_server_is_not_well_whose_database_cannot_be_read_or_believed() {
    let (folder, about) = installed(|| MADE);
    let path = folder.path().join("orderly/control-plane.db");
    let kept = std::fs::read(&path).unwrap();
    std::fs::write(&path, b"this is no database, however long one looks at it").unwrap();
    is_unwell(&about, "cannot be read");
    std::fs::remove_file(&path).unwrap();
    is_unwell(&about, "cannot be opened");
    std::fs::write(&path, kept).unwrap();
    assert_eq!(health(about.clone())(), Health::Well);

    let (_other, other) = installed(|| MADE);
    let mut mixed = Arc::into_inner(other).unwrap();
    mixed.reader = Arc::into_inner(about).unwrap().reader;
    is_unwell(&Arc::new(mixed), "not signed by this organization");
}
