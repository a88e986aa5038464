//! The machine that the tests of systemd, journal and units stand on.

use anyhow::{Result, ensure};
use tests::rig::{Machine, Tree, machine};

#[test]
fn a_machine_runs_real_systemd_and_leaves_nothing_behind() -> Result<()> {
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let service = "[Service]\nExecStart=/bin/sleep 1000\n";
    let tree = Tree::new()?.started("steady.service", service)?.unit("idle.service", service)?;
    let machine = Machine::boot(&dir.path().join("machine"), tree, &[])?;
    ensure!(machine.property("steady.service", "ActiveState")? == "active");
    ensure!(machine.property("idle.service", "ActiveState")? == "inactive");
    machine.run("touch", &["/etc/only-inside"])?;
    ensure!(!std::path::Path::new("/etc/only-inside").exists());
    std::fs::write(dir.path().join("machine/from-outside"), "seen")?;
    let shared = dir.path().join("machine/from-outside");
    ensure!(machine.run("cat", &[&shared.to_string_lossy()])? == "seen");
    ensure!(machine.run("ls", &["/sys/class/net"])?.trim() == "lo", "its network is its own");
    machine.run("sh", &["-c", "echo hello-from-inside | systemd-cat -t story"])?;
    machine.run("journalctl", &["--sync"])?;
    ensure!(machine.run("journalctl", &["-t", "story", "-o", "cat"])?.trim() == "hello-from-inside");
    Ok(())
}
