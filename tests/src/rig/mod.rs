//! Real processes on this machine: a control plane, appliances, what they look after, and who gets told.
//!
//! A rig touches the world only: files, processes, sockets, command lines. It never reaches into a program.

pub mod attack;
pub mod clinic;
pub mod installed;
pub mod log_text;
pub mod machine;
pub mod model;
pub mod network;
pub mod offset;
pub mod on_site;
pub mod passkey;
pub mod practice;
pub mod process;
pub mod provider;
pub mod receiver;
pub mod relay;
pub mod restic;
pub mod rsyslog;
pub mod s3;
pub mod sink;
pub mod staged;
pub mod usage;
pub mod wait;
pub mod witness;

pub use clinic::{Clinic, Watch};
pub use installed::{Installed, install};
pub use machine::{Machine, Tree};
pub use model::{Behaviour, Model};
pub use network::Network;
pub use on_site::OnSite;
pub use passkey::Passkey;
pub use practice::Practice;
pub use process::{Process, binary};
pub use provider::Provider;
pub use receiver::Receiver;
pub use relay::Relay;
pub use rsyslog::Rsyslog;
pub use sink::Sink;
pub use witness::Witness;
