//! The model dom0 that acts: `/sys` is a mounted file system with the kernel's
//! semantics, and any operation of the program on it can be told to go wrong.

mod fuse;
mod world;

pub use fuse::Mount;
pub use world::{Device, Driver, Module, Owner, World, AUTHORIZED, NO_PART_SCAN};

use super::xenstored::Xenstored;
use super::Dom0;
use fuse::{Access, Entry, Reply, Served, Ticket};
use nix::mount::{mount, umount2, MntFlags, MsFlags};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Another actor's change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Actor {
    /// A qube starts and gets the function.
    Qube,
    /// The device vanishes.
    Vanishes,
    /// Another driver takes it, where it has none.
    Driver,
    /// dom0's driver, which probed in the background, gives up and lets it go.
    LetsGo,
    /// The kernel complains that dom0's driver gets no interrupts; it stays bound.
    Complains,
    /// USB devices of all controllers are to be allowed by their port.
    Authorizes,
}

/// What goes wrong at one operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is refused.
    Errno(i32),
    /// It is refused, and the program killed at a write after so many more: on its way back.
    ErrnoThenKilled(i32, usize),
    /// It is refused, and so is a write after so many more: on its way back.
    ErrnoThenErrno(i32, usize),
    /// It says yes and does nothing.
    NoEffect,
    /// It is done, and refused.
    DoneAndErrno(i32),
    /// The program is killed; the write is not done.
    KilledBefore,
    /// The program is killed while the write is under way, which is done then.
    KilledWithin,
    /// It is done, then the program is killed.
    KilledAfter,
    /// The child that writes is killed; whether the write is done.
    ChildKilled(bool),
    /// It does not return; whether it was done.
    Hangs(bool),
    /// Somebody acts before it.
    Before(Actor),
    /// Somebody acts after it.
    After(Actor),
    /// Somebody acts in its place, so that it is refused.
    Instead(Actor),
    /// No space is left for the journal from here on.
    JournalFull,
}

/// What happens besides.
type Besides = Box<dyn FnOnce(&mut State) + Send>;

/// One operation of the program on the model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Op {
    pub writes: bool,
    pub path: String,
}

/// What the model keeps.
pub struct State {
    pub world: World,
    tree: world::Tree,
    /// Every operation since the last start.
    pub ops: Vec<Op>,
    fault: Option<(usize, Fault)>,
    /// Writes still to pass before one goes wrong, and how.
    later_write: Option<(usize, Fault)>,
    /// At which operation something happens besides, and what.
    besides: Option<(usize, Besides)>,
    pub struck: bool,
    main: i32,
    kept: Option<(Ticket, String, Vec<u8>, bool)>,
    /// The function the actors are after, and how it stood when one had taken it.
    pub target: String,
    pub taken: Option<Device>,
    /// Whether an operation stood in the journal when the actor came.
    pub taken_within: bool,
    /// Writes that had no intent on disk.
    pub unannounced: Vec<String>,
    /// Writes that took effect on a function another had taken.
    pub trespasses: Vec<String>,
    /// Whether the program has read since what shows that; the trespasses of one that has.
    shown: bool,
    pub heedless: Vec<String>,
    /// Writes at a moment that is wrong whatever comes of it.
    pub untimely: Vec<String>,
    store: Xenstored,
    journal: PathBuf,
    kernel_log: PathBuf,
}

/// A dom0 whose `/sys` acts.
pub struct Machine {
    state: Arc<Mutex<State>>,
    mount: Option<Mount>,
    pub dom0: Dom0,
}

struct Service(Arc<Mutex<State>>);

impl Drop for Machine {
    fn drop(&mut self) {
        // Nobody is to hang for ever.
        self.let_go();
        self.mount = None;
        let _ = umount2(&self.dom0.path("var/lib/qubes-dom0-pci"), MntFlags::MNT_DETACH);
    }
}

/// How a run ended: `None` where it was killed.
pub struct Ran {
    pub status: Option<i32>,
    pub text: String,
}

