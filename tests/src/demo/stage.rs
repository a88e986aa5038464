//! The stage: a provider, a clinic with things to look after, somebody to be told.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Scene, Teller, place};
use crate::{
    clock,
    rig::{Behaviour, Clinic, Machine, Model, Provider, Receiver, Watch, Witness, restic::Repository, wait},
};

/// What the clinic is called.
pub const TENANT: &str = "Elm Street Clinic";
/// How much the watched directories may hold.
pub const LIMIT_BYTES: u64 = 4_000_000;
/// How long a scene waits for what must come: for a busy machine; the whole demo takes less.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
const ORGANIZATION: &str = "msp.example";
const WITNESS: &str = "witness.auditor.example/w1";

/// Everything on it.
pub struct Stage {
    /// `target/demo`.
    pub folder: PathBuf,
    /// Beside it, `target/screens`: the packet page by page.
    pub screens: PathBuf,
    /// The control plane.
    pub provider: Provider,
    /// Who watches its logs: another organization.
    pub witness: Witness,
    /// The appliance.
    pub clinic: Clinic,
    /// A second appliance on a machine of its own, once it is there.
    pub machine: Option<Machine>,
    /// Who is told.
    pub receiver: Receiver,
    /// A directory that will be over its limit.
    pub uploads: PathBuf,
    /// Another, while nobody listens.
    pub spool: PathBuf,
    /// Another, about which people decide.
    pub scans: PathBuf,
    /// Another, about which a model is asked.
    pub letters: PathBuf,
    /// Whether that model means harm.
    pub hostile: Arc<AtomicBool>,
    /// A repository that goes stale.
    pub records: Repository,
    /// A repository that breaks.
    pub images: Repository,
    /// Whether the scene that is played does its harm.
    pub fault: bool,
    /// How long it waits for what must come of that.
    pub patience: Duration,
}

impl Stage {
    /// Sets it up: installation, server, enrolment, agent. `without`: a scene that will be played without its fault.
    pub fn build(folder: &Path, without: Option<Scene>, teller: &mut Teller) -> Result<Self> {
        let start = clock::instant();
        teller.scene(0, "A provider, a clinic, a box");
        let screens = folder.parent().unwrap_or(Path::new("")).join("screens");
        let folder = place::prepare(folder)?;
        let receiver = Receiver::start()?;
        let mut provider =
            Provider::init(&folder.join("control-plane"), ORGANIZATION, Some(&receiver.url()))?;
        fs::create_dir_all(folder.join("trust"))?;
        fs::copy(
            provider.dir.join("trust/organization.keys.json"),
            folder.join("trust/organization.keys.json"),
        )?;
        let mut witness = Witness::init(&folder.join("witness"), WITNESS)?;
        provider.is_watched_by(&witness)?;
        let config = provider.dir.join("config.toml");
        fs::write(&config, fs::read_to_string(&config)? + &receiver.channel())?;
        let hostile = Arc::new(AtomicBool::new(false));
        let means_harm = hostile.clone();
        let model = Model::start(move |_| match means_harm.load(Ordering::Relaxed) {
            true => Behaviour::Chooses("RB-SHELL-666".into()),
            false => Behaviour::Chooses("RB-DISK-002".into()),
        })?;
        provider.ask_model(&model.url(), "a-model", "sk-of-the-demo")?;
        provider.start()?;
        teller.say("control plane: keys, CA and charter made, catalogue signed by 2 of 3, serving");

        let world = folder.join("clinic");
        let [uploads, spool, scans, letters] =
            ["uploads", "spool", "scans", "letters"].map(|name| world.join(name));
        for path in [&uploads, &spool, &scans, &letters] {
            fs::create_dir_all(path)?;
        }
        let [records, archive, images] = repositories(&world, ["records", "archive", "images"])?;
        teller.say("clinic: four directories and three restic repositories to look after");

        provider.ask(&["tenant", "create", TENANT])?;
        let standing = provider.ask(&["evidence", "witnesses", "--tenant", TENANT])?;
        witness.trust(standing["log_keys"][0].as_str().context("a log has a key")?)?;
        witness.start()?;
        teller.say(format!("{WITNESS}: another organization's, cosigns the clinic's log"));
        provider.ask(&["site", "create", "--tenant", TENANT, "Main"])?;
        let ticket = folder.join("ticket.json");
        let out = ticket.to_str().context("a path in UTF-8")?;
        provider.ask(&["appliance", "token", "--tenant", TENANT, "--site", "Main", "--out", out])?;
        let address = address(&ticket)?;
        let mut watch = vec![
            ("uploads", Watch::Directory(&uploads, LIMIT_BYTES)),
            ("spool", Watch::Directory(&spool, LIMIT_BYTES)),
            ("scans", Watch::Directory(&scans, LIMIT_BYTES)),
            ("letters", Watch::Directory(&letters, LIMIT_BYTES)),
            ("records", Watch::Backup(&records)),
            ("images", Watch::Backup(&images)),
        ];
        // That no restore from it was ever proven is a fault that it has from the beginning.
        if without != Some(Scene::ProvenRestore) {
            watch.push(("archive", Watch::Backup(&archive)));
        }
        let mut clinic = Clinic::create(&folder.join("appliance"), &address, 10, &watch)?;
        clinic.start_executor()?;
        clinic.enroll(&ticket)?;
        fs::remove_file(&ticket)?;
        clinic.start_agent()?;
        wait::until("the first heartbeat is in the log", PATIENCE, || {
            clinic.check()?;
            Ok(provider.evidence(TENANT)?.iter().any(|e| e["kind"] == "heartbeat").then_some(()))
        })?;
        let separated = separation(&clinic)?;
        teller.proved(
            "enrolled by one-time token",
            format!("two processes, {separated}"),
            clock::since(start),
        );
        Ok(Self {
            folder,
            screens,
            provider,
            witness,
            clinic,
            machine: None,
            receiver,
            uploads,
            spool,
            scans,
            letters,
            hostile,
            records,
            images,
            fault: true,
            patience: PATIENCE,
        })
    }

