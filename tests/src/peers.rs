//! Verifiers that are none of ours, run on a bundle: Go's `sumdb` for its log, securesystemslib and in-toto-attestation for
//! its envelopes, OpenSSL for its certificates. `.ci/setup test` gives them; the scripts are in `tests/peers`.
//!
//! The rule: a peer gets from us what an auditor has from elsewhere, keys and the bundle's folder, and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use anyhow::{Context as _, Result, bail, ensure};
use proto::{
    charter::OrganizationKeys,
    log::{VerifierKey, WitnessKey},
};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers-venv/bin/python");
const UNPACKED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers-go/root/usr");

/// What a peer came to.
#[derive(Debug)]
pub struct Verdict {
    /// It found nothing wrong.
    pub holds: bool,
    /// What it printed.
    pub said: String,
}

impl Verdict {
    fn of(output: &Output) -> Result<Self> {
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        // Anything else than these two is a peer that broke, and no verdict.
        ensure!(
            matches!(output.status.code(), Some(0 | 1)) && !said.contains("Traceback"),
            "a peer broke: {said}"
        );
        Ok(Self { holds: output.status.success(), said })
    }
}

/// Why Go's verifier cannot be asked here; in CI that is an error.
pub fn without_go() -> Result<Option<&'static str>> {
    let there =
        root().is_some() && Path::new(UNPACKED).join("share/gocode/src/golang.org/x/mod/sumdb").is_dir();
    match there {
        true => Ok(None),
        false if std::env::var_os("CI").is_some() => bail!("in CI nothing is skipped, but Go is missing"),
        false => Ok(Some("Go is missing; `.ci/setup test` unpacks it, as root")),
    }
}

/// Go's own folder: unpacked, or where this machine has it already.
fn root() -> Option<PathBuf> {
    let places = [Path::new(UNPACKED).join("lib/go"), PathBuf::from("/usr/lib/go")];
    places.into_iter().find(|place| place.join("bin/go").exists())
}

/// Asks Go's `note` and `tlog` of everything in the log: the checkpoint and `older` ones, every tile, record and proof.
/// Each of the `witnesses` must have cosigned the checkpoint, or an older one that lies apart.
pub fn log(bundle: &Path, key: &VerifierKey, witnesses: &[WitnessKey], older: &[PathBuf]) -> Result<Verdict> {
    let mut command = Command::new(program()?);
    command.args(["-vkey", &key.to_string()]);
    for witness in witnesses {
        command.args(["-witness", &witness.to_string()]);
    }
    for older in older {
        command.arg("-older").arg(older);
    }
    Verdict::of(&command.arg(bundle).output()?)
}

/// The program, built once in a run.
fn program() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn build() -> Result<PathBuf> {
    let root = root().context("Go is not here")?;
    let target = Path::new(UNPACKED).join("../..");
    // Several tests may build at once: each puts its own into place.
    let (program, own) = (target.join("log"), target.join(format!("log.{}", std::process::id())));
    let output = Command::new(root.join("bin/go"))
        .args(["build", "-o"])
        .arg(&own)
        .arg(Path::new(SCRIPTS).join("log.go"))
        .env("GOROOT", &root)
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .env("GOPATH", Path::new(UNPACKED).join("share/gocode"))
        .env("GOCACHE", target.join("cache"))
        .output()?;
    ensure!(output.status.success(), "go build: {}", String::from_utf8_lossy(&output.stderr));
    fs::rename(own, &program)?;
    Ok(program)
}

/// Asks securesystemslib and in-toto-attestation of every envelope.
pub fn envelopes(bundle: &Path, trust: &Path) -> Result<Verdict> {
    ensure!(Path::new(PYTHON).exists(), "the peers' libraries are missing; `.ci/setup test` installs them");
    let script = Path::new(SCRIPTS).join("envelopes.py");
    Verdict::of(&Command::new(PYTHON).arg(script).arg(trust).arg(bundle).output()?)
}

/// Asks OpenSSL whether a certificate authority of the charters in the bundle, if the organization's keys signed them,
/// signed each appliance's certificate. Work files go into `scratch`.
pub fn certificates(bundle: &Path, trust: &OrganizationKeys, scratch: &Path) -> Result<Verdict> {
    let mut authorities = String::new();
    for path in files(&bundle.join("charter"))? {
        if let Ok(charter) = trust.open(&fs::read(path)?) {
            authorities.push_str(&charter.value().certificate_authorities.concat());
        }
    }
    let authority = scratch.join("authorities.pem");
    fs::write(&authority, authorities)?;
    let (mut holds, mut said) = (true, String::new());
    for path in files(&bundle.join("appliances"))? {
        let papers: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
        let certificate = scratch.join("appliance.pem");
        let body = papers["certificate"].as_str().unwrap_or_default();
        let lines: Vec<&str> =
            body.as_bytes().chunks(64).map(std::str::from_utf8).collect::<Result<_, _>>()?;
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
        fs::write(&certificate, pem)?;
        // They live for seven days; whether one was in time is for the records.
        let output = Command::new("openssl")
            .args(["verify", "-no_check_time", "-purpose", "sslclient", "-CAfile"])
            .args([&authority, &certificate])
            .output()
            .context("openssl is not here")?;
        holds &= output.status.success();
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    Ok(Verdict { holds, said })
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    Ok(files)
}
