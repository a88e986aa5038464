//! A log file is followed through everything that happens to log files, and every line is looked at once.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use appliance::{
    agent::sources::{
        Produced,
        log_file::{LogFile, READ_MAX},
    },
    config::{Forward, Log},
};
use proptest::prelude::*;
use proto::{sync::Lines, time::Millis};
use runbooks::Fault;

struct Follower {
    folder: tempfile::TempDir,
    forward: Forward,
    source: LogFile,
    cursor: Option<Vec<u8>>,
}

impl Follower {
    /// Follows a log that exists and is empty.
    fn new() -> Self {
        let mut follower = Self::without_file();
        follower.append("");
        follower.lines();
        follower
    }

    /// A source that passes lines on: those that match, or all of them.
    fn passing_on(forward: Forward) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Self::source(folder.path(), forward);
        let mut follower = Self { folder, forward, source, cursor: None };
        follower.append("");
        follower.poll(0);
        follower
    }

    fn without_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Self::source(folder.path(), Forward::None);
        Self { folder, forward: Forward::None, source, cursor: None }
    }

    fn source(folder: &Path, forward: Forward) -> LogFile {
        let raise = vec!["ERROR".to_owned(), "panic".to_owned()];
        let log = Log { id: "app".parse().unwrap(), path: folder.join("app.log"), raise, forward };
        LogFile::forwarder(log.clone()).unwrap_or_else(|| LogFile::watcher(log))
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.log")
    }

    fn append(&self, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, to: &str) {
        fs::rename(self.path(), self.folder.path().join(to)).unwrap();
    }

    /// Forgets everything but the cursor.
    fn restart(&mut self) {
        self.source = Self::source(self.folder.path(), self.forward);
    }

    fn poll(&mut self, room: usize) -> Produced {
        let produced = self.source.poll(self.cursor.as_deref(), Millis(0), room);
        self.cursor = produced.cursor.clone().or(self.cursor.take());
        produced
    }

    /// All that is passed on until there is no more.
    fn passed_on(&mut self) -> Vec<Lines> {
        let mut all = Vec::new();
        loop {
            let produced = self.poll(1 << 20);
            all.extend(produced.lines);
            if !produced.more {
                return all;
            }
        }
    }

    /// One look: how many lines matched, and the note.
    fn look(&mut self) -> (i64, String) {
        let produced = self.poll(usize::MAX);
        let [seen] = &produced.observations[..] else { panic!("{produced:?}") };
        assert_eq!(seen.fault, Fault::LogMatch);
        (seen.readings["lines"], seen.note.clone())
    }

    fn lines(&mut self) -> i64 {
        self.look().0
    }
}

