//! RB-DRIFT-001: sets again what has drifted, where that can be set while the machine runs.
//!
//! The rule: what is set stands in the baseline, nowhere else, and nothing is loosened. The executor's own namespaces and
//! system-call filter keep it from mounts, modules, swap and the network's settings, so process 1 runs what sets those.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
};

use baseline::{Baseline, Control, Finding, Predicate, Probe, Reapply as How, Repair, control::NixValue};

use super::{Look, disk, outside, read, sysctl};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::executor) enum Reapplied {
    /// Set; whether that was enough, the next scan says.
    Done,
    /// It could not be set.
    Failed,
}

/// What activates a NixOS generation; as process 1 sees it.
const GENERATION: &str = "/run/current-system/bin/switch-to-configuration";
/// The same as [`outside::ASK`], with the time that an activation takes.
const ASK_FOR_LONG: [&str; 6] =
    ["--quiet", "--pipe", "--wait", "--collect", "--property=RuntimeMaxSec=240", "--"];

/// Whether this box has what it takes: a generation to activate, or the unit that applies the setting.
pub(in crate::executor) fn can_reapply(look: &Look<'_>, how: &How) -> bool {
    match how {
        How::Generation {} => look.path(GENERATION).exists(),
        How::Start { unit } | How::Restart { unit } => {
            let args = ["show", "--property=LoadState", "--value", "--", unit.as_str()];
            !read::program(look, &look.programs.systemctl, &args)
                .is_ok_and(|state| state.trim() == "not-found")
        }
        How::Sysctl {}
        | How::FileMode {}
        | How::Remount {}
        | How::UnloadModule {}
        | How::SwapOff {}
        | How::Stop { .. } => true,
    }
}

/// One round of setting controls again.
pub(in crate::executor) struct Reapply<'a> {
    look: &'a Look<'a>,
    /// Whether the generation was activated; once is enough for all that it sets.
    activated: Option<bool>,
}

impl<'a> Reapply<'a> {
    pub(in crate::executor) fn new(look: &'a Look<'a>) -> Self {
        Self { look, activated: None }
    }

    /// Sets one drifted control again.
    pub(in crate::executor) fn one(&mut self, finding: &Finding) -> Reapplied {
        let is_done = match Baseline::hipaa_v1().control(finding.control).map(|c| (&c.repair, c)) {
            Some((Repair::Drift { reapply: How::Generation {} }, _)) => {
                *self.activated.get_or_insert_with(|| activate(self.look))
            }
            Some((Repair::Drift { reapply }, control)) => set(self.look, reapply, control, finding),
            _ => false,
        };
        if is_done { Reapplied::Done } else { Reapplied::Failed }
    }
}

/// Has process 1 activate the running generation again: in namespaces of its own, this executor could not.
fn activate(look: &Look<'_>) -> bool {
    read::program(look, &look.programs.systemd_run, &[&ASK_FOR_LONG[..], &[GENERATION, "test"]].concat())
        .is_ok()
}

fn set(look: &Look<'_>, how: &How, control: &Control, finding: &Finding) -> bool {
    match (how, &control.probe) {
        (How::Sysctl {}, Probe::Sysctl { key }) => match &control.nixos.value {
            NixValue::Number(number) if sysctl::is_of_network(key) => {
                outside(look, Path::new("sysctl"), &["-q", "-w", &format!("{key}={number}")])
            }
            NixValue::Number(number) => {
                fs::write(look.path(&sysctl::path(key)), format!("{number}\n")).is_ok()
            }
            _ => false,
        },
        (How::FileMode {}, Probe::File { path }) => file_mode(look, control, finding, path.as_str()),
        (How::Remount {}, Probe::Mount { path }) => match control.expect.0.get("options") {
            Some(Predicate::Includes(options)) => {
                let options =
                    options.iter().fold("remount,bind".to_owned(), |all, one| all + "," + one.as_str());
                outside(look, Path::new("mount"), &["-o", &options, path.as_str()])
            }
            _ => false,
        },
        (How::UnloadModule {}, Probe::Module { name }) => {
            outside(look, Path::new("modprobe"), &["-r", name.as_str()])
        }
        (How::SwapOff {}, Probe::Swap {}) => disk::swap_areas(look).is_ok_and(|areas| {
            let clear = areas.iter().filter(|(_, is_clear)| *is_clear);
            clear.fold(true, |all, (path, _)| outside(look, Path::new("swapoff"), &["--", path]) && all)
        }),
        (How::Start { unit }, _) => systemctl(look, "start", unit.as_str()),
        (How::Stop { unit }, _) => systemctl(look, "stop", unit.as_str()),
        (How::Restart { unit }, _) => systemctl(look, "restart", unit.as_str()),
        _ => false,
    }
}

/// Takes away what is too much, and gives the file to root where it is another's and root is expected. Never through a link.
fn file_mode(look: &Look<'_>, control: &Control, finding: &Finding, path: &str) -> bool {
    let path = look.path(path);
    let Ok(found) = fs::symlink_metadata(&path) else { return false };
    if found.file_type().is_symlink() {
        return false;
    }
    let root = |field: &str| {
        let expected =
            control.expect.0.get(field).filter(|_| finding.fields.iter().any(|wrong| wrong == field));
        expected.is_some_and(|wanted| {
            "root".parse::<baseline::Word>().is_ok_and(|word| wanted.holds(&word.into()))
        })
    };
    // First to root: of a file that is somebody else's, the mode is not ours to trust.
    if chown(&path, root("owner").then_some(0), root("group").then_some(0)).is_err() {
        return false;
    }
    let Some(Predicate::ModeWithin(most)) = control.expect.0.get("mode") else { return true };
    let Some(most) = most.as_mode() else { return false };
    let mode = found.permissions().mode() & 0o7777 & most;
    fs::set_permissions(&path, Permissions::from_mode(mode)).is_ok()
}

fn systemctl(look: &Look<'_>, verb: &str, unit: &str) -> bool {
    read::program(look, &look.programs.systemctl, &[verb, "--", unit]).is_ok()
}

fn outside(look: &Look<'_>, program: &Path, args: &[&str]) -> bool {
    let Some(program) = program.to_str() else { return false };
    let all = [&outside::ASK[..], &[program], args].concat();
    read::program(look, &look.programs.systemd_run, &all).is_ok()
}
