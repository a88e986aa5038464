//! An authenticator in software, and the browser in front of it: honest, or lying about one thing at a time.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proto::{digest::Digest, keys::PublicKey};
use serde_json::{Value, json};

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const WITH_KEY: u8 = 0x40;

pub struct Authenticator {
    key: EcdsaKeyPair,
    id: [u8; 32],
    user: String,
    pub counter: u32,
    pub origin: String,
    /// What it takes for the relying party; `None`: what it is told.
    pub rp: Option<String>,
    pub verifies: bool,
    /// Whether the page stands in one of another site.
    pub framed: bool,
    /// Whether it says whose key it is.
    pub tells_user: bool,
}

impl Authenticator {
    pub fn new(origin: &str, id: u8) -> Self {
        let alg = &ECDSA_P256_SHA256_ASN1_SIGNING;
        Self {
            key: EcdsaKeyPair::generate(alg).unwrap(),
            id: [id; 32],
            user: String::new(),
            counter: 1,
            origin: origin.to_owned(),
            rp: None,
            verifies: true,
            framed: false,
            tells_user: true,
        }
    }

    /// Its public key, as a charter names it.
    pub fn public(&self) -> PublicKey {
        PublicKey::P256(self.key.public_key().as_ref().try_into().unwrap())
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = &options["publicKey"]["challenge"];
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.framed })
            .to_string()
            .into_bytes()
    }

    fn data(&self, rp: &str, more: u8) -> Vec<u8> {
        let rp = self.rp.as_deref().unwrap_or(rp);
        let flags = PRESENT | if self.verifies { VERIFIED } else { 0 } | more;
        [&Digest::of(rp.as_bytes()).0[..], &[flags], &self.counter.to_be_bytes()].concat()
    }

    /// Answers `navigator.credentials.create`.
    pub fn make(&mut self, options: &Value) -> Value {
        let asked = &options["publicKey"];
        let selection = &asked["authenticatorSelection"];
        assert_eq!(
            (&selection["userVerification"], &selection["residentKey"]),
            (&json!("required"), &json!("required"))
        );
        self.user = asked["user"]["id"].as_str().unwrap().to_owned();
        let point = self.key.public_key().as_ref();
        let (x, y) = (&point[1..33], &point[33..65]);
        // COSE: {1: 2 (EC2), 3: -7 (ES256), -1: 1 (P-256), -2: x, -3: y}.
        let cose = [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..], x, &[0x22, 0x58, 32], y].concat();
        let data = [
            self.data(asked["rp"]["id"].as_str().unwrap(), WITH_KEY),
            [0; 16].to_vec(),
            vec![0, 32],
            self.id.to_vec(),
            cose,
        ]
        .concat();
        // {"fmt": "none", "attStmt": {}, "authData": bytes}
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(data);
        let client = self.client_data("webauthn.create", options);
        json!({
            "id": URL_SAFE_NO_PAD.encode(self.id), "rawId": URL_SAFE_NO_PAD.encode(self.id), "type": "public-key",
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
                "attestationObject": URL_SAFE_NO_PAD.encode(object),
            },
        })
    }

    /// Answers `navigator.credentials.get`.
    pub fn show(&mut self, options: &Value) -> Value {
        self.counter += 1;
        let data = self.data(options["publicKey"]["rpId"].as_str().unwrap(), 0);
        let client = self.client_data("webauthn.get", options);
        let signed = [&data[..], &Digest::of(&client).0].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        let user = self.tells_user.then(|| self.user.clone());
        json!({
            "id": URL_SAFE_NO_PAD.encode(self.id), "rawId": URL_SAFE_NO_PAD.encode(self.id), "type": "public-key",
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
                "authenticatorData": URL_SAFE_NO_PAD.encode(data),
                "signature": URL_SAFE_NO_PAD.encode(signature),
                "userHandle": user,
            },
        })
    }
}
