//! The control plane's decisions, one by one and against whoever means ill: the real core, without sockets.
//!
//! One program, so that it is linked once; a file per subject.

mod appliance;
mod enrolment;
mod evidence;
mod incidents;
mod log;
mod orders;
mod sync;
mod world;
