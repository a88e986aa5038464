//! Tickets: one for each condition of each box, opened, updated, closed and opened again as its incidents go.
//!
//! The rule: what is put into a template lands inside a JSON string or, encoded, inside a URL, and nowhere else: no log
//! line can add a field. Not known here is not the same as not there: an answer may have been lost, or the database be a
//! backup. So a ticket is looked for before another is opened, where its system can be asked.

mod template;

use http::Method;
use serde_json::Value;

use super::{Message, News, Outcome, plain};

pub use template::{Body, Link, TemplateError};

/// The longest ID of a ticket.
const NUMBER_MAX: usize = 100;
/// The longest title: what the strictest of the common systems takes.
const TITLE_MAX: usize = 100;

/// One request of a ticket system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Where to.
    pub url: Link,
    /// What is sent, if anything.
    pub body: Option<Body>,
    /// Where in the answer the ticket's ID stands (RFC 6901); empty: the answer is not looked at.
    pub id: String,
}

/// How a ticket system is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Looks for the ticket of a thread; without it, a lost answer may open two.
    pub find: Option<Call>,
    /// Opens one.
    pub open: Call,
    /// Adds to one that is open.
    pub update: Call,
    /// Opens one again that was closed.
    pub reopen: Call,
    /// Closes one.
    pub close: Call,
}

/// What is known of a thread's ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its ID there.
    pub number: String,
    /// Whether it was closed from here.
    pub closed: bool,
}

/// What a letter that was taken means for the thread's ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It is open, under this ID.
    Open(String),
    /// It is closed.
    Closed,
}

/// What is to be done for a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A ticket is opened.
    Open,
    /// Something is added to it.
    Update,
    /// It is opened again.
    Reopen,
    /// It is closed.
    Close,
    /// There is nothing to do.
    Nothing,
}

/// The one next step. Same ticket, same news, same answer.
#[must_use]
pub fn step(ticket: Option<&Ticket>, news: News) -> Step {
    match (ticket.map(|ticket| ticket.closed), news) {
        (None, News::Raised | News::Asked | News::Grown) => Step::Open,
        // It was never heard of there.
        (None, News::Acknowledged | News::Gone) => Step::Nothing,
        (Some(false), News::Raised | News::Asked | News::Grown | News::Acknowledged) => Step::Update,
        (Some(false), News::Gone) => Step::Close,
        (Some(true), News::Raised | News::Asked | News::Grown) => Step::Reopen,
        (Some(true), News::Acknowledged | News::Gone) => Step::Nothing,
    }
}

/// What is to be done for a letter whose ticket was not known here, and was found. Whether it is closed there nobody has said.
#[must_use]
pub fn steps_found(news: News) -> &'static [Step] {
    match news {
        News::Raised | News::Asked | News::Grown => &[Step::Reopen, Step::Update],
        News::Acknowledged => &[Step::Update],
        News::Gone => &[Step::Close],
    }
}

impl Template {
    /// The call of a step.
    #[must_use]
    pub fn call(&self, step: Step) -> Option<&Call> {
        match step {
            Step::Open => Some(&self.open),
            Step::Update => Some(&self.update),
            Step::Reopen => Some(&self.reopen),
            Step::Close => Some(&self.close),
            Step::Nothing => None,
        }
    }
}

/// What the variables of a template are filled with.
#[derive(Debug, Clone)]
pub struct Words<'a> {
    /// What the letter says.
    pub message: &'a Message,
    /// The thread.
    pub thread: &'a str,
    /// The ticket's ID; empty: there is none yet.
    pub ticket: &'a str,
}

/// All variables.
pub const VARIABLES: [&str; 16] = [
    "appliance",
    "at",
    "by",
    "fault",
    "incident",
    "key",
    "opened",
    "reason",
    "severity",
    "site",
    "tenant",
    "tenant_id",
    "text",
    "ticket",
    "title",
    "watch",
];

impl Words<'_> {
    fn of(&self, variable: &str) -> String {
        let message = self.message;
        match variable {
            "appliance" => message.appliance.to_string(),
            "at" => message.at.to_string(),
            "by" => message.by.clone(),
            "fault" => message.fault.clone(),
            "incident" => message.incident.to_string(),
            "key" => self.thread.to_owned(),
            "opened" => message.opened.to_string(),
            "reason" => message.reason.clone(),
            "severity" => if message.urgent { "urgent" } else { "normal" }.to_owned(),
            "site" => message.site.clone(),
            "tenant" => message.tenant.name.clone(),
            "tenant_id" => message.tenant.id.to_string(),
            "text" => message.text(),
            "ticket" => self.ticket.to_owned(),
            "title" => message.title(TITLE_MAX),
            "watch" => message.watch.to_string(),
            _ => String::new(),
        }
    }
}

