//! The agent's loop against a control plane that the test plays by hand.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    io::Write as _,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use appliance::{
    agent::{
        contact::Contact,
        core::AgentCore,
        credentials::Folder,
        link::{Link, LinkError},
        outbox::{Limits, Outbox},
        run::{Parts, RunError, run},
    },
    clock,
    config::Config,
    ipc::IpcError,
    probe::background::Probes,
    world::Executor,
};
use proto::{
    digest::Digest,
    ids::StreamId,
    local::{self, request::Call, response::Answer},
    pb,
    sync::{Ack, Batch, Lines, Record, unpack},
};
use tokio::sync::{mpsc, oneshot};

/// An executor with evidence to wait for.
#[derive(Clone, Default)]
struct Evidence(Arc<(Mutex<u64>, Condvar)>);

impl Evidence {
    fn add(&self) {
        *self.0.0.lock().unwrap() += 1;
        self.0.1.notify_all();
    }
}

impl Executor for Evidence {
    fn call(&mut self, request: local::Request) -> Result<local::Response, IpcError> {
        let answer = match request.call.unwrap() {
            Call::Describe(_) => Answer::Description(local::Description {
                incarnation: vec![5; 16],
                nonce: vec![6; 16],
                ..Default::default()
            }),
            Call::Collect(ask) => {
                let made = self.0.0.lock().unwrap();
                let wait = Duration::from_millis(ask.wait_ms.into());
                let made = *self.0.1.wait_timeout_while(made, wait, |made| *made <= ask.from).unwrap().0;
                let item = |index: u64| local::Item {
                    index,
                    envelope: index.to_be_bytes().to_vec(),
                    attachments: vec![],
                };
                Answer::Collected(local::Collected { items: (ask.from..made).map(item).collect() })
            }
            Call::Deliver(_) => Answer::Delivered(local::Delivered::default()),
            other => panic!("{other:?}"),
        };
        Ok(local::Response { answer: Some(answer) })
    }
}

type Answering = oneshot::Sender<Option<pb::SyncResponse>>;

/// Hands every call to the test and waits for what it answers.
struct Played(mpsc::UnboundedSender<(pb::SyncRequest, Answering)>);

impl Link for Played {
    async fn sync(&mut self, request: pb::SyncRequest) -> Result<pb::SyncResponse, LinkError> {
        let (answer, answered) = oneshot::channel();
        self.0.send((request, answer)).unwrap();
        match answered.await {
            Ok(Some(response)) => Ok(response),
            _ => Err(LinkError::Silent { address: "test".to_owned(), call: "Sync", seconds: 0 }),
        }
    }

    async fn renew(&mut self, _: pb::RenewRequest) -> Result<pb::RenewResponse, LinkError> {
        panic!("there is no certificate to renew")
    }

    fn reconnect(&mut self) {}
}

struct Running {
    folder: tempfile::TempDir,
    evidence: Evidence,
    calls: mpsc::UnboundedReceiver<(pb::SyncRequest, Answering)>,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Result<(), RunError>>,
}

fn start(folder: tempfile::TempDir, evidence: Evidence) -> Running {
    start_watching("", Limits::new(64 << 20, 16 << 20), folder, evidence)
}

fn start_watching(watch: &str, limits: Limits, folder: tempfile::TempDir, evidence: Evidence) -> Running {
    // So seldom that whatever happens soon was not the sampler's doing.
    let text =
        format!("control_plane.address = \"https://127.0.0.1:1\"\nagent.sample_seconds = 3600\n{watch}");
    let config = Config::parse(&text, Path::new("appliance.toml")).unwrap();
    let files = Folder::at(folder.path());
    let outbox = Outbox::open(&files.outbox(), limits, StreamId([1; 16])).unwrap();
    let world = clock::system();
    let (send, calls) = mpsc::unbounded_channel();
    let parts = Parts {
        probes: Probes::new([], Duration::from_secs(15), clock::system()),
        core: AgentCore::new(&config, outbox, Box::new(evidence.clone()), world.entropy.clone()),
        link: Played(send),
        measurer: Box::new(evidence.clone()),
        waiter: Box::new(evidence.clone()),
        world,
        folder: files,
        sample: config.agent.sample,
    };
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(run(parts, async {
        let _ = stopped.await;
    }));
    Running { folder, evidence, calls, stop, ended }
}

