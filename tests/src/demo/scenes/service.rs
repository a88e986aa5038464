//! A box on a machine of its own, with systemd.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Played, narrate};
use crate::{
    clock,
    demo::{
        Teller,
        stage::{PATIENCE, Stage},
    },
    rig::{Tree, install, machine, wait},
};

/// A second box, installed as a clinic's are: its units under real systemd, in namespaces. Only root can boot that.
pub(super) fn crashed(stage: &mut Stage, teller: &mut Teller) -> Result<Played> {
    if let Some(why) = machine::obstacle() {
        return Ok(Played::LeftOut(why));
    }
    let start = clock::instant();
    let watch = "[[watch.unit]]\nid = \"frontdesk\"\nunit = \"frontdesk.service\"\n";
    let tree = Tree::new()?.started("frontdesk.service", "[Service]\nExecStart=/bin/sleep infinity\n")?;
    let box_of_its_own = install(&stage.provider, &stage.folder.join("machine"), tree, watch)?;
    teller.say("a second box: the appliance's own units, under the systemd of a machine in namespaces");
    wait::until("it is looked after", PATIENCE, || {
        let looked = box_of_its_own.run("appliance", &["status", "--json"])?;
        let status: Value = serde_json::from_str(&looked)?;
        Ok((status["executor"]["evidence"]["checkpoint_size"] != 0).then_some(()))
    })?;
    if stage.fault {
        box_of_its_own.run("systemctl", &["kill", "--signal=KILL", "frontdesk.service"])?;
    }
    let incident = stage.provider.incident("frontdesk", &["resolved"], stage.patience)?;
    narrate(stage, teller, &incident)?;
    let state = box_of_its_own.property("frontdesk.service", "ActiveState")?;
    ensure!(state == "active", "the unit is {state}");
    teller.proved(
        "crashed service",
        "RB-SERVICE-001 restarted the unit, systemd says active",
        clock::since(start),
    );
    // It goes on until the end: a box that falls silent would rightly be missed in the packet.
    stage.machine = Some(box_of_its_own);
    Ok(Played::Proved)
}
