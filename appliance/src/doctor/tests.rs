//! Readings in, codes out.

use std::net::IpAddr;

use proto::time::Millis;

use super::*;
use crate::trouble::Trouble;

const DAY: i64 = 86_400_000;
/// 2026-06-01.
const NOW: Millis = Millis(1_780_272_000_000);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn day(days: i64) -> Millis {
    Millis(NOW.0 + days * DAY)
}

/// A box at which all is well.
fn well() -> Seen {
    let servers = vec![("10.0.0.1".to_owned(), Answer::Addresses(vec![ip("198.51.100.1")]))];
    Seen {
        control_plane: "cp.test:8443".to_owned(),
        links: vec![Link { name: "eth0".into(), vlan: None, carrier: true, addresses: vec![ip("10.0.0.7")] }],
        way: Some(Way::By { hop: ip("10.0.0.1"), interface: "eth0".into(), answers: Some(true) }),
        names: Some(Names { name: "cp.test".into(), servers, invented: None }),
        reach: Some(Reach::Open),
        shown: Some(Shown::Pinned { from: day(-30), until: day(30) }),
        own: Own::Lasts { from: day(-3), until: day(4) },
        now: NOW,
        said: Some(Said::Welcome),
        ..Seen::default()
    }
}

fn blind(seen: Seen) -> Seen {
    Seen { reach: None, shown: None, said: None, ..seen }
}

fn dns(answer: Answer) -> Seen {
    let names = Names { name: "cp.test".into(), servers: vec![("10.0.0.1".into(), answer)], invented: None };
    blind(Seen { names: Some(names), ..well() })
}

fn lying() -> Names {
    let invented = Some(("10.0.0.1".to_owned(), ip("10.0.0.1")));
    let servers = vec![("10.0.0.1".to_owned(), Answer::Addresses(vec![ip("10.0.0.1")]))];
    Names { name: "cp.test".into(), servers, invented }
}

fn moved(to: &str) -> Option<Web> {
    Some(Web { status: 302, location: Some(to.to_owned()) })
}

fn foreign() -> Option<Shown> {
    Some(Shown::Foreign { issuer: "O=Clinic Firewall".into() })
}

fn links(carrier: bool, addresses: &[&str]) -> Vec<Link> {
    let addresses = addresses.iter().map(|text| ip(text)).collect();
    vec![Link { name: "eth0".into(), vlan: Some(7), carrier, addresses }]
}

