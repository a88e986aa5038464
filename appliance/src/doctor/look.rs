//! The look itself: from the cable outwards, each thing once, and nothing behind what is not there.
//!
//! The rule: nothing is sent that the agent would not send, but one DNS question for a name that cannot exist and one
//! plain request for a page at the control plane's address; and nothing of it is believed.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use proto::{pb, time::Millis};
use rustls::{
    CertificateError, Error, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::{runtime::Builder, time::timeout};
use x509_parser::parse_x509_certificate;

use super::{
    machine,
    seen::{Answer, Names, Own, Reach, Said, Seen, Shown, Tunnel, Way, Web},
};
use crate::{
    agent::{
        authorities::Authorities,
        chain,
        credentials::{self, CredentialError, Folder},
        link::{GrpcLink, Identity, Link as _, Pins, Proxy, ProxyError},
    },
    config::Config,
    probe::{Deadline, dns, http, tcp, tls},
    world::{World, draw},
};

/// How long one conversation may take: a name, a connection, a certificate.
const WITHIN: Duration = Duration::from_secs(5);
/// How long the control plane may take to say whether it knows us.
const ADMITTED_WITHIN: Duration = Duration::from_secs(20);
const HTTP: u16 = 80;
/// The name under which a network announces its proxy (WPAD).
const ANNOUNCED: &str = "wpad";

/// Looks at everything there is to look at.
pub(super) fn look(config: &Config, world: &World) -> Seen {
    let address = config.control_plane.address.trim_start_matches("https://");
    let proxy = Proxy::of(&config.control_plane, config.agent.user.as_ref());
    let mut seen = Seen {
        control_plane: address.to_owned(),
        proxy: proxy.as_ref().map(|proxy| format!("{}:{}", proxy.host, proxy.port)),
        links: machine::links(),
        own: own(config),
        now: world.clock.wall(),
        ..Seen::default()
    };
    let (first, port) = match (&proxy, address.rsplit_once(':')) {
        (Some(proxy), _) => (proxy.host.clone(), proxy.port),
        (None, Some((host, port))) => (bare(host).to_owned(), port.parse().unwrap_or_default()),
        (None, None) => return seen,
    };
    let Some(target) = target(&first, &mut seen, world) else { return seen };
    seen.way = Some(machine::way(target, false, &*world.clock));
    if seen.way == Some(Way::None) {
        return seen;
    }
    let place = SocketAddr::from((target, port)).to_string();
    let reach = reach(&place, world);
    seen.reach = Some(reach);
    if reach == Reach::Open {
        match &proxy {
            None => seen.shown = Some(shown(&place, None, config, world)),
            Some(proxy) => {
                let (said, stream) = tunnel(&place, proxy, address, world);
                seen.shown = stream.then(|| shown(&place, Some((proxy, address)), config, world));
                seen.tunnel = Some(said);
            }
        }
    } else {
        // A neighbour that was known may be gone: only its silence now tells a wrong wire from a closed port.
        seen.way = Some(machine::way(target, true, &*world.clock));
    }
    if proxy.is_none() && !matches!(seen.shown, Some(Shown::Pinned { .. } | Shown::NoPin)) {
        seen.web = web(target, &seen.control_plane, world);
        seen.announced = announced(world);
    }
    if matches!((&seen.shown, &seen.own), (Some(Shown::Pinned { .. }), Own::Lasts { .. })) {
        seen.said = said(config, proxy, world);
    }
    seen
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

/// The address of whom we talk to first; what DNS says of it.
fn target(host: &str, seen: &mut Seen, world: &World) -> Option<IpAddr> {
    if let Ok(address) = host.parse() {
        return Some(address);
    }
    if let Some(address) = machine::hosts(host).first() {
        return Some(*address);
    }
    let servers = machine::resolver().servers;
    let mut names = Names { name: host.to_owned(), ..Names::default() };
    for server in &servers {
        names.servers.push((server.to_string(), answer(*server, host, world)));
    }
    // The way to a server that says nothing is looked at instead of the way to an address that we do not have.
    let silent = names.servers.iter().all(|(_, answer)| *answer == Answer::Silent);
    if let Some(server) = servers.first().filter(|_| silent) {
        seen.way = Some(machine::way(*server, true, &*world.clock));
    }
    let random = format!("{}.invalid", hex::encode(draw::<8>(world.entropy.as_ref())));
    names.invented = names.servers.iter().zip(&servers).find_map(|((name, said), server)| {
        let Answer::Addresses(_) = said else { return None };
        match answer(*server, &random, world) {
            Answer::Addresses(made_up) => Some((name.clone(), *made_up.first()?)),
            _ => None,
        }
    });
    let known = names.servers.iter().find_map(|(_, answer)| match answer {
        Answer::Addresses(known) => known.first().copied(),
        _ => None,
    });
    seen.names = Some(names);
    known
}

fn answer(server: IpAddr, name: &str, world: &World) -> Answer {
    let deadline = Deadline::new(&*world.clock, WITHIN);
    match dns::ask(&SocketAddr::from((server, 53)).to_string(), name, &deadline, &*world.entropy) {
        Ok(dns::Reply::Addresses(found)) => Answer::Addresses(found),
        Ok(dns::Reply::Unknown) => Answer::Unknown,
        Ok(dns::Reply::Refuses(code)) => Answer::Refuses(format!("{code:?}")),
        Err(_) => Answer::Silent,
    }
}

fn announced(world: &World) -> Option<String> {
    let resolver = machine::resolver();
    let names = resolver.search.iter().map(|domain| format!("{ANNOUNCED}.{domain}"));
    let known = |name: &String| {
        let said = resolver.servers.first().map(|server| answer(*server, name, world));
        matches!(said, Some(Answer::Addresses(_)))
    };
    names.into_iter().find(known)
}

fn reach(place: &str, world: &World) -> Reach {
    match tcp::connect(place, &Deadline::new(&*world.clock, WITHIN)) {
        Ok(_) => Reach::Open,
        Err(problem) if machine::is_refusal(&problem) => Reach::Closed,
        Err(_) => Reach::Filtered,
    }
}

/// What a proxy says, and whether it connects us.
fn tunnel(place: &str, proxy: &Proxy, to: &str, world: &World) -> (Tunnel, bool) {
    let deadline = Deadline::new(&*world.clock, WITHIN);
    let said = match tcp::connect(place, &deadline) {
        Ok(mut stream) => connect(&mut stream, proxy, to),
        Err(problem) => Tunnel::Nonsense(problem.to_string()),
    };
    let open = said == Tunnel::Open;
    (said, open)
}

fn connect(stream: &mut (impl Read + Write), proxy: &Proxy, to: &str) -> Tunnel {
    let request = match proxy.request(to) {
        Ok(request) => request,
        Err(error @ (ProxyError::Credentials(_) | ProxyError::Form { .. })) => {
            return Tunnel::Credentials(chain(&error));
        }
        Err(error) => return Tunnel::Nonsense(chain(&error)),
    };
    let said = stream.write_all(request.as_bytes()).and_then(|()| http::head(stream));
    match said {
        Ok(head) if (200..300).contains(&head.status) => Tunnel::Open,
        Ok(head) => Tunnel::Status(head.status),
        Err(problem) => Tunnel::Nonsense(problem.to_string()),
    }
}

fn web(target: IpAddr, control_plane: &str, world: &World) -> Option<Web> {
    let deadline = Deadline::new(&*world.clock, WITHIN);
    let host = control_plane.rsplit_once(':').map_or(control_plane, |(host, _)| host);
    let mut stream = tcp::connect(&SocketAddr::from((target, HTTP)).to_string(), &deadline).ok()?;
    let head = http::ask(&mut stream, host, "/").ok()?;
    Some(Web { status: head.status, location: head.location })
}

/// Which certificate the other side shows, directly or through a proxy.
fn shown(place: &str, through: Option<(&Proxy, &str)>, config: &Config, world: &World) -> Shown {
    let deadline = Deadline::new(&*world.clock, WITHIN);
    let address = config.control_plane.address.trim_start_matches("https://");
    let host = bare(address.rsplit_once(':').map_or(address, |(host, _)| host)).to_owned();
    let Ok(name) = ServerName::try_from(host) else { return Shown::NoTls };
    let chain = tcp::connect(place, &deadline).and_then(|mut stream| {
        if let Some((proxy, to)) = through
            && connect(&mut stream, proxy, to) != Tunnel::Open
        {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        tls::chain(stream, name.clone())
    });
    match chain {
        Ok(chain) => judge(&chain, &name, config),
        Err(problem) => match problem.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidMessage(_)) => Shown::NoTls,
            _ => Shown::Cut(problem.to_string()),
        },
    }
}

fn judge(chain: &[CertificateDer<'static>], name: &ServerName<'_>, config: &Config) -> Shown {
    let Some((own, others)) = chain.split_first() else { return Shown::NoTls };
    let Ok((_, parsed)) = parse_x509_certificate(own) else { return Shown::NoTls };
    let validity = parsed.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(Authorities::of(config).certificates().unwrap_or_default());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build() else {
        return Shown::NoPin;
    };
    // Whether it is in time is judged apart: a wrong clock must not look like a wrong authority.
    let at = UnixTime::since_unix_epoch(Duration::from_secs(from.try_into().unwrap_or_default()));
    match verifier.verify_server_cert(own, others, name, &[], at) {
        Ok(_) => Shown::Pinned { from: Millis(from * 1000), until: Millis(until * 1000) },
        Err(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Shown::OtherName,
        Err(_) => {
            let issuer = chain.last().and_then(|last| parse_x509_certificate(last).ok());
            let issuer = issuer.map(|(_, last)| last.issuer().to_string()).unwrap_or_default();
            Shown::Foreign {
                issuer: if issuer.is_empty() { "nobody who gives a name".to_owned() } else { issuer },
            }
        }
    }
}

fn own(config: &Config) -> Own {
    match credentials::certificate(&Folder::at(config.paths.agent())) {
        Ok((_, facts)) => Own::Lasts { from: facts.not_before, until: facts.not_after },
        Err(CredentialError::NotEnrolled { .. }) => Own::None,
        Err(error) => Own::Unreadable(chain(&error)),
    }
}

/// What the control plane says to our certificate: an exchange without content is refused for its form by a control
/// plane that lets us in, and for our certificate by one that does not.
fn said(config: &Config, proxy: Option<Proxy>, world: &World) -> Option<Said> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let pins = Pins {
        authorities: Authorities::of(config),
        identity: Identity::Folder(Folder::at(config.paths.agent())),
        clock: Arc::clone(&world.clock),
    };
    let answer = runtime.block_on(async {
        let mut link = GrpcLink::new(&config.control_plane.address, pins)?.through(proxy);
        let sync = link.sync(pb::SyncRequest::default());
        timeout(ADMITTED_WITHIN, sync).await.unwrap_or_else(|_| Ok(pb::SyncResponse::default()))
    });
    Some(match answer {
        Ok(_) => Said::Welcome,
        Err(error) => match error.trouble() {
            Some(code) => Said::Trouble(code, chain(&error)),
            None if error.is_answer() => Said::Welcome,
            None => Said::Other(chain(&error)),
        },
    })
}
