//! The executor as a program: threads, socket, an orderly end.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::{Arc, Condvar, Mutex, mpsc::channel},
    time::Duration,
};

use appliance::{
    config::WatchEntry,
    executor::{serve::Service, steps::Stop},
    ipc::Connection,
    world::{Executor as _, Host, HostFacts, StepOutcome},
};
use nix::unistd::Uid;
use proto::{
    evidence::{self, Body, Readings, StepResult, Verdict},
    local::{self, request::Call, response::Answer},
};
use runbooks::Step;
use rusqlite::Connection as Database;

use crate::support::{
    at,
    box_world::{Appliance, Machine},
    office::Office,
};

const LONG: Duration = Duration::from_secs(60);

/// A running service over a box whose steps wait for the test.
struct Running {
    office: Office,
    service: Service,
    folder: tempfile::TempDir,
    gate: Gate,
    crowd: Crowd,
    machine: Machine,
}

/// Steps go through when it is open, or when they are stopped.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(bool, bool)>, Condvar)>);

impl Gate {
    fn open(&self) {
        self.0.0.lock().unwrap().1 = true;
        self.0.1.notify_all();
    }

    fn wait_until_a_step_waits(&self) {
        let (lock, changed) = &*self.0;
        let waited = changed.wait_timeout_while(lock.lock().unwrap(), LONG, |(waits, _)| !*waits).unwrap();
        assert!(!waited.1.timed_out(), "no step began");
    }

    /// Waits like a step that hangs; `false`: it was stopped.
    fn pass(&self, stop: &Stop) -> bool {
        let (lock, changed) = &*self.0;
        let mut state = lock.lock().unwrap();
        state.0 = true;
        changed.notify_all();
        loop {
            if state.1 {
                return true;
            }
            if stop.is_stopped() {
                return false;
            }
            state = changed.wait_timeout(state, Duration::from_millis(20)).unwrap().0;
        }
    }
}

/// How many are in here at once, and the most that ever were; each waits a moment for the next.
#[derive(Clone, Default)]
struct Crowd(Arc<(Mutex<(usize, usize)>, Condvar)>);

impl Crowd {
    fn pass(&self) {
        let (lock, changed) = &*self.0;
        let mut state = lock.lock().unwrap();
        *state = (state.0 + 1, state.1.max(state.0 + 1));
        changed.notify_all();
        let alone = |(inside, _): &mut (usize, usize)| *inside == 1;
        let (mut state, _) = changed.wait_timeout_while(state, Duration::from_millis(100), alone).unwrap();
        state.0 -= 1;
    }

    fn most(&self) -> usize {
        self.0.0.lock().unwrap().1
    }
}

struct Gated {
    machine: Machine,
    crowd: Crowd,
    gate: Gate,
    stop: Stop,
}

impl Host for Gated {
    fn held(&self) -> Option<String> {
        self.machine.held()
    }
    fn measure(&self, entry: &WatchEntry, facts: &HostFacts) -> Readings {
        if entry.id().as_str() == "records" {
            self.crowd.pass();
        }
        self.machine.measure(entry, facts)
    }
    fn perform(&self, step: &Step, entry: &WatchEntry, facts: &HostFacts, within: Duration) -> StepOutcome {
        if !self.gate.pass(&self.stop) {
            return StepOutcome {
                result: StepResult::Interrupted,
                counts: Readings::new(),
                output: Vec::new(),
            };
        }
        self.machine.perform(step, entry, facts, within)
    }
}

impl Running {
    fn new() -> Self {
        let office = Office::new(at("2026-11-22T12:00:00Z"));
        let appliance = Appliance::new(office.trust(), office.now);
        let folder = tempfile::tempdir().unwrap();
        let (gate, stop) = (Gate::default(), Stop::default());
        let machine = appliance.machine.clone();
        let crowd = Crowd::default();
        let host =
            Gated { machine: machine.clone(), crowd: crowd.clone(), gate: gate.clone(), stop: stop.clone() };
        let mut setup = appliance.setup(Arc::new(host));
        // Pinned later, as on a box that is being enrolled.
        setup.trust = None;
        let database = Database::open(folder.path().join("executor.db")).unwrap();
        let core = appliance::executor::ExecutorCore::open(database, setup).map_err(|e| e.to_string());
        let listener = UnixListener::bind(folder.path().join("executor.sock")).unwrap();
        let service =
            Service::start(core, listener, vec![Uid::effective()], folder.path().join("trust.json"), stop)
                .unwrap();
        Self { office, service, folder, gate, crowd, machine }
    }

    fn connect(&self) -> Connection {
        Connection::open(&self.folder.path().join("executor.sock")).unwrap()
    }

