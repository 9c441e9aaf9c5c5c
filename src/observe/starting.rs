//! Which qubes start while an operation runs.
//!
//! qubesd takes the devices of a qube from dom0 right after it announced the start (`domain-pre-start`), when neither
//! xenstore nor Xen nor the qube's state shows anything yet.

use super::qubes::{self, Happened, Happening, QubesSource};
use super::Function;
use crate::names::Untrusted;
use crate::system::qubesd::{EventStream, Qubesd};
use crate::system::root::Sysroot;
use crate::system::sysfs::PciSysfs;
use std::collections::BTreeSet;

/// An open ear for qubes that start.
#[derive(Debug)]
pub struct Starting {
    /// Whether qubesd answered when the operation began; where it did not, no start can be told of.
    answers: bool,
    stream: Option<EventStream>,
    about_to: BTreeSet<Untrusted>,
}

impl Starting {
    /// Listens from now on, where qubesd runs.
    #[must_use]
    pub fn listen(root: &Sysroot) -> Self {
        let stream = Qubesd::new(root).events().ok();
        Self { answers: stream.is_some(), stream, about_to: BTreeSet::new() }
    }

    /// The qube that has the function or is about to take it, by what Qubes says now, with why.
    pub fn taker(
        &mut self,
        root: &Sysroot,
        sysfs: &PciSysfs,
        function: &Function,
    ) -> Option<(String, String)> {
        if !self.answers {
            return None;
        }
        self.hear();
        let known = qubes::read(root, sysfs).ok()??;
        if matches!(known.source, QubesSource::Xml { .. }) {
            return None;
        }
        known.assigned(function).into_iter().find_map(|(qube, assignment)| {
            let who = qube.name.to_string();
            let port = assignment.port.text();
            if qube.state.is_live() {
                return Some((who, format!("{port} is assigned; it is {}", qube.state.word())));
            }
            let starts = self.about_to.contains(&qube.name) && assignment.lasts();
            starts.then(|| (who, format!("{port} is assigned; qubesd announced its start")))
        })
    }

    /// Takes in what was announced since.
    fn hear(&mut self) {
        while let Some(stream) = &mut self.stream {
            match stream.read() {
                Ok(events) if events.is_empty() => return,
                Ok(events) => {
                    for happening in events.iter().filter_map(Happening::of) {
                        match happening.what {
                            Happened::Starting => {
                                self.about_to.insert(happening.qube);
                            }
                            Happened::StartFailed | Happened::Stopped => {
                                self.about_to.remove(&happening.qube);
                            }
                            _ => {}
                        }
                    }
                }
                // It is restarted: what it knows is still asked.
                Err(_) => self.stream = None,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::names::Sbdf;
    use crate::system::qubesd::model::{Qubesd as Model, QUBES_43};
    use std::time::Duration;

    fn function(bdf: &str) -> Function {
        Function {
            sbdf: Sbdf::from_sysfs(bdf).unwrap(),
            vendor: 0x8086,
            device: 0x0d4f,
            class: 0x02_0000,
            modalias: String::new(),
            driver: None,
            driver_override: None,
            config: None,
            serial: None,
            has_rom: false,
            reset_methods: None,
            parents: Vec::new(),
            boot_display: false,
            virtual_functions: 0,
            physical_function: None,
        }
    }

    /// Waits until what was told is heard.
    fn heard(starting: &mut Starting, who: &[&str]) {
        for _ in 0..500 {
            starting.hear();
            let names: Vec<String> = starting.about_to.iter().map(ToString::to_string).collect();
            if names == who {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(format!("{:?}", starting.about_to), format!("{who:?}"));
    }

    #[test]
    fn a_start_that_was_announced_is_noticed_before_anything_else_shows_it() {
        let folder = std::env::temp_dir().join(format!("starting-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("run")).unwrap();
        let model = Model::replaying(QUBES_43);
        model.serve(&folder.join("run/qubesd.sock"));
        let root = Sysroot::new(Some(folder.clone()));
        let sysfs = PciSysfs::new(&root);
        let (assigned, free) = (function("0000:00:1f.6"), function("0000:00:1f.3"));

        let mut starting = Starting::listen(&root);
        assert_eq!(starting.taker(&root, &sysfs, &assigned), None);
        while model.listeners() == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        model.tells(b"1\0sys-net\0domain-pre-start\0start_guid\0True\0mem_required\0None\0\x00");
        heard(&mut starting, &["sys-net"]);
        let why = "00_1f.6 is assigned; qubesd announced its start".to_owned();
        assert_eq!(starting.taker(&root, &sysfs, &assigned), Some(("sys-net".to_owned(), why)));
        assert_eq!(starting.taker(&root, &sysfs, &free), None);

        model.tells(b"1\0sys-net\0domain-start-failed\0reason\0no memory\0\x00");
        heard(&mut starting, &[]);
        assert_eq!(starting.taker(&root, &sysfs, &assigned), None);

        // Also once the stream is gone the state is asked.
        model.hangs_up();
        let list = "sys-net class=AppVM state=Transient uuid=b21c7d77-4175-4dd3-8e3f-460435ce18f5\\n";
        model.answers("admin.vm.List+", "dom0", list);
        let why = "00_1f.6 is assigned; it is Transient".to_owned();
        assert_eq!(starting.taker(&root, &sysfs, &assigned), Some(("sys-net".to_owned(), why)));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
