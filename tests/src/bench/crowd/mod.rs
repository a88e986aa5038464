//! A crowd of appliances in a process of its own, and in another a server that only answers: this program, started again.
//!
//! The rule: what is measured shares nothing with whoever measures. What both are to do comes over their standard input, the
//! crowd's keys with it, a line of JSON for each request; the answers come over their standard output. Both end when their
//! input does, so that they outlive nobody.

mod client;
mod echo;
mod link;
mod members;
mod simulated;

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(super) use echo::Setup as EchoSetup;
pub(super) use members::enrol;

/// What another process of this program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Appliances.
    Crowd,
    /// A server that only answers.
    Echo,
}

impl Part {
    /// Does what standard input says, until it ends.
    pub fn play(self) -> Result<()> {
        // A connection takes a file, on either side.
        let _ = control_plane::serve::descriptors::raise();
        match self {
            Self::Crowd => client::run(),
            Self::Echo => echo::run(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Crowd => "crowd",
            Self::Echo => "echo",
        }
    }
}

/// Whom the crowd talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// The control plane.
    Ours,
    /// The server that only answers.
    Echo,
}

/// What an exchange carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// Nothing.
    Nothing,
    /// Ten events.
    Events,
    /// One evidence record, whose proof is asked for along with it.
    Evidence,
    /// Both.
    Both,
}

impl Kind {
    /// Events that it carries.
    pub(super) fn events(self) -> usize {
        match self {
            Self::Events | Self::Both => 10,
            Self::Nothing | Self::Evidence => 0,
        }
    }

    /// Evidence records that it carries.
    pub(super) fn evidence(self) -> usize {
        usize::from(matches!(self, Self::Evidence | Self::Both))
    }
}

/// What the crowd is asked to do; it answers when that is done.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Connect every member, and stay. Ours hears each one's first heartbeat. [`Told::Size`] of the last answer.
    Open(Place, SocketAddr),
    /// So many exchanges of each member, one after the other; the echo gets the batches that ours got. [`Told::Figures`]
    Turn(Place, Kind, usize),
    /// So many connections, each for one exchange with nothing to say. [`Told::Figures`]
    Knock(Place, usize),
    /// The next so many members report, one after the other, a fault that a runbook is for. [`Told::Times`] until the order
    /// is there; of the echo, until it has answered.
    Orders(Place, usize),
    /// Connect every member, spread over so many milliseconds, and ask from then on as appliances do, held for a minute.
    /// [`Told::Count`] at the end of that time.
    Rhythm(SocketAddr, u64),
    /// How often was answered since then. [`Told::Count`]
    Count,
    /// So many batches of each member, one after the other, whatever becomes of the server. [`Told::Early`] once a tenth is
    /// acknowledged; [`Told::Moments`] of all acknowledgements at the end.
    Storm(usize),
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// Bytes.
    Size(usize),
    /// What a turn came to.
    Figures(Figures),
    /// Milliseconds.
    Times(Vec<f64>),
    /// Exchanges that were answered, and that were not.
    Count(usize, usize),
    /// A tenth is through.
    Early,
    /// Times of day, in milliseconds.
    Moments(Vec<i64>),
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Figures {
    /// How many a second.
    pub(super) rate: f64,
    /// What 99 of 100 took at most, in milliseconds.
    pub(super) p99: f64,
}

/// This program, started again.
pub(super) struct Beside {
    part: Part,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Beside {
    /// Starts it and tells it what it must know.
    pub(super) fn start(part: Part, setup: &impl Serialize) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--part", part.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (to, from) = (child.stdin.take().context("its input")?, child.stdout.take().context("output")?);
        let mut all = Self { part, child, to, from: BufReader::new(from) };
        all.send(setup)?;
        Ok(all)
    }

    /// Says something.
    pub(super) fn send(&mut self, what: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(what)? + "\n";
        self.to.write_all(line.as_bytes()).with_context(|| format!("the {} ended", self.part.name()))
    }

    /// Waits for what it says next.
    pub(super) fn hear<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            bail!("the {} ended; what it printed says why", self.part.name());
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// Has the crowd do something.
    pub(super) fn ask(&mut self, what: &Ask) -> Result<Told> {
        self.send(what)?;
        self.hear()
    }

    /// Has it do something that comes to a figure.
    pub(super) fn figures(&mut self, what: &Ask) -> Result<Figures> {
        match self.ask(what)? {
            Told::Figures(figures) => Ok(figures),
            other => bail!("{what:?} came to {other:?}"),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says something to whoever started this process.
fn say(what: &impl Serialize) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    Ok(out.flush()?)
}

/// The next thing that it says; `None`: it has nothing more to say.
fn listen<T: DeserializeOwned>() -> Result<Option<T>> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line)?;
    if read == 0 { Ok(None) } else { Ok(Some(serde_json::from_str(&line)?)) }
}
