//! What an operator's monitoring reads of this server, in the text format of OpenMetrics 1.0.
//!
//! The rule: numbers of the whole organization and no names: whoever may read them learns of no clinic, box or person.
//! Nothing is decided by a metric.

mod timed;

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use proto::time::Millis;

use crate::{
    core::{Counted, Step},
    serve::traces::{Durable, Traces},
    store::Totals,
};

pub use timed::Timed;

/// What [`Metrics::text`] is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Label = [(&'static str, String); 1];
type Gauges = Family<Label, Gauge>;
type Seconds = Family<Label, Histogram, fn() -> Histogram>;

/// The metrics of one server. Clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    /// Held while what was looked up is written down and read: two readers do not mix.
    registry: Mutex<Registry>,
    exchanges: Family<Label, Counter>,
    exchange: Histogram,
    commands: Family<Label, Counter>,
    waiting: Gauge,
    commit: Histogram,
    group: Histogram,
    not_durable: Counter,
    vault: Seconds,
    vault_failures: Family<Label, Counter>,
    looked_up: LookedUp,
    /// Where steps go, where somebody wants them.
    traces: OnceLock<Traces>,
}

/// What is looked up when somebody asks.
#[derive(Default)]
struct LookedUp {
    appliances: Gauges,
    incidents: Gauges,
    orders: Gauges,
    notifications: Gauges,
    mails: Gauges,
    acts_waiting: Gauge,
    log_entries: Gauge,
    log_unpublished: Gauge,
    logs_halted: Gauge,
    witness_troubles: Gauge,
    checkpoint_age: Family<Label, Gauge<f64, AtomicU64>>,
    ends: Gauges,
}

/// What is looked up for one answer.
pub struct Snapshot {
    /// What the database has.
    pub totals: Totals,
    /// What ends, and when: `charter`, `catalogue`, `certificate_authority`, ...
    pub ends: Vec<(&'static str, Millis)>,
    /// When it was looked up.
    pub now: Millis,
}

fn label(name: &'static str, value: &str) -> Label {
    [(name, value.to_owned())]
}

/// From a tenth of a millisecond to some 26 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 4.0, 10))
}

impl Default for Metrics {
    fn default() -> Self {
        let inner = Inner {
            registry: Mutex::default(),
            exchanges: Family::default(),
            exchange: seconds(),
            commands: Family::default(),
            waiting: Gauge::default(),
            commit: seconds(),
            group: Histogram::new(exponential_buckets(1.0, 4.0, 5)),
            not_durable: Counter::default(),
            vault: Family::new_with_constructor(seconds),
            vault_failures: Family::default(),
            looked_up: LookedUp::default(),
            traces: OnceLock::new(),
        };
        let mut registry = Registry::with_prefix("orderly");
        inner.register(&mut registry);
        inner.looked_up.register(&mut registry);
        *inner.registry.lock().unwrap_or_else(PoisonError::into_inner) = registry;
        Self(Arc::new(inner))
    }
}

impl Inner {
    fn register(&self, to: &mut Registry) {
        to.register(
            "exchanges",
            "Exchanges with appliances: answered at once, idle (nothing to say but the time), or refused",
            self.exchanges.clone(),
        );
        let help = "From an exchange read to its batch stored; not how long it was held open";
        to.register_with_unit("exchange", help, Unit::Seconds, self.exchange.clone());
        to.register("done", "What was made durable, by kind", self.commands.clone());
        to.register("writer_waiting", "Commands that wait for the writer", self.waiting.clone());
        let help = "A group made durable, and its checkpoints put into the vault";
        to.register_with_unit("writer_commit", help, Unit::Seconds, self.commit.clone());
        to.register("writer_group", "Commands in one group", self.group.clone());
        let help = "Groups that could not be made durable, or whose checkpoints wait for the vault";
        to.register("writer_failures", help, self.not_durable.clone());
        let help = "What the vault was asked, by operation";
        to.register_with_unit("vault", help, Unit::Seconds, self.vault.clone());
        to.register("vault_failures", "What the vault did not do, by operation", self.vault_failures.clone());
    }
}

