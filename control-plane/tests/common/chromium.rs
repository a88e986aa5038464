//! Debian's Chromium with an authenticator of its own, driven over the pipe of its DevTools protocol.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

pub struct Chromium {
    child: Child,
    ask: File,
    told: BufReader<File>,
    session: Option<String>,
    count: u64,
    _folder: tempfile::TempDir,
}

/// Where `.ci/setup` unpacks it; `None`: it did not, which is fine everywhere but in CI.
pub fn unpacked() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/browser/root");
    let found = root.join("usr/lib/chromium/chromium").exists();
    assert!(found || std::env::var_os("CI").is_none(), "Chromium is missing: run `.ci/setup test`");
    found.then(|| root.canonicalize().unwrap())
}

impl Chromium {
    /// Starts it. It takes for good any certificate with this key (SHA-256 of its SPKI).
    pub fn start(root: &Path, spki: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [to, from] = ["to", "from"].map(|name| folder.path().join(name));
        for pipe in [&to, &from] {
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
        let lib = root.join("usr/lib/x86_64-linux-gnu");
        let child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<\"$TO\" 4>\"$FROM\""])
            .arg(root.join("usr/lib/chromium/chromium"))
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg(format!("--ignore-certificate-errors-spki-list={}", STANDARD.encode(spki)))
            .env("TO", &to)
            .env("FROM", &from)
            .env("LD_LIBRARY_PATH", format!("{0}:{0}/pulseaudio", lib.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ask = OpenOptions::new().write(true).open(to).unwrap();
        let told = BufReader::new(File::open(from).unwrap());
        let mut browser = Self { child, ask, told, session: None, count: 0, _folder: folder };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().map(ToOwned::to_owned);
        for domain in ["Page", "Runtime", "WebAuthn"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        let options = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
            "isUserVerified": true, "automaticPresenceSimulation": true,
        });
        browser.call("WebAuthn.addVirtualAuthenticator", json!({ "options": options }));
        browser
    }

    fn ask(&mut self, method: &str, params: Value) -> Result<Value, String> {
        self.count += 1;
        let mut message = json!({ "id": self.count, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.ask.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut line = Vec::new();
            assert!(self.told.read_until(0, &mut line).unwrap() > 0, "Chromium ended");
            line.pop();
            let said: Value = serde_json::from_slice(&line).unwrap();
            // A question of the page ("are you sure?") waits for this, and the page for the answer.
            if said["method"] == "Page.javascriptDialogOpening" {
                let yes = json!({ "id": 0, "method": "Page.handleJavaScriptDialog", "params": { "accept": true },
                    "sessionId": self.session });
                self.ask.write_all(format!("{yes}\0").as_bytes()).unwrap();
            }
            if said["id"] == self.count {
                return match said.get("error") {
                    Some(error) => Err(error.to_string()),
                    None => Ok(said["result"].clone()),
                };
            }
        }
    }

    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.ask(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    pub fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({ "url": url }));
        assert_eq!(opened.get("errorText"), None, "{url}");
    }

    /// What an expression, or its promise, is in the page. A page that is being left has none.
    pub fn value(&mut self, expression: &str) -> Option<Value> {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let got = self.ask("Runtime.evaluate", params).ok()?;
        got.get("exceptionDetails").is_none().then(|| got["result"]["value"].clone())
    }

    /// Waits until the page is one of which this is true.
    #[track_caller]
    pub fn until(&mut self, condition: &str) {
        for _ in 0..100 {
            let wait = format!(
                "new Promise((done) => {{ const look = (left) => ({condition}) ? done(true) : left ? \
                 setTimeout(look, 20, left - 1) : done(false); look(50); }})"
            );
            if self.value(&wait) == Some(json!(true)) {
                return;
            }
        }
        let text = self.value("location.href + ' ' + document.body.innerText");
        panic!("never was: {condition}; the page: {text:?}");
    }

    /// Presses what is called so.
    #[track_caller]
    pub fn press(&mut self, name: &str) {
        let button = format!(
            "[...document.querySelectorAll('button, summary, a')].find((one) => \
             (one.ariaLabel || one.textContent) === {}).click()",
            json!(name)
        );
        assert!(self.value(&button).is_some(), "there is no {name:?}");
    }

    /// Sees that nothing is wider than a phone or a screen, by day and by night, and takes pictures where somebody asked for
    /// them (`ORDERLY_PICTURES`: a folder).
    #[track_caller]
    pub fn look(&mut self, name: &str) {
        for (device, width, height) in [("screen", 1280, 800), ("phone", 360, 740)] {
            let mobile = device == "phone";
            let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
            self.call("Emulation.setDeviceMetricsOverride", size);
            for scheme in ["dark", "light"] {
                let scheme_is = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
                self.call("Emulation.setEmulatedMedia", json!({ "features": scheme_is }));
                let fits = self.value("document.documentElement.scrollWidth <= innerWidth");
                assert_eq!(fits, Some(json!(true)), "{name} is wider than a {device}");
                let Some(folder) = std::env::var_os("ORDERLY_PICTURES") else { continue };
                let picture = self.call("Page.captureScreenshot", json!({}));
                let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
                std::fs::write(Path::new(&folder).join(format!("{name}-{device}-{scheme}.png")), bytes)
                    .unwrap();
            }
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
