//! What tests of the executor need: a whole organization with its keys and log, and a world that the test holds in hand.

pub mod box_world;
pub mod office;

use proto::{
    local::{self, request::Call, response::Answer},
    time::Millis,
};

use appliance::executor::ExecutorCore;

/// Asks and expects an answer.
pub fn ask(core: &mut ExecutorCore, call: Call) -> Answer {
    match try_ask(core, call) {
        Ok(answer) => answer,
        Err(failure) => panic!("{} {}", failure.field, failure.problem),
    }
}

/// Asks; a refusal is an error.
pub fn try_ask(core: &mut ExecutorCore, call: Call) -> Result<Answer, local::Failure> {
    match core.handle(local::Request { call: Some(call) }).answer {
        Some(Answer::Failure(failure)) => Err(failure),
        Some(answer) => Ok(answer),
        None => panic!("no answer"),
    }
}

/// How the executor stands.
pub fn describe(core: &mut ExecutorCore) -> local::Description {
    match ask(core, Call::Describe(local::Describe {})) {
        Answer::Description(description) => description,
        other => panic!("{other:?}"),
    }
}

/// Delivers.
pub fn deliver(core: &mut ExecutorCore, deliver: local::Deliver) -> local::Delivered {
    match ask(core, Call::Deliver(deliver)) {
        Answer::Delivered(delivered) => delivered,
        other => panic!("{other:?}"),
    }
}

/// All evidence that is still kept.
pub fn collect(core: &mut ExecutorCore, from: u64) -> Vec<local::Item> {
    let collect = local::Collect { from, wait_ms: 0, most_bytes: 1 << 20 };
    match ask(core, Call::Collect(collect)) {
        Answer::Collected(collected) => collected.items,
        other => panic!("{other:?}"),
    }
}

/// A time from its text.
pub fn at(text: &str) -> Millis {
    text.parse().unwrap()
}
