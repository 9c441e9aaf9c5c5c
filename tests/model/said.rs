//! What the program said, and what every answer of it has to keep.

use serde_json::Value;

/// An answer: the exit status and both outputs.
#[derive(Clone, Debug)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Takes an answer. No test has to ask for this: whatever it is asked, the
    /// program does not panic, sends nothing a terminal would act on, and keeps
    /// to 80 columns.
    pub fn new(status: Option<i32>, out: Vec<u8>, err: Vec<u8>, json: bool) -> Self {
        let said = Self {
            status: status.expect("it ended by a signal"),
            out: String::from_utf8(out).expect("stdout is no text"),
            err: String::from_utf8(err).expect("stderr is no text"),
        };
        assert!(!said.err.contains("panicked"), "{}", said.err);
        for text in [&said.out, &said.err] {
            let bad = |letter: char| letter.is_control() && letter != '\n';
            assert!(!text.contains(bad), "a control character: {text:?}");
        }
        // For a browser, and for a spreadsheet.
        let page = said.out.starts_with("<!DOCTYPE html>") || said.out.starts_with("began,ended,op,");
        if !json && !page {
            let mut in_diff = false;
            for line in said.out.lines() {
                // Neither is a line of a diff.
                in_diff = line.starts_with("--- a/") || in_diff && !line.is_empty();
                if in_diff {
                    continue;
                }
                // A command is for copying: it is never broken.
                let command = line.starts_with("  echo ")
                    || line.starts_with("  [ ")
                    || line.starts_with("  DRIVER=")
                    || line.starts_with("  BEFORE=")
                    || line.starts_with("  xl ")
                    || line.starts_with("  sudo ")
                    || line.starts_with("  qvm-shutdown ")
                    || line.starts_with("  dmesg ")
                    || line.starts_with("  audit verify --from ")
                    || line.starts_with("  sed -i ")
                    || line.starts_with("  edit ")
                    || line.starts_with("  qvm-pci ")
                    || line.starts_with("  qubes-dom0-pci next-boot ")
                    || line.starts_with("  /opt/xensource/")
                    || line.starts_with("To assign ")
                    || line.starts_with("    --accept ");
                assert!(command || line.chars().count() <= 80, "above 80 columns: {line:?}");
            }
        }
        said
    }

    /// It ended with this status.
    #[track_caller]
    pub fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, status, "\nstdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// stdout or stderr has this text, however it was broken into lines.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.has(text), "no {text:?}\nstdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Neither has it.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(!self.has(text), "{text:?}\nstdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// stdout is this text, letter by letter.
    #[track_caller]
    pub fn shows(self, text: &str) -> Self {
        assert!(self.out == text, "\nstdout: {}\nexpected: {text}", self.out);
        self
    }

    fn has(&self, text: &str) -> bool {
        folded(&self.out).contains(&folded(text)) || folded(&self.err).contains(&folded(text))
    }

    /// The one document on stdout; nothing is on stderr.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.err, "", "stderr beside --json");
        assert_eq!(self.out.matches('\n').count(), 1, "{:?}", self.out);
        let document = serde_json::from_str(&self.out).expect(&self.out);
        super::schema::hold(&document);
        document
    }

    /// The journal's records on stdout, a line each; nothing is on stderr.
    #[track_caller]
    pub fn records(&self) -> Vec<Value> {
        assert_eq!(self.err, "", "stderr beside --json");
        let record = |line: &str| {
            let record = serde_json::from_str(line).expect(line);
            super::schema::hold_record(&record);
            record
        };
        self.out.lines().map(record).collect()
    }

    /// The one document, which is an error with this code.
    #[track_caller]
    pub fn fails(self, status: i32, code: &str) -> Self {
        let said = self.exits(status);
        let document = said.json();
        assert_eq!(document["error"]["code"], code, "{document}");
        for member in ["message", "hint"] {
            assert!(document["error"][member].is_string(), "{document}");
        }
        assert!(document["schema"].as_str().unwrap().starts_with("qubes-dom0-pci/"), "{document}");
        said
    }
}

/// Text with its line breaks and runs of spaces as single spaces.
pub fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
