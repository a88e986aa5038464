//! The control plane's decisions, one by one and against whoever means ill: the real core, for the most part without sockets.
//!
//! One program, so that it is linked once; a file per subject.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what fails there is the test's failure")]

mod acts;
mod appliance;
mod approvals;
#[path = "../common/authenticator.rs"]
mod authenticator;
mod bounds;
mod documents;
mod doors;
mod drift;
mod enrolment;
mod evidence;
mod foresee;
mod held;
mod holds;
mod hostile;
mod hours;
mod identity;
mod incidents;
mod isolation;
mod issuer;
#[path = "../common/keyring.rs"]
mod keyring;
mod levels;
mod lines;
mod log;
mod mail;
mod metrics;
mod models;
mod modes;
mod monthly;
mod newer;
mod operators;
mod order_papers;
mod orders;
mod oversight;
mod packets;
mod people;
mod quiet;
#[path = "../common/receiver.rs"]
mod receiver;
mod ring;
mod rotation;
mod standing;
mod stops;
mod sync;
mod telling;
mod tickets;
mod traces;
mod trail;
#[path = "../common/tsa.rs"]
mod tsa;
#[path = "../common/vault.rs"]
mod vault;
#[path = "../common/wire.rs"]
mod wire;
mod world;
mod writer;
