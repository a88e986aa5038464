//! What an executor begins with: its folder, key, database, pinned trust, and a socket.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, stdin},
    os::{
        fd::AsFd as _,
        unix::{
            fs::{OpenOptionsExt as _, PermissionsExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    sys::socket::{getsockopt, sockopt::AcceptConn},
    unistd::{Uid, chown},
};
use proto::{charter::OrganizationKeys, field::BadField, identity::KeyProtection, time::Millis};
use rusqlite::Connection;

use crate::{
    config::Config,
    executor::{
        ExecutorCore, OpenError, Settings, Setup,
        keys::{self, KeyError},
        store::StoreError,
    },
    files::{self, FileError},
    world::{Host, World},
};

/// No time before this is believed by a program that was built without `SOURCE_DATE_EPOCH`: 2026-01-01.
const OLDEST: Millis = Millis(1_767_225_600_000);

/// Why an executor cannot begin its work.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// No key.
    #[error("the executor has no evidence key")]
    Key(#[from] KeyError),
    /// No database file.
    #[error("executor.db cannot be made")]
    File(#[from] FileError),
    /// The pinned keys are not keys.
    #[error("trust.organization_keys = {path} is damaged; put the right file back")]
    Trust {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: BadField,
    },
    /// The database says no.
    #[error("the executor cannot go on from its state")]
    Open(#[from] OpenError),
}

/// Opens the executor that the configuration describes. The caller holds the folder's lock.
pub fn open_core(config: &Config, world: World, host: Arc<dyn Host>) -> Result<ExecutorCore, BeginError> {
    let folder = config.paths.executor();
    files::private_folder(&folder)?;
    let database = folder.join("executor.db");
    let is_new = fs::symlink_metadata(&database).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
    let path = folder.join("evidence.key");
    let evidence_key = keys::open(&path, config.executor.evidence_key, &*world.entropy, is_new)?;
    if is_new {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&database)
            .map_err(|source| FileError { doing: "create", path: database.clone(), source })?;
        files::sync_parent(&database)?;
    }
    let connection = Connection::open(&database)
        .map_err(|source| OpenError::Store(StoreError::Sql { doing: "open the file", source }))?;
    let setup = Setup {
        settings: Settings::from(config),
        trust: trust(&config.trust.organization_keys)?,
        evidence_key,
        protection: KeyProtection::File,
        world,
        host,
        build: build(),
    };
    Ok(ExecutorCore::open(connection, setup)?)
}

/// The pinned organization keys; `None` before the enrolment.
pub(super) fn trust(path: &Path) -> Result<Option<OrganizationKeys>, BeginError> {
    if fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let text = files::read_pinned(path)?;
    OrganizationKeys::parse(&text)
        .map(Some)
        .map_err(|source| BeginError::Trust { path: path.to_owned(), source })
}

fn build() -> Millis {
    option_env!("SOURCE_DATE_EPOCH")
        .and_then(|seconds| seconds.parse::<i64>().ok())
        .map_or(OLDEST, |seconds| Millis(seconds.saturating_mul(1000)).max(OLDEST))
}

/// Where callers come in.
pub(super) struct Listener {
    pub(super) socket: UnixListener,
    /// Whether this process made the socket's file.
    pub(super) is_ours: bool,
}

/// The socket that systemd hands over as standard input (`StandardInput=socket`), else one made at `path`.
pub(super) fn listener(path: &Path, agent: Uid) -> io::Result<Listener> {
    // Marks what systemd hands over so that no program we run inherits it.
    let handed_over = sd_notify::listen_fds()?.len();
    let input = stdin();
    if getsockopt(&input.as_fd(), AcceptConn) == Ok(true) {
        let socket = UnixListener::from(input.as_fd().try_clone_to_owned()?);
        return Ok(Listener { socket, is_ours: false });
    }
    if handed_over > 0 {
        let problem =
            "systemd hands over a socket, but not as standard input; the unit needs StandardInput=socket";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    Ok(Listener { socket: bind(path, agent)?, is_ours: true })
}

fn bind(path: &Path, agent: Uid) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if fs::symlink_metadata(path).is_ok() {
        match UnixStream::connect(path) {
            Ok(_) => {
                let problem = format!("another executor listens at {}", path.display());
                return Err(io::Error::new(io::ErrorKind::AddrInUse, problem));
            }
            // Left over: nobody listens.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            Err(e) => return Err(e),
        }
    }
    let listener = UnixListener::bind(path)?;
    let me = Uid::effective();
    let mode = if agent == me {
        0o600
    } else if me.is_root() {
        chown(path, Some(agent), None)?;
        0o600
    } else {
        // Anybody may knock; the kernel says who it is, and only the agent is let in.
        0o666
    };
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_left_over_is_replaced_and_one_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/executor.sock");
        let me = Uid::effective();
        let first = bind(&path, me).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bind(&path, me).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        bind(&path, me).unwrap();
    }

    #[test]
    fn no_trust_yet_and_a_damaged_one_are_different() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("organization.keys.json");
        assert!(trust(&path).unwrap().is_none());
        fs::write(&path, b"{}").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(trust(&path), Err(BeginError::Trust { .. })));
    }

    #[test]
    fn the_oldest_time_is_the_year_that_it_says() {
        assert_eq!(OLDEST.to_string(), "2026-01-01T00:00:00.000Z");
    }
}
