//! Where a secret is. One way to say it, for every setting that needs one; never the secret itself.
//!
//! ```text
//! "/etc/orderly/mail.password"          a file that nobody but its owner can read
//! "credential:mail.password"            a systemd credential (LoadCredential=, SetCredentialEncrypted=)
//! "env:ORDERLY_MAIL_PASSWORD"           an environment variable
//! "sops:/etc/orderly/secrets.yaml#mail.password"   one value of a file that SOPS has encrypted; `sops` decrypts it
//! ```
//!
//! The rule: what a place holds is read when it is needed, so that it can be exchanged while the server runs, and is never
//! printed: no `Debug`, no error and no log line has it.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, SystemTime},
};

use super::{ConfigError, value::bad};
use crate::{core::chain, files};

/// The most bytes of a secret.
const SECRET_MAX: u64 = 16 * 1024;
/// How long `sops` may take: it may have to ask a key service.
const SOPS_WITHIN: Duration = Duration::from_secs(20);
const ALLOWED: &str = "where the secret is: a path from the root, such as /etc/orderly/secret; credential:NAME of systemd; \
    env:VARIABLE; or sops:/path/to/file#key.in.it";

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    key: &'static str,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Credential(String),
    Environment(String),
    Sops { file: PathBuf, path: Vec<String> },
}

/// A secret that was read. It does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// The secret itself, for whoever it is meant for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

impl Secret {
    /// What the setting `key` says. A value that is no place is not repeated: it may be the secret.
    pub fn parse(key: &'static str, text: &str) -> Result<Self, ConfigError> {
        let plain = |name: &&str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let place = if let Some(name) = text.strip_prefix("credential:") {
            // One name in one folder, never a way out of it.
            Some(name)
                .filter(plain)
                .filter(|name| !name.starts_with('.'))
                .map(|n| Place::Credential(n.to_owned()))
        } else if let Some(name) = text.strip_prefix("env:") {
            Some(name).filter(plain).map(|name| Place::Environment(name.to_owned()))
        } else if let Some(rest) = text.strip_prefix("sops:") {
            rest.rsplit_once('#').and_then(|(file, path)| {
                let path: Vec<&str> = path.split('.').collect();
                let fits = Path::new(file).is_absolute() && path.iter().all(plain);
                fits.then(|| Place::Sops {
                    file: file.into(),
                    path: path.into_iter().map(str::to_owned).collect(),
                })
            })
        } else {
            Some(text).filter(|text| Path::new(text).is_absolute()).map(|text| Place::File(text.into()))
        };
        let place = place
            .ok_or_else(|| bad(key, "something else (it is not shown: it may be the secret)", ALLOWED))?;
        Ok(Self { key, place })
    }

    /// In a file.
    #[must_use]
    pub fn file(key: &'static str, path: PathBuf) -> Self {
        Self { key, place: Place::File(path) }
    }

    /// The setting that names it.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Reads it, without the end of its last line.
    pub fn read(&self) -> Result<Hidden, ConfigError> {
        let read = match &self.place {
            Place::File(path) => files::read_secret(path, SECRET_MAX).map_err(|error| chain(&error)),
            Place::Credential(name) => credential(name),
            Place::Environment(name) => std::env::var(name)
                .map_err(|_| format!("the environment variable {name} is not set, or is not text")),
            Place::Sops { file, path } => decrypted(file, path),
        };
        let read =
            read.map_err(|why| bad(self.key, &self.to_string(), format!("where the secret is: {why}")))?;
        let secret = read.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(bad(self.key, &self.to_string(), "where the secret is: there is nothing in it"));
        }
        Ok(Hidden(secret.to_owned()))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Credential(name) => write!(f, "credential:{name}"),
            Place::Environment(name) => write!(f, "env:{name}"),
            Place::Sops { file, path } => write!(f, "sops:{}#{}", file.display(), path.join(".")),
        }
    }
}

/// systemd gives each unit a folder of its own that nobody else can look into; who may read is its matter.
fn credential(name: &str) -> Result<String, String> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY")
        .ok_or("systemd has given no credentials ($CREDENTIALS_DIRECTORY is not set)")?;
    files::read_text(&Path::new(&folder).join(name), SECRET_MAX).map_err(|error| chain(&error))
}

/// A file, and the value in it.
type Value = (PathBuf, Vec<String>);
/// What was decrypted, by when the file was changed and how long it was.
type Decrypted = BTreeMap<Value, (Option<SystemTime>, u64, Hidden)>;

