//! What a record of every version says in the same words: its place in the chain, whose it is, and when it was made.
//!
//! The rule: genuine evidence is never thrown away because the program that wrote it is newer than the one that reads it.
//! Only place and identity must be there; fields beside those that this version knows are passed over.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Body, Clock, ClockSource, Record};
use crate::{identity::KeyProtection, time::Millis};

/// Reads as much. `None`: not even that is there.
pub(super) fn read(predicate: &str) -> Option<Record> {
    let all: Value = serde_json::from_str(predicate).ok()?;
    let at = all["clock"]["at"].as_str().and_then(|at| at.parse().ok()).unwrap_or(Millis(0));
    let unsaid = Clock { at, source: ClockSource::Wall, wall_offset_ms: 0, floor: at, synchronised: None };
    Some(Record {
        chain: known(&all["chain"], &["incarnation", "index", "previous"])?,
        identity: known(&all["identity"], &["organization", "tenant", "appliance"])?,
        clock: known(&all["clock"], &["at", "source", "wall_offset_ms", "floor", "synchronised"])
            .unwrap_or(unsaid),
        checkpoint: known(&all["checkpoint"], &["size", "root"]),
        key_protection: serde_json::from_value(all["key_protection"].clone()).unwrap_or(KeyProtection::File),
        body: Body::Unknown,
    })
}

/// An object's fields of these names, read as `T`; others are passed over.
fn known<T: DeserializeOwned>(value: &Value, names: &[&str]) -> Option<T> {
    let object = value.as_object()?;
    let kept: Map<String, Value> =
        names.iter().filter_map(|name| Some(((*name).to_owned(), object.get(*name)?.clone()))).collect();
    serde_json::from_value(Value::Object(kept)).ok()
}
