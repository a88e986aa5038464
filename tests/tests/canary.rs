//! Identifiers of a patient who does not exist, put wherever an appliance looks; then every byte that it keeps, sends or
//! causes to be kept is searched for them. As root.

mod canaries;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use canaries::{BIRTH, Canaries, FAMILY, GIVEN, MEMBER, MRN, Observer, PHONE, SSN, STREET};
use proto::sync::unpack_lines;
use serde_json::Value;
use tests::{
    clock,
    rig::{
        Machine, Provider, Receiver, Tree,
        installed::install,
        machine,
        practice::{Folder, TENANT},
        provider::Port,
        wait,
    },
};

const LIMIT: Duration = Duration::from_secs(180);
const LOG: &str = "/var/log/app.log";
/// Only root may read it. With [`FAMILY`] and [`MRN`].
const CLOSED: &str = "/var/log/Quackenfrost-84632917.log";
const HOG: &str = "[Service]\nExecStartPre=/bin/sh -c '[ -p /run/never ] || mkfifo /run/never'\n\
    ExecStart=/bin/sh -c 'x=$(head -c 120000000 /dev/zero | tr \"\\\\0\" x); read -r y < /run/never'\n";
const PRESSURE: &str = "[Service]\nType=oneshot\nExecStart=/bin/cp /etc/pressure-low /run/pressure\n\
    ExecStart=/bin/mount --bind /run/pressure /proc/pressure/memory\n";
/// What must have run before anything is searched.
const REPAIRS: [&str; 4] = ["RB-DISK-002", "RB-SERVICE-001", "RB-BACKUP-001", "RB-RESTORE-001"];
/// What is watched, by its ID.
const LOOKS: [&str; 9] = [
    "app-log",
    "app-journal",
    "uploads",
    "app-unit",
    "records",
    "closed-log",
    "lost",
    "portal",
    "certificate",
];

/// What an application writes about a patient.
fn lines_of_a_patient() -> Vec<String> {
    vec![
        format!("ERROR chart of {GIVEN} {FAMILY}, MRN: {MRN}, DOB {BIRTH}, SSN {SSN} not saved"),
        format!("ERROR callback to (617) {PHONE} failed for patient {FAMILY}, {GIVEN}"),
        format!(
            "ERROR PID|1||{MRN}^^^HOSP^MR||{FAMILY}^{GIVEN}||19510317|F|||12 {STREET} St^^Salem^MA^01970"
        ),
        format!("ERROR (0010,0010) PN [{FAMILY}^{GIVEN}] # PatientName (0010,0020) LO [{MRN}]"),
        format!("ERROR GET https://ehr.example/patients/{MRN}/chart?dob={BIRTH}&name={FAMILY}+{GIVEN} 500"),
        format!("ERROR cannot open /srv/scans/{FAMILY}-{GIVEN}-{MRN}.dcm"),
        format!("ERROR claim of member ID {MEMBER} bounced at {GIVEN}.{FAMILY}@mail.example"),
    ]
}

fn unit() -> String {
    format!("sync-{FAMILY}-{MRN}.service")
}

/// A unit that holds more memory than any other, and is told of when memory is short.
fn hog() -> String {
    format!("view-{FAMILY}-{MRN}.service")
}

fn records() -> String {
    format!("/srv/records/{FAMILY}-{GIVEN}-{MRN}")
}

/// What cannot be read, opened or reached: what is said about that must not name it either.
fn broken() -> String {
    format!(
        "[[watch.log]]\nid = \"closed-log\"\npath = \"{CLOSED}\"\nraise = [\"ERROR\"]\n\n\
         [[watch.backup]]\nid = \"lost\"\nrepository = \"/srv/{FAMILY}-{MRN}\"\npassword_file = \"/etc/restic.password\"\n\
         sources = [\"{}\"]\nmax_age_seconds = 86400\n\n\
         [[watch.service]]\nid = \"portal\"\ntarget = \"http://127.0.0.1:1/patients/{MRN}?name={FAMILY}\"\n\n\
         [[watch.certificate]]\nid = \"certificate\"\nfile = \"/etc/{FAMILY}-{MRN}.pem\"\nname = \"{FAMILY}.clinic.test\"\n",
        records()
    )
}

