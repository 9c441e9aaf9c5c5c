//! A dom0 that does what a timeline says.

use super::timeline::{Line, What};
use crate::model::{Dom0, Function, Qubesd};
use crate::recording::Running;
use std::collections::{BTreeMap, BTreeSet};

/// What is played, and what it needs to know to go on.
pub struct Machine<'a> {
    dom0: &'a Dom0,
    qubesd: Qubesd,
    owners: BTreeMap<String, String>,
    /// Domains that Xen lists, and those among them that xenstore does not know any more.
    domains: BTreeSet<String>,
    leaving: BTreeSet<String>,
    qubes: BTreeMap<String, Qube>,
}

#[derive(Default)]
struct Qube {
    runs: bool,
    spawned: bool,
    assigned: BTreeMap<String, String>,
}

/// How qubesd is shown to be there from the beginning.
fn comes_late(lines: &[Line]) -> bool {
    lines.iter().any(|line| matches!(&line.what, What::Script(text) if text.starts_with("qubesd begins")))
}

/// The dom0 with its functions, as they stand before the first line.
pub fn dom0(lines: &[Line]) -> Dom0 {
    let mut dom0 = Dom0::new();
    let mut seen = BTreeSet::new();
    for line in lines {
        let What::Sysfs { bdf, driver, .. } = &line.what else { continue };
        if seen.insert(bdf.clone()) {
            dom0.add(match driver.as_str() {
                "nvme" => Function::new(bdf, 0x1b36, 0x0010, 0x01_0802).driven("nvme"),
                "pciback" => Function::nic(bdf).held(),
                driver => Function::nic(bdf).driven(driver),
            });
        }
    }
    crate::recording::prepare(&dom0);
    dom0
}

impl<'a> Machine<'a> {
    /// Xen, xenstore and qubesd, as they stand before the first line.
    pub fn new(dom0: &'a Dom0, lines: &[Line]) -> Self {
        let mut owners = BTreeMap::new();
        for line in lines {
            let What::Owner(bdf, owner) = &line.what else { continue };
            owners.entry(bdf.clone()).or_insert(owner.clone());
        }
        let qubesd = if comes_late(lines) { Qubesd::default() } else { dom0.qubes("") };
        dom0.write("etc/qubes-release", "Qubes release 4.3.0 (R4.3)\n");
        let (domains, leaving, qubes) = (BTreeSet::new(), BTreeSet::new(), qubes(lines));
        let machine = Self { dom0, qubesd, owners, domains, leaving, qubes };
        machine.qubesd.answers("admin.vm.property.Get+label", "dom0", "default=False type=label black");
        machine.lists();
        machine.owners();
        machine
    }

    /// Whether qubesd is heard.
    pub fn is_heard(&self) -> bool {
        self.qubesd.listeners() > 0
    }

    fn lists(&self) {
        let mut list = String::new();
        for (number, (name, qube)) in self.qubes.iter().enumerate() {
            let state = if qube.runs { "Running" } else { "Halted" };
            let uuid = format!("8198fc8d-afa5-405b-b594-{number:012x}");
            list.push_str(&format!("{name} class=AppVM state={state} uuid={uuid}\\n"));
            let line = |(port, id): (&String, &String)| {
                format!(
                    "dom0+{port}:{id} device_id='{id}' port_id='{port}' devclass='pci' backend_domain='dom0' \
                     mode='required' frontend_domain='{name}'\\n"
                )
            };
            let assigned: String = qube.assigned.iter().map(line).collect();
            self.qubesd.answers("admin.vm.device.pci.Assigned+", name, &assigned);
            self.qubesd.answers(
                "admin.vm.device.pci.Attached+",
                name,
                if qube.runs { &assigned } else { "" },
            );
            self.qubesd.answers("admin.vm.property.Get+label", name, "default=False type=label red");
            for truth in ["provides_network", "autostart"] {
                let method = format!("admin.vm.property.Get+{truth}");
                self.qubesd.answers(&method, name, "default=True type=bool False");
            }
        }
        self.qubesd.lists(&list);
    }

    fn owners(&self) {
        let mut dump = String::from("(XEN) ==== PCI devices ====\n");
        for (bdf, owner) in &self.owners {
            let owner = if owner == "DomIO" { "d[IO]" } else { owner };
            dump.push_str(&format!("(XEN) {bdf} - {owner} - node -1 \n"));
        }
        self.write("proc/xen/model/owners", &dump);
    }

    fn domains(&self) {
        let listed: String = self.domains.iter().map(|id| format!("{id}\n")).collect();
        self.write("proc/xen/model/domains", &format!("0\n{listed}"));
    }

    /// Writes a file so that a reader sees it whole, before or after.
    fn write(&self, path: &str, text: &str) {
        let beside = format!("run/model/{}", path.rsplit('/').next().unwrap_or_default());
        self.dom0.write(&beside, text);
        std::fs::rename(self.dom0.path(&beside), self.dom0.path(path)).unwrap();
    }

