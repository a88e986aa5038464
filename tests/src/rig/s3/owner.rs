//! Whoever has the bucket's keys, and no good intentions: any request, signed, and what the store says to it.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, sign,
    },
    sign::v4,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use proto::digest::Digest;

use super::{KEY_ID, SECRET};
use crate::clock;

/// The owner of one bucket.
#[derive(Debug, Clone)]
pub struct Owner {
    port: u16,
    /// The bucket.
    pub bucket: String,
}

/// What the store said.
#[derive(Debug, Clone)]
pub struct Said {
    /// HTTP status.
    pub status: u16,
    /// All of it.
    pub body: String,
    /// Which version it speaks of.
    pub version: String,
}

impl Said {
    /// Whether it did as it was asked.
    #[must_use]
    pub fn did(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Owner {
    pub(super) fn new(port: u16, bucket: &str) -> Self {
        Self { port, bucket: bucket.to_owned() }
    }

    /// Makes the bucket.
    pub fn make_bucket(&self, object_lock: bool) -> Result<()> {
        let headers: &[_] = if object_lock { &[("x-amz-bucket-object-lock-enabled", "true")] } else { &[] };
        let said = self.ask(Method::PUT, "", headers, "")?;
        ensure!(said.did(), "no bucket: {said:?}");
        Ok(())
    }

    /// Another bucket of the same store.
    #[must_use]
    pub fn other(&self, bucket: &str) -> Self {
        Self::new(self.port, bucket)
    }

    /// Deletes a version; without one, what is the latest.
    pub fn delete(&self, key: &str, version: Option<&str>, bypass: bool) -> Result<Said> {
        let path = version.map_or_else(|| key.to_owned(), |version| format!("{key}?versionId={version}"));
        let headers: &[_] = if bypass { &[("x-amz-bypass-governance-retention", "true")] } else { &[] };
        self.ask(Method::DELETE, &path, headers, "")
    }

    /// Deletes a version in a batch of one.
    pub fn delete_in_batch(&self, key: &str, version: &str) -> Result<Said> {
        let body =
            format!("<Delete><Object><Key>{key}</Key><VersionId>{version}</VersionId></Object></Delete>");
        self.ask(Method::POST, "?delete=", &[("x-amz-bypass-governance-retention", "true")], &body)
    }

    /// Writes something under a key, with a lock or none.
    pub fn write(&self, key: &str, body: &str, lock: Option<(&str, &str)>) -> Result<Said> {
        let headers = lock.map_or_else(Vec::new, |(mode, until)| {
            vec![("x-amz-object-lock-mode", mode), ("x-amz-object-lock-retain-until-date", until)]
        });
        self.ask(Method::PUT, key, &headers, body)
    }

    /// Sets a lock on a version.
    pub fn set_lock(&self, key: &str, version: &str, mode: &str, until: &str) -> Result<Said> {
        let body =
            format!("<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>");
        let bypass = [("x-amz-bypass-governance-retention", "true")];
        self.ask(Method::PUT, &format!("{key}?retention=&versionId={version}"), &bypass, &body)
    }

    /// Turns versioning on or off: `Enabled`, `Suspended`.
    pub fn set_versioning(&self, status: &str) -> Result<Said> {
        let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
        self.ask(Method::PUT, "?versioning=", &[], &body)
    }

    /// Any request; `path` is below the bucket.
    pub fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Said> {
        let uri = match path.strip_prefix('?') {
            _ if path.is_empty() => format!("http://127.0.0.1:{}/{}", self.port, self.bucket),
            Some(query) => format!("http://127.0.0.1:{}/{}?{query}", self.port, self.bucket),
            None => format!("http://127.0.0.1:{}/{}/{path}", self.port, self.bucket),
        };
        let sum = BASE64_STANDARD.encode(Digest::of(body.as_bytes()).0);
        let mut headers = headers.to_vec();
        headers.push(("x-amz-checksum-sha256", &sum));
        let identity = Credentials::new(KEY_ID, SECRET, None, None, "test").into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let since = Duration::from_millis(u64::try_from(clock::now().0)?);
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("s3")
            .time(UNIX_EPOCH + since)
            .settings(settings)
            .build()?
            .into();
        let signable = SignableRequest::new(
            method.as_str(),
            &uri,
            headers.iter().copied(),
            SignableBody::Bytes(body.as_bytes()),
        )?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        let mut request = Request::builder().method(method).uri(&uri);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Full::from(body.to_owned()))?;
        instructions.apply_to_request_http1x(&mut request);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
            let response = client.request(request).await.with_context(|| uri.clone())?;
            let status = response.status().as_u16();
            let version = response.headers().get("x-amz-version-id").and_then(|value| value.to_str().ok());
            let version = version.unwrap_or_default().to_owned();
            let body = response.into_body().collect().await?.to_bytes();
            Ok(Said { status, body: String::from_utf8_lossy(&body).into_owned(), version })
        })
    }
}
