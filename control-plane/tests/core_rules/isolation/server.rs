//! The whole door and every operators' service behind it, without sockets: an answer as it came, to the last byte.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use control_plane::{
    serve::{
        gate::{Gate, Rule},
        http::{Front, Health, HealthCheck},
        listener::{Address, Admission, Peer},
        operators::{About, Operators},
        services::operator_routes,
        writer::Writer,
    },
    store::Store,
};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use proto::time::Millis;
use tonic::{Code, body::Body};
use tower::ServiceExt as _;

use crate::{
    doors::known,
    world::{START, World},
};

/// A server without sockets, and who calls it.
pub struct Server {
    pub writer: Writer,
    rule: Rule,
    front: Front,
}

/// An answer as it came: status, its words, and every byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub code: Code,
    pub message: String,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn speaks_of(&self, needle: &str) -> bool {
        self.message.contains(needle)
            || self.bytes.windows(needle.len()).any(|part| part == needle.as_bytes())
    }
}

fn at_start() -> Millis {
    START
}

impl Server {
    pub fn new(world: World) -> Self {
        let known = known(&world);
        let (memory, trust) = (Mutex::new(world.db), world.safe.trust.clone());
        let (writer, _thread) = Writer::spawn(world.core, at_start).unwrap();
        let about = About {
            address: "https://control.msp.example:8443".into(),
            people: "https://control.msp.example:8444".into(),
            trust,
            witnesses: Vec::new(),
            timestamps: String::new(),
            reader: Box::new(move || Store::with(memory.lock().unwrap().share())),
            clock: at_start,
        };
        let routes = operator_routes(Operators::new(writer.clone(), Arc::new(about)));
        let health: HealthCheck = Arc::new(|| Box::pin(async { Health::Well }));
        Self {
            rule: Rule::People {
                writer: writer.clone(),
                known,
                origin: "https://control.msp.example:8444".into(),
            },
            writer,
            front: Front::people(routes, health, None),
        }
    }

    pub async fn ask(&self, token: &str, call: &str, message: &[u8]) -> Answer {
        let mut framed = vec![0];
        framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        framed.extend(message);
        let mut request = Request::post(format!("/orderly.v1.{call}"))
            .version(http::Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::new(Full::from(framed)))
            .unwrap();
        let address = Address::Network(SocketAddr::from(([192, 0, 2, 7], 1)));
        request.extensions_mut().insert(Peer {
            certificate: None,
            address,
            admission: Admission::new(false),
        });
        let door = Gate::new(self.rule.clone(), self.front.clone());
        let answer = door.oneshot(request).await.unwrap();
        let early = answer.headers().clone();
        let body = answer.into_body().collect().await.unwrap();
        let late = body.trailers().cloned().unwrap_or_default();
        let of =
            |name: &str| late.get(name).or(early.get(name)).map(|value| value.to_str().unwrap().to_owned());
        let code = of("grpc-status").map_or(Code::Unknown, |code| Code::from_bytes(code.as_bytes()));
        let message = of("grpc-message").unwrap_or_default();
        let message = percent_encoding(&message);
        Answer { code, message, bytes: body.to_bytes().to_vec() }
    }
}

/// gRPC writes a status's words percent-encoded.
fn percent_encoding(text: &str) -> String {
    let decoded = form_urlencoded::parse(text.replace('+', "%2B").as_bytes())
        .map(|(key, value)| if value.is_empty() { key.into_owned() } else { format!("{key}={value}") })
        .collect::<Vec<_>>();
    decoded.join("&")
}
