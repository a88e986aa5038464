//! `make run`: it starts, says where it is to be found, and ends in good order however it is asked to.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tests::rig::{binary, practice::Folder, wait};

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn it_runs_until_it_is_told_to_end() -> Result<()> {
    // systemd asks the program; Ctrl-C on a terminal reaches the programs that it has started as well.
    for way in [Signal::SIGTERM, Signal::SIGINT] {
        let folder = Folder::new()?;
        let mut command = Command::new(binary("run")?);
        command.arg("--folder").arg(folder.join("run")).process_group(0);
        let mut running =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(running.stdout.take().context("it was piped")?).lines();
        let mut said = String::new();
        for line in lines.by_ref() {
            let line = line?;
            said += &line;
            said.push('\n');
            if line.trim() == "Ctrl-C ends it." {
                break;
            }
        }
        let people = said.split("people at https://").nth(1).and_then(|rest| rest.split(',').next());
        let people = people.with_context(|| format!("it does not say where people find it:\n{said}"))?;
        std::net::TcpStream::connect(people).with_context(|| format!("nobody listens at {people}"))?;
        let process = Pid::from_raw(i32::try_from(running.id())?);
        if way == Signal::SIGINT {
            killpg(process, way)?
        } else {
            kill(process, way)?
        }
        let status = wait::until("it ends", LIMIT, || Ok(running.try_wait()?))?;
        let mut complaints = String::new();
        running.stderr.take().context("it was piped")?.read_to_string(&mut complaints)?;
        ensure!(status.success(), "after {way} it ended with {status}:\n{said}{complaints}");
        ensure!(lines.map_while(Result::ok).any(|line| line == "stopping"), "after {way} it just ended");
        ensure!(std::net::TcpStream::connect(people).is_err(), "after {way} the control plane still runs");
    }
    Ok(())
}
