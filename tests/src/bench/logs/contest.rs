//! One contest: the same lines for each, until delivered; and how long one line takes.

use std::{fs::File, io::Write as _, path::PathBuf, sync::mpsc, time::Duration};

use anyhow::{Result, bail};

use super::super::report::quantile;
use crate::clock;

/// The longest that all lines of a turn may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Processor time so far, and the most memory.
#[derive(Clone, Copy)]
pub(super) struct Spent {
    pub(super) time: Duration,
    pub(super) peak: u64,
}

/// Who follows a log.
pub(super) trait Contender {
    /// The log.
    fn log(&self) -> PathBuf;
    /// How many lines have arrived.
    fn delivered(&mut self) -> Result<u64>;
    /// Whether it knows that all have.
    fn at_rest(&mut self) -> Result<bool> {
        Ok(true)
    }
    /// What it has used.
    fn spent(&mut self) -> Result<Spent>;
    /// Ends it.
    fn end(&mut self) -> Result<()>;
}

/// A contender and what came of it.
pub(super) struct Runner<'a> {
    pub(super) contender: &'a mut dyn Contender,
    expected: u64,
    rates: Vec<f64>,
}

impl<'a> Runner<'a> {
    /// Waits until it follows its log: one line that matters arrives.
    pub(super) fn ready(contender: &'a mut dyn Contender, line: &str) -> Result<Self> {
        let mut runner = Self { contender, expected: 0, rates: Vec::new() };
        let start = clock::instant();
        // Whoever begins at the end of its log does not see what was there before it looked.
        while runner.contender.delivered()? == 0 {
            runner.append(line)?;
            pause(Duration::from_millis(700));
            if clock::since(start) > PATIENCE {
                bail!("it does not follow its log");
            }
        }
        pause(Duration::from_millis(700));
        runner.expected = runner.contender.delivered()?;
        Ok(runner)
    }

    fn append(&self, text: &str) -> Result<()> {
        Ok(File::options().append(true).open(self.contender.log())?.write_all(text.as_bytes())?)
    }

    /// One turn: `text`, of which `arriving` lines arrive.
    pub(super) fn turn(&mut self, text: &str, lines: usize, arriving: usize) -> Result<()> {
        let before = self.contender.spent()?;
        self.append(text)?;
        self.expect(arriving, Duration::from_millis(20))?;
        let spent = self.contender.spent()?.time - before.time;
        #[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
        self.rates.push(lines as f64 / spent.as_secs_f64());
        Ok(())
    }

    /// Lines for each second of processor time.
    pub(super) fn rate(&mut self) -> f64 {
        quantile(&mut self.rates, 0.5)
    }

    /// How long one line takes, in milliseconds: the median of `count`.
    pub(super) fn latency(&mut self, line: &str, count: usize) -> Result<f64> {
        let mut times = Vec::new();
        for number in 0..count {
            // Spread, so that nothing falls into step.
            pause(Duration::from_millis(60 + (number as u64 * 37) % 100));
            let start = clock::instant();
            self.append(line)?;
            self.expect(1, Duration::from_millis(1))?;
            times.push(clock::since(start).as_secs_f64() * 1000.0);
        }
        Ok(quantile(&mut times, 0.5))
    }

    fn expect(&mut self, more: usize, every: Duration) -> Result<()> {
        self.expected += more as u64;
        let start = clock::instant();
        loop {
            let delivered = self.contender.delivered()?;
            if delivered > self.expected {
                bail!("{delivered} lines arrived, {} were written", self.expected);
            }
            if delivered == self.expected && self.contender.at_rest()? {
                return Ok(());
            }
            if clock::since(start) > PATIENCE {
                bail!("{delivered} of {} lines arrived within {} s", self.expected, PATIENCE.as_secs());
            }
            pause(every);
        }
    }

    /// The most memory it ever had, in MB.
    pub(super) fn peak(&mut self) -> Result<f64> {
        #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52")]
        Ok(self.contender.spent()?.peak as f64 / 1e6)
    }
}

fn pause(time: Duration) {
    let (_kept, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}
