//! The executor as a whole: its life, what a malicious agent can do to it, and power cuts at every point.

mod attacks;
mod crash_points;
mod program;
mod story;
mod support;
