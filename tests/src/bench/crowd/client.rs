//! The crowd: each appliance with a connection of its own, over mTLS, as an agent makes it.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use appliance::agent::run::backoff;
use prost::Message as _;
use proto::sync::HOLD_MAX_MS;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::{
    runtime::Builder,
    sync::{Mutex, Semaphore, mpsc},
    task::JoinSet,
};

use super::{
    Ask, Figures, Kind, Place, Told,
    link::{Link, One, chance, exchange, identity, link, pause},
    listen,
    members::{Member, Members},
    say,
    simulated::{Prepared, Simulated, is_acknowledged},
};
use crate::{
    bench::report::{per_second, quantile},
    clock,
};

/// The shortest pause after an answer that moved nothing, as an agent makes it (`appliance/src/agent/run/exchange.rs`).
const BREATH: Duration = Duration::from_millis(100);
/// Handshakes under way at once.
const AT_ONCE: usize = 64;
/// How long the answer to a question for an order may be held.
const ORDER_MS: u32 = 10_000;

/// All of them.
struct Crowd {
    all: Vec<Arc<One>>,
    ours: Vec<Link>,
    echo: Vec<Link>,
    /// Where new connections go.
    at: [Option<SocketAddr>; 2],
    /// The batches that ours got last: the echo gets the same.
    sent: Vec<Arc<Vec<Prepared>>>,
    knocked: usize,
    reported: usize,
    count: Arc<[AtomicUsize; 2]>,
}

/// Does what is asked until nothing more is.
pub(super) fn run() -> Result<()> {
    let members: Members = listen()?.context("nobody said who is in the crowd")?;
    let mut crowd = Crowd::new(&members)?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    while let Some(ask) = listen()? {
        let told = runtime.block_on(crowd.answer(&ask)).with_context(|| format!("{ask:?}"))?;
        say(&told)?;
    }
    Ok(())
}

