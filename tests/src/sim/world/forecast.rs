//! Misfortunes: which, when, and how they end. All of it follows from the seed before the first event.
//!
//! Each run leaves some kinds out and does others more often, so that fifty runs are not fifty times the same mixture.

use std::time::Duration;

use super::STORM;
use crate::sim::{chance::Chance, host::Mood, machine::off, network::Quality, organization::BOXES};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Something that can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Process {
    Agent(usize),
    Executor(usize),
    Server,
}

/// Something that goes wrong, or is mended.
#[derive(Debug, Clone)]
pub(in crate::sim) enum Weather {
    /// kill -9, between two events.
    Kill(Process),
    /// kill -9, after so many lasting acts more.
    KillAfter(Process, u64),
    /// systemd starts it again.
    Restart(Process),
    /// A power cut, and its end.
    Power(usize, bool),
    /// The line of a box is cut, or whole again.
    Line(usize, bool),
    /// The network is like this from now on.
    Network(Quality),
    /// Something watched goes wrong.
    Fault(usize, usize),
    /// It mends itself.
    Vanish(usize, usize),
    /// No repair of it works any more.
    Break(usize, usize),
    /// Repairs are like this from now on.
    Repairs(usize, Mood),
    /// Somebody holds all orders at the box, or lets them go.
    Hold(usize, bool),
    /// The control plane's vault is out of reach, or there again.
    Vault(bool),
    /// A process's disk is full, or has room again.
    Full(Process, bool),
    /// The wall clock of a box jumps.
    Jump(usize, i64),
    /// An operator brings a new charter.
    Charter,
    /// An agent that somebody owns hands over an order: another box's, or an old one.
    Stray(usize, usize),
    /// The control plane's database is backed up.
    Backup,
    /// It is lost, and the backup takes its place.
    Restore,
    /// The storm is over.
    Calm,
}

/// The kinds of misfortune, with how often each happens where it happens.
const KINDS: [(Kind, u64); 15] = [
    (Kind::Fault, 30),
    (Kind::Kill, 14),
    (Kind::KillAfter, 20),
    (Kind::Power, 5),
    (Kind::Line, 6),
    (Kind::Network, 4),
    (Kind::Break, 1),
    (Kind::Repairs, 5),
    (Kind::Hold, 2),
    (Kind::Vault, 2),
    (Kind::Jump, 3),
    (Kind::Charter, 1),
    (Kind::Stray, 4),
    (Kind::Restore, 1),
    (Kind::Full, 4),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fault,
    Kill,
    KillAfter,
    Power,
    Line,
    Network,
    Break,
    Repairs,
    Hold,
    Vault,
    Jump,
    Charter,
    Stray,
    Restore,
    Full,
}

/// Everything that will go wrong in a run.
pub(super) fn forecast(chance: &mut Chance) -> Vec<(Duration, Weather)> {
    let mut kinds = Vec::new();
    for (kind, weight) in KINDS {
        // Faults are what the rest is about.
        let weight = if kind == Kind::Fault || chance.happens(0.75) { weight } else { 0 };
        kinds.extend((0..weight).map(|_| kind));
    }
    let mut all = vec![(STORM, Weather::Calm)];
    let mut at = SECOND;
    loop {
        at += chance.span(SECOND, 90 * SECOND);
        if at >= STORM {
            break;
        }
        let kind = *chance.one_of(&kinds);
        let (begins, ends) = misfortune(kind, chance);
        all.push((at, begins));
        all.extend(ends.map(|(after, weather)| (at + after, weather)).filter(|(end, _)| *end < STORM));
    }
    all
}

/// What happens, and what ends it after a while.
fn misfortune(kind: Kind, chance: &mut Chance) -> (Weather, Option<(Duration, Weather)>) {
    let machine = usize::try_from(chance.number(0, BOXES as u64)).unwrap_or_default();
    let thing = usize::try_from(chance.number(0, 100)).unwrap_or_default();
    let process = *chance.one_of(&[
        Process::Agent(machine),
        Process::Executor(machine),
        Process::Executor(machine),
        Process::Server,
    ]);
    match kind {
        Kind::Kill => (Weather::Kill(process), None),
        Kind::KillAfter => (Weather::KillAfter(process, chance.number(0, 9)), None),
        Kind::Power => (
            Weather::Power(machine, false),
            Some((chance.span(SECOND, 15 * MINUTE), Weather::Power(machine, true))),
        ),
        Kind::Line => (
            Weather::Line(machine, false),
            Some((chance.span(SECOND, 40 * MINUTE), Weather::Line(machine, true))),
        ),
        Kind::Network => (Weather::Network(quality(chance)), None),
        Kind::Fault => {
            let vanishes = chance.happens(0.2);
            let after = chance.span(SECOND, 20 * MINUTE);
            (Weather::Fault(machine, thing), vanishes.then_some((after, Weather::Vanish(machine, thing))))
        }
        Kind::Break => (Weather::Break(machine, thing), Some((SECOND, Weather::Fault(machine, thing)))),
        Kind::Repairs => {
            let mut likelihood = || if chance.happens(0.5) { 0.4 } else { 0.0 };
            let mood = Mood { fails: likelihood(), in_vain: likelihood(), slow: likelihood() };
            (Weather::Repairs(machine, mood), None)
        }
        Kind::Hold => (
            Weather::Hold(machine, true),
            Some((chance.span(SECOND, 15 * MINUTE), Weather::Hold(machine, false))),
        ),
        Kind::Vault => (Weather::Vault(true), Some((chance.span(SECOND, 5 * MINUTE), Weather::Vault(false)))),
        Kind::Full => (
            Weather::Full(process, true),
            Some((chance.span(SECOND, 5 * MINUTE), Weather::Full(process, false))),
        ),
        Kind::Jump => (Weather::Jump(machine, off(chance)), None),
        Kind::Charter => (Weather::Charter, None),
        Kind::Stray => (Weather::Stray(machine, thing), None),
        Kind::Restore => (Weather::Backup, Some((chance.span(10 * SECOND, 30 * MINUTE), Weather::Restore))),
    }
}

fn quality(chance: &mut Chance) -> Quality {
    Quality {
        loss: *chance.one_of(&[0.0, 0.02, 0.2]),
        twice: *chance.one_of(&[0.0, 0.05, 0.3]),
        slow: *chance.one_of(&[0.0, 0.05, 0.3]),
    }
}