#[test]
fn lines_count_once_and_old_ones_not_at_all() {
    let mut log = Follower::without_file();
    log.append("ERROR before our time\nhalf an ERROR");
    assert_eq!(log.lines(), 0);
    log.append(" that began before our time\nERROR one\nfine\nERROR panic two\n");
    assert_eq!(log.look(), (2, r#""ERROR" in 2 lines, "panic" in 1 line"#.to_owned()));
    assert_eq!(log.lines(), 0);
    log.restart();
    assert_eq!(log.lines(), 0);
}

#[test]
fn where_nothing_is_to_be_passed_on_no_byte_of_a_line_is() {
    let mut log = Follower::new();
    log.append("ERROR patient Jane Roe, born 1970-01-01\n");
    let produced = log.poll(usize::MAX);
    assert!(produced.lines.is_empty());
    let [seen] = &produced.observations[..] else { panic!("{produced:?}") };
    assert!(
        seen.readings["lines"] == 1 && !seen.note.contains("Jane") && !seen.note.contains("1970"),
        "{seen:?}"
    );
}

#[test]
fn matching_lines_are_passed_on_without_identifiers_and_with_their_place() {
    let mut log = Follower::passing_on(Forward::Matching);
    log.append(
        "fine\nERROR patient Jane Roe, born 1970-01-01, not found\nfine\npanic: no such table\nfine\n",
    );
    let produced = log.poll(usize::MAX);
    assert_eq!(produced.observations[0].readings["lines"], 2);
    let [lines] = &produced.lines[..] else { panic!("{produced:?}") };
    assert_eq!(lines.text().unwrap(), "ERROR patient <name>, born <date>, not found\npanic: no such table\n");
    assert_eq!((lines.count, lines.place.offset, lines.place.length), (2, 5, 77));
    assert!(log.passed_on().is_empty(), "once");
}

#[test]
fn a_log_that_travels_whole_travels_once_whatever_happens_to_it() {
    let mut log = Follower::passing_on(Forward::All);
    let line = |n: usize| format!("study {n} of Jane Roe stored\n");
    let many: String = (0..5000).map(line).collect();
    log.append(&many);
    log.append("half a line");
    let (mut text, mut next) = (String::new(), 0);
    for lines in log.passed_on() {
        assert_eq!(lines.place.offset, next, "nothing is left out and nothing comes twice");
        next += lines.place.length;
        text.push_str(&lines.text().unwrap());
    }
    assert_eq!((next, text.lines().count()), (many.len() as u64, 5000));
    assert!(text.starts_with("study 0 of <name> stored\n") && !text.contains("Roe"), "{}", &text[..100]);
    log.rename("app.log.1");
    log.append("successor\n");
    log.restart();
    let [last, first] = &log.passed_on()[..] else { panic!("of two files") };
    assert_eq!((last.text().unwrap(), last.place.offset), ("half a line\n".to_owned(), many.len() as u64));
    assert_eq!((first.text().unwrap(), first.place.offset), ("successor\n".to_owned(), 0));
    assert_ne!(first.place.file, last.place.file);
}

#[test]
fn without_room_a_log_that_travels_whole_stays_where_it_is() {
    let mut log = Follower::passing_on(Forward::All);
    let text: String =
        (0..20_000).map(|n| format!("{:x} line of words that are known\n", n * 7919)).collect();
    log.append(&text);
    let produced = log.poll(0);
    assert!(produced.more && produced.lines.is_empty(), "{:?}", produced.lines.len());
    let produced = log.poll(1);
    assert!(
        produced.more && produced.lines.len() == 1,
        "one record more than there is room for, and no second"
    );
    let read: u64 = produced.lines.iter().chain(&log.passed_on()).map(|lines| lines.place.length).sum();
    assert_eq!(read, text.len() as u64);
}

#[test]
fn a_long_line_is_passed_on_as_far_as_it_is_looked_at() {
    for forward in [Forward::All, Forward::Matching] {
        let mut log = Follower::passing_on(forward);
        log.append(&format!("ERROR {}tail 1234567\nERROR next\n", "word ".repeat(2000)));
        let [lines] = &log.passed_on()[..] else { panic!("one record") };
        let text = lines.text().unwrap();
        let [long, next] = &text.lines().collect::<Vec<_>>()[..] else { panic!("two lines") };
        assert!(long.len() <= 4096 && long.len() > 4000 && long.ends_with("word ") && *next == "ERROR next");
        assert_eq!(lines.place.length, 6 + 10_000 + 13 + 11);
    }
}

#[test]
fn half_a_line_waits_for_its_end() {
    let mut log = Follower::new();
    log.append("ERR");
    assert_eq!(log.lines(), 0);
    log.append("OR");
    assert_eq!(log.lines(), 0);
    log.append("\n");
    assert_eq!(log.lines(), 1);
}

#[test]
fn a_log_that_comes_later_counts_from_its_first_line() {
    let mut log = Follower::without_file();
    assert_eq!(log.look(), (-1, "there is no log yet".to_owned()), "silence is not health");
    log.append("ERROR first\n");
    assert_eq!(log.lines(), 1);
}

#[test]
fn a_renamed_log_is_finished_before_its_successor_is_begun() {
    for restarted in [false, true] {
        let mut log = Follower::new();
        log.append("ERROR one\nERR");
        assert_eq!(log.lines(), 1);
        log.append("OR two\nERROR three\n");
        log.rename("app.log.1");
        let mut old = OpenOptions::new().append(true).open(log.folder.path().join("app.log.1")).unwrap();
        if restarted {
            log.restart();
        }
        assert_eq!(log.lines(), 2, "there is no successor yet");
        File::create(log.path()).unwrap();
        old.write_all(b"ERROR four\nERROR five, unfinished").unwrap();
        assert_eq!(log.lines(), 1, "the successor is empty, so the writer may still be here");
        log.append("ERROR six\n");
        if restarted {
            log.restart();
        }
        assert_eq!(log.lines(), 2, "the rest of the old one is a line, then the new one");
        log.append("ERROR seven\n");
        assert_eq!(log.lines(), 1);
    }
}

#[test]
fn a_log_that_was_rotated_and_removed_between_two_looks_is_finished_too() {
    let mut log = Follower::new();
    log.append("fine\n");
    assert_eq!(log.lines(), 0);
    log.append("ERROR last words\n");
    fs::remove_file(log.path()).unwrap();
    log.append("ERROR new\n");
    assert_eq!(log.lines(), 2);
}

/// logrotate with `compress`, while the agent was not there.
#[test]
fn a_log_that_was_rotated_and_compressed_while_nobody_followed_it_is_a_gap() {
    let mut log = Follower::new();
    log.append("ERROR seen\n");
    assert_eq!(log.lines(), 1);
    log.append("ERROR unseen\n");
    let old = log.folder.path().join("app.log.1");
    log.rename("app.log.1");
    log.restart();
    log.append("ERROR new\n");
    fs::rename(&old, old.with_extension("1.gz")).unwrap();
    fs::write(&old, "compressed").unwrap();
    fs::remove_file(old.with_extension("1.gz")).unwrap();
    let (lines, note) = log.look();
    assert_eq!(lines, -1, "silence is not health");
    let lost = "the log was rotated away; what was last written to it could not be read";
    assert_eq!(note, format!(r#""ERROR" in 1 line; {lost}"#));
    log.append("ERROR next\n");
    assert_eq!(log.lines(), 1, "it is said once");
}

/// A file system gives the inode of a removed file to the next one.
#[test]
fn another_file_with_the_same_inode_is_a_gap_too_when_the_first_was_not_held() {
    let mut log = Follower::new();
    log.append("ERROR seen, and a long line it is\n");
    assert_eq!(log.lines(), 1);
    log.restart();
    fs::write(log.path(), "ERROR new\n").unwrap(); // truncates: the same inode, another beginning
    assert_eq!(log.look().0, -1);
    assert_eq!(log.lines(), 0);
}

#[test]
fn a_truncated_log_begins_anew_even_when_it_has_grown_past_the_old_place() {
    let mut log = Follower::new();
    log.append("ERROR one\n");
    assert_eq!(log.lines(), 1);
    File::options().write(true).truncate(true).open(log.path()).unwrap();
    assert_eq!(log.lines(), 0);
    log.append("ERROR two\n");
    assert_eq!(log.lines(), 1);
    File::options().write(true).truncate(true).open(log.path()).unwrap();
    log.append("panic three\nERROR four\nERROR five\n");
    assert_eq!(log.lines(), 3, "longer than before, but not the same beginning");
}

#[test]
fn what_cannot_be_read_is_said_and_goes_on_where_it_was() {
    let mut log = Follower::new();
    log.append("ERROR one\n");
    log.rename("aside");
    fs::create_dir(log.path()).unwrap();
    let (lines, note) = log.look();
    assert_eq!(lines, -1);
    assert!(note.starts_with("the log cannot be read: "), "{note}");
    fs::remove_dir(log.path()).unwrap();
    fs::rename(log.folder.path().join("aside"), log.path()).unwrap();
    assert_eq!(log.lines(), 1);
    if nix::unistd::Uid::effective().is_root() {
        return; // nothing is unreadable to root
    }
    fs::set_permissions(log.path(), fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(log.look(), (-1, "the log cannot be read: permission denied".to_owned()));
}

#[test]
fn a_pipe_holds_nobody_up() {
    let mut log = Follower::without_file();
    nix::unistd::mkfifo(&log.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(log.lines(), -1);
}

#[test]
fn a_gigabyte_in_one_line_is_passed_over() {
    let mut log = Follower::new();
    log.append("ERROR at the beginning of much");
    let file = OpenOptions::new().write(true).open(log.path()).unwrap();
    file.set_len(1 << 30).unwrap(); // sparse: no disk is harmed
    log.append("ERROR at its end, where nobody looks\nERROR next\n");
    let (mut found, mut looks) = (0, 0);
    while looks <= (1 << 30) / READ_MAX {
        found += log.lines();
        looks += 1;
    }
    assert_eq!(found, 2, "the long line once, and the one after it");
    assert_eq!(log.lines(), 0);
    assert!(status_kb("VmHWM") < 200 << 10, "memory is bounded");
}

fn status_kb(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[derive(Debug, Clone)]
enum Act {
    Write(String),
    Rotate,
    Look,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let piece = prop_oneof![
        Just("ERROR".to_owned()),
        Just("\n".to_owned()),
        Just("fine\n".to_owned()),
        Just("ERROR\n".to_owned()),
        (4000_usize..9000).prop_map(|n| "x".repeat(n)),
    ];
    prop_oneof![
        6 => piece.prop_map(Act::Write),
        1 => Just(Act::Rotate),
        3 => Just(Act::Look),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #[test]
    fn each_matching_line_counts_once(acts in prop::collection::vec(act(), 1..60)) {
        let mut log = Follower::new();
        // What a reader of all files, end to end, would count.
        let (mut expected, mut line, mut found, mut rotations) = (0, String::new(), 0, 0);
        let end = |line: &mut String| {
            let seen = &line.as_bytes()[..line.len().min(4096)];
            let matched = seen.windows(5).any(|window| window == b"ERROR");
            line.clear();
            i64::from(matched)
        };
        for act in acts {
            match act {
                Act::Write(text) => {
                    log.append(&text);
                    for c in text.chars() {
                        if c == '\n' { expected += end(&mut line) } else { line.push(c) }
                    }
                }
                // A look before each, or two rotations would hide a file; and a successor with content after each.
                Act::Rotate => {
                    found += log.lines();
                    rotations += 1;
                    log.rename(&format!("app.log.{rotations}"));
                    log.append("begin\n");
                    expected += end(&mut line);
                    found += log.lines();
                }
                Act::Look => found += log.lines(),
                Act::Restart => log.restart(),
            }
        }
        log.append("\n");
        expected += end(&mut line);
        found += log.lines();
        prop_assert_eq!(found, expected);
    }
}
