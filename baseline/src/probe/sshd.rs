//! What of the SSH daemon's effective configuration a probe can ask for.

use super::fields::{Kind, YES_NO};

proto::vocabulary! {
    /// A keyword of `sshd -T`, in its spelling. Each reading has one field, `value`.
    pub enum Keyword as "keyword" {
        /// Forwarding of an SSH agent: yes or no.
        AllowAgentForwarding = "allowagentforwarding",
        /// Forwarding of TCP: yes, no, local, remote or all.
        AllowTcpForwarding = "allowtcpforwarding",
        /// Files with keys that users bring: `none`, or `set`.
        AuthorizedKeysFile = "authorizedkeysfile",
        /// Allowed ciphers.
        Ciphers = "ciphers",
        /// Seconds of silence before the client is asked whether it lives.
        ClientAliveInterval = "clientaliveinterval",
        /// Challenge and response: yes or no.
        KbdInteractiveAuthentication = "kbdinteractiveauthentication",
        /// Allowed key exchanges.
        KexAlgorithms = "kexalgorithms",
        /// How much is logged.
        LogLevel = "loglevel",
        /// Allowed message authentication codes.
        Macs = "macs",
        /// Attempts before the connection is dropped.
        MaxAuthTries = "maxauthtries",
        /// Passwords: yes or no.
        PasswordAuthentication = "passwordauthentication",
        /// Empty passwords: yes or no.
        PermitEmptyPasswords = "permitemptypasswords",
        /// Whether and how root may log in.
        PermitRootLogin = "permitrootlogin",
        /// The authority whose certificates admit: `none`, or `set`.
        TrustedUserCaKeys = "trustedusercakeys",
        /// Forwarding of X11: yes or no.
        X11Forwarding = "x11forwarding",
    }
}

impl Keyword {
    pub(super) fn fields(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::AllowAgentForwarding
            | Self::KbdInteractiveAuthentication
            | Self::PasswordAuthentication
            | Self::PermitEmptyPasswords
            | Self::X11Forwarding => &[("value", Kind::Word(YES_NO))],
            Self::AllowTcpForwarding => &[("value", Kind::Word(&["yes", "no", "local", "remote", "all"]))],
            Self::AuthorizedKeysFile | Self::TrustedUserCaKeys => &[("value", Kind::Word(&["none", "set"]))],
            Self::ClientAliveInterval | Self::MaxAuthTries => &[("value", Kind::Number)],
            Self::Ciphers => &[("value", Kind::Words(CIPHERS))],
            Self::KexAlgorithms => &[("value", Kind::Words(KEX))],
            Self::Macs => &[("value", Kind::Words(MACS))],
            Self::LogLevel => &[(
                "value",
                Kind::Word(&[
                    "quiet", "fatal", "error", "info", "verbose", "debug", "debug1", "debug2", "debug3",
                ]),
            )],
            Self::PermitRootLogin => &[(
                "value",
                Kind::Word(&["yes", "no", "prohibit-password", "without-password", "forced-commands-only"]),
            )],
        }
    }
}

/// `ssh -Q cipher` of OpenSSH 9.
const CIPHERS: &[&str] = &[
    "3des-cbc",
    "aes128-cbc",
    "aes192-cbc",
    "aes256-cbc",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
];

/// `ssh -Q kex` of OpenSSH 9 and 10.
const KEX: &[&str] = &[
    "diffie-hellman-group1-sha1",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group-exchange-sha256",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
    "mlkem768x25519-sha256",
];

/// `ssh -Q mac` of OpenSSH 9.
const MACS: &[&str] = &[
    "hmac-sha1",
    "hmac-sha1-96",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-md5",
    "hmac-md5-96",
    "umac-64@openssh.com",
    "umac-128@openssh.com",
    "hmac-sha1-etm@openssh.com",
    "hmac-sha1-96-etm@openssh.com",
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-md5-etm@openssh.com",
    "hmac-md5-96-etm@openssh.com",
    "umac-64-etm@openssh.com",
    "umac-128-etm@openssh.com",
];
