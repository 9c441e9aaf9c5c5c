//! Text for people: as wide as the terminal, and nothing a terminal would act on.

/// The width of a page where there is no terminal.
const PAGE: usize = 80;
/// Narrower than this is not read but guessed at.
const NARROWEST: usize = 40;

/// How many columns a line may take: the terminal's, or 80 where the answer does not go to one.
#[must_use]
pub fn width() -> usize {
    let size = console::Term::stdout().size_checked();
    size.map_or(PAGE, |(_, columns)| usize::from(columns).max(NARROWEST))
}

/// Breaks text into lines that fit the terminal, the first behind `first`, the
/// others indented as far. A word that is longer than a line is broken too: names
/// are as long as who gave them liked.
#[must_use]
pub fn wrapped(first: &str, text: &str) -> String {
    wrapped_to(width(), first, text)
}

/// Text cut to so many columns, marked where it was cut.
#[must_use]
pub fn cut(text: &str, columns: usize) -> String {
    if console::measure_text_width(text) <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns.saturating_sub(2)).collect();
    format!("{}..", kept.trim_end())
}

/// Breaks text into lines of at most `width` columns.
#[must_use]
pub fn wrapped_to(width: usize, first: &str, text: &str) -> String {
    let indent = console::measure_text_width(first);
    let room = width.saturating_sub(indent).max(20);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace().flat_map(|word| pieces(word, room)) {
        let used = console::measure_text_width(&line);
        if used > 0 && used + 1 + console::measure_text_width(&word) > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    let mut shown = String::new();
    for (number, line) in lines.iter().enumerate() {
        if number == 0 {
            shown.push_str(first);
        } else {
            shown.push_str(&" ".repeat(indent));
        }
        shown.push_str(line);
        shown.push('\n');
    }
    shown
}

/// A word in pieces of at most `room` letters.
fn pieces(word: &str, room: usize) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    letters.chunks(room).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_longer_than_a_line_is_broken() {
        let text = wrapped_to(PAGE, "  state   ", &format!("in use by {}", "x".repeat(200)));
        assert!(text.lines().all(|line| line.len() <= PAGE), "{text}");
        assert_eq!(text.matches('x').count(), 200);
    }

    #[test]
    fn a_long_sentence_is_broken_under_its_first_word() {
        let text = wrapped_to(PAGE, "  usb   ", &"word ".repeat(30));
        assert!(
            text.lines()
                .all(|line| line.len() <= PAGE
                    && (line.starts_with("  usb   ") || line.starts_with("        ")))
        );
    }
}