    /// Enrols it, tells it the time and gives it an order.
    fn with_an_order(&self, connection: &mut Connection) {
        let prove = local::ProveKeys { tls_spki: self.office.spki().to_vec(), challenge: vec![1; 32] };
        ask(connection, Call::ProveKeys(prove));
        let Answer::Failure(failure) = ask(connection, Call::Adopt(self.office.adopt())) else { panic!() };
        assert!(failure.problem.contains("enrolment writes it"), "{}", failure.problem);
        write_trust(&self.folder.path().join("trust.json"), &self.office);
        assert!(matches!(ask(connection, Call::Adopt(self.office.adopt())), Answer::Adopted(_)));
        let d = describe(connection);
        let orders = vec![self.office.order(7, 1, &d.incarnation, "RB-DISK-002", "uploads")];
        let time_token = self.office.token(&d.incarnation, &d.nonce);
        let Answer::Delivered(delivered) = ask(
            connection,
            Call::Deliver(local::Deliver { time_token, orders, ..local::Deliver::default() }),
        ) else {
            panic!()
        };
        assert!(delivered.outcomes[0].accepted, "{delivered:?}");
    }
}

fn write_trust(path: &Path, office: &Office) {
    fs::write(path, serde_json::to_vec(&office.trust()).unwrap()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

pub fn ask(connection: &mut Connection, call: Call) -> Answer {
    connection.call(local::Request { call: Some(call) }).unwrap().answer.unwrap()
}

pub fn describe(connection: &mut Connection) -> local::Description {
    match ask(connection, Call::Describe(local::Describe {})) {
        Answer::Description(description) => description,
        other => panic!("{other:?}"),
    }
}

fn collect(connection: &mut Connection, from: u64, wait_ms: u32) -> Vec<local::Item> {
    match ask(connection, Call::Collect(local::Collect { from, wait_ms, most_bytes: 1 << 20 })) {
        Answer::Collected(collected) => collected.items,
        other => panic!("{other:?}"),
    }
}

/// Waits for the evidence of the order.
fn execution(connection: &mut Connection) -> evidence::Execution {
    let mut from = 0;
    loop {
        let items = collect(connection, from, 30_000);
        assert!(!items.is_empty(), "no evidence came");
        for item in items {
            from = item.index + 1;
            if let Body::Execution(execution) = evidence::peek(&item.envelope).unwrap().body {
                return *execution;
            }
        }
    }
}

#[test]
fn callers_are_answered_while_a_step_runs_and_woken_by_its_evidence() {
    let running = Running::new();
    let mut connection = running.connect();
    running.with_an_order(&mut connection);
    running.gate.wait_until_a_step_waits();
    assert_eq!(describe(&mut connection).executions[0].state, "running");
    let Answer::Measured(_) = ask(&mut connection, Call::Measure(local::Measure { watch: "scans".into() }))
    else {
        panic!()
    };
    let mut waiter = running.connect();
    let (found, finds) = channel();
    let waits = std::thread::spawn(move || found.send(execution(&mut waiter).verdict).unwrap());
    running.gate.open();
    assert_eq!(finds.recv_timeout(LONG).unwrap(), Verdict::Repaired);
    waits.join().unwrap();
    running.service.drain(LONG).unwrap();
    assert_eq!(running.machine.count("files.prune", "uploads"), 1);
}

#[test]
fn what_a_runbook_would_do_is_said_to_the_owner_and_is_not_done() {
    let running = Running::new();
    let mut connection = running.connect();
    running.with_an_order(&mut connection);
    running.gate.wait_until_a_step_waits();
    let mut foresee = |runbook: &str, watch: &str| {
        ask(&mut connection, Call::Foresee(local::Foresee { runbook: runbook.into(), watch: watch.into() }))
    };
    let Answer::Foreseen(foreseen) = foresee("RB-DISK-002", "uploads") else { panic!() };
    assert_eq!((foreseen.presence.as_str(), foreseen.steps.len()), ("present", 1));
    assert_eq!(foreseen.steps[0].action, "files.prune");
    assert!(foreseen.readings.iter().any(|reading| reading.name == "bytes"), "{foreseen:?}");
    for (runbook, watch, field) in [
        ("RB-NONE-001", "uploads", "runbook"),
        ("RB-DISK-002", "nowhere", "watch"),
        ("RB-DISK-002", "records", "watch"),
        ("../etc", "uploads", "runbook"),
    ] {
        let Answer::Failure(failure) = foresee(runbook, watch) else { panic!("{runbook} on {watch}") };
        assert!(failure.field.contains(field), "{failure:?}");
    }
    assert_eq!(running.machine.count("files.prune", "uploads"), 0, "nothing was done by saying it");
    running.gate.open();
    running.service.drain(LONG).unwrap();
}

#[test]
fn a_drain_lets_the_running_step_end() {
    let running = Running::new();
    let mut connection = running.connect();
    running.with_an_order(&mut connection);
    running.gate.wait_until_a_step_waits();
    let gate = running.gate.clone();
    let (folder, service) = (running.folder, running.service);
    let drains = std::thread::spawn(move || service.drain(LONG));
    gate.open();
    drains.join().unwrap().unwrap();
    assert_eq!(verdict_on_disk(folder.path()), "\"repaired\"");
}

#[test]
fn a_drain_stops_what_does_not_end_and_that_is_evidence() {
    let running = Running::new();
    let mut connection = running.connect();
    running.with_an_order(&mut connection);
    running.gate.wait_until_a_step_waits();
    running.service.drain(Duration::from_millis(50)).unwrap();
    assert_eq!(verdict_on_disk(running.folder.path()), "\"interrupted\"");
    let Answer::Failure(failure) = ask(&mut connection, Call::Describe(local::Describe {})) else { panic!() };
    assert!(failure.problem.contains("ending"));
}

fn verdict_on_disk(folder: &Path) -> String {
    let database = Database::open(folder.join("executor.db")).unwrap();
    database.query_row("SELECT verdict FROM journal", [], |row| row.get(0)).unwrap()
}

#[test]
fn garbage_oversize_and_half_frames_send_only_their_caller_away() {
    let running = Running::new();
    let path = running.folder.path().join("executor.sock");
    let mut huge = u32::MAX.to_be_bytes().to_vec();
    huge.extend_from_slice(&[0; 100]);
    let mut empty = [0x3a, 0].repeat(1 << 20); // a million empty inclusions
    let mut deliver = vec![0x22];
    prost::encode_length_delimiter(empty.len(), &mut deliver).unwrap();
    deliver.append(&mut empty);
    let many = [&u32::try_from(deliver.len()).unwrap().to_be_bytes()[..], &deliver].concat();
    let garbage = [&9_u32.to_be_bytes()[..], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"].concat();
    for bytes in [huge, many, garbage] {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut rest = Vec::new();
        // Hung up, with or without a reset for what was not read.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
    let mut half = UnixStream::connect(&path).unwrap();
    half.write_all(&[0, 0]).unwrap();
    // More silent callers than there is room for: those who were there first are still answered.
    let mut first = running.connect();
    describe(&mut first);
    let crowd: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&path).unwrap()).collect();
    describe(&mut first);
    drop((crowd, half));
    running.service.drain(LONG).unwrap();
}

#[test]
fn one_entry_is_measured_once_at_a_time() {
    let running = Running::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut connection = running.connect();
            scope.spawn(move || {
                let call = Call::Measure(local::Measure { watch: "records".into() });
                assert!(matches!(ask(&mut connection, call), Answer::Measured(_)));
            });
        }
    });
    assert_eq!(running.crowd.most(), 1);
    running.service.drain(LONG).unwrap();
}

