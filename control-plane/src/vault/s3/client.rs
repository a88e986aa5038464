//! One signed request to S3 and its answer: bounded in time and size, asked a second time when that may help.
//!
//! Every request carries the SHA-256 of its body in its signature (AWS Signature Version 4), so that what arrives is
//! what was sent, or is refused. Signing is AWS's own crate; the requests are few, and plain HTTP.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use proto::{digest::Digest, time::Millis};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio::time::{sleep, timeout};

use super::{S3Error, credentials::Source, xml};
use crate::{config::S3, files};

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often one thing is asked when the store does not answer, or is out of order.
const ATTEMPTS: u32 = 2;
const BETWEEN: Duration = Duration::from_millis(250);
/// The most bytes of an answer that is no object.
pub(super) const XML_MAX: u64 = 8 << 20;
const AUTHORITY_MAX: u64 = 1 << 20;

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    /// For messages: `GET t/entries/1`.
    pub(super) what: String,
    pub(super) method: Method,
    /// Of the bucket itself: `None`.
    pub(super) key: Option<&'a str>,
    pub(super) query: Vec<(&'static str, &'a str)>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    /// The most bytes of the answer.
    pub(super) answer_max: u64,
}

impl<'a> Ask<'a> {
    /// Reads something.
    pub(super) fn get(key: Option<&'a str>, query: Vec<(&'static str, &'a str)>) -> Self {
        let names: Vec<&str> = query.iter().map(|(name, _)| *name).collect();
        let what = format!("GET {}?{}", key.unwrap_or_default(), names.join("&"));
        let (method, headers, body) = (Method::GET, Vec::new(), Bytes::new());
        Self { what, method, key, query, headers, body, answer_max: XML_MAX }
    }

    /// Writes something, with its checksum, which Object Lock wants.
    pub(super) fn put(key: &'a str, query: Vec<(&'static str, &'a str)>, body: Bytes) -> Self {
        let what = format!("PUT {key}");
        let checksum = BASE64_STANDARD.encode(Digest::of(&body).0);
        let headers = vec![("x-amz-checksum-sha256", checksum)];
        Self { what, method: Method::PUT, key: Some(key), query, headers, body, answer_max: XML_MAX }
    }
}

/// What it answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Asks one bucket.
pub(super) struct Client {
    http: Http<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Scheme, host and, in path style, the bucket.
    base: String,
    region: String,
    credentials: Source,
    clock: fn() -> Millis,
    requests: AtomicU64,
}

