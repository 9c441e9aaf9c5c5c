//! What a prune kept of earlier boots. It is told late, behind records that are younger: it only adds to
//! them.

use super::stays::{is_loose, Lives, MOST_QUBES};
use super::{same, Before, Concern, Fold, Known};
use crate::journal::stays::add;
use crate::journal::{Carried, Recorded};

impl Fold {
    /// A qube had a device.
    pub(super) fn carried(&mut self, it: &Carried) {
        for (sbdf, concern) in self.concerned(false, it.bdf, &it.id) {
            if let Some(one) = self.of.get_mut(&sbdf) {
                one.stays.carried(it, it.bdf != sbdf, concern == Concern::Perhaps);
            }
        }
    }

    /// A device was recorded.
    pub(super) fn recorded(&mut self, it: &Recorded) {
        let id = &it.identity.id;
        let known =
            || Known { identity: it.identity.clone(), sbdf: it.bdf, time: it.time, boot: it.boot.clone() };
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

impl Lives {
    /// A qube of earlier boots, from records that were removed.
    fn carried(&mut self, it: &Carried, moved: bool, perhaps: bool) {
        if self.before.len() >= MOST_QUBES && !self.before.contains_key(&it.qube) {
            self.more_before += 1;
            return;
        }
        let one = self.before.entry(it.qube.clone()).or_insert_with(|| Before::kept(it, moved, perhaps));
        one.stays += it.stays;
        one.first = one.first.into_iter().chain(it.first).min();
        one.last = one.last.max(it.last);
        one.imported &= it.imported;
        one.perhaps &= perhaps;
        one.moved &= moved;
        one.network = match (one.network, it.network) {
            (Some(was), Some(is)) => Some(was || is),
            (was, is) => was.or(is),
        };
        one.unlabelled |= it.unlabelled;
        for label in &it.labels {
            one.unlabelled |= !add(&mut one.labels, label);
        }
        for option in it.options.iter().filter(|option| is_loose(option)) {
            add(&mut one.options, option);
        }
    }
}
