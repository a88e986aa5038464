//! Turns one Typst source string into the bytes of one PDF.
//!
//! The rule: **the page depends on the arguments and on nothing else.** There is no file system, no
//! network, no package, no system font and no clock in here, so the same source, time and
//! identifier give the same bytes on every machine, and text that came from a clinic can at worst
//! be printed. Two things hold the second half: data enters the source as string literals made by
//! [`escape`], never as markup, and even markup would find an empty world.

mod literal;
mod problem;

use std::path::PathBuf;
use std::sync::LazyLock;

use jiff::{Timestamp, tz::TimeZone};
use typst::diag::{FileError, FileResult, SourceDiagnostic};
use typst::foundations::{Bytes, Datetime, Duration, Smart};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World, WorldExt};
use typst_kit::fonts::FontStore;
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards};

pub use literal::escape;
pub use problem::{Problem, Problems};

/// What a PDF names as its maker. A fixed word: a version would change bytes and mean nothing.
const CREATOR: &str = "Orderly";

/// What never changes between two documents, loaded once per process.
static SHELF: LazyLock<Shelf> = LazyLock::new(|| {
    let mut fonts = FontStore::new();
    fonts.extend(typst_kit::fonts::embedded());
    let path = VirtualPath::new("/packet.typ").expect("a constant path inside its root");
    Shelf {
        library: LazyHash::new(Library::default()),
        fonts,
        main: RootedPath::new(VirtualRoot::Project, path).intern(),
    }
});

/// Why a document could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// The document time has no calendar date that a PDF can carry.
    #[error("document time {unix_ms} ms must lie in the years 0 to 9999")]
    TimeOutOfRange {
        /// The time as given, in Unix milliseconds.
        unix_ms: i64,
    },
    /// The source is not a document: bad syntax, an unknown name, a file that is not there.
    #[error("document source does not compile: {0}")]
    Compile(Problems),
    /// The document was laid out but may not be called PDF/UA-1.
    #[error("document cannot be written as PDF/UA-1: {0}")]
    Export(Problems),
}

/// Renders Typst `source` as a PDF/UA-1 (tagged, accessible) document.
///
/// Same arguments, same bytes. `document_time` (Unix milliseconds, UTC) is the creation time in the
/// file and the only day that `datetime.today` knows. `identifier` must name this document and stay
/// with it when it is rendered again; only a hash of it reaches the file.
///
/// PDF/UA-1 wants a title: the source must `#set document(title: "...")`.
///
/// # Errors
/// [`PdfError::TimeOutOfRange`] for a time without a calendar date, [`PdfError::Compile`] for a
/// source that is not a document, [`PdfError::Export`] for a document that is not accessible.
pub fn render(source: &str, document_time: i64, identifier: &str) -> Result<Vec<u8>, PdfError> {
    let desk = Desk::new(source, document_time)?;
    let result = desk.typeset().and_then(|document| desk.export(&document, identifier));
    // Typst memoizes in a process-wide cache; without this a server keeps every packet it printed.
    typst::comemo::evict(0);
    result
}

/// The parts of a Typst world that all documents share.
struct Shelf {
    library: LazyHash<Library>,
    fonts: FontStore,
    main: FileId,
}

/// The world of one document: its source, its time, and nothing around them.
struct Desk {
    source: Source,
    time: Timestamp,
    created: Datetime,
}

impl Desk {
    fn new(source: &str, document_time: i64) -> Result<Self, PdfError> {
        let out_of_range = || PdfError::TimeOutOfRange { unix_ms: document_time };
        let time = Timestamp::from_millisecond(document_time).map_err(|_| out_of_range())?;
        let created = calendar(time).ok_or_else(out_of_range)?;
        Ok(Self { source: Source::new(SHELF.main, source.to_owned()), time, created })
    }

    fn typeset(&self) -> Result<PagedDocument, PdfError> {
        typst::compile::<PagedDocument>(self)
            .output
            .map_err(|problems| PdfError::Compile(self.locate(&problems)))
    }

    fn export(&self, document: &PagedDocument, identifier: &str) -> Result<Vec<u8>, PdfError> {
        let standards = PdfStandards::new(&[PdfStandard::V_1_7, PdfStandard::Ua_1])
            .expect("PDF/UA-1 is specified against PDF 1.7");
        let options = PdfOptions {
            ident: Smart::Custom(identifier.to_owned()),
            creator: Smart::Custom(Some(CREATOR.to_owned())),
            timestamp: Some(typst_pdf::Timestamp::new_utc(self.created)),
            page_ranges: None,
            standards,
            tagged: true,
            pretty: false,
        };
        typst_pdf::pdf(document, &options).map_err(|problems| PdfError::Export(self.locate(&problems)))
    }

