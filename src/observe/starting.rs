//! Which qubes start while an operation runs.
//!
//! qubesd takes the devices of a qube from dom0 right after it announced the start (`domain-pre-start`), and
//! a device that a running qube is given right after it announced that (`device-pre-attach:pci`), when
//! neither xenstore nor Xen nor the qube's state shows anything yet. So where qubesd answered when the
//! operation was planned, it has to answer before every change too: what it does not say may be a start.
//! Where it did not, or where there is no Qubes, that was known to whoever took the risk.

use super::qubes::{self, Happened, Happening, Port, Qubes, QubesSource};
use super::Function;
use crate::names::{Sbdf, Untrusted};
use crate::system::qubesd::{EventStream, Qubesd};
use crate::system::root::Sysroot;
use crate::system::sysfs::PciSysfs;
use std::collections::{BTreeMap, BTreeSet};

/// An open ear for qubes that start.
#[derive(Debug)]
pub struct Starting {
    /// Whether qubesd answered when the operation was planned.
    answers: bool,
    stream: Option<EventStream>,
    about_to: BTreeSet<Untrusted>,
    /// Who was given the function while it ran, or is about to be, by Qubes' name of the place.
    given: BTreeMap<Untrusted, String>,
    sysfs: PciSysfs,
    sbdf: Sbdf,
    /// Who is assigned the function, by what Qubes said last.
    assigned: Vec<AssignedToOther>,
}

#[derive(Debug)]
struct AssignedToOther {
    qube: Untrusted,
    port: String,
    /// The qube's state, where it is not halted.
    live: Option<String>,
    /// Whether it is attached at each start.
    lasts: bool,
}

impl Starting {
    /// Listens from now on, where qubesd runs. `known`: what Qubes said when it was planned.
    #[must_use]
    pub fn listen(root: &Sysroot, function: &Function, known: Option<&Qubes>) -> Self {
        let answers = known.is_some_and(|known| !matches!(known.source, QubesSource::Xml { .. }));
        let qubesd = Qubesd::new(root);
        // One that did not answer is not waited for.
        let stream = if answers { qubesd.events_heard() } else { qubesd.events() }.ok();
        let assigned = known.map(|known| assigned(known, function)).unwrap_or_default();
        let (about_to, given) = (BTreeSet::new(), BTreeMap::new());
        Self { answers, stream, about_to, given, sysfs: PciSysfs::new(root), sbdf: function.sbdf, assigned }
    }

    /// The qube that has the function or is about to take it, by what Qubes says now, with why.
    ///
    /// # Errors
    /// qubesd answered when it was planned, and does not now: in words, why.
    pub fn taker(
        &mut self,
        root: &Sysroot,
        sysfs: &PciSysfs,
        function: &Function,
    ) -> Result<Option<(String, String)>, String> {
        if !self.answers {
            return Ok(self.taker_by_last_answer());
        }
        self.hear();
        if self.stream.is_none() {
            // It is restarted: what is announced from now on is heard again, and what it knows is asked
            // below.
            self.stream = Some(Qubesd::new(root).events_heard().map_err(|failure| failure.message)?);
        }
        let known = qubes::read(root, sysfs)?.ok_or("its socket is gone")?;
        if let QubesSource::Xml { why, .. } = &known.source {
            return Err(why.clone());
        }
        self.assigned = assigned(&known, function);
        Ok(self.taker_by_last_answer())
    }

    /// Whether a qube starts, by what is known already: nothing is asked, nothing waited for. This is for the
    /// way back, which must not hang on a qubesd that broke.
    pub fn taker_by_last_answer(&mut self) -> Option<(String, String)> {
        self.hear();
        if let Some((qube, port)) = self.given.first_key_value() {
            return Some((qube.to_string(), format!("qubesd announced that it is given {port}")));
        }
        self.assigned.iter().find_map(|one| {
            let why = match &one.live {
                Some(state) => format!("it is {state}"),
                None if one.lasts && self.about_to.contains(&one.qube) => {
                    "qubesd announced its start".to_owned()
                }
                None => return None,
            };
            Some((one.qube.to_string(), format!("{} is assigned; {why}", one.port)))
        })
    }

    /// Takes in what was announced since.
    fn hear(&mut self) {
        while let Some(stream) = &mut self.stream {
            match stream.read() {
                Ok(events) if events.is_empty() => return,
                Ok(events) => {
                    events.iter().filter_map(Happening::of).for_each(|happening| self.heard(happening));
                }
                Err(_) => self.stream = None,
            }
        }
    }