fn upload() -> String {
    format!("/srv/uploads/{FAMILY}-{GIVEN}-{MRN}.pdf")
}

fn watch() -> String {
    format!(
        "[[watch.log]]\nid = \"app-log\"\npath = \"{LOG}\"\nraise = [\"ERROR\"]\nforward = \"all\"\n\n\
         [[watch.log]]\nid = \"scan-log\"\npath = \"/var/log/scan.log\"\nraise = [\"ERROR\"]\n\n\
         [[watch.journal]]\nid = \"app-journal\"\nunits = [\"speaker.service\"]\nraise = [\"ERROR\"]\n\n\
         [[watch.directory]]\nid = \"uploads\"\npath = \"/srv/uploads\"\nlimit_bytes = 1000\nkeep_newer_than_seconds = 0\n\n\
         [[watch.unit]]\nid = \"app-unit\"\nunit = \"{}\"\n\n\
         [[watch.backup]]\nid = \"records\"\nrepository = \"/srv/repository\"\npassword_file = \"/etc/restic.password\"\n\
         sources = [\"{}\"]\nmax_age_seconds = 86400\nrestore_every_seconds = 604800\n\n\
         [[watch.memory]]\nid = \"memory\"\nlimit_percent = 40\nmay_restart = [\"{}\"]\n\n{}",
        unit(),
        records(),
        hog(),
        broken()
    )
}

/// What `/proc/pressure/memory` says, for the machine.
fn pressure(percent: u32) -> String {
    format!("some avg10=0.00 avg60={percent}.00 avg300=0.00 total=1\n")
}

fn tree() -> Result<Tree> {
    let prepare = format!(
        "mkdir -p /srv/uploads '{records}' && cp /etc/app.lines '{records}/{FAMILY}-{BIRTH}.txt' && \
         : > {LOG} && : > /var/log/scan.log && (umask 077 && : > {CLOSED}) && \
         restic --no-cache --repo /srv/repository --password-file /etc/restic.password init",
        records = records()
    );
    let prepared = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh /etc/prepare.sh\n";
    Tree::new()?
        .file("etc/app.lines", &(lines_of_a_patient().join("\n") + "\n"))?
        .file("etc/restic.password", "correct horse battery staple\n")?
        .unit("speaker.service", "[Service]\nType=oneshot\nExecStart=/bin/cat /etc/app.lines\n")?
        .started(&unit(), "[Service]\nExecStart=/bin/sleep infinity\n")?
        .file("etc/prepare.sh", &prepare)?
        .started("prepare.service", prepared)?
        .started(&hog(), HOG)?
        .file("etc/pressure-low", &pressure(1))?
        .file("etc/pressure-high", &pressure(80))?
        .started("pressure.service", PRESSURE)
}

/// What the appliance can be made to look at, once.
fn provoke(machine: &Machine) -> Result<()> {
    machine.run("sh", &["-c", &format!("head -c 5000 /dev/zero > '{}'", upload())])?;
    machine.run("systemctl", &["kill", "--signal=KILL", &unit()]).map(drop)
}

/// The same in logs and journal.
fn speak(machine: &Machine) -> Result<()> {
    let write = format!("cat /etc/app.lines | tee -a {LOG} >> /var/log/scan.log");
    machine.run("sh", &["-c", &write])?;
    machine.run("systemctl", &["start", "speaker.service"]).map(drop)
}

/// A clinic with an observer between its appliance and the control plane, and somebody to tell.
struct Story {
    provider: Provider,
    machine: Machine,
    observer: Observer,
    receiver: Receiver,
    _ports: [Port; 2],
    folder: Folder,
}

