//! Real object stores on this machine's loopback, each with one owner who may do what an owner may.
//!
//! A store serves all tests of a program and goes with it: it is started by a thread that lives as long as the program,
//! and the kernel ends its processes with that thread.

mod ministack;
mod owner;
mod rgw;

use std::{
    any::Any,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use control_plane::{
    config::{S3, Secret},
    files::{self, Access},
};

pub use owner::{Owner, Said};

const LIMIT: Duration = Duration::from_secs(120);
/// The one owner's.
const KEY_ID: &str = "ORDERLYOWNER";
const SECRET: &str = "not-a-secret-but-a-test";

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ceph's object gateway, which locks as strictly as Amazon.
    Rgw,
    /// A quick one in Python, which is laxer: what it lets happen must be found.
    Ministack,
}

impl Kind {
    /// Where `.ci/setup test` unpacks it.
    fn place(self) -> &'static str {
        match self {
            Self::Rgw => "ceph/root",
            Self::Ministack => "ministack/bin",
        }
    }
}

/// A store that runs.
#[derive(Debug, Clone)]
pub struct Store {
    /// Its port on the loopback.
    pub port: u16,
    /// A file with its owner's access key, for the control plane.
    pub credentials: PathBuf,
}

impl Store {
    /// Whether its software is here.
    #[must_use]
    pub fn is_here(kind: Kind) -> bool {
        unpacked(kind.place()).is_some()
    }

    /// The one of this program, started with the first call; `None`: its software is not here, which is said. In CI that
    /// is a failure.
    pub fn shared(kind: Kind) -> Result<Option<&'static Self>> {
        static RGW: OnceLock<Result<Option<Store>, String>> = OnceLock::new();
        static MINISTACK: OnceLock<Result<Option<Store>, String>> = OnceLock::new();
        let (place, start): (_, Start) = match kind {
            Kind::Rgw => (&RGW, rgw::start),
            Kind::Ministack => (&MINISTACK, ministack::start),
        };
        let begun = place.get_or_init(|| begin(start).map_err(|error| format!("{error:#}")));
        let store = begun.as_ref().map_err(|error| anyhow!("{kind:?} does not start: {error}"))?.as_ref();
        if store.is_none() {
            if std::env::var_os("CI").is_some() {
                bail!("in CI nothing is skipped, but {kind:?} is not unpacked (`.ci/setup test`, as root)");
            }
            println!("skipped: {kind:?} is not unpacked (`.ci/setup test`, as root)");
        }
        Ok(store)
    }

    /// A new bucket with Object Lock, and its owner.
    pub fn bucket(&self, name: &str) -> Result<Owner> {
        let owner = Owner::new(self.port, name);
        owner.make_bucket(true)?;
        Ok(owner)
    }

    /// The settings of a vault in a bucket, through `port` where something stands between.
    #[must_use]
    pub fn settings(&self, bucket: &str, prefix: &str, port: u16) -> S3 {
        S3 {
            scheme: "http".to_owned(),
            host: format!("127.0.0.1:{port}"),
            region: "us-east-1".to_owned(),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            path_style: true,
            credentials: Some(Secret::file("vault.credentials", self.credentials.clone())),
            authority: None,
        }
    }
}

/// Starts a store in a folder; `None`: its software is not here.
type Start = fn(&Path) -> Result<Option<Running>>;

/// What runs for as long as it is kept.
struct Running {
    port: u16,
    _kept: Box<dyn Any>,
}

/// Starts a store in a thread that stays.
fn begin(start: Start) -> Result<Option<Store>> {
    let (tell, told) = mpsc::channel();
    thread::Builder::new().name("store".into()).spawn(move || {
        let (outcome, _running) = match prepare(start) {
            Ok((store, running)) => (Ok(store), running),
            Err(error) => (Err(error), None),
        };
        let _ = tell.send(outcome);
        loop {
            thread::park();
        }
    })?;
    told.recv().context("the thread of a store has ended")?
}

fn prepare(start: Start) -> Result<(Option<Store>, Option<Running>)> {
    let folder = folder()?;
    let credentials = folder.join("credentials");
    let text = format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n");
    files::create(&credentials, text.as_bytes(), Access::Secret)?;
    let running = start(&folder)?;
    Ok((running.as_ref().map(|running| Store { port: running.port, credentials }), running))
}

/// A folder that outlives its owner, as nobody is left to remove it; the next one does.
fn folder() -> Result<PathBuf> {
    const PREFIX: &str = "orderly-store-";
    for entry in fs::read_dir(std::env::temp_dir())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            let _ = fs::remove_dir_all(entry.path()); // another may be at it, too
        }
    }
    let prefix = format!("{PREFIX}{}-", std::process::id());
    Ok(tempfile::Builder::new().prefix(&prefix).tempdir()?.keep())
}

/// A command that ends with the thread that starts it, in whatever way that ends.
fn bound(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A folder of this repository's `target`, if something was unpacked there.
fn unpacked(name: &str) -> Option<PathBuf> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target"));
    fs::canonicalize(root.join(name)).ok()
}
