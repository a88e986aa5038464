//! The demo is no show: with the fault of a scene left out, that scene fails, and the demo with it.

use std::{path::Path, process::Command, thread};

use anyhow::{Context as _, Result, ensure};
use tests::rig::{binary, practice::Folder, process::run};

/// Long enough for what does happen, on a busy machine; what cannot happen is waited for in vain.
const PATIENCE: &str = "15";

#[test]
fn without_its_fault_a_scene_fails() -> Result<()> {
    let folder = Folder::new()?;
    // One after the other they would take longer than anybody wants to wait.
    thread::scope(|scope| {
        let scenes =
            [("1", "the incident on uploads is resolved"), ("4", "the incident on images is escalated")];
        let running = scenes.map(|(scene, complaint)| {
            let folder = folder.join(scene);
            scope.spawn(move || fails(&folder, scene, complaint))
        });
        running.into_iter().try_for_each(|thread| thread.join().expect("it gives an error instead"))
    })
}

fn fails(folder: &Path, scene: &str, complaint: &str) -> Result<()> {
    let mut demo = Command::new(binary("demo")?);
    demo.arg("--folder").arg(folder).args(["--without", scene, "--patience", PATIENCE]);
    let output =
        run(&mut demo, &[1]).with_context(|| format!("the demo without the fault of scene {scene}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains(complaint), "without the fault of scene {scene} the demo said:\n{said}");
    Ok(())
}
