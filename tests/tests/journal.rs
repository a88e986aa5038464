//! The journal as a source, against real journald: every entry once, whatever is killed, rotated or removed. As root.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use appliance::{
    agent::sources::{Produced, journal::Journal},
    config::{Config, WatchEntry},
};
use tests::{
    clock,
    rig::{Installed, Machine, Tree, machine, wait},
};

const LIMIT: Duration = Duration::from_secs(60);
const MARKS: u32 = 5;

fn skipped() -> Result<bool> {
    let why = machine::unavailable()?;
    if let Some(why) = &why {
        println!("skipped: {why}");
    }
    Ok(why.is_some())
}

/// A `journalctl` that reads the machine's journal.
fn journalctl(machine: &Machine, folder: &Path) -> Result<PathBuf> {
    let path = folder.join("journalctl");
    let enter = format!("nsenter --target {} --all --wd=/", machine.init());
    fs::write(&path, format!("#!/bin/sh\nexec {enter} -- journalctl \"$@\"\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// The source and its outbox, as far as that goes: the cursor.
struct Watched {
    program: PathBuf,
    source: Journal,
    cursor: Option<Vec<u8>>,
    lines: i64,
}

impl Watched {
    fn new(program: PathBuf) -> Result<Self> {
        let source = Self::source(&program)?;
        Ok(Self { program, source, cursor: None, lines: 0 })
    }

    fn source(program: &Path) -> Result<Journal> {
        let text = "control_plane.address = \"https://127.0.0.1:1\"\n\
                    [[watch.journal]]\nid = \"it\"\nraise = [\"hit\"]\npriority = 2";
        match Config::parse(text, Path::new("appliance.toml"))?.watch.into_values().next() {
            Some(WatchEntry::Journal(entry)) => Ok(Journal::new(entry, program.to_owned())),
            other => bail!("{other:?}"),
        }
    }

    fn look(&mut self) -> Produced {
        self.source.poll(self.cursor.as_deref(), clock::now())
    }

    /// What a look found becomes durable.
    fn commit(&mut self, produced: &Produced) {
        self.lines += produced.observations[0].readings["lines"];
        self.cursor = produced.cursor.clone().or(self.cursor.take());
    }

    /// The process is killed, and another begins.
    fn crash(&mut self) -> Result<()> {
        self.source = Self::source(&self.program)?;
        Ok(())
    }
}

#[test]
fn every_entry_is_counted_once_through_crashes_and_rotations() -> Result<()> {
    if skipped()? {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let machine = Machine::boot(&dir.path().join("machine"), Tree::new()?, &[])?;
    let mut watched = Watched::new(journalctl(&machine, dir.path())?)?;
    machine.run("sh", &["-c", "echo an old hit | systemd-cat; journalctl --sync"])?;
    let first = watched.look();
    ensure!(first.cursor.is_some(), "{first:?}");
    watched.commit(&first);

    // 1,200 entries of which 600 hit; among them one that is no text, one that is too long, one without priority.
    let write = "for n in $(seq 1 200); do echo \"$1 hit $n\"; echo \"$1 miss $n\"; done | systemd-cat; journalctl --sync";
    let mut looks = 0;
    for (round, after) in [("first", "true"), ("second", "journalctl --rotate"), ("third", "true")] {
        machine.run("sh", &["-c", &format!("{write}; {after}"), "sh", round])?;
        let wanted = watched.lines + 200;
        wait::until("all of it is counted", LIMIT, || {
            let produced = watched.look();
            looks += 1;
            // Not kept and looked at again; not kept and killed; kept and killed; kept and left in peace.
            if looks % 4 != 1 {
                watched.commit(&produced);
            }
            if matches!(looks % 16, 5 | 11) {
                watched.crash()?;
            }
            Ok((watched.lines >= wanted).then_some(()))
        })?;
        ensure!(watched.lines == wanted, "{} instead of {wanted}", watched.lines);
    }

    let strange = "printf 'no\\377text hit\\n' | systemd-cat; head -c 9000 /dev/zero | tr '\\0' a | systemd-cat; \
                   echo nothing | systemd-cat -p crit; echo nothing | systemd-cat -p err; journalctl --sync";
    machine.run("sh", &["-c", strange])?;
    let (mut lines, mut unread) = (0, 0);
    wait::until("what is strange is counted", LIMIT, || {
        let produced = watched.look();
        watched.commit(&produced);
        let readings = &produced.observations[0].readings;
        lines += readings["lines"];
        unread += readings.get("unread").copied().unwrap_or(0);
        Ok((unread > 0 && lines >= 2).then_some(()))
    })?;
    ensure!((lines, unread) == (2, 1), "{lines} {unread}");

    // A quiet journal moves no cursor: the disk may sleep.
    let before = watched.cursor.clone();
    for _ in 0..3 {
        let produced = watched.look();
        watched.commit(&produced);
        ensure!(watched.cursor == before);
    }

    // While nobody looks, more is written, and removed before it was read.
    watched.crash()?;
    let lose = format!(
        "{write}; sleep 1.1; journalctl --rotate --vacuum-time=1s; echo 'late hit' | systemd-cat; journalctl --sync"
    );
    machine.run("sh", &["-c", &lose, "sh", "lost"])?;
    let gap = watched.look();
    let seen = &gap.observations[0];
    ensure!(seen.readings["lines"] == -1 && seen.note.contains("removed from the journal"), "{seen:?}");
    watched.commit(&gap);
    watched.lines = i64::from(seen.note.contains("\"hit\" in 1 line"));
    watched.crash()?;
    wait::until("what came after the gap is counted, once", LIMIT, || {
        let produced = watched.look();
        ensure!(produced.observations[0].readings["lines"] >= 0, "the gap is said once: {produced:?}");
        watched.commit(&produced);
        Ok((watched.lines == 1).then_some(()))
    })?;
    Ok(())
}

#[test]
fn a_journal_that_cannot_be_read_is_not_silent() -> Result<()> {
    let mut watched = Watched::new("/nonexistent/journalctl".into())?;
    let produced = watched.look();
    ensure!(produced.observations[0].readings["lines"] == -1 && produced.cursor.is_none(), "{produced:?}");
    // One that ends at once is started again with every look; the second time in a row it is a fault.
    let dir = tempfile::tempdir()?;
    let program = dir.path().join("journalctl");
    let entry = r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1"}"#;
    fs::write(&program, format!("#!/bin/sh\ncase \"$*\" in *--follow*) exit 1 ;; esac\necho '{entry}'\n"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let mut watched = Watched::new(program)?;
    wait::until("it is said", LIMIT, || {
        let produced = watched.look();
        watched.commit(&produced);
        Ok((produced.observations[0].readings["lines"] == -1).then_some(()))
    })
}

/// The disk was full, say: what was found is found again, and once.
#[test]
fn what_a_look_found_and_could_not_be_kept_is_found_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let program = dir.path().join("journalctl");
    let entry = r#"{"__CURSOR":"s=%s","__REALTIME_TIMESTAMP":"1","MESSAGE":"hit"}\n"#;
    // From the entry of the cursor on, as journalctl has it; and then it stays.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*--cursor=s=1*) printf '{entry}' 1 2 3; exec sleep 600 ;;\n\
         *--cursor=s=3*) printf '{entry}' 3; exec sleep 600 ;;\n*--cursor*) exit 1 ;;\nesac\nprintf '{entry}' 1\n"
    );
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let mut watched = Watched::new(program)?;
    let (mut lost, mut found) = (0, 0);
    wait::until("it is found again", Duration::from_secs(90), || {
        let produced = watched.look();
        let lines = produced.observations[0].readings["lines"];
        if lines > 0 && lost == 0 {
            lost = lines;
        } else {
            watched.commit(&produced);
            found += lines.max(0);
        }
        Ok((found >= 2).then_some(()))
    })?;
    ensure!(found == 2 && lost > 0, "{lost} were not kept, {found} were found again");
    Ok(())
}

/// The installed agent, killed again and again: each mark is one event that counts one line, and reaches the provider.
#[test]
fn marks_arrive_once_each_though_the_agent_is_killed() -> Result<()> {
    if skipped()? {
        return Ok(());
    }
    let watch: String = (0..MARKS)
        .map(|n| {
            format!(
                "[[watch.journal]]\nid = \"mark-{n}\"\nunits = [\"speaker@{n}.service\"]\nraise = [\"mark\"]\n"
            )
        })
        .collect();
    let speaker = "[Service]\nType=oneshot\nExecStart=/bin/echo mark %i of Jane Roe\n";
    let all = Installed::open(Tree::new()?.unit("speaker@.service", speaker)?, &watch)?;
    let process = || all.machine.property("orderly-agent.service", "MainPID");
    let kill = || -> Result<()> {
        let before = process()?;
        all.machine.run("kill", &["-9", &before])?;
        // systemd has seen it, and has started another.
        wait::until("the agent is up again", LIMIT, || {
            let state = all.machine.property("orderly-agent.service", "ActiveState")?;
            Ok((process()? != before && state == "active").then_some(()))
        })
    };
    for n in 0..MARKS {
        let speak = || all.machine.run("systemctl", &["start", &format!("speaker@{n}.service")]);
        if n % 2 == 0 {
            kill()?;
            speak()?;
        } else {
            speak()?;
            kill()?;
        }
    }
    let events = || -> Result<Vec<(String, String, String)>> {
        let db = all.provider.database()?;
        let mut query = db.prepare("SELECT watch, readings, note FROM event WHERE phase = 'raised'")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let mut events = rows.collect::<Result<Vec<(String, String, String)>, _>>()?;
        events.retain(|(watch, ..)| watch.starts_with("mark-"));
        events.sort();
        Ok(events)
    };
    wait::until("every mark has arrived", LIMIT, || Ok((events()?.len() >= MARKS as usize).then_some(())))
        .with_context(|| all.journal())?;
    let expected: Vec<_> = (0..MARKS)
        .map(|n| (format!("mark-{n}"), r#"[["lines",1]]"#.to_owned(), r#""mark" in 1 line"#.to_owned()))
        .collect();
    ensure!(events()? == expected, "{:#?}\n{}", events()?, all.journal());
    Ok(())
}
