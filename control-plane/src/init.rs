//! Makes a whole installation: keys, certificate authority, charter, catalogue, settings.
//!
//! The rule: everything is decided in memory first, then written into an empty folder, the settings last. Whatever
//! stops it leaves a folder without `config.toml`, which nothing starts on, and no key is ever overwritten.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proto::{
    charter::{CHARTER_LIFETIME_MAX, Charter, OrganizationKeys, Quorum},
    digest::Digest,
    field::BadField,
    keys::SecretKey,
    time::Millis,
};
use runbooks::{BadRunbook, Catalogue, CatalogueError};
use serde::{Deserialize, Serialize};

use crate::{
    ca::{CaError, CertificateAuthority},
    config::{self, Config, ConfigError},
    core::people::operator_name,
    directory::Directory,
    files::{self, Access, FileError},
};

/// How many of three offline keys must sign.
pub const THRESHOLD: usize = 2;
/// How long the first catalogue holds.
pub const CATALOGUE_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long the first owner's link holds; `operator invite` makes another.
pub const FIRST_LINK: Duration = Duration::from_secs(7 * 24 * 3600);

/// What to make.
#[derive(Debug, Clone)]
pub struct Options {
    /// Trust domain.
    pub organization: String,
    /// What appliances are told to connect to: an https URL.
    pub address: String,
    /// Where to listen for appliances.
    pub appliances: String,
    /// Where to listen for people.
    pub people: String,
    /// Whom to tell of incidents that need a human.
    pub webhook: Option<String>,
    /// What acts call the first owner.
    pub owner: String,
}

/// What was made: public things only.
#[derive(Debug, Clone)]
pub struct Made {
    /// The root of trust.
    pub trust: OrganizationKeys,
    /// The charter, serial 1.
    pub charter: Charter,
    /// The catalogue, version 1.
    pub catalogue: Catalogue,
    /// Keys that must be carried away.
    pub carry_away: Vec<PathBuf>,
    /// What the first owner opens, once, to make a passkey. It stands nowhere else.
    pub link: Link,
    /// Until when.
    pub link_until: Millis,
}

/// A link that lets somebody in, once: a secret, so it is not printed with what it stands in.
#[derive(Clone)]
pub struct Link(pub String);

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(secret)")
    }
}

