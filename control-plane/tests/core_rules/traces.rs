//! An incident is one trace, from its first event to the evidence; read by the receiver of OpenTelemetry's own service.

use std::{collections::BTreeSet, time::Duration};

use control_plane::{
    metrics::Metrics,
    serve::{
        http::Front,
        listener::{Limits, serve_plain},
        traces::{Traces, export, trace_id},
        writer::Writer,
    },
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use proto::{evidence::Verdict, ids::IncidentId, sync::Phase};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::timeout,
};
use tonic::{Request, Response, Status, service::Routes, transport::Endpoint};

use crate::{
    appliance::open_order,
    doors::clock,
    world::{DISK, World},
};

/// A collector that keeps what it is given.
struct Collector(mpsc::UnboundedSender<Span>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.0.send(span).unwrap();
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test]
async fn an_order_is_followed_from_incident_to_evidence_by_one_trace_id() {
    let mut world = World::new();
    let mut appliance = world.appliance();
    let charter = world.safe.charter.clone();
    let (now, spki) = (world.now, appliance.spki());
    let event = appliance.event(now, DISK, "uploads", Phase::Raised);
    let beat = appliance.heartbeat(now);
    let batch = appliance.freeze(vec![event, beat]);
    let asked = appliance.ask(Some(batch.clone()));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (spans, mut received) = mpsc::unbounded_channel();
    let service = TraceServiceServer::new(Collector(spans));
    let (stop, stopped) = watch::channel(false);
    // It outlives what is to be sent when the server stops.
    let (_serving, served) = watch::channel(false);
    let front = Front::programs(Routes::new(service));
    tokio::spawn(serve_plain(listener, front, Limits::default(), served));
    let (traces, durable) = Traces::new();
    let exported = tokio::spawn(export(endpoint, durable, stopped));
    let metrics = Metrics::default();
    metrics.trace(traces);
    world.core.take_steps();
    let (writer, thread) = Writer::spawn_counted(world.core, clock, metrics).unwrap();
    let answer = writer.run(move |core, now| core.sync(spki, &asked, now)).await.unwrap().response;
    appliance.acknowledged(&batch);
    let order = open_order(&answer.orders[0], &charter);
    appliance.absorb(&charter, &answer);
    let executed = appliance.executed(now, &order, Verdict::Repaired);
    let asked = {
        let batch = appliance.freeze(vec![executed]);
        appliance.ask(Some(batch))
    };
    let again = asked.clone();
    writer.run(move |core, now| core.sync(spki, &asked, now)).await.unwrap();
    // A command that fails has taken no step.
    let undone = writer.run(move |core, now| {
        core.sync(spki, &again, now)?;
        Err::<(), _>(control_plane::core::CoreError::NotFound("nothing".into()))
    });
    assert!(undone.await.is_err());
    drop(writer);
    thread.join().unwrap();
    stop.send(true).unwrap();
    timeout(Duration::from_secs(30), exported).await.unwrap().unwrap();

    let mut all = Vec::new();
    while let Ok(span) = received.try_recv() {
        all.push(span);
    }
    let incident: IncidentId = order.core.incident;
    assert!(all.iter().all(|span| span.trace_id == trace_id(incident)), "{all:#?}");
    let names: Vec<&str> = all.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["intake", "plan", "guardrails", "sign", "exchange", "evidence", "incident"]);
    let root = all.last().unwrap();
    assert!(root.parent_span_id.is_empty() && root.start_time_unix_nano <= root.end_time_unix_nano);
    assert!(all[..6].iter().all(|span| span.parent_span_id == root.span_id), "{all:#?}");
    let own: BTreeSet<_> = all.iter().map(|span| &span.span_id).collect();
    assert_eq!(own.len(), all.len(), "each has an ID of its own");
    let said = format!("{all:?}");
    assert!(said.contains(&order.core.id.to_string()) && said.contains("RB-DISK-002"), "{said}");
    assert!(!said.contains("uploads") && !said.contains("Riverside"), "{said}");
}
