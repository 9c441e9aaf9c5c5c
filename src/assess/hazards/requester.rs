//! Under which ids a function may do DMA besides its own: to the IOMMU a request with another's id is the
//! other's.

use crate::names::Sbdf;
use crate::observe::{Dom0, Function};
use std::collections::BTreeSet;

/// Where the requests of a device seem to come from.
#[derive(Clone, Copy)]
enum Alias {
    /// Another function of its slot.
    Function(u8),
    /// A device and function of its bus.
    Of(u8, u8),
    /// Any id of its bus.
    Any,
}

/// Devices that are known to do so, by vendor and device: the kernel's `drivers/pci/quirks.c`
/// (`quirk_dma_func0_alias`, `quirk_dma_func1_alias`, `quirk_fixed_dma_alias`, `quirk_mic_x200_dma_alias`,
/// `quirk_pex_vca_alias`, `quirk_plx_ntb_dma_alias`, and `quirk_switchtec_ntb_dma_alias` of the third
/// generation). Xen has no such list.
const ALIASES: &[(u16, &[u16], &[Alias])] = &[
    (0x1180, &[0xe832, 0xe476], &[Alias::Function(0)]),
    (0x6766, &[0x3d40, 0x3d41], &[Alias::Function(0)]),
    (
        0x1b4b,
        &[
            0x9120, 0x9123, 0x9125, 0x9128, 0x9130, 0x9136, 0x9170, 0x9172, 0x917a, 0x9182, 0x9183, 0x91a0,
            0x9215, 0x9220, 0x9230, 0x9235,
        ],
        &[Alias::Function(1)],
    ),
    (0x1103, &[0x0642, 0x0645], &[Alias::Function(1)]),
    (0x197b, &[0x2392], &[Alias::Function(1)]),
    (0x1c28, &[0x0122], &[Alias::Function(1)]),
    (0x9005, &[0x0285], &[Alias::Of(1, 0)]),
    (0x8086, &[0x2260, 0x2264], &[Alias::Of(0x10, 0), Alias::Of(0x11, 0), Alias::Of(0x12, 3)]),
    (0x8086, &[0x2954, 0x2955, 0x2956, 0x2958, 0x2959, 0x295a], &[Alias::Any]),
    (0x10b5, &[0x87b0, 0x87b1], &[Alias::Any]),
    (
        0x11f8,
        &[
            0x8531, 0x8532, 0x8533, 0x8534, 0x8535, 0x8536, 0x8541, 0x8542, 0x8543, 0x8544, 0x8545, 0x8546,
            0x8551, 0x8552, 0x8553, 0x8554, 0x8555, 0x8556, 0x8561, 0x8562, 0x8563, 0x8564, 0x8565, 0x8566,
            0x8571, 0x8572, 0x8573, 0x8574, 0x8575, 0x8576,
        ],
        &[Alias::Any],
    ),
];

/// Ids under which a function may do DMA.
#[derive(Clone, Debug)]
pub struct Aliases {
    own: Sbdf,
    others: BTreeSet<Sbdf>,
    whole_bus: bool,
}

impl Aliases {
    /// All that the kernel knows of its kind of device, and those of
    /// `pci-phantom=[SEGMENT:]BUS:DEVICE,STRIDE` on Xen's command line (`xen/drivers/passthrough/pci.c`):
    /// each function below the stride has the ids at that distance too.
    #[must_use]
    pub fn of(dom0: &Dom0, function: &Function) -> Self {
        let own = function.sbdf;
        let (_, device, number) = own.below_segment();
        let kind =
            |vendor: u16, devices: &[u16]| vendor == function.vendor && devices.contains(&function.device);
        let known =
            ALIASES.iter().filter(|(vendor, devices, _)| kind(*vendor, devices)).flat_map(|(_, _, all)| *all);
        let mut found = Self { own, others: BTreeSet::new(), whole_bus: false };
        for alias in known {
            match *alias {
                Alias::Function(number) => found.others.extend(own.on_its_bus(device, number)),
                Alias::Of(device, number) => found.others.extend(own.on_its_bus(device, number)),
                Alias::Any => found.whole_bus = true,
            }
        }
        let cmdline = dom0.xen_cmdline.as_deref().unwrap_or_default();
        let strides =
            cmdline.split_whitespace().filter_map(|word| phantom(word.strip_prefix("pci-phantom=")?));
        for (_, stride) in strides.filter(|(slot, stride)| slot.same_slot(own) && number < *stride) {
            let ids = (number..8).step_by(usize::from(stride));
            found.others.extend(ids.filter_map(|number| own.on_its_bus(device, number)));
        }
        found.others.remove(&own);
        found
    }

    fn has(&self, id: Sbdf) -> bool {
        self.others.contains(&id) || self.whole_bus && self.own.same_bus(id)
    }

    /// How the ids of two functions meet; `None` where they do not.
    #[must_use]
    pub fn meets(&self, other: &Self) -> Option<String> {
        let does =
            |one: &Self, id: Sbdf| one.has(id).then(|| format!("{} may do DMA with the id of {id}", one.own));
        let both = || {
            let id = self.others.intersection(&other.others).next()?;
            Some(format!("both may do DMA with the id of {id}"))
        };
        does(self, other.own).or_else(|| does(other, self.own)).or_else(both)
    }
}

/// The slot, by its function 0, and the stride of one entry; `None` for what Xen would not take either.
fn phantom(text: &str) -> Option<(Sbdf, u8)> {
    let (slot, stride) = text.split_once(',')?;
    let stride = stride.trim_start_matches("0x").parse().ok().filter(|stride| [1, 2, 4].contains(stride))?;
    let mut parts = slot.rsplit(':').map(|part| u32::from_str_radix(part, 16).ok());
    let (device, bus, segment) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    let slot = Sbdf::new(segment, u8::try_from(bus).ok()?, u8::try_from(device).ok()?, 0)?;
    parts.next().is_none().then_some((slot, stride))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_entry_of_xens_command_line_is_read_as_xen_reads_it() {
        let slot = Sbdf::from_sysfs("0000:03:00.0").unwrap();
        assert_eq!(phantom("03:00,2"), Some((slot, 2)));
        assert_eq!(phantom("0000:03:00,1"), Some((slot, 1)));
        assert_eq!(phantom("0001:ff:1f,4"), Some((Sbdf::from_sysfs("0001:ff:1f.0").unwrap(), 4)));
        for text in ["", "03:00", "03:00,3", "03:00.0,1", "100:00,1", "03:20,1", "0:0:3:0,1", "03,1"] {
            assert_eq!(phantom(text), None, "{text:?}");
        }
    }
}
