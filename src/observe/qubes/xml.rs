//! Just the XML that `qubes.xml` needs: elements, attributes, text, comments and the five named entities.
//!
//! Everything else is an error, document types above all: nothing is ever expanded or fetched. Python's lxml,
//! which writes the file, writes none of it.

#![forbid(unsafe_code)]

/// Deeper than any `qubes.xml` goes (7).
const DEPTH_MAX: usize = 32;
/// 1000 qubes have some 60,000 elements.
const ELEMENTS_MAX: usize = 1 << 20;

/// An element and what is in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Element {
    /// The name.
    pub name: String,
    /// The attributes in order.
    pub attributes: Vec<(String, String)>,
    /// The text directly in it, its pieces joined.
    pub text: String,
    /// The elements directly in it.
    pub children: Vec<Element>,
}

impl Element {
    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The elements of a name that are directly in it.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// Reads a document.
///
/// # Errors
/// It is no XML of this kind, in words.
pub fn parse(untrusted_text: &str) -> Result<Element, String> {
    let mut open: Vec<Element> = Vec::new();
    let mut rest = untrusted_text.strip_prefix('\u{feff}').unwrap_or(untrusted_text);
    let mut elements = 0;
    loop {
        let (text, tag) = rest.split_once('<').ok_or("it ends before its elements do")?;
        match open.last_mut() {
            Some(element) => element.text.push_str(&decoded(text)?),
            None if text.trim().is_empty() => {}
            None => return Err("text before the first element".to_owned()),
        }
        if let Some(comment) = tag.strip_prefix("!--") {
            rest = comment.split_once("-->").ok_or("a comment has no end")?.1;
        } else if let Some(instruction) = tag.strip_prefix('?') {
            rest = instruction.split_once("?>").ok_or("an instruction has no end")?.1;
        } else if tag.starts_with('!') {
            return Err("it has a document type or character data, which qubesd never writes".to_owned());
        } else if let Some(closing) = tag.strip_prefix('/') {
            let (name, after) = closing.split_once('>').ok_or("a tag has no end")?;
            rest = after;
            let element = open.pop().filter(|element| element.name == name.trim_end());
            let element = element.ok_or("an end does not match its beginning")?;
            match open.last_mut() {
                Some(outer) => outer.children.push(element),
                None => return ended(element, rest),
            }
        } else {
            elements += 1;
            if open.len() >= DEPTH_MAX || elements > ELEMENTS_MAX {
                return Err("it has too many elements, or too deep ones".to_owned());
            }
            let (element, is_whole, after) = opened(tag)?;
            rest = after;
            match (is_whole, open.last_mut()) {
                (false, _) => open.push(element),
                (true, Some(outer)) => outer.children.push(element),
                (true, None) => return ended(element, rest),
            }
        }
    }
}

/// After the outermost element there are only comments.
fn ended(element: Element, mut rest: &str) -> Result<Element, String> {
    while let Some(comment) = rest.trim_start().strip_prefix("<!--") {
        rest = comment.split_once("-->").ok_or("a comment has no end")?.1;
    }
    if rest.trim().is_empty() {
        Ok(element)
    } else {
        Err("something follows its last element".to_owned())
    }
}

/// What follows `<`: the element, whether it ends at once, and the rest.
fn opened(tag: &str) -> Result<(Element, bool, &str), String> {
    let (name, mut rest) = word(tag)?;
    let mut element = Element { name: name.to_owned(), ..Element::default() };
    loop {
        let trimmed = rest.trim_start();
        if let Some(after) = trimmed.strip_prefix('>') {
            return Ok((element, false, after));
        }
        if let Some(after) = trimmed.strip_prefix("/>") {
            return Ok((element, true, after));
        }
        if trimmed.len() == rest.len() {
            return Err("a tag is not understood".to_owned());
        }
        let (key, after) = word(trimmed)?;
        let after = after.trim_start().strip_prefix('=').ok_or("an attribute has no value")?.trim_start();
        let quote = after.chars().next().filter(|quote| ['"', '\''].contains(quote));
        let quote = quote.ok_or("an attribute's value has no quotes")?;
        let behind = after.strip_prefix(quote).unwrap_or_default();
        let (value, after) = behind.split_once(quote).ok_or("an attribute's value has no end")?;
        if value.contains('<') || element.attribute(key).is_some() {
            return Err("an attribute is not understood".to_owned());
        }
        element.attributes.push((key.to_owned(), decoded(value)?));
        rest = after;
    }
}

/// A name and what follows it.
fn word(text: &str) -> Result<(&str, &str), String> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "_:.-".contains(letter);
    let end = text.find(|letter| !good(letter)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or_default();
    if name.is_empty() {
        Err("a name is missing".to_owned())
    } else {
        Ok((name, rest))
    }
}

/// Text with its entities replaced.
fn decoded(text: &str) -> Result<String, String> {
    let mut pieces = text.split('&');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (entity, rest) = piece.split_once(';').ok_or("an entity has no end")?;
        let number = |digits: &str, base| {
            let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            u32::from_str_radix(digits, base).ok().filter(|_| plain).and_then(char::from_u32)
        };
        let letter = match entity {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            other => match other.strip_prefix("#x") {
                Some(digits) => number(digits, 16),
                None => other.strip_prefix('#').and_then(|digits| number(digits, 10)),
            },
        };
        decoded.push(letter.ok_or("an entity is not known")?);
        decoded.push_str(rest);
    }
    Ok(decoded)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn elements_attributes_and_text() {
        let read =
            parse("<?xml version='1.0'?>\n<a x=\"1&amp;2\" y='&#x41;'><!-- <b> --><b/>t&lt;u<b>v</b></a >\n")
                .unwrap();
        assert_eq!(read.attribute("x"), Some("1&2"));
        assert_eq!(read.attribute("y"), Some("A"));
        assert_eq!(read.text, "t<u");
        assert_eq!(read.all("b").count(), 2);
        assert_eq!(read.children[1].text, "v");
    }

    #[test]
    fn what_qubesd_never_writes_is_refused() {
        for text in [
            "",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "x<a/>",
            "<a/>x",
            "<!DOCTYPE a [<!ENTITY x SYSTEM \"/etc/shadow\">]><a>&x;</a>",
            "<a>&x;</a>",
            "<a>&#xD800;</a>",
            "<a>&#+65;</a>",
            "<a><![CDATA[b]]></a>",
            "<a b=c/>",
            "<a b='c' b='d'/>",
            "<a b='<'/>",
            "<a b='c'd='e'/>",
            "< a/>",
            "<a",
            "<a b='",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"<a>".repeat(1000)).is_err());
    }

    proptest! {
        #[test]
        fn a_document_cut_anywhere_is_refused(at in 0usize..61) {
            let whole = "<a x='1'><b y=\"2&gt;\">text &amp; more</b><!-- c --><d/><e></e></a>";
            prop_assert!(parse(whole).is_ok());
            prop_assert!(parse(&whole[..at]).is_err());
        }
    }
}
