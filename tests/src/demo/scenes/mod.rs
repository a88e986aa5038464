//! The scenes: each a fault, and what must come of it.
//!
//! One more is a variant of [`Scene`] in its place in [`Scene::ALL`], which is its number, its title, and what it plays:
//! a function that does its harm only when [`Stage::fault`] says so, waits for [`Stage::patience`] for what must come of
//! it, and fails when it does not come. `tests/tests/demo.rs` then asks what it says when its fault is left out.

mod attack;
mod audit;
mod deciding;
mod faults;
mod fork;
mod machine;
mod openssl;
mod vault;

use std::str::FromStr;

use anyhow::{Context as _, Error, Result, bail};
use serde_json::Value;

use super::{
    Play, Teller,
    stage::{PATIENCE, Stage},
};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// A directory grows over its limit.
    FullDirectory,
    /// The newest backup is too old.
    StaleBackup,
    /// It is time to prove a restore.
    ProvenRestore,
    /// Something that no runbook can mend.
    BrokenRepository,
    /// A fault while nobody listens.
    NoControlPlane,
    /// An operator's hold, an approver's no and yes.
    PeopleDecide,
    /// A model says what it must not.
    HostileModel,
    /// Orders that nobody gave, or nobody may give.
    ForgedOrders,
    /// A service that does not come back by itself.
    CrashedService,
    /// A fault for which nobody can be asked.
    NoUplink,
    /// Settings of the live system that are no longer what the baseline says.
    DriftedControl,
    /// What an auditor gets.
    PacketAndBundle,
    /// What an auditor finds.
    FlippedByte,
    /// A second history, and who does not cosign it.
    ForkedLog,
    /// Somebody at the vault.
    ChangedVault,
}

/// How it went, when it did not fail.
pub(super) enum Played {
    /// As it should.
    Proved,
    /// It cannot be played on this machine.
    LeftOut(String),
}

impl Scene {
    /// All of them, in order; a scene's number is its place here, counted from 1.
    pub const ALL: &[Self] = &[
        Self::FullDirectory,
        Self::StaleBackup,
        Self::ProvenRestore,
        Self::BrokenRepository,
        Self::NoControlPlane,
        Self::PeopleDecide,
        Self::HostileModel,
        Self::ForgedOrders,
        // While the others are played, the first box, cut off as well, comes back in its own time.
        Self::NoUplink,
        Self::CrashedService,
        Self::DriftedControl,
        Self::PacketAndBundle,
        Self::FlippedByte,
        Self::ForkedLog,
        Self::ChangedVault,
    ];

    /// As it is shown, and as `--without` and `--only` take it.
    #[must_use]
    pub fn number(self) -> usize {
        Self::ALL.iter().take_while(|scene| **scene != self).count() + 1
    }

