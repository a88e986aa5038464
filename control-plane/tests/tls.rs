//! Real TLS handshakes over loopback: who gets in as an appliance, and who does not.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "common/certificates.rs"]
mod certificates;
#[path = "common/keyring.rs"]
mod keyring;
#[path = "common/loopback.rs"]
mod loopback;

use std::{sync::Arc, time::Duration};

use certificates::{DAY, appliance_id, authority, now, openssl, request};
use control_plane::{authorities::Authorities, ca::CertificateAuthority, serve::listener::Limits};
use keyring::Clock;
use loopback::{Client, Loopback, Shown, appliances, causes, under};
use proto::time::Millis;
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType, date_time_ymd,
};

struct World {
    authority: Arc<CertificateAuthority>,
    clock: Clock,
    loopback: Loopback,
}

impl World {
    async fn new() -> Self {
        let (authority, clock) = (Arc::new(authority()), Clock::at(now()));
        let loopback = appliances(&authority, &clock, Limits::default()).await;
        Self { authority, clock, loopback }
    }

    fn client(&self, shown: Option<Shown>) -> Client {
        Client::new(&self.loopback, &self.authority, &self.clock, shown)
    }

    async fn refuses(&self, shown: Shown, because: &str) {
        let error = self.client(Some(shown)).ask().await.expect_err("must be refused");
        let causes = causes(error.as_ref());
        assert!(causes.contains(because), "{causes} does not say {because}");
    }
}

/// A certificate that `authority` issues to a fresh key at `at`.
fn issued(authority: &CertificateAuthority, at: Millis) -> Shown {
    let key = KeyPair::generate().unwrap();
    let certificate = authority.issue_appliance(&request(&key), &appliance_id(), at, [9; 16]).unwrap();
    (certificate, key.serialize_der())
}