impl Story {
    fn open() -> Result<Self> {
        let folder = Folder::new()?;
        let receiver = Receiver::start()?;
        let ports = [Port::hold()?, Port::hold()?];
        let [outside, inside] = &ports;
        let (public, appliances) = (outside.address.to_string(), inside.address.to_string());
        let dir = folder.join("control-plane");
        let mut provider =
            Provider::init_behind(&dir, "msp.example", Some(&receiver.url()), &public, &appliances)?;
        provider.start()?;
        provider.ask(&["tenant", "create", TENANT])?;
        provider.ask(&["site", "create", "--tenant", TENANT, "Main"])?;
        let mut observer = Observer::new(&folder.join("observer"), &provider, outside, inside)?;
        observer.stand_between(None)?;
        let machine = install(&provider, &folder.join("machine"), tree()?, &watch())?;
        // From here on with the agent's certificate; what came before was the enrolment, which has looked at nothing yet.
        observer.stand_between(Some(&inside_of(&machine, "var/lib/orderly/agent")))?;
        let mut story = Self { provider, machine, observer, receiver, _ports: ports, folder };
        wait::until("the first heartbeat is in the log", LIMIT, || {
            story.provider.check()?;
            Ok(story.evidence()?.iter().any(|e| e["kind"] == "heartbeat").then_some(()))
        })
        .with_context(|| story.journal())?;
        Ok(story)
    }

    fn evidence(&self) -> Result<Vec<Value>> {
        self.provider.evidence(TENANT)
    }

    /// What both programs have said on their machine.
    fn journal(&self) -> String {
        let args = ["-u", "orderly-agent", "-u", "orderly-executor", "--no-pager"];
        self.machine.run("journalctl", &args).unwrap_or_else(|error| error.to_string())
    }

    /// Each thing was looked at, or the search would find nothing for a bad reason.
    fn all_was_looked_at(&mut self) -> Result<()> {
        let wanted = |evidence: &[Value], runbook: &str| {
            let summary = format!("{runbook} repaired");
            evidence.iter().any(|e| e["summary"] == summary.as_str())
        };
        wait::until("logs and journal are followed", LIMIT, || {
            // What stood there before they were is no news.
            speak(&self.machine)?;
            let seen = column(&self.provider, "SELECT DISTINCT watch FROM event")?;
            let all = LOOKS.iter().all(|id| seen.iter().any(|watch| watch == id));
            let come = |log: &&str| self.shown(log).is_ok_and(|lines| lines >= lines_of_a_patient().len());
            Ok((all && ["app-log", "scan-log"].iter().all(come)).then_some(()))
        })
        .and_then(|()| {
            wait::until("repairs have been proven", LIMIT, || {
                self.provider.check()?;
                let evidence = self.evidence()?;
                Ok(REPAIRS.iter().all(|runbook| wanted(&evidence, runbook)).then_some(()))
            })
        })
        .with_context(|| {
            let shown = self.asked().map(|said| String::from_utf8_lossy(&said).into_owned());
            format!("{shown:?}\n{}", self.journal())
        })?;
        self.memory_is_short()?;
        wait::until("somebody was told", LIMIT, || Ok((!self.receiver.got().is_empty()).then_some(())))
    }

    /// Has the unit that holds the most named, and restarted. Not earlier: until here that may be a repair's own program.
    fn memory_is_short(&mut self) -> Result<()> {
        let first = self.machine.property(&hog(), "MainPID")?;
        let tell = |how: &str| self.machine.run("cp", &[&format!("/etc/pressure-{how}"), "/run/pressure"]);
        tell("high")?;
        wait::until("the unit that holds the most is restarted", LIMIT, || {
            let now = self.machine.property(&hog(), "MainPID")?;
            Ok((now != "0" && now != first).then_some(()))
        })
        .with_context(|| self.journal())?;
        tell("low")?;
        wait::until("that is proven", LIMIT, || {
            let done = |e: &Value| e["summary"].as_str().is_some_and(|said| said.starts_with("RB-MEM-001 "));
            Ok(self.evidence()?.iter().any(done).then_some(()))
        })?;
        let notes = column(&self.provider, "SELECT note FROM event WHERE watch = 'memory'")?;
        let is_named = |note: &String| note.contains("most memory is held by system.slice/<");
        ensure!(notes.iter().any(is_named), "what it would be named by is not redacted: {notes:?}");
        Ok(())
    }

    fn appliance(&self) -> Result<String> {
        column(&self.provider, "SELECT id FROM appliance")?.pop().context("there is an appliance")
    }

