//! Running a program that is not ours: a fixed environment, a deadline, bounded output, and an end for all of it.
//!
//! The rule: nothing of the executor is inherited, neither environment nor descriptors (ours are all close-on-exec);
//! the program leads a process group of its own, which is killed as a whole when it ends, or when its time does.

use std::{
    io::{self, Read, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use proto::evidence::StepResult;

use super::Limit;

/// How much of the output is kept: the end of it.
pub(super) const KEPT: usize = 64 * 1024;
/// The longest line that is read as one.
const LINE_MAX: usize = 16 << 20;
/// How long output may still come once the program has ended.
const AFTER_THE_END: Duration = Duration::from_secs(1);
/// Where programs are looked for.
const PATH: &str = "/run/wrappers/bin:/run/current-system/sw/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// What became of a program.
#[derive(Debug)]
pub(in crate::executor) struct Ended {
    /// Its exit status; else why it was killed.
    pub(in crate::executor) status: Result<ExitStatus, StepResult>,
    /// The end of what it printed, both streams.
    pub(in crate::executor) output: Vec<u8>,
}

impl Ended {
    /// Whether it ended by itself and well.
    pub(in crate::executor) fn is_good(&self) -> bool {
        self.status.as_ref().is_ok_and(ExitStatus::success)
    }

    /// Its exit code; −1 when it has none.
    pub(super) fn code(&self) -> i64 {
        self.status.as_ref().ok().and_then(|status| status.code()).map_or(-1, i64::from)
    }

    /// How the step ended.
    pub(super) fn result(&self) -> StepResult {
        match &self.status {
            Ok(status) if status.success() => StepResult::Done,
            Ok(_) => StepResult::Failed,
            Err(result) => *result,
        }
    }
}

/// A command with nothing of our environment.
pub(in crate::executor) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").env("TZ", "UTC").current_dir("/");
    command
}

/// Runs it to its end, or to that of `limit`; `line` gets every line of its standard output.
pub(in crate::executor) fn run(
    mut command: Command,
    limit: &Limit<'_>,
    line: &mut dyn FnMut(&[u8]),
) -> io::Result<Ended> {
    let (wake, waker) = UnixStream::pair()?;
    let stop_waker = waker.try_clone()?;
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut running = Group { child };
    let pid = running.pid();
    limit.stop.watch(stop_waker);
    thread::Builder::new().spawn(move || {
        // Waits without reaping, so that its number is nobody else's until the group was killed.
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        let _ = (&waker).write(b"x");
    })?;
    let mut streams = Streams {
        out: running.child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Pipe>),
        err: running.child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Pipe>),
        line: Vec::new(),
        kept: Vec::new(),
    };
    let killed = streams.read_all(&wake, limit, line)?;
    running.kill();
    let status = running.child.wait()?;
    streams.end(line);
    Ok(Ended { status: killed.map_or(Ok(status), Err), output: streams.kept })
}

/// A process group that does not outlive its handle.
struct Group {
    child: Child,
}

