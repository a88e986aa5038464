//! What becomes of a message: it arrives, late, twice, or not at all.
//!
//! Requests and answers alike. What is under way while a line is cut may be lost, or wait in some buffer until the line
//! is whole again, as a kernel that retransmits would have it.

use std::time::Duration;

use super::chance::Chance;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// How bad it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quality {
    /// Likelihood that a message is lost.
    pub(super) loss: f64,
    /// Likelihood that it comes twice, the second time up to two minutes later.
    pub(super) twice: f64,
    /// Likelihood that it is slow: up to ten seconds, and sometimes a minute and a half.
    pub(super) slow: f64,
}

impl Quality {
    pub(super) const GOOD: Self = Self { loss: 0.0, twice: 0.0, slow: 0.0 };
}

/// What becomes of a message.
pub(super) enum Fate {
    /// It arrives after each of these times; none: it is lost.
    Arrives(Vec<Duration>),
    /// It waits until the line is whole again.
    Waits,
}

/// All lines.
pub(super) struct Network {
    pub(super) quality: Quality,
    cut: Vec<bool>,
    chance: Chance,
}

impl Network {
    pub(super) fn new(lines: usize, chance: Chance) -> Self {
        Self { quality: Quality::GOOD, cut: vec![false; lines], chance }
    }

    pub(super) fn cut(&mut self, line: usize) {
        self.cut[line] = true;
    }

    pub(super) fn mend(&mut self, line: usize) {
        self.cut[line] = false;
    }

    pub(super) fn fate(&mut self, line: usize) -> Fate {
        let chance = &mut self.chance;
        if self.cut[line] {
            return if chance.happens(0.25) { Fate::Waits } else { Fate::Arrives(Vec::new()) };
        }
        if chance.happens(self.quality.loss) {
            return Fate::Arrives(Vec::new());
        }
        let most = match chance.happens(self.quality.slow) {
            true if chance.happens(0.1) => 90 * SECOND,
            true => 10 * SECOND,
            false => 80 * MS,
        };
        let mut times = vec![chance.span(5 * MS, most)];
        if chance.happens(self.quality.twice) {
            times.push(chance.span(5 * MS, 120 * SECOND));
        }
        Fate::Arrives(times)
    }
}
