//! A letter by mail: subject, text, and the headers by which mail programs lay all of one thread together.

use super::{Message, News};

const SUBJECT_MAX: usize = 150;

/// What is to be mailed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// To whom.
    pub to: String,
    /// In one line.
    pub subject: String,
    /// All of it.
    pub text: String,
    /// `Message-ID`: the same at every try.
    pub message_id: String,
    /// `References`: the same for the whole thread.
    pub thread: String,
}

/// The mail for a letter; `host` is whose names its IDs are.
#[must_use]
pub fn letter(to: &str, host: &str, (key, thread): (&str, &str), news: News, message: &Message) -> Letter {
    let how = match news {
        // Whoever it is, they do not sit at the server.
        _ if !message.to.is_empty() => String::new(),
        News::Raised | News::Grown => format!(
            "\nTo take it on, so that nobody else is called:\n\n  control-plane incident acknowledge {}\n",
            message.incident
        ),
        News::Asked => {
            "\nTo see what would be done, and to agree or refuse:\n\n  control-plane approval list\n"
                .to_owned()
        }
        News::Acknowledged | News::Gone => String::new(),
    };
    Letter {
        to: to.to_owned(),
        subject: message.title(SUBJECT_MAX),
        text: format!("{}{how}", message.text()),
        message_id: format!("<{key}@{host}>"),
        thread: format!("<{thread}@{host}>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telling::tests::message;

    #[test]
    fn a_mail_says_what_where_since_when_and_what_to_do() {
        let mail = letter("a@b.example", "msp.example", ("k", "t"), News::Raised, &message(News::Raised));
        assert_eq!(mail.subject, "backup.stale on records at Elm Street Clinic");
        for says in [
            "Elm Street Clinic, Main",
            "no runbook mends it",
            "incident acknowledge 0190a0c0",
            "Since: 2026-11",
        ] {
            assert!(mail.text.contains(says), "{says}: {}", mail.text);
        }
        assert_eq!((mail.message_id.as_str(), mail.thread.as_str()), ("<k@msp.example>", "<t@msp.example>"));
        let asked = letter("a@b.example", "msp.example", ("k", "t"), News::Asked, &message(News::Asked));
        assert_eq!(asked.subject, "Approval: backup.stale on records at Elm Street Clinic");
        assert!(asked.text.contains("control-plane approval list"), "{}", asked.text);
        let over = letter("a@b.example", "msp.example", ("k2", "t"), News::Gone, &message(News::Gone));
        assert_eq!(over.subject, "Over: backup.stale on records at Elm Street Clinic");
        assert!(over.text.starts_with("It is over: ") && !over.text.contains("acknowledge"));
    }
}
