//! What executor and agent use of the machine, by the kernel's word (proc(5)).

use std::{fs, path::Path};

use crate::world::{Cost, Usage};

/// Milliseconds of a clock tick: USER_HZ is 100 wherever Linux runs.
const TICK_MS: u64 = 10;

/// This process, and the agent of the same program that was started in the same way: with the same arguments, but for
/// the subcommand.
pub(in crate::executor::steps) fn read(proc: &Path) -> Option<Cost> {
    let own: u32 = fs::read_link(proc.join("self")).ok()?.to_str()?.parse().ok()?;
    let arguments = fs::read(proc.join(own.to_string()).join("cmdline")).ok()?;
    let wanted = of_agent(&arguments);
    let program = fs::read_link(proc.join("self/exe")).ok()?;
    let agent = fs::read_dir(proc).ok()?.flatten().find_map(|entry| {
        let process: u32 = entry.file_name().to_str()?.parse().ok()?;
        let same = fs::read(entry.path().join("cmdline")).ok()? == wanted;
        (same && fs::read_link(entry.path().join("exe")).ok()? == program).then_some(process)
    });
    Some(Cost { executor: usage(proc, own)?, agent: agent.and_then(|agent| usage(proc, agent)) })
}

fn of_agent(arguments: &[u8]) -> Vec<u8> {
    let swapped =
        arguments.split(|byte| *byte == 0).map(|word| if word == b"executor" { b"agent" } else { word });
    swapped.collect::<Vec<_>>().join(&0)
}

fn usage(proc: &Path, process: u32) -> Option<Usage> {
    let folder = proc.join(process.to_string());
    let (ticks, began) = times(&fs::read_to_string(folder.join("stat")).ok()?)?;
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident_kb = resident.split_whitespace().next()?.parse().ok()?;
    Some(Usage { process: (process, began), resident_kb, cpu_ms: ticks * TICK_MS })
}

/// Ticks of the process and its ended children (fields 14 to 17), and when it began (field 22). The name, field 2, may
/// hold anything but is in parentheses.
fn times(stat: &str) -> Option<(u64, u64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = (14..=17).map(field).sum::<Option<u64>>()?;
    Some((ticks, field(22)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_read_as_its_manual_says() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 1 2 3 4 50 6 7 8 20 0 1 0 1234 9 10";
        assert_eq!(times(stat), Some((50 + 6 + 7 + 8, 1234)));
        assert_eq!(times("nothing"), None);
        let own = read(Path::new("/proc")).unwrap().executor;
        assert!(own.resident_kb > 100 && own.process.0 == std::process::id(), "{own:?}");
    }

    #[test]
    fn the_agent_is_who_was_started_alike() {
        let own = b"/usr/bin/appliance\0--config\0/etc/a.toml\0executor\0";
        assert_eq!(of_agent(own), b"/usr/bin/appliance\0--config\0/etc/a.toml\0agent\0");
    }
}
