//! What a model answered, read with suspicion.
//!
//! The rule: an answer is one JSON object with exactly the two keys that were asked for, in exactly one message, and its
//! choice is a member of the allowed set, byte for byte, or `escalate`. Everything else is misbehaviour, and the rules
//! decide. How sure a model says it is, is nowhere read: whether a choice was good, verification says.

use serde::Deserialize;

use super::{
    Allowed, Pick,
    prompt::ESCALATE,
    scrub::{is_invisible, scrub},
};

/// The most bytes of an answer.
pub const ANSWER_MAX: usize = 64 * 1024;
/// How much of a model's reason is kept, in characters: it becomes part of an order, which is bounded in bytes.
const REASON_MAX: usize = 200;
/// How much of an unusable answer is repeated to people.
const SAID_MAX: usize = 80;

/// What a model decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Run this one of the allowed.
    Run(Pick, Reason),
    /// A person must look.
    Escalate(Reason),
}

/// A model's own words, made fit for a page, a terminal and an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why there is no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    /// Nothing whole came in time.
    #[error("it did not answer in time")]
    TimedOut,
    /// Nobody there, or the connection broke.
    #[error("it is not there: {0}")]
    Unreachable(String),
    /// Another status than 200.
    #[error("it answered {0}")]
    Status(u16),
    /// It points elsewhere.
    #[error("it answered {0}: redirects are not followed; configure the final URL")]
    Redirect(u16),
    /// It says that it is not JSON.
    #[error("its answer is not application/json")]
    ContentType,
    /// More than is read.
    #[error("its answer has more than {ANSWER_MAX} bytes")]
    TooLong,
    /// Not a completion.
    #[error("its answer is not a chat completion with one text message")]
    NotACompletion,
    /// It would not.
    #[error("it refuses to answer")]
    Refuses,
    /// Not what was asked for.
    #[error("its message is not the JSON object that was asked for: {0:?}")]
    NotTheObject(String),
    /// Not one of the allowed.
    #[error("it chose {0:?}, which is none of the allowed")]
    NotAllowed(String),
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    choice: String,
    reason: String,
}

/// Reads an answer's body. Who the answer can name is decided by `allowed` alone.
pub fn read(body: &[u8], allowed: &Allowed<'_>) -> Result<Decision, Misbehaviour> {
    if body.len() > ANSWER_MAX {
        return Err(Misbehaviour::TooLong);
    }
    let completion: Completion = serde_json::from_slice(body).map_err(|_| Misbehaviour::NotACompletion)?;
    let [Choice { message }] = completion.choices.as_slice() else {
        return Err(Misbehaviour::NotACompletion);
    };
    if message.refusal.as_ref().is_some_and(|said| !said.is_empty()) {
        return Err(Misbehaviour::Refuses);
    }
    let content = message.content.as_deref().ok_or(Misbehaviour::NotACompletion)?;
    let Object { choice, reason } =
        serde_json::from_str(content).map_err(|_| Misbehaviour::NotTheObject(said(content)))?;
    let reason = Reason(fit(&reason));
    if choice == ESCALATE {
        return Ok(Decision::Escalate(reason));
    }
    match allowed.pick(&choice) {
        Some(pick) => Ok(Decision::Run(pick, reason)),
        None => Err(Misbehaviour::NotAllowed(said(&choice))),
    }
}

/// One line of few characters, with nothing in it that could be somebody's or that a terminal would obey.
fn fit(reason: &str) -> String {
    let line: String = scrub(reason).chars().take(REASON_MAX).collect();
    if line.is_empty() { "no reason given".to_owned() } else { line }
}

fn said(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !is_invisible(*c)).take(SAID_MAX).collect()
}
