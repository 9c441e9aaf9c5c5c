//! `/var/lib/qubes/qubes.xml`, the file Qubes keeps its qubes in: what is left to read where qubesd does not
//! answer.

#![forbid(unsafe_code)]

use super::xml::{parse, Element};
use super::{Assignment, Mode, Port, PortIdentity, Qube, QubeState};
use crate::names::{escape, Untrusted};

/// The qubes of the file; none of them tells its state.
///
/// # Errors
/// It is no such file, in words.
pub fn qubes(untrusted_text: &str) -> Result<Vec<Qube>, String> {
    let root = parse(untrusted_text)?;
    if root.name != "qubes" {
        return Err("it is not Qubes' file".to_owned());
    }
    Ok(root.all("domains").flat_map(|domains| domains.all("domain")).map(qube).collect())
}

/// Only what differs from its default is in the file: a switch that is not there is off.
fn qube(domain: &Element) -> Qube {
    let property = |name: &str| {
        let mut all = domain.all("properties").flat_map(|properties| properties.all("property"));
        all.find(|property| property.attribute("name") == Some(name)).map(|property| property.text.as_str())
    };
    let shown = |text: Option<&str>| escape(text.unwrap_or_default().as_bytes());
    let class = domain.attribute("class");
    let name = property("name").or((class == Some("AdminVM")).then_some("dom0")).unwrap_or_default();
    let devices = domain.all("devices").filter(|devices| devices.attribute("class") == Some("pci"));
    Qube {
        name: Untrusted::new(name.as_bytes()),
        uuid: shown(property("uuid")),
        class: shown(class),
        state: QubeState::NotTold,
        label: shown(property("label")),
        provides_network: Some(property("provides_network") == Some("True")),
        autostart: Some(property("autostart") == Some("True")),
        assignments: devices.flat_map(|devices| devices.all("device")).filter_map(assignment).collect(),
    }
}

/// 4.2: `<device backend-domain="dom0" id="01_00.0">`; 4.3 adds `mode` and `identity`, and before that
/// `required`.
fn assignment(device: &Element) -> Option<Assignment> {
    if !matches!(device.attribute("backend-domain"), None | Some("dom0" | "*")) {
        return None;
    }
    let option = |option: &Element| {
        let name = option.attribute("name").unwrap_or_default();
        (name.to_owned(), option.text.clone())
    };
    let (identities, options): (Vec<_>, Vec<_>) =
        device.all("option").map(option).partition(|(name, _)| name == "identity");
    let identity = device.attribute("identity").or(identities.first().map(|(_, text)| text.as_str()));
    let mode = match (device.attribute("mode"), device.attribute("required")) {
        (Some(mode), _) => Mode::parse(mode.as_bytes()),
        (None, Some("no")) => Mode::AutoAttach,
        (None, _) => Mode::Required,
    };
    let id = device.attribute("id").unwrap_or_default();
    let shown =
        |(name, text): &(String, String)| format!("{}={}", escape(name.as_bytes()), escape(text.as_bytes()));
    Some(Assignment {
        port: Port::parse(id.as_bytes()),
        identity: identity.map_or(PortIdentity::Any, |text| PortIdentity::parse(text.as_bytes())),
        mode,
        options: options.iter().map(shown).collect(),
        ..Assignment::anything()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::unreachable)]
mod tests {
    use super::*;

    fn told(file: &str) -> Vec<String> {
        let read = qubes(file).unwrap();
        let line = |qube: &Qube| {
            let devices: Vec<String> = qube
                .assignments
                .iter()
                .map(|one| format!("{} {:?} {}", one.port.text(), one.mode, one.options.join(",")))
                .collect();
            format!("{} {} {} [{}]", qube.name, qube.class, qube.label, devices.join("; "))
        };
        read.iter().map(line).collect()
    }

    #[test]
    fn the_file_of_4_2() {
        let told = told(include_str!("../../../tests/data/qubesd/qubes-4.2.xml"));
        assert!(told.contains(&"sys-net AppVM red [00_1f.6 Required no-strict-reset=True; 01_00.0 Required permissive=True,no-strict-reset=True]".to_owned()), "{told:#?}");
        assert!(told.contains(&"vault AppVM black []".to_owned()), "{told:#?}");
        assert!(told.iter().any(|line| line.starts_with("dom0 AdminVM black")), "{told:#?}");
    }

    #[test]
    fn the_file_of_4_3() {
        let told = told(include_str!("../../../tests/data/qubesd/qubes-4.3.xml"));
        assert!(
            told.contains(
                &"sys-usb AppVM red [00_14.0 Required no-strict-reset=True; 00_08.1-00_00.3 Required ]"
                    .to_owned()
            ),
            "{told:#?}"
        );
    }

    #[test]
    fn what_4_3_reads_from_a_file_of_before() {
        let devices = "<device id='00_1f.6' required='no'/><device id='00_1f.3'><option name='identity'>\
                       0x8086:0x02c8::p040380</option></device><device backend-domain='sys-usb' id='x'/><device/>";
        let file = format!(
            "<qubes><domains><domain><devices class='usb'><device id='1'/></devices><devices class='pci'>{devices}\
             </devices></domain></domains></qubes>"
        );
        let read = qubes(&file).unwrap();
        let found: Vec<_> = read.iter().flat_map(|qube| &qube.assignments).collect();
        let [auto, identified, strange] = found[..] else { unreachable!("{found:?}") };
        assert_eq!(auto.mode, Mode::AutoAttach);
        assert!(matches!(
            identified.identity,
            PortIdentity::Is { vendor: Some(0x8086), device: Some(0x02c8), .. }
        ));
        assert!(identified.options.is_empty());
        assert!(matches!(strange.port, Port::Unreadable(_)));
    }
}