    fn title(self) -> &'static str {
        match self {
            Self::FullDirectory => "A directory grows over its limit",
            Self::StaleBackup => "The newest backup is months old",
            Self::ProvenRestore => "No restore was ever proven",
            Self::BrokenRepository => "A repository that only a person can mend",
            Self::NoControlPlane => "The control plane is down",
            Self::PeopleDecide => "An operator says stop, an approver no, and then yes",
            Self::HostileModel => "A language model says what it must not",
            Self::ForgedOrders => "Somebody owns the agent, and even the order key",
            Self::CrashedService => "A service crashes, and stays down",
            Self::NoUplink => "The clinic's line is cut, and a service crashes",
            Self::DriftedControl => "Somebody changes settings, and forgets",
            Self::PacketAndBundle => "What an auditor gets",
            Self::FlippedByte => "One byte is changed",
            Self::ForkedLog => "Somebody has the log's key, and signs a second history",
            Self::ChangedVault => "Somebody changes the vault",
        }
    }

    /// What must have been played before, for want of which it has nothing to work on.
    fn builds_on(self) -> &'static [Self] {
        match self {
            Self::ForgedOrders => &[Self::FullDirectory],
            Self::FlippedByte => &[Self::PacketAndBundle],
            _ => &[],
        }
    }

    fn play(self, stage: &mut Stage, teller: &mut Teller) -> Result<Played> {
        match self {
            Self::FullDirectory => faults::full_directory(stage, teller)?,
            Self::StaleBackup => faults::stale_backup(stage, teller)?,
            Self::ProvenRestore => faults::proven_restore(stage, teller)?,
            Self::BrokenRepository => faults::broken_repository(stage, teller)?,
            Self::NoControlPlane => faults::no_control_plane(stage, teller)?,
            Self::PeopleDecide => deciding::people_decide(stage, teller)?,
            Self::HostileModel => deciding::hostile_model(stage, teller)?,
            Self::ForgedOrders => attack::forged_orders(stage, teller)?,
            Self::CrashedService => return machine::crashed_service(stage, teller),
            Self::NoUplink => return machine::no_uplink(stage, teller),
            Self::DriftedControl => return machine::drifted_control(stage, teller),
            Self::PacketAndBundle => audit::packet_and_bundle(stage, teller)?,
            Self::FlippedByte => audit::one_flipped_byte(stage, teller)?,
            Self::ForkedLog => fork::forked_log(stage, teller)?,
            Self::ChangedVault => vault::changed_vault(stage, teller)?,
        }
        Ok(Played::Proved)
    }
}

impl FromStr for Scene {
    type Err = Error;
    fn from_str(number: &str) -> Result<Self> {
        let all = Self::ALL.iter().copied();
        let scene = all.into_iter().find(|scene| scene.number().to_string() == number);
        scene.with_context(|| format!("must be the number of a scene, 1 to {}", Self::ALL.len()))
    }
}

/// Those that were asked for, in order.
pub(super) fn play(play: &Play, stage: &mut Stage, teller: &mut Teller) -> Result<()> {
    if play.asks_for(Scene::ChangedVault) && play.without != Some(Scene::ChangedVault) {
        vault::warm_up();
    }
    for &scene in Scene::ALL.iter().filter(|scene| play.asks_for(**scene)) {
        let number = scene.number();
        teller.scene(number, scene.title());
        stage.fault = play.without != Some(scene);
        stage.patience = if stage.fault { PATIENCE } else { play.patience };
        let played =
            scene.play(stage, teller).with_context(|| format!("scene {number}, {}", scene.title()))?;
        let Played::LeftOut(why) = played else { continue };
        if !stage.fault {
            bail!("scene {number} cannot be played here, so nobody can say that it needs its fault: {why}");
        }
        teller.left_out(scene.title(), &why);
    }
    Ok(())
}

impl Play {
    fn asks_for(&self, scene: Scene) -> bool {
        self.only.is_none_or(|only| only == scene || only.builds_on().contains(&scene))
    }
}

fn narrate(stage: &Stage, teller: &Teller, incident: &Value) -> Result<()> {
    for line in stage.provider.timeline(incident)? {
        let (what, detail) =
            (line["what"].as_str().unwrap_or_default(), line["detail"].as_str().unwrap_or_default());
        teller.say(format!("{what}: {detail}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scene_has_one_number_and_is_found_by_it() {
        for (place, scene) in Scene::ALL.iter().enumerate() {
            assert_eq!(scene.number(), place + 1, "{scene:?} stands there twice");
            assert_eq!(scene.number().to_string().parse::<Scene>().ok(), Some(*scene));
        }
        for wrong in ["0", "10000", "-1", "", "two"] {
            assert!(wrong.parse::<Scene>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_scene_builds_on_comes_before_it_and_builds_on_nothing() {
        for scene in Scene::ALL {
            for before in scene.builds_on() {
                assert!(before.number() < scene.number() && before.builds_on().is_empty(), "{scene:?}");
            }
        }
    }
}
