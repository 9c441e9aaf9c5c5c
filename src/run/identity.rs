//! The identity of the function in the journal: as an operation finds it, and as it leaves it. What
//! comes back is held against it.

use super::operation::Operation;
use crate::journal::{DeviceEvent, DeviceRecord, Entry, Identity, Source, Way};
use crate::names::{DriverName, Owner};
use crate::observe::identity;

impl Operation<'_> {
    /// It is about to be changed. Waits for the first intent.
    pub(super) fn found(&mut self) {
        let driver = self.expected.start.driver.clone();
        let identity = identity::of(&self.sources.sysfs, self.function);
        self.tell(DeviceEvent::Present, identity, driver, None);
    }

    /// Every step was proved: it is dom0's again, or pciback's.
    pub(super) fn settled(&mut self) {
        let sbdf = self.plan.sbdf;
        let Ok(function) = self.sources.function(sbdf) else { return };
        let Some(driver) = function.driver.clone() else { return };
        let (event, way) = match driver.is_holder() {
            true => (DeviceEvent::Seized, Some(Way::Hold)),
            false => (DeviceEvent::Bound, None),
        };
        let read = identity::of(&self.sources.sysfs, &function);
        let identity = Identity { rom_sha256: self.rom_sha256.clone(), ..read };
        self.tell(event, identity, Some(driver), way);
    }

    fn tell(&mut self, event: DeviceEvent, identity: Identity, driver: Option<DriverName>, way: Option<Way>) {
        let before = match event {
            DeviceEvent::Present => None,
            _ => self.expected.start.driver.clone(),
        };
        // As it was found: what is bound in quarantine is not dom0's. A return has proved that it is dom0's.
        let owner = if event == DeviceEvent::Bound { Owner::Dom0 } else { self.expected.start.owner };
        let entry = Entry::Device(DeviceRecord {
            identity,
            driver,
            before,
            way,
            owner: Some(owner),
            ..DeviceRecord::new(event, self.plan.sbdf, Source::Operation)
        });
        self.writer.told(&entry);
    }
}
