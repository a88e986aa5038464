//! Every place that a secret can be in, as the program finds it: a file, a systemd credential, the environment, SOPS.

use std::{
    fs::{self, File},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::home::Home;

const SECRET: &str = "correct horse battery staple";
const SOPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/running-venv/bin");
const AGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/running/root/usr/bin/age-keygen");

/// Settings whose mail server needs a password, which is in `place`.
fn with_password(home: &Home, place: &str) {
    let path = home.directory().config();
    let text = fs::read_to_string(&path).unwrap();
    let text = text.split("\n[mail]").next().unwrap();
    let mail = format!(
        "\n[mail]\nserver = \"smtp.example\"\nfrom = \"p@msp.example\"\nuser = \"me\"\npassword_file = \"{place}\"\n"
    );
    fs::write(path, format!("{text}{mail}")).unwrap();
}

/// Whether the settings are right, in this environment.
fn check(home: &Home, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    command.args(["serve", "--check-config", "--dir"]).arg(home.directory().root());
    command.envs(environment.iter().copied()).env("RUST_LOG", "trace");
    command.output().unwrap()
}

/// Exit code and all that was said, in which the secret must not be.
fn said(output: &Output) -> (Option<i32>, String) {
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains(SECRET), "{said}");
    (output.status.code(), said)
}

#[test]
fn a_secret_is_found_in_a_file_a_credential_and_the_environment() {
    let home = Home::new();
    let folder = home.path().join("credentials");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("mail");
    fs::write(&file, SECRET).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let (file, folder) = (file.display().to_string(), folder.display().to_string());
    for (place, environment, missing) in [
        (file.as_str(), &[][..], None),
        ("credential:mail", &[("CREDENTIALS_DIRECTORY", folder.as_str())], Some("CREDENTIALS_DIRECTORY")),
        ("env:MAIL_PASSWORD", &[("MAIL_PASSWORD", SECRET)], Some("MAIL_PASSWORD is not set")),
    ] {
        with_password(&home, place);
        let (code, text) = said(&check(&home, environment));
        assert_eq!(code, Some(0), "{place}: {text}");
        if let Some(missing) = missing {
            let (code, text) = said(&check(&home, &[]));
            assert!(
                code == Some(2) && text.contains("mail.password_file") && text.contains(missing),
                "{text}"
            );
        }
    }
    // The secret itself where its place should be is neither taken nor repeated.
    with_password(&home, SECRET);
    let (code, text) = said(&check(&home, &[]));
    assert!(code == Some(2) && text.contains("it is not shown"), "{text}");
}

/// A key of age and where it is.
fn age_key(folder: &Path, name: &str) -> (PathBuf, String) {
    let path = folder.join(name);
    let made = Command::new(AGE).arg("-o").arg(&path).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let text = fs::read_to_string(&path).unwrap();
    let public = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    (path, public.to_owned())
}

/// With the real `sops`: its file, its keys, its complaint.
#[test]
fn a_value_of_a_sops_file_is_decrypted_by_sops() {
    if !Path::new(SOPS).join("sops").exists() || !Path::new(AGE).exists() {
        assert!(std::env::var_os("CI").is_none(), "there must be sops and age in CI: `.ci/setup test`");
        println!("skipped: no sops here; `.ci/setup test` gets it");
        return;
    }
    let home = Home::new();
    let (key, public) = age_key(home.path(), "key.txt");
    let (other, _) = age_key(home.path(), "other.txt");
    let file = home.path().join("secrets.yaml");
    let mut plain = File::options().write(true).create_new(true).mode(0o600).open(&file).unwrap();
    std::io::Write::write_all(&mut plain, format!("mail:\n    password: {SECRET}\n").as_bytes()).unwrap();
    let path = format!("{SOPS}:{}", std::env::var("PATH").unwrap());
    let encrypted = Command::new("sops")
        .args(["--encrypt", "--in-place", "--age", &public])
        .arg(&file)
        .env("PATH", &path)
        .output()
        .unwrap();
    assert!(encrypted.status.success(), "{encrypted:?}");
    assert!(!fs::read_to_string(&file).unwrap().contains(SECRET));

    let opened_by = |key: &Path, of: &str| {
        with_password(&home, &format!("sops:{}#{of}", file.display()));
        let environment = [("PATH", path.as_str()), ("SOPS_AGE_KEY_FILE", key.to_str().unwrap())];
        said(&check(&home, &environment))
    };
    let (code, text) = opened_by(&key, "mail.password");
    assert_eq!(code, Some(0), "{text}");
    for (key, of) in [(&other, "mail.password"), (&key, "mail.user")] {
        let (code, text) = opened_by(key, of);
        assert!(
            code == Some(2) && text.contains("mail.password_file") && text.contains("sops ended"),
            "{text}"
        );
    }
}
