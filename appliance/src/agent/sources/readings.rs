//! What the agent has no right to look into: it asks the executor for a reading.
//!
//! The executor answers from its last reading for as long as that cost it, so asking often is cheap.

use proto::{evidence::Readings, ids::WatchId};
use runbooks::{Fault, WatchKind};

use super::{Observation, Produced};
use crate::{
    agent::{
        executor::{self, AskError},
        redact,
    },
    config::{Eyes, WatchEntry},
    world::Executor,
};

/// The source, for every entry that the executor measures.
#[derive(Debug, Clone)]
pub struct Measured {
    watched: Vec<(WatchId, WatchKind)>,
}

impl Measured {
    /// Measures what of `entries` only the executor may look at.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a WatchEntry>) -> Self {
        let watched = entries
            .into_iter()
            .filter(|entry| entry.eyes() == Eyes::Executor)
            .map(|entry| (entry.id().clone(), entry.kind()))
            .collect();
        Self { watched }
    }

    /// Measures each entry by itself, so that one that fails hides no other.
    pub fn poll(&self, executor: &mut dyn Executor) -> (Produced, Vec<AskError>) {
        let (mut produced, mut problems) = (Produced::default(), Vec::new());
        for (watch, kind) in &self.watched {
            match executor::measure(executor, watch) {
                Ok((readings, note)) => {
                    let mut seen = observations(watch, *kind, &readings);
                    let note = redact::note(&crate::redact::redact(note.as_bytes()));
                    for observation in &mut seen {
                        // Of a fault that does not hold there is nobody to name.
                        if observation.fault.holds(&readings) == Some(true) {
                            observation.note.clone_from(&note);
                        }
                    }
                    produced.observations.extend(seen);
                }
                Err(problem) => problems.push(problem),
            }
        }
        (produced, problems)
    }
}

/// How every fault of an entry stands by what was read of it.
pub(crate) fn observations(watch: &WatchId, kind: WatchKind, readings: &Readings) -> Vec<Observation> {
    Fault::ALL
        .iter()
        .filter(|fault| fault.kind() == kind)
        .map(|fault| Observation {
            watch: watch.clone(),
            fault: *fault,
            readings: readings.clone(),
            note: String::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proto::local::{self, response::Answer};

    use super::*;
    use crate::{config::Config, ipc::IpcError};

    /// An executor that measures so much.
    struct Waiting(i64);

    impl Executor for Waiting {
        fn call(&mut self, _: local::Request) -> Result<local::Response, IpcError> {
            let reading = |name: &str, value| local::Reading { name: name.into(), value };
            let readings = vec![reading("waiting_percent", self.0), reading("limit_percent", 40)];
            let note = "most goes to viewer.service of Jane Roe, born 1970-01-01".into();
            Ok(local::Response { answer: Some(Answer::Measured(local::Measured { readings, note })) })
        }
    }

    #[test]
    fn who_is_named_is_named_with_the_fault_alone_and_without_identifiers() {
        let text = "control_plane.address = \"https://127.0.0.1:1\"\n\
                    [[watch.processor]]\nid = \"it\"\nlimit_percent = 40\n\
                    [[watch.log]]\nid = \"own\"\npath = \"/var/log/own\"\nraise = [\"ERROR\"]\n";
        let config = Config::parse(text, std::path::Path::new("it.toml")).unwrap();
        let source = Measured::new(config.watch.values());
        let notes = |waiting| -> Vec<String> {
            let (produced, problems) = source.poll(&mut Waiting(waiting));
            assert!(problems.is_empty());
            produced.observations.into_iter().map(|seen| seen.note).collect()
        };
        assert_eq!(notes(40), [""], "and of what the agent reads itself nothing is asked");
        let said = notes(41).remove(0);
        assert!(said.contains("viewer.service") && !said.contains("Roe") && !said.contains("1970"), "{said}");
    }
}
