//! Hands the steps of incidents to a collector as OpenTelemetry traces (OTLP over gRPC): one trace is one incident.
//!
//! The rule: nobody waits for a collector. What it does not take in time is dropped, and said; a step is told once it is
//! durable. The trace's ID is the incident's, so whoever has one has the other, here and after a restart.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind},
};
use proto::{digest::Digest, ids::IncidentId, time::Millis};
use tokio::{
    sync::mpsc,
    time::{self, MissedTickBehavior, timeout},
};
use tonic::transport::{Channel, Endpoint};

use super::listener::{self, Stop};
use crate::core::{Step, StepKind};

/// Groups of steps that may wait for the collector.
const WAITING_MAX: usize = 1024;
/// Steps in one call.
const SPANS_MAX: usize = 512;
const SEND_EVERY: Duration = Duration::from_secs(1);
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Steps that became durable together, and how long that took.
#[derive(Debug)]
pub struct Durable {
    /// In order.
    pub steps: Vec<Step>,
    /// From the beginning of their group.
    pub took: Duration,
}

/// Where steps go that are to be told.
#[derive(Debug, Clone)]
pub struct Traces(mpsc::Sender<Durable>);

impl Traces {
    /// A way, and its other end for [`export`].
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Durable>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), receiver)
    }

    /// Tells them; drops them when too many wait. Never waits.
    pub(crate) fn tell(&self, durable: Durable) {
        if !durable.steps.is_empty() && self.0.try_send(durable).is_err() {
            tracing::debug!("steps are not traced: too many wait for the collector");
        }
    }
}

/// Gives what comes to the collector at `endpoint` until `stopped`, and then what is left.
pub async fn export(endpoint: Endpoint, mut durable: mpsc::Receiver<Durable>, mut stopped: Stop) {
    let channel = endpoint.connect_timeout(CONNECT_WITHIN).timeout(ANSWER_WITHIN).connect_lazy();
    let mut tick = time::interval(SEND_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut spans, mut was_lost) = (Vec::new(), false);
    loop {
        let ends = tokio::select! {
            () = listener::stopped(&mut stopped) => true,
            Some(more) = durable.recv(), if spans.len() < SPANS_MAX => {
                spans.extend(more.steps.iter().enumerate().map(|(n, step)| span(step, n, more.took)));
                continue;
            }
            _ = tick.tick() => false,
        };
        while let (true, Ok(more)) = (ends, durable.try_recv()) {
            spans.extend(more.steps.iter().enumerate().map(|(n, step)| span(step, n, more.took)));
        }
        if !spans.is_empty() {
            let many = spans.len();
            let sent = send(channel.clone(), std::mem::take(&mut spans)).await;
            if let Err(why) = &sent
                && !was_lost
            {
                tracing::warn!(
                    "the collector of traces does not take them ({why}): {many} steps are dropped, and more until it does"
                );
            }
            was_lost = sent.is_err();
        }
        if ends {
            return;
        }
    }
}

async fn send(channel: Channel, spans: Vec<Span>) -> Result<(), String> {
    let scope = InstrumentationScope { name: "orderly".into(), ..Default::default() };
    let service = [("service.name", "orderly-control-plane"), ("service.version", env!("CARGO_PKG_VERSION"))];
    let resource =
        Resource { attributes: service.map(|(key, value)| says(key, value)).into(), ..Default::default() };
    let scoped = ScopeSpans { scope: Some(scope), spans, ..Default::default() };
    let all = ResourceSpans { resource: Some(resource), scope_spans: vec![scoped], ..Default::default() };
    let request = ExportTraceServiceRequest { resource_spans: vec![all] };
    let sent = timeout(ANSWER_WITHIN, async { TraceServiceClient::new(channel).export(request).await }).await;
    let answer = sent.map_err(|_| "no answer".to_owned())?.map_err(|status| status.code().to_string())?;
    match answer.into_inner().partial_success {
        Some(part) if part.rejected_spans > 0 => Err(format!("{} were refused", part.rejected_spans)),
        _ => Ok(()),
    }
}

/// The ID of an incident's trace: its own, as 16 bytes.
#[must_use]
pub fn trace_id(incident: IncidentId) -> Vec<u8> {
    hex::decode(incident.to_string().replace('-', "")).unwrap_or_default()
}

/// Of the whole way of an incident, under which all its steps stand.
fn root(incident: IncidentId) -> Vec<u8> {
    Digest::of(&trace_id(incident)).0[..8].to_vec()
}

fn span(step: &Step, number: usize, took: Duration) -> Span {
    let nanos = |at: Millis| u64::try_from(at.0).unwrap_or(0).saturating_mul(1_000_000);
    let is_root = step.kind == StepKind::Incident;
    let own = format!("{} {} {} {number}", step.incident, step.kind.name(), step.at.0);
    let mut attributes = vec![says("orderly.outcome", step.outcome)];
    attributes.extend(step.runbook.as_ref().map(|id| says("orderly.runbook", &id.to_string())));
    attributes.extend(step.order.map(|id| says("orderly.order", &id.to_string())));
    let began = match (is_root, step.incident.drawn()) {
        (true, Some(opened)) => opened,
        _ => step.at,
    };
    let end = nanos(step.at).saturating_add(u64::try_from(took.as_nanos()).unwrap_or(0));
    Span {
        trace_id: trace_id(step.incident),
        span_id: if is_root { root(step.incident) } else { Digest::of(own.as_bytes()).0[..8].to_vec() },
        parent_span_id: if is_root { Vec::new() } else { root(step.incident) },
        name: step.kind.name().to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanos(began),
        end_time_unix_nano: end,
        attributes,
        ..Default::default()
    }
}

fn says(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}
