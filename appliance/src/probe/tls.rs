//! TLS with a server that nobody vouches for yet: what it shows is judged elsewhere, or not at all.
//!
//! The rule: nothing but a request for a page of public health goes over such a connection, and nothing that comes back is
//! believed. That the server holds the key of what it shows is checked all the same.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    },
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::tcp::Timed;

/// A connection to whoever answers.
pub(super) fn open<'a>(
    tcp: Timed<'a>,
    name: ServerName<'static>,
) -> io::Result<StreamOwned<ClientConnection, Timed<'a>>> {
    Ok(handshake(tcp, name)?.0)
}

/// The certificates that the server shows, its own first, whose key it holds.
pub(crate) fn chain(tcp: Timed<'_>, name: ServerName<'static>) -> io::Result<Vec<CertificateDer<'static>>> {
    let (stream, holds_key) = handshake(tcp, name)?;
    let shown = stream.conn.peer_certificates().filter(|_| holds_key);
    let shown = shown.ok_or_else(|| io::Error::other("it does not hold the key of its certificate"))?;
    Ok(shown.iter().map(|certificate| certificate.clone().into_owned()).collect())
}

fn handshake<'a>(
    tcp: Timed<'a>,
    name: ServerName<'static>,
) -> io::Result<(StreamOwned<ClientConnection, Timed<'a>>, bool)> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let anybody = Arc::new(Anybody::new(&provider));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(anybody.clone())
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let holds_key = anybody.holds_key.load(Ordering::Relaxed);
    Ok((stream, holds_key))
}

/// Lets everybody through, and notes who does not hold the key of what it shows.
#[derive(Debug)]
struct Anybody {
    algorithms: WebPkiSupportedAlgorithms,
    holds_key: AtomicBool,
}

impl Anybody {
    fn new(provider: &CryptoProvider) -> Self {
        Self { algorithms: provider.signature_verification_algorithms, holds_key: AtomicBool::new(false) }
    }

    fn note(
        &self,
        verified: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.holds_key.store(verified.is_ok(), Ordering::Relaxed);
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _own: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.note(verify_tls12_signature(message, certificate, signed, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.note(verify_tls13_signature(message, certificate, signed, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
