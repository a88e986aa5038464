//! `appliance scan`: one look at every control of the baseline, by hand; nothing is signed and nothing is changed.

use std::{path::PathBuf, process::ExitCode};

use anyhow::anyhow;
use baseline::{Baseline, Finding, Reading, Verdict};
use nix::unistd::Uid;

use crate::{
    config::Config,
    executor::steps::{Programs, Stop, SystemHost},
    world::World,
};

use super::Failure;

/// Looks, and prints verdict and reading of each control.
pub(super) fn run(config: &Config, world: World, json: bool) -> Result<ExitCode, Failure> {
    if !Uid::effective().is_root() {
        return Err(Failure::of(anyhow!("only root can look at every control")));
    }
    let now = world.clock.wall();
    let findings = SystemHost::from_config(config, world, Stop::default()).scan_once(now);
    if json {
        println!("{}", serde_json::to_string(&findings).map_err(Failure::of)?);
        return Ok(ExitCode::SUCCESS);
    }
    for found in &findings {
        let title = Baseline::hipaa_v1().control(found.control).map_or("", |control| control.title.as_str());
        println!("{} {:13} {title}{}", found.control, found.verdict, detail(found));
    }
    let of = |verdict| findings.iter().filter(|found| found.verdict == verdict).count();
    println!(
        "{} controls: {} compliant, {} drifted, {} excepted, {} not evaluable",
        findings.len(),
        of(Verdict::Compliant),
        of(Verdict::Drifted),
        of(Verdict::Excepted),
        of(Verdict::NotEvaluable)
    );
    Ok(ExitCode::SUCCESS)
}

/// What this program sees where the executor cannot look, for the executor.
pub(super) fn look(world: World) -> Result<ExitCode, Failure> {
    // It keeps nothing, and no order runs here.
    let nowhere = PathBuf::new();
    let host = SystemHost::new(world, Programs::default(), nowhere.clone(), nowhere, Stop::default());
    println!("{}", host.look_from_outside().map_err(Failure::of)?);
    Ok(ExitCode::SUCCESS)
}

fn detail(found: &Finding) -> String {
    let said = |reading: &Reading| {
        let fields: Vec<String> = reading.iter().map(|(field, value)| format!("{field}={value}")).collect();
        fields.join(" ")
    };
    match (found.verdict, &found.reading, found.blind) {
        (Verdict::Compliant, _, _) => String::new(),
        (_, Some(reading), _) => format!(" [{}]", said(reading)),
        (_, None, Some(blind)) => format!(" [{blind}]"),
        (_, None, None) => String::new(),
    }
}
