//! ministack from PyPI: S3 in memory, in a second. By default it listens to everybody; here it is told not to.

use std::{net::TcpStream, path::Path};

use anyhow::Result;

use super::{Kind, LIMIT, Running, bound, unpacked};
use crate::rig::{process::Process, provider::Port, wait};

/// Starts it; `None` when it is not there.
pub(super) fn start(folder: &Path) -> Result<Option<Running>> {
    let Some(program) = unpacked(Kind::Ministack.place()).map(|folder| folder.join("ministack")) else {
        return Ok(None);
    };
    let port = Port::hold()?;
    let mut command = bound(&program);
    command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.address.port().to_string());
    command.env("TMPDIR", folder).env("HOME", folder).current_dir(folder);
    let mut server = Process::start("ministack", command, &folder.join("ministack.log"), None)?;
    wait::until("ministack listens", LIMIT, || {
        server.check()?;
        Ok(TcpStream::connect(port.address).is_ok().then_some(()))
    })?;
    Ok(Some(Running { port: port.address.port(), _kept: Box::new((server, port)) }))
}