/// A certificate that our authority's key signed, but with other content than it ever issues.
fn signed(authority: &CertificateAuthority, change: impl FnOnce(&mut CertificateParams)) -> Shown {
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::from_ca_cert_pem(
        authority.certificate_pem(),
        KeyPair::from_pem(&authority.key_pem()).unwrap(),
    )
    .unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = date_time_ymd(2026, 11, 20);
    params.not_after = date_time_ymd(2026, 11, 27);
    params.subject_alt_names = vec![uri(&appliance_id().to_string())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    (params.signed_by(&key, &issuer).unwrap().der().to_vec(), key.serialize_der())
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

#[tokio::test]
async fn without_a_certificate_one_may_knock() {
    let world = World::new().await;
    assert_eq!(world.client(None).ask().await.unwrap(), "200 none 0");
    let late = world.client(None);
    world.loopback.end().await;
    late.handshake().await.expect_err("nobody listens any more");
}

#[tokio::test]
async fn a_valid_certificate_is_handed_on() {
    let world = World::new().await;
    let shown = issued(&world.authority, now());
    assert_eq!(world.client(Some(shown)).ask().await.unwrap(), format!("200 {} 0", appliance_id()));
    // The one that `signed` makes is as good, so the refusals below are for what they change.
    let shown = signed(&world.authority, |_| {});
    assert_eq!(world.client(Some(shown)).ask().await.unwrap(), format!("200 {} 0", appliance_id()));
}

#[tokio::test]
async fn an_expired_one_may_come_for_thirty_days() {
    let world = World::new().await;
    let expired_for = |days: u32| issued(&world.authority, now().minus(DAY * (7 + days)));
    for days in [1, 29] {
        let answer = world.client(Some(expired_for(days))).ask().await.unwrap();
        assert_eq!(answer, format!("200 {} 0", appliance_id()), "{days} days");
    }
    world.refuses(expired_for(31), "CertificateExpired").await;
}

#[tokio::test]
async fn one_from_the_future_is_refused() {
    let world = World::new().await;
    world.refuses(issued(&world.authority, now().plus(DAY)), "CertificateExpired").await;
}

#[tokio::test]
async fn a_foreign_authority_does_not_count_however_it_is_called() {
    let world = World::new().await;
    let foreign = authority();
    world.refuses(issued(&foreign, now()), "DecryptError").await;
    // Nor does its expired certificate: the grace is for ours.
    world.refuses(issued(&foreign, now().minus(8 * DAY)), "DecryptError").await;
}

#[tokio::test]
async fn names_must_be_exactly_one_appliance() {
    let world = World::new().await;
    let two = |p: &mut CertificateParams| p.subject_alt_names.push(uri("spiffe://msp.example/other"));
    world.refuses(signed(&world.authority, two), "CertificateUnknown").await;
    world.refuses(signed(&world.authority, |p| p.subject_alt_names.clear()), "CertificateUnknown").await;
    let other = |p: &mut CertificateParams| p.subject_alt_names = vec![uri("https://msp.example/")];
    world.refuses(signed(&world.authority, other), "CertificateUnknown").await;
}

#[tokio::test]
async fn a_server_certificate_is_no_appliance() {
    let world = World::new().await;
    let server =
        |p: &mut CertificateParams| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    world.refuses(signed(&world.authority, server), "UnsupportedCertificate").await;
}

#[tokio::test]
async fn the_certificate_alone_without_its_key_is_nothing() {
    let world = World::new().await;
    let (certificate, _) = issued(&world.authority, now());
    let (_, other_key) = issued(&world.authority, now());
    let mut client = world.client(None);
    // Built by hand, as a client library would refuse to.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(other_key.try_into().unwrap()).unwrap();
    let stolen = rustls::sign::CertifiedKey::new(vec![certificate.into()], key);
    client.config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(stolen));
    let error = client.ask().await.expect_err("must be refused");
    assert!(causes(error.as_ref()).contains("DecryptError"), "{}", causes(error.as_ref()));
}

#[tokio::test]
async fn tls_1_2_is_not_spoken() {
    let world = World::new().await;
    let old = &[&rustls::version::TLS12];
    let client = Client::speaking(old, &world.loopback, &world.authority, &world.clock, None);
    let error = client.handshake().await.expect_err("must be refused");
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");

    // OpenSSL sees the same: 1.3 works, 1.2 does not.
    let address = world.loopback.address.to_string();
    for (version, good) in [("-tls1_3", true), ("-tls1_2", false)] {
        let address = address.clone();
        let said = tokio::task::spawn_blocking(move || {
            openssl(
                std::path::Path::new("/"),
                &["s_client", "-connect", &address, version, "-alpn", "h2", "-brief"],
            )
        });
        let (_, said) = said.await.unwrap();
        assert_eq!(said.contains("CONNECTION ESTABLISHED"), good, "{version}: {said}");
    }
}

#[tokio::test]
async fn no_session_is_resumed() {
    let world = World::new().await;
    let client = world.client(Some(issued(&world.authority, now())));
    for _ in 0..2 {
        client.ask().await.unwrap();
        let again = client.handshake().await.unwrap();
        assert_eq!(again.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[tokio::test]
async fn the_server_certificate_is_renewed_daily_and_never_lapses() {
    let world = World::new().await;
    let served = async || {
        let stream = world.client(None).handshake().await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let first = served().await;
    world.clock.set(now().plus(Duration::from_secs(23 * 3600)));
    assert_eq!(served().await, first);
    world.clock.set(now().plus(Duration::from_secs(25 * 3600)));
    let second = served().await;
    assert_ne!(second, first);
    // Long after the first has ended, clients that check still get in.
    world.clock.set(now().plus(40 * DAY));
    assert_ne!(served().await, second);
    // Set back by a year: one that begins in the future would be refused.
    world.clock.set(now());
    served().await;
}

/// The charter names one, then both, then the other; who was away while it named both still finds the server it knows.
#[tokio::test]
async fn an_authority_follows_another_without_a_restart() {
    let clock = Clock::at(now());
    let made = |seed| CertificateAuthority::create("msp.example", now(), [seed; 16]).unwrap();
    let [old, new] = [made(1), made(2)].map(Arc::new);
    let [old_pem, new_pem] = [&old, &new].map(|one| one.certificate_pem().to_owned());
    let authorities =
        Authorities::of(vec![new.clone(), old.clone()], std::slice::from_ref(&old_pem)).unwrap();
    let loopback = under(&authorities, &clock, Limits::default()).await;
    let enters = async |trusts: &CertificateAuthority, by: &CertificateAuthority| {
        let client = Client::new(&loopback, trusts, &clock, Some(issued(by, now())));
        client.ask().await.map(drop).map_err(|error| causes(error.as_ref()))
    };
    enters(&old, &old).await.unwrap();
    let refused = enters(&old, &new).await.unwrap_err();
    assert!(refused.contains("UnknownCA"), "nobody has named it: {refused}");

    authorities.go_by(&[old_pem, new_pem.clone()]).unwrap();
    enters(&old, &old).await.unwrap();
    enters(&old, &new).await.unwrap();
    assert!(
        enters(&new, &new).await.unwrap_err().contains("UnknownIssuer"),
        "the server shows what all know"
    );

    authorities.go_by(&[new_pem]).unwrap();
    enters(&new, &new).await.unwrap();
    let refused = enters(&new, &old).await.unwrap_err();
    assert!(refused.contains("UnknownCA"), "it was left out: {refused}");
    assert!(enters(&old, &new).await.unwrap_err().contains("UnknownIssuer"));
    let stranger = made(3);
    let refused = authorities.go_by(&[stranger.certificate_pem().to_owned()]).unwrap_err().to_string();
    assert!(refused.contains(&new.fingerprint().to_string()), "{refused}");
    enters(&new, &new).await.unwrap();
    loopback.end().await;
}
