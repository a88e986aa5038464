//! What the parts of a running server share.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use proto::charter::OrganizationKeys;
use tonic_health::server::HealthReporter;

use super::{
    doors::Doors,
    http::HealthCheck,
    listener::Stop,
    monitoring,
    operators::{About, Operators},
    writer::Writer,
};
use crate::{
    authorities::Authorities,
    clock,
    config::Config,
    directory::Directory,
    store::{Store, StoreError},
};

/// It.
pub(super) struct Shared {
    /// Where its files are.
    pub(super) directory: Directory,
    /// Its settings.
    pub(super) config: Config,
    /// Does what is asked.
    pub(super) writer: Writer,
    /// What does not change.
    pub(super) about: Arc<About>,
    /// Whose certificates boxes get and show.
    pub(super) authorities: Arc<Authorities>,
    /// Whether it can do its work.
    pub(super) health: HealthCheck,
    /// Says the same to whoever asks by gRPC.
    pub(super) reporter: HealthReporter,
    /// Turns true when it is to end.
    pub(super) stopped: Stop,
}

impl Shared {
    pub(super) fn new(
        directory: &Directory,
        config: Config,
        writer: Writer,
        (trust, authorities): (OrganizationKeys, Arc<Authorities>),
        doors: &Doors,
        stopped: Stop,
    ) -> Result<Self> {
        let database = directory.database();
        let about = Arc::new(About {
            address: config.listen.address.clone(),
            people: config.people_address(doors.people.local_addr()?.port()),
            trust,
            witnesses: config.witnesses.clone(),
            timestamps: config.timestamps.as_ref().map_or_else(String::new, |one| one.url.to_string()),
            reader: Box::new(move || Store::open_reader(&database)),
            clock: clock::now,
        });
        Ok(Self {
            directory: directory.clone(),
            config,
            writer,
            health: monitoring::healthy(about.clone()),
            about,
            authorities,
            reporter: HealthReporter::new(),
            stopped,
        })
    }

    /// The database, for reading.
    pub(super) fn reader(&self) -> Result<Arc<Mutex<Store>>, StoreError> {
        Ok(Arc::new(Mutex::new((self.about.reader)()?)))
    }

    /// What operators call.
    pub(super) fn operators(&self) -> Operators {
        Operators::new(self.writer.clone(), self.about.clone())
    }
}