impl Client {
    pub(super) fn new(settings: &S3, clock: fn() -> Millis) -> Result<Self, S3Error> {
        let credentials = Source::new(settings.credentials.clone());
        // What is wrong with them is said at the start, not with the first evidence.
        credentials.read().map_err(S3Error::Credentials)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_WITHIN));
        tcp.set_nodelay(true);
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls(settings)?).https_or_http().enable_http1();
        let (scheme, host, bucket) = (&settings.scheme, &settings.host, &settings.bucket);
        let base = match settings.path_style {
            true => format!("{scheme}://{host}/{bucket}"),
            false => format!("{scheme}://{bucket}.{host}"),
        };
        Ok(Self {
            http: Http::builder(TokioExecutor::new()).build(connector.wrap_connector(tcp)),
            base,
            region: settings.region.clone(),
            credentials,
            clock,
            requests: AtomicU64::new(0),
        })
    }

    /// How many requests were sent.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Asks, a second time if that may help.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<Answer, S3Error> {
        let mut attempt = 1;
        loop {
            match self.ask_once(&ask).await {
                Err(error) if error.may_pass() && attempt < ATTEMPTS => pause(BETWEEN).await,
                outcome => return outcome,
            }
            attempt += 1;
        }
    }

    /// Asks once.
    pub(super) async fn ask_once(&self, ask: &Ask<'_>) -> Result<Answer, S3Error> {
        timeout(ANSWER_WITHIN, self.send(ask)).await.unwrap_or(Err(S3Error::TimedOut))
    }

    async fn send(&self, ask: &Ask<'_>) -> Result<Answer, S3Error> {
        let request = self.signed(ask)?;
        let unreachable = |error: &dyn std::error::Error| S3Error::Unreachable(chain(error));
        self.requests.fetch_add(1, Ordering::Relaxed);
        let response = self.http.request(request).await.map_err(|error| unreachable(&error))?;
        let (head, body) = response.into_parts();
        let max = usize::try_from(ask.answer_max).unwrap_or(usize::MAX);
        let body = match Limited::new(body, max).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(S3Error::TooLarge { what: ask.what.clone(), max: ask.answer_max });
            }
            Err(error) => return Err(unreachable(error.as_ref())),
        };
        if head.status.is_success() {
            return Ok(Answer { headers: head.headers, body });
        }
        Err(refused(ask.what.clone(), head.status, &body))
    }

    fn signed(&self, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, S3Error> {
        let uri = uri(&self.base, ask);
        let cannot = |problem: String| S3Error::Garbled { what: ask.what.clone(), problem };
        let identity = self.credentials.read().map_err(S3Error::Credentials)?.into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let since = Duration::from_millis(u64::try_from((self.clock)().0).unwrap_or_default());
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(UNIX_EPOCH + since)
            .settings(settings)
            .build()
            .map_err(|error| cannot(chain(&error)))?
            .into();
        let headers = ask.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let (instructions, _) =
            SignableRequest::new(ask.method.as_str(), &uri, headers, SignableBody::Bytes(&ask.body))
                .and_then(|signable| sign(signable, &params))
                .map_err(|error| cannot(chain(&error)))?
                .into_parts();
        let mut request = Request::builder()
            .method(&ask.method)
            .uri(&uri)
            .header(header::USER_AGENT, concat!("orderly-control-plane/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if ask.method == Method::PUT {
            // Said of an empty body, too: Ceph insists.
            request = request.header(header::CONTENT_LENGTH, ask.body.len());
        }
        let mut request =
            request.body(Full::from(ask.body.clone())).map_err(|error| cannot(chain(&error)))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

/// Waits before asking again.
#[expect(clippy::disallowed_methods, reason = "a network shell that backs off")]
pub(super) async fn pause(span: Duration) {
    sleep(span).await;
}

fn refused(what: String, status: StatusCode, body: &[u8]) -> S3Error {
    let (code, message) = xml::refusal(body);
    let code = match (code.is_empty(), status.canonical_reason()) {
        (true, Some(reason)) => reason.to_owned(),
        _ => code,
    };
    let status = status.as_u16();
    match status {
        // That it cannot do such a thing at all (501) does not pass.
        429 | 500 | 502.. => S3Error::Broken { what, status, code },
        _ => S3Error::Refused { what, status, code, message },
    }
}

/// Keys are plain (see `check_key`); values of a query need not be.
fn uri(base: &str, ask: &Ask<'_>) -> String {
    let mut uri = format!("{base}/{}", ask.key.unwrap_or_default());
    for (number, (name, value)) in ask.query.iter().enumerate() {
        uri.push(if number == 0 { '?' } else { '&' });
        uri.push_str(name);
        uri.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => uri.push(byte.into()),
                other => uri.push_str(&format!("%{other:02X}")),
            }
        }
    }
    uri
}

fn tls(settings: &S3) -> Result<ClientConfig, S3Error> {
    let mut roots = RootCertStore::empty();
    match &settings.authority {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let pem = files::read(path, AUTHORITY_MAX).map_err(S3Error::Authority)?;
            let none = || S3Error::NoAuthority(path.display().to_string());
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate.map_err(|_| none())?).map_err(|_| none())?;
            }
            if roots.is_empty() {
                return Err(none());
            }
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default TLS versions")
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_end_a_query_is_escaped() {
        let ask = Ask::get(Some("t/1"), vec![("versionId", "a&b=c d+/é"), ("retention", "")]);
        assert_eq!(uri("http://h/b", &ask), "http://h/b/t/1?versionId=a%26b%3Dc%20d%2B%2F%C3%A9&retention=");
        assert_eq!(uri("http://h/b", &Ask::get(None, vec![])), "http://h/b/");
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        let says = |status: u16, body: &str| {
            refused("GET x".into(), StatusCode::from_u16(status).unwrap(), body.as_bytes())
        };
        for (error, again) in [
            (says(503, "<Error><Code>SlowDown</Code></Error>"), true),
            (says(429, ""), true),
            (says(500, ""), true),
            (says(501, "<Error><Code>NotImplemented</Code></Error>"), false),
            (says(403, "<Error><Code>AccessDenied</Code></Error>"), false),
            (says(404, ""), false),
            (S3Error::TimedOut, true),
            (S3Error::Unreachable(String::new()), true),
        ] {
            assert_eq!(error.may_pass(), again, "{error}");
        }
        let text = says(403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>").to_string();
        assert_eq!(text, "refused GET x: 403 AccessDenied, no");
        assert_eq!(says(404, "").to_string(), "refused GET x: 404 Not Found");
    }
}