#[test]
fn each_trouble_is_named_and_nothing_else_is() {
    use Trouble as T;
    let proxied = || Seen { proxy: Some("10.0.0.5:3128".into()), tunnel: Some(Tunnel::Open), ..well() };
    let closed = |reach| Seen { reach: Some(reach), shown: None, said: None, ..well() };
    let tunnel = |said| Seen { tunnel: Some(said), shown: None, said: None, ..proxied() };
    let shown = |shown| Seen { shown, said: None, ..well() };
    let cases: Vec<(&str, Seen, &[Trouble])> = vec![
        ("all is well", well(), &[]),
        ("through a proxy", proxied(), &[]),
        ("on this machine", Seen { links: vec![], way: Some(Way::Here), ..well() }, &[]),
        ("no cable", blind(Seen { links: links(false, &[]), way: Some(Way::None), ..well() }), &[T::NoLink]),
        ("no interface", blind(Seen { links: vec![], way: Some(Way::None), ..well() }), &[T::NoLink]),
        ("no DHCP", blind(Seen { links: links(true, &[]), way: Some(Way::None), ..well() }), &[T::NoAddress]),
        ("no gateway", blind(Seen { way: Some(Way::None), ..well() }), &[T::NoRoute]),
        (
            "the wrong wire, whatever follows from it",
            Seen {
                way: Some(Way::By { hop: ip("10.0.0.1"), interface: "eth0".into(), answers: Some(false) }),
                ..dns(Answer::Silent)
            },
            &[T::GatewaySilent],
        ),
        ("no server", blind(Seen { names: Some(Names::default()), ..well() }), &[T::DnsMissing]),
        ("silence", dns(Answer::Silent), &[T::DnsSilent]),
        ("NXDOMAIN", dns(Answer::Unknown), &[T::DnsUnknownName]),
        ("REFUSED", dns(Answer::Refuses("Refused".into())), &[T::DnsRefuses]),
        ("an address for everything", Seen { names: Some(lying()), ..shown(foreign()) }, &[T::DnsLies]),
        ("a sink", dns(Answer::Addresses(vec![ip("0.0.0.0")])), &[T::DnsLies]),
        ("closed", closed(Reach::Closed), &[T::PortClosed]),
        ("filtered", closed(Reach::Filtered), &[T::PortFiltered]),
        (
            "a proxy is announced",
            Seen { announced: Some("wpad.clinic.test".into()), ..closed(Reach::Filtered) },
            &[T::ProxyNeeded],
        ),
        (
            "a proxy is announced and not needed",
            Seen { announced: Some("wpad.clinic.test".into()), ..well() },
            &[],
        ),
        (
            "no proxy",
            Seen { proxy: Some("10.0.0.5:3128".into()), ..closed(Reach::Closed) },
            &[T::ProxyUnreachable],
        ),
        ("407", tunnel(Tunnel::Status(407)), &[T::ProxyAuthentication]),
        ("401", tunnel(Tunnel::Status(401)), &[T::ProxyAuthentication]),
        ("403", tunnel(Tunnel::Status(403)), &[T::ProxyRefuses]),
        ("no HTTP", tunnel(Tunnel::Nonsense("x".into())), &[T::ProxyRefuses]),
        (
            "a portal",
            Seen { web: moved("http://portal.test/login?to=cp.test"), ..closed(Reach::Closed) },
            &[T::CaptivePortal],
        ),
        (
            "a portal that lies and shows a certificate of its own",
            Seen { web: moved("https://portal.test/"), names: Some(lying()), ..shown(foreign()) },
            &[T::CaptivePortal],
        ),
        (
            "RFC 6585",
            Seen { web: Some(Web { status: 511, location: None }), ..closed(Reach::Closed) },
            &[T::CaptivePortal],
        ),
        (
            "a control plane that sends people to its own page",
            Seen { web: moved("https://cp.test/"), ..closed(Reach::Closed) },
            &[T::PortClosed],
        ),
        ("inspected", shown(foreign()), &[T::TlsInspected]),
        ("another server", shown(Some(Shown::OtherName)), &[T::NotControlPlane]),
        ("no TLS", shown(Some(Shown::NoTls)), &[T::NotControlPlane]),
        ("cut", shown(Some(Shown::Cut("reset".into()))), &[T::PortFiltered]),
        ("years back", Seen { now: day(-2000), ..well() }, &[T::ClockWrong]),
        ("years ahead", Seen { now: day(2000), ..well() }, &[T::ClockWrong]),
        ("before our own certificate", Seen { now: day(-10), ..well() }, &[T::ClockWrong]),
        ("off for a month", Seen { now: day(10), ..well() }, &[T::CertificateExpired]),
        (
            "the server says so too: once is enough",
            Seen {
                now: day(10),
                said: Some(Said::Trouble(T::CertificateExpired, "the certificate has ended".into())),
                ..well()
            },
            &[T::CertificateExpired],
        ),
        (
            "revoked",
            Seen { said: Some(Said::Trouble(T::CertificateRevoked, "revoked".into())), ..well() },
            &[T::CertificateRevoked],
        ),
        (
            "a new box",
            Seen { own: Own::None, shown: Some(Shown::NoPin), said: None, ..well() },
            &[T::NotEnrolled],
        ),
        (
            "a new box without a cable",
            Seen { own: Own::None, ..blind(Seen { links: links(false, &[]), ..well() }) },
            &[T::NoLink, T::NotEnrolled],
        ),
    ];
    for (case, seen, codes) in &cases {
        let found: Vec<Trouble> = judge(seen).into_iter().map(|finding| finding.code).collect();
        assert_eq!(found, *codes, "{case}");
    }
    for code in Trouble::ALL {
        assert!(cases.iter().any(|(.., codes)| codes.contains(code)), "no case for {code}");
        assert!(code.advice().len() > 20);
    }
}

#[test]
fn what_was_seen_is_said() {
    let report = |seen: Seen| {
        let findings = judge(&seen);
        Report { format: 1, well: findings.is_empty(), findings, seen }
    };
    let inspected = report(Seen { shown: foreign(), ..well() });
    assert!(inspected.findings[0].what.contains("O=Clinic Firewall"), "whose certificate it is");
    assert!(inspected.to_string().contains("TROUBLE tls-inspected"));
    let way = Way::By { hop: ip("10.0.0.1"), interface: "eth0".into(), answers: Some(false) };
    let wrong = report(Seen { links: links(true, &["10.0.9.7"]), way: Some(way), ..well() });
    assert!(wrong.findings[0].what.contains("10.0.9.7, tagged for VLAN 7"), "{wrong}");
    assert!(report(well()).to_string().contains("all is well"));
    let json: serde_json::Value = serde_json::to_value(&inspected).unwrap();
    assert_eq!(json["findings"][0]["code"], "tls-inspected");
}