    /// Plays line `at`.
    pub fn play(&mut self, lines: &[Line], at: usize, recorder: &mut Running) {
        let line = &lines[at];
        match &line.what {
            What::Qubesd(bytes) => self.told(line, bytes),
            What::Node(path, value) => self.node(path, value.as_deref()),
            What::Announced(what) => {
                if what == "@releaseDomain" {
                    let leaving = std::mem::take(&mut self.leaving);
                    self.domains.retain(|id| !leaving.contains(id));
                    self.domains();
                }
                self.dom0.store().announce(what);
            }
            What::Uevent { action, path, driver } => {
                if let Some(bdf) = line.function() {
                    self.driven(bdf, action, driver, &lines[at..]);
                    recorder.uevent(action, bdf, driver);
                } else {
                    let text = format!(
                        "{action}@{path}\0ACTION={action}\0DEVPATH={path}\0SUBSYSTEM=xen-backend\0SEQNUM=1\0"
                    );
                    recorder.says(text.as_bytes());
                }
            }
            What::Sysfs { bdf, pinned, listed, .. } => self.stands(bdf, pinned, *listed),
            What::Owner(bdf, owner) => {
                self.owners.insert(bdf.clone(), owner.clone());
                self.owners();
            }
            What::Script(text) => self.script(text),
        }
    }

    fn script(&self, text: &str) {
        let text = text.to_lowercase();
        if text.starts_with("qubesd begins") {
            self.qubesd.is_busy(true);
            self.qubesd.serve(&self.dom0.path("run/qubesd.sock"));
        } else if ["returned", "ended", "killed", "qubesd answers"].iter().any(|word| text.contains(word)) {
            self.qubesd.is_busy(false);
        } else if text.contains("kill") {
            self.qubesd.is_busy(true);
        }
    }

    fn driven(&self, bdf: &str, action: &str, driver: &str, rest: &[Line]) {
        let now = if action == "bind" { driver } else { "none" };
        let shown = rest.iter().find_map(|line| match &line.what {
            What::Sysfs { bdf: of, driver, pinned, listed } if of == bdf && driver == now => {
                Some((pinned.clone(), *listed))
            }
            _ => None,
        });
        if let Some((pinned, listed)) = shown {
            self.stands(bdf, &pinned, listed);
        }
        self.dom0.drives(bdf, Some(now).filter(|driver| *driver != "none"));
    }

    fn stands(&self, bdf: &str, pinned: &str, listed: bool) {
        self.write(&format!("sys/bus/pci/devices/{bdf}/driver_override"), &format!("{pinned}\n"));
        let path = "sys/bus/pci/drivers/pciback/slots";
        let slots = std::fs::read_to_string(self.dom0.path(path)).unwrap();
        let others: String =
            slots.lines().filter(|slot| *slot != bdf).map(|slot| format!("{slot}\n")).collect();
        let this = if listed { format!("{bdf}\n") } else { String::new() };
        self.write(path, &(others + &this));
    }

    fn node(&mut self, path: &str, value: Option<&str>) {
        let domain = path.strip_prefix("/local/domain/").filter(|rest| !rest.contains('/') && *rest != "0");
        if let (Some(domain), Some(_)) = (domain, value) {
            self.domains.insert(domain.to_owned());
            self.domains();
        } else if let Some(domain) = domain {
            self.leaving.insert(domain.to_owned());
        }
        match value {
            Some(value) => self.dom0.node(path, value),
            None => self.dom0.store().remove(path),
        }
    }

    fn told(&mut self, line: &Line, bytes: &[u8]) {
        let Some((name, event, pairs)) = line.event() else { return };
        if event == "connection-established" {
            self.qubesd.is_busy(false);
            return;
        }
        let device = pairs.iter().find(|(key, _)| key == "device").map(|(_, value)| value.clone());
        let mut device = device.iter().flat_map(|device| device.splitn(3, ':')).skip(1).map(str::to_owned);
        let (port, id) = (device.next().unwrap_or_default(), device.next().unwrap_or_default());
        let qube = self.qubes.entry(name).or_default();
        match event.as_str() {
            "domain-pre-start" | "device-pre-attach:pci" => self.qubesd.is_busy(true),
            "domain-spawn" => qube.spawned = true,
            "domain-start" => {
                qube.runs = true;
                self.qubesd.is_busy(false);
            }
            "domain-start-failed" => self.qubesd.is_busy(qube.spawned),
            "device-attach:pci" => self.qubesd.is_busy(false),
            "domain-shutdown" => {
                (qube.runs, qube.spawned) = (false, false);
                self.qubesd.is_busy(false);
            }
            "device-assign:pci" => drop(qube.assigned.insert(port, id)),
            "device-unassign:pci" => drop(qube.assigned.remove(&port)),
            _ => {}
        }
        self.lists();
        self.qubesd.tells(bytes);
    }
}

/// The qubes of a timeline, with what they are assigned though it does not say so.
fn qubes(lines: &[Line]) -> BTreeMap<String, Qube> {
    let mut qubes: BTreeMap<String, Qube> = BTreeMap::new();
    let events: Vec<_> = lines.iter().filter_map(Line::event).filter(|(name, ..)| !name.is_empty()).collect();
    for (name, ..) in &events {
        qubes.entry(name.clone()).or_default();
    }
    let assigned: BTreeSet<&String> =
        events.iter().filter(|(_, event, _)| event == "device-assign:pci").map(|(name, ..)| name).collect();
    let mut names = BTreeMap::new();
    for line in lines {
        let What::Node(path, Some(value)) = &line.what else { continue };
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["", "local", "domain", id, "name"] => drop(names.insert((*id).to_owned(), value.clone())),
            ["", "local", "domain", "0", "backend", "pci", id, _, dev] if dev.starts_with("dev-") => {
                let qube = names.get(*id).filter(|name| !assigned.contains(*name));
                if let Some(qube) = qube.and_then(|name| qubes.get_mut(name)) {
                    qube.assigned
                        .insert(value.get(5..).unwrap_or_default().replace(':', "_"), "*".to_owned());
                }
            }
            _ => {}
        }
    }
    qubes
}