/// Decrypted once for every state of the file: some secrets are read anew for every request.
fn decrypted(file: &Path, path: &[String]) -> Result<String, String> {
    static KNOWN: Mutex<Decrypted> = Mutex::new(BTreeMap::new());
    let about = fs::metadata(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let (changed, size, of) = (about.modified().ok(), about.len(), (file.to_owned(), path.to_owned()));
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((when, long, secret)) = known.get(&of)
        && (*when, *long) == (changed, size)
    {
        return Ok(secret.expose().to_owned());
    }
    let secret = sops(Path::new("sops"), file, path, SOPS_WITHIN)?;
    known.insert(of, (changed, size, Hidden(secret.clone())));
    Ok(secret)
}

/// Has `program` decrypt one value. What it prints goes nowhere else; what it complains of names keys, not values.
fn sops(program: &Path, file: &Path, path: &[String], limit: Duration) -> Result<String, String> {
    let extract: String = path.iter().map(|part| format!("[\"{part}\"]")).collect();
    let mut child = Command::new(program)
        .args(["--decrypt", "--extract", &extract])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (said, listen) = mpsc::channel();
    for (is_secret, pipe) in [
        (true, out.map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>)),
        (false, err.map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>)),
    ] {
        let said = said.clone();
        thread::spawn(move || {
            let mut text = Vec::new();
            let read = pipe.map(|pipe| pipe.take(SECRET_MAX + 1).read_to_end(&mut text));
            let _ = read.map(|_| said.send((is_secret, text))); // nobody waits any more
        });
    }
    drop(said);
    let (mut secret, mut complaint) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        match listen.recv_timeout(limit) {
            Ok((true, text)) => secret = text,
            Ok((false, text)) => complaint = text,
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("sops did not answer within {} s", limit.as_secs()));
            }
        }
    }
    let status = child.wait().map_err(|error| format!("sops: {error}"))?;
    if !status.success() {
        let complaint = String::from_utf8_lossy(&complaint);
        let line = complaint.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        return Err(format!("sops ended with {status}: {}", line.chars().take(200).collect::<String>()));
    }
    if secret.len() as u64 > SECRET_MAX {
        return Err(format!("what sops decrypted must be at most {SECRET_MAX} bytes"));
    }
    String::from_utf8(secret).map_err(|_| "what sops decrypted is not text".into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_place_is_one_of_four_and_prints_as_it_was_written() {
        for text in
            ["/etc/orderly/a", "credential:a.b", "env:ORDERLY_A", "sops:/etc/secrets.yaml#mail.password"]
        {
            assert_eq!(Secret::parse("a.b", text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_place_is_refused_and_not_repeated() {
        for text in [
            "hunter2",
            "relative/hunter2",
            "credential:../hunter2",
            "credential:.hunter2",
            "credential:",
            "env:",
            "env:HUNTER=hunter2",
            "sops:/etc/hunter2",
            "sops:hunter2#a",
            "sops:/etc/hunter2#a..b",
            "sops:/etc/hunter2#a\"]b",
        ] {
            let error = Secret::parse("mail.password_file", text).unwrap_err().to_string();
            assert!(error.contains("mail.password_file") && error.contains("sops:/path"), "{error}");
            assert!(!error.to_lowercase().contains("hunter"), "{error}");
        }
    }

    #[test]
    fn a_file_is_for_its_owner_alone_and_its_line_end_is_no_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "hush\r\n").unwrap();
        let secret = Secret::file("a.b", path.clone());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = secret.read().unwrap_err().to_string();
        assert!(error.contains("a.b") && error.contains("chmod 600") && !error.contains("hush"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let hidden = secret.read().unwrap();
        assert_eq!(hidden.expose(), "hush");
        assert_eq!(format!("{hidden:?} {secret:?}").matches("hush").count(), 0);
        fs::write(&path, "\n").unwrap();
        assert!(secret.read().unwrap_err().to_string().contains("nothing in it"));
    }

    #[test]
    fn a_decrypter_that_hangs_fails_or_is_not_there_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |program: &Path| {
            sops(program, &folder.path().join("x"), &["a".into()], Duration::from_millis(200))
        };
        assert!(ask(Path::new("/nowhere/sops")).unwrap_err().contains("cannot run /nowhere/sops"));
        let program = folder.path().join("program");
        let does = |script: &str| {
            fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
            ask(&program)
        };
        assert!(does("exec sleep 60").unwrap_err().contains("did not answer"));
        assert!(does("echo no key >&2; exit 128").unwrap_err().ends_with("no key"));
        assert!(
            does("head -c 20000 /dev/zero").unwrap_err().contains("at most 16384 bytes"),
            "never half of it"
        );
        assert_eq!(does("echo $3").unwrap(), format!("[\"a\"]\n"));
    }
}