    /// Ends everything in good order.
    pub fn close(&mut self) -> Result<()> {
        self.clinic.stop()?;
        if let Some(machine) = self.machine.take() {
            machine.run("systemctl", &["stop", "orderly-agent.service", "orderly-executor.service"])?;
        }
        self.provider.stop()?;
        self.witness.stop()
    }
}

/// Tried, not inferred: by the agent's user, on a key that is there, beside a file that it can read.
fn separation(clinic: &Clinic) -> Result<&'static str> {
    let key = clinic.evidence_key();
    ensure!(
        !fs::read(&key).with_context(|| key.display().to_string())?.is_empty(),
        "the evidence key is empty"
    );
    ensure!(clinic.agent_can_read(&clinic.tls_key())?, "the agent's user cannot read its own TLS key");
    let readable = clinic.agent_can_read(&key)?;
    match (clinic.agent_uid, readable) {
        (Some(_), false) => Ok("two users: the agent cannot read the evidence key"),
        (Some(_), true) => bail!("the agent's user can read the evidence key"),
        (None, _) => Ok("not separated: one user (started as root, they are two)"),
    }
}

/// Each with a backup, all at once: deriving the key from its password alone takes restic half a second.
fn repositories<const N: usize>(world: &Path, names: [&str; N]) -> Result<[Repository; N]> {
    let make = |name: &str| {
        let made = Repository::create(world, name)?;
        made.backup(None)?;
        Ok::<_, anyhow::Error>(made)
    };
    let made: Vec<Result<Repository>> = thread::scope(|scope| {
        let working = names.map(|name| scope.spawn(move || make(name)));
        working.map(|one| one.join().unwrap_or_else(|_| bail!("the one who makes it panicked"))).into()
    });
    let made: Vec<Repository> = made.into_iter().collect::<Result<_>>()?;
    made.try_into().ok().context("as many as were asked for")
}

fn address(ticket: &Path) -> Result<String> {
    let ticket: serde_json::Value = serde_json::from_slice(&fs::read(ticket)?)?;
    Ok(ticket["address"].as_str().context("a ticket has an address")?.to_owned())
}

/// Puts files of `bytes` in all into a directory at once.
pub fn fill(directory: &Path, bytes: u64) -> Result<()> {
    let aside = directory.with_extension("filling");
    fs::create_dir_all(&aside)?;
    for number in 0..bytes / 250_000 {
        let path = aside.join(format!("scan-{number:03}.bin"));
        fs::write(&path, vec![b'x'; 250_000])?;
    }
    // Moved in one go: a repair that runs while files still arrive would rightly be called ineffective.
    for entry in fs::read_dir(&aside)? {
        let entry = entry?;
        fs::rename(entry.path(), directory.join(entry.file_name()))?;
    }
    Ok(fs::remove_dir(&aside)?)
}

/// Bytes in a directory.
pub fn size(directory: &Path) -> Result<u64> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
