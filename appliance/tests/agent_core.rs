//! The agent's core against a control plane that keeps to the contract and a network that keeps to nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, atomic::Ordering},
};

use appliance::{
    agent::{
        core::{AgentCore, Asked, Watching},
        detect::{self, State as Detector},
        outbox::{Limits, Outbox},
    },
    clock::SystemEntropy,
    config::Config,
    ipc::IpcError,
    world::Executor,
};
use proptest::prelude::*;
use proto::{
    digest::Digest,
    ids::StreamId,
    local::{self, request::Call, response::Answer},
    pb,
    sync::{Ack, Exchange, Phase, Receipt, Record, StreamState, receipt, unpack},
    time::Millis,
};
use runbooks::Fault;

const CONFIG: &str = r#"
control_plane.address = "https://127.0.0.1:1"
[[watch.directory]]
id = "uploads"
path = "/srv/uploads"
limit_bytes = 10
"#;

/// An executor that keeps its evidence, measures what the test says, and can be out of reach.
#[derive(Default)]
struct State {
    evidence: Vec<local::Item>,
    first: u64,
    bytes: i64,
    order_high: u64,
    delivered: Vec<local::Deliver>,
    out_of_reach: bool,
    watch_list: Vec<u8>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<State>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn add_evidence(&self, attachments: usize) {
        let mut it = self.lock();
        let index = it.evidence.len() as u64;
        let attachments = (0..attachments).map(|n| format!("{index}/{n}").into_bytes()).collect();
        it.evidence.push(local::Item { index, envelope: index.to_be_bytes().to_vec(), attachments });
    }
}

impl Executor for Shared {
    fn call(&mut self, request: local::Request) -> Result<local::Response, IpcError> {
        let mut it = self.lock();
        if it.out_of_reach {
            return Err(IpcError::HungUp);
        }
        let answer = match request.call.unwrap() {
            Call::Describe(_) => Answer::Description(local::Description {
                incarnation: vec![5; 16],
                nonce: vec![6; 16],
                evidence_first: it.first,
                evidence_next: it.evidence.len() as u64,
                unproven: vec![vec![1; 32]; 70],
                order_high: it.order_high,
                watch_list: it.watch_list.clone(),
                ..Default::default()
            }),
            Call::Collect(ask) => {
                let from = ask.from.max(it.first) as usize;
                // Few at a time: whoever asks must ask again.
                let items = it.evidence.iter().skip(from).take(2).cloned().collect();
                Answer::Collected(local::Collected { items })
            }
            Call::Measure(ask) => {
                assert_eq!(ask.watch, "uploads");
                let reading = |name: &str, value| local::Reading { name: name.to_owned(), value };
                let readings = vec![reading("bytes", it.bytes), reading("limit_bytes", 10)];
                Answer::Measured(local::Measured { readings, note: String::new() })
            }
            Call::Deliver(deliver) => {
                let order_high = it.order_high + deliver.orders.len() as u64;
                it.delivered.push(deliver);
                Answer::Delivered(local::Delivered { order_high, ..Default::default() })
            }
            other => panic!("{other:?}"),
        };
        Ok(local::Response { answer: Some(answer) })
    }
}

/// A control plane by the contract's own tables.
#[derive(Default)]
struct Server {
    state: StreamState,
    records: Vec<Record>,
    conflicts: usize,
}

impl Server {
    fn evidence(&self) -> Vec<u64> {
        let index = |record: &Record| match record {
            Record::Evidence(envelope) => Some(u64::from_be_bytes(envelope[..].try_into().unwrap())),
            _ => None,
        };
        self.records.iter().filter_map(index).collect()
    }

    fn serve(&mut self, request: pb::SyncRequest) -> pb::SyncResponse {
        let exchange = Exchange::try_from(request).unwrap();
        let ack = exchange.batch.and_then(|batch| match receipt(self.state, &batch) {
            Receipt::Commit => {
                self.records.extend(unpack(&batch.records).unwrap());
                self.state = StreamState { number: batch.number, digest: Digest::of(&batch.records) };
                Some(batch)
            }
            Receipt::Again => Some(batch),
            Receipt::CommitAfterGap { missing } => panic!("{missing} batches were skipped"),
            Receipt::Conflict => {
                self.conflicts += 1;
                None
            }
        });
        let ack = ack.map(|batch| {
            let digest = Digest::of(&batch.records);
            Ack { stream: batch.stream, number: batch.number, digest }.into()
        });
        let evidence_next = self.evidence().into_iter().max().map_or(0, |index| index + 1);
        pb::SyncResponse { ack, evidence_next, time_token: vec![1], ..Default::default() }
    }
}

