//! People come by the word of an identity provider that is none of ours (Authlib's, from PyPI), over real sockets.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{io::AsyncRead, io::AsyncWrite, net::TcpStream, runtime::Runtime};
use tokio_rustls::TlsConnector;

use crate::{home::Home, running::trusting};

struct Provider(Child, String);

impl Provider {
    /// Starts it with these people; `None`: `.ci/setup` did not install it.
    fn start(people: &[&str]) -> Option<Self> {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/oidc-venv/bin/python");
        if !python.exists() {
            assert!(
                std::env::var_os("CI").is_none(),
                "{} is missing: run `.ci/setup test`",
                python.display()
            );
            return None;
        }
        let people = people.iter().flat_map(|claims| ["--user-claims", claims]);
        let mut child = Command::new(python)
            .args(["-u", "-m", "oidc_provider_mock", "--port", "0", "--require-nonce", "true"])
            .args(people)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().expect("the provider starts").unwrap();
            if let Some((_, rest)) = line.split_once("http://127.0.0.1:") {
                let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
                break format!("http://127.0.0.1:{port}");
            }
        };
        // It goes on talking; somebody has to listen.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self(child, url))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Got {
    pub status: StatusCode,
    headers: HeaderMap,
    pub text: String,
}

impl Got {
    pub fn location(&self) -> Uri {
        assert!(self.status.is_redirection(), "{} {}", self.status, self.text);
        self.headers["location"].to_str().unwrap().parse().unwrap()
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        let set = self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        let pair = set.filter_map(|line| line.split(';').next()).find(|pair| pair.starts_with(name));
        pair.filter(|pair| !pair.ends_with('=')).map(ToOwned::to_owned)
    }
}

async fn send<I>(stream: I, request: Request<Full<Bytes>>) -> Got
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Got { status, headers, text: String::from_utf8_lossy(&body).into_owned() }
}

/// Somebody's browser.
pub struct Browser<'h> {
    pub runtime: &'h Runtime,
    pub home: &'h Home,
    pub people: SocketAddr,
    pub provider: &'h str,
}

impl Browser<'_> {
    pub fn ours(&self, path: &str, cookie: &str) -> Got {
        let request = Request::get(path).header("host", "localhost").header("cookie", cookie);
        self.runtime.block_on(async {
            let tls = TlsConnector::from(Arc::new(trusting(self.home).with_no_client_auth()));
            let tcp = TcpStream::connect(self.people).await.unwrap();
            let stream = tls.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
            send(stream, request.body(Full::default()).unwrap()).await
        })
    }

    /// A gRPC-web call of an empty message with a session, as a page makes it: its status.
    pub fn calls(&self, call: &str, session: &str) -> String {
        let request = Request::post(format!("/orderly.v1.{call}"))
            .header("host", "localhost")
            .header("origin", format!("https://localhost:{}", self.people.port()))
            .header("content-type", "application/grpc-web+proto")
            .header("cookie", session)
            .body(Full::from(vec![0; 5]));
        let got = self.runtime.block_on(async {
            let tls = TlsConnector::from(Arc::new(trusting(self.home).with_no_client_auth()));
            let tcp = TcpStream::connect(self.people).await.unwrap();
            let stream = tls.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
            send(stream, request.unwrap()).await
        });
        let early = got.headers.get("grpc-status").map(|code| code.to_str().unwrap().to_owned());
        // gRPC-web has the trailers at the end of the body.
        let late = || {
            got.text.split_once("grpc-status:").unwrap().1.chars().take_while(char::is_ascii_digit).collect()
        };
        early.unwrap_or_else(late)
    }

    /// Says at the provider who one is; where it sends the browser then.
    fn theirs(&self, url: &Uri, sub: &str) -> Uri {
        let form = if sub.is_empty() { "action=deny".to_owned() } else { format!("sub={sub}") };
        let request = Request::builder()
            .method(Method::POST)
            .uri(url.path_and_query().unwrap().as_str())
            .header("host", url.authority().unwrap().as_str())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::from(form))
            .unwrap();
        let got = self.runtime.block_on(async {
            let tcp = TcpStream::connect(url.authority().unwrap().as_str()).await.unwrap();
            send(tcp, request).await
        });
        got.location()
    }

    /// Has the provider say something else of somebody.
    fn says(&self, sub: &str, claims: &'static str) {
        let authority = self.provider.strip_prefix("http://").unwrap();
        let request = Request::put(format!("/users/{sub}"))
            .header("host", authority)
            .header("content-type", "application/json")
            .body(Full::from(claims))
            .unwrap();
        let got = self
            .runtime
            .block_on(async { send(TcpStream::connect(authority).await.unwrap(), request).await });
        assert_eq!(got.status, StatusCode::NO_CONTENT, "{}", got.text);
    }

    /// All the way there and back.
    fn sign_in(&self, sub: &str) -> Got {
        self.sign_in_at("/sign-in/provider", sub)
    }

    fn sign_in_at(&self, path: &str, sub: &str) -> Got {
        let away = self.ours(path, "");
        let visit = away.cookie("__Host-orderly-visit").unwrap();
        let back = self.theirs(&away.location(), sub);
        self.ours(back.path_and_query().unwrap().as_str(), &visit)
    }
}

/// An installation whose people come by this issuer's word.
pub fn home_of(issuer: &str) -> Home {
    let home = Home::new();
    let secret = home.path().join("oidc.secret");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&secret).unwrap();
    file.write_all(b"hush\n").unwrap();
    let config = home.directory().config();
    let text =
        fs::read_to_string(&config).unwrap().replace("https://127.0.0.1:8443", "https://localhost:8443");
    let oidc = format!(
        "[oidc]\nissuer = \"{issuer}\"\nclient_id = \"orderly\"\nclient_secret_file = \"{}\"\n\
         [[oidc.groups]]\ngroup = \"owners\"\nrole = \"owner\"\n\
         [[oidc.groups]]\ngroup = \"elm\"\nrole = \"technician\"\ntenant = \"Elm Street Clinic\"\n",
        secret.display()
    );
    fs::write(&config, text + &oidc).unwrap();
    home
}

