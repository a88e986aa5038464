//! The planner: from an incident to one runbook out of the catalogue, or to a person. It says why, and who decided.
//!
//! Rules decide, the same way every time. Where several runbooks are allowed for one fault, a model behind an
//! OpenAI-compatible endpoint may be asked which; whatever it does, it can only name one of them, or a person.
//!
//! The rule: all in here is plain functions, with the time as an argument. Who is chosen is a [`Pick`], which only an
//! [`Allowed`] set can make of its own members: text from a model cannot become anything else.

pub mod allowed;
pub mod answer;
pub mod case;
pub mod evaluate;
pub mod prompt;
pub mod rules;
mod scrub;
pub mod spend;

pub use allowed::{Allowed, Nothing, Pick};
pub use answer::{Decision, Misbehaviour};
pub use case::{Case, Other, Tried};