struct Agent {
    path: PathBuf,
    executor: Shared,
    core: AgentCore,
}

impl Agent {
    fn new(folder: &tempfile::TempDir, executor: &Shared) -> Self {
        let path = folder.path().join("outbox.db");
        Self { core: core(&path, executor), path, executor: executor.clone() }
    }

    /// A kill -9 and a start.
    fn crash(self) -> Self {
        drop(self.core);
        Self { core: core(&self.path, &self.executor), ..self }
    }

    fn exchange(&mut self, server: &mut Server) -> bool {
        let asked = self.core.next_request().unwrap();
        let response = server.serve(asked.request.clone());
        self.core.absorb(&asked, response).unwrap().acknowledged
    }
}

fn core(path: &std::path::Path, executor: &Shared) -> AgentCore {
    let config = Config::parse(CONFIG, path).unwrap();
    let limits = Limits::new(64 << 20, 16 << 20);
    let outbox = Outbox::open(path, limits, StreamId([3; 16])).unwrap();
    AgentCore::new(&config, outbox, Box::new(executor.clone()), Arc::new(SystemEntropy))
}

#[test]
fn a_fault_is_raised_once_and_cleared_once() {
    let (folder, executor, mut server) = (tempfile::tempdir().unwrap(), Shared::default(), Server::default());
    let mut agent = Agent::new(&folder, &executor);
    for (second, bytes, records) in [(0, 5, 0), (15, 11, 1), (30, 12, 0), (45, -1, 0), (60, 3, 1), (75, 3, 0)]
    {
        executor.lock().bytes = bytes;
        let collected = agent.core.collect(Millis(second * 1000));
        assert!(collected.problems.is_empty(), "{:?}", collected.problems);
        assert_eq!(collected.records, records, "at {second} s");
        agent = agent.crash();
    }
    assert!(agent.exchange(&mut server));
    let [Record::Event(raised), Record::Event(cleared)] = &server.records[..] else { panic!() };
    assert_eq!((raised.phase, cleared.phase), (Phase::Raised, Phase::Cleared));
    assert_eq!((raised.kind.as_str(), raised.watch.as_str()), ("directory.over-limit", "uploads"));
    assert_eq!(raised.readings, [("bytes".to_owned(), 11), ("limit_bytes".to_owned(), 10)]);
}

#[test]
fn a_request_says_how_the_executor_stands_and_is_held_only_without_a_batch() {
    let (folder, executor) = (tempfile::tempdir().unwrap(), Shared::default());
    let mut agent = Agent::new(&folder, &executor);
    executor.lock().order_high = 7;
    let idle = agent.core.next_request().unwrap();
    assert_eq!((idle.request.hold_ms, idle.request.order_high), (30_000, 7));
    assert_eq!(idle.request.unproven.len(), 64);
    let orders = vec![b"order".to_vec(); 3];
    agent.core.absorb(&idle, pb::SyncResponse { orders, ..Default::default() }).unwrap();
    assert_eq!(executor.lock().delivered.len(), 1);
    executor.add_evidence(0);
    agent.core.collect_evidence(Millis(0)).unwrap();
    let full = agent.core.next_request().unwrap();
    assert_eq!(full.request.order_high, 10, "what it was handed counts, even when it keeps no trace of it");
    assert!(full.request.batch.is_some() && full.request.hold_ms == 0);
}

#[test]
fn an_executor_out_of_reach_loses_nothing() {
    let (folder, executor, mut server) = (tempfile::tempdir().unwrap(), Shared::default(), Server::default());
    let mut agent = Agent::new(&folder, &executor);
    executor.add_evidence(2);
    agent.core.collect(Millis(0));
    let asked = agent.core.next_request().unwrap();
    let response = server.serve(asked.request.clone());
    executor.lock().out_of_reach = true;
    assert!(agent.core.absorb(&asked, response.clone()).is_err());
    assert!(agent.core.next_request().is_err());
    assert_eq!(agent.core.collect(Millis(1)).problems.len(), 2, "evidence and measurement");
    executor.lock().out_of_reach = false;
    assert!(!agent.core.absorb(&asked, response).unwrap().acknowledged, "it was, the first time");
    assert_eq!(server.evidence(), [0]);
    assert_eq!(server.records.len(), 3, "attachments go ahead of their evidence");
    assert!(matches!(server.records[2], Record::Evidence(_)));
}