    fn heard(&mut self, happening: Happening) {
        let Happening { qube, what } = happening;
        match what {
            Happened::Starting => {
                self.about_to.insert(qube);
            }
            Happened::StartFailed(_) | Happened::Stopped => {
                self.about_to.remove(&qube);
                self.given.remove(&qube);
            }
            Happened::Attaching(device) | Happened::Attached(device) if self.may_be_ours(&device.port) => {
                self.given.insert(qube, device.port.text().to_owned());
            }
            Happened::Detached(device) if self.may_be_ours(&device.port) => {
                self.given.remove(&qube);
            }
            _ => {}
        }
    }

    /// Whether Qubes' name of a place may mean the function.
    fn may_be_ours(&self, port: &Port) -> bool {
        match port {
            Port::At(_) => port.function(&self.sysfs).map_or(true, |sbdf| sbdf == Some(self.sbdf)),
            Port::Any | Port::Unreadable(_) => true,
        }
    }
}

fn assigned(known: &Qubes, function: &Function) -> Vec<AssignedToOther> {
    let all = known.assigned(function).into_iter();
    let one = |(qube, assignment): (&qubes::Qube, &qubes::Assignment)| AssignedToOther {
        qube: qube.name.clone(),
        port: assignment.port.text().to_owned(),
        live: qube.state.is_live().then(|| qube.state.word().to_owned()),
        lasts: assignment.lasts(),
    };
    all.map(one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::system::qubesd::model::{Qubesd as Model, QubesdFault, QUBES_43};
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
            isolates: None,
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

    fn is_taken(starting: &mut Starting, by: Option<(String, String)>) {
        for _ in 0..500 {
            if starting.taker_by_last_answer() == by {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(starting.taker_by_last_answer(), by);
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

        let known = qubes::read(&root, &sysfs).unwrap().unwrap();
        let mut starting = Starting::listen(&root, &assigned, Some(&known));
        let mut of_free = Starting::listen(&root, &free, Some(&known));
        assert_eq!(starting.taker(&root, &sysfs, &assigned), Ok(None));
        while model.listeners() < 2 {
            std::thread::sleep(Duration::from_millis(10));
        }
        model.tells(b"1\0sys-net\0domain-pre-start\0start_guid\0True\0mem_required\0None\0\x00");
        heard(&mut starting, &["sys-net"]);
        heard(&mut of_free, &["sys-net"]);
        let taker = |why: &str| Some(("sys-net".to_owned(), format!("00_1f.6 is assigned; {why}")));
        let announced = taker("qubesd announced its start");
        assert_eq!(starting.taker_by_last_answer(), announced);
        assert_eq!(starting.taker(&root, &sysfs, &assigned), Ok(announced));
        assert_eq!(of_free.taker(&root, &sysfs, &free), Ok(None));

        model.tells(b"1\0sys-net\0domain-start-failed\0reason\0no memory\0\x00");
        heard(&mut starting, &[]);
        assert_eq!(starting.taker(&root, &sysfs, &assigned), Ok(None));

        // A running qube is given the function, or one that may be it.
        for (event, port) in [("device-pre-attach:pci", "00_1f.6"), ("device-attach:pci", "nonsense")] {
            let pairs = format!("device\0dom0:{port}:0x8086:0x0d4f::p020000\0options\0{{}}\0\0");
            model.tells(format!("1\0work\0{event}\0{pairs}").as_bytes());
            let why = format!("qubesd announced that it is given {port}");
            is_taken(&mut starting, Some(("work".to_owned(), why)));
            model.tells(format!("1\0work\0device-detach:pci\0{pairs}").as_bytes());
            is_taken(&mut starting, None);
        }
        assert_eq!(of_free.taker(&root, &sysfs, &free), Ok(None));

        // Once the stream is gone it is opened anew, and the state is asked.
        model.hangs_up();
        let list = "sys-net class=AppVM state=Transient uuid=b21c7d77-4175-4dd3-8e3f-460435ce18f5\\n";
        model.lists(list);
        assert_eq!(starting.taker(&root, &sysfs, &assigned), Ok(taker("it is Transient")));
        assert!(starting.stream.is_some());

        // Once it answers no more that is no answer, but what it said last is known.
        model.fails(QubesdFault::Refuses);
        assert!(starting.taker(&root, &sysfs, &assigned).is_err());
        assert_eq!(starting.taker_by_last_answer(), taker("it is Transient"));
        // One that did not answer at the beginning is not waited for.
        let asked = model.asked().len();
        let mut without = Starting::listen(&root, &assigned, None);
        assert_eq!(without.taker(&root, &sysfs, &assigned), Ok(None));
        assert!(model.asked().len() <= asked + 1, "{:?}", model.asked());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
