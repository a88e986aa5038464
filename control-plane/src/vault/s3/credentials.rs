//! Whose the bucket is: keys from where the settings say that they are, or from the environment; never from the
//! configuration, a log or an argument.
//!
//! They are read anew for every request, so that keys can be exchanged, and short-lived ones renewed, while the
//! server runs. Nothing here is `Debug`.

use aws_credential_types::Credentials;

use crate::config::{ConfigError, Secret};

const ID: &str = "aws_access_key_id";
const SECRET: &str = "aws_secret_access_key";
const TOKEN: &str = "aws_session_token";

/// Where they are.
#[derive(Clone)]
pub(super) enum Source {
    /// Where the settings say, as a file of the AWS command line has it.
    Named(Secret),
    /// In `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, for short-lived ones, `AWS_SESSION_TOKEN`.
    Environment,
}

/// Why there are none. Says where, never what.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Where they are to be.
    #[error("credentials")]
    Place(#[source] Box<ConfigError>),
    /// The text in it.
    #[error("credentials {place}: {problem}")]
    Text {
        /// Where it is.
        place: String,
        /// What is wrong, without any value.
        problem: String,
    },
    /// The environment.
    #[error(
        "the environment variable {0} must be set (or `credentials` in [vault] name a file): the vault's access key"
    )]
    Environment(&'static str),
}

impl Source {
    pub(super) fn new(place: Option<Secret>) -> Self {
        place.map_or(Self::Environment, Self::Named)
    }

    /// Reads them.
    pub(super) fn read(&self) -> Result<Credentials, CredentialsError> {
        let keys = match self {
            Self::Named(place) => {
                let text = place.read().map_err(|error| CredentialsError::Place(error.into()))?;
                parse(text.expose())
                    .map_err(|problem| CredentialsError::Text { place: place.to_string(), problem })?
            }
            Self::Environment => from(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?,
        };
        Ok(Credentials::new(keys.id, keys.secret, keys.token, None, "orderly"))
    }
}

struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

fn from(variable: &dyn Fn(&'static str) -> Option<String>) -> Result<Keys, CredentialsError> {
    let wanted = |name| variable(name).ok_or(CredentialsError::Environment(name));
    Ok(Keys {
        id: wanted("AWS_ACCESS_KEY_ID")?,
        secret: wanted("AWS_SECRET_ACCESS_KEY")?,
        token: variable("AWS_SESSION_TOKEN"),
    })
}

/// `name = value`, a line each, in the one section `[default]` or none.
fn parse(text: &str) -> Result<Keys, String> {
    let (mut id, mut secret, mut token) = (None, None, None);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) || line == "[default]" {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            return Err(format!(
                "line {number} must be [default], or {ID}, {SECRET} or {TOKEN} with a value"
            ));
        };
        let (name, value) = (name.trim(), value.trim());
        let place = match name {
            ID => &mut id,
            SECRET => &mut secret,
            TOKEN => &mut token,
            // Not the line: it may hold a secret under a misspelt name.
            _ => {
                return Err(format!(
                    "line {number} must give {ID}, {SECRET} or {TOKEN}, and gives something else"
                ));
            }
        };
        if value.is_empty() || value.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("{name} must be one word without spaces"));
        }
        if place.replace(value.to_owned()).is_some() {
            return Err(format!("{name} must be given once, is given twice"));
        }
    }
    let missing = |name: &str| format!("{name} is missing; a line `{name} = ...` must give it");
    Ok(Keys { id: id.ok_or_else(|| missing(ID))?, secret: secret.ok_or_else(|| missing(SECRET))?, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_aws_command_line_is_read() {
        let text = "# vault\n[default]\naws_access_key_id = AKIA\naws_secret_access_key=a/b+c=\n";
        let keys = parse(text).ok().unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.as_str(), keys.token), ("AKIA", "a/b+c=", None));
        let keys = parse(&format!("{text}aws_session_token = t\n")).ok().unwrap();
        assert_eq!(keys.token.as_deref(), Some("t"));
    }

    #[test]
    fn what_is_wrong_is_said_without_what_is_in_it() {
        for (text, says) in [
            ("", "aws_access_key_id is missing"),
            ("aws_access_key_id = hush\n", "aws_secret_access_key is missing"),
            ("[other]\naws_access_key_id = hush\n", "line 1 must be [default]"),
            ("hush\n", "line 1 must be [default]"),
            ("aws_secret_key = hush\n", "line 1 must give aws_access_key_id"),
            ("aws_access_key_id =\n", "aws_access_key_id must be one word"),
            ("aws_access_key_id = hush hush\n", "aws_access_key_id must be one word"),
            ("aws_access_key_id = hush\naws_access_key_id = b\n", "given twice"),
        ] {
            let problem = parse(text).err().unwrap();
            assert!(problem.contains(says) && !problem.contains("hush"), "{text:?}: {problem}");
        }
    }

    #[test]
    fn a_missing_variable_is_named() {
        let only = |known: &'static str| move |name: &'static str| (name == known).then(|| "x".to_owned());
        let missing = |known| from(&only(known)).err().unwrap().to_string();
        assert!(missing("AWS_ACCESS_KEY_ID").contains("AWS_SECRET_ACCESS_KEY"));
        assert!(missing("AWS_SECRET_ACCESS_KEY").contains("AWS_ACCESS_KEY_ID"));
        assert!(from(&|_| Some("x".to_owned())).is_ok());
    }
}
