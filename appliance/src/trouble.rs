//! What can be wrong between this box and its control plane: a closed list of codes, and for each what a technician does.
//!
//! The rule: one code, one thing to do. `appliance doctor` finds them by looking, the agent by what its link says; both
//! use the same words.

use proto::vocabulary;

vocabulary! {
    /// A network trouble.
    pub enum Trouble as "network trouble" {
        /// No interface has a carrier.
        NoLink = "no-link",
        /// No interface that has a carrier has an address.
        NoAddress = "no-address",
        /// The kernel knows no way to the other side.
        NoRoute = "no-route",
        /// The gateway does not answer on its own wire: another VLAN, or a static address of another network.
        GatewaySilent = "gateway-silent",
        /// No DNS server is configured.
        DnsMissing = "dns-missing",
        /// No DNS server answers.
        DnsSilent = "dns-silent",
        /// The DNS servers refuse to answer, or fail.
        DnsRefuses = "dns-refuses",
        /// The DNS servers do not know the name.
        DnsUnknownName = "dns-unknown-name",
        /// A DNS server makes up addresses.
        DnsLies = "dns-lies",
        /// This network announces a proxy, and lets nobody out without.
        ProxyNeeded = "proxy-needed",
        /// The configured proxy takes no connection.
        ProxyUnreachable = "proxy-unreachable",
        /// The configured proxy wants a user and a password, or others.
        ProxyAuthentication = "proxy-authentication",
        /// The configured proxy does not connect us.
        ProxyRefuses = "proxy-refuses",
        /// A page wants to be clicked first.
        CaptivePortal = "captive-portal",
        /// The port is closed.
        PortClosed = "port-closed",
        /// Nothing comes back from the port.
        PortFiltered = "port-filtered",
        /// What answers there speaks no TLS, or not ours.
        NotControlPlane = "not-control-plane",
        /// Somebody between us and the control plane opens TLS.
        TlsInspected = "tls-inspected",
        /// The control plane is there, and by this clock its certificate or ours is not valid yet, or not any more.
        ClockWrong = "clock-wrong",
        /// This box's certificate has ended.
        CertificateExpired = "certificate-expired",
        /// The control plane does not let this box in any more.
        CertificateRevoked = "certificate-revoked",
        /// This box has no certificate yet.
        NotEnrolled = "not-enrolled",
    }
}

impl Trouble {
    /// What to do about it, for whoever stands before the box.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::NoLink => {
                "plug the network cable in at both ends, try another cable and another port of the switch"
            }
            Self::NoAddress => {
                "the network gave no address: ask whether this port's network has DHCP, or set the static address that the clinic's IT gives"
            }
            Self::NoRoute => "set the gateway of this network, or ask the clinic's IT for it",
            Self::GatewaySilent => {
                "check VLAN and static address with the clinic's IT: the gateway is not on this wire as it is set up"
            }
            Self::DnsMissing => "set a DNS server, or ask the clinic's IT for one",
            Self::DnsSilent => {
                "ask the clinic's IT which DNS server this network has, and whether port 53 to it is open"
            }
            Self::DnsRefuses => {
                "ask the clinic's IT to let this box ask their DNS server, or for another server"
            }
            Self::DnsUnknownName => {
                "compare control_plane.address (or proxy) with the ticket; if it is right, ask the clinic's IT to have that name resolved"
            }
            Self::DnsLies => {
                "the DNS server makes up answers (a filter or a portal): ask the clinic's IT to exempt this box, or for another server"
            }
            Self::ProxyNeeded => {
                "ask the clinic's IT for the proxy's address and set control_plane.proxy = \"http://HOST:PORT\""
            }
            Self::ProxyUnreachable => {
                "compare control_plane.proxy with what the clinic's IT says, and have its port opened"
            }
            Self::ProxyAuthentication => {
                "get user and password for the proxy from the clinic's IT and put USER:PASSWORD into control_plane.proxy_credentials"
            }
            Self::ProxyRefuses => {
                "ask the clinic's IT to let this box connect to the control plane through the proxy (CONNECT)"
            }
            Self::CaptivePortal => {
                "this network wants a click on a web page: ask the clinic's IT to exempt this box, or for another network"
            }
            Self::PortClosed => {
                "compare host and port of control_plane.address with the ticket; if they are right, the firewall or the provider turns us away"
            }
            Self::PortFiltered => {
                "ask the clinic's IT to open outbound TCP to the control plane in the firewall"
            }
            Self::NotControlPlane => "compare host and port of control_plane.address with the ticket",
            Self::TlsInspected => {
                "ask the clinic's IT to exempt the control plane's address from TLS inspection: this box speaks to nobody in between; if nobody does that, the control plane's authority was exchanged while the box was away: enrol it anew"
            }
            Self::ClockWrong => "set the clock (`timedatectl`), and let NTP through; see RB-TIME-001",
            Self::CertificateExpired => {
                "leave the box connected: it renews by itself for 30 days after the end; later, enrol it anew"
            }
            Self::CertificateRevoked => "call your provider: the box was revoked, or replaced by another",
            Self::NotEnrolled => "run `appliance enroll --token-file FILE` with the ticket of your provider",
        }
    }
}
