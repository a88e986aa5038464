//! What a person is told when it did not work: the chain of causes, once, and what to do next.

use std::{
    io::{IsTerminal as _, stderr},
    process::ExitCode,
};

use crate::{agent::chain, config::ConfigError, files::FileError, ipc::IpcError};

use super::colour;

/// Why the program ends, and with which code.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    /// Something that another attempt may mend: exit code 1.
    pub(super) fn of(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 1, error: error.into() }
    }

    /// Something that only a person mends: exit code 2.
    pub(super) fn bad_input(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 2, error: error.into() }
    }

    /// Says it, and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        let (red, plain) = if colour(stderr().is_terminal()) { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
        eprintln!("{red}appliance:{plain} {}", chain(self.error.as_ref()));
        if let Some(advice) = advice(&self.error) {
            eprintln!("next: {advice}");
        }
        ExitCode::from(self.code)
    }
}

/// What to do about errors that do not say it themselves.
fn advice(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        if cause.is::<ConfigError>() {
            return Some("correct the file; `appliance check-config` reads it again");
        }
        if matches!(cause.downcast_ref(), Some(IpcError::Connect { .. })) {
            return Some("start the executor (`systemctl start orderly-executor`, or `appliance executor`), then try again");
        }
        let file: &FileError = cause.downcast_ref()?;
        match file.source.kind() {
            std::io::ErrorKind::PermissionDenied => Some("run it as the user whom the file belongs to, or as root"),
            std::io::ErrorKind::StorageFull => Some("make room on this disk; nothing was lost"),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{config::Config, ipc::Connection};

    #[test]
    fn advice_is_found_anywhere_in_the_chain() {
        let config = Config::load(Path::new("/nonexistent")).unwrap_err();
        assert!(advice(&anyhow::Error::from(config).context("outer")).unwrap().contains("check-config"));
        let socket = Connection::open(Path::new("/nonexistent")).unwrap_err();
        assert!(advice(&socket.into()).unwrap().contains("start the executor"));
        assert_eq!(advice(&anyhow::anyhow!("other")), None);
    }
}
