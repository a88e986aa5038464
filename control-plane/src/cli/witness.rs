//! `control-plane witness`: an outside witness of other people's logs, for an auditor or another provider.
//!
//! It needs nothing of a control plane: a folder of its own, a key of its own, and the logs' verifier keys.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::Subcommand;
use proto::log::{VerifierKey, WitnessKey};
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{
    Misuse, World, misuse,
    output::{Answer, facts, table, time, when},
};
use crate::{
    core::chain,
    files,
    serve::tls,
    witness::{self, Folder, WitnessError},
};

const PEM_MAX: u64 = 1 << 20;

const EXAMPLES: &str = "\
A witness cosigns checkpoints of the logs it knows, one history of each, and says when. Run it where the provider has no
hand in it. It speaks C2SP tlog-witness; TLS is for a proxy before it, or give it a certificate.

Example:
  control-plane --dir /srv/witness witness init --name witness.auditor.example/w1
  control-plane --dir /srv/witness witness trust \"evidence.msp.example/…+1a2b3c4d+AQ…\"
  control-plane --dir /srv/witness witness serve --listen 0.0.0.0:8480";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Witness {
    /// Make a witness in --dir: its key (0600), and the verifier key to give to the providers
    Init {
        /// Name that it cosigns under, a URL without scheme; never give two witnesses one name
        #[arg(long)]
        name: String,
    },
    /// Cosign a log from now on: its verifier key, as `control-plane evidence witnesses` shows it
    Trust {
        /// C2SP verifier key of the log
        #[arg(value_name = "VKEY")]
        log: String,
    },
    /// Show what was cosigned: of each log the newest size, and when
    List,
    /// Run the witness until it is told to stop (SIGTERM, Ctrl-C)
    Serve {
        /// Address and port to listen on
        #[arg(long, value_name = "ADDR")]
        listen: SocketAddr,
        /// Certificate chain for TLS, PEM; read once, at the start [default: plain HTTP]
        #[arg(long, value_name = "FILE", requires = "key")]
        certificate: Option<PathBuf>,
        /// Its private key, PEM, readable by its owner alone
        #[arg(long, value_name = "FILE", requires = "certificate")]
        key: Option<PathBuf>,
    },
}

impl Witness {
    pub(super) fn run(self, folder: &Folder, world: World) -> anyhow::Result<Answer> {
        match self {
            Self::Init { name } => init(folder, &name, world),
            Self::Trust { log } => trust(folder, &log),
            Self::List => list(folder),
            Self::Serve { listen, certificate, key } => {
                let tls = certificate.zip(key).map(|(chain, key)| given(chain, key)).transpose()?;
                serve(folder, listen, tls, world)
            }
        }
    }
}

fn init(folder: &Folder, name: &str, world: World) -> anyhow::Result<Answer> {
    let mut seed = [0; 32];
    (world.random)(&mut seed);
    let made = match folder.init(name, seed) {
        Err(WitnessError::Name(why)) => return Err(misuse(format!("--name is {name:?}: {why}"))),
        made => made?,
    };
    let text = facts([
        ("witness", made.key.name().to_owned()),
        ("verifier key", made.key.to_string()),
        ("secret key", made.secret.display().to_string()),
        ("logs", made.logs.display().to_string()),
    ]);
    let next = "Give the verifier key to the providers, for their charter; get their logs' keys, for `witness trust`.";
    let json = json!({
        "name": made.key.name(),
        "vkey": made.key.to_string(),
        "secret_key": made.secret,
        "logs": made.logs,
    });
    Ok(Answer::new(format!("{text}\n{next}"), json))
}

fn trust(folder: &Folder, log: &str) -> anyhow::Result<Answer> {
    let key: VerifierKey = log.parse().with_context(|| Misuse("VKEY is not a log's verifier key".into()))?;
    let added = folder.trust(&key).map_err(misused)?;
    let says = if added { "is cosigned from now on" } else { "was known already" };
    Ok(Answer::new(
        format!("{} {says}", key.name()),
        json!({ "origin": key.name(), "vkey": key.to_string(), "added": added }),
    ))
}

fn list(folder: &Folder) -> anyhow::Result<Answer> {
    let all = witness::Witness::look(folder).map_err(misused)?;
    let rows = all
        .iter()
        .map(|kept| [kept.checkpoint.origin.clone(), kept.checkpoint.size.to_string(), when(kept.at.0)]);
    let json = all.iter().map(|kept| {
        json!({
            "origin": kept.checkpoint.origin,
            "size": kept.checkpoint.size,
            "root": kept.checkpoint.root.to_base64(),
            "cosigned": time(kept.at.0),
        })
    });
    Ok(Answer::new(table(["LOG", "ENTRIES", "COSIGNED"], rows), json!({ "logs": json.collect::<Vec<_>>() })))
}

fn given(chain: PathBuf, key: PathBuf) -> anyhow::Result<Arc<rustls::ServerConfig>> {
    let wrong = || Misuse(format!("--certificate {} with --key {}", chain.display(), key.display()));
    let (chain, key) = (
        files::read(&chain, PEM_MAX).with_context(wrong)?,
        files::read_secret(&key, PEM_MAX).with_context(wrong)?,
    );
    tls::given(&chain, key.as_bytes()).with_context(wrong)
}

fn serve(
    folder: &Folder,
    listen: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    world: World,
) -> anyhow::Result<Answer> {
    let witness = witness::Witness::open(folder.clone()).map_err(misused)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        said(witness.key(), listener.local_addr()?, witness.logs().count(), tls.is_some());
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        witness::serve(witness, listener, tls, world.now, stop).await;
        anyhow::Ok(())
    })?;
    Ok(Answer::new("", json!({ "stopped": true })))
}

fn said(key: &WitnessKey, address: SocketAddr, logs: usize, tls: bool) {
    tracing::info!(%address, witness = key.name(), logs, tls, "serving");
    // Without systemd there is nobody to notify; that is fine.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

/// What is wrong with the folder is for whoever typed or edited it; the disk is not.
fn misused(error: WitnessError) -> anyhow::Error {
    match error {
        WitnessError::NoWitness(_)
        | WitnessError::OtherKey { .. }
        | WitnessError::InUse(_)
        | WitnessError::Log { .. } => misuse(chain(&error)),
        error => error.into(),
    }
}
