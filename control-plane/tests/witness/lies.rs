//! One history only: after a kill, under a race, and against whoever has stolen the log's key.

use std::{
    fs,
    sync::{Arc, Barrier},
    thread,
};

use control_plane::witness::{Answer, Folder, Witness, WitnessError};
use proto::{
    log::{CosignedCheckpoint, Note, SignedCheckpoint},
    time::Millis,
};

use crate::{
    answers::running,
    log::{Log, ORIGIN, shown},
};

const NOW: Millis = Millis(1_790_000_000_500);

/// One without its program, and so without a clock.
fn without_a_clock(root: &std::path::Path, origins: &[&str]) -> Witness {
    let folder = Folder::new(root);
    folder.init("witness.example/w1", [5; 32]).unwrap();
    origins.iter().for_each(|origin| assert!(folder.trust(&Log::key_of(origin)).unwrap()));
    Witness::open(folder).unwrap()
}

#[test]
fn a_clock_that_was_set_back_cosigns_nothing_until_it_is_right_again() {
    let folder = tempfile::tempdir().unwrap();
    let (witness, log) = (without_a_clock(folder.path(), &[ORIGIN, "other.example/log"]), Log::new());
    let at = |seconds: i64| Millis(NOW.0 + seconds * 1000);
    let cosigned = |old, size, at| match witness.add(&log.request(old, size), at) {
        Ok(Answer::Cosigned(_)) => true,
        Err(WitnessError::Clock(why)) => {
            assert!(why.contains(ORIGIN) && why.contains("was cosigned at"), "{why}");
            false
        }
        other => panic!("{other:?}"),
    };
    assert!(cosigned(0, 5, at(100)));
    let before = fs::read(folder.path().join("cosigned").join(&shown()[1..65])).unwrap();
    // Whether the log has grown or not: it would say that by then nothing larger had been seen, or contradict that.
    assert!(!cosigned(5, 9, at(0)) && !cosigned(5, 5, at(99)));
    assert_eq!(fs::read(folder.path().join("cosigned").join(&shown()[1..65])).unwrap(), before);
    // What is forked is said to be, whatever the clock says; and another log has another time.
    let fork = Log::forked_at(3, "forged");
    assert!(matches!(witness.add(&fork.request(5, 5), at(0)), Ok(Answer::Refused(_))));
    let other = Log::called("other.example/log", 40, "");
    assert!(matches!(witness.add(&other.request(0, 5), at(0)), Ok(Answer::Cosigned(_))));
    // A cosignature speaks of seconds: within one, time does not go back.
    assert!(cosigned(5, 9, Millis(at(100).0 - 400)) && cosigned(9, 12, at(101)));
}

#[test]
fn a_log_that_forks_without_end_does_not_take_the_place_of_anothers_fork() {
    let folder = tempfile::tempdir().unwrap();
    let witness = without_a_clock(folder.path(), &[ORIGIN, "other.example/log"]);
    let forks = |origin: &str, name: &str| {
        let log = Log::called(origin, 3, name);
        witness.add(&log.request(5, 5), NOW).map(|answer| assert!(matches!(answer, Answer::Refused(_))))
    };
    for origin in [ORIGIN, "other.example/log"] {
        let log = Log::called(origin, 40, "");
        assert!(matches!(witness.add(&log.request(0, 5), NOW), Ok(Answer::Cosigned(_))));
    }
    (0..300).for_each(|n| forks(ORIGIN, &format!("forged {n}")).unwrap());
    let kept = || fs::read_dir(folder.path().join("forks")).unwrap().count();
    assert_eq!(kept(), 16);
    forks("other.example/log", "forged").unwrap();
    assert_eq!(kept(), 17);
}

#[test]
fn what_it_cosigned_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (mut witness, log, fork) = (running(folder.path()), Log::new(), Log::forked_at(5, "forged"));
    let mut old = 0;
    for size in [3, 8, 9, 17, 40] {
        let got = witness.post("/add-checkpoint", log.request(old, size).to_string().as_bytes());
        assert_eq!(got.status, 200, "{}", got.body);
        let before = witness.get(&shown()).body;
        witness.kill();
        witness.start(&[]);
        assert_eq!(witness.get(&shown()).body, before, "byte for byte");
        let late = witness.post("/add-checkpoint", log.request(old, size).to_string().as_bytes());
        assert_eq!((late.status, late.body), (409, format!("{size}\n")));
        if size > 5 {
            let forged = witness.post("/add-checkpoint", fork.request(size, size).to_string().as_bytes());
            assert_eq!(forged.status, 422, "{}", forged.body);
        }
        old = size;
    }
    assert_eq!(witness.terminate(), Some(0));
}