    /// Typst's diagnostics with byte spans turned into lines, which is what a person can look up.
    fn locate(&self, diagnostics: &[SourceDiagnostic]) -> Problems {
        let line = |range: Option<std::ops::Range<usize>>| {
            self.source.lines().byte_to_line(range?.start).map(|index| index + 1)
        };
        let problem = |diagnostic: &SourceDiagnostic| Problem {
            line: line(self.range(diagnostic.span)),
            called_from: diagnostic.trace.iter().filter_map(|call| line(self.range(call.span))).collect(),
            message: diagnostic.message.to_string(),
            hints: diagnostic.hints.iter().map(|hint| hint.v.to_string()).collect(),
        };
        Problems(diagnostics.iter().map(problem).collect())
    }
}

impl World for Desk {
    fn library(&self) -> &LazyHash<Library> {
        &SHELF.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        SHELF.fonts.book()
    }

    fn main(&self) -> FileId {
        SHELF.main
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == SHELF.main { Ok(self.source.clone()) } else { Err(absent(id)) }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        Err(absent(id))
    }

    fn font(&self, index: usize) -> Option<Font> {
        SHELF.fonts.font(index)
    }

    fn today(&self, offset: Option<Duration>) -> Option<Datetime> {
        let seconds = offset.map_or(0.0, |offset| offset.seconds());
        let shift = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
        let there = calendar(self.time.checked_add(shift).ok()?)?;
        Datetime::from_ymd(there.year()?, there.month()?, there.day()?)
    }
}

/// The answer to every path but the document itself.
fn absent(id: FileId) -> FileError {
    FileError::NotFound(PathBuf::from(id.get().vpath().get_with_slash()))
}

