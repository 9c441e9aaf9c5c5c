//! Xen: its log, its owners of devices, its domains.
//!
//! With `--sysroot` no hypercall is made: a model answers through files below
//! `DIR/proc/xen/model`.

#![forbid(unsafe_code)]

use super::libxenctrl::Interface;
use super::root::{read_bytes, read_text, Sysroot};
use crate::error::{Code, Exit, Failure};
use crate::names::{escape, Sbdf};
use std::cell::Cell;
use std::io;
use std::path::PathBuf;

/// `XEN_DOMINF_dying` of `xen/include/public/domctl.h`.
const DYING: u32 = 1;
/// `XEN_SYSCTL_PHYSCAP_directio`: an IOMMU is on, devices can be given to domains.
const DIRECTIO: u32 = 1 << 2;
/// The ring of Xen's log is 16 KiB by default and at most some MiB.
const LARGEST_LOG: usize = 16 << 20;

/// A connection to the hypervisor, or to the model of one.
pub struct Xen {
    inner: Inner,
}

enum Inner {
    Library {
        interface: Interface,
        /// How far its log was read: what is older need not be read again to find
        /// the log's end.
        seen: Cell<u32>,
    },
    Model(PathBuf),
}

/// A domain that Xen lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Domain {
    /// The id.
    pub id: u16,
    /// Whether it is being destroyed (it can own devices until that ends).
    pub dying: bool,
}

/// A place in Xen's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogMark(u32);

impl LogMark {
    /// As the journal keeps it.
    #[must_use]
    pub fn number(self) -> i64 {
        i64::from(self.0)
    }

    /// From the journal, of the same boot.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        u32::try_from(number).ok().map(Self)
    }
}

impl Xen {
    /// Connects.
    ///
    /// # Errors
    /// Exit 10: this is no Xen, no dom0, or the right to ask Xen is missing.
    pub fn open(root: &Sysroot) -> Result<Self, Failure> {
        check_dom0(root)?;
        if root.is_model() {
            return Ok(Self { inner: Inner::Model(root.path("/proc/xen/model")) });
        }
        let version = |part: &str| -> Result<u32, Failure> {
            let path = root.path(&format!("/sys/hypervisor/version/{part}"));
            let text = read_text(&path).map_err(|error| not_dom0(&path.display().to_string(), &error))?;
            text.parse().map_err(|_| {
                Failure::new(Exit::NotDom0, Code::NoXen, format!("{} is no number", path.display()), HINT)
            })
        };
        let interface = Interface::open(version("major")?, version("minor")?)
            .map_err(|error| not_dom0("Xen's control interface", &error))?;
        Ok(Self { inner: Inner::Library { interface, seen: Cell::new(0) } })
    }

    /// Where Xen's log ends now.
    pub fn log_end(&self) -> io::Result<LogMark> {
        let seen = match &self.inner {
            Inner::Library { seen, .. } => seen.get(),
            Inner::Model(_) => 0,
        };
        Ok(LogMark(self.read_log_from(seen)?.1))
    }

    /// What Xen has logged since the mark. It only reads.
    pub fn log_since(&self, mark: LogMark) -> io::Result<String> {
        let (bytes, end) = self.read_log_from(mark.0)?;
        // Xen skips what its ring has lost, or what somebody cleared.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if end.wrapping_sub(mark.0) != length {
            return Err(io::Error::other("Xen's log ran over or was cleared since"));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Asks for debug key Q (the owner of every PCI function) and returns what
    /// Xen's log got after the request.
    pub fn dump_pci_owners(&self) -> io::Result<String> {
        match &self.inner {
            Inner::Library { interface, .. } => {
                let before = self.log_end()?;
                interface.send_debug_key(b'Q')?;
                self.log_since(before)
            }
            Inner::Model(folder) => {
                Ok(String::from_utf8_lossy(&read_bytes(&folder.join("owners"))?).into_owned())
            }
        }
    }

    fn read_log_from(&self, start: u32) -> io::Result<(Vec<u8>, u32)> {
        let (interface, seen) = match &self.inner {
            Inner::Library { interface, seen } => (interface, seen),
            Inner::Model(folder) => {
                let log = read_bytes(&folder.join("log")).unwrap_or_default();
                let end = u32::try_from(log.len()).unwrap_or(u32::MAX);
                let start = usize::try_from(start).unwrap_or(0);
                return Ok((log.get(start..).unwrap_or_default().to_vec(), end));
            }
        };
        let mut index = start;
        let mut log = Vec::new();
        let mut buffer = vec![0; 16 << 10];
        loop {
            let piece = interface.read_log(&mut buffer, &mut index)?;
            if piece.is_empty() || log.len() > LARGEST_LOG {
                seen.set(index);
                return Ok((log, index));
            }
            log.extend_from_slice(piece);
        }
    }

    /// Whether an IOMMU contains the DMA of devices.
    pub fn has_iommu(&self) -> io::Result<bool> {
        match &self.inner {
            Inner::Library { interface, .. } => Ok(interface.physical_capabilities()? & DIRECTIO != 0),
            Inner::Model(folder) => Ok(!folder.join("no-iommu").exists()),
        }
    }

    /// The command line that Xen was started with.
    pub fn command_line(&self) -> io::Result<String> {
        match &self.inner {
            Inner::Library { interface, .. } => interface.command_line(),
            Inner::Model(folder) => match read_text(&folder.join("cmdline")) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
                read => read,
            },
        }
    }

