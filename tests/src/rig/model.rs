//! A language model's endpoint in the form of OpenAI's chat completions, that behaves as it is told: well, or in every way
//! that a stranger on the network can misbehave. It knows nothing: no weights are at hand here.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time,
};

/// What it does with one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Chooses this, in the form that was asked for.
    Chooses(String),
    /// Says this in place of the object that was asked for.
    Says(String),
    /// Answers 200 and this, whatever it is.
    Sends(String),
    /// Answers so, with a page of HTML.
    Status(u16),
    /// Points to itself.
    Redirects,
    /// Answers well, and calls it text.
    Mislabels,
    /// Answers well, behind so much space that nobody should read it.
    Floods,
    /// Begins to answer and goes on, a byte at a time, for ever.
    Drips,
    /// Takes the question and says nothing, for ever.
    Hangs,
    /// Breaks the connection (RST) once it has the question.
    Resets,
    /// Answers half, and closes.
    Breaks,
}

/// A question as it came: headers and body.
#[derive(Debug, Clone)]
pub struct Question {
    /// The request's head, as it came.
    pub head: String,
    /// The body, exactly.
    pub body: Vec<u8>,
}

impl Question {
    /// The incident that it is about, as it is described to a model.
    pub fn incident(&self) -> Result<Value> {
        let body: Value = serde_json::from_slice(&self.body)?;
        let content = body["messages"][1]["content"].as_str().context("a question has two messages")?;
        Ok(serde_json::from_str(content)?)
    }
}

type Behave = dyn Fn(&Value) -> Behaviour + Send + Sync;

/// The endpoint, on a free port of the loopback.
pub struct Model {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Question>>>,
}

impl Model {
    /// Starts on a thread of its own, which ends with the program. `behave`: what to do, by the incident.
    pub fn start(behave: impl Fn(&Value) -> Behaviour + Send + Sync + 'static) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, behave): (_, Arc<Behave>) = (asked.clone(), Arc::new(behave));
        thread::Builder::new().name("model".into()).spawn(move || {
            runtime.block_on(async {
                while let Ok((stream, _)) = listener.accept().await {
                    // Whoever hangs up has heard enough.
                    let (kept, behave) = (kept.clone(), behave.clone());
                    tokio::spawn(async move { serve(stream, address, &kept, &*behave).await });
                }
            });
        })?;
        Ok(Self { address, asked })
    }

    /// What `planner.url` is to say.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    address: SocketAddr,
    asked: &Mutex<Vec<Question>>,
    behave: &Behave,
) -> Result<()> {
    let question = read(&mut stream).await?;
    let behaviour = behave(&question.incident()?);
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(question);
    let object =
        |choice: &str| json!({ "choice": choice, "reason": "by what the incident says" }).to_string();
    let good = completion(&object("escalate"));
    let json = "application/json";
    match behaviour {
        Behaviour::Chooses(choice) => send(&mut stream, "200 OK", json, &completion(&object(&choice))).await,
        Behaviour::Says(content) => send(&mut stream, "200 OK", json, &completion(&content)).await,
        Behaviour::Sends(body) => send(&mut stream, "200 OK", json, &body).await,
        Behaviour::Status(status) => {
            send(&mut stream, &format!("{status} So"), "text/html", "<html>no</html>").await
        }
        Behaviour::Redirects => {
            let there = format!("307 There\r\nlocation: http://{address}/elsewhere");
            send(&mut stream, &there, json, &good).await
        }
        Behaviour::Mislabels => send(&mut stream, "200 OK", "text/plain", &good).await,
        Behaviour::Floods => {
            let body = format!("{}{good}", " ".repeat(8 << 20));
            send(&mut stream, "200 OK", json, &body).await
        }
        Behaviour::Drips => {
            stream.write_all(head("200 OK", json, 1 << 20).as_bytes()).await?;
            let mut drops = time::interval(Duration::from_millis(200));
            loop {
                drops.tick().await;
                stream.write_all(b" ").await?;
            }
        }
        Behaviour::Hangs => {
            // Until the other side has had enough.
            let _ = stream.read(&mut [0; 1]).await;
            Ok(())
        }
        Behaviour::Resets => Ok(stream.set_zero_linger()?),
        Behaviour::Breaks => {
            let whole = format!("{}{good}", head("200 OK", json, good.len()));
            Ok(stream.write_all(&whole.as_bytes()[..whole.len() - 20]).await?)
        }
    }
}

async fn read(stream: &mut TcpStream) -> Result<Question> {
    let mut got = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await?;
        anyhow::ensure!(n > 0, "the question is not whole");
        got.extend_from_slice(&buffer[..n]);
        let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(got[..end].to_vec())?.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.context("a question has a length")?.trim().parse()?;
        if got.len() >= end + 4 + length {
            return Ok(Question { head, body: got[end + 4..].to_vec() });
        }
    }
}

/// A completion whose one message has this content.
fn completion(content: &str) -> String {
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "made-up",
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content },
            "finish_reason": "stop",
        }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    })
    .to_string()
}

fn head(status: &str, kind: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )
}

async fn send(stream: &mut TcpStream, status: &str, kind: &str, body: &str) -> Result<()> {
    Ok(stream.write_all(format!("{}{body}", head(status, kind, body.len())).as_bytes()).await?)
}
