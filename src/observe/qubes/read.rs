//! Asks qubesd, or reads `qubes.xml`.

#![forbid(unsafe_code)]

use super::lists::{self, Listed};
use super::{stored, Assignment, Qube, Qubes, QubesSource};
use crate::error::{Code, Exit, Failure};
use crate::names::{escape, Untrusted};
use crate::observe::Reading;
use crate::system::qubesd::wire::QubesdRefusal;
use crate::system::qubesd::Qubesd;
use crate::system::root::{read_text, Sysroot};
use crate::system::sysfs::PciSysfs;

/// Where Qubes keeps its qubes.
const STORE: &str = "/var/lib/qubes/qubes.xml";

/// How often everything is read before it counts as changing all the time. At the start of a machine many
/// qubes start.
const READINGS: usize = 5;

const CUT: &str = "an answer of qubesd is cut";
const NOT_SAID: &[u8] = b"qubesd does not say which";

/// Everything Qubes knows of qubes and PCI devices; `None` where there is no Qubes.
///
/// # Errors
/// This is Qubes, and neither qubesd nor its file can be read.
pub fn read(root: &Sysroot, sysfs: &PciSysfs) -> Reading<Option<Qubes>> {
    if !is_here(root) {
        return Ok(None);
    }
    let qubesd = Qubesd::new(root);
    let store = root.path(STORE);
    let mut known = match ask(&qubesd) {
        Ok(known) => known,
        Err(failure) => {
            let why = failure.message;
            let unreadable = |error: String| format!("{why}; {STORE}: {error}");
            let text = read_text(&store).map_err(|error| unreadable(error.to_string()))?;
            let qubes = stored::qubes(&text).map_err(unreadable)?;
            let is_42 = !text.contains(" mode=\"");
            Qubes { source: QubesSource::Xml { why, is_42 }, qubes }
        }
    };
    for assignment in known.qubes.iter_mut().flat_map(|qube| &mut qube.assignments) {
        assignment.sbdf = assignment.port.function(sysfs).map_err(|failure| failure.message)?;
    }
    Ok(Some(known))
}

/// Whether this is Qubes, whatever of it works: its socket, its file or its release is there.
#[must_use]
pub fn is_here(root: &Sysroot) -> bool {
    Qubesd::new(root).is_there() || [STORE, "/etc/qubes-release"].iter().any(|path| root.path(path).exists())
}

/// One request for the list, one or two a qube for its devices, three more where it has some or is not
/// halted; and the list once more. Where the lists differ, a qube came or went or started meanwhile, or the
/// first was cut between two lines: then it is read anew.
fn ask(qubesd: &Qubesd) -> Result<Qubes, Failure> {
    let mut listed = list(qubesd)?;
    for _ in 0..READINGS {
        let is_43 = listed.iter().any(|qube| qube.uuid.is_some());
        let mut qubes = Vec::new();
        for one in &listed {
            qubes.extend(qube(qubesd, one.clone(), is_43)?);
        }
        let now = list(qubesd)?;
        if outline(&now) == outline(&listed) {
            let source = if is_43 { QubesSource::Qubesd43 } else { QubesSource::Qubesd42 };
            return Ok(Qubes { source, qubes });
        }
        listed = now;
    }
    Err(nonsense("the list of qubes changes while it is read"))
}

/// The list of qubes. dom0 is in each: without it is one that was cut, down to nothing where qubesd died
/// between the two writes of an answer.
fn list(qubesd: &Qubesd) -> Result<Vec<Listed>, Failure> {
    let listed = lists::listed(&whole(qubesd.call("admin.vm.List", "", "dom0", b"")?)?);
    let is_dom0 = |qube: &Listed| qube.name.as_qube_name().is_some_and(|name| name.as_str() == "dom0");
    if listed.iter().any(is_dom0) {
        Ok(listed)
    } else {
        Err(nonsense(CUT))
    }
}

/// What of a list decides what is asked.
fn outline(listed: &[Listed]) -> Vec<(&Untrusted, bool)> {
    listed.iter().map(|qube| (&qube.name, qube.state.is_live())).collect()
}

/// One qube; `None` where it is gone meanwhile.
fn qube(qubesd: &Qubesd, listed: Listed, is_43: bool) -> Result<Option<Qube>, Failure> {
    let mut qube = Qube {
        name: listed.name,
        uuid: listed.uuid.unwrap_or_default(),
        class: listed.class,
        state: listed.state,
        label: String::new(),
        provides_network: None,
        autostart: None,
        assignments: Vec::new(),
    };
    // Nothing can be asked about a name that Qubes would not take.
    let Some(name) = qube.known_name() else {
        qube.assignments.push(Assignment::unreadable(b"a qube of a strange name"));
        return Ok(Some(qube));
    };
    let name = name.as_str();
    let list = |method: &str| qubesd.ask(&format!("admin.vm.device.pci.{method}"), "", name, b"");
    // dom0 needs no assignment to have a device.
    if name != "dom0" {
        let of = if is_43 { lists::list_43 } else { lists::list_42 };
        qube.assignments = match list(if is_43 { "Assigned" } else { "List" })? {
            Ok(bytes) => of(&whole(bytes)?),
            Err(refusal) if is_gone(&refusal) => return Ok(None),
            Err(_) => vec![Assignment::unreadable(NOT_SAID)],
        };
        if is_43 && qube.state.is_live() {
            let attached = match list("Attached")? {
                Ok(bytes) => of(&whole(bytes)?),
                Err(refusal) if is_gone(&refusal) => return Ok(None),
                Err(_) => vec![Assignment::unreadable(NOT_SAID)],
            };
            qube.assignments = lists::joined(std::mem::take(&mut qube.assignments), attached);
        }
    }
    if !qube.assignments.is_empty() || qube.state.is_live() {
        let property = |property: &str| -> Result<Option<Vec<u8>>, Failure> {
            let answer = qubesd.ask("admin.vm.property.Get", property, name, b"")?;
            Ok(answer.ok().and_then(|bytes| lists::property(&bytes).map(<[u8]>::to_vec)))
        };
        qube.label = property("label")?.map(|label| escape(&label)).unwrap_or_default();
        // dom0 has neither.
        if name != "dom0" {
            let truth = |value: Option<Vec<u8>>| value.and_then(|value| lists::truth(&value));
            qube.provides_network = truth(property("provides_network")?);
            qube.autostart = truth(property("autostart")?);
        }
    }
    Ok(Some(qube))
}

/// A list that was not cut.
fn whole(bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if lists::is_whole(&bytes) {
        Ok(bytes)
    } else {
        Err(nonsense(CUT))
    }
}

fn nonsense(message: &str) -> Failure {
    Failure::new(Exit::Io, Code::QubesdNonsense, message, "try again")
}

/// Whether qubesd says that there is no such qube any more.
fn is_gone(refusal: &QubesdRefusal) -> bool {
    matches!(refusal, QubesdRefusal::Exception(kind, _) if kind.to_string() == "QubesVMNotFoundError")
}
