//! What runs beside the doors, each until the server stops: the watchdog, and all that goes out by itself.

use std::sync::Arc;

use anyhow::Result;
use http::Uri;
use tokio::{sync::watch, task::JoinSet};
use tonic::transport::Endpoint as Collector;

use super::{
    deadman,
    mail::{self, LETTER_WITHIN, MAIL_WITHIN, Mailer},
    model::{self, Endpoint},
    monitoring,
    monthly::{self, Monthly},
    outside::Outside,
    shared::Shared,
    stamp, submit,
    teller::{self, ANSWER_WITHIN, Teller},
    traces::{self, Traces},
    watchdog,
};
use crate::{
    clock,
    config::{Config, ConfigError},
    timestamp::Authority,
};

/// Who is written to, and how, as far as the settings must be right for it.
pub(super) struct Outward {
    outside: Outside,
    mailer: Option<Mailer>,
    tellers: Vec<Teller>,
    model: Option<Endpoint>,
    stamping: Option<(Uri, Authority)>,
    collector: Option<Collector>,
}

impl Outward {
    pub(super) fn of(config: &Config) -> Result<Self, ConfigError> {
        let stamping = config.timestamps.as_ref();
        let outside = Outside::new(ANSWER_WITHIN);
        let mailer =
            |within| config.mail.as_ref().map(|mail| Mailer::new(mail, &config.organization, within));
        Ok(Self {
            stamping: stamping
                .map(|one| Ok::<_, ConfigError>((one.url.clone(), one.certificates()?)))
                .transpose()?,
            mailer: mailer(MAIL_WITHIN).transpose()?,
            tellers: tellers(config, mailer(LETTER_WITHIN).transpose()?.map(Arc::new), &outside)?,
            model: config.planner.as_ref().map(Endpoint::new).transpose()?,
            collector: config.traces.as_ref().map(|traces| traces.endpoint()).transpose()?,
            outside,
        })
    }
}

/// Ways to all channels of the settings.
fn tellers(
    config: &Config,
    mailer: Option<Arc<Mailer>>,
    outside: &Outside,
) -> Result<Vec<Teller>, ConfigError> {
    let host = &config.organization;
    let teller = |channel| Teller::new(channel, mailer.as_ref(), host, outside.clone(), clock::now);
    config.escalation.channels.iter().map(teller).collect()
}

/// Starts them.
pub(super) fn start(shared: &Shared, outward: Outward, tasks: &mut JoinSet<()>) -> Result<()> {
    let Shared { config, writer, about, health, stopped, .. } = shared;
    if let Some(collector) = outward.collector {
        let (to, from) = Traces::new();
        writer.metrics.trace(to);
        tasks.spawn(traces::export(collector, from, stopped.clone()));
    }
    tasks.spawn(monitoring::report(shared.reporter.clone(), health.clone(), stopped.clone()));
    let (rounds, went) = watch::channel(Ok(()));
    tasks.spawn(watchdog::watch(writer.clone(), rounds, stopped.clone()));
    tasks.spawn(monthly::make(Monthly::new(shared.operators()), stopped.clone()));
    if let Some(mailer) = outward.mailer {
        tasks.spawn(mail::send(writer.clone(), mailer, clock::now, stopped.clone()));
    }
    for witness in config.witnesses.clone() {
        tasks.spawn(submit::submit(writer.clone(), about.clone(), witness, stopped.clone()));
    }
    if let Some((url, authority)) = outward.stamping {
        tasks.spawn(stamp::stamp(writer.clone(), about.clone(), url, authority, stopped.clone()));
    }
    if let Some(endpoint) = outward.model {
        let looking = model::Looking { reader: shared.reader()?, clock: clock::now };
        tasks.spawn(model::ask(writer.clone(), looking, endpoint, stopped.clone()));
    }
    for teller in outward.tellers {
        tasks.spawn(teller::tell(writer.clone(), teller, stopped.clone()));
    }
    if let Some(deadman) = config.escalation.deadman.clone() {
        let (health, outside) = (health.clone(), outward.outside);
        tasks.spawn(deadman::feed(writer.clone(), health, went, (deadman, outside), stopped.clone()));
    }
    Ok(())
}