impl Group {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn kill(&mut self) {
        // Not reaped yet, so the number is still this group's. It may be gone already.
        let _ = killpg(self.pid(), Signal::SIGKILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

trait Pipe: Read + AsFd {}
impl<T: Read + AsFd> Pipe for T {}

struct Streams {
    out: Option<Box<dyn Pipe>>,
    err: Option<Box<dyn Pipe>>,
    line: Vec<u8>,
    kept: Vec<u8>,
}

impl Streams {
    /// Reads until both streams end, or the program or its time does. Gives why it must be killed.
    fn read_all(
        &mut self,
        wake: &UnixStream,
        limit: &Limit<'_>,
        line: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Option<StepResult>> {
        let mut has_ended = None;
        loop {
            if has_ended.is_none()
                && let Some(result) = limit.over()
            {
                return Ok(Some(result));
            }
            let left = match has_ended {
                None => limit.left(),
                Some(at) => AFTER_THE_END.saturating_sub(limit.clock.boot().saturating_sub(at)),
            };
            let both_closed = self.out.is_none() && self.err.is_none();
            if has_ended.is_some() && (both_closed || left.is_zero()) {
                return Ok(None);
            }
            let ready = {
                let fds = [
                    self.out.as_ref().map(|p| p.as_fd()),
                    self.err.as_ref().map(|p| p.as_fd()),
                    Some(wake.as_fd()),
                ];
                wait(fds, left)?
            };
            if ready[0] && !self.take(true, line)? {
                self.out = None;
            }
            if ready[1] && !self.take(false, line)? {
                self.err = None;
            }
            if ready[2] && has_ended.is_none() {
                let mut why = [0];
                (&*wake).read_exact(&mut why)?;
                if why == *b"x" {
                    has_ended = Some(limit.clock.boot());
                }
            } else if ready[2] {
                // Stopped while its last output was read.
                return Ok(None);
            }
        }
    }

    /// Reads what is there; `false` at the end.
    fn take(&mut self, is_out: bool, line: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        let pipe = if is_out { &mut self.out } else { &mut self.err };
        let read = match pipe.as_mut().map_or(Ok(0), |pipe| pipe.read(&mut buffer)) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(true),
            other => other?,
        };
        let bytes = &buffer[..read];
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > 2 * KEPT {
            self.kept.drain(..self.kept.len() - KEPT);
        }
        if is_out {
            for piece in bytes.split_inclusive(|b| *b == b'\n') {
                if self.line.len() < LINE_MAX {
                    self.line.extend_from_slice(piece);
                }
                if piece.ends_with(b"\n") {
                    self.give(line);
                }
            }
        }
        Ok(read > 0)
    }

    fn give(&mut self, line: &mut dyn FnMut(&[u8])) {
        let whole = std::mem::take(&mut self.line);
        line(whole.trim_ascii_end());
    }

    fn end(&mut self, line: &mut dyn FnMut(&[u8])) {
        if !self.line.is_empty() {
            self.give(line);
        }
        if self.kept.len() > KEPT {
            self.kept.drain(..self.kept.len() - KEPT);
        }
    }
}

/// Waits until one of them can be read, or has ended.
fn wait(fds: [Option<BorrowedFd<'_>>; 3], left: Duration) -> io::Result<[bool; 3]> {
    let mut asked: Vec<PollFd<'_>> =
        fds.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    // Rounded up, so that the last millisecond is not spun through.
    let timeout =
        PollTimeout::try_from(left.saturating_add(Duration::from_millis(1))).unwrap_or(PollTimeout::MAX);
    match poll(&mut asked, timeout) {
        Err(Errno::EINTR) => return Ok([false; 3]),
        other => other?,
    };
    let mut answers = asked.iter().map(|fd| fd.revents().is_some_and(|events| !events.is_empty()));
    Ok(fds.map(|fd| fd.is_some() && answers.next().unwrap_or(false)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemClock, executor::steps::Stop, world::Clock as _};

    fn shell(script: &str, within: Duration, stop: &Stop) -> (Ended, Vec<String>) {
        let mut sh = command(Path::new("/bin/sh"));
        sh.args(["-c", script]);
        let limit = Limit { clock: &SystemClock, stop, ends: SystemClock.boot() + within };
        let mut lines = Vec::new();
        let ended =
            run(sh, &limit, &mut |line| lines.push(String::from_utf8_lossy(line).into_owned())).unwrap();
        (ended, lines)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn lines_output_and_code() {
        let (ended, lines) = shell("echo one; echo two >&2; printf three; exit 7", LONG, &Stop::default());
        assert_eq!((ended.code(), ended.result(), ended.is_good()), (7, StepResult::Failed, false));
        assert_eq!(lines, ["one", "three"]);
        assert!(String::from_utf8_lossy(&ended.output).contains("two"));
    }

    #[test]
    fn nothing_is_inherited() {
        // As the executor's threads are: the signals that end it are for one of them alone.
        nix::sys::signal::SigSet::from(Signal::SIGTERM).thread_block().unwrap();
        let secret = tempfile::tempfile().unwrap();
        let script = "env; for fd in /proc/$$/fd/*; do readlink $fd; done; grep SigBlk /proc/self/status";
        let (_, lines) = shell(script, LONG, &Stop::default());
        drop(secret);
        let mut left: Vec<&str> = lines.iter().map(String::as_str).collect();
        left.retain(|line| {
            !["PATH=", "LANG=", "TZ=", "PWD=", "OLDPWD=", "_=", "SHLVL=", "pipe:", "/dev/null"]
                .iter()
                .any(|known| line.starts_with(known))
        });
        assert_eq!(left, ["SigBlk:\t0000000000000000"], "{lines:?}");
    }

    #[test]
    fn the_deadline_ends_the_whole_group() {
        let script = "sleep 600 & echo $!; sleep 600";
        let (ended, lines) = shell(script, Duration::from_millis(300), &Stop::default());
        assert_eq!(ended.result(), StepResult::TimedOut);
        let child = format!("/proc/{}/status", lines[0]);
        // Killed, and reaped by whoever adopts it; never running.
        let is_running = || std::fs::read_to_string(&child).is_ok_and(|status| !status.contains("(zombie)"));
        let give_up = SystemClock.boot() + LONG;
        while is_running() && SystemClock.boot() < give_up {
            thread::yield_now();
        }
        assert!(!is_running());
    }

    #[test]
    fn a_straggler_that_keeps_the_pipe_open_does_not_hold_us_up() {
        let began = SystemClock.boot();
        let (ended, lines) = shell("sleep 600 & echo done", LONG, &Stop::default());
        assert_eq!((ended.result(), lines), (StepResult::Done, vec!["done".to_owned()]));
        assert!(SystemClock.boot() - began < LONG / 2);
    }

    #[test]
    fn a_stop_interrupts_before_and_during() {
        let stop = Stop::default();
        let (ended, _) = thread::scope(|scope| {
            let stopper = stop.clone();
            let mut sh = command(Path::new("/bin/sh"));
            sh.args(["-c", "echo begun; sleep 600"]);
            scope
                .spawn(move || {
                    let limit =
                        Limit { clock: &SystemClock, stop: &stopper, ends: SystemClock.boot() + LONG };
                    let ended = run(sh, &limit, &mut |_| stopper.stop()).unwrap();
                    (ended, ())
                })
                .join()
                .unwrap()
        });
        assert_eq!(ended.result(), StepResult::Interrupted);
        assert_eq!(shell("echo never", LONG, &stop).0.result(), StepResult::Interrupted);
    }

    #[test]
    fn output_is_bounded_and_its_end_is_kept() {
        let (ended, lines) = shell("seq 1 200000; echo the end", LONG, &Stop::default());
        assert_eq!(lines.len(), 200_001);
        assert_eq!(ended.output.len(), KEPT);
        assert!(ended.output.ends_with(b"the end\n"));
    }
}
