//! Answering one request: at once where the core has the answer, without holding it where something must be looked at.

use std::{sync::MutexGuard, time::Duration};

use proto::local::{self, request::Call, response::Answer};

use super::{
    super::{ExecutorCore, answer::answer, chain_of},
    begin,
    service::{Poisoned, Shared, State, WAIT_MAX},
};

/// `is_owner`: whether the kernel says that it is this executor's own user who asks.
pub(super) fn respond(
    shared: &Shared,
    request: local::Request,
    is_owner: bool,
) -> Result<local::Response, Poisoned> {
    let mut state = shared.lock()?;
    if state.is_ending {
        return Ok(failure("executor", "is ending; try again"));
    }
    let core = match &mut state.core {
        Ok(core) => core,
        Err(problem) => return Ok(failure("executor", problem)),
    };
    match &request.call {
        Some(Call::Collect(collect)) => {
            let from = collect.from;
            let patience = Duration::from_millis(collect.wait_ms.into()).min(WAIT_MAX);
            let nothing = |state: &mut State| {
                !state.is_ending && state.core.as_ref().is_ok_and(|core| !core.has_evidence(from))
            };
            let waited = shared.changed.wait_timeout_while(state, patience, nothing);
            let (mut state, _) = waited.map_err(|_| Poisoned)?;
            match &mut state.core {
                Ok(core) => Ok(core.handle(request)),
                Err(problem) => Ok(failure("executor", problem)),
            }
        }
        Some(Call::Measure(measure)) => {
            let watch = measure.watch.clone();
            if core.measurement(&watch).is_err() {
                return Ok(core.handle(request));
            }
            let (_turn, mut state) = Turn::wait(shared, state, watch.clone())?;
            let measurement = match &mut state.core {
                Ok(core) => core.measurement(&watch),
                Err(problem) => return Ok(failure("executor", problem)),
            };
            drop(state);
            let Ok(measurement) = measurement else { return Ok(failure("watch", "cannot be measured")) };
            let taken = measurement.take();
            if let Ok(core) = &mut shared.lock()?.core {
                core.remember(&taken);
            }
            Ok(local::Response { answer: Some(Answer::Measured(taken.answer())) })
        }
        Some(Call::Foresee(asked)) if is_owner => {
            let rehearsal = match core.rehearsal(asked) {
                Ok(rehearsal) => rehearsal,
                Err(error) => return Ok(answer(Err(error))),
            };
            drop(state);
            Ok(local::Response { answer: Some(Answer::Foreseen(rehearsal.take())) })
        }
        Some(Call::Adopt(_)) if !core.is_pinned() => {
            // Enrolment wrote the pins after this executor began.
            if let Err(problem) = pin(core, shared) {
                return Ok(failure("trust", &problem));
            }
            Ok(answered(shared, core, request))
        }
        _ => Ok(answered(shared, core, request)),
    }
}

/// One's turn to measure an entry: however many ask, it is measured once at a time.
struct Turn<'s> {
    shared: &'s Shared,
    watch: String,
}

impl<'s> Turn<'s> {
    fn wait<'g>(
        shared: &'s Shared,
        state: MutexGuard<'g, State>,
        watch: String,
    ) -> Result<(Self, MutexGuard<'g, State>), Poisoned>
    where
        's: 'g,
    {
        let is_taken = |state: &mut State| state.measuring.contains(&watch);
        let mut state = shared.changed.wait_while(state, is_taken).map_err(|_| Poisoned)?;
        state.measuring.insert(watch.clone());
        Ok((Self { shared, watch }, state))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Ok(mut state) = self.shared.lock() {
            state.measuring.remove(&self.watch);
        }
        self.shared.changed.notify_all();
    }
}

fn answered(shared: &Shared, core: &mut ExecutorCore, request: local::Request) -> local::Response {
    let response = core.handle(request);
    shared.changed.notify_all();
    response
}

fn pin(core: &mut ExecutorCore, shared: &Shared) -> Result<(), String> {
    let missing = || format!("{} is not there; enrolment writes it", shared.trust.display());
    let keys = begin::trust(&shared.trust).map_err(|e| chain_of(&e))?.ok_or_else(missing)?;
    core.pin(keys).map_err(|e| chain_of(&e))
}

fn failure(field: &str, problem: &str) -> local::Response {
    let failure = local::Failure { field: field.to_owned(), problem: problem.to_owned() };
    local::Response { answer: Some(Answer::Failure(failure)) }
}