/// `time` on the UTC calendar, to the second; none before the year 0, which a PDF cannot write.
fn calendar(time: Timestamp) -> Option<Datetime> {
    let zoned = time.to_zoned(TimeZone::UTC);
    let part = |value: i8| u8::try_from(value).ok();
    let year = i32::from(zoned.year());
    (year >= 0).then_some(())?;
    Datetime::from_ymd_hms(
        year,
        part(zoned.month())?,
        part(zoned.day())?,
        part(zoned.hour())?,
        part(zoned.minute())?,
        part(zoned.second())?,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use typst::layout::{Frame, FrameItem};

    use super::*;

    const STYLE: &str = include_str!("style.typ");
    /// 2026-12-01 23:30:05 UTC.
    const TIME: i64 = 1_796_167_805_000;
    const TITLED: &str = "#set document(title: \"T\")\n";
    const HOSTILE: &str =
        "#read(\"/etc/passwd\") ] $x$ \\ */ // \") #panic() \u{0} \u{202E}x \r\n= Head *b*\\";

    /// What stands on each page, in the order it was set; lines run into each other.
    fn printed(document: &PagedDocument) -> Vec<String> {
        fn walk(frame: &Frame, out: &mut String) {
            for (_, item) in frame.items() {
                match item {
                    FrameItem::Group(group) => walk(&group.frame, out),
                    FrameItem::Text(text) => out.push_str(&text.text),
                    _ => {}
                }
            }
        }
        let page = |frame: &Frame| {
            let mut out = String::new();
            walk(frame, &mut out);
            out
        };
        document.pages().iter().map(|it| page(&it.frame)).collect()
    }

    fn squeezed(text: &str) -> String {
        text.split_whitespace().collect()
    }

    fn typeset(source: &str) -> Result<PagedDocument, PdfError> {
        Desk::new(source, TIME)?.typeset()
    }

    fn compile_problems(source: &str) -> Vec<Problem> {
        match typeset(source) {
            Err(PdfError::Compile(problems)) => problems.0,
            other => panic!("expected a compile error, got {other:?}"),
        }
    }

    #[test]
    fn the_same_arguments_give_the_same_bytes() {
        let source = format!("{TITLED}= One\n#lorem(900)\n#table(columns: 2, [a], [b])");
        let first = render(&source, TIME, "a").unwrap();
        assert!(first.starts_with(b"%PDF-1.7"));
        let other = render(&format!("{TITLED}Other"), TIME, "a").unwrap();
        assert_ne!(first, other);
        assert_eq!(first, render(&source, TIME, "a").unwrap());
        assert_ne!(first, render(&source, TIME + 1000, "a").unwrap());
        assert_ne!(first, render(&source, TIME, "b").unwrap());
    }

    #[test]
    fn hostile_text_is_printed_as_text() {
        let source = format!("{TITLED}#text(\"{}\")", escape(HOSTILE));
        let document = typeset(&source).unwrap();
        let want = HOSTILE.replace('\0', "‹U+0000›").replace('\u{202E}', "‹U+202E›");
        assert_eq!(squeezed(&printed(&document)[0]), squeezed(&want));
        assert_eq!(document.pages().len(), 1);
        render(&source, TIME, "a").unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn no_text_can_stop_a_packet(
            text in "\\PC{0,80}|[ \u{a0}\r\n\t\u{0}]{0,4}",
            marks in "[a-zא-ת\u{300}-\u{36F}\u{5B0}-\u{5C7} ]{0,60}",
        ) {
            let body = r#"
                #show: packet.with(title: "TEXT", subject: "MARKS", reference: "MARKS")
                #cover(title: "TEXT", kicker: "MARKS", rows: (("TEXT", "MARKS"),), notice: "TEXT")
                #contents() #section("TEXT") #subsection("MARKS") #paragraph("TEXT") #note("MARKS")
                #records(columns: ("MARKS", "TEXT"), mono: (1,), rows: (("TEXT", "MARKS"),))"#;
            let body = body.replace("TEXT", &escape(&text)).replace("MARKS", &escape(&marks));
            let rendered = render(&format!("{STYLE}{body}"), TIME, "a");
            prop_assert!(rendered.is_ok(), "{rendered:?}");
        }
    }

    #[test]
    fn an_error_names_its_line() {
        let [problem] = &compile_problems("one\ntwo\n#let x = (\n")[..] else { panic!("one problem") };
        assert_eq!((problem.line, problem.message.as_str()), (Some(3), "unclosed delimiter"));

        let [problem] = &compile_problems("#let f(x) = {\n  1 + x\n}\n\n#f(\"a\")")[..] else {
            panic!("one problem")
        };
        assert_eq!((problem.line, &problem.called_from[..]), (Some(2), &[5][..]));
        let message = typeset("#f(\"a\")").unwrap_err().to_string();
        assert!(message.starts_with("document source does not compile: line 1: unknown variable: f"));
    }

    #[test]
    fn markup_finds_an_empty_world() {
        for code in [
            "#read(\"/etc/passwd\")",
            "#read(\"packet.typ\")",
            "#image(\"/logo.png\")",
            "#include \"other.typ\"",
            "#import \"@preview/cetz:0.3.0\"",
        ] {
            let [problem] = &compile_problems(code)[..] else { panic!("{code}") };
            assert!(problem.message.contains("not found"), "{code}: {}", problem.message);
        }
    }

    #[test]
    fn today_is_the_day_of_the_document() {
        let document = typeset("#datetime.today(offset: 0).display() #datetime.today(offset: 1).display()");
        assert_eq!(printed(&document.unwrap()), ["2026-12-01 2026-12-02"]);
    }

    #[test]
    fn a_time_without_a_date_is_refused() {
        for unix_ms in [i64::MIN, -62_167_219_200_001, i64::MAX] {
            let refused = render(TITLED, unix_ms, "a");
            assert!(matches!(refused, Err(PdfError::TimeOutOfRange { unix_ms: u }) if u == unix_ms));
        }
        render(TITLED, -62_167_219_200_000, "a").unwrap();
    }

    #[test]
    fn a_document_without_title_is_not_accessible() {
        let Err(PdfError::Export(problems)) = render("text", TIME, "a") else { panic!("refused") };
        assert!(problems.to_string().contains("missing document title"), "{problems}");
    }

    #[test]
    fn the_style_sets_every_helper_without_a_warning() {
        let digest = "0123456789abcdef0123456789abcdef";
        let row = format!("(\"2026-11-01\", \"Pruned\", \"Done\", \"{digest}\"),");
        let rows = row.repeat(90);
        let body = format!(
            r#"
            #show: packet.with(title: "Packet", subject: "North", period: "May", issuer: "MSP")
            #cover(title: "Packet", kicker: "MSP", rows: (("Clinic", "North"),), notice: "Read")
            #contents()
            #section("Summary") #subsection("Part") #paragraph("One\n\nTwo") #bullets(("a", "b"))
            #totals((("1", "incident"),)) #note("n", title: "N", tone: "warn")
            #badge("ok", tone: "good")
            #verdicts(((label: "Integrity", outcome: "Sound", tone: "good", reason: "r"),))
            #facts((("a", "b"),), values: "mono") #digest("00ff")
            #records(columns: ("a",), empty: "Nothing here.")
            #section("Records", break-before: true)
            #records(columns: ("When", "Headword", "Result", "Evidence"), mono: (3,), numbers: (0,),
                tones: ("Done": "good"), rows: ({rows}))
            "#
        );
        let desk = Desk::new(&format!("{STYLE}{body}"), TIME).unwrap();
        let compiled = typst::compile::<PagedDocument>(&desk);
        assert_eq!(desk.locate(&compiled.warnings), Problems(vec![]));
        let pages = printed(&compiled.output.unwrap());
        assert!(pages.len() >= 5, "{}", pages.len());
        for (n, page) in pages.iter().enumerate() {
            assert!(page.contains(&format!("Page {} of {}", n + 1, pages.len())), "{page}");
            assert_eq!(page.contains("Headword"), n >= 2, "table head on page {}", n + 1);
        }
        assert!(pages[0].contains("Clinic") && pages[1].contains("Nothing here."));
        assert!(pages[2].contains(digest), "a digest in pieces reads whole");
    }
}