/// The ticket's ID in an answer; `None`: there is none at that place.
#[must_use]
pub fn number(answer: &Value, pointer: &str) -> Option<String> {
    let number = match answer.pointer(pointer)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let is_one = !number.is_empty() && number.len() <= NUMBER_MAX && !number.contains(char::is_control);
    is_one.then_some(number)
}

/// What an answer to `step` means: with the status that judged well already, and its body where it was JSON and not too long.
/// `None`: a ticket was opened, and the answer does not say which.
#[must_use]
pub fn answered(
    template: &Template,
    step: Step,
    ticket: Option<&Ticket>,
    body: Option<&Value>,
) -> Option<Change> {
    let known = || ticket.map_or_else(String::new, |ticket| ticket.number.clone());
    Some(match step {
        Step::Open => Change::Open(body.and_then(|body| number(body, &template.open.id))?),
        Step::Update | Step::Reopen => Change::Open(known()),
        Step::Close => Change::Closed,
        Step::Nothing => Change::None,
    })
}

/// What it means that a ticket was opened and nobody can say which: asked again it would be opened again.
#[must_use]
pub fn nameless(template: &Template) -> Outcome {
    let why = format!("a ticket was opened, but the answer has no ID at {:?}", template.open.id);
    Outcome::Never(plain(&why, 300))
}

/// What it means that the ticket is not there (404 or 410).
#[must_use]
pub fn missing(step: Step) -> Option<Outcome> {
    match step {
        Step::Update | Step::Reopen => Some(Outcome::TicketLost),
        // Whoever took it away has closed it better than we could.
        Step::Close => Some(Outcome::Taken(Change::Closed)),
        Step::Open | Step::Nothing => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_ticket_goes_as_its_incidents_go() {
        let mut ticket: Option<Ticket> = None;
        let mut did = Vec::new();
        // Heard of nothing; then one fault, twice, with a person in between.
        for news in [
            News::Gone,
            News::Acknowledged,
            News::Raised,
            News::Grown,
            News::Acknowledged,
            News::Gone,
            News::Gone,
            News::Asked,
            News::Raised,
            News::Gone,
        ] {
            let step = step(ticket.as_ref(), news);
            match step {
                Step::Open | Step::Reopen | Step::Update => {
                    ticket = Some(Ticket { number: "7".into(), closed: false });
                }
                Step::Close => ticket = Some(Ticket { number: "7".into(), closed: true }),
                Step::Nothing => {}
            }
            did.push(step);
        }
        use Step::{Close, Nothing, Open, Reopen, Update};
        assert_eq!(did, [Nothing, Nothing, Open, Update, Update, Close, Nothing, Reopen, Update, Close]);
    }

    #[test]
    fn an_id_is_where_the_template_says_and_is_one() {
        let answer = json!({ "id": 42, "ticket": { "ref": "INC-7" }, "list": [{ "id": "a" }], "empty": "", "flag": true });
        let number = |pointer| super::number(&answer, pointer);
        assert_eq!(number("/id").as_deref(), Some("42"));
        assert_eq!(number("/ticket/ref").as_deref(), Some("INC-7"));
        assert_eq!(number("/list/0/id").as_deref(), Some("a"));
        for pointer in ["/nothing", "/empty", "/flag", "/ticket"] {
            assert_eq!(number(pointer), None, "{pointer}");
        }
        assert_eq!(super::number(&json!({ "id": "x".repeat(101) }), "/id"), None);
        assert_eq!(super::number(&json!({ "id": "1\n2" }), "/id"), None);
    }

    #[test]
    fn a_ticket_that_somebody_deleted_is_opened_anew_or_left() {
        assert_eq!(missing(Step::Update), Some(Outcome::TicketLost));
        assert_eq!(missing(Step::Reopen), Some(Outcome::TicketLost));
        assert_eq!(missing(Step::Close), Some(Outcome::Taken(Change::Closed)));
        assert_eq!(missing(Step::Open), None);
    }
}
