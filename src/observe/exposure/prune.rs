//! What a prune kept of earlier boots. It is told late, behind records that are younger: it only adds to
//! them.

use super::stays::Earlier;
use super::{same, Concern, Fold, KnownIdentity};
use crate::journal::{EarlierIdentity, EarlierStaysRecord};

impl Fold {
    /// A qube had a device.
    pub(super) fn earlier_stays(&mut self, it: &EarlierStaysRecord) {
        for (sbdf, concern) in self.concerned(false, it.bdf, &it.id) {
            if let Some(one) = self.of.get_mut(&sbdf) {
                let how = Earlier { moved: it.bdf != sbdf, perhaps: concern == Concern::Perhaps };
                one.stays.adds(&it.stays, how);
            }
        }
    }

    /// A device was recorded.
    pub(super) fn earlier_identity(&mut self, it: &EarlierIdentity) {
        let id = &it.identity.id;
        let known = || KnownIdentity {
            identity: it.identity.clone(),
            sbdf: it.bdf,
            time: it.time,
            boot: it.boot.clone(),
        };
        let sha256 = &it.identity.rom_sha256;
        for (sbdf, one) in &mut self.of {
            if it.bdf == *sbdf {
                one.at_address.get_or_insert_with(known);
            }
            if same(&one.id, id) {
                one.by_id.get_or_insert_with(known);
                let alone = !self.present.iter().any(|it| it.sbdf != *sbdf && same(&it.id, &one.id));
                if !sha256.is_empty() && (it.bdf == *sbdf || alone) {
                    one.rom_sha256.get_or_insert_with(|| sha256.clone());
                }
            }
        }
    }
}
