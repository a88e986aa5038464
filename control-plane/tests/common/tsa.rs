//! A timestamp authority that is none of ours: OpenSSL's, with keys of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const SETTINGS: &str = "\
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical,CA:TRUE
[stamp]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = critical,timeStamping
[server]
extendedKeyUsage = critical,serverAuth
[tsa]
default_tsa = one
[one]
serial = serial
default_policy = 1.2.3.4.1
digests = sha256
signer_digest = sha256
ess_cert_id_alg = sha256
accuracy = millisecs:500
";

/// Its folder: `root.pem` signed `stamp.pem` (RSA) and `server.pem` (P-256), which may not stamp.
pub struct Tsa(tempfile::TempDir);

impl Tsa {
    pub fn make() -> Self {
        let tsa = Self(tempfile::tempdir().unwrap());
        fs::write(tsa.path("openssl.cnf"), SETTINGS).unwrap();
        let new = ["req", "-new", "-config", "openssl.cnf", "-nodes"];
        let root = ["-x509", "-days", "3650", "-extensions", "root", "-subj", "/CN=root of time"];
        let p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        tsa.openssl(&[&new[..], &root, &p256, &["-keyout", "root.key", "-out", "root.pem"]].concat());
        for (name, kind) in [("stamp", &["-newkey", "rsa:2048"][..]), ("server", &p256)] {
            let [key, request, certificate] = ["key", "csr", "pem"].map(|ending| format!("{name}.{ending}"));
            let subject = format!("/CN={name}.example");
            tsa.openssl(&[&new[..], kind, &["-subj", &subject, "-keyout", &key, "-out", &request]].concat());
            let by = ["-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "3650"];
            let what = ["-extfile", "openssl.cnf", "-extensions", name, "-out", &certificate];
            tsa.openssl(&[&["x509", "-req", "-in", &request][..], &by, &what].concat());
        }
        tsa
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Its answer to a TimeStampReq.
    pub fn reply(&self, query: &[u8]) -> Vec<u8> {
        fs::write(self.path("query"), query).unwrap();
        let settings = ["-config", "openssl.cnf", "-section", "one"];
        let signer = ["-signer", "stamp.pem", "-inkey", "stamp.key", "-chain", "root.pem"];
        self.openssl(
            &[&["ts", "-reply", "-queryfile", "query", "-out", "reply"][..], &settings, &signer].concat(),
        );
        fs::read(self.path("reply")).unwrap()
    }

    /// Whether OpenSSL takes a token for one of these bytes, by this authority.
    pub fn takes(&self, token: &Path, data: &Path) -> bool {
        let [token, data] = [token, data].map(|path| path.to_str().unwrap());
        self.run(&["ts", "-verify", "-in", token, "-data", data, "-CAfile", "root.pem"])
    }

    pub fn openssl(&self, arguments: &[&str]) {
        assert!(self.run(arguments), "openssl {arguments:?}");
    }

    fn run(&self, arguments: &[&str]) -> bool {
        let said = Command::new("openssl").args(arguments).current_dir(self.0.path()).output();
        let said = said.expect("openssl is here");
        if !said.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&said.stderr));
        }
        said.status.success()
    }
}
