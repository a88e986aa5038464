//! A packet of a whole month: every section, in order, with and without data, and as pages that everybody can read.

use std::sync::LazyLock;

use control_plane::bundle::{Bundle, Month, export::build};
use proto::evidence::Standing;

use super::{
    check,
    tenant::{HOUR, Tenant, at},
};

static TENANT: LazyLock<Tenant> = LazyLock::new(|| Tenant::november(1));
static BUNDLE: LazyLock<Bundle> =
    LazyLock::new(|| build(&TENANT.parts(TENANT.evidence.len(), Some(november()))).unwrap());

/// As the issue of this product names them: whoever audits looks for each.
const SECTIONS: [&str; 15] = [
    "Summary",
    "Scope and what is not covered",
    "Results per citation",
    "Exceptions and addressable decisions",
    "Findings and plan of action",
    "Activity",
    "Agreement and operator access",
    "Backups and restore drills",
    "Patches and updates",
    "Inventory and listening sockets",
    "Incidents",
    "Gaps in evidence",
    "Reviewer's acknowledgement",
    "How to verify",
    "Annex: index of records",
];

fn november() -> Month {
    "2026-11".parse().unwrap()
}

fn text(bundle: &Bundle) -> &str {
    std::str::from_utf8(&bundle.files()["packet.md"]).unwrap()
}

fn sections(markdown: &str) -> Vec<&str> {
    markdown
        .lines()
        .filter_map(|line| line.strip_prefix("## ")?.split_once(". "))
        .map(|(_, title)| title)
        .collect()
}

/// What stands under a title.
#[track_caller]
fn section<'t>(markdown: &'t str, title: &str) -> &'t str {
    let number = SECTIONS.iter().position(|section| *section == title).unwrap() + 1;
    let (_, rest) = markdown.split_once(&format!("\n## {number}. {title}\n")).expect("the section");
    rest.split("\n## ").next().unwrap()
}

/// One box, an hour after it was enrolled: nothing has happened.
fn empty() -> Bundle {
    let mut tenant = Tenant::new(3, at("2026-11-03T06:00:00Z"));
    tenant.enrol(false);
    tenant.heartbeat(0);
    tenant.wait(HOUR / 2);
    build(&tenant.parts(2, Some(november()))).unwrap()
}

#[test]
fn every_section_is_there_in_order_whatever_happened() {
    assert_eq!(sections(text(&BUNDLE)), SECTIONS);
    assert_eq!(sections(text(&empty())), SECTIONS);
}

#[test]
fn where_there_is_nothing_it_says_so() {
    let bundle = empty();
    for (title, says) in [
        (
            "Exceptions and addressable decisions",
            "No appliance was given an exception, and no scan counts on one.",
        ),
        (
            "Findings and plan of action",
            "No scan of this period found a control drifted, and none was open before.",
        ),
        ("Findings and plan of action", "Nothing is open."),
        ("Activity", "No order was carried out in this period."),
        ("Activity", "No order was refused or held."),
        ("Backups and restore drills", "No order was about a backup in this period."),
        ("Backups and restore drills", "No restore was tried out in this period, so nothing can be said."),
        ("Inventory and listening sockets", "No scan of this period looked at listening sockets."),
        ("Incidents", "No order was about an incident in this period, and none ended."),
        (
            "Summary",
            "No business associate agreement with msp.example is recorded (45 CFR 164.308(b)(1), 164.504(e))",
        ),
        (
            "Agreement and operator access",
            "> **Not recorded.** No agreement between Northside Family Practice and",
        ),
        ("Agreement and operator access", "Nobody had access by a name of their own."),
        ("Agreement and operator access", "There was nothing to review"),
        ("Gaps in evidence", "Nothing is missing."),
        (
            "Results per citation",
            "| Security management process (standard) | Supported | this packet | – | – |",
        ),
        (
            "Results per citation",
            "| 164.308(a)(1)(ii)(B) | Security management process: risk management (required) | Not tested | this packet |",
        ),
        (
            "How to verify",
            "None is named: this is the first packet of this log, or the one before was not kept.",
        ),
    ] {
        assert!(
            section(text(&bundle), title).contains(says),
            "{title}: {says}\n\n{}",
            section(text(&bundle), title)
        );
    }
}