impl Crowd {
    fn new(members: &Members) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(members.authority.as_bytes())?)?;
        let roots = Arc::new(roots);
        let one = |(number, member): (usize, &Member)| {
            let (tls, source) = (identity(member, roots.clone())?, member.source);
            Ok(Arc::new(One { simulated: Mutex::new(Simulated::new(number, member)), tls, source }))
        };
        Ok(Self {
            all: members.all.iter().enumerate().map(one).collect::<Result<_>>()?,
            ours: Vec::new(),
            echo: Vec::new(),
            at: [None, None],
            sent: Vec::new(),
            knocked: 0,
            reported: 0,
            count: Arc::default(),
        })
    }

    async fn answer(&mut self, ask: &Ask) -> Result<Told> {
        match *ask {
            Ask::Open(place, address) => self.open(place, address).await,
            Ask::Turn(place, kind, each) => self.turn(place, kind, each).await,
            Ask::Knock(place, count) => self.knock(place, count).await,
            Ask::Orders(place, count) => self.orders(place, count).await,
            Ask::Rhythm(address, spread_ms) => self.rhythm(address, spread_ms).await,
            Ask::Count => Ok(self.counted()),
            Ask::Storm(each) => self.storm(each).await,
        }
    }

    fn links(&self, place: Place) -> &[Link] {
        match place {
            Place::Ours => &self.ours,
            Place::Echo => &self.echo,
        }
    }

    async fn open(&mut self, place: Place, address: SocketAddr) -> Result<Told> {
        self.at[place as usize] = Some(address);
        let links: Vec<Link> = self.all.iter().map(|one| link(one, address)).collect::<Result<_>>()?;
        let first = self.all.iter().cloned().zip(links.iter().cloned());
        let sizes = at_once(
            AT_ONCE,
            first.map(|(one, link)| async move {
                match place {
                    Place::Ours => greet(&one, &link).await,
                    Place::Echo => Ok(exchange(&one, &link, &Prepared::default(), 0).await?.encoded_len()),
                }
            }),
        );
        let sizes = sizes.await?;
        match place {
            Place::Ours => self.ours = links,
            Place::Echo => self.echo = links,
        }
        Ok(Told::Size(sizes.last().copied().unwrap_or_default()))
    }

    async fn turn(&mut self, place: Place, kind: Kind, each: usize) -> Result<Told> {
        if place == Place::Ours {
            self.sent.clear();
            for one in &self.all {
                let mut one = one.simulated.lock().await;
                let batches = (0..each).map(|_| one.prepare(kind)).collect::<Result<_>>()?;
                self.sent.push(Arc::new(batches));
            }
        }
        let members = self.all.iter().cloned().zip(self.links(place).iter().cloned());
        let all = members.zip(self.sent.iter().cloned()).map(|((one, link), batches)| async move {
            let mut times = Vec::with_capacity(batches.len());
            for said in batches.iter() {
                let start = clock::instant();
                talk(place, &one, &link, said, 0).await?;
                times.push(clock::since(start).as_secs_f64() * 1e3);
            }
            Ok(times)
        });
        let start = clock::instant();
        let times = at_once(Semaphore::MAX_PERMITS, all).await?.concat();
        Ok(Told::Figures(figures(times, clock::since(start))))
    }

    async fn knock(&mut self, place: Place, count: usize) -> Result<Told> {
        let address = self.at[place as usize].context("nobody was asked to open anything")?;
        let first = self.knocked;
        self.knocked += count;
        let all = (first..first + count).map(|number| {
            let one = self.all[number % self.all.len()].clone();
            async move {
                let start = clock::instant();
                talk(place, &one, &link(&one, address)?, &Prepared::default(), 0).await?;
                Ok(clock::since(start).as_secs_f64() * 1e3)
            }
        });
        let start = clock::instant();
        let times = at_once(AT_ONCE, all).await?;
        Ok(Told::Figures(figures(times, clock::since(start))))
    }

    async fn orders(&mut self, place: Place, count: usize) -> Result<Told> {
        if place == Place::Ours {
            self.sent.clear();
            for one in self.all.iter().skip(self.reported).take(count) {
                self.sent.push(Arc::new(vec![one.simulated.lock().await.fault()?]));
            }
        }
        let mut times = Vec::new();
        for (number, batches) in (self.reported..).zip(&self.sent) {
            let (one, link) = (&self.all[number], &self.links(place)[number]);
            let mut said = batches[0].clone();
            let start = clock::instant();
            let mut hold_ms = 0;
            while talk(place, one, link, &said, hold_ms).await? == 0 && place == Place::Ours {
                (said, hold_ms) = (Prepared::default(), ORDER_MS);
            }
            times.push(clock::since(start).as_secs_f64() * 1e3);
        }
        if place == Place::Echo {
            self.reported += count;
        }
        Ok(Told::Times(times))
    }

    async fn rhythm(&mut self, address: SocketAddr, spread_ms: u64) -> Result<Told> {
        let (spread, many) = (Duration::from_millis(spread_ms), u32::try_from(self.all.len())?);
        for (number, one) in (0_u32..).zip(self.all.iter().cloned()) {
            let (link, count) = (link(&one, address)?, self.count.clone());
            tokio::spawn(async move {
                pause(spread * number / many).await;
                let mut failures = 0;
                let mut said = one.simulated.lock().await.greeting().unwrap_or_default();
                loop {
                    let hold_ms = if said.batch.is_some() { 0 } else { HOLD_MAX_MS };
                    let taken = talk(Place::Ours, &one, &link, &said, hold_ms).await;
                    let (of, wait) = match taken {
                        Ok(_) => {
                            (failures, said) = (0, Prepared::default());
                            (0, BREATH)
                        }
                        Err(error) => {
                            eprintln!("one of the crowd: {error:#}");
                            failures += 1;
                            (1, backoff(failures, chance()))
                        }
                    };
                    count[of].fetch_add(1, Ordering::Relaxed);
                    pause(wait).await;
                }
            });
        }
        pause(spread).await;
        Ok(self.counted())
    }

    fn counted(&self) -> Told {
        let [answered, failed] = [0, 1].map(|of| self.count[of].load(Ordering::Relaxed));
        Told::Count(answered, failed)
    }

    async fn storm(&mut self, each: usize) -> Result<Told> {
        let (acknowledged, mut moments) = mpsc::unbounded_channel();
        let mut all = JoinSet::new();
        for (one, link) in self.all.iter().cloned().zip(self.ours.iter().cloned()) {
            let batches: Vec<Prepared> = {
                let mut one = one.simulated.lock().await;
                (0..each).map(|_| one.prepare(Kind::Both)).collect::<Result<_>>()?
            };
            let acknowledged = acknowledged.clone();
            all.spawn(async move {
                for said in batches {
                    let mut failures = 0;
                    // As an agent does: the same bytes again, after a pause that grows and is drawn anew.
                    let answer = loop {
                        match exchange(&one, &link, &said, 0).await {
                            Ok(answer) => break answer,
                            Err(_) => {
                                failures += 1;
                                pause(backoff(failures, chance())).await;
                            }
                        }
                    };
                    one.simulated.lock().await.absorb(&said, answer)?;
                    acknowledged.send(clock::now().0)?;
                }
                anyhow::Ok(())
            });
        }
        drop(acknowledged);
        let (early, mut times) = (self.all.len() * each / 10, Vec::new());
        while let Some(moment) = moments.recv().await {
            times.push(moment);
            if times.len() == early.max(1) {
                say(&Told::Early)?;
            }
        }
        while let Some(done) = all.join_next().await {
            done??;
        }
        Ok(Told::Moments(times))
    }
}

/// The first two exchanges: the heartbeat, and what standing orders came of it. The size of the second answer.
async fn greet(one: &One, link: &Link) -> Result<usize> {
    let said = one.simulated.lock().await.greeting()?;
    talk(Place::Ours, one, link, &said, 0).await?;
    Ok(exchange(one, link, &Prepared::default(), 0).await?.encoded_len())
}

/// One exchange, taken in; gives how many orders came.
async fn talk(place: Place, one: &One, link: &Link, said: &Prepared, hold_ms: u32) -> Result<usize> {
    let answer = exchange(one, link, said, hold_ms).await?;
    match place {
        Place::Ours => Ok(one.simulated.lock().await.absorb(said, answer)?.len()),
        Place::Echo => is_acknowledged(said, &answer).map(|()| 0),
    }
}

/// Does all of it, so much at once.
async fn at_once<T: Send + 'static>(
    most: usize,
    all: impl Iterator<Item = impl Future<Output = Result<T>> + Send + 'static>,
) -> Result<Vec<T>> {
    let places = Arc::new(Semaphore::new(most));
    let mut under_way = JoinSet::new();
    for one in all {
        let places = places.clone();
        under_way.spawn(async move {
            let _place = places.acquire().await?;
            one.await
        });
    }
    let mut done = Vec::new();
    while let Some(one) = under_way.join_next().await {
        done.push(one??);
    }
    Ok(done)
}

fn figures(mut times: Vec<f64>, took: Duration) -> Figures {
    Figures { rate: per_second(times.len(), took), p99: quantile(&mut times, 0.99) }
}
