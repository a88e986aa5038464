//! Which trouble an error of the link is: the same codes that `appliance doctor` finds by looking.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};
use tonic::Code;

use super::{LinkError, ProxyError, Said, TlsError};
use crate::{agent::credentials::CredentialError, trouble::Trouble};

impl LinkError {
    /// Its code; `None`: it is none of the network's.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Address { .. } => None,
            Self::Silent { .. } => Some(Trouble::PortFiltered),
            Self::Status { said, .. } => match said.by_connector() {
                Some(error) => error.trouble(),
                None => said.trouble(),
            },
        }
    }
}

impl Said {
    fn trouble(&self) -> Option<Trouble> {
        match self.0.code() {
            Code::PermissionDenied => Some(Trouble::CertificateRevoked),
            Code::Unauthenticated => Some(Trouble::CertificateExpired),
            _ => None,
        }
    }
}

impl TlsError {
    fn trouble(&self) -> Option<Trouble> {
        Some(match self {
            // The resolver's own words (gai_strerror): there is no code in what std gives.
            Self::Lookup { source, .. } if source.to_string().contains("Temporary failure") => {
                Trouble::DnsSilent
            }
            Self::Lookup { .. } => Trouble::DnsUnknownName,
            Self::Tcp { source, .. } => connection(source.kind()),
            Self::ProxyTcp { source, .. } if source.kind() == io::ErrorKind::NetworkUnreachable => {
                Trouble::NoRoute
            }
            Self::ProxyTcp { .. } => Trouble::ProxyUnreachable,
            Self::Proxy { source, .. } => match source {
                ProxyError::Credentials(_) | ProxyError::Form { .. } => Trouble::ProxyAuthentication,
                // Some say 401 to a wrong password (tinyproxy).
                ProxyError::Refused { status: 401 | 407, .. } => Trouble::ProxyAuthentication,
                ProxyError::Refused { .. } | ProxyError::Speech(_) => Trouble::ProxyRefuses,
            },
            Self::Silent { .. } => Trouble::PortFiltered,
            Self::Handshake { source, .. } => return handshake(source),
            Self::NoHttp2 { .. } => Trouble::NotControlPlane,
            Self::Credentials(CredentialError::NotEnrolled { .. }) => Trouble::NotEnrolled,
            Self::Name { .. } | Self::Authority { .. } | Self::Credentials(_) | Self::Setup(_) => {
                return None;
            }
        })
    }
}

fn connection(kind: io::ErrorKind) -> Trouble {
    match kind {
        io::ErrorKind::ConnectionRefused => Trouble::PortClosed,
        io::ErrorKind::NetworkUnreachable => Trouble::NoRoute,
        _ => Trouble::PortFiltered,
    }
}

fn handshake(source: &io::Error) -> Option<Trouble> {
    let Some(error) = source.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return Some(connection(source.kind()));
    };
    Some(match error {
        Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Trouble::TlsInspected,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Trouble::ClockWrong,
            _ => Trouble::NotControlPlane,
        },
        Error::AlertReceived(AlertDescription::CertificateExpired) => Trouble::CertificateExpired,
        Error::AlertReceived(AlertDescription::CertificateRevoked | AlertDescription::CertificateUnknown) => {
            Trouble::CertificateRevoked
        }
        Error::InvalidMessage(_) | Error::PeerIncompatible(_) | Error::AlertReceived(_) => {
            Trouble::NotControlPlane
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_fail_has_its_code() {
        let tcp =
            |kind: io::ErrorKind| TlsError::Tcp { host: "h".into(), port: 1, source: kind.into() }.trouble();
        assert_eq!(tcp(io::ErrorKind::ConnectionRefused), Some(Trouble::PortClosed));
        assert_eq!(tcp(io::ErrorKind::NetworkUnreachable), Some(Trouble::NoRoute));
        assert_eq!(tcp(io::ErrorKind::TimedOut), Some(Trouble::PortFiltered));
        let shaken = |error: Error| handshake(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert_eq!(
            shaken(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
            Some(Trouble::TlsInspected)
        );
        assert_eq!(shaken(Error::InvalidCertificate(CertificateError::Expired)), Some(Trouble::ClockWrong));
        let status = |code| LinkError::Status {
            address: String::new(),
            call: "Sync",
            said: Said(Box::new(tonic::Status::new(code, ""))),
        };
        assert_eq!(status(Code::PermissionDenied).trouble(), Some(Trouble::CertificateRevoked));
        assert_eq!(status(Code::InvalidArgument).trouble(), None);
    }
}
