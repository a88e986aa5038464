//! A machine of its own: this host's real systemd as PID 1 of fresh namespaces, in about a second, as root.
//!
//! It sees this host's files through a throw-away overlay, and starts nothing but what its units name. What the kernel
//! shares (time, limits on memory, kernel settings that are not per namespace) it shares with the host.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::unistd::Uid;
use tempfile::TempDir;

use super::{
    process::{Process, run},
    wait,
};

const SCRIPT: &str = include_str!("machine/boot.sh");
/// Daemons that `.ci/setup test` has unpacked.
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/packages/root");
const LIMIT: Duration = Duration::from_secs(120);
/// What the machine is booted to; it wants what the test's units say that they are wanted by it.
pub const TARGET: &str = "orderly-story.target";

/// Why no machine can be booted here, for a test; `None`: it can. In CI that is a failure, not an excuse.
pub fn unavailable() -> Result<Option<String>> {
    match obstacle() {
        Some(why) if std::env::var_os("CI").is_some() => bail!("in CI nothing is skipped, but {why}"),
        why => Ok(why),
    }
}

/// Why no machine can be booted here; `None`: it can.
#[must_use]
pub fn obstacle() -> Option<String> {
    if !Uid::effective().is_root() {
        return Some("booting systemd in namespaces needs root".to_owned());
    }
    let missing = ["unshare", "nsenter", "systemctl", "ip"].into_iter().find(|program| !is_there(program));
    missing.map(|program| format!("{program} is not installed")).or_else(refused)
}

/// Why this root may not do what a machine needs, as in most containers.
fn refused() -> Option<String> {
    let attempt = "mount --make-rprivate / && mount -t tmpfs tmpfs /tmp && mkdir /tmp/u /tmp/w /tmp/r && \
                   mount -t overlay overlay -o lowerdir=/,upperdir=/tmp/u,workdir=/tmp/w /tmp/r";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--net", "--uts", "--ipc", "--cgroup", "sh", "-c", attempt]);
    run(&mut command, &[0])
        .err()
        .map(|_| "this root may not make namespaces and mounts (a container?)".to_owned())
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// What is laid over the host's files before the machine boots, and which network it has.
pub struct Tree {
    files: TempDir,
    shares_network: bool,
}

impl Tree {
    /// Nothing but the target.
    pub fn new() -> Result<Self> {
        let tree = Self { files: tempfile::tempdir()?, shares_network: false };
        fs::set_permissions(tree.files.path(), fs::Permissions::from_mode(0o755))?;
        // Without basic.target's own wants: nothing of the host is started but journal, bus and what a test adds.
        tree.unit(
            TARGET,
            "[Unit]\nRequires=basic.target dbus.socket\nAfter=basic.target dbus.socket\nAllowIsolate=yes\n",
        )
    }

    /// Has the machine use this host's network instead of an empty one of its own.
    #[must_use]
    pub fn with_this_network(self) -> Self {
        Self { shares_network: true, ..self }
    }

    /// Whether it does.
    #[must_use]
    pub fn shares_network(&self) -> bool {
        self.shares_network
    }

    /// Adds or replaces a file.
    pub fn file(self, path: &str, text: &str) -> Result<Self> {
        let path = self.files.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        fs::write(&path, text)?;
        Ok(self)
    }

    /// Adds a program of this host.
    pub fn program(self, path: &str, program: &Path) -> Result<Self> {
        let path = self.files.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        fs::copy(program, &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(self)
    }

    /// Adds a unit.
    pub fn unit(self, name: &str, text: &str) -> Result<Self> {
        self.file(&format!("etc/systemd/system/{name}"), text)
    }

    /// Adds a unit that is started with the machine.
    pub fn started(self, name: &str, text: &str) -> Result<Self> {
        self.unit(name, text)?.start(name)
    }

    /// Has a unit started with the machine.
    pub fn start(self, name: &str) -> Result<Self> {
        let tree = self;
        let wants = tree.files.path().join(format!("etc/systemd/system/{TARGET}.wants"));
        fs::create_dir_all(&wants)?;
        std::os::unix::fs::symlink(format!("/etc/systemd/system/{name}"), wants.join(name))?;
        Ok(tree)
    }
}

/// A running machine. Dropped, it is gone at once, with every process in it.
pub struct Machine {
    _boot: Process,
    init: u32,
    dir: PathBuf,
    _tree: Tree,
    _work: TempDir,
}

impl Machine {
    /// Boots and waits until systemd has started everything. `dir` is for logs; it and `shared` are the same inside.
    pub fn boot(dir: &Path, tree: Tree, shared: &[&Path]) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let work = tempfile::tempdir()?;
        let script = dir.join("boot.sh");
        fs::File::create(&script)?.write_all(SCRIPT.as_bytes())?;
        // A story that needs no daemon needs none unpacked either.
        let packages = if Path::new(PACKAGES).exists() { Path::new(PACKAGES) } else { tree.files.path() };
        let mut command = Command::new("bash");
        command.arg(&script).arg(work.path()).arg(tree.files.path()).arg(packages).arg(dir).args(shared);
        if tree.shares_network {
            command.env("NETWORK", "shared");
        }
        let mut boot = Process::start("systemd", command, &dir.join("boot.log"), None)?;
        let init = wait::until("the machine has an init", LIMIT, || {
            boot.check()?;
            Ok(init_below(boot.id()))
        })?;
        let machine = Self { _boot: boot, init, dir: dir.to_owned(), _tree: tree, _work: work };
        wait::until("systemd has started everything", LIMIT, || {
            let state = machine.command("systemctl", &["is-system-running"]).output()?;
            let state = String::from_utf8_lossy(&state.stdout);
            Ok(matches!(state.trim(), "running" | "degraded").then_some(()))
        })
        .with_context(|| format!("see {}", machine.dir.join("boot.log").display()))?;
        Ok(machine)
    }

    /// A command inside.
    #[must_use]
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        let init = self.init.to_string();
        command.args(["--target", &init, "--all", "--wd=/", "--", program]).args(args);
        // There may be no such folder in there: what is below this host's /tmp is not.
        command.env("PWD", "/").env_remove("OLDPWD");
        command
    }

    /// Runs a command inside to its good end; gives what it printed.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let output = run(&mut self.command(program, args), &[0])?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// One property of a unit.
    pub fn property(&self, unit: &str, property: &str) -> Result<String> {
        let value = self.run("systemctl", &["show", "--value", "--property", property, unit])?;
        Ok(value.trim().to_owned())
    }

    /// The process ID of its PID 1, as this host counts.
    #[must_use]
    pub fn init(&self) -> u32 {
        self.init
    }
}

/// The process that will be the machine's PID 1, once it is systemd.
fn init_below(boot: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{boot}/task/{boot}/children")).ok()?;
    let child: u32 = children.split_whitespace().next()?.parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
    (name.trim() == "systemd").then_some(child)
}
