//! How much there is of everything, for monitoring: numbers of the whole organization.

use proto::time::Millis;

use super::{ApplianceState, MailState, OrderState, Store, StoreError, Telling};
use crate::core::incident::State;

/// By state: every one has its number, nought as well.
pub type ByState = Vec<(&'static str, u64)>;

/// Numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Appliances.
    pub appliances: ByState,
    /// Incidents.
    pub incidents: ByState,
    /// Orders.
    pub orders: ByState,
    /// What people are told of.
    pub notifications: ByState,
    /// Packets to recipients.
    pub mails: ByState,
    /// Acts that wait for their log.
    pub acts_waiting: u64,
    /// Entries of all logs in force.
    pub log_entries: u64,
    /// Those under no published checkpoint.
    pub log_unpublished: u64,
    /// Logs that cannot be continued.
    pub logs_halted: u64,
    /// Logs that a witness did not cosign when it was asked last.
    pub witness_troubles: u64,
    /// When a log got its newest checkpoint: of the one that moved longest ago, and of the one that moved last.
    pub moved: Option<(Millis, Millis)>,
}

/// The newest entry of each log; with every entry comes a checkpoint.
const MOVED: &str = "WITH newest AS (SELECT max(
      coalesce((SELECT received_ms FROM evidence WHERE tenant = t.id ORDER BY log_index DESC LIMIT 1), 0),
      coalesce((SELECT at_ms FROM act WHERE tenant = t.id ORDER BY log_index DESC LIMIT 1), 0)) AS at_ms FROM tenant t)
    SELECT min(at_ms), max(at_ms) FROM newest WHERE at_ms > 0";

impl Store {
    /// Counts; of a large table it reads an index. For a reader's connection, not for the writer's.
    pub fn totals(&self) -> Result<Totals, StoreError> {
        let sum = "SELECT coalesce(sum(log_size), 0) FROM tenant";
        let unpublished = "SELECT coalesce(sum(log_size - published_size), 0) FROM tenant";
        Ok(Totals {
            appliances: self.by_state("appliance", ApplianceState::ALL.map(ApplianceState::name))?,
            incidents: self.by_state("incident", State::ALL.map(State::name))?,
            orders: self.by_state("order", OrderState::ALL.map(OrderState::name))?,
            notifications: self
                .by_state("notification", Telling::ALL.iter().map(|telling| telling.as_str()))?,
            mails: self.by_state("mail", MailState::ALL.iter().map(|state| state.as_str()))?,
            acts_waiting: self.count("SELECT count(*) FROM act_waiting")?,
            log_entries: self.count(sum)?,
            log_unpublished: self.count(unpublished)?,
            logs_halted: self.count("SELECT count(*) FROM tenant WHERE log_halted IS NOT NULL")?,
            witness_troubles: self.count("SELECT count(*) FROM cosignature WHERE trouble <> ''")?,
            moved: self.moved()?,
        })
    }

    fn moved(&self) -> Result<Option<(Millis, Millis)>, StoreError> {
        let (first, last): (Option<i64>, Option<i64>) =
            self.db.prepare_cached(MOVED)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(first.zip(last).map(|(first, last)| (Millis(first), Millis(last))))
    }

    fn count(&self, sql: &str) -> Result<u64, StoreError> {
        Ok(self.db.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0))?.cast_unsigned())
    }

    fn by_state(
        &self,
        table: &str,
        states: impl IntoIterator<Item = &'static str>,
    ) -> Result<ByState, StoreError> {
        let sql = format!("SELECT count(*) FROM \"{table}\" WHERE state = ?1");
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut number = |state: &'static str| -> Result<_, StoreError> {
            Ok((state, statement.query_row([state], |row| row.get::<_, i64>(0))?.cast_unsigned()))
        };
        states.into_iter().map(&mut number).collect()
    }
}
