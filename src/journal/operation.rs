//! The records of an operation itself: it began, `recover` went on with it, it ended.
//!
//! | phase | members |
//! | --- | --- |
//! | `start` | `command`; `driver`, `override`, `slot`, `owner` as found; `device`, `class`, `found`; |
//! |  | consent: `plan`, `act`, `accepted`, `consent`; who: `loginuid`, `sudo_user`, `tty` |
//! | `recover` |  |
//! | `end` | `outcome`, `state` |
//!
//! Each names the function, `bdf`. Texts are kept escaped, as the journal shows them. What is not understood
//! is `Other` or `None`: a journal of a newer version, or of another's making, stays readable.

use super::members::{address, flag, list, text, whole};
use crate::names::{unescape, DriverName, Owner, Sbdf, Standing};
use crate::system::who::Who;
use audit::{Draft, Record};

/// A record of an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperationRecord {
    /// The operation.
    pub id: String,
    /// The function; `None` where the record names none: older versions named it at the start only.
    pub bdf: Option<Sbdf>,
    /// What it says.
    pub phase: OperationPhase,
}

/// What a record says of its operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OperationPhase {
    /// It begins.
    Start(Box<Start>),
    /// It was interrupted, and `recover` goes on with it.
    Recover,
    /// It ended.
    End {
        /// The code's word; a hang is an end nobody knows.
        outcome: String,
        /// The function's state then.
        state: String,
    },
    /// Nothing that this version knows.
    Other,
}

/// What an operation begins with.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Start {
    /// `reattach`, `hold`, ...
    pub command: String,
    /// How the function stood: undo leads back there. `None` where the record does not say all of it.
    pub standing: Option<Standing>,
    /// Vendor and device.
    pub device: String,
    /// The class.
    pub class: String,
    /// The state in words.
    pub found: String,
    /// What was consented to; `None` where the command asks for no consent.
    pub consent: Option<Consent>,
    /// Who runs it.
    pub who: Who,
}

/// What was consented to, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consent {
    /// The plan's id.
    pub plan: String,
    /// Rollback: the number of the record that the undone act begins with.
    pub act: Option<i64>,
    /// The hazards that were accepted.
    pub accepted: Vec<String>,
    /// Whether a person was asked, or the hazards were named on the command line.
    pub asked: bool,
}

impl OperationRecord {
    /// The record to append.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let at = |draft: Draft| self.bdf.iter().fold(draft, |draft, bdf| draft.text("bdf", &bdf.to_string()));
        let draft = Draft::new("op").op(&self.id);
        match &self.phase {
            OperationPhase::Start(start) => {
                let draft = draft.text("phase", "start").bytes("command", &unescape(&start.command));
                start.onto(at(draft))
            }
            OperationPhase::Recover => at(draft.text("phase", "recover")),
            OperationPhase::End { outcome, state } => at(draft.text("phase", "end"))
                .bytes("outcome", &unescape(outcome))
                .bytes("state", &unescape(state)),
            OperationPhase::Other => at(draft),
        }
    }

    /// What a record says; `None` where it is of another kind.
    #[must_use]
    pub fn read(record: &Record) -> Option<Self> {
        if record.kind() != "op" {
            return None;
        }
        let phase = match record.text("phase") {
            Some("start") => OperationPhase::Start(Box::new(Start::read(record))),
            Some("recover") => OperationPhase::Recover,
            Some("end") => {
                OperationPhase::End { outcome: text(record, "outcome"), state: text(record, "state") }
            }
            _ => OperationPhase::Other,
        };
        let bdf = address(record);
        Some(Self { id: text(record, "op"), bdf, phase })
    }
}

impl Start {
    fn onto(&self, draft: Draft) -> Draft {
        let draft = self.standing.iter().fold(draft, |draft, found| {
            draft
                .text("driver", found.driver.as_ref().map_or("", DriverName::as_str))
                .text("override", found.driver_override.as_deref().unwrap_or(""))
                .flag("slot", found.slot)
                .text("owner", &found.owner.to_string())
        });
        let draft = draft
            .bytes("device", &unescape(&self.device))
            .bytes("class", &unescape(&self.class))
            .bytes("found", &unescape(&self.found));
        let draft = self.consent.iter().fold(draft, |draft, consent| {
            let draft = draft.bytes("plan", &unescape(&consent.plan));
            let draft = consent.act.iter().fold(draft, |draft, act| draft.number("act", *act));
            let how = if consent.asked { "prompt" } else { "accept" };
            draft.list("accepted", &consent.accepted).text("consent", how)
        });
        // The member is what the run gave, a shown text: escaped once more, as it always was.
        let Who { loginuid, sudo_user, tty } = &self.who;
        let who = [("loginuid", loginuid), ("sudo_user", sudo_user), ("tty", tty)];
        who.into_iter().fold(draft, |draft, (key, value)| draft.text(key, value))
    }

