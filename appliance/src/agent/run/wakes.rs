//! What wakes whoever follows logs: a change to one of the files (inotify(7)), or a ring from another part of the agent.
//!
//! Only a help: a file that cannot be watched is looked at with everything else. Watched is the file, wherever it is
//! renamed to, and its folder, where a successor comes.

use std::{
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor},
};

/// Rings; from any thread.
#[derive(Debug)]
pub(super) struct Bell(UnixStream);

impl Bell {
    /// One ring is as good as many: when it cannot be heard at once it is already ringing.
    pub(super) fn ring(&self) {
        let _ = (&self.0).write(&[1]);
    }
}

/// Waits for changes.
pub(super) struct Wakes {
    inotify: Inotify,
    ear: UnixStream,
    logs: Vec<Watched>,
}

struct Watched {
    path: PathBuf,
    /// The file, and the one that it came after.
    files: [Option<WatchDescriptor>; 2],
}

impl Wakes {
    /// For changes to `paths`.
    pub(super) fn new(paths: Vec<PathBuf>) -> io::Result<(Self, Bell)> {
        let (ear, mouth) = UnixStream::pair()?;
        ear.set_nonblocking(true)?;
        mouth.set_nonblocking(true)?;
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let logs = paths.into_iter().map(|path| Watched { path, files: [None, None] }).collect();
        Ok((Self { inotify, ear, logs }, Bell(mouth)))
    }

    /// Watches what is there now.
    fn arm(&mut self) {
        for log in &mut self.logs {
            let folder = log.path.parent().unwrap_or(Path::new("/"));
            let arrivals = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
            // The same file again is the same watch.
            let _ = self.inotify.add_watch(folder, arrivals);
            let Ok(file) = self.inotify.add_watch(&log.path, AddWatchFlags::IN_MODIFY) else { continue };
            if log.files[0] != Some(file) {
                let before = log.files[0].replace(file);
                if let Some(gone) = std::mem::replace(&mut log.files[1], before) {
                    let _ = self.inotify.rm_watch(gone); // it may have gone by itself, with its file
                }
            }
        }
    }

    /// Waits for a change, a ring, or that `limit` is over.
    pub(super) fn wait(&mut self, limit: Duration) -> io::Result<()> {
        self.arm();
        let mut waiting = [
            PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.ear.as_fd(), PollFlags::POLLIN),
        ];
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut waiting, limit) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(problem) => return Err(problem.into()),
        }
        // What comes from here on wakes again.
        while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
        let mut rings = [0; 64];
        while self.ear.read(&mut rings).is_ok_and(|read| read == rings.len()) {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc, thread};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// Waits in a thread of its own, and says each time that it woke.
    fn woken(paths: Vec<PathBuf>) -> (mpsc::Receiver<()>, Bell) {
        let (mut wakes, bell) = Wakes::new(paths).unwrap();
        wakes.arm();
        let (sender, woken) = mpsc::channel();
        thread::spawn(move || while wakes.wait(LONG).is_ok() && sender.send(()).is_ok() {});
        (woken, bell)
    }

    #[test]
    fn a_line_wakes_and_so_does_one_in_a_file_that_was_renamed_or_came_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        fs::write(&path, "").unwrap();
        let (woken, bell) = woken(vec![path.clone()]);
        // One change may wake more than once.
        let quiet = || while woken.recv_timeout(Duration::from_millis(200)).is_ok() {};
        let wakes = |what: &str| {
            woken.recv_timeout(Duration::from_secs(20)).expect(what);
            quiet();
        };
        let mut old = fs::File::options().append(true).open(&path).unwrap();
        old.write_all(b"one\n").unwrap();
        wakes("a line");
        fs::rename(&path, folder.path().join("app.log.1")).unwrap();
        quiet();
        old.write_all(b"two\n").unwrap();
        wakes("a line in a file that was renamed");
        fs::write(&path, "three\n").unwrap();
        wakes("a successor");
        fs::File::options().append(true).open(&path).unwrap().write_all(b"four\n").unwrap();
        wakes("a line in the successor");
        old.write_all(b"five\n").unwrap();
        wakes("a late line in the file before it");
        bell.ring();
        wakes("a ring");
    }
}
