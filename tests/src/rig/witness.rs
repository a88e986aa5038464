//! An outside witness: the same program, run by a second organization in a folder of its own.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use proto::{
    digest::Digest,
    log::{AddCheckpoint, WitnessKey},
};
use serde_json::Value;

use super::{
    process::{Process, binary, run},
    provider::{Port, Provider},
};

/// Long enough for a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A witness: its folder, and its program while it runs.
pub struct Witness {
    /// The folder.
    pub dir: PathBuf,
    /// What verifies its cosignatures.
    pub key: WitnessKey,
    port: Port,
    process: Option<Process>,
}

impl Witness {
    /// Makes one in `dir` that cosigns as `name`. It does not run yet.
    pub fn init(dir: &Path, name: &str) -> Result<Self> {
        let made = ask(dir, &["init", "--name", name])?;
        let key = made["vkey"].as_str().context("it has a key")?.parse()?;
        Ok(Self { dir: dir.to_owned(), key, port: Port::hold()?, process: None })
    }

    /// Cosigns the log of this verifier key from now on.
    pub fn trust(&self, log: &str) -> Result<()> {
        ask(&self.dir, &["trust", log]).map(drop)
    }

    /// Starts it. Who asks before it listens asks again.
    pub fn start(&mut self) -> Result<()> {
        let mut command = Command::new(binary("control-plane")?);
        command.arg("--dir").arg(&self.dir).args(["witness", "serve", "--listen"]);
        command.arg(self.port.address.to_string()).env("RUST_LOG", "info");
        self.process = Some(Process::start("witness", command, &self.dir.join("witness.log"), None)?);
        Ok(())
    }

    /// Asks it to end.
    pub fn stop(&mut self) -> Result<()> {
        self.process.take().context("the witness is not running")?.stop(LIMIT)
    }

    /// Asks it to cosign: its status, and what it says.
    pub fn add(&self, request: &AddCheckpoint) -> Result<(u16, String)> {
        self.http("POST /add-checkpoint", &request.to_string())
    }

    /// The newest checkpoint of a log that it has cosigned; `None`: it shows none.
    pub fn newest(&self, origin: &str) -> Result<Option<String>> {
        let (status, note) = self.http(&format!("GET /{}/checkpoint", Digest::of(origin.as_bytes())), "")?;
        Ok((status == 200).then_some(note))
    }

    /// Pairs of checkpoints that cannot both be.
    pub fn forks(&self) -> Result<usize> {
        let folder = self.dir.join("forks");
        Ok(if folder.exists() { fs::read_dir(folder)?.count() } else { 0 })
    }

    fn http(&self, what: &str, body: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.port.address).context("the witness does not listen")?;
        let length = body.len();
        let head = "host: witness\r\nconnection: close";
        write!(stream, "{what} HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, said) = answer.split_once("\r\n\r\n").context("an answer over HTTP")?;
        let status = head.split(' ').nth(1).context("a status")?.parse()?;
        Ok((status, said.to_owned()))
    }
}

impl Provider {
    /// Has `witness` asked to cosign from the next start on: its key into the charter, by two of the organization's keys;
    /// where it is, into the settings.
    pub fn is_watched_by(&self, witness: &Witness) -> Result<()> {
        let [one, two] = [1, 2].map(|n| self.dir.join(format!("offline/organization-{n}.key")));
        let mut renew = self.command(&["charter", "renew", "--witness", &witness.key.to_string()]);
        run(renew.arg("--key").arg(one).arg("--key").arg(two), &[0])?;
        let path = self.dir.join("config.toml");
        let (name, address) = (witness.key.name(), witness.port.address);
        let block = format!("\n[[witness]]\nname = \"{name}\"\nurl = \"http://{address}/\"\n");
        Ok(fs::write(&path, fs::read_to_string(&path)? + &block)?)
    }
}

fn ask(dir: &Path, args: &[&str]) -> Result<Value> {
    let mut command = Command::new(binary("control-plane")?);
    let output = run(command.args(["--json", "--dir"]).arg(dir).arg("witness").args(args), &[0])?;
    serde_json::from_slice(&output.stdout).context("a witness that speaks JSON")
}
