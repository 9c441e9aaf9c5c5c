//! A recorder that runs beside a test, and what it wrote.

use crate::model::{Dom0, Function};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::Value;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

pub const NIC: &str = "0000:00:07.0";
pub const USB: &str = "0000:00:08.0";

/// A recorder that runs; it is killed with the value.
pub struct Running<'a> {
    pub dom0: &'a Dom0,
    child: Child,
    kernel: UnixDatagram,
    number: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A dom0 before any qube ran, whose kernel log is whole.
pub fn fresh() -> Dom0 {
    let dom0 = Dom0::with(Function::nic(NIC).driven("e1000e"));
    prepare(&dom0);
    dom0
}

/// A dom0 whose card pciback holds since the boot.
pub fn held() -> Dom0 {
    let dom0 = Dom0::with(Function::nic(NIC).held());
    prepare(&dom0);
    dom0
}

pub fn prepare(dom0: &Dom0) {
    dom0.write("dev/kmsg", "6,0,0,-;Linux version 6.12.0-model\n6,1,10,-;Command line: x\n");
    std::fs::create_dir_all(dom0.path("run/model")).unwrap();
}

impl<'a> Running<'a> {
    pub fn start(dom0: &'a Dom0, arguments: &[&str]) -> Self {
        let before = count(dom0, "recorder", "phase=start");
        let mut command = dom0.command(&[&["record"], arguments].concat());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let running = Self { dom0, child, kernel: UnixDatagram::unbound().unwrap(), number: 1000 };
        running.until(|| count(dom0, "recorder", "phase=start") > before);
        running
    }

    #[track_caller]
    pub fn until(&self, what: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < end, "not in time; journal:\n{}", log(self.dom0));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The kernel says something of a function.
    pub fn uevent(&mut self, action: &str, bdf: &str, driver: &str) {
        self.number += 1;
        let path = format!("/devices/pci0000:00/{bdf}");
        let driver = if driver.is_empty() { String::new() } else { format!("DRIVER={driver}\0") };
        let text = format!(
            "{action}@{path}\0ACTION={action}\0DEVPATH={path}\0SUBSYSTEM=pci\0{driver}PCI_SLOT_NAME={bdf}\0SEQNUM={}\0",
            self.number
        );
        self.says(text.as_bytes());
    }

    pub fn says(&self, bytes: &[u8]) {
        self.kernel.send_to(bytes, self.dom0.path("run/model/uevents")).unwrap();
    }

    /// It is asked to end, and does.
    pub fn stop(mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0));
    }

    /// It is asked to end again and again until it does, as by a person or by `timeout`, which asks a whole group besides.
    pub fn stop_impatiently(mut self) {
        let process = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let status = loop {
            kill(process, Signal::SIGTERM).unwrap();
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
        };
        assert_eq!(status.code(), Some(0), "{status}");
    }

    pub fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }
}

pub fn records(dom0: &Dom0) -> Vec<Value> {
    log(dom0).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The journal's whole lines.
pub fn log(dom0: &Dom0) -> String {
    let file = dom0.path("var/lib/qubes-dom0-pci/journal/000000000000.jsonl");
    let mut text = std::fs::read_to_string(file).unwrap_or_default();
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    text
}

/// Records of a kind with these members, `key=value`, a comma between them.
pub fn found(dom0: &Dom0, kind: &str, members: &str) -> Vec<Value> {
    let wanted: Vec<(&str, &str)> = members.split(',').filter_map(|member| member.split_once('=')).collect();
    let fits = |record: &Value| {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        record["kind"] == kind && wanted.iter().all(|(key, value)| text(&record[*key]) == *value)
    };
    records(dom0).into_iter().filter(fits).collect()
}

pub fn count(dom0: &Dom0, kind: &str, members: &str) -> usize {
    found(dom0, kind, members).len()
}

/// qubesd tells an event: its subject, its name, and keys with their values.
pub fn event(subject: &str, name: &str, values: &[(&str, &str)]) -> Vec<u8> {
    let pairs: String = values.iter().map(|(key, value)| format!("{key}\0{value}\0")).collect();
    format!("1\0{subject}\0{name}\0{pairs}\0").into_bytes()
}
