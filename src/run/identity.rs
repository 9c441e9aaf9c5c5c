//! The identity of the function in the journal: as an operation finds it, and as it leaves it. What
//! comes back is held against it.

use super::operation::Operation;
use crate::journal::{Device, DeviceEvent, Entry, Identity};
use crate::names::Owner;
use crate::observe::identity;

impl Operation<'_> {
    /// It is about to be changed. Waits for the first intent.
    pub(super) fn found(&mut self) {
        let driver = self.expected.start.driver.as_ref().map(ToString::to_string).unwrap_or_default();
        let identity = identity::of(&self.sources.sysfs, self.function);
        self.tell(DeviceEvent::Present, identity, driver, "");
    }

    /// Every step was proved: it is dom0's again, or pciback's.
    pub(super) fn settled(&mut self) {
        let sbdf = self.plan.sbdf;
        let Ok(function) = self.sources.function(sbdf) else { return };
        let Some(driver) = &function.driver else { return };
        let (event, way) = match driver.is_holder() {
            true => (DeviceEvent::Seized, "hold"),
            false => (DeviceEvent::Bound, ""),
        };
        let read = identity::of(&self.sources.sysfs, &function);
        let identity = Identity { rom_sha256: self.rom_sha256.clone(), ..read };
        self.tell(event, identity, driver.to_string(), way);
    }

    fn tell(&mut self, event: DeviceEvent, identity: Identity, driver: String, way: &str) {
        let before = match event {
            DeviceEvent::Present => String::new(),
            _ => self.expected.start.driver.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        // As it was found: what is bound in quarantine is not dom0's. A return has proved that it is dom0's.
        let owner = if event == DeviceEvent::Bound { Owner::Dom0 } else { self.expected.start.owner };
        let entry = Entry::Device(Device {
            event,
            bdf: self.plan.sbdf,
            identity,
            driver,
            before,
            way: way.to_owned(),
            owner: owner.to_string(),
            source: "operation".to_owned(),
            at: String::new(),
        });
        self.writer.told(&entry);
    }
}