    fn read(record: &Record) -> Self {
        let raw = |key: &str| record.text(key).and_then(whole).unwrap_or_default();
        let consent = record.text("consent").map(|how| Consent {
            plan: text(record, "plan"),
            act: record.number("act"),
            accepted: list(record, "accepted").iter().map(|shown| whole(shown).unwrap_or_default()).collect(),
            asked: how == "prompt",
        });
        Self {
            command: text(record, "command"),
            standing: standing(record),
            device: text(record, "device"),
            class: text(record, "class"),
            found: text(record, "found"),
            consent,
            who: Who { loginuid: raw("loginuid"), sudo_user: raw("sudo_user"), tty: raw("tty") },
        }
    }
}

/// How the function stood; a record that leaves out the slot or the owner says nothing of it.
fn standing(record: &Record) -> Option<Standing> {
    Some(Standing {
        driver: record.text("driver").and_then(DriverName::parse),
        driver_override: record.text("override").and_then(whole).filter(|text| !text.is_empty()),
        slot: flag(record, "slot")?,
        owner: record.text("owner").and_then(Owner::parse)?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::journal::members::tests::{line, read_back};

    fn of(bdf: Option<&str>, phase: OperationPhase) -> OperationRecord {
        OperationRecord { id: "9616d76e".into(), bdf: bdf.and_then(Sbdf::from_sysfs), phase }
    }

    fn start(consent: Option<Consent>) -> OperationRecord {
        let standing = Standing {
            driver: Some(DriverName::PCIBACK),
            driver_override: Some("pci\x1bback\\".to_owned()),
            slot: true,
            owner: Owner::Quarantine,
        };
        let who = Who { loginuid: "1000".into(), sudo_user: "us\\x1ber".into(), tty: String::new() };
        let start = Start {
            command: "reattach".into(),
            standing: Some(standing),
            device: "8086:10d3".into(),
            class: "020000".into(),
            found: "held by pciback".into(),
            consent,
            who,
        };
        of(Some("0000:03:00.0"), OperationPhase::Start(Box::new(start)))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let consent =
            Consent { plan: "p-1".into(), act: None, accepted: vec!["exposed:sys-net".into()], asked: true };
        let of_act = Consent { act: Some(17), accepted: Vec::new(), asked: false, ..consent.clone() };
        let end = OperationPhase::End { outcome: "done".into(), state: "driven by e1000e".into() };
        for written in [
            start(None),
            start(Some(consent)),
            start(Some(of_act)),
            of(None, OperationPhase::Recover),
            of(Some("0000:03:00.0"), end),
            of(None, OperationPhase::Other),
        ] {
            assert_eq!(OperationRecord::read(&read_back(&written.draft())), Some(written));
        }
    }

    #[test]
    fn the_members_stand_where_they_always_stood() {
        let consent = Consent { plan: "p".into(), act: Some(7), accepted: vec!["a".into()], asked: false };
        let want = concat!(
            r#""op":"9616d76e","kind":"op","phase":"start","command":"reattach","bdf":"0000:03:00.0","#,
            r#""driver":"pciback","override":"pci\\x1bback\\\\","slot":true,"owner":"DomIO","#,
            r#""device":"8086:10d3","class":"020000","found":"held by pciback","plan":"p","act":7,"#,
            r#""accepted":["a"],"consent":"accept","loginuid":"1000","sudo_user":"us\\\\x1ber","tty":"","#,
        );
        let line = line(&start(Some(consent)).draft());
        assert!(line.contains(want), "{line}");
    }

    #[test]
    fn a_record_of_another_version_is_read_as_far_as_it_is_understood() {
        let draft = Draft::new("op").op("1").text("phase", "paused");
        let read = OperationRecord::read(&read_back(&draft)).unwrap();
        assert_eq!(read.phase, OperationPhase::Other);
        let draft = Draft::new("op").text("phase", "start").text("bdf", "no address").text("owner", "?");
        let read = OperationRecord::read(&read_back(&draft)).unwrap();
        let start = match read.phase {
            OperationPhase::Start(start) => Some(start),
            _ => None,
        };
        let start = start.unwrap();
        assert_eq!((read.id.as_str(), read.bdf, start.standing, start.consent), ("", None, None, None));
        assert_eq!(OperationRecord::read(&read_back(&Draft::new("step"))), None);
    }
}