    /// How many lines of a log an operator is shown, each with what is no secret in it.
    fn shown(&self, log: &str) -> Result<usize> {
        let shown = self.provider.ask(&["appliance", "lines", &self.appliance()?, "--watch", log])?;
        let lines = shown["lines"].as_array().context("lines")?.iter();
        Ok(lines.filter(|line| line["line"].as_str().is_some_and(|text| text.starts_with("ERROR "))).count())
    }

    /// All that an operator can ask for.
    fn asked(&self) -> Result<Vec<u8>> {
        let id = self.appliance()?;
        let mut said = self.receiver.got();
        for args in [
            &["appliance", "list"][..],
            &["appliance", "show", &id],
            &["appliance", "lines", &id],
            &["incident", "list"],
            &["evidence", "list", "--tenant", TENANT, "--limit", "1000"],
        ] {
            said.push(self.provider.ask(args)?);
        }
        for incident in column(&self.provider, "SELECT id FROM incident")? {
            said.push(self.provider.ask(&["incident", "show", &incident])?);
        }
        Ok(serde_json::to_vec(&said)?)
    }

    /// Lines as they were packed; each of them went by the observer like that.
    fn unpacked(&self) -> Result<String> {
        let db = self.provider.database()?;
        let mut query = db.prepare("SELECT size, packed FROM lines")?;
        let mut rows = query.query([])?;
        let mut text = String::new();
        while let Some(row) = rows.next()? {
            let packed: Vec<u8> = row.get(1)?;
            ensure!(self.observer.has_seen(&packed)?, "lines came that the observer has not seen");
            text.push_str(&unpack_lines(row.get(0)?, &packed)?);
        }
        Ok(text)
    }
}

fn inside_of(machine: &Machine, path: &str) -> PathBuf {
    Path::new(&format!("/proc/{}/root", machine.init())).join(path)
}

fn column(provider: &Provider, query: &str) -> Result<Vec<String>> {
    let db = provider.database()?;
    let mut query = db.prepare(query)?;
    let values = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(values)
}

#[test]
fn no_identifier_leaves_the_box_or_is_kept_by_us() -> Result<()> {
    if let Some(why) = machine::unavailable()? {
        println!("skipped: {why}");
        return Ok(());
    }
    let mut it = Story::open()?;
    provoke(&it.machine)?;
    it.all_was_looked_at()?;

    let (bundle, packet) = (it.folder.join("bundle"), it.folder.join("packet"));
    let out = |folder: &Path| folder.to_str().map(ToOwned::to_owned).context("UTF-8");
    it.provider.run(&["evidence", "export", "--tenant", TENANT, "--out", &out(&bundle)?], &[0])?;
    let month = &clock::now().to_string()[..7];
    let build = ["packet", "build", "--tenant", TENANT, "--month", month, "--out", &out(&packet)?];
    it.provider.run(&build, &[0])?;

    let canaries = Canaries::new(&[unit(), records(), upload(), format!("{FAMILY}, {GIVEN}")]);
    canaries.prove_themselves(&it.folder.join("control-plane"))?;
    for (place, least) in [
        (inside_of(&it.machine, "var/lib/orderly/agent"), 10_000),
        (inside_of(&it.machine, "var/lib/orderly/executor"), 10_000),
        (inside_of(&it.machine, "run/orderly"), 0),
        (it.provider.dir.clone(), 10_000),
        (bundle, 10_000),
        (packet, 1_000),
        (it.observer.seen(), 10_000),
    ] {
        let bytes = canaries.absent_below(&place)?;
        println!("{}: {bytes} bytes", place.display());
        ensure!(bytes >= least, "nothing was searched in {}", place.display());
    }
    canaries.absent_in("lines, unpacked", it.unpacked()?.as_bytes())?;
    canaries.absent_in("what an operator sees, or was told", &it.asked()?)?;
    canaries.absent_in("what agent and executor print", it.journal().as_bytes())?;
    // The observer reads what is said, not its encryption.
    for text in ["app-log", "app-unit", "payloadType"] {
        ensure!(it.observer.has_seen(text.as_bytes())?, "the observer has not seen {text}");
    }
    Ok(())
}
