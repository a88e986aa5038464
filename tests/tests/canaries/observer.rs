//! Somebody between agent and control plane who has the keys of both, which only a test has.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Result;
use tests::rig::{
    Provider,
    process::{Process, run},
    provider::Port,
    wait,
};

const PROGRAM: &str = include_str!("observer.py");
const LIMIT: Duration = Duration::from_secs(120);

/// Between the port that appliances are told, and the one that the control plane listens on.
pub struct Observer {
    dir: PathBuf,
    ports: [String; 2],
    program: Option<Process>,
}

impl Observer {
    /// With a certificate in the control plane's name, made with its authority's key.
    pub fn new(dir: &Path, provider: &Provider, outside: &Port, inside: &Port) -> Result<Self> {
        fs::create_dir_all(dir.join("seen"))?;
        for name in ["ca.pem", "ca.key"] {
            fs::copy(provider.dir.join("keys").join(name), dir.join(name))?;
        }
        fs::write(dir.join("observer.py"), PROGRAM)?;
        let make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout own.key -out own.pem \
                    -days 3 -CA ca.pem -CAkey ca.key -subj /CN=observer -addext subjectAltName=IP:127.0.0.1 \
                    -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth";
        run(Command::new("sh").args(["-c", make]).current_dir(dir), &[0])?;
        let ports = [outside, inside].map(|port| port.address.port().to_string());
        Ok(Self { dir: dir.to_owned(), ports, program: None })
    }

    /// Begins, with the key and certificate in the agent's folder when there are some.
    pub fn stand_between(&mut self, agent: Option<&Path>) -> Result<()> {
        self.program = None;
        if let Some(agent) = agent {
            fs::copy(agent.join("tls.key"), self.dir.join("agent.key"))?;
            let (der, pem) = (agent.join("certificate.der"), self.dir.join("agent.pem"));
            let mut convert = Command::new("openssl");
            run(convert.args(["x509", "-inform", "DER", "-in"]).arg(der).arg("-out").arg(pem), &[0])?;
        }
        let [outside, inside] = &self.ports;
        let mut command = Command::new("python3");
        command.arg(self.dir.join("observer.py")).args([outside, inside]).arg(&self.dir);
        command.arg(if agent.is_some() { "agent" } else { "nobody" });
        let log = self.dir.join("observer.log");
        fs::write(&log, "")?;
        let mut program = Process::start("observer", command, &log, None)?;
        wait::until("the observer listens", LIMIT, || {
            program.check()?;
            Ok(fs::read_to_string(&log)?.contains("listens").then_some(()))
        })?;
        self.program = Some(program);
        Ok(())
    }

    /// The folder with what it has seen.
    pub fn seen(&self) -> PathBuf {
        self.dir.join("seen")
    }

    /// Whether these bytes went by in one piece.
    pub fn has_seen(&self, bytes: &[u8]) -> Result<bool> {
        for entry in fs::read_dir(self.seen())? {
            if fs::read(entry?.path())?.windows(bytes.len()).any(|window| window == bytes) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
