//! No identifier comes through, whatever surrounds it; what is harmless does; any bytes are borne.

use appliance::redact::{Class, find, redact};
use proptest::prelude::*;

/// For each class, identifiers in the forms that logs have them in, and the part that must not be seen again.
const CANARIES: &[(Class, &str, &str)] = &[
    (Class::Name, "patient=Jane Zyxwell saved", "Zyxwell"),
    (Class::Name, "seen by Dr. Qwertson today", "Qwertson"),
    (Class::Name, "ZYXWELL^JANE^Q", "JANE"),
    (Class::Name, "family=\"Young\"", "Young"),
    (Class::Name, "call from Grace Young dropped", "Grace"),
    (Class::Name, "caf\u{e9} Jos\u{e9} Mu\u{f1}oz", "Jos"),
    (Class::Place, "lives at 123 Elm Street Apt. 4, Springfield, IL 62704", "Elm"),
    (Class::Place, "city: Lake Charles", "Charles"),
    (Class::Place, "zip=62704-1234", "1234"),
    (Class::Date, "DOB: 01/02/1980", "1980"),
    (Class::Date, "admitted March 3rd, 1999 at noon", "3rd"),
    (Class::Date, "at 19800102103000 came", "1980"),
    (Class::Date, "2026-11-22T22:29:51.123Z up", "2026"),
    (Class::Date, "aged 97", "97"),
    (Class::Phone, "call (555) 123-4567 now", "4567"),
    (Class::Phone, "call +1 555 123 4567 now", "4567"),
    (Class::Fax, "fax: 555.123.4567", "4567"),
    (Class::Email, "to=<jane.q@example.org>,", "jane"),
    (Class::Ssn, "ssn 123-45-6789", "6789"),
    (Class::Ssn, "ssn=123456789", "6789"),
    (Class::Mrn, "MRN 42", "42"),
    (Class::Mrn, "medical record number A-0042-7", "0042"),
    (Class::Plan, "member id 1EG4-TE5-MK73", "TE5"),
    (Class::Account, "card 4111 1111 1111 1111 declined", "1111"),
    (Class::Licence, "DEA# AB1234567", "1234567"),
    (Class::Vehicle, "plate 7ABC123", "7ABC"),
    (Class::Vehicle, "vin 1HGCM82633A004352", "004352"),
    (Class::Device, "mac 00:1b:44:11:3a:b7", "3a"),
    (Class::Device, "UDI (01)00844588003288(17)141120(21)10987654d321", "0084"),
    (Class::Url, "open https://clinic.example/p?id=4", "clinic"),
    (Class::Ip, "peer 192.168.4.17:104", "192"),
    (Class::Ip, "peer fe80::21b:44ff:fe11:3ab7%eth0", "fe80"),
    (Class::Biometric, "wrote fingerprint_jdoe_07.wsq", "jdoe"),
    (Class::Photo, "saved /srv/photos/IMG_0042.jpg", "0042"),
    (Class::Code, "id 550e8400-e29b-41d4-a716-446655440000", "e29b"),
    (Class::Hl7, "PID|1||42^^^H^MR||DOE^J", "DOE"),
];

#[test]
fn a_canary_of_every_class_is_gone_whatever_stands_around_it() {
    for class in Class::all() {
        assert!(CANARIES.iter().any(|(c, ..)| *c == class), "no canary of {class:?}");
    }
    for (class, text, secret) in CANARIES {
        for around in
            ["{}", "ERROR {}", "2026-11-22 10:00:00 app[12]: {} (retry 3)", "{\"msg\":\"{}\"}", "\t{}\r\n"]
        {
            let out = redact(around.replace("{}", text).as_bytes());
            assert!(!out.contains(secret), "{class:?} {text:?} -> {out:?}");
        }
    }
}

#[test]
fn lines_without_identifiers_stay_as_they_are() {
    for line in [
        "systemd[1]: nginx.service: Main process exited, code=exited, status=1/FAILURE",
        "ERROR Connection to database lost, retrying in 5 s (attempt 3 of 10)",
        "EXT4-fs (sda1): mounted filesystem with ordered data mode. Opts: errors=remount-ro",
        "HTTP 503 Service Unavailable from upstream after 1250 ms",
        "ORA-00942: table or view does not exist",
        "TLS handshake failed: certificate has expired (depth 0, error 10)",
        "Permission denied: /var/lib/orthanc/index",
        "restic 0.16.4 processed 4821 files, 12.345 GiB in 1:42",
        "Out of memory: Killed process 31337 (java) total-vm:8123456kB",
        "at 22:29:51 since 1999 the load was 0.42, 93%",
    ] {
        assert_eq!(redact(line.as_bytes()), line);
    }
}

