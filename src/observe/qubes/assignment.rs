//! Which device an assignment means.
//!
//! Qubes 4.2 names the address (`01_00.0`, segment 0 only). Qubes 4.3 names the way through the bridges
//! (`00_1c.0-00_00.0`) and the identity of the device (`0x8086:0x2723::p028000`); `*` stands for any of
//! either.

#![forbid(unsafe_code)]

use crate::error::Failure;
use crate::names::{escape, DeviceArgument, Sbdf};
use crate::observe::functions::follow_path;
use crate::observe::Function;
use crate::system::sysfs::PciSysfs;

/// A device that a qube is assigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// Where it is.
    pub port: Port,
    /// What it is.
    pub identity: PortIdentity,
    /// When the qube takes it.
    pub mode: Mode,
    /// Whether the qube has it now, as far as qubesd says so; 4.2 says it only of what was not assigned
    /// before.
    pub attached: bool,
    /// Options as `NAME=VALUE`, escaped.
    pub options: Vec<String>,
    /// The function its port leads to now; `None` for any port, and where nothing is there.
    pub sbdf: Option<Sbdf>,
}

/// Where an assigned device is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Port {
    /// Anywhere.
    Any,
    /// Qubes' name of the place: an address or a path through bridges.
    At(String),
    /// A text that is neither, escaped; it may mean any place.
    Unreadable(String),
}

/// What an assigned device is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PortIdentity {
    /// Anything.
    Any,
    /// A device of these ids; `None` stands for any.
    Is {
        /// Vendor id.
        vendor: Option<u16>,
        /// Device id.
        device: Option<u16>,
        /// Class, subclass and programming interface.
        class: Option<u32>,
    },
}

/// When a qube takes an assigned device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mode {
    /// At each start, and it does not start without (4.2: `persistent=yes`).
    Required,
    /// At each start, if it is there.
    AutoAttach,
    /// A person is asked.
    AskToAttach,
    /// It was given while the qube ran, for that time only.
    Manual,
    /// Another word, escaped: counts as at each start.
    Other(String),
}

impl Port {
    /// Reads Qubes' name of a place. Nothing that is no address can be part of a path afterwards.
    #[must_use]
    pub fn parse(untrusted_text: &[u8]) -> Self {
        if untrusted_text == b"*" {
            return Self::Any;
        }
        let text = std::str::from_utf8(untrusted_text).ok();
        match text.filter(|text| DeviceArgument::parse(text).is_some()) {
            Some(text) => Self::At(text.to_owned()),
            None => Self::Unreadable(escape(untrusted_text)),
        }
    }

    /// The function it leads to, through the bridges as they are now.
    ///
    /// # Errors
    /// sysfs cannot be read.
    pub fn function(&self, sysfs: &PciSysfs) -> Result<Option<Sbdf>, Failure> {
        let Self::At(text) = self else { return Ok(None) };
        match DeviceArgument::parse(text) {
            Some(DeviceArgument::Address(sbdf)) => Ok(Some(sbdf)),
            Some(DeviceArgument::Path(first, hops)) => follow_path(sysfs, first, &hops),
            None => Ok(None),
        }
    }

    /// As Qubes writes it, escaped.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Any => "*",
            Self::At(text) | Self::Unreadable(text) => text,
        }
    }
}

impl PortIdentity {
    /// Reads `0x8086:0x2723:SERIAL:p028000`; `*`, and every part that is not understood, stands for any.
    #[must_use]
    pub fn parse(untrusted_text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(untrusted_text);
        let mut parts = text.splitn(4, ':');
        let vendor = parts.next().and_then(|part| part.strip_prefix("0x")).and_then(|part| hex(part, 4));
        let device = parts.next().and_then(|part| part.strip_prefix("0x")).and_then(|part| hex(part, 4));
        let class = parts.nth(1).and_then(|part| part.strip_prefix('p')).and_then(|part| hex(part, 6));
        let short = |number: Option<u32>| number.and_then(|number| u16::try_from(number).ok());
        match (short(vendor), short(device), class) {
            (None, None, None) => Self::Any,
            (vendor, device, class) => Self::Is { vendor, device, class },
        }
    }

    /// Whether a function is, or may be, such a device.
    #[must_use]
    pub fn may_be(&self, function: &Function) -> bool {
        let Self::Is { vendor, device, class } = self else { return true };
        vendor.is_none_or(|vendor| vendor == function.vendor)
            && device.is_none_or(|device| device == function.device)
            && class.is_none_or(|class| class == function.class)
    }

    /// Whether two may mean one device.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let (Self::Is { vendor, device, class }, Self::Is { vendor: v, device: d, class: c }) = (self, other)
        else {
            return true;
        };
        let may = |one: Option<u32>, other: Option<u32>| one.is_none() || other.is_none() || one == other;
        may(vendor.map(u32::from), v.map(u32::from))
            && may(device.map(u32::from), d.map(u32::from))
            && may(*class, *c)
    }
}

impl Mode {
    /// Reads the word of 4.3.
    #[must_use]
    pub fn parse(untrusted_word: &[u8]) -> Self {
        match untrusted_word {
            b"required" => Self::Required,
            b"auto-attach" => Self::AutoAttach,
            b"ask-to-attach" => Self::AskToAttach,
            b"manual" => Self::Manual,
            other => Self::Other(escape(other)),
        }
    }
}

/// Hexadecimal digits, exactly so many.
fn hex(text: &str, digits: usize) -> Option<u32> {
    let good = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(text, 16).ok().filter(|_| good)
}

impl Assignment {
    /// One of any device, taken at each start.
    #[must_use]
    pub fn anything() -> Self {
        Self {
            port: Port::Any,
            identity: PortIdentity::Any,
            mode: Mode::Required,
            attached: false,
            options: Vec::new(),
            sbdf: None,
        }
    }

    /// One that nobody can read: it may mean any function and any time. The text says why.
    #[must_use]
    pub fn unreadable(untrusted_text: &[u8]) -> Self {
        let start = untrusted_text.get(..80).unwrap_or(untrusted_text);
        Self { port: Port::Unreadable(escape(start)), ..Self::anything() }
    }

    /// Whether it means this function: what stands at its port has to be what it says, as far as it says
    /// (core-admin `qubes/device_protocol.py`, `DeviceAssignment.devices`), by what the kernel read when it
    /// found the function. Not so where the qube has it now: then it was given, whatever it is called.
    #[must_use]
    pub fn names(&self, function: &Function) -> bool {
        match self.port {
            Port::Any => self.identity.may_be(function),
            Port::At(_) => {
                self.sbdf == Some(function.sbdf) && (self.attached || self.identity.may_be(function))
            }
            Port::Unreadable(_) => true,
        }
    }

    /// Whether the qube takes it again at its next start.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.mode != Mode::Manual
    }

    /// Whether the qube may write all of config space. Any value counts: the templates of core-admin ask only
    /// whether the text is empty, and `False` is not.
    #[must_use]
    pub fn is_permissive(&self) -> bool {
        self.has_option("permissive")
    }

    /// Whether the qube is given it though it cannot be reset.
    #[must_use]
    pub fn is_no_strict_reset(&self) -> bool {
        self.has_option("no-strict-reset")
    }

    fn has_option(&self, name: &str) -> bool {
        self.options.iter().any(|option| option.split_once('=').is_some_and(|(key, _)| key == name))
    }
}
