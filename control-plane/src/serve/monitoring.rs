//! What whoever runs this server watches it by: its health, for load balancers as gRPC's own, its metrics, and what there is
//! to call.

use std::{sync::Arc, time::Duration};

use prost::Message as _;
use proto::{charter::Charter, pb, time::Millis};
use runbooks::Catalogue;
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_reflection::pb::v1::server_reflection_server::{ServerReflection, ServerReflectionServer};

use super::{
    http::{Health, HealthCheck, Page, remembered},
    listener::Stop,
    operators::About,
    rounds::Rounds,
};
use crate::{
    metrics::{Metrics, Snapshot},
    store::{Document, Store},
};

/// How long what was found is told again.
const FOUND_FOR: Duration = Duration::from_secs(1);
/// How often gRPC's health is brought up to date.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Who asks for the health alone needs no token; who wants to be told of every change does.
pub(super) const CHECK: &str = "/grpc.health.v1.Health/Check";
/// What appliances call: another door's.
const OF_APPLIANCES: [&str; 2] = ["Link", "Enrollment"];

/// Well is: the database can be read, and the charter in it has not ended.
fn health(about: Arc<About>) -> impl Fn() -> Health + Send + Sync + 'static {
    move || {
        let unwell = |what: &str| Health::Unwell(what.to_owned());
        let Ok(store) = (about.reader)() else { return unwell("the database cannot be opened") };
        let Ok(Some(envelope)) = store.newest_document(Document::Charter) else {
            return unwell("the database cannot be read");
        };
        match about.trust.open(&envelope) {
            Ok(charter) if charter.value().holds_at((about.clock)()) => Health::Well,
            Ok(_) => unwell("the charter has ended: no order is signed; run `control-plane charter renew`"),
            Err(_) => unwell("the charter in the database is not signed by this organization"),
        }
    }
}

/// The metrics, with what the database says now. `ends` is what ends besides the documents in it.
pub(super) fn page(
    metrics: Metrics,
    about: Arc<About>,
    ends: impl Fn() -> Vec<(&'static str, Millis)> + Send + Sync + 'static,
) -> Page {
    let clock = about.clock;
    let look = move || {
        let store = (about.reader)().map_err(|error| error.to_string())?;
        let mut ends = ends();
        ends.extend(documents(&store, &about));
        let totals = store.totals().map_err(|error| error.to_string())?;
        Ok::<_, String>(metrics.text(&Snapshot { totals, ends, now: (about.clock)() }))
    };
    let say = |error: &String| tracing::error!(error, "no metrics: the database: {error}");
    remembered(move || look().inspect_err(say).ok(), || None, FOUND_FOR, clock)
}

/// The health, as whoever asks is told it.
pub(super) fn healthy(about: Arc<About>) -> HealthCheck {
    let clock = about.clock;
    let broken = || Health::Unwell("the health could not be looked up".into());
    remembered(health(about), broken, FOUND_FOR, clock)
}

/// When the charter and the catalogue in force end. What cannot be read has no end; the health says why.
fn documents(store: &Store, about: &About) -> Vec<(&'static str, Millis)> {
    let charter = store.newest_document(Document::Charter).ok().flatten();
    let Some(charter) = charter.and_then(|envelope| about.trust.open(&envelope).ok()) else {
        return Vec::new();
    };
    let charter: Charter = charter.into_value();
    let catalogue = store.newest_document(Document::Catalogue).ok().flatten();
    let catalogue = catalogue.and_then(|envelope| Catalogue::open(&envelope, &charter).ok());
    let mut ends = vec![("charter", charter.not_after)];
    ends.extend(catalogue.map(|catalogue| ("catalogue", catalogue.value().expires)));
    ends
}

/// Adds gRPC's health and reflection to `routes`.
pub(super) fn add_to(
    routes: Routes,
    reporter: HealthReporter,
) -> Result<Routes, tonic_reflection::server::Error> {
    let health = tonic_health::server::HealthService::from_health_reporter(reporter);
    let health = tonic_health::pb::health_server::HealthServer::new(health);
    Ok(routes.add_service(health).add_service(reflection()?))
}

/// Says what there is to call here.
fn reflection() -> Result<ServerReflectionServer<impl ServerReflection>, tonic_reflection::server::Error> {
    let mut files = prost_types::FileDescriptorSet::decode(pb::DESCRIPTORS)?;
    for file in &mut files.file {
        file.service.retain(|service| !OF_APPLIANCES.contains(&service.name()));
    }
    tonic_reflection::server::Builder::configure()
        .register_file_descriptor_set(files)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
}

/// Keeps gRPC's health true until `stopped`, and then says that nothing is served any more.
pub(super) async fn report(reporter: HealthReporter, check: HealthCheck, stopped: Stop) {
    let mut rounds = Rounds::every(LOOK_EVERY, stopped);
    while rounds.next().await {
        let status = match check().await {
            Health::Well => ServingStatus::Serving,
            Health::Unwell(_) => ServingStatus::NotServing,
        };
        reporter.set_service_status("", status).await;
    }
    reporter.set_service_status("", ServingStatus::NotServing).await;
}

#[cfg(test)]
mod tests;
