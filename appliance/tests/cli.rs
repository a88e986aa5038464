//! The program as people and systemd meet it: exit codes, and what it says.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn appliance(config: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_appliance"))
        .arg("--config")
        .arg(config)
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn config(dir: &Path, more: &str) -> std::path::PathBuf {
    let text = format!(
        "control_plane.address = \"https://127.0.0.1:1\"\n[trust]\norganization_keys = {:?}\nca = {:?}\n[paths]\nstate = {:?}\nsocket = {:?}\nhold = {:?}\n{more}",
        dir.join("keys.json"),
        dir.join("ca.pem"),
        dir.join("state"),
        dir.join("executor.sock"),
        dir.join("hold")
    );
    let path = dir.join("appliance.toml");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn bad_configuration_is_exit_code_2_for_every_command_and_names_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = config(dir.path(), "[agent]\nhold_seconds = 61\n");
    for command in
        [&["agent"][..], &["executor"], &["status"], &["check-config"], &["enroll", "--token-file", "x"]]
    {
        let output = appliance(&path, command);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {}", said(&output));
        for part in ["appliance.toml", "agent.hold_seconds", "61", "at most 60", "next: ", "check-config"] {
            assert!(said(&output).contains(part), "{command:?}: {}", said(&output));
        }
        assert!(output.stdout.is_empty() && !said(&output).contains('\x1b'), "no colour but on a terminal");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was written");
}

#[test]
fn a_secret_that_something_else_would_remove_is_bad_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let more = "[secrets]\nrestic = \"/srv/uploads/password\"\n[[watch.directory]]\nid = \"uploads\"\n\
                path = \"/srv/uploads\"\nlimit_bytes = 1\n";
    let output = appliance(&config(dir.path(), more), &["check-config"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for part in
        ["secrets.restic", "/srv/uploads/password", "must lie apart from watch.directory.uploads.path"]
    {
        assert!(said(&output).contains(part), "{}", said(&output));
    }
}

#[test]
fn a_missing_file_an_unknown_key_and_a_wrong_type_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let missing = appliance(&dir.path().join("none.toml"), &["check-config"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("none.toml: No such file"), "{}", said(&missing));
    for (more, parts) in [
        ("[agnet]\n", &["agnet", "expected one of"][..]),
        ("[agent]\nsample_seconds = \"1\"\n", &["sample_seconds", "expected f64"]),
        ("[[watch.metric]]\nid = \"m\"\nmetric = \"luck\"\nabove = 1\n", &["luck", "memory-used-percent"]),
    ] {
        let output = appliance(&config(dir.path(), more), &["check-config"]);
        assert_eq!(output.status.code(), Some(2));
        for part in parts {
            assert!(said(&output).contains(part), "{part}: {}", said(&output));
        }
    }
}

#[test]
fn a_good_configuration_is_said_to_be_good_and_an_unknown_user_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let watch = "[[watch.directory]]\nid = \"uploads\"\npath = \"/srv/uploads\"\nlimit_bytes = 1\n";
    let output = appliance(&config(dir.path(), watch), &["check-config"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && printed.contains("is good") && printed.contains("directory: uploads"),
        "{printed}"
    );
    let hours = "[limits]\nclinic_hours = [\"monday-friday 08:00-18:00 America/Chicago\"]\n";
    let output = appliance(&config(dir.path(), hours), &["check-config"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("people work monday-friday 08:00-18:00 America/Chicago"), "{printed}");
    let gotham = hours.replace("Chicago", "Gotham");
    let output = appliance(&config(dir.path(), &gotham), &["check-config"]);
    assert_eq!(output.status.code(), Some(2));
    for part in ["clinic_hours[0]", "America/Gotham", "must be in the IANA time zone database"] {
        assert!(said(&output).contains(part), "{}", said(&output));
    }
    let output = appliance(&config(dir.path(), "[agent]\nuser = \"no-such-user-here\"\n"), &["check-config"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("agent.user = \"no-such-user-here\""), "{}", said(&output));
}

#[test]
fn what_another_attempt_may_mend_is_exit_code_1_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = config(dir.path(), "");
    let agent = appliance(&path, &["agent"]);
    assert_eq!(agent.status.code(), Some(1));
    assert!(said(&agent).contains("enroll --token-file"), "{}", said(&agent));
    let status = appliance(&path, &["status", "--json"]);
    assert_eq!(status.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(json["format"], 1);
    assert!(json["problems"][0].as_str().unwrap().contains("executor.sock"), "{json}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "looking leaves nothing behind");
}

#[test]
fn a_bad_ticket_is_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let path = config(dir.path(), "");
    let ticket = dir.path().join("ticket.json");
    fs::write(&ticket, "{}").unwrap();
    let output = appliance(&path, &["enroll", "--token-file", ticket.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("ticket.json") && said(&output).contains("token"), "{}", said(&output));
}

#[test]
fn help_has_examples_and_a_wrong_command_is_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    for command in [&["--help"][..], &["enroll", "--help"], &["status", "--help"]] {
        let output = appliance(dir.path(), command);
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains("Example"));
    }
    for wrong in [&[][..], &["recover"], &["enroll"], &["status", "--yaml"]] {
        assert_eq!(appliance(dir.path(), wrong).status.code(), Some(2), "{wrong:?}");
    }
}

/// By the program that the setting is for, not only when somebody asks for a check.
#[test]
fn a_user_that_is_not_there_is_exit_code_2_and_names_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = "\"no-such-user-here\"";
    let path = config(dir.path(), &format!("[executor]\nagent_user = {nobody}\n"));
    for command in ["check-config", "executor"] {
        let output = appliance(&path, &[command]);
        assert_eq!(output.status.code(), Some(2), "{command}: {}", said(&output));
        for part in ["executor.agent_user", nobody, "name an existing one, or give its number"] {
            assert!(said(&output).contains(part), "{command}: {part} in: {}", said(&output));
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was written");
}

#[test]
fn a_socket_in_use_or_out_of_reach_is_named_by_its_key() {
    use std::os::unix::net::UnixListener;

    let dir = tempfile::tempdir().unwrap();
    let path = config(dir.path(), "");
    let _another = UnixListener::bind(dir.path().join("executor.sock")).unwrap();
    let output = appliance(&path, &["executor"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    for part in ["paths.socket", "executor.sock", "another executor listens"] {
        assert!(said(&output).contains(part), "{part} in: {}", said(&output));
    }
    let long = dir.path().join("x".repeat(110));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace(&dir.path().join("executor.sock").display().to_string(), &long.display().to_string()),
    )
    .unwrap();
    let output = appliance(&path, &["executor"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for part in ["paths.socket", "xxx", "at most 107 bytes"] {
        assert!(said(&output).contains(part), "{part} in: {}", said(&output));
    }
}
