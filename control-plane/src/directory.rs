//! Where everything lies in the folder of an embedded installation: each name once.

use std::path::{Path, PathBuf};

/// The folder of one installation (`--dir`). Nothing here looks at the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(PathBuf);

impl Directory {
    /// The installation in `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Settings, see [`crate::config`].
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// SQLite database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.0.join("control-plane.db")
    }

    /// Write-once storage.
    #[must_use]
    pub fn vault(&self) -> PathBuf {
        self.0.join("vault")
    }

    /// Published Merkle logs, a folder per tenant.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// Signs orders, policies and time.
    #[must_use]
    pub fn order_key(&self) -> PathBuf {
        self.0.join("keys/order.key")
    }

    /// Signs checkpoints.
    #[must_use]
    pub fn log_key(&self) -> PathBuf {
        self.0.join("keys/log.key")
    }

    /// The order key that is to follow, where one was made.
    #[must_use]
    pub fn next_order_key(&self) -> PathBuf {
        self.0.join("keys/order.next.key")
    }

    /// The log key that is to follow, where one was made.
    #[must_use]
    pub fn next_log_key(&self) -> PathBuf {
        self.0.join("keys/log.next.key")
    }

    /// The certificate authority's key, PEM.
    #[must_use]
    pub fn ca_key(&self) -> PathBuf {
        self.0.join("keys/ca.key")
    }

    /// The certificate authority, PEM.
    #[must_use]
    pub fn ca_certificate(&self) -> PathBuf {
        self.0.join("keys/ca.pem")
    }

    /// The key of the certificate authority that is to follow, PEM, where one was made.
    #[must_use]
    pub fn next_ca_key(&self) -> PathBuf {
        self.0.join("keys/ca.next.key")
    }

    /// That authority, PEM. There is one once this file is there: it is written last and removed first.
    #[must_use]
    pub fn next_ca_certificate(&self) -> PathBuf {
        self.0.join("keys/ca.next.pem")
    }

    /// Account and certificate by ACME, see [`crate::serve::certificate`].
    #[must_use]
    pub fn acme(&self) -> PathBuf {
        self.0.join("acme")
    }

    /// The charter (DSSE) to begin with, or one that was renewed while the server stood still.
    #[must_use]
    pub fn charter(&self) -> PathBuf {
        self.0.join("charter.json")
    }

    /// The catalogue (DSSE) to begin with.
    #[must_use]
    pub fn catalogue(&self) -> PathBuf {
        self.0.join("catalogue.json")
    }

    /// The organization's public keys: the root of trust, to be copied to whoever verifies.
    #[must_use]
    pub fn organization_keys(&self) -> PathBuf {
        self.0.join("trust/organization.keys.json")
    }

    /// Keys that `init` makes and people carry away.
    #[must_use]
    pub fn offline(&self) -> PathBuf {
        self.0.join("offline")
    }

    /// What is left of the link that `init` printed, until the first start: whose it is, and its hash.
    #[must_use]
    pub fn first_owner(&self) -> PathBuf {
        self.0.join("first-owner.json")
    }

    /// Where the command line reaches the server.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }
}
