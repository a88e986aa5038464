//! The real clock and the real randomness: the one file of this program that asks the machine for either.

use std::{fs, sync::Arc, time::Duration};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use nix::time::{ClockId, clock_gettime};
use proto::time::Millis;

use crate::world::{BootId, Clock, Entropy, World};

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> Millis {
        let since_epoch = read(ClockId::CLOCK_REALTIME);
        Millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn boot(&self) -> Duration {
        read(ClockId::CLOCK_BOOTTIME)
    }

    fn boot_id(&self) -> Option<BootId> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        u128::from_str_radix(&text.trim_end().replace('-', ""), 16).ok().map(|id| BootId(id.to_be_bytes()))
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock).expect("Linux has had both clocks since 2.6.39");
    Duration::from(time)
}

/// The machine's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        SystemRandom::new().fill(bytes).expect("getrandom(2) gives bytes once the machine has booted");
    }
}

/// The real world.
#[must_use]
pub fn system() -> World {
    World { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::draw;

    #[test]
    fn the_clocks_go_forward_and_the_bytes_differ() {
        let (clock, boot) = (SystemClock, SystemClock.boot());
        assert!(clock.wall() > "2024-01-01T00:00:00Z".parse().unwrap());
        assert!(clock.boot() >= boot && boot > Duration::ZERO);
        assert!(clock.boot_id().is_some() && clock.boot_id() == SystemClock.boot_id());
        assert_ne!(draw::<16>(&SystemEntropy), draw::<16>(&SystemEntropy));
    }
}
