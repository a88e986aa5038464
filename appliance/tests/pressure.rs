//! Pressure by the real kernel: processes that burn, and a limit that they pass.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    sync::Arc,
    thread,
    time::Duration,
};

use appliance::{
    clock::{SystemClock, SystemEntropy},
    config::{Config, WatchEntry},
    executor::steps::{Programs, Stop, SystemHost},
    world::{Clock as _, Host as _, HostFacts, World},
};
use proto::evidence::Readings;
use runbooks::Fault;

struct Burners(Vec<Child>);

impl Burners {
    /// Three for each core, so that two of them always wait.
    fn start() -> Self {
        let cores = thread::available_parallelism().unwrap().get();
        let burn = |_| Command::new("/bin/sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        Self((0..3 * cores).map(burn).collect())
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        for burner in &mut self.0 {
            let _ = burner.kill();
            let _ = burner.wait();
        }
    }
}

fn entry(kind: &str, limit: u8) -> WatchEntry {
    let text = format!(
        "control_plane.address = \"https://127.0.0.1:1\"\n[[watch.{kind}]]\nid = \"it\"\nlimit_percent = {limit}\n"
    );
    Config::parse(&text, Path::new("it.toml")).unwrap().watch.into_values().next().unwrap()
}

fn measured(entry: &WatchEntry) -> Readings {
    let world = World { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) };
    let folder = tempfile::tempdir().unwrap();
    let (state, hold) = (folder.path().join("state"), folder.path().join("hold"));
    let host = SystemHost::new(world, Programs::default(), state, hold, Stop::default());
    host.measure(entry, &HostFacts { now: SystemClock.wall(), restore_proven: None })
}

/// `some avg60` as the kernel prints it.
fn kernel(resource: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/pressure/{resource}")).unwrap();
    let some = text.lines().find(|line| line.starts_with("some ")).unwrap();
    some.split_whitespace().find_map(|word| word.strip_prefix("avg60=")).unwrap().parse().unwrap()
}

#[test]
fn burners_press_the_processor_beyond_a_low_limit() {
    assert!(Path::new("/proc/pressure/cpu").exists(), "this kernel has no PSI (CONFIG_PSI)");
    let pressed = entry("processor", 5);
    let burners = Burners::start();
    let deadline = SystemClock.boot() + Duration::from_secs(120);
    while Fault::ProcessorPressed.holds(&measured(&pressed)) != Some(true) {
        assert!(SystemClock.boot() < deadline, "{:?}", measured(&pressed));
        thread::yield_now();
    }
    drop(burners);
    // It is the kernel's own number, between two readings of it.
    let (before, found, after) = (kernel("cpu"), measured(&pressed)["waiting_percent"], kernel("cpu"));
    let (least, most) = (before.min(after).floor(), before.max(after).floor());
    assert!((least..=most).contains(&f64::from(i32::try_from(found).unwrap())), "{before} {found} {after}");
}

#[test]
fn memory_is_read_from_its_own_file() {
    let (before, found, after) =
        (kernel("memory"), measured(&entry("memory", 50))["waiting_percent"], kernel("memory"));
    let (least, most) = (before.min(after).floor(), before.max(after).floor());
    assert!((least..=most).contains(&f64::from(i32::try_from(found).unwrap())), "{before} {found} {after}");
}
