//! The guardrails under attack: from a valid order among valid facts, one thing at a time goes wrong.

mod agreement;
mod case;
mod exact;
mod forgery;
mod lattice;
mod mutations;
mod standing;
mod wild;
mod words;