    /// Every domain Xen lists: running, paused, shut down or dying.
    pub fn domains(&self) -> io::Result<Vec<Domain>> {
        let mut domains = Vec::new();
        match &self.inner {
            Inner::Library { interface, .. } => {
                let mut next = 0;
                while let Some((id, flags)) = interface.domain_from(next)? {
                    let id16 = u16::try_from(id).unwrap_or(u16::MAX);
                    domains.push(Domain { id: id16, dying: flags & DYING != 0 });
                    next = id.saturating_add(1);
                }
            }
            Inner::Model(folder) => {
                for line in read_text(&folder.join("domains"))?.lines() {
                    let (id, state) = line.split_once(' ').unwrap_or((line, ""));
                    if let Ok(id) = id.parse() {
                        domains.push(Domain { id, dying: state == "dying" });
                    }
                }
            }
        }
        Ok(domains)
    }

    /// Gives a function to DomIO, where its DMA goes nowhere.
    pub fn quarantine(&self, sbdf: Sbdf) -> io::Result<()> {
        match &self.inner {
            Inner::Library { interface, .. } => interface.quarantine(number(sbdf)?),
            Inner::Model(folder) => std::fs::write(folder.join("quarantine"), sbdf.to_string()),
        }
    }

    /// Takes a function out of DomIO and gives it to dom0.
    pub fn dequarantine(&self, sbdf: Sbdf) -> io::Result<()> {
        match &self.inner {
            Inner::Library { interface, .. } => interface.dequarantine(number(sbdf)?),
            Inner::Model(folder) => std::fs::write(folder.join("dequarantine"), sbdf.to_string()),
        }
    }
}

fn number(sbdf: Sbdf) -> io::Result<u32> {
    sbdf.to_xen().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

const HINT: &str = "run it in dom0 of a running Xen, as root";

fn not_dom0(what: &str, error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::PermissionDenied { Code::NoRight } else { Code::NoXen };
    Failure::new(Exit::NotDom0, code, format!("{what}: {error}"), HINT)
}

/// Whether this is the control domain of a running Xen, as far as anybody may see.
///
/// # Errors
/// Exit 10 with the file that says otherwise.
pub fn check_dom0(root: &Sysroot) -> Result<(), Failure> {
    let kind = root.path("/sys/hypervisor/type");
    match read_text(&kind) {
        Ok(text) if text == "xen" => {}
        Ok(text) => {
            let shown = escape(text.as_bytes());
            let message = format!("this machine runs under {shown}, not Xen ({})", kind.display());
            return Err(Failure::new(Exit::NotDom0, Code::NoXen, message, HINT));
        }
        Err(error) => {
            let message = format!("this is no Xen machine: {}: {error}", kind.display());
            return Err(Failure::new(Exit::NotDom0, Code::NoXen, message, HINT));
        }
    }
    let capabilities = root.path("/proc/xen/capabilities");
    match read_text(&capabilities) {
        Ok(text) if !text.contains("control_d") => Err(Failure::new(
            Exit::NotDom0,
            Code::NoDom0,
            format!("this is no control domain: {} lacks control_d", capabilities.display()),
            HINT,
        )),
        // xenfs may not be mounted; Xen's own interface will tell then.
        _ => Ok(()),
    }
}
