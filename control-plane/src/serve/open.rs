//! Opening the core of an embedded installation: its files, what they must agree on, and its database.
//!
//! The rule: what lies in files is verified like anything that comes from elsewhere, and the newer of file and database
//! counts.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use proto::{
    charter::{Charter, OrganizationKeys},
    dsse::Verified,
};
use runbooks::Catalogue;

use crate::{
    access::Principal,
    authorities::{Authorities, Issuer},
    clock,
    config::{Config, ConfigError},
    core::{
        self, Core, Settings,
        deliveries::Mailing,
        planner::Model,
        ports::{Ports, SystemEntropy},
    },
    directory::Directory,
    files,
    init::FirstOwner,
    metrics::{Metrics, Timed},
    signer,
    store::{Document, Store},
    vault::{self, VaultError},
};

/// Most bytes of a key's file.
pub(super) const KEY_FILE_MAX: u64 = 64 * 1024;
const DOCUMENT_MAX: u64 = 4 << 20;

/// The organization's keys, once the charter that they signed and the settings speak of the same organization. Only reads.
pub fn trust_of(directory: &Directory, config: &Config) -> Result<OrganizationKeys> {
    let path = directory.organization_keys();
    let trust = OrganizationKeys::parse(&files::read(&path, KEY_FILE_MAX)?)
        .with_context(|| format!("trust file {}", path.display()))?;
    let charter = charter_file(&trust, directory)?.1;
    config.agrees_with(charter.value())?;
    if let Some(timestamps) = &config.timestamps {
        timestamps.certificates()?;
    }
    config.witnesses_are_of(&newest_charter(&trust, directory, charter.into_value())?)?;
    Ok(trust)
}

/// The charter beside the database, or the newer one in it: a charter that was renewed over the network is only there.
fn newest_charter(trust: &OrganizationKeys, directory: &Directory, file: Charter) -> Result<Charter> {
    let database = directory.database();
    // A new installation has none yet, and one without the table was never opened.
    let kept = match database.exists() {
        true => Store::open_reader(&database)?.newest_document(Document::Charter).unwrap_or_default(),
        false => None,
    };
    let kept = kept.map(|envelope| trust.open(&envelope)).transpose()?.map(Verified::into_value);
    Ok(kept.filter(|kept| kept.serial > file.serial).unwrap_or(file))
}

/// The charter beside the database, and its bytes.
fn charter_file(trust: &OrganizationKeys, directory: &Directory) -> Result<(Vec<u8>, Verified<Charter>)> {
    let path = directory.charter();
    let envelope = files::read(&path, DOCUMENT_MAX)?;
    let charter = trust.open(&envelope).with_context(|| format!("charter {}", path.display()))?;
    Ok((envelope, charter))
}

/// The core, and what stands beside it.
pub struct Opened {
    /// The core.
    pub core: Core,
    /// The organization's public keys.
    pub trust: OrganizationKeys,
    /// Whose certificates boxes get and show.
    pub authorities: Arc<Authorities>,
}

/// Opens the core of an embedded installation.
pub fn open_core(directory: &Directory, config: &Config, metrics: &Metrics) -> Result<Opened> {
    let trust = trust_of(directory, config)?;
    let charter = newest_charter(&trust, directory, charter_file(&trust, directory)?.1.into_value())?;
    let keys = signer::keys(&config.order_key, directory, &charter)?;
    let authorities = Authorities::open(directory, &charter.certificate_authorities)
        .context("the charter's certificate_authorities")?;
    let vault = vault::open(&config.vault.store, directory, clock::now).map_err(unfit)?;
    let ports = Ports {
        entropy: Box::new(SystemEntropy),
        vault: Box::new(Timed::new(vault, metrics.clone())),
        issuer: Box::new(Issuer::new(authorities.clone())),
    };
    let settings = Settings {
        organization: config.organization.clone(),
        address: config.listen.address.clone(),
        order_lifetime: config.orders.lifetime,
        approval: config.orders.approval,
        stall_after: config.escalation.stall,
        retention: config.vault.retention,
        events_hour: config.limits.events_per_hour,
        silent_after: config.escalation.silent,
        telling: config.escalation.rules.clone(),
        mail: match &config.mail {
            None => Mailing::Off,
            Some(mail) if mail.link.is_none() => Mailing::Plain,
            Some(_) => Mailing::WithLinks,
        },
        model: config
            .planner
            .as_ref()
            .map(|planner| Model { name: planner.model.clone(), calls_per_day: planner.calls_per_day }),
        running: config.running.clone(),
    };
    let store = Store::open(&directory.database())?;
    seed(&store, &trust, directory)?;
    let mut core = Core::open(store, ports, keys, settings, trust.clone(), clock::now())?;
    first_owner(&mut core, directory)?;
    Ok(Opened { core, trust, authorities })
}

/// The link that `init` printed is known from now on; then what was left of it is.
fn first_owner(core: &mut Core, directory: &Directory) -> Result<()> {
    let path = directory.first_owner();
    if !path.exists() {
        return Ok(());
    }
    let first: FirstOwner = serde_json::from_slice(files::read_secret(&path, KEY_FILE_MAX)?.as_bytes())
        .with_context(|| format!("first owner {}", path.display()))?;
    let now = clock::now();
    let taken = core.run(now, |core| {
        core.acting_as(Principal::control_plane(), "init", now, |core| {
            core.first_owner(&first.name, first.hash, first.expires, now)
        })
    })?;
    if !taken {
        tracing::warn!(
            "the first owner's link is too old, or not the first: `control-plane operator invite` makes another"
        );
    }
    std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
}

/// Whoever starts this program must not start it again before the settings, or the bucket, were changed.
fn unfit(error: VaultError) -> anyhow::Error {
    match error.is_settings() {
        true => ConfigError::Vault(error).into(),
        false => error.into(),
    }
}

/// Charter and catalogue lie in files too: `init` signs the first, `charter renew` leaves a newer one there when no
/// server runs. What is newer than the database's is taken; it has to verify like any other.
pub(super) fn seed(store: &Store, trust: &OrganizationKeys, directory: &Directory) -> Result<()> {
    let now = clock::now();
    let newest = store.newest_document(Document::Charter)?;
    let (envelope, offered) = charter_file(trust, directory)?;
    let offered = offered.into_value();
    let known = newest.map(|kept| trust.open(&kept)).transpose()?.map(Verified::into_value);
    if known.as_ref().is_none_or(|known| known.serial < offered.serial) {
        core::seed(store, Document::Charter, offered.serial, &envelope, now)?;
    }
    let charter = known.filter(|known| known.serial > offered.serial).unwrap_or(offered);

    let path = directory.catalogue();
    let offered = files::read(&path, DOCUMENT_MAX).map_err(anyhow::Error::new).and_then(|envelope| {
        let catalogue = Catalogue::open(&envelope, &charter)?.into_value();
        Ok((envelope, catalogue.version))
    });
    let known = store.newest_serial(Document::Catalogue)?;
    match (offered.with_context(|| format!("catalogue {}", path.display())), known) {
        (Ok((envelope, version)), known) if known.is_none_or(|known| known < version) => {
            core::seed(store, Document::Catalogue, version, &envelope, now)?;
        }
        (Ok(_), _) => {}
        (Err(error), None) => return Err(error),
        // What is in force lies in the database. Since that file was written the release keys may have changed.
        (Err(error), Some(known)) => tracing::warn!("{error:#}; version {known} in the database is used"),
    }
    Ok(())
}