/// The outbox of a copy: the server has another batch under the number of its next.
#[test]
fn what_is_of_another_past_goes_again_in_a_stream_of_its_own() {
    let (folder, executor, mut server) = (tempfile::tempdir().unwrap(), Shared::default(), Server::default());
    let mut agent = Agent::new(&folder, &executor);
    executor.add_evidence(0);
    agent.core.collect(Millis(0));
    let asked = agent.core.next_request().unwrap();
    let sent = asked.request.batch.clone().unwrap();
    let refusing =
        |quarantine: &str| pb::SyncResponse { quarantine: quarantine.into(), ..Default::default() };
    // Only a quarantine says that it was judged, and only the newest answer counts.
    assert!(!agent.core.absorb(&asked, refusing("")).unwrap().began_anew);
    let (older, asked) = (asked, agent.core.next_request().unwrap());
    assert!(!agent.core.absorb(&older, refusing("two histories")).unwrap().began_anew);
    assert_eq!(asked.request.batch.as_ref(), Some(&sent));
    assert!(agent.core.absorb(&asked, refusing("two histories")).unwrap().began_anew);
    agent = agent.crash();
    let asked = agent.core.next_request().unwrap();
    let again = asked.request.batch.clone().unwrap();
    assert_ne!(again.stream, sent.stream);
    assert_eq!((again.number, &again.records), (1, &sent.records));
    let response = server.serve(asked.request.clone());
    assert!(agent.core.absorb(&asked, response).unwrap().acknowledged);
    executor.add_evidence(0);
    agent.core.collect(Millis(1));
    assert!(agent.exchange(&mut server), "the stream goes on");
    assert_eq!(server.evidence(), [0, 1]);
}

#[test]
fn what_a_restored_server_misses_is_sent_again_once() {
    let (folder, executor, mut server) = (tempfile::tempdir().unwrap(), Shared::default(), Server::default());
    let mut agent = Agent::new(&folder, &executor);
    for _ in 0..5 {
        executor.add_evidence(0);
    }
    agent.core.collect(Millis(0));
    assert!(agent.exchange(&mut server));
    executor.lock().first = 1;
    let asked = agent.core.next_request().unwrap();
    let missing = |next| pb::SyncResponse { evidence_next: next, ..Default::default() };
    assert_eq!(agent.core.absorb(&asked, missing(3)).unwrap().moved_back_to, Some(3));
    assert_eq!(agent.core.collect_evidence(Millis(1)).unwrap(), 2);
    let asked = agent.core.next_request().unwrap();
    assert_eq!(agent.core.absorb(&asked, missing(3)).unwrap().moved_back_to, None, "it is on its way");
    let asked = agent.core.next_request().unwrap();
    let still_missing = pb::SyncResponse { evidence_next: 3, ..server.serve(asked.request.clone()) };
    let absorbed = agent.core.absorb(&asked, still_missing).unwrap();
    assert_eq!((absorbed.acknowledged, absorbed.moved_back_to), (true, None), "it did not help");
    assert_eq!(server.evidence(), [0, 1, 2, 3, 4, 3, 4]);
    // It is tried again, but not soon: another version of the server may take what this one does not.
    let mut again = 0;
    for _ in 0..130 {
        let asked = agent.core.next_request().unwrap();
        if agent.core.absorb(&asked, missing(3)).unwrap().moved_back_to == Some(3) {
            again += 1;
            assert_eq!(agent.core.collect_evidence(Millis(2)).unwrap(), 2);
            let asked = agent.core.next_request().unwrap();
            let still_missing = pb::SyncResponse { evidence_next: 3, ..server.serve(asked.request.clone()) };
            assert!(agent.core.absorb(&asked, still_missing).unwrap().acknowledged);
        }
    }
    assert_eq!(again, 2, "once in sixty requests");
    let asked = agent.core.next_request().unwrap();
    assert_eq!(
        agent.core.absorb(&asked, missing(0)).unwrap().moved_back_to,
        Some(1),
        "the executor has no older one"
    );
    let older = agent.core.next_request().unwrap();
    let newer = agent.core.next_request().unwrap();
    assert_eq!(agent.core.absorb(&older, missing(0)).unwrap().moved_back_to, None, "an old answer");
    assert_eq!(agent.core.absorb(&newer, missing(1)).unwrap().moved_back_to, None, "already there");
}

