//! Text as a QR code, drawn as one path.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// White on all sides, in modules, as ISO/IEC 18004 wants it.
const QUIET: usize = 4;

/// An SVG of it; `None`: the text is longer than a code holds. Nothing of the text itself comes into the drawing.
#[must_use]
pub(super) fn svg(value: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(value, EcLevel::M).ok()?;
    let (width, colors) = (code.width(), code.to_colors());
    let mut path = String::new();
    for (y, row) in colors.chunks(width).enumerate() {
        let mut x = 0;
        while x < width {
            let run = row[x..].iter().take_while(|color| **color == Color::Dark).count();
            if run > 0 {
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET);
            }
            x += run.max(1);
        }
    }
    let side = width + 2 * QUIET;
    Some(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" width="{side}" height="{side}"><path fill="#000" d="{path}"/></svg>"##
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_does_not_get_into_the_drawing() {
        let drawing = svg("</svg><script>").unwrap();
        assert!(!drawing.contains("script"), "{drawing}");
        assert_eq!(drawing.matches('<').count(), 3);
        assert_eq!(svg(&"x".repeat(5000)), None);
    }
}