#[test]
fn a_fork_signed_with_the_stolen_key_is_refused_and_kept_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let (witness, log, fork) = (running(folder.path()), Log::new(), Log::forked_at(5, "forged"));
    let cosigned = witness.post("/add-checkpoint", log.request(0, 10).to_string().as_bytes());
    assert_eq!(cosigned.status, 200);
    for (old, size, expected) in [(10, 10, 422), (10, 20, 422), (3, 20, 409), (0, 10, 409)] {
        let got = witness.post("/add-checkpoint", fork.request(old, size).to_string().as_bytes());
        assert_eq!(got.status, expected, "{old} {size}: {}", got.body);
    }
    assert_eq!(witness.get(&shown()).body, format!("{}{}", log.checkpoint(10).note(), cosigned.body));
    // Both notes are of this log, and cannot both be.
    let forks: Vec<_> =
        fs::read_dir(witness.path("forks")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [fork_file] = &forks[..] else { panic!("one fork: {forks:?}") };
    let kept = fs::read_to_string(fork_file).unwrap();
    let (first, second) = kept.split_once("\n\nevidence.").unwrap();
    let notes = [format!("{first}\n"), format!("evidence.{second}")];
    let opened = notes.map(|note| SignedCheckpoint::open(note.as_bytes(), &[Log::key()]).unwrap());
    assert_eq!(opened[0].checkpoint().size, opened[1].checkpoint().size);
    assert_ne!(opened[0].checkpoint().root, opened[1].checkpoint().root);
}

#[test]
fn two_servers_that_race_on_one_log_get_one_history() {
    let folder = tempfile::tempdir().unwrap();
    let witness = Arc::new(running(folder.path()));
    let branches: Vec<Arc<Log>> =
        [Log::new(), Log::forked_at(4, "another")].into_iter().map(Arc::new).collect();
    assert_eq!(witness.post("/add-checkpoint", branches[0].request(0, 4).to_string().as_bytes()).status, 200);
    let mut old = 4;
    let mut winner = None;
    for size in [5, 11, 12, 30, 40] {
        let start = Arc::new(Barrier::new(16));
        let asked: Vec<_> = (0..16)
            .map(|n| {
                let (witness, start) = (witness.clone(), start.clone());
                let body = branches[n % 2].request(old, size).to_string();
                thread::spawn(move || {
                    start.wait();
                    (n % 2, witness.post("/add-checkpoint", body.as_bytes()))
                })
            })
            .collect();
        let answers: Vec<_> = asked.into_iter().map(|one| one.join().unwrap()).collect();
        let cosigned: Vec<_> = answers.iter().filter(|(_, got)| got.status == 200).collect();
        let [(branch, got)] = &cosigned[..] else { panic!("{} were cosigned", cosigned.len()) };
        assert!(answers.iter().all(|(_, got)| matches!(got.status, 200 | 409 | 422)));
        assert!(winner.is_none_or(|winner| winner == *branch), "it changed its mind");
        winner = Some(*branch);
        let note = format!("{}{}", branches[*branch].checkpoint(size).note(), got.body);
        assert_eq!(witness.get(&shown()).body, note);
        old = size;
    }
}

#[test]
fn one_folder_has_one_witness_and_a_damaged_file_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut witness, log) = (running(folder.path()), Log::new());
    assert_eq!(witness.post("/add-checkpoint", log.request(0, 6).to_string().as_bytes()).status, 200);
    let second = witness.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, 2, "{}", second.err);
    assert!(second.err.contains("another witness runs"), "{}", second.err);
    witness.kill();
    let entry = fs::read_dir(witness.path("cosigned")).unwrap().next().unwrap().unwrap().path();
    let right = fs::read_to_string(&entry).unwrap();
    // Left behind by a power cut; it says nothing.
    fs::write(witness.path("cosigned/.half.1-0.new"), "half").unwrap();
    let other = entry.with_file_name("00".repeat(32));
    for wrong in [right.replace("\n6\n", "\n5\n"), right[..right.len() / 2].to_owned(), String::new()] {
        fs::write(&entry, wrong).unwrap();
        let serve = witness.run(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(serve.code, 1, "{}", serve.err);
        assert!(serve.err.contains("is damaged"), "{}", serve.err);
    }
    fs::rename(&entry, &other).unwrap();
    fs::write(&other, &right).unwrap();
    assert!(witness.run(&["serve", "--listen", "127.0.0.1:0"]).err.contains("it is of the log"));
    fs::rename(&other, &entry).unwrap();
    witness.start(&[]);
    assert_eq!(witness.get(&shown()).body, right);
}

#[test]
fn of_other_peoples_lines_none_is_handed_on() {
    let folder = tempfile::tempdir().unwrap();
    let (witness, log) = (running(folder.path()), Log::new());
    let mut request = log.request(0, 6);
    request.checkpoint.push_str("\u{2014} evil.example AQIDBAU=\n");
    let got = witness.post("/add-checkpoint", request.to_string().as_bytes());
    assert_eq!(got.status, 200, "{}", got.body);
    let shown = witness.get(&shown()).body;
    let note = Note::parse(shown.as_bytes()).unwrap();
    assert_eq!(note.signatures().len(), 2, "{shown}");
    assert!(CosignedCheckpoint::open(shown.as_bytes(), std::slice::from_ref(&witness.key)).is_ok());
}
