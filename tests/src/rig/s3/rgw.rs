//! Debian's Ceph, unpacked and not installed: one monitor, one storage daemon in memory, one object gateway.
//!
//! With authentication (cephx): without it the gateway never connects. The port of the monitor and of the gateway are
//! held free; the storage daemon takes free ones by itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{KEY_ID, Kind, LIMIT, Running, SECRET, bound, unpacked};
use crate::rig::{
    process::{Process, run},
    provider::Port,
    wait,
};

const CLUSTER: &str = "6f1f6f6e-0000-4000-8000-000000000001";
const OSD: &str = "6f1f6f6e-0000-4000-8000-000000000002";

struct Ceph {
    root: PathBuf,
    dir: PathBuf,
}

/// Starts it; `None` when it is not unpacked.
pub(super) fn start(folder: &Path) -> Result<Option<Running>> {
    let Some(root) = unpacked(Kind::Rgw.place()) else { return Ok(None) };
    let ceph = Ceph { root, dir: folder.join("ceph") };
    let (monitor, gateway) = (Port::hold()?, Port::hold()?);
    ceph.configure(monitor.address.port(), gateway.address.port())?;
    ceph.make_keys(monitor.address.port())?;
    let mut running = vec![ceph.daemon("ceph-mon", &["-i", "a"])?];
    // The folder is made first: until then the monitor knows no daemon of that number.
    ceph.run("ceph-osd", &["-i", "0", "--mkfs", "--osd-uuid", OSD])?;
    let known = ceph.run("ceph", &["--connect-timeout", "30", "osd", "new", OSD]);
    running.iter_mut().try_for_each(Process::check)?;
    known?;
    running.push(ceph.daemon("ceph-osd", &["-i", "0"])?);
    running.push(ceph.daemon("radosgw", &["-n", "client.admin"])?);
    let owner = [
        "user",
        "create",
        "--uid=owner",
        "--display-name=owner",
        "--access-key",
        KEY_ID,
        "--secret-key",
        SECRET,
    ];
    ceph.run("radosgw-admin", &owner)?;
    let address = gateway.address;
    wait::until("the object gateway listens", LIMIT, || {
        running.iter_mut().try_for_each(Process::check)?;
        Ok(std::net::TcpStream::connect(address).is_ok().then_some(()))
    })?;
    Ok(Some(Running { port: address.port(), _kept: Box::new((running, monitor, gateway)) }))
}

impl Ceph {
    fn library(&self, name: &str) -> PathBuf {
        self.root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH)).join(name)
    }

    fn configure(&self, monitor: u16, gateway: u16) -> Result<()> {
        fs::create_dir_all(self.dir.join("mon"))?;
        fs::create_dir_all(self.dir.join("osd"))?;
        let dir = self.dir.display();
        let library = |name: &str| self.library(name).display().to_string();
        let (plugins, erasure, classes) =
            (library("ceph"), library("ceph/erasure-code"), library("rados-classes"));
        let text = format!(
            "[global]\nfsid = {CLUSTER}\nmon host = [v2:127.0.0.1:{monitor}/0]\nmon initial members = a\n\
             public addr = 127.0.0.1\ncluster addr = 127.0.0.1\nms bind ipv6 = false\n\
             auth cluster required = cephx\nauth service required = cephx\nauth client required = cephx\n\
             keyring = {dir}/keyring\nrun dir = {dir}\nadmin socket =\nlog file = {dir}/$name.log\n\
             mon data = {dir}/mon\nosd data = {dir}/osd\nosd objectstore = memstore\n\
             memstore device bytes = 268435456\nosd pool default size = 1\nosd pool default min size = 1\n\
             osd pool default pg num = 1\nosd crush chooseleaf type = 0\nmon allow pool size one = true\n\
             mon data avail warn = 0\nmon data avail crit = 0\n\
             plugin dir = {plugins}\nerasure code dir = {erasure}\nosd class dir = {classes}\n\
             [client.admin]\nrgw frontends = beast endpoint=127.0.0.1:{gateway}\nrgw thread pool size = 16\n"
        );
        Ok(fs::write(self.dir.join("ceph.conf"), text)?)
    }

    fn make_keys(&self, monitor: u16) -> Result<()> {
        let keyring = self.dir.join("keyring");
        let keyring = keyring.to_str().context("UTF-8")?;
        let all =
            ["--gen-key", "--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"];
        for (create, name) in [(true, "mon."), (false, "client.admin"), (false, "osd.0")] {
            let mut args = vec![keyring, "-n", name];
            if create {
                args.push("--create-keyring");
            }
            args.extend(all);
            self.run("ceph-authtool", &args)?;
        }
        let map = self.dir.join("monmap");
        let map = map.to_str().context("UTF-8")?;
        let address = format!("[v2:127.0.0.1:{monitor}/0]");
        self.run("monmaptool", &["--create", "--fsid", CLUSTER, "--addv", "a", &address, map])?;
        self.run("ceph-mon", &["--mkfs", "-i", "a", "--monmap", map, "--keyring", keyring])
    }

    fn with_environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let machine = self.library("");
        command
            .env("LD_LIBRARY_PATH", format!("{}:{}", machine.display(), self.library("ceph").display()))
            .env("PYTHONPATH", self.root.join("usr/lib/python3/dist-packages"))
            .env("CEPH_CONF", self.dir.join("ceph.conf"))
            .current_dir(&self.dir)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.root.join("usr/bin").join(name)
    }

    fn run(&self, name: &str, args: &[&str]) -> Result<()> {
        run(self.with_environment(Command::new(self.program(name)).args(args)), &[0]).map(drop)
    }

    fn daemon(&self, name: &str, args: &[&str]) -> Result<Process> {
        let mut command = bound(Path::new(&self.program(name)));
        self.with_environment(&mut command).args(args).arg("-f");
        Process::start(name, command, &self.dir.join(format!("{name}.out")), None)
    }
}