/// Why nothing, or not everything, was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is something already.
    #[error("{} must be an empty folder or none; nothing in it was touched", path.display())]
    NotEmpty {
        /// Which folder.
        path: PathBuf,
    },
    /// Cannot even look.
    #[error("cannot look into {}", path.display())]
    Look {
        /// Which folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was asked for would not start.
    #[error("these settings would not work")]
    Config(#[source] ConfigError),
    /// What was asked for would not be a charter.
    #[error("charter would not be valid: {0}")]
    Charter(BadField),
    /// No certificate authority.
    #[error("cannot make the certificate authority")]
    Authority(#[source] CaError),
    /// Nobody can be called so.
    #[error("first owner's {0}")]
    Owner(BadField),
    /// A runbook that ships with this program is broken.
    #[error("cannot read the runbooks of this program")]
    Runbook(#[source] BadRunbook),
    /// They do not make a catalogue.
    #[error("cannot build the catalogue")]
    Catalogue(#[source] CatalogueError),
    /// The disk.
    #[error("stopped half-way; remove the folder and run init again")]
    Write(#[source] FileError),
}

/// What [`Directory::first_owner`] holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstOwner {
    /// What acts will call them.
    pub name: String,
    /// SHA-256 of the link's secret.
    pub hash: Digest,
    /// Until when it holds.
    pub expires: Millis,
}

struct NewFile {
    path: PathBuf,
    content: Vec<u8>,
    access: Access,
}

impl NewFile {
    fn new(path: PathBuf, content: impl Into<Vec<u8>>, access: Access) -> Self {
        Self { path, content: content.into(), access }
    }
}

/// Makes an installation in `directory`. `random` fills bytes; two P-256 keys come from the library's own generator.
pub fn init(
    directory: &Directory,
    options: &Options,
    now: Millis,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<Made, InitError> {
    let root = directory.root();
    must_be_empty(root)?;
    let (made, new) = decide(directory, options, now, random)?;
    for folder in [directory.vault(), directory.logs()] {
        files::create_folder(&folder).map_err(InitError::Write)?;
    }
    for file in &new {
        files::create_folder(files::parent(&file.path))
            .and_then(|()| files::create(&file.path, &file.content, file.access))
            .map_err(InitError::Write)?;
    }
    Ok(made)
}

fn must_be_empty(root: &Path) -> Result<(), InitError> {
    match fs::read_dir(root).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(InitError::NotEmpty { path: root.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(InitError::NotEmpty { path: root.to_owned() })
        }
        Err(source) => Err(InitError::Look { path: root.to_owned(), source }),
    }
}

/// Everything that will be written, in order. **Does not touch the disk.**
fn decide(
    directory: &Directory,
    options: &Options,
    now: Millis,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<(Made, Vec<NewFile>), InitError> {
    let mut key = || {
        let mut seed = [0; 32];
        random(&mut seed);
        SecretKey::ed25519(seed)
    };
    let organization = [key(), key(), key()];
    let release = [key(), key(), key()];
    let (order, log) = (key(), key());
    let mut serial = [0; 16];
    random(&mut serial);

    let settings = config::template(
        &options.organization,
        &options.address,
        &options.appliances,
        &options.people,
        options.webhook.as_deref(),
    );
    let config = Config::parse(&settings).map_err(InitError::Config)?;
    let mut secret = [0; 32];
    random(&mut secret);
    let secret = URL_SAFE_NO_PAD.encode(secret);
    let owner = FirstOwner {
        name: operator_name(&options.owner).map_err(InitError::Owner)?,
        hash: Digest::of(secret.as_bytes()),
        expires: now.plus(FIRST_LINK),
    };
    let authority =
        CertificateAuthority::create(&options.organization, now, serial).map_err(InitError::Authority)?;
    let charter = Charter {
        organization: options.organization.clone(),
        serial: 1,
        issued: now,
        not_after: now.plus(CHARTER_LIFETIME_MAX),
        order_keys: [order.public()].into(),
        log_keys: [log.public()].into(),
        release_keys: Quorum { threshold: THRESHOLD, keys: publics(&release) },
        certificate_authorities: vec![authority.certificate_pem().to_owned()],
        witnesses: Vec::new(),
        witness_quorum: None,
        approvers: Vec::new(),
    };
    charter.check().map_err(InitError::Charter)?;
    let trust = OrganizationKeys {
        organization: options.organization.clone(),
        threshold: THRESHOLD,
        keys: publics(&organization),
    };
    let payload = shipped_catalogue(now)?;
    let catalogue = Catalogue::parse(&payload).map_err(InitError::Catalogue)?;

    let mut new = vec![
        NewFile::new(directory.order_key(), order.to_file(), Access::Secret),
        NewFile::new(directory.log_key(), log.to_file(), Access::Secret),
        NewFile::new(directory.ca_key(), authority.key_pem(), Access::Secret),
        NewFile::new(directory.ca_certificate(), authority.certificate_pem(), Access::Public),
        NewFile::new(directory.organization_keys(), pretty(&trust), Access::Public),
        NewFile::new(
            directory.charter(),
            charter.seal(&[&organization[0], &organization[1]]),
            Access::Public,
        ),
        NewFile::new(
            directory.catalogue(),
            Catalogue::seal(&payload, &[&release[0], &release[1]]),
            Access::Public,
        ),
    ];
    new.push(NewFile::new(directory.first_owner(), pretty(&owner), Access::Secret));
    let link = Link(format!("{}/invite/{secret}", config.people_address(config.listen.people.port())));
    let mut carry_away = Vec::new();
    for (kind, keys) in [(OfflineKey::Organization, &organization), (OfflineKey::Release, &release)] {
        for (number, key) in (1..).zip(keys) {
            let path = directory.offline().join(format!("{}-{number}.key", kind.name()));
            let text = kind.belongs(number, &key.public().to_string(), &options.organization);
            new.push(NewFile::new(path.with_extension("txt"), text, Access::Public));
            new.push(NewFile::new(path.clone(), key.to_file(), Access::Secret));
            carry_away.push(path);
        }
    }
    // Last: without it nothing starts.
    new.push(NewFile::new(directory.config(), settings, Access::Secret));
    Ok((Made { trust, charter, catalogue, carry_away, link, link_until: owner.expires }, new))
}

/// The payload of the catalogue that ships with this program.
fn shipped_catalogue(now: Millis) -> Result<Vec<u8>, InitError> {
    let runbooks = runbooks::sources()
        .iter()
        .map(|(name, text)| runbooks::from_yaml(text, name))
        .collect::<Result<_, _>>()
        .map_err(InitError::Runbook)?;
    Catalogue::build(1, now, now.plus(CATALOGUE_LIFETIME), runbooks).map_err(InitError::Catalogue)
}

fn publics(keys: &[SecretKey]) -> std::collections::BTreeSet<proto::keys::PublicKey> {
    keys.iter().map(SecretKey::public).collect()
}

fn pretty(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("plain data serialises");
    text.push('\n');
    text
}

#[derive(Clone, Copy)]
enum OfflineKey {
    Organization,
    Release,
}

impl OfflineKey {
    fn name(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Release => "release",
        }
    }

    /// What the file beside a key tells whoever finds it.
    fn belongs(self, number: u32, public: &str, organization: &str) -> String {
        let name = self.name();
        let what = match self {
            Self::Organization => {
                "Two of the three organization keys together sign the charter: who may sign orders, logs and runbooks.\n\
                 Whoever holds two of them is the organization. They are needed about twice a year:\n\
                 control-plane charter renew --key organization-1.key --key organization-2.key"
            }
            Self::Release => {
                "Two of the three release keys together sign the catalogue: what appliances can be told to do.\n\
                 They are needed when runbooks change:\n\
                 control-plane catalogue sign --key release-1.key CATALOGUE"
            }
        };
        let place = match (self, number) {
            (Self::Organization, 1) => "with the head of the organization, on a medium of its own, in a safe",
            (Self::Organization, 2) => "with a second person, on a medium of its own, at another place",
            (Self::Organization, _) => {
                "with nobody: sealed, at a bank or a notary. It replaces one that is lost"
            }
            (Self::Release, 1) => {
                "with whoever writes runbooks, on a medium of its own, plugged in only to sign"
            }
            (Self::Release, 2) => {
                "with whoever reviews runbooks, on a medium of its own, plugged in only to sign"
            }
            (Self::Release, _) => {
                "with nobody: sealed, beside organization-3.key. It replaces one that is lost"
            }
        };
        format!(
            "{name}-{number}.key: {name} key {number} of 3 of {organization}\n\
             \n\
             Where it belongs: {place}.\n\
             Never two of them in one place, and none of them on this machine or in its backups:\n\
             copy it, read it back, then remove it here.\n\
             \n\
             {what}\n\
             \n\
             public key: {public}\n"
        )
    }
}