#[test]
fn each_section_says_what_the_month_held() {
    for (title, says) in [
        ("Summary", "Integrity: **Sound.**"),
        ("Summary", "**9 of 12** incidents resolved"),
        ("Summary", "NXH-037 on Server closet does not hold since November 21, 2026"),
        ("Summary", "Waived until May 12, 2027: NXH-045"),
        ("Scope and what is not covered", "| Front desk | records (backup), uploads (directory) |"),
        ("Results per citation", "| 164.312(c)(1) | Integrity (standard) | Finding |"),
        ("Results per citation", "| Excepted | 8 of 10 controls hold, 2 excepted<br>"),
        (
            "Results per citation",
            "| 164.310(d)(2)(iii) | Device and media controls: accountability (addressable) | Not tested | nothing in this period | – | – |",
        ),
        (
            "Results per citation",
            "| 164.308(a)(2) | Assigned security responsibility (required) | the clinic names its security official |",
        ),
        ("Exceptions and addressable decisions", "| Why | A driver of the scanner reads kernel addresses. |"),
        (
            "Exceptions and addressable decisions",
            "| Done instead | The box has no service that others reach; the scanner is replaced in March. |",
        ),
        ("Exceptions and addressable decisions", "| Signed by | owner |"),
        ("Exceptions and addressable decisions", "| Status | In force at the end of the period |"),
        (
            "Findings and plan of action",
            "On 30 of 30 days controls were looked at. The share that was as it must be was lowest on day 21 with 97.3%",
        ),
        (
            "Findings and plan of action",
            "| NXH-021 | The journal survives a reboot | high | Front desk | 2026-11-08 06:03 | Mended | 3 days |",
        ),
        ("Findings and plan of action", "| 9 days | November 28, 2026 (past) |"),
        ("Activity", "| Failed | 164.308(a)(1)(ii)(B)<br>"),
        ("Activity", "| held | A person at the box stopped all orders. |"),
        (
            "Backups and restore drills",
            "> **Proposed.** What an amendment of the Security Rule would ask for",
        ),
        (
            "Backups and restore drills",
            "Proposed: backup copies no older than 48 hours. When an order measured it, a newest backup was 2 days old.",
        ),
        ("Patches and updates", "| Front desk | 0.2.0 | 1 | 1 | 2026-11-20"),
        (
            "Patches and updates",
            "Not known from this evidence: the versions of the operating system's packages",
        ),
        (
            "Inventory and listening sockets",
            "| Front desk | 30 | 30 | 2026-11-30 06:10 | dhcp client 1, other 0, raw 0, tcp 0, udp 0 | Compliant |",
        ),
        ("Incidents", "12 incidents of 4 kinds; 3 not resolved. The most frequent: directory over limit."),
        ("Incidents", "| directory over limit: uploads | not known | 3 min | Resolved |"),
        ("Incidents", "| Server closet | service unreachable: portal | not known | – | Escalated |"),
        ("Agreement and operator access", "| Status | In force at the end of the period |"),
        ("Agreement and operator access", "| Signed | October 5, 2026 |"),
        ("Agreement and operator access", "by alice, record "),
        ("Agreement and operator access", ": 1 name kept, 1 ended |"),
        ("Agreement and operator access", "| bob | 2026-11-2"),
        ("Activity", "| alice | a business associate agreement was recorded, signed 2026-10-05 |"),
        ("Activity", "| alice | bob was given access until 2027-02-2"),
        ("Annex: index of records", "| act: incident | `"),
        (
            "Gaps in evidence",
            "Of 60 days of all appliances together, 57 watched whole, 2 in part and 1 not at all.",
        ),
        ("Gaps in evidence", "| Front desk | 1–13, 17–30 | 14, 16 | 15 |"),
        (
            "Gaps in evidence",
            "| Front desk | 2026-11-14 06:05 | 2026-11-16 00:05 | unknown | It ran on, but its executor sent no heartbeat. |",
        ),
        ("Reviewer's acknowledgement", "45 CFR 164.308(a)(1)(ii)(D) asks for a regular review"),
        ("How to verify", "control-plane packet build --from BUNDLE --out FOLDER"),
        ("How to verify", "`evidence.msp.example/"),
    ] {
        let found = section(text(&BUNDLE), title);
        assert!(found.contains(says), "{title}: {says}\n\n{found}");
    }
    let cover = text(&BUNDLE).split("\n## ").next().unwrap();
    for label in [
        "Clinic",
        "Agreement",
        "Period",
        "Appliances",
        "Baseline",
        "Runbook catalogue",
        "Evidence log",
        "Records",
        "Checkpoint",
        "Outside witnesses",
    ] {
        assert!(cover.contains(&format!("| {label} | ")), "{label}\n\n{cover}");
    }
}

#[test]
fn all_paragraphs_of_the_rule_are_in_it_once() {
    let results = section(text(&BUNDLE), "Results per citation");
    for paragraph in baseline::rule::paragraphs() {
        let begin = format!("\n| {} | {} (", paragraph.citation, paragraph.name);
        assert_eq!(results.matches(&begin).count(), 1, "{}", paragraph.citation);
    }
}

/// What a rule to come may ask for is never said to be asked for.
#[test]
fn nothing_proposed_is_called_required() {
    for line in text(&BUNDLE).lines().filter(|line| line.contains("90 FR 898") || line.contains("72 hours")) {
        assert!(line.contains("roposed"), "{line}");
        assert!(!line.contains("required") && !line.contains("must"), "{line}");
    }
}

