//! Charter and catalogue over restarts: what is in force lies in the database; the files beside it may be older.

use std::fs;

use control_plane::{clock, files};
use hyper_util::rt::TokioIo;
use proto::{
    charter::{Charter, OrganizationKeys, Quorum},
    keys::SecretKey,
    pb::{PublishCharter, charter_client::CharterClient},
};
use runbooks::Catalogue;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::home::Home;

fn key(home: &Home, name: &str) -> SecretKey {
    files::read_secret_key(home.offline(name).as_ref()).unwrap()
}

async fn admin(home: &Home) -> Channel {
    let path = home.directory().admin_socket();
    let connector = service_fn(move |_: http::Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://admin.sock").connect_with_connector(connector).await.unwrap()
}

fn charter(home: &Home) -> Charter {
    let directory = home.directory();
    let trust = OrganizationKeys::parse(&fs::read(directory.organization_keys()).unwrap()).unwrap();
    trust.open(&fs::read(directory.charter()).unwrap()).unwrap().into_value()
}

fn catalogue(version: u64, keys: &[&SecretKey]) -> Vec<u8> {
    let now = clock::now();
    let expires = now.plus(std::time::Duration::from_secs(86_400));
    let runbooks = runbooks::sources();
    let runbooks = runbooks.iter().map(|(name, text)| runbooks::from_yaml(text, name).unwrap()).collect();
    Catalogue::seal(&Catalogue::build(version, now, expires, runbooks).unwrap(), keys)
}

/// Two of three release keys are replaced. The first catalogue's file is signed by too few of the new ones.
#[test]
fn after_the_release_keys_changed_an_old_file_stops_no_restart() {
    let home = Home::new();
    let (new_a, new_b) = (SecretKey::ed25519([71; 32]), SecretKey::ed25519([72; 32]));
    let server = home.start();
    // Signed so that it holds under the charter of today and that of tomorrow.
    let (second, third) = (key(&home, "release-2"), key(&home, "release-3"));
    fs::write(home.path().join("two.json"), catalogue(2, &[&second, &third, &new_a])).unwrap();
    assert_eq!(home.json(&["catalogue", "publish", "two.json"])["version"], 2);
    let keys = [third.public(), new_a.public(), new_b.public()].into();
    let rotated = Charter { serial: 2, release_keys: Quorum { threshold: 2, keys }, ..charter(&home) };
    let envelope = rotated.seal(&[&key(&home, "organization-1"), &key(&home, "organization-2")]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let publish = async {
        CharterClient::new(admin(&home).await)
            .publish(PublishCharter { envelope })
            .await
            .unwrap()
            .into_inner()
    };
    assert_eq!(runtime.block_on(publish).serial, 2);
    server.end();

    let stale = fs::read(home.directory().catalogue()).unwrap();
    assert!(Catalogue::open(&stale, &rotated).is_err(), "the file on disk is not believed any more");
    let server = home.start();
    assert_eq!(home.json(&["catalogue", "show"])["version"], 2);
    assert_eq!(home.json(&["charter", "show"])["serial"], 2);
    server.end();
    // A file that is newer and believed is taken, as ever.
    fs::write(home.directory().catalogue(), catalogue(3, &[&new_a, &new_b])).unwrap();
    let server = home.start();
    assert_eq!(home.json(&["catalogue", "show"])["version"], 3);
    server.end();
}

/// Without a database there is nothing else to go by.
#[test]
fn the_first_start_needs_a_catalogue_that_is_believed() {
    let home = Home::new();
    let strangers = catalogue(1, &[&SecretKey::ed25519([71; 32]), &SecretKey::ed25519([72; 32])]);
    fs::write(home.directory().catalogue(), strangers).unwrap();
    let said = home.run(&["serve"]);
    assert!(said.code == 1 && said.err.contains("release keys"), "{}", said.err);
}
