//! A ticket system, spoken to by its template: which call a letter needs is decided in [`crate::telling::ticket`].
//!
//! The rule: a ticket that is not known here is looked for before one is opened, and after one was opened whose number did
//! not come. What is found gets what the letter says, as any ticket does.

use http::{HeaderName, HeaderValue, header};

use super::{
    outside::{Answer, Outside},
    teller::{answered, json, value},
    token::Tokens,
};
use crate::{
    core::letters::Outgoing,
    telling::{
        Outcome,
        ticket::{self, Call, Change, Step, Template, Ticket, Words},
    },
};

/// A ticket system.
pub(super) struct Desk {
    /// How it is spoken to.
    pub(super) template: Template,
    /// Headers of every request.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Who gives tokens, where one must go along.
    pub(super) tokens: Option<Tokens>,
}

impl Desk {
    /// Does what a letter asks for.
    pub(super) async fn take(&self, outside: &Outside, letter: &Outgoing) -> Outcome {
        let news = letter.row.news;
        let found = match (&letter.ticket, &self.template.find) {
            (None, Some(find)) => match self.look(outside, find, letter).await {
                Ok(found) => found,
                Err(outcome) => return outcome,
            },
            _ => None,
        };
        let Some(number) = found else {
            let step = ticket::step(letter.ticket.as_ref(), news);
            return self.go(outside, step, letter.ticket.as_ref(), letter).await;
        };
        if letter.found_is_its_own {
            return Outcome::Taken(Change::Open(number));
        }
        let found = Ticket { number, closed: false };
        let mut outcome = Outcome::Taken(Change::None);
        for step in ticket::steps_found(news) {
            outcome = self.go(outside, *step, Some(&found), letter).await;
            if !matches!(outcome, Outcome::Taken(_)) {
                break;
            }
        }
        outcome
    }

    async fn go(&self, outside: &Outside, step: Step, ticket: Option<&Ticket>, letter: &Outgoing) -> Outcome {
        let Some(call) = self.template.call(step) else { return Outcome::Taken(Change::None) };
        match self.ask(outside, call, ticket, letter).await {
            Ok(answer) => match ticket::answered(&self.template, step, ticket, value(&answer).as_ref()) {
                Some(change) => Outcome::Taken(change),
                None => self.opened(outside, letter).await,
            },
            Err((Some(404 | 410), outcome)) => ticket::missing(step).unwrap_or(outcome),
            Err((_, outcome)) => outcome,
        }
    }

    /// One was opened, and the answer does not say which.
    async fn opened(&self, outside: &Outside, letter: &Outgoing) -> Outcome {
        let Some(find) = &self.template.find else { return ticket::nameless(&self.template) };
        match self.look(outside, find, letter).await {
            Ok(Some(number)) => Outcome::Taken(Change::Open(number)),
            Ok(None) => ticket::nameless(&self.template),
            // It is looked for again.
            Err(outcome) => outcome,
        }
    }

    async fn look(
        &self,
        outside: &Outside,
        find: &Call,
        letter: &Outgoing,
    ) -> Result<Option<String>, Outcome> {
        match self.ask(outside, find, None, letter).await {
            Ok(answer) => Ok(value(&answer).and_then(|found| ticket::number(&found, &find.id))),
            // Some say so when they find none.
            Err((Some(404 | 410), _)) => Ok(None),
            Err((_, outcome)) => Err(outcome),
        }
    }

    /// The answer, if it judged well; else its status, if there was one, and what that means.
    async fn ask(
        &self,
        outside: &Outside,
        call: &Call,
        ticket: Option<&Ticket>,
        letter: &Outgoing,
    ) -> Result<Answer, (Option<u16>, Outcome)> {
        let words = Words {
            message: &letter.message,
            thread: &letter.row.thread,
            ticket: ticket.map_or("", |ticket| &ticket.number),
        };
        let mut request = json(call.method.clone(), call.url.fill(&words), &letter.row.key);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(tokens) = &self.tokens {
            let token = tokens.take(outside).await.map_err(|outcome| (None, outcome))?;
            request = request.header(header::AUTHORIZATION, token);
        }
        let body = call.body.as_ref().map(|body| body.fill(&words).to_string().into_bytes());
        let said = answered(outside.call(request, body.unwrap_or_default()).await);
        if let (Err((Some(401), _)), Some(tokens)) = (&said, &self.tokens) {
            tokens.forget();
        }
        said
    }
}