#[test]
fn a_provider_lets_people_in_by_their_groups() {
    let provider = Provider::start(&[
        r#"{"sub": "1", "preferred_username": "olga", "email": "olga@msp.example", "groups": ["staff", "owners"]}"#,
        r#"{"sub": "2", "preferred_username": "tom", "groups": ["elm"]}"#,
        r#"{"sub": "3", "preferred_username": "eve", "groups": ["sales"]}"#,
        r#"{"sub": "4", "preferred_username": "ci", "groups": "owners"}"#,
    ]);
    let Some(provider) = provider else { return };
    let url = provider.1.clone();
    let home = home_of(&url);
    let server = home.start();
    home.json(&["tenant", "create", "Elm Street Clinic"]);
    home.json(&["operator", "token", "--name", "ci", "--role", "auditor", "--days", "1"]);
    let runtime = Runtime::new().unwrap();
    let browser = Browser { runtime: &runtime, home: &home, people: server.people, provider: &url };
    assert!(browser.ours("/sign-in", "").text.contains("href=\"/sign-in/provider\""));

    let got = browser.sign_in("1");
    assert_eq!(got.status, StatusCode::OK, "{}", got.text);
    let olga = got.cookie("__Host-orderly-session").unwrap();
    let page = browser.ours("/account", &olga).text;
    assert!(page.contains("<h1>olga</h1>") && page.contains("owner, for the whole organization"), "{page}");
    assert!(!page.contains("Make a passkey"), "the provider can take this back; a passkey would stay");
    assert!(page.contains("href=\"/sign-in/provider?anew\""), "{page}");
    let anew = browser.sign_in_at("/sign-in/provider?anew", "1");
    assert_eq!(anew.status, StatusCode::OK, "{}", anew.text);
    let anew = anew.cookie("__Host-orderly-session").unwrap();
    assert_eq!(browser.calls("People/Invite", &anew), "3", "it asks for a role by now");
    let tom = browser.sign_in("2").cookie("__Host-orderly-session").unwrap();
    assert!(browser.ours("/account", &tom).text.contains("technician, for one clinic"));
    let people = home.json(&["operator", "people"])["people"].clone();
    let known = people.as_array().unwrap().iter().find(|person| person["name"] == "olga").unwrap();
    assert_eq!((&known["email"], &known["provider"]), (&"olga@msp.example".into(), &true.into()));

    // Groups that give nothing, a name that is taken, a no over there.
    for (sub, why) in
        [("3", "none of your groups"), ("4", "called &quot;ci&quot; already"), ("", "Begin again")]
    {
        let got = browser.sign_in(sub);
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{sub:?}");
        assert!(got.text.contains(why), "{sub:?}: {}", got.text);
        assert_eq!(got.cookie("__Host-orderly-session"), None);
    }

    // A link that is opened twice, by somebody else, with another state, or with a code for another visit.
    let away = browser.ours("/sign-in/provider", "");
    let visit = away.cookie("__Host-orderly-visit").unwrap();
    let back = browser.theirs(&away.location(), "1");
    let path = back.path_and_query().unwrap().as_str();
    let refused = |got: Got| {
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{}", got.text);
        assert_eq!(got.cookie("__Host-orderly-session"), None);
    };
    refused(browser.ours(path, ""));
    let other = browser.ours("/sign-in/provider", "").cookie("__Host-orderly-visit").unwrap();
    refused(browser.ours(path, &other));
    assert_eq!(browser.ours(path, &visit).status, StatusCode::OK);
    refused(browser.ours(path, &visit));
    let (one, two) = (browser.ours("/sign-in/provider", ""), browser.ours("/sign-in/provider", ""));
    let stolen = browser.theirs(&one.location(), "1");
    let code = stolen.query().unwrap().split('&').find(|pair| pair.starts_with("code=")).unwrap().to_owned();
    let state = two
        .location()
        .query()
        .unwrap()
        .split('&')
        .find(|pair| pair.starts_with("state="))
        .unwrap()
        .to_owned();
    let visit = two.cookie("__Host-orderly-visit").unwrap();
    refused(browser.ours(&format!("/sign-in/callback?{code}&{state}"), &visit));

    // What the provider takes back is gone at the next sign-in, and signed out everywhere.
    browser.says("2", r#"{"preferred_username": "tom", "groups": ["owners"]}"#);
    let promoted = browser.sign_in("2").cookie("__Host-orderly-session").unwrap();
    for session in [&tom, &promoted] {
        assert!(browser.ours("/account", session).text.contains("owner, for the whole organization"));
    }
    browser.says("2", r#"{"preferred_username": "tom"}"#);
    assert!(browser.sign_in("2").text.contains("none of your groups"));
    for session in [&tom, &promoted] {
        assert_eq!(browser.ours("/account", session).status, StatusCode::SEE_OTHER);
    }

    // Shut out here is out, whatever the provider says.
    home.json(&["operator", "end", "olga"]);
    assert_eq!(browser.ours("/account", &olga).status, StatusCode::SEE_OTHER);
    let got = browser.sign_in("1");
    assert!(got.status == StatusCode::FORBIDDEN && got.text.contains("shut out"), "{}", got.text);
    drop(provider);
    let gone = browser.ours("/sign-in/provider", "");
    assert!(gone.text.contains("cannot be reached now"), "{}", gone.text);
    server.end();
}
