//! The watch list: what this box looks after, each entry under an ID that its owner chose.
//!
//! The rule: an order names an ID, never a path, a unit or a URL. What the ID stands for is said here alone.

mod files;
mod machine;
mod network;

use std::{collections::BTreeMap, time::Duration};

use proto::ids::WatchId;
use runbooks::WatchKind;
use serde::{Deserialize, Deserializer, de::Error as _};

pub use files::{Backup, Directory, Forward, Log, Repository};
pub use machine::{
    Baseline, Clock, Drive, Filesystem, Footprint, Journal, Metric, MetricName, Pressure, Sensor, Store, Unit,
};
pub use network::{Certificate, Service, Uplink};

/// Declares the entries: each is a kind, a type with an `id`, and a list in the configuration.
macro_rules! entries {
    ($($(#[$doc:meta])* $kind:ident($entry:ty) in $list:ident,)+) => {
        /// One entry.
        #[derive(Debug, Clone, PartialEq)]
        pub enum WatchEntry {
            $($(#[$doc])* $kind($entry),)+
        }

        impl WatchEntry {
            /// Its ID.
            #[must_use]
            pub fn id(&self) -> &WatchId {
                match self { $(Self::$kind(entry) => &entry.id,)+ }
            }

            /// What it is.
            #[must_use]
            pub fn kind(&self) -> WatchKind {
                match self { $(Self::$kind(_) => WatchKind::$kind,)+ }
            }
        }

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Lists {
            $(#[serde(default)] $list: Vec<$entry>,)+
        }

        impl Lists {
            fn all(self) -> Vec<WatchEntry> {
                let mut all = Vec::new();
                $(all.extend(self.$list.into_iter().map(WatchEntry::$kind));)+
                all
            }
        }
    };
}

entries! {
    /// A directory with a limit on its bytes.
    Directory(Directory) in directory,
    /// A restic repository.
    Backup(Backup) in backup,
    /// A log file with patterns.
    Log(Log) in log,
    /// A number of the machine with a limit.
    Metric(Metric) in metric,
    /// The journal, by patterns.
    Journal(Journal) in journal,
    /// A systemd unit.
    Unit(Unit) in unit,
    /// A mounted file system.
    Filesystem(Filesystem) in filesystem,
    /// How long work waits for the processor.
    Processor(Pressure) in processor,
    /// How long work waits for memory.
    Memory(Pressure) in memory,
    /// A drive.
    Drive(Drive) in drive,
    /// A thermometer.
    Sensor(Sensor) in sensor,
    /// The clock.
    Clock(Clock) in clock,
    /// A TLS certificate.
    Certificate(Certificate) in certificate,
    /// Something that must be reachable.
    Service(Service) in service,
    /// The way out.
    Uplink(Uplink) in uplink,
    /// The appliance's own databases.
    Store(Store) in store,
    /// What the appliance itself uses.
    Footprint(Footprint) in footprint,
    /// The baseline.
    Baseline(Baseline) in baseline,
}

/// Who looks at an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eyes {
    /// The agent by itself: it needs no rights, or it needs the network.
    Agent,
    /// The executor, which has the rights and no network; the agent asks it.
    Executor,
}

impl WatchEntry {
    /// Who looks at it.
    #[must_use]
    pub fn eyes(&self) -> Eyes {
        match self {
            Self::Log(_) | Self::Metric(_) | Self::Journal(_) | Self::Service(_) => Eyes::Agent,
            Self::Certificate(entry) if entry.server.is_some() => Eyes::Agent,
            _ => Eyes::Executor,
        }
    }

    /// How long a reading serves again at the least. `sample`: the time between two looks. What costs a program, a
    /// handshake or a walk through a database is not looked at every time.
    #[must_use]
    pub fn rest(&self, sample: Duration) -> Duration {
        let looks = match self {
            Self::Baseline(entry) => return entry.every,
            Self::Unit(_) | Self::Service(_) => 1,
            Self::Clock(_) | Self::Store(_) => 4,
            Self::Certificate(entry) if entry.server.is_some() => 4,
            Self::Certificate(_) => 20,
            Self::Drive(_) => 240,
            _ => return Duration::ZERO,
        };
        // Looks do not come to the millisecond: half of one less, or one too many would be left out.
        sample * looks - sample / 2
    }
}

/// Reads the lists into one, in which every ID stands once.
pub(super) fn list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<WatchId, WatchEntry>, D::Error> {
    let mut by_id = BTreeMap::new();
    for entry in Lists::deserialize(deserializer)?.all() {
        let (id, kind) = (entry.id().clone(), entry.kind());
        if let Some(other) = by_id.insert(id.clone(), entry) {
            return Err(D::Error::custom(format!(
                "watch.{kind}.id = \"{id}\": must be used once in the whole watch list, is also the ID of a {}",
                other.kind()
            )));
        }
    }
    Ok(by_id)
}
