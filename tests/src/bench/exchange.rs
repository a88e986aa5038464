//! What an exchange, a connection and an order cost, by a thousand appliances in another process, against a bare tonic
//! service behind the same TLS.
//!
//! The rule: all share this machine's cores, the crowd as well; so what is compared is what a whole exchange costs there,
//! its other end included. Everything that is acknowledged is counted in the database at the end.

use std::{cell::RefCell, net::SocketAddr, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    Effort,
    crowd::{Ask, Beside, EchoSetup, Figures, Kind, Part, Place, Told, enrol},
    report::{Row, in_turn, quantile},
    stage,
};
use crate::rig::Provider;

/// For exchanges and connections.
const GOAL: f64 = 0.6;
/// Planned, cleared by all guardrails, signed, and durable in the vault and the database before it leaves; theirs is one commit.
const ORDER_GOAL: f64 = 0.1;

const ECHO: &str = "a bare tonic service of the same contract in a process of its own, with the same TLS settings and clients, \
     that answers as many bytes";

pub(super) fn run(work: &Path, effort: &Effort) -> Result<Vec<Row>> {
    let mut provider = stage::installed(work)?;
    let members = enrol(&provider.dir, effort.crowd)?;
    provider.start()?;
    let mut crowd = Beside::start(Part::Crowd, &members)?;
    let Told::Size(answer) = crowd.ask(&Ask::Open(Place::Ours, provider.appliances))? else {
        bail!("the crowd did not come in")
    };
    let (dir, database) = (provider.dir.clone(), work.join("echo.db"));
    let mut echo = Beside::start(Part::Echo, &EchoSetup { dir, database, answer })?;
    let address: SocketAddr = echo.hear()?;
    crowd.ask(&Ask::Open(Place::Echo, address))?;

    let mut rows = Vec::new();
    for kind in [Kind::Nothing, Kind::Events, Kind::Evidence] {
        rows.push(exchanges(&mut crowd, kind, effort)?);
    }
    rows.push(connections(&mut crowd, effort)?);
    rows.extend(orders(&mut crowd, effort)?);
    count(&provider, effort)?;
    provider.stop()?;
    Ok(rows)
}

fn exchanges(crowd: &mut Beside, kind: Kind, effort: &Effort) -> Result<Row> {
    let (says, does) = match kind {
        Kind::Nothing => ("with nothing to say", ""),
        Kind::Events => ("with a batch of ten events", "; one commit (WAL, FULL, grouped) of the same rows"),
        Kind::Evidence | Kind::Both => (
            "with a batch of one evidence record, its proof in the answer",
            "; one commit (WAL, FULL, grouped) of the same bytes and one verification",
        ),
    };
    let turn = |place| Ask::Turn(place, kind, effort.exchanges);
    let (rates, [ours, theirs]) = in_turns(crowd, effort, turn)?;
    let what = format!(
        "exchanges of {} appliances, each on its own connection, one after the other, {says}; p99 {ours:.1} ms, of the echo \
         {theirs:.1} ms",
        effort.crowd
    );
    Ok(Row::of_rates(what, "exchanges/s", &format!("{ECHO}{does}"), rates, GOAL))
}

fn connections(crowd: &mut Beside, effort: &Effort) -> Result<Row> {
    let turn = |place| Ask::Knock(place, effort.connections);
    let (rates, [ours, theirs]) = in_turns(crowd, effort, turn)?;
    let what = format!(
        "new connections, 64 under way at once: TCP, TLS with both certificates, one exchange with nothing to say; p99 \
         {ours:.1} ms, of the echo {theirs:.1} ms"
    );
    Ok(Row::of_rates(what, "connections/s", ECHO, rates, GOAL))
}

/// The rates of ours and theirs, and the 99th percentiles: of each the median.
fn in_turns(
    crowd: &mut Beside,
    effort: &Effort,
    turn: impl Fn(Place) -> Ask,
) -> Result<((f64, f64), [f64; 2])> {
    let (crowd, mut far) = (RefCell::new(crowd), [Vec::new(), Vec::new()]);
    let [ours, theirs] = &mut far;
    let run = |place, far: &mut Vec<f64>| {
        let Figures { rate, p99 } = crowd.borrow_mut().figures(&turn(place))?;
        far.push(p99);
        anyhow::Ok(rate)
    };
    let rates = in_turn(effort.rounds, || Ok((run(Place::Ours, ours)?, ())), |()| run(Place::Echo, theirs))?;
    Ok((rates, far.map(|mut all| quantile(&mut all, 0.5))))
}

/// A fault that a runbook is for, to the signed order.
fn orders(crowd: &mut Beside, effort: &Effort) -> Result<[Row; 2]> {
    let each = effort.orders.div_ceil(effort.rounds);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        for (place, times) in [(Place::Ours, &mut ours), (Place::Echo, &mut theirs)] {
            match crowd.ask(&Ask::Orders(place, each))? {
                Told::Times(more) => times.extend(more),
                other => bail!("no orders, but {other:?}"),
            }
        }
    }
    ensure!(
        ours.len() == theirs.len() && !ours.is_empty(),
        "{} orders, {} answers",
        ours.len(),
        theirs.len()
    );
    let mut row = |which: &str, share| {
        let what = format!(
            "{which} of {} incidents: an appliance sends the event (its heartbeat and watch list are known) until it has the \
             signed order, one at a time",
            ours.len()
        );
        let against = format!("{ECHO}; one commit (WAL, FULL) of the same event");
        let figures = (quantile(&mut ours, share), quantile(&mut theirs, share));
        Row::of_times(what, "ms", &against, figures, ORDER_GOAL)
    };
    Ok([row("median", 0.5), row("p99", 0.99)])
}

/// Nothing is lost and nothing is doubled.
fn count(provider: &Provider, effort: &Effort) -> Result<()> {
    let turns = effort.rounds * effort.exchanges * effort.crowd;
    let faults = effort.orders.div_ceil(effort.rounds) * effort.rounds;
    kept(provider, turns * Kind::Events.events() + faults, turns + effort.crowd)
}

/// Whether the database has so many events and so many records of appliances.
pub(super) fn kept(provider: &Provider, events: usize, evidence: usize) -> Result<()> {
    let db = provider.database()?;
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).context("cannot count");
    let found = (
        count("SELECT count(*) FROM event")?,
        count("SELECT count(DISTINCT sha256) FROM evidence WHERE appliance <> ''")?,
    );
    let sent = (i64::try_from(events)?, i64::try_from(evidence)?);
    ensure!(found == sent, "{sent:?} events and records were acknowledged, the database has {found:?}");
    Ok(())
}