impl Machine {
    /// A dom0 of this world; actors are after `target`.
    pub fn new(world: World, target: &str) -> Self {
        let mut dom0 = Dom0::new();
        for (module, it) in &world.modules {
            for driver in it.drivers {
                dom0.claim(module, &format!("{}*", world.drivers[*driver].takes));
            }
        }
        dom0.remove("proc/xen/model");
        symlink("../../sys/.xen", dom0.path("proc/xen/model")).unwrap();
        fs::create_dir_all(dom0.path("run/udev")).unwrap();
        dom0.write("proc/self/mountinfo", "");
        dom0.write("proc/swaps", "");
        for (name, word) in [("sbin/modprobe", "modprobe"), ("bin/udevadm", "udevadm")] {
            let script = format!(
                "#!/bin/sh\nfor last; do :; done\necho \"$last\" 2>/dev/null >{}/.xen/{word} || exit 1\n",
                dom0.path("sys").display()
            );
            dom0.write(&format!("usr/{name}"), script);
            let path = dom0.path(&format!("usr/{name}"));
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let disk = dom0.path("var/lib/qubes-dom0-pci");
        fs::create_dir_all(&disk).unwrap();
        mount(Some("journal"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=1m,mode=755")).unwrap();
        let state = State {
            tree: world.tree(),
            world,
            ops: Vec::new(),
            fault: None,
            later_write: None,
            besides: None,
            struck: false,
            main: 0,
            kept: None,
            target: target.to_owned(),
            taken: None,
            taken_within: false,
            unannounced: Vec::new(),
            trespasses: Vec::new(),
            shown: false,
            heedless: Vec::new(),
            untimely: Vec::new(),
            store: dom0.store().clone(),
            journal: dom0.journal().join("000000000000.jsonl"),
            kernel_log: dom0.path("dev/kmsg"),
        };
        let state = Arc::new(Mutex::new(state));
        let mount = Some(Mount::new(&dom0.path("sys"), Service(Arc::clone(&state))));
        Self { state, mount, dom0 }
    }

    /// The model's state, to look at or to change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// This goes wrong at that operation of the next run.
    pub fn arm(&self, at: usize, fault: Fault) {
        self.state().fault = Some((at, fault));
    }

    /// This happens at that operation of the next run, before it is answered.
    pub fn besides(&self, at: usize, what: impl FnOnce() + Send + 'static) {
        self.state().besides = Some((at, Box::new(|_| what())));
    }

    /// The world changes by itself at that operation of the next run.
    pub fn meanwhile(&self, at: usize, what: impl FnOnce(&mut World) + Send + 'static) {
        self.state().besides = Some((
            at,
            Box::new(|state| {
                what(&mut state.world);
                state.changed();
            }),
        ));
    }

    /// The program is sent this signal at that operation of the next run.
    pub fn signals(&self, at: usize, signal: Signal) {
        let send = move |state: &mut State| kill(Pid::from_raw(state.main), signal).unwrap();
        self.state().besides = Some((at, Box::new(send)));
    }

    /// This goes wrong at the write after so many of the next run.
    pub fn arm_write(&self, passing: usize, fault: Fault) {
        self.state().later_write = Some((passing, fault));
    }

    /// The program is killed after so many more writes, and one.
    pub fn kill_after_writes(&self, passing: usize) {
        self.state().later_write = Some((passing, Fault::KilledAfter));
    }

    /// Whether that has not come to pass; it will not now.
    pub fn spares(&self) -> bool {
        self.state().later_write.take().is_some()
    }

    /// Runs the program.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.spawn(self.dom0.command(arguments))
    }

    /// Runs it by another program, which is given these words before it.
    pub fn run_by(&self, other: &str, words: &[String], arguments: &[&str]) -> Ran {
        let plain = self.dom0.command(arguments);
        let mut command = Command::new(other);
        command.stdin(Stdio::null()).args(words).arg(plain.get_program()).args(plain.get_args());
        self.spawn(command)
    }

    fn spawn(&self, mut command: Command) -> Ran {
        let child = {
            // No operation is answered before the model knows who asks.
            let mut state = self.state();
            state.ops.clear();
            state.unannounced.clear();
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            state.main = i32::try_from(child.id()).unwrap();
            child
        };
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        Ran { status: output.status.code(), text: String::from_utf8_lossy(&text).into_owned() }
    }

    /// The write that hangs returns at last.
    pub fn let_go(&self) -> bool {
        let kept = self.state().kept.take();
        let Some((ticket, path, data, effect)) = kept else { return false };
        if effect {
            let mut state = self.state();
            let _ = state.world.write(&path, &data);
            state.changed();
        }
        if let Some(mount) = &self.mount {
            mount.answer(ticket, world::EIO);
        }
        true
    }

    /// There is space for the journal again.
    pub fn frees_space(&self) {
        let _ = fs::remove_file(self.dom0.path("var/lib/qubes-dom0-pci/filler"));
    }
}

impl State {
    /// After every change.
    pub fn changed(&mut self) {
        self.tree = self.world.tree();
        if !self.world.said.is_empty() {
            let mut log = fs::OpenOptions::new().append(true).open(&self.kernel_log).unwrap();
            for line in self.world.said.drain(..) {
                writeln!(log, "6,1,1,-;{line}").unwrap();
            }
        }
    }

    /// Whether the journal's last record announces what is done now.
    fn announced(&self) -> bool {
        let text = fs::read_to_string(&self.journal).unwrap_or_default();
        let last = text.lines().last().unwrap_or_default();
        last.contains("\"phase\":\"intent\"")
    }

    fn begun(&self) -> bool {
        fs::read_to_string(&self.journal).is_ok_and(|text| text.contains("\"phase\":\"start\""))
    }

    fn acts(&mut self, actor: Actor) {
        let within = self.begun();
        let target = self.target.clone();
        let Some(device) = self.world.devices.get_mut(&target) else { return };
        match actor {
            Actor::Vanishes => {
                self.world.devices.remove(&target);
            }
            Actor::Authorizes => drop(self.world.globals.insert(AUTHORIZED, "2".to_owned())),
            Actor::Driver if device.driver.is_some() => return,
            Actor::Complains => {
                let Some(driver) = device.driver.as_ref().filter(|driver| *driver != "pciback") else {
                    return;
                };
                self.world.said.push(format!("{driver} {target}: xen map irq failed -19 for 32752 domain"));
            }
            Actor::LetsGo => {
                let Some(driver) = device.driver.take_if(|driver| driver != "pciback") else { return };
                device.sign.clear();
                self.world.said.push(format!("{driver} {target}: probe failed"));
            }
            Actor::Driver => {
                device.driver = Some("uio_pci_generic".to_owned());
                self.taken = Some(device.clone());
            }
            Actor::Qube => {
                device.driver = Some("pciback".to_owned());
                device.slot = true;
                device.sign.clear();
                device.owner = Owner::Domain(5);
                self.taken = Some(device.clone());
                self.world.domains.insert(5);
                self.store.write("/local/domain/5/name", "sys-net");
                self.store.write("/local/domain/0/backend/pci/5/0/dev-0", target.as_bytes());
                self.store.write("/local/domain/0/backend/pci/5/0/domain", "sys-net");
            }
        }
        self.taken_within = within;
        self.changed();
    }

    fn fill_disk(&self) {
        let Some(disk) = self.journal.parent().and_then(Path::parent) else { return };
        if let Ok(file) = fs::OpenOptions::new().write(true).open(&self.journal) {
            // What was reserved behind its end is taken too.
            let _ = file.set_len(file.metadata().unwrap().len());
        }
        let mut filler = fs::File::create(disk.join("filler")).unwrap();
        let piece = vec![0; 4096];
        while filler.write_all(&piece).is_ok() {}
    }

    /// Kills the program and waits until it is gone.
    fn kill_main(&self) {
        let _ = kill(Pid::from_raw(self.main), Signal::SIGKILL);
        for _ in 0..5000 {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.main)).unwrap_or_default();
            let state = stat.rsplit_once(')').map_or("", |(_, rest)| rest.trim_start());
            if state.is_empty() || state.starts_with('Z') || state.starts_with('X') {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn write(&mut self, path: &str, data: &[u8]) -> Result<(), i32> {
        if !self.announced() {
            self.unannounced.push(path.to_owned());
        }
        let untimely = self.world.untimely(path, data).filter(|_| self.taken.is_none());
        self.untimely.extend(untimely.map(|why| format!("{path}: {why}")));
        let before = self.world.devices.get(&self.target).cloned();
        let answer = self.world.write(path, data);
        // What this program set to reset it and to read its ROM is put back, whoever has it now.
        let put_back = path.ends_with("/reset_method") || path.ends_with("/rom") && data == b"0\n";
        let changed = self.world.devices.get(&self.target) != before.as_ref() && !put_back;
        if self.taken.is_some() && changed {
            self.trespasses.push(path.to_owned());
            if self.shown {
                self.heedless.push(path.to_owned());
            }
        }
        self.changed();
        answer
    }

    fn plain(&mut self, path: &str, access: Access<'_>) -> Reply {
        if let Some(taken) = self.taken.as_ref().filter(|_| !matches!(access, Access::Write(_))) {
            let shows = if matches!(taken.owner, Owner::Domain(_)) { ".xen/owners" } else { "/driver" };
            self.shown |= path.ends_with(shows);
        }
        match access {
            Access::Write(data) => match self.write(path, data) {
                Ok(()) => Reply::Data(Vec::new()),
                Err(error) => Reply::Refused(error),
            },
            Access::Read | Access::List => match self.tree.get(path) {
                Some(_) if self.world.unreadable(path).is_some() => {
                    Reply::Refused(self.world.unreadable(path).unwrap())
                }
                Some((_, text)) => Reply::Data(text.clone()),
                None => Reply::Refused(world::ENODEV),
            },
            Access::ReadLink => match self.tree.get(path) {
                Some((Entry::Link(target), _)) => Reply::Data(target.clone().into_bytes()),
                _ => Reply::Refused(world::ENOENT),
            },
        }
    }

    fn strike(&mut self, fault: Fault, path: &str, access: Access<'_>, ticket: Ticket) -> Reply {
        const EINTR: i32 = 4;
        self.struck = true;
        let writes = matches!(access, Access::Write(_));
        match fault {
            Fault::Errno(error) => Reply::Refused(error),
            Fault::ErrnoThenKilled(error, passing) => {
                self.later_write = Some((passing, Fault::KilledBefore));
                Reply::Refused(error)
            }
            Fault::ErrnoThenErrno(error, passing) => {
                self.later_write = Some((passing, Fault::Errno(error)));
                Reply::Refused(error)
            }
            Fault::NoEffect => Reply::Data(Vec::new()),
            Fault::DoneAndErrno(error) => {
                self.plain(path, access);
                Reply::Refused(error)
            }
            Fault::KilledBefore => {
                if writes {
                    let _ = kill(Pid::from_raw(ticket.process), Signal::SIGKILL);
                    self.kill_main();
                } else {
                    let _ = kill(Pid::from_raw(self.main), Signal::SIGKILL);
                }
                Reply::Refused(EINTR)
            }
            Fault::KilledWithin => {
                self.kill_main();
                self.plain(path, access)
            }
            Fault::KilledAfter => {
                let reply = self.plain(path, access);
                self.kill_main();
                reply
            }
            Fault::ChildKilled(done) => {
                let _ = kill(Pid::from_raw(ticket.process), Signal::SIGKILL);
                if done {
                    self.plain(path, access);
                }
                Reply::Refused(EINTR)
            }
            Fault::Hangs(done) => {
                if let Access::Write(data) = access {
                    self.kept = Some((ticket, path.to_owned(), data.to_vec(), done));
                }
                Reply::Kept
            }
            Fault::Before(actor) => {
                self.acts(actor);
                self.plain(path, access)
            }
            Fault::After(actor) => {
                let reply = self.plain(path, access);
                self.acts(actor);
                reply
            }
            Fault::Instead(actor) => {
                self.acts(actor);
                Reply::Refused(world::EBUSY)
            }
            Fault::JournalFull => {
                self.fill_disk();
                self.plain(path, access)
            }
        }
    }
}

impl Served for Service {
    fn entry(&mut self, path: &str) -> Option<Entry> {
        let state = self.0.lock().unwrap();
        state.tree.get(path).map(|(entry, _)| entry.clone())
    }

    fn changes(&self, path: &str) -> bool {
        path.starts_with("devices/pci0000:00/")
            || path.starts_with("bus/pci/devices/")
            || path.starts_with("module/")
            || path.starts_with("class")
            || path.matches('/').count() >= 3
    }

    fn access(&mut self, path: &str, access: Access<'_>, ticket: Ticket) -> Reply {
        let mut state = self.0.lock().unwrap();
        let number = state.ops.len();
        state.ops.push(Op { writes: matches!(access, Access::Write(_)), path: path.to_owned() });
        if let Some((_, what)) = state.besides.take_if(|(at, _)| *at == number) {
            what(&mut state);
        }
        if let (Access::Write(_), Some((passing, fault))) = (access, state.later_write) {
            state.later_write = passing.checked_sub(1).map(|passing| (passing, fault));
            if passing == 0 {
                return state.strike(fault, path, access, ticket);
            }
        }
        match state.fault {
            Some((at, fault)) if at == number => {
                state.fault = None;
                state.strike(fault, path, access, ticket)
            }
            _ => state.plain(path, access),
        }
    }
}
