//! Reading files and programs: bounded, and with a reason where nothing can be read.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use baseline::Blind;
use proto::evidence::StepResult;

use super::Look;
use crate::executor::steps::spawn;

/// The most bytes of a file or an answer.
const MOST: u64 = 1 << 20;

/// The whole of a file that is not too large.
pub(super) fn file(path: &Path) -> Result<String, Blind> {
    let mut text = Vec::new();
    let file = fs::File::open(path).map_err(|error| why(&error))?;
    file.take(MOST + 1).read_to_end(&mut text).map_err(|error| why(&error))?;
    if text.len() as u64 > MOST {
        return Err(Blind::Unreadable);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What an error means for whoever wanted to look.
pub(super) fn why(error: &io::Error) -> Blind {
    match error.kind() {
        io::ErrorKind::NotFound => Blind::Absent,
        io::ErrorKind::PermissionDenied => Blind::Denied,
        io::ErrorKind::TimedOut => Blind::TimedOut,
        _ => Blind::Unreadable,
    }
}

/// What a program prints.
pub(super) fn program(look: &Look<'_>, program: &Path, args: &[&str]) -> Result<String, Blind> {
    let mut command = spawn::command(program);
    command.args(args);
    let (mut text, mut is_long) = (String::new(), false);
    let mut line = |line: &[u8]| {
        is_long |= (text.len() + line.len()) as u64 > MOST;
        if !is_long {
            text.push_str(String::from_utf8_lossy(line).trim_end_matches('\n'));
            text.push('\n');
        }
    };
    let ended = spawn::run(command, look.limit, &mut line).map_err(|error| why(&error))?;
    match ended.status {
        Err(StepResult::TimedOut | StepResult::Interrupted) => Err(Blind::TimedOut),
        _ if is_long => Err(Blind::Unreadable),
        _ if ended.is_good() => Ok(text),
        _ => {
            let said = String::from_utf8_lossy(&ended.output).to_ascii_lowercase();
            let denied = ["not permitted", "permission denied", "must be root"];
            Err(if denied.iter().any(|word| said.contains(word)) { Blind::Denied } else { Blind::Unreadable })
        }
    }
}
