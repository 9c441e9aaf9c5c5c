//! qubesd's lists, read. Pure: bytes in, facts out; every byte is untrusted, and a line that is not
//! understood becomes an assignment that may mean anything.

#![forbid(unsafe_code)]

use super::{Assignment, Mode, Port, PortIdentity, QubeState};
use crate::names::{escape, Untrusted};

/// One line of `admin.vm.List`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The qube's name.
    pub name: Untrusted,
    /// The class, escaped.
    pub class: String,
    /// Whether it runs.
    pub state: QubeState,
    /// The uuid, escaped; `None` where there is no such word: Qubes 4.2.
    pub uuid: Option<String>,
}

/// Whether a list is whole: each of its lines has an end. A qubesd that dies while it answers cuts its
/// answer, which nothing else tells.
#[must_use]
pub fn is_whole(untrusted_bytes: &[u8]) -> bool {
    untrusted_bytes.last().is_none_or(|&byte| byte == b'\n')
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

/// A word `KEY=VALUE`.
fn key_and_value(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = word.iter().position(|&byte| byte == b'=')?;
    Some((word.get(..at)?, word.get(at + 1..)?))
}

/// `NAME class=CLASS state=STATE[ uuid=UUID]` a line. A qube without a state counts as one that runs.
#[must_use]
pub fn listed(untrusted_bytes: &[u8]) -> Vec<Listed> {
    let read = |line: &[u8]| {
        let mut words = line.split(|&byte| byte == b' ');
        let name = Untrusted::new(words.next().unwrap_or_default());
        let mut listed =
            Listed { name, class: String::new(), state: QubeState::Other(String::new()), uuid: None };
        for (key, value) in words.filter_map(key_and_value) {
            match key {
                b"class" => listed.class = escape(value),
                b"state" => listed.state = QubeState::parse(value),
                b"uuid" => listed.uuid = Some(escape(value)),
                _ => {}
            }
        }
        listed
    };
    lines(untrusted_bytes).map(read).collect()
}

/// The value of `default=BOOL type=TYPE VALUE`, which may be empty; `None` where it is no such answer.
#[must_use]
pub fn property(untrusted_bytes: &[u8]) -> Option<&[u8]> {
    let mut parts = untrusted_bytes.splitn(3, |&byte| byte == b' ');
    let (default, kind, value) = (parts.next()?, parts.next()?, parts.next()?);
    (default.starts_with(b"default=") && kind.starts_with(b"type=")).then_some(value)
}

/// A property that is yes or no.
#[must_use]
pub fn truth(value: &[u8]) -> Option<bool> {
    match value {
        b"True" => Some(true),
        b"False" => Some(false),
        _ => None,
    }
}

/// Whether a device of this backend may be one of dom0's: `*` stands for any.
fn is_dom0s(backend: &[u8]) -> bool {
    matches!(backend, b"dom0" | b"*" | b"None")
}

/// `admin.vm.device.pci.List` of 4.2: `dom0+00_1f.6 permissive=True persistent=yes` a line, assigned and
/// attached alike.
#[must_use]
pub fn list_42(untrusted_bytes: &[u8]) -> Vec<Assignment> {
    lines(untrusted_bytes).filter_map(line_42).collect()
}

fn line_42(line: &[u8]) -> Option<Assignment> {
    let mut words = line.split(|&byte| byte == b' ');
    let mut device = words.next().unwrap_or_default().splitn(2, |&byte| byte == b'+');
    let (Some(backend), Some(port)) = (device.next(), device.next()) else {
        return Some(Assignment::unreadable(line));
    };
    if !is_dom0s(backend) {
        return None;
    }
    let mut assignment = Assignment { port: Port::parse(port), ..Assignment::anything() };
    for word in words {
        match key_and_value(word) {
            Some((b"persistent", b"no")) => {
                assignment.mode = Mode::Manual;
                assignment.attached = true;
            }
            Some((b"persistent", _)) => {}
            _ => assignment.options.push(escape(word)),
        }
    }
    Some(assignment)
}

/// `admin.vm.device.pci.Assigned` and `.Attached` of 4.3: `dom0+PORT:IDENTITY device_id='*' port_id='00_1f.6'
/// backend_domain='dom0' mode='required' _permissive='True'`.
#[must_use]
pub fn list_43(untrusted_bytes: &[u8]) -> Vec<Assignment> {
    lines(untrusted_bytes).filter_map(line_43).collect()
}

fn line_43(line: &[u8]) -> Option<Assignment> {
    let Some(members) = members(line) else { return Some(Assignment::unreadable(line)) };
    let value = |key: &[u8]| members.iter().find(|(name, _)| *name == key).map(|(_, value)| &value[..]);
    if value(b"backend_domain").is_some_and(|backend| !is_dom0s(backend)) {
        return None;
    }
    let options = members.iter().filter_map(|(key, value)| Some((key.strip_prefix(b"_")?, value)));
    Some(Assignment {
        port: value(b"port_id").map_or_else(|| Port::Unreadable(escape(line)), Port::parse),
        identity: value(b"device_id").map_or(PortIdentity::Any, PortIdentity::parse),
        mode: value(b"mode").map_or(Mode::Required, Mode::parse),
        attached: false,
        options: options.map(|(key, value)| format!("{}={}", escape(key), escape(value))).collect(),
        sbdf: None,
    })
}

/// What follows the first word: `KEY='VALUE'` with one space between; `\'` is a quote within a value, and a
/// backslash stands for itself.
fn members(line: &[u8]) -> Option<Vec<(&[u8], Vec<u8>)>> {
    let at = line.iter().position(|&byte| byte == b' ')?;
    let mut rest = line.get(at..)?;
    let mut members = Vec::new();
    while let Some(after) = rest.strip_prefix(b" ") {
        let (key, _) = key_and_value(after)?;
        rest = after.get(key.len() + 1..)?.strip_prefix(b"'")?;
        let mut value = Vec::new();
        loop {
            match (rest.first()?, rest.get(1)) {
                (b'\\', Some(b'\'')) => {
                    value.push(b'\'');
                    rest = rest.get(2..)?;
                }
                (b'\'', _) => {
                    rest = rest.get(1..)?;
                    break;
                }
                (&byte, _) => {
                    value.push(byte);
                    rest = rest.get(1..)?;
                }
            }
        }
        members.push((key, value));
    }
    rest.is_empty().then_some(members)
}

/// Marks those of the assigned that are attached, and adds those that are attached without being assigned.
///
/// qubesd names an attached device by its full identity, also where the assignment says `*`, and then calls
/// its mode `manual` although it is required: they are joined by the port.
#[must_use]
pub fn joined(mut assigned: Vec<Assignment>, attached: Vec<Assignment>) -> Vec<Assignment> {
    for one in attached {
        let same = |other: &&mut Assignment| {
            (other.port == Port::Any || other.port == one.port) && other.identity.meets(&one.identity)
        };
        match assigned.iter_mut().find(same) {
            Some(known) => known.attached = true,
            None => assigned.push(Assignment { attached: true, ..one }),
        }
    }
    assigned
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_tells_4_3_from_4_2() {
        let old = listed(b"dom0 class=AdminVM state=Running\nsys-net class=AppVM state=Halted\n");
        assert_eq!(old[1].state, QubeState::Halted);
        assert_eq!(old[1].uuid, None);
        let new = listed(b"sys-net class=AppVM state=Transient uuid=cb084001-53d5-4ae7-809b-ec7b16c397a8\n");
        assert_eq!(new[0].state, QubeState::Transient);
        assert_eq!(new[0].uuid.as_deref(), Some("cb084001-53d5-4ae7-809b-ec7b16c397a8"));
    }

    #[test]
    fn a_qube_without_a_state_counts_as_one_that_runs() {
        for line in [&b"work"[..], b"work class=AppVM", b"work state=", b"work state=Haltedx"] {
            assert!(listed(line)[0].state.is_live());
        }
    }

    #[test]
    fn a_property_may_be_empty() {
        assert_eq!(property(b"default=False type=label red"), Some(&b"red"[..]));
        assert_eq!(property(b"default=False type=vm "), Some(&b""[..]));
        assert_eq!(
            property(b"default=True type=str 10.139.1.1 10.139.1.2"),
            Some(&b"10.139.1.1 10.139.1.2"[..])
        );
        assert_eq!(property(b""), None);
    }

    #[test]
    fn what_4_2_assigned() {
        let list = list_42(
            b"dom0+00_1f.6 no-strict-reset=True persistent=yes\ndom0+07_00.4 persistent=no\nsys-usb+x y=z\n",
        );
        assert_eq!(list.len(), 2);
        assert_eq!(list[0].port, Port::At("00_1f.6".into()));
        assert!(list[0].is_no_strict_reset() && !list[0].is_permissive() && list[0].lasts());
        assert!(!list[1].lasts() && list[1].attached);
    }

    #[test]
    fn what_4_3_assigned() {
        let list = list_43(
            b"dom0+00_1c.0-00_00.0:* device_id='*' port_id='00_1c.0-00_00.0' devclass='pci' backend_domain='dom0' \
              mode='required' frontend_domain='sys-net' _permissive='False' _no-strict-reset='True'\n\
              dom0+*:0x8086:0x0284::p060100 device_id='0x8086:0x0284::p060100' port_id='*' devclass='pci' \
              backend_domain='dom0' mode='ask-to-attach'\n",
        );
        assert_eq!(list[0].port, Port::At("00_1c.0-00_00.0".into()));
        assert_eq!(list[0].identity, PortIdentity::Any);
        // The templates of core-admin ask only whether the text is empty.
        assert!(list[0].is_permissive() && list[0].is_no_strict_reset());
        assert_eq!(list[1].port, Port::Any);
        assert_eq!(
            list[1].identity,
            PortIdentity::Is { vendor: Some(0x8086), device: Some(0x0284), class: Some(0x060100) }
        );
        assert_eq!(list[1].mode, Mode::AskToAttach);
    }

    #[test]
    fn a_quote_in_a_value_does_not_end_it() {
        let list = list_43(b"x a='it\\'s mode=' port_id='00_1f.6' _b='c\\d' backend_domain='dom0'");
        assert_eq!(list[0].port, Port::At("00_1f.6".into()));
        assert_eq!(list[0].mode, Mode::Required);
        assert_eq!(list[0].options, ["b=c\\\\d"]);
    }

    #[test]
    fn a_line_that_is_not_understood_may_mean_any_device() {
        for line in
            [&b"x"[..], b"x a", b"x a='b", b"x a='b'c", b"x  a='b'", b"x port_id='../..'", b"\x00\xff"]
        {
            let list = list_43(line);
            assert!(matches!(list[0].port, Port::Unreadable(_)), "{line:?}: {list:?}");
            assert!(list[0].lasts());
        }
        for line in [&b"x"[..], b"dom0+../x", b"dom0+"] {
            assert!(matches!(list_42(line)[0].port, Port::Unreadable(_)));
        }
    }

    #[test]
    fn what_is_attached_is_joined_to_its_assignment_by_the_port() {
        let assigned =
            list_43(b"x device_id='*' port_id='00_1c.0-00_00.0' mode='required'\nx port_id='00_14.0'");
        let attached = list_43(
            b"x device_id='0x8086:0x2723::p028000' port_id='00_1c.0-00_00.0' mode='manual'\n\
              x device_id='0x1022:0x1639::p0c0330' port_id='00_08.1-00_00.4' mode='manual'",
        );
        let all = joined(assigned, attached);
        let told: Vec<_> = all.iter().map(|one| (one.port.text(), one.attached, one.lasts())).collect();
        assert_eq!(
            told,
            [("00_1c.0-00_00.0", true, true), ("00_14.0", false, true), ("00_08.1-00_00.4", true, false)]
        );
    }
}
