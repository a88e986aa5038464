//! How an executor stands, and what runs on its box: heartbeats, and updates.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::Token;
use crate::{ids::WatchId, sealed::SealingKey};

/// How an executor stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Newest charter seen.
    pub charter_serial: u64,
    /// Catalogue in force.
    pub catalogue_version: u64,
    /// Policy in force.
    pub policy_serial: u64,
    /// Highest order sequence seen.
    pub order_high: u64,
    /// Milliseconds until the next heartbeat is due.
    pub every_ms: u64,
    /// Entries of the box's own watch list, by ID and kind.
    pub watch: BTreeMap<WatchId, String>,
    /// Why orders are held at the box, when they are: `file`, `key`.
    pub hold: Option<String>,
    /// Refusals that were only counted since the last heartbeat, because there were too many to sign each.
    pub refusals_not_signed: u64,
    /// Version of the program.
    pub version: String,
    /// Since this boot, in milliseconds.
    pub up_ms: u64,
    /// What the appliance costs its box; `None`: it could not be read, or an older version made this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footprint: Option<Footprint>,
    /// What secrets for this box are sealed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_key: Option<SealingKey>,
    /// The time since the heartbeat before, rolled up; `None`: an older version made this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beats: Option<Beats>,
}

/// The beats since the last heartbeat, rolled up. A beat is a mark of all clocks that the executor makes on its own disk
/// every few minutes: so a heartbeat tells how the time before it went, finer than heartbeats come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beats {
    /// How many were made, this heartbeat's own with them.
    pub made: u64,
    /// How often one is due, in milliseconds.
    pub every_ms: u64,
    /// The longest stretch between two of one boot, by the boot-time clock.
    pub longest_ms: u64,
    /// How long before this heartbeat that stretch ended.
    pub longest_ago_ms: u64,
    /// How often the machine was booted.
    pub boots: u64,
    /// From each boot's last beat to the next boot, by the machine's own clock: at most that long it was off.
    pub off_ms: u64,
    /// How often the machine's clock jumped against the boot-time clock.
    pub clock_steps: u64,
    /// How long a heartbeat had been due and could not be signed, because waiting evidence took up all of its room.
    pub no_room_ms: u64,
}

/// The machine runs other software than before: the first start of another program, or a switch to another system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// What ran until then.
    pub from: Software,
    /// What runs from here on.
    pub to: Software,
}

/// What runs on a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Software {
    /// Version of the appliance's program.
    pub program: Token,
    /// The operating system, by its closure's hash in the Nix store: of its path the name stays on the box. `None`: it is no
    /// NixOS, or could not be read.
    pub system: Option<Token>,
    /// Number of the system profile's generation; `None`: likewise.
    pub generation: Option<u64>,
}

impl fmt::Display for Software {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program {}", self.program)?;
        let system = self.system.as_ref().map(|system| system.as_str().get(..8).unwrap_or(system.as_str()));
        match (system, self.generation) {
            (Some(system), Some(generation)) => write!(f, ", system {system} (generation {generation})"),
            (Some(system), None) => write!(f, ", system {system}"),
            (None, _) => Ok(()),
        }
    }
}

impl Software {
    /// Whether it is other software than `before`. What cannot be read is no news, and a number alone runs nothing.
    #[must_use]
    pub fn differs_from(&self, before: &Self) -> bool {
        let system = self.system.as_ref().zip(before.system.as_ref()).is_some_and(|(now, then)| now != then);
        self.program != before.program || system
    }
}

/// What the appliance itself uses, as its executor reads it from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footprint {
    /// Resident memory of the executor.
    pub executor_resident_kb: u64,
    /// Resident memory of the agent; `None`: no agent runs.
    pub agent_resident_kb: Option<u64>,
    /// Processor time of both since the last heartbeat, or since they began, whichever is later.
    pub cpu_ms: u64,
    /// The time that it was used in, by the boot-time clock.
    pub over_ms: u64,
}