#[test]
fn records_of_the_trade_keep_their_names_only() {
    let message = b"MSH|^~\\&|LAB|CLINIC|||20260101||ADT^A01|77|P|2.5\rPID|1||42||DOE^JANE\rZPX|secret\r";
    assert_eq!(redact(message), "MSH|<hl7>\rPID|<hl7>\rZPX|<hl7>\r");
    assert_eq!(
        redact(b"(0010,0010) PN [Doe^Jane] # 8, 1 PatientName"),
        "(0010,0010) PN [<name>] # 8, 1 PatientName"
    );
    assert_eq!(redact(b"(0008,0060) CS [CT] # 2, 1 Modality"), "(0008,0060) CS [CT] # 2, 1 Modality");
}

#[test]
fn hostile_lines_take_linear_time() {
    // Some seconds for a quadratic pass over a megabyte would be hours; a linear one needs under one, unoptimised.
    for piece in [
        "a",
        "A",
        "Aa ",
        "1",
        "1.",
        "1-",
        "1:",
        "a:",
        "(",
        "(0010,0010) ",
        "<",
        "<name",
        "^",
        "a^",
        "/",
        "a/",
        "a@",
        "::",
        "Mark ",
        "van ",
        "MRN ",
        "mrn=",
        "Ab-",
        "\u{e9}",
        "1 Ab ",
        "http://",
        "(01)1234",
        "PID|",
        "10.0.0.",
        "A'",
        "x%20",
        "[",
        "\"",
    ] {
        let text = piece.repeat(30_000 / piece.len());
        let out = redact(text.as_bytes());
        assert!(out.len() <= text.len() * 9, "{piece:?}");
    }
}

fn log_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(vec![
            "patient", "Patient", "name", "=", ":", " ", " ", " ", "\"", "'", ",", ", ", "(", ")", "[", "]", "<", ">", "/", "-", ".", "_",
            "^", "@", "|", "?", "&", "#", "%", "Mark", "Young", "Grace", "Zork", "smith", "van", "Dr.", "Jr", "J.", "MRN", "mrn", "dob",
            "user", "for", "from", "city", "address", "zip", "TX", "Box", "12", "4", "12345", "1234567", "2026", "11/22", "Nov", "22",
            "10:00:00", "10.0.0.5", "fe80::1", "Main", "St", "Suite", "<name>", "<place>", "<date>", "<code>", "MSH|", "(0010,0010)", " PN ",
            "age", "99", "555-123-4567", "\u{e9}", "\u{2014}", "port", "given", "a1b2c3d4", "http://", "ms", "\n", "\r", "\t",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_borne(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let out = redact(&bytes);
        prop_assert!(out.len() <= bytes.len() * 9);
        prop_assert!(out.bytes().all(|b| b >= b' ' && b != 0x7f || matches!(b, b'\n' | b'\r' | b'\t')));
        prop_assert_eq!(redact(out.as_bytes()), out);
    }

    #[test]
    fn twice_is_once(text in log_like()) {
        let once = redact(text.as_bytes());
        prop_assert_eq!(redact(once.as_bytes()), once);
    }

    #[test]
    fn lines_are_judged_alone(lines in proptest::collection::vec(log_like(), 0..6), cut in any::<prop::sample::Index>()) {
        let text = lines.join("\n");
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        let at = if ends.is_empty() { 0 } else { ends[cut.index(ends.len())] };
        prop_assert_eq!(redact(&text.as_bytes()[..at]) + &redact(&text.as_bytes()[at..]), redact(text.as_bytes()));
    }

    #[test]
    fn what_is_found_is_replaced(text in log_like()) {
        let (mut out, mut kept) = (Vec::new(), 0);
        for found in find(text.as_bytes()) {
            prop_assert!(kept <= found.start && found.start < found.end);
            out.extend_from_slice(&text.as_bytes()[kept..found.start]);
            out.extend_from_slice(found.class.mark().as_bytes());
            kept = found.end;
        }
        out.extend_from_slice(&text.as_bytes()[kept..]);
        prop_assert_eq!(redact(&out), redact(text.as_bytes()));
    }
}
