//! The executor as a whole: its life, what a malicious agent can do to it, and power cuts at every point.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod attacks;
mod binary;
mod crash_points;
mod program;
mod running;
mod scans;
mod story;
mod support;