fn acknowledge(request: &pb::SyncRequest) -> Option<pb::SyncResponse> {
    let batch = Batch::try_from(request.batch.clone()?).unwrap();
    let ack = Ack { stream: batch.stream, number: batch.number, digest: Digest::of(&batch.records) };
    Some(pb::SyncResponse { ack: Some(ack.into()), evidence_next: u64::MAX, ..Default::default() })
}

fn evidence(request: &pb::SyncRequest) -> Vec<u64> {
    let records = unpack(&request.batch.as_ref().expect("a batch").records).unwrap();
    let index = |record| match record {
        Record::Evidence(envelope) => u64::from_be_bytes(envelope.try_into().unwrap()),
        other => panic!("{other:?}"),
    };
    records.into_iter().map(index).collect()
}

#[tokio::test]
async fn a_held_call_is_dropped_when_there_is_something_to_say() {
    let mut agent = start(tempfile::tempdir().unwrap(), Evidence::default());
    let (idle, mut held) = agent.calls.recv().await.unwrap();
    assert!(idle.batch.is_none() && idle.hold_ms > 0);
    agent.evidence.add();
    let (full, answer) = agent.calls.recv().await.unwrap();
    held.closed().await; // the one before is given up
    assert_eq!(evidence(&full), [0]);
    answer.send(acknowledge(&full)).unwrap();
    let (idle, _held) = agent.calls.recv().await.unwrap();
    assert!(idle.batch.is_none());
    let contact = Contact::read(&Folder::at(agent.folder.path()).contact()).unwrap().unwrap();
    assert!(contact.answered.is_some() && contact.problem.is_empty());
    agent.stop.send(()).unwrap();
    agent.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_that_carries_a_batch_is_not_dropped_and_a_lost_one_is_repeated() {
    let evidence_source = Evidence::default();
    evidence_source.add();
    let mut agent = start(tempfile::tempdir().unwrap(), evidence_source);
    let (mut first, mut answer) = agent.calls.recv().await.unwrap();
    while first.batch.is_none() {
        (first, answer) = agent.calls.recv().await.unwrap();
    }
    agent.evidence.add();
    answer.send(None).unwrap();
    let (again, answer) = agent.calls.recv().await.unwrap();
    assert_eq!(again.batch, first.batch, "byte for byte");
    let contact = Contact::read(&Folder::at(agent.folder.path()).contact()).unwrap().unwrap();
    assert!(contact.problem.contains("did not answer"), "{contact:?}");
    answer.send(acknowledge(&again)).unwrap();
    let (next, answer) = agent.calls.recv().await.unwrap();
    assert_eq!(evidence(&next), [1]);
    // An answer that acknowledges nothing is a failure: sent again, after a pause.
    answer.send(Some(pb::SyncResponse::default())).unwrap();
    let (again, answer) = agent.calls.recv().await.unwrap();
    assert_eq!(again.batch, next.batch);
    answer.send(acknowledge(&again)).unwrap();
    agent.stop.send(()).unwrap();
    agent.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn told_to_stop_it_has_a_last_word_and_what_was_not_heard_stays() {
    for heard in [true, false] {
        let mut agent = start(tempfile::tempdir().unwrap(), Evidence::default());
        agent.evidence.add();
        let (mut request, mut answer) = agent.calls.recv().await.unwrap();
        while request.batch.is_none() {
            (request, answer) = agent.calls.recv().await.unwrap();
        }
        agent.stop.send(()).unwrap();
        answer.closed().await; // given up
        let (last, answer) = agent.calls.recv().await.unwrap();
        assert_eq!(last.batch, request.batch);
        answer.send(acknowledge(&last).filter(|_| heard)).unwrap();
        agent.ended.await.unwrap().unwrap();
        assert!(agent.calls.recv().await.is_none(), "and then it is silent");
        let waiting =
            appliance::agent::outbox::inspect(&Folder::at(agent.folder.path()).outbox()).unwrap().unwrap();
        assert_eq!(waiting.on_its_way.is_none(), heard);
    }
}

fn lines(request: &pb::SyncRequest) -> Vec<Lines> {
    let records =
        unpack(&request.batch.as_ref().map(|batch| batch.records.clone()).unwrap_or_default()).unwrap();
    records
        .into_iter()
        .filter_map(|record| if let Record::Lines(lines) = record { Some(lines) } else { None })
        .collect()
}

fn append(log: &Path, text: &str) {
    std::fs::File::options().append(true).open(log).unwrap().write_all(text.as_bytes()).unwrap();
}

/// A log that travels whole, followed by an agent whose outbox has room for `limits`.
async fn following(limits: Limits) -> (Running, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("app.log");
    std::fs::write(&log, "what stood here before is no news\n").unwrap();
    let watch = format!("[[watch.log]]\nid = \"app\"\npath = {log:?}\nforward = \"all\"\n");
    let mut agent = start_watching(&watch, limits, folder, Evidence::default());
    let mut held = Vec::new();
    // It begins where the log ends when it first looks; from then on every line counts.
    loop {
        let call = tokio::time::timeout(Duration::from_millis(100), agent.calls.recv()).await;
        let Ok(Some((request, answer))) = call else {
            append(&log, "one more\n");
            continue;
        };
        if request.batch.is_none() {
            held.push(answer);
            continue;
        }
        answer.send(acknowledge(&request)).unwrap();
        let end = std::fs::metadata(&log).unwrap().len();
        if lines(&request).iter().any(|lines| lines.place.offset + lines.place.length == end) {
            return (agent, log);
        }
    }
}

#[tokio::test]
async fn a_line_is_sent_when_it_is_written_and_not_when_it_is_time_to_look() {
    let (mut agent, log) = following(Limits::new(64 << 20, 16 << 20)).await;
    append(&log, "Jane Roe was here\n");
    let mut held = Vec::new();
    loop {
        let (request, answer) = tokio::time::timeout(Duration::from_secs(20), agent.calls.recv())
            .await
            .expect("it is sent")
            .unwrap();
        let came = lines(&request);
        if let [only] = &came[..] {
            assert_eq!(only.text().unwrap(), "<name> was here\n");
            answer.send(acknowledge(&request)).unwrap();
            break;
        }
        held.push(answer);
    }
    agent.stop.send(()).unwrap();
    agent.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_log_that_waited_for_room_goes_on_when_there_is_some() {
    // Room for one record at a time.
    let (mut agent, log) = following(Limits { telemetry: 1 << 20, evidence: 1 << 20, lines: 1 }).await;
    let mut next = std::fs::metadata(&log).unwrap().len();
    append(&log, &"a line of words that are known to everybody\n".repeat(20_000));
    let end = std::fs::metadata(&log).unwrap().len();
    let (mut records, mut held) = (0, Vec::new());
    while next < end {
        let (request, answer) = tokio::time::timeout(Duration::from_secs(20), agent.calls.recv())
            .await
            .expect("it goes on")
            .unwrap();
        for lines in lines(&request) {
            assert_eq!(lines.place.offset, next);
            next += lines.place.length;
            records += 1;
        }
        match request.batch {
            Some(_) => answer.send(acknowledge(&request)).unwrap(),
            None => held.push(answer),
        }
    }
    assert!(records > 4, "{records}");
    agent.stop.send(()).unwrap();
    agent.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn it_asks_to_come_again_and_is_left_alone_until_then() {
    let mut agent = start(tempfile::tempdir().unwrap(), Evidence::default());
    let (_, answer) = agent.calls.recv().await.unwrap();
    let later = pb::SyncResponse { come_again_ms: 3_600_000, evidence_next: u64::MAX, ..Default::default() };
    answer.send(Some(later)).unwrap();
    agent.evidence.add();
    let silence = tokio::time::timeout(Duration::from_millis(300), agent.calls.recv()).await;
    assert!(silence.is_err(), "an overloaded server said when to come again");
    agent.stop.send(()).unwrap();
    let (last, answer) = agent.calls.recv().await.unwrap();
    answer.send(acknowledge(&last)).unwrap();
    agent.ended.await.unwrap().unwrap();
}