impl LookedUp {
    fn register(&self, to: &mut Registry) {
        to.register("appliances", "Appliances, by state", self.appliances.clone());
        to.register("incidents", "Incidents, by state", self.incidents.clone());
        to.register("orders", "Orders, by state", self.orders.clone());
        let help = "What people are told of, by what became of it (dead: nobody took it)";
        to.register("notifications", help, self.notifications.clone());
        to.register("mails", "Packets to recipients, by what became of them", self.mails.clone());
        to.register("acts_waiting", "Acts that wait for their log", self.acts_waiting.clone());
        to.register("log_entries", "Entries of all logs in force", self.log_entries.clone());
        let help = "Entries under no checkpoint that lies in the vault";
        to.register("log_entries_unpublished", help, self.log_unpublished.clone());
        to.register("logs_halted", "Logs that cannot be continued", self.logs_halted.clone());
        let help = "Logs that a witness did not cosign when it was asked last";
        to.register("witness_troubles", help, self.witness_troubles.clone());
        let help = "Age of the newest checkpoint of a log: of the log that moved last, and of the one that moved longest ago";
        to.register_with_unit("checkpoint_age", help, Unit::Seconds, self.checkpoint_age.clone());
        let help = "When it ends, since 1970";
        to.register_with_unit("ends_timestamp", help, Unit::Seconds, self.ends.clone());
    }

    fn show(&self, Snapshot { totals, ends, now }: &Snapshot) {
        for (gauges, by_state) in [
            (&self.appliances, &totals.appliances),
            (&self.incidents, &totals.incidents),
            (&self.orders, &totals.orders),
            (&self.notifications, &totals.notifications),
            (&self.mails, &totals.mails),
        ] {
            for (state, number) in by_state {
                gauges.get_or_create(&label("state", state)).set(signed(*number));
            }
        }
        for (gauge, number) in [
            (&self.acts_waiting, totals.acts_waiting),
            (&self.log_entries, totals.log_entries),
            (&self.log_unpublished, totals.log_unpublished),
            (&self.logs_halted, totals.logs_halted),
            (&self.witness_troubles, totals.witness_troubles),
        ] {
            gauge.set(signed(number));
        }
        let moved = totals.moved.map(|(longest_ago, last)| [("oldest", longest_ago), ("newest", last)]);
        for (which, at) in moved.into_iter().flatten() {
            let age = now.since(at).as_secs_f64();
            self.checkpoint_age.get_or_create(&label("log", which)).set(age);
        }
        for (what, at) in ends {
            self.ends.get_or_create(&label("what", what)).set(at.0.div_euclid(1000));
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Metrics {
    /// An exchange was taken; it took this long to store what it brought.
    pub(crate) fn exchanged(&self, outcome: &str, stored: Duration) {
        self.0.exchanges.get_or_create(&label("outcome", outcome)).inc();
        self.0.exchange.observe(stored.as_secs_f64());
    }

    /// A command waits for the writer (1), or waits no more (-1).
    pub(crate) fn waits(&self, more: i64) {
        self.0.waiting.inc_by(more);
    }

    /// A group of commands came to its end.
    pub(crate) fn committed(&self, commands: usize, took: Duration) {
        self.0.commit.observe(took.as_secs_f64());
        self.0.group.observe(u32::try_from(commands).unwrap_or(u32::MAX).into());
    }

    /// A group could not be made durable, or its checkpoints wait.
    pub(crate) fn not_durable(&self) {
        self.0.not_durable.inc();
    }

    /// What a group did is durable.
    pub(crate) fn done(&self, counted: &Counted, steps: Vec<Step>, took: Duration) {
        for (what, number) in counted.named() {
            self.0.commands.get_or_create(&label("what", what)).inc_by(number);
        }
        if let Some(traces) = self.0.traces.get() {
            traces.tell(Durable { steps, took });
        }
    }

    /// From now on tells what incidents went through, too. Once.
    pub fn trace(&self, traces: Traces) {
        let _ = self.0.traces.set(traces);
    }

    fn asked_vault(&self, operation: &'static str, took: Duration, is_well: bool) {
        self.0.vault.get_or_create(&label("operation", operation)).observe(took.as_secs_f64());
        // There from the first question on: what has never failed is nought, not missing.
        let failures = self.0.vault_failures.get_or_create(&label("operation", operation));
        if !is_well {
            failures.inc();
        }
    }

    /// All of them, together with what was looked up.
    #[must_use]
    pub fn text(&self, snapshot: &Snapshot) -> String {
        let registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.looked_up.show(snapshot);
        let mut text = String::new();
        text::encode(&mut text, &registry).expect("a string takes whatever is written");
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
