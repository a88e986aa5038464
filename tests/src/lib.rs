//! What sees everything: rigs of real processes, the simulation, the demo, the benches.

pub mod bench;
pub mod clock;
pub mod demo;
pub mod peers;
pub mod phi;
pub mod rig;
pub mod sim;
pub mod year;
