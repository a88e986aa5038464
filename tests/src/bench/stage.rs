//! What the benches stand on: a control plane as `init` makes it, and appliances enrolled there, all real processes.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::rig::{Clinic, Provider, Watch};

/// The clinic of all appliances.
pub(super) const TENANT: &str = "Bench";
/// The trust domain.
pub(super) const ORGANIZATION: &str = "bench.example";

/// A control plane that serves, with the clinic.
pub(super) fn provider(work: &Path) -> Result<Provider> {
    let mut provider = installed(work)?;
    provider.start()?;
    provider.ask(&["tenant", "create", TENANT])?;
    Ok(provider)
}

/// A control plane as `init` makes it.
pub(super) fn installed(work: &Path) -> Result<Provider> {
    let provider = Provider::init(&work.join("control-plane"), ORGANIZATION, None)?;
    // One box reports what a thousand do otherwise.
    let config = provider.dir.join("config.toml");
    let text =
        std::fs::read_to_string(&config)?.replace("events_per_hour = 2000", "events_per_hour = 1000000");
    std::fs::write(&config, text)?;
    Ok(provider)
}

/// An appliance at a site of its own: enrolled, the executor running, the agent not yet.
pub(super) fn appliance(
    provider: &Provider,
    work: &Path,
    name: &str,
    watch: &[(&str, Watch<'_>)],
) -> Result<Clinic> {
    provider.ask(&["site", "create", "--tenant", TENANT, name])?;
    let ticket = work.join(format!("{name}.ticket.json"));
    let out = ticket.to_str().context("a path in UTF-8")?;
    provider.ask(&["appliance", "token", "--tenant", TENANT, "--site", name, "--out", out])?;
    let address = address(&ticket)?;
    let mut clinic = Clinic::create(&work.join(name), &address, 3600, watch)?;
    clinic.start_executor()?;
    clinic.enroll(&ticket)?;
    Ok(clinic)
}

/// Where appliances find the control plane.
pub(super) fn address(ticket: &Path) -> Result<String> {
    let ticket: serde_json::Value = serde_json::from_slice(&fs::read(ticket)?)?;
    Ok(ticket["address"].as_str().context("a ticket has an address")?.to_owned())
}