#[test]
fn callers_whose_threads_panic_leave_their_seats() {
    let running = Running::new();
    running.machine.lock().calls_left = Some(0);
    for _ in 0..20 {
        let call = Call::Measure(local::Measure { watch: "uploads".into() });
        assert!(running.connect().call(local::Request { call: Some(call) }).is_err());
    }
    running.machine.lock().calls_left = None;
    describe(&mut running.connect());
}

#[test]
fn an_order_that_cannot_be_begun_is_not_tried_without_a_pause() {
    let running = Running::new();
    let database = Database::open(running.folder.path().join("executor.db")).unwrap();
    database
        .execute_batch(
            "CREATE TRIGGER full BEFORE UPDATE ON journal WHEN NEW.state = 'started'
             BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
        )
        .unwrap();
    running.machine.lock().calls_left = Some(100);
    let mut connection = running.connect();
    running.with_an_order(&mut connection);
    // Time enough to try a hundred times.
    assert!(collect(&mut connection, u64::MAX, 500).is_empty());
    let left = running.machine.lock().calls_left.unwrap();
    assert!((90..100).contains(&left), "{left}");
    running.service.drain(LONG).unwrap();
}

#[test]
fn a_database_that_cannot_be_read_is_said_to_every_caller() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("executor.sock")).unwrap();
    let broken = Err("executor.db is damaged".to_owned());
    let service =
        Service::start(broken, listener, vec![Uid::effective()], folder.path().join("t"), Stop::default())
            .unwrap();
    let mut connection = Connection::open(&folder.path().join("executor.sock")).unwrap();
    for call in [
        Call::Describe(local::Describe {}),
        Call::Deliver(local::Deliver::default()),
        Call::Collect(local::Collect { from: 0, wait_ms: 60_000, most_bytes: 0 }),
    ] {
        let Answer::Failure(failure) = ask(&mut connection, call) else { panic!() };
        assert!(failure.problem.contains("damaged"));
    }
    service.drain(LONG).unwrap();
}
