//! The smallest whole: one control plane with one clinic, and its one appliance, enrolled.
//!
//! What the demo builds before the eyes of people, for tests: without a word, in a folder that ends with them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::{Clinic, Provider, Watch, wait};

/// What the clinic is called.
pub const TENANT: &str = "Elm Street Clinic";
const LIMIT: Duration = Duration::from_secs(120);

/// A control plane, an appliance, and the folder that both lie in.
pub struct Practice {
    /// The control plane.
    pub provider: Provider,
    /// The appliance.
    pub clinic: Clinic,
    /// ID of the place where it stands.
    pub site: String,
    /// The appliance's folder and the provider's are in it; goes last.
    pub folder: Folder,
}

/// A folder that others may enter, so that as root the agent can be another user.
pub struct Folder(TempDir);

impl Folder {
    /// Makes one.
    pub fn new() -> Result<Self> {
        let made = tempfile::tempdir()?;
        fs::set_permissions(made.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self(made))
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Practice {
    /// Sets it up in `folder`, with the executor running and the agent not.
    pub fn open(folder: Folder, heartbeat_seconds: u32, watch: &[(&str, Watch<'_>)]) -> Result<Self> {
        Self::telling(folder, heartbeat_seconds, watch, None)
    }

    /// The same with somebody to tell.
    pub fn telling(
        folder: Folder,
        heartbeat_seconds: u32,
        watch: &[(&str, Watch<'_>)],
        webhook: Option<&str>,
    ) -> Result<Self> {
        Self::prepared(folder, heartbeat_seconds, watch, webhook, &|_| Ok(()))
    }

    /// The same, with something done to the installation before its server starts.
    pub fn prepared(
        folder: Folder,
        heartbeat_seconds: u32,
        watch: &[(&str, Watch<'_>)],
        webhook: Option<&str>,
        prepare: &dyn Fn(&Provider) -> Result<()>,
    ) -> Result<Self> {
        let mut provider = Provider::init(&folder.join("control-plane"), "msp.example", webhook)?;
        prepare(&provider)?;
        provider.start()?;
        provider.ask(&["tenant", "create", TENANT])?;
        provider.ask(&["site", "create", "--tenant", TENANT, "Main"])?;
        let clinic = enrolled(&provider, &folder, "appliance", heartbeat_seconds, watch)?;
        let site = provider.database()?.query_row("SELECT id FROM site", [], |row| row.get(0))?;
        Ok(Self { provider, clinic, site, folder })
    }

    /// The box in its place is enrolled anew, in an empty folder and under a new token, and its agent started.
    pub fn enrol_anew(&mut self, watch: &[(&str, Watch<'_>)]) -> Result<()> {
        self.clinic = enrolled(&self.provider, &self.folder, "appliance-anew", 1, watch)?;
        self.clinic.start_agent()
    }

    /// Starts the agent and waits for the first heartbeat to be in the log: from then on orders can be given.
    pub fn start_agent(&mut self) -> Result<()> {
        self.clinic.start_agent()?;
        wait::until("the first heartbeat is in the log", LIMIT, || {
            self.check()?;
            Ok(self.provider.evidence(TENANT)?.iter().any(|e| e["kind"] == "heartbeat").then_some(()))
        })
    }

    /// Fails when a program has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.provider.check()?;
        self.clinic.check()
    }

    /// Exports everything and has it verified offline, under the organization's keys: everything must be proven, and
    /// nothing may be missing but what is in `excused` (kinds of gaps). Gives the verifier's exit code.
    pub fn verified_bundle(&self, excused: &[&str]) -> Result<i32> {
        let (out, trust) =
            (self.folder.join("bundle"), self.provider.dir.join("trust/organization.keys.json"));
        let (out, trust) = (out.to_str().context("UTF-8")?, trust.to_str().context("UTF-8")?);
        if Path::new(out).exists() {
            fs::remove_dir_all(out)?;
        }
        self.provider.run(&["evidence", "export", "--tenant", TENANT, "--out", out], &[0])?;
        let verify = ["evidence", "verify", "--json", "--trust", trust, out];
        let output = self.provider.run(&verify, &[0, 1, 3])?;
        let code = output.status.code().context("an exit code")?;
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let list = |field: &str| report[field].as_array().cloned().with_context(|| field.to_owned());
        let unproven: Vec<Value> =
            list("claims")?.into_iter().filter(|claim| claim["status"] != "proven").collect();
        let is_excused = |gap: &Value| excused.iter().any(|kind| gap["kind"] == *kind);
        let missing: Vec<Value> = list("gaps")?.into_iter().filter(|gap| !is_excused(gap)).collect();
        ensure!(
            code != 1 && unproven.is_empty() && missing.is_empty(),
            "the verifier ended with {code}:\n{report:#}"
        );
        ensure!(
            code == 0 || !list("gaps")?.is_empty(),
            "the verifier ended with {code} for no reason:\n{report:#}"
        );
        Ok(code)
    }
}

/// A box of the one clinic's one site, with its executor running.
fn enrolled(
    provider: &Provider,
    folder: &Folder,
    name: &str,
    heartbeat_seconds: u32,
    watch: &[(&str, Watch<'_>)],
) -> Result<Clinic> {
    let ticket = folder.join(&format!("{name}.ticket.json"));
    let out = ticket.to_str().context("a path in UTF-8")?;
    provider.ask(&["appliance", "token", "--tenant", TENANT, "--site", "Main", "--out", out])?;
    let text: Value = serde_json::from_slice(&fs::read(&ticket)?)?;
    let address = text["address"].as_str().context("a ticket has an address")?;
    let mut clinic = Clinic::create(&folder.join(name), address, heartbeat_seconds, watch)?;
    clinic.start_executor()?;
    clinic.enroll(&ticket)?;
    Ok(clinic)
}
