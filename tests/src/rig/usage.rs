//! What a process has used so far, by the kernel's own account.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use nix::unistd::{SysconfVar, sysconf};

/// Processor time, in user and kernel together, of a process and of its children that have ended.
pub fn processor_time(id: u32) -> Result<Duration> {
    processor_time_of(&read(id, "stat")?)
}

/// The same out of a `/proc/PID/stat` that somebody else read.
pub fn processor_time_of(stat: &str) -> Result<Duration> {
    // The name stands in brackets and may hold anything; after it utime is the 12th field.
    let (_, rest) = stat.rsplit_once(')').context("a name in brackets")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ticks = fields.get(11..15).context("times")?;
    let ticks: u64 = ticks.iter().map(|field| field.parse::<u64>()).sum::<Result<_, _>>()?;
    let a_second = sysconf(SysconfVar::CLK_TCK)?.context("ticks have a length")?;
    Ok(Duration::from_secs(ticks) / u32::try_from(a_second)?)
}

/// The most memory that a process ever had resident, in bytes.
pub fn peak_memory(id: u32) -> Result<u64> {
    kilobytes(&read(id, "status")?, "VmHWM").map(|kb| kb << 10)
}

/// A figure of a `/proc/PID/status` or `smaps_rollup`.
pub fn kilobytes(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find(|line| line.split(':').next() == Some(name));
    let value = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    Ok(value.with_context(|| format!("no {name}"))?.parse()?)
}

fn read(id: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{id}/{file}");
    fs::read_to_string(&path).with_context(|| format!("{path}: did it end by itself?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_behind_the_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 7 3 20 0 1 0 100 1000 10 0";
        let a_second = u32::try_from(sysconf(SysconfVar::CLK_TCK).unwrap().unwrap()).unwrap();
        assert_eq!(processor_time_of(stat).unwrap(), Duration::from_secs(210) / a_second);
        assert!(processor_time(std::process::id()).is_ok());
        assert!(peak_memory(std::process::id()).unwrap() > 1 << 20);
    }
}