#[derive(Debug, Clone)]
enum Act {
    Fault(bool),
    Evidence(usize),
    Collect,
    Ask,
    Serve(usize),
    Answer(usize),
    Exchange,
    OutOfReach(bool),
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => any::<bool>().prop_map(Act::Fault),
        2 => (0_usize..3).prop_map(Act::Evidence),
        4 => Just(Act::Collect),
        4 => Just(Act::Ask),
        4 => any::<usize>().prop_map(Act::Serve),
        4 => any::<usize>().prop_map(Act::Answer),
        2 => Just(Act::Exchange),
        1 => any::<bool>().prop_map(Act::OutOfReach),
        1 => Just(Act::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_interleaving_delivers_each_record_once_and_in_order(acts in prop::collection::vec(act(), 1..90)) {
        let (folder, executor, mut server) = (tempfile::tempdir().unwrap(), Shared::default(), Server::default());
        let mut agent = Agent::new(&folder, &executor);
        // Requests and answers wait here for as long as the network likes, may be served or answered twice, or never.
        let (mut asked, mut answers): (Vec<Asked>, Vec<(Asked, pb::SyncResponse)>) = (vec![], vec![]);
        let (mut now, mut said, mut state) = (Millis(0), Vec::new(), Detector::default());
        for act in acts {
            now = Millis(now.0 + 100_000);
            match act {
                Act::Fault(there) => executor.lock().bytes = if there { 11 } else { 1 },
                Act::Evidence(attachments) => executor.add_evidence(attachments),
                Act::Collect => {
                    agent.core.collect(now);
                    if !executor.lock().out_of_reach {
                        let holds = executor.lock().bytes > 10;
                        let (next, phase) = detect::step(Fault::DirectoryOverLimit, state, Some(holds), now);
                        state = next;
                        said.extend(phase);
                    }
                }
                Act::Ask => asked.extend(agent.core.next_request().ok()),
                Act::Serve(which) if !asked.is_empty() => {
                    let which = asked[which % asked.len()].clone();
                    let answer = server.serve(which.request.clone());
                    answers.push((which, answer));
                }
                Act::Answer(which) if !answers.is_empty() => {
                    let (asked, answer) = answers[which % answers.len()].clone();
                    let _ = agent.core.absorb(&asked, answer);
                }
                Act::Exchange if !executor.lock().out_of_reach => { agent.exchange(&mut server); }
                Act::OutOfReach(now) => executor.lock().out_of_reach = now,
                Act::Crash => agent = agent.crash(),
                Act::Serve(_) | Act::Answer(_) | Act::Exchange => {}
            }
        }
        executor.lock().out_of_reach = false;
        agent.core.collect_evidence(now).unwrap();
        while agent.exchange(&mut server) {}
        prop_assert!(!agent.core.outbox().has_records());
        prop_assert_eq!(server.evidence(), (0..executor.lock().evidence.len() as u64).collect::<Vec<_>>());
        let phases: Vec<Phase> = server.records.iter().filter_map(|r| match r {
            Record::Event(event) => Some(event.phase),
            _ => None,
        }).collect();
        prop_assert_eq!(phases, said);
        let attachments = server.records.iter().filter(|r| matches!(r, Record::Attachment(_))).count();
        let made: usize = executor.lock().evidence.iter().map(|item| item.attachments.len()).sum();
        prop_assert_eq!(attachments, made);
    }
}

#[test]
fn another_watch_list_at_the_executor_has_the_agent_begin_anew() {
    let (folder, executor) = (tempfile::tempdir().unwrap(), Shared::default());
    let digest = |text: &[u8]| Digest::of(text).to_vec();
    executor.lock().watch_list = digest(b"one");
    let watching = Watching { digest: digest(b"one"), ..Watching::default() };
    let is_outdated = watching.is_outdated.clone();
    let mut agent = core(&folder.path().join("outbox.db"), &executor).watching(watching);
    agent.next_request().unwrap();
    assert!(!is_outdated.load(Ordering::Relaxed), "it is the one that the agent goes by");
    for other in [digest(b"another"), Vec::new()] {
        executor.lock().watch_list = other;
        agent.next_request().unwrap();
        assert!(is_outdated.swap(false, Ordering::Relaxed));
    }
}