/// What people wrote into an exception, and what boxes are called, is data in every table and chart.
#[test]
fn hostile_words_stay_words() {
    let mut tenant = Tenant::new(5, at("2026-11-03T06:00:00Z"));
    let n = tenant.enrol(false);
    tenant.heartbeat(n);
    let digest = tenant.waive_because(&[n], "<script>|\u{202e} ](x) #panic() \"]#read(\"/etc/passwd\")");
    tenant.scan_all(n, &[(super::tenant::WAIVED, Standing::Excepted)], Some(digest));
    tenant.wait(HOUR / 2);
    let mut parts = tenant.parts(tenant.evidence.len(), Some(november()));
    parts.appliance_names.values_mut().for_each(|name| *name = "\"] #place(\u{202e}| `_".into());
    let bundle = build(&parts).unwrap();
    let (markdown, report) = (text(&bundle), check(&tenant, &bundle));
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!(sections(markdown), SECTIONS);
    let why = "| Why | \\<script\\>\\|‹U+202E› \\](x) \\#panic() \"\\]\\#read(\"/etc/passwd\") |";
    assert!(section(markdown, "Exceptions and addressable decisions").contains(why), "{markdown}");
    assert!(!markdown.contains('\u{202e}'), "{markdown}");
    assert_eq!(markdown.matches("<script").count(), markdown.matches("\\<script").count(), "{markdown}");
    let lines = section(markdown, "Gaps in evidence").lines().filter(|line| line.contains("place"));
    for line in lines {
        assert_eq!(line.matches(" | ").count(), 3 + 2 * usize::from(line.contains('%')), "{line}");
    }
}

#[test]
fn it_is_made_again_byte_for_byte() {
    assert_eq!(build(&TENANT.parts(TENANT.evidence.len(), Some(november()))).unwrap(), *BUNDLE);
    let report = check(&TENANT, &*BUNDLE);
    // The one gap is the weekend on which the front desk was off.
    assert_eq!((report.exit_code(), report.faults.len()), (3, 0), "{report}");
}

#[cfg(feature = "pdf")]
mod pages {
    use std::{
        path::{Path, PathBuf},
        process::Command,
    };

    use super::*;

    fn pdf(bundle: &Bundle) -> &[u8] {
        &bundle.files()["packet.pdf"]
    }

    #[test]
    fn they_are_tagged_and_pictures_have_words() {
        let holds = |what: &[u8]| pdf(&BUNDLE).windows(what.len()).any(|window| window == what);
        // Structure and alternative texts may lie in compressed objects; these say outside of them that it is there.
        for what in [&b"/MarkInfo"[..], b"/StructTreeRoot", b"/Lang", b"pdfuaid:part"] {
            assert!(holds(what), "{}", String::from_utf8_lossy(what));
        }
    }

    /// Tools of somebody else's see headings, tables with heads, and words for every picture.
    #[test]
    fn other_programs_read_their_structure() {
        let (Some(pdfinfo), Some(qpdf)) = (tool("pdfinfo"), tool("qpdf")) else {
            assert!(
                std::env::var_os("CI").is_none(),
                "`make setup-run` unpacks poppler-utils and qpdf, as root"
            );
            println!("skipped: pdfinfo of poppler-utils, or qpdf, is not here");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let (file, plain) = (folder.path().join("packet.pdf"), folder.path().join("plain.pdf"));
        std::fs::write(&file, pdf(&BUNDLE)).unwrap();
        let about = said(&pdfinfo, &[&file]);
        for line in ["Title:           Evidence packet", "Tagged:          yes", "JavaScript:      no"] {
            assert!(about.contains(line), "{line}\n{about}");
        }
        let structure = said(&pdfinfo, &[Path::new("-struct-text"), &file]);
        for what in ["H1 ", "H2 ", "Table ", "TH ", "Figure", "LBody", "\"Results per citation\""] {
            assert!(structure.contains(what), "{what}\n{structure}");
        }
        assert_eq!(structure.matches("\n  H1 ").count(), SECTIONS.len());

        said(&qpdf, &[Path::new("--check"), &file]);
        said(&qpdf, &[Path::new("--qdf"), Path::new("--object-streams=disable"), &file, &plain]);
        let plain = String::from_utf8_lossy(&std::fs::read(&plain).unwrap()).into_owned();
        assert!(plain.contains("/Lang (en-US)"));
        let (pictures, words) = (plain.matches("/S /Figure").count(), plain.matches("\n  /Alt (").count());
        assert_eq!((pictures, words), (4, 4), "three charts and the checkpoint's code, each with words");
    }

    #[track_caller]
    fn said(program: &Path, arguments: &[&Path]) -> String {
        let mut command = Command::new(program);
        if let Some(libraries) = libraries(program) {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Installed, or unpacked for the tests.
    fn tool(name: &str) -> Option<PathBuf> {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/reader/root/usr/bin").join(name);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let installed = std::env::split_paths(&path).map(|folder| folder.join(name));
        std::iter::once(unpacked).chain(installed).find(|path| path.is_file())
    }

    fn libraries(program: &Path) -> Option<PathBuf> {
        let usr = program.parent()?.parent()?.join("lib");
        let mut folders = std::fs::read_dir(usr).ok()?.flatten().map(|entry| entry.path());
        folders.find(|folder| {
            let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
            names.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("libpoppler.so"))
        })
    }
}
