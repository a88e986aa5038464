//! What only shows from within the machine's own network: `net.*` settings, packet filter, audit.
//!
//! The rule: an executor that has no network gets none for looking. It asks process 1 to run this same program's `look`,
//! once for all such probes, where it prints what it saw and ends.

use std::{collections::BTreeMap, env, fs};

use baseline::{Baseline, Blind, Looked, Probe};

use super::{Look, looked, read, sysctl};

/// Answers every probe that only shows there.
pub(super) fn look(look: &Look<'_>, probes: &[&Probe], seen: &mut BTreeMap<Probe, Looked>) {
    let asked: Vec<&Probe> = probes.iter().copied().filter(|probe| is_outside(probe)).collect();
    if asked.is_empty() {
        return;
    }
    let found = if is_there(look) { Ok(at_once(look, &asked)) } else { ask(look) };
    for probe in asked {
        let answer = match &found {
            Ok(found) => found.iter().find(|(of, _)| of == probe).map(|(_, looked)| looked.clone()),
            Err(blind) => Some(Looked::Blind(*blind)),
        };
        seen.insert(probe.clone(), answer.unwrap_or(Looked::Blind(Blind::NotLooked)));
    }
}

/// What `look` prints: what it saw, of the baseline that this program was built with.
pub(in crate::executor) fn answer(look: &Look<'_>) -> Result<String, serde_json::Error> {
    let probes = Baseline::hipaa_v1().probes();
    let asked: Vec<&Probe> = probes.into_keys().filter(|probe| is_outside(probe)).collect();
    serde_json::to_string(&at_once(look, &asked))
}

fn is_outside(probe: &Probe) -> bool {
    match probe {
        Probe::Firewall {} | Probe::AuditRules {} => true,
        Probe::Sysctl { key } => sysctl::is_of_network(key),
        _ => false,
    }
}

fn at_once(look: &Look<'_>, asked: &[&Probe]) -> Vec<(Probe, Looked)> {
    asked.iter().map(|probe| ((*probe).clone(), looked(look.at_one(probe)))).collect()
}

/// Whether this program is in the machine's own network. Where nobody can say, a folder of files stands for a machine.
fn is_there(look: &Look<'_>) -> bool {
    let of = |process: &str| fs::read_link(look.root.join("proc").join(process).join("ns/net")).ok();
    of("self") == of("1")
}

fn ask(look: &Look<'_>) -> Result<Vec<(Probe, Looked)>, Blind> {
    let program = env::current_exe().map_err(|error| read::why(&error))?;
    let program = program.to_str().ok_or(Blind::Unreadable)?;
    let printed = read::program(look, &look.programs.systemd_run, &[&ASK[..], &[program, "look"]].concat())?;
    serde_json::from_str(printed.trim()).map_err(|_| Blind::Unreadable)
}

/// Has process 1 run a program with the machine's own namespaces, and waits for its end.
pub(super) const ASK: [&str; 6] =
    ["--quiet", "--pipe", "--wait", "--collect", "--property=RuntimeMaxSec=30", "--"];
