//! Doing one step on one entry: within its fence, and then, where the machine needs a moment to show it, until it shows.

use proto::{evidence::StepResult, time::Millis};
use runbooks::{Action, Fault};

use super::{
    BRIEF, Backup, HostFacts, Limit, SystemHost, TAKING_UP, WatchEntry, failed, fence, names::Names, prune,
    rebuild, relieve, restore, tidy, unit,
};
use crate::world::StepOutcome;

impl SystemHost {
    /// Does it, shut in to what it needs.
    pub(super) fn do_step(
        &self,
        action: Action,
        entry: &WatchEntry,
        facts: &HostFacts,
        limit: &Limit<'_>,
    ) -> StepOutcome {
        self.prepare(action);
        let names = match action {
            Action::ProcessorRelieve | Action::MemoryRelieve => self.names(),
            _ => None,
        };
        let reach = self.reach(action, entry);
        let outcome = fence::within(reach.as_ref(), || self.act(action, entry, facts, names.as_ref(), limit));
        self.let_it_show(action, entry, facts, limit, outcome)
    }

    fn act(
        &self,
        action: Action,
        entry: &WatchEntry,
        facts: &HostFacts,
        names: Option<&Names>,
        limit: &Limit<'_>,
    ) -> StepOutcome {
        // Whichever clock is behind: a file is never taken for older than it is.
        let now: Millis = facts.now.min(self.world.clock.wall());
        let programs = &self.programs;
        match (action, entry) {
            (Action::FilesPrune, WatchEntry::Directory(directory)) => prune::prune(directory, now, limit),
            (Action::ResticBackup, WatchEntry::Backup(backup)) => self.back_up(backup, facts, limit),
            (Action::ResticTestRestore, WatchEntry::Backup(backup)) => {
                self.test_restore(backup, facts, limit)
            }
            (Action::UnitRestart, WatchEntry::Unit(entry)) => {
                unit::restart(&programs.systemctl, &entry.unit, limit)
            }
            (Action::JournalVacuum, WatchEntry::Filesystem(entry)) => tidy::vacuum(programs, entry, limit),
            (Action::CachesEmpty, WatchEntry::Filesystem(entry)) => tidy::empty_caches(entry, now, limit),
            (Action::NixCollectGarbage, WatchEntry::Filesystem(entry)) => {
                tidy::collect_nix_garbage(programs, entry, limit)
            }
            (Action::CertificateRenew, WatchEntry::Certificate(renewed)) => match &renewed.unit {
                Some(unit) => unit::start(&programs.systemctl, unit, limit),
                None => failed(-1),
            },
            (Action::ProcessorRelieve, WatchEntry::Processor(pressed)) => {
                relieve::processor(programs, &self.root, pressed, names, limit)
            }
            (Action::MemoryRelieve, WatchEntry::Memory(pressed)) => {
                relieve::memory(programs, &self.root, pressed, names, limit)
            }
            (Action::ClockStep, WatchEntry::Clock(kept)) => self.step_clock(&kept.unit, limit),
            (Action::UplinkRestart, WatchEntry::Uplink(lost)) => {
                unit::restart(&programs.systemctl, &lost.unit, limit)
            }
            (Action::StoreRebuild, WatchEntry::Store(entry)) => {
                rebuild::rebuild(programs, &self.agent(), entry, limit)
            }
            (Action::BaselineReapply, WatchEntry::Baseline(_)) => self.reapply_baseline(facts.now, limit),
            // Guardrail 7 has seen that kind of step and kind of entry belong together.
            _ => failed(-1),
        }
    }

    /// Gives what was done time to show. The reading afterwards must fall within the time, too.
    fn let_it_show(
        &self,
        action: Action,
        entry: &WatchEntry,
        facts: &HostFacts,
        limit: &Limit<'_>,
        outcome: StepOutcome,
    ) -> StepOutcome {
        if outcome.result != StepResult::Done {
            return outcome;
        }
        // A server that was restarted does not listen at once, a lease takes its time; a cable that is pulled stays so.
        let soon = Limit { ends: limit.ends.min(self.world.clock.boot() + TAKING_UP), ..*limit };
        let (fault, limit) = match (action, entry) {
            (Action::UnitRestart, WatchEntry::Unit(entry)) => {
                return relieve::stays_up(&self.root, &entry.unit, limit, outcome);
            }
            (Action::CertificateRenew, WatchEntry::Certificate(renewed)) if renewed.server.is_some() => {
                (Fault::CertificateExpiring, &soon)
            }
            (Action::ProcessorRelieve, _) => (Fault::ProcessorPressed, limit),
            (Action::MemoryRelieve, _) => (Fault::MemoryPressed, limit),
            (Action::ClockStep, _) => (Fault::ClockUnsynchronised, limit),
            (Action::UplinkRestart, _) => (Fault::UplinkLost, &soon),
            _ => return outcome,
        };
        let limit = Limit { ends: limit.ends.saturating_sub(BRIEF), ..*limit };
        relieve::settle(&limit, || fault.holds(&self.measure_entry(entry, facts)) == Some(false));
        outcome
    }

    fn back_up(&self, backup: &Backup, facts: &HostFacts, limit: &Limit<'_>) -> StepOutcome {
        match (&backup.unit, self.restic(backup)) {
            (Some(unit), _) => unit::start(&self.programs.systemctl, unit, limit),
            (None, Some(restic)) => restic.backup(&backup.sources, facts.now, limit),
            (None, None) => failed(-1),
        }
    }

    fn test_restore(&self, backup: &Backup, facts: &HostFacts, limit: &Limit<'_>) -> StepOutcome {
        let Some(restic) = self.restic(backup) else { return failed(-1) };
        let scratch = self.scratch();
        let entropy = &*self.world.entropy;
        restore::TestRestore { restic, sources: &backup.sources, scratch: &scratch, entropy, now: facts.now }
            .run(limit)
    }

    /// Corrects the clock at once; a keeper that does not answer is restarted, and corrects it at its start.
    fn step_clock(&self, keeper: &str, limit: &Limit<'_>) -> StepOutcome {
        let stepped = unit::run(&self.programs.chronyc, &["makestep"], limit);
        match stepped.result {
            StepResult::Failed => unit::restart(&self.programs.systemctl, keeper, limit),
            _ => stepped,
        }
    }
}
