//! journalctl as a child that stays, and the thread that reads what it prints: bounded memory, whatever that is.

use std::{
    io::{self, BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use super::entry::Entry;
use crate::config::Journal;

/// The longest line that is looked at: a message of 4 KB as numbers, several times over.
const LINE_MAX: u64 = 128 << 10;
/// How long journalctl may take to find one entry.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found since it was last asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// Entries that matched.
    pub(super) lines: u64,
    /// How many held each pattern.
    pub(super) matches: Vec<(String, u64)>,
    /// How many matched by their priority.
    pub(super) urgent: u64,
    /// How many had a message that journalctl left out, or none that could be read.
    pub(super) unread: u64,
    /// Cursor and time of the newest entry.
    pub(super) last: Option<(String, u64)>,
    /// Whether nothing more will come.
    pub(super) ended: bool,
}

/// The newest or oldest entry that journalctl shows.
pub(super) struct Stands {
    pub(super) cursor: String,
    pub(super) written: u64,
}

/// A child that stays; dropped, it is gone.
pub(super) struct Follow {
    child: Child,
    found: Arc<Mutex<Found>>,
}

impl Follow {
    /// Begins after the entry of `cursor`; when that is gone, with the next one that is there.
    pub(super) fn start(program: &Path, journal: &Journal, cursor: &str) -> io::Result<Self> {
        let mut command = journalctl(program, "MESSAGE,PRIORITY");
        // Including the entry of the cursor: --after-cursor leaves one out when the cursor's own is gone.
        command.args(["--follow", "--lines=all", &format!("--cursor={cursor}")]);
        command.args(journal.units.iter().map(|unit| format!("--unit={unit}")));
        if let (true, Some(priority)) = (journal.raise.is_empty(), journal.priority) {
            command.arg(format!("--priority={priority}"));
        }
        let mut child = command.spawn()?;
        let out = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let found = Arc::new(Mutex::new(Found::default()));
        let follow = Self { child, found: found.clone() };
        let matcher = Matcher {
            patterns: journal.raise.clone(),
            priority: journal.priority,
            before: cursor.to_owned(),
        };
        thread::Builder::new().name("journal".to_owned()).spawn(move || {
            matcher.read(BufReader::with_capacity(16 << 10, out), &found);
            lock(&found).ended = true;
        })?;
        Ok(follow)
    }

    /// What was found since the last time.
    pub(super) fn take(&self) -> Found {
        let mut found = lock(&self.found);
        let ended = found.ended;
        std::mem::replace(&mut *found, Found { ended, ..Found::default() })
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        // Gone already, then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the first entry stands that journalctl shows with `args`.
pub(super) fn first_entry(program: &Path, args: &[&str]) -> io::Result<Stands> {
    let mut child = journalctl(program, "NONE").args(args).spawn()?;
    let out = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (found, finding) = mpsc::channel();
    let reader = thread::Builder::new().name("journal".to_owned()).spawn(move || {
        let mut line = Vec::new();
        let read = BufReader::new(out.take(LINE_MAX)).read_until(b'\n', &mut line);
        // Nobody waits any more.
        let _ = found.send(read.map(|_| line));
    });
    let line = reader
        .and_then(|_| finding.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())));
    let _ = child.kill();
    let _ = child.wait();
    let entry = Entry::read(&line?);
    let stands = entry.and_then(|entry| Some(Stands { written: entry.written()?, cursor: entry.cursor }));
    // It shows none to those who may see none.
    stands.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn journalctl(program: &Path, fields: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--output=json", &format!("--output-fields={fields}"), "--no-pager", "--quiet"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .current_dir("/");
    command
}

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Matcher {
    patterns: Vec<String>,
    priority: Option<u8>,
    /// The cursor of the entry that was looked at before.
    before: String,
}

impl Matcher {
    fn read(&self, mut out: impl io::BufRead, found: &Mutex<Found>) {
        let mut line = Vec::new();
        loop {
            line.clear();
            match out.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line.ends_with(b"\n") => self.look(&line, &mut lock(found)),
                Ok(_) => {
                    lock(found).unread += 1;
                    if out.skip_until(b'\n').is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn look(&self, line: &[u8], found: &mut Found) {
        let Some(entry) = Entry::read(line) else {
            found.unread += 1;
            return;
        };
        if entry.cursor == self.before {
            return;
        }
        if found.matches.is_empty() {
            found.matches = self.patterns.iter().map(|pattern| (pattern.clone(), 0)).collect();
        }
        let urgent = entry.priority().zip(self.priority).is_some_and(|(priority, least)| priority <= least);
        let messages = entry.messages();
        let mut any = urgent;
        for (pattern, lines) in &mut found.matches {
            if messages.iter().flatten().any(|message| message.contains(pattern.as_str())) {
                *lines += 1;
                any = true;
            }
        }
        found.lines += u64::from(any);
        found.urgent += u64::from(urgent);
        found.unread += u64::from(messages.is_none() && !self.patterns.is_empty());
        found.last = Some((entry.cursor.clone(), entry.written().unwrap_or(0)));
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn line(cursor: &str, rest: &str) -> String {
        format!("{{\"__CURSOR\":\"{cursor}\",\"__REALTIME_TIMESTAMP\":\"9\",{rest}}}\n")
    }

    fn look(text: &str) -> Found {
        let matcher = Matcher { patterns: vec!["bad".into()], priority: Some(3), before: "a".into() };
        let found = Mutex::default();
        matcher.read(text.as_bytes(), &found);
        found.into_inner().unwrap()
    }

    #[test]
    fn entries_are_counted_once_and_nothing_of_them_is_kept() {
        let mut text = line("a", r#""MESSAGE":"bad, but seen before""#);
        for (cursor, rest) in [
            ("b", r#""MESSAGE":"a bad day","PRIORITY":"6""#),
            ("c", r#""MESSAGE":"fine","PRIORITY":"3""#),
            ("d", r#""MESSAGE":[98,97,100,255]"#),
            ("e", r#""MESSAGE":null,"PRIORITY":"6""#),
            ("f", r#""MESSAGE":"fine","PRIORITY":"4""#),
        ] {
            text += &line(cursor, rest);
        }
        let expected = Found {
            lines: 3,
            matches: vec![("bad".into(), 2)],
            urgent: 1,
            unread: 1,
            last: Some(("f".into(), 9)),
            ended: false,
        };
        assert_eq!(look(&text), expected);
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory_than_any() {
        let mut text = line("b", &format!(r#""MESSAGE":"{}""#, "x".repeat(1 << 20)));
        write!(text, "{}", line("c", r#""MESSAGE":"bad""#)).unwrap();
        let found = look(&text);
        assert_eq!((found.unread, found.lines, found.last), (1, 1, Some(("c".into(), 9))));
    }
}
