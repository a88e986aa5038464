//! RB-DRIFT-001: sets again what has drifted, where that can be set while the machine runs.
//!
//! The rule: what is set stands in the baseline, nowhere else, and nothing is loosened. The executor's own namespaces and
//! system-call filter keep it from mounts, modules, swap and the network's settings, so process 1 runs what sets those.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
};

use baseline::{Control, Finding, Predicate, Probe, Reapply, Repair, Verdict, control::NixValue};

use super::{Look, disk, outside, read, sysctl};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::executor) enum Reapplied {
    /// Set; whether that was enough, the next scan says.
    Done,
    /// It could not be set.
    Failed,
    /// This is not set by a repair while the machine runs.
    NotHere,
}

/// Sets one control again.
pub(in crate::executor) fn reapply(look: &Look<'_>, control: &Control, finding: &Finding) -> Reapplied {
    let Repair::Drift { reapply } = &control.repair else { return Reapplied::NotHere };
    if finding.verdict != Verdict::Drifted {
        return Reapplied::NotHere;
    }
    let is_done = match (reapply, &control.probe) {
        (Reapply::Generation {}, _) => return Reapplied::NotHere,
        (Reapply::Sysctl {}, Probe::Sysctl { key }) => match &control.nixos.value {
            NixValue::Number(number) if sysctl::is_of_network(key) => {
                outside(look, Path::new("sysctl"), &["-q", "-w", &format!("{key}={number}")])
            }
            NixValue::Number(number) => {
                fs::write(look.path(&sysctl::path(key)), format!("{number}\n")).is_ok()
            }
            _ => false,
        },
        (Reapply::FileMode {}, Probe::File { path }) => file_mode(look, control, finding, path.as_str()),
        (Reapply::Remount {}, Probe::Mount { path }) => match control.expect.0.get("options") {
            Some(Predicate::Includes(options)) => {
                let options =
                    options.iter().fold("remount,bind".to_owned(), |all, one| all + "," + one.as_str());
                outside(look, Path::new("mount"), &["-o", &options, path.as_str()])
            }
            _ => false,
        },
        (Reapply::UnloadModule {}, Probe::Module { name }) => {
            outside(look, Path::new("modprobe"), &["-r", name.as_str()])
        }
        (Reapply::SwapOff {}, Probe::Swap {}) => disk::swap_areas(look).is_ok_and(|areas| {
            let clear = areas.iter().filter(|(_, is_clear)| *is_clear);
            clear.fold(true, |all, (path, _)| outside(look, Path::new("swapoff"), &["--", path]) && all)
        }),
        (Reapply::Start { unit }, _) => systemctl(look, "start", unit.as_str()),
        (Reapply::Stop { unit }, _) => systemctl(look, "stop", unit.as_str()),
        (Reapply::Restart { unit }, _) => systemctl(look, "restart", unit.as_str()),
        _ => false,
    };
    if is_done { Reapplied::Done } else { Reapplied::Failed }
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
