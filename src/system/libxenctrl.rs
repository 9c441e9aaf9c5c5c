//! Xen's control library, opened at run time: the one module with unsafe code.
//!
//! Why not link it: its name carries Xen's version (`libxenctrl.so.4.17`), and a
//! domctl speaks only to the hypervisor of its own version. Why not run `xl`: it
//! cannot put an unbound function into quarantine, and costs a process per call.
//!
//! The signatures are those of Xen's `tools/include/xenctrl.h`; they are the same
//! from 4.14 to 4.20. Structures whose layout differs between versions are passed
//! as zeroed buffers larger than any of them, and only members at a fixed offset
//! are read.

use std::ffi::{c_char, c_int, c_uint, c_void, CString};
use std::io;
use std::ptr;

extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

const RTLD_NOW: c_int = 2;

/// `DOMID_IO` of `xen/include/public/xen.h`: who owns a quarantined function.
const DOMID_IO: u32 = 0x7ff1;
/// `XEN_DOMCTL_DEV_RDM_RELAXED`: as libxl quarantines, so that a device with a
/// reserved memory region can be quarantined too.
const RDM_RELAXED: u32 = 1;

/// `struct xentoollog_logger` of `tools/include/xentoollog.h`.
#[repr(C)]
struct Logger {
    message: extern "C" fn(*mut Logger, c_int, c_int, *const c_char, *const c_char, *mut c_void),
    progress: extern "C" fn(*mut Logger, *const c_char, *const c_char, c_int, u64, u64),
    destroy: extern "C" fn(*mut Logger),
}

extern "C" fn drop_message(
    _: *mut Logger,
    _: c_int,
    _: c_int,
    _: *const c_char,
    _: *const c_char,
    _: *mut c_void,
) {
}
extern "C" fn drop_progress(_: *mut Logger, _: *const c_char, _: *const c_char, _: c_int, _: u64, _: u64) {}
extern "C" fn keep(_: *mut Logger) {}

/// Without a logger of ours the library writes to stderr.
static SILENT: Logger = Logger { message: drop_message, progress: drop_progress, destroy: keep };

type Open = unsafe extern "C" fn(*mut Logger, *mut Logger, c_uint) -> *mut c_void;
type Close = unsafe extern "C" fn(*mut c_void) -> c_int;
type SendDebugKeys = unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int;
type ReadConsoleRing =
    unsafe extern "C" fn(*mut c_void, *mut c_char, *mut c_uint, c_int, c_int, *mut u32) -> c_int;
type PhysInfo = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
type Version = unsafe extern "C" fn(*mut c_void, c_int, *mut c_void) -> c_int;
type GetInfoList = unsafe extern "C" fn(*mut c_void, u32, c_uint, *mut c_void) -> c_int;
type Assign = unsafe extern "C" fn(*mut c_void, u32, u32, u32) -> c_int;
type Deassign = unsafe extern "C" fn(*mut c_void, u32, u32) -> c_int;

/// An open connection to the hypervisor.
pub struct Interface {
    handle: *mut c_void,
    close: Close,
    send_debug_keys: SendDebugKeys,
    read_console_ring: ReadConsoleRing,
    physinfo: PhysInfo,
    version: Version,
    getinfolist: GetInfoList,
    assign: Assign,
    deassign: Deassign,
}

/// A zeroed buffer, larger and stricter aligned than any version's structure.
#[repr(C, align(16))]
struct DumpScratch([u8; 4096]);

impl DumpScratch {
    fn new() -> Box<Self> {
        Box::new(Self([0; 4096]))
    }

    fn u32_at(&self, offset: usize) -> u32 {
        let bytes = self.0.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_ne_bytes)
    }
}

impl Interface {
    /// Opens the library of Xen `major.minor` and a connection through it.
    ///
    /// # Errors
    /// The library or one of its functions is missing, or `/dev/xen/privcmd`
    /// cannot be opened (no root, no dom0).
    pub fn open(major: u32, minor: u32) -> io::Result<Self> {
        let name = format!("libxenctrl.so.{major}.{minor}");
        let file = CString::new(name.clone())?;
        // SAFETY: `file` is a NUL-terminated string; the library is the system's
        // own, found by the loader's trusted path, and is never closed.
        let library = unsafe { dlopen(file.as_ptr(), RTLD_NOW) };
        if library.is_null() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("the library {name} cannot be loaded"),
            ));
        }
        let symbol = |symbol: &str| -> io::Result<*mut c_void> {
            let text = CString::new(symbol)?;
            // SAFETY: `library` is a live handle and `text` is NUL-terminated.
            let address = unsafe { dlsym(library, text.as_ptr()) };
            if address.is_null() {
                return Err(io::Error::new(io::ErrorKind::NotFound, format!("{name} has no {symbol}")));
            }
            Ok(address)
        };
        // SAFETY: each address is a function of the C signature its type gives
        // (xenctrl.h), and a function pointer has the size of a data pointer.
        let (
            open,
            close,
            send_debug_keys,
            read_console_ring,
            physinfo,
            version,
            getinfolist,
            assign,
            deassign,
        ) = unsafe {
            (
                std::mem::transmute::<*mut c_void, Open>(symbol("xc_interface_open")?),
                std::mem::transmute::<*mut c_void, Close>(symbol("xc_interface_close")?),
                std::mem::transmute::<*mut c_void, SendDebugKeys>(symbol("xc_send_debug_keys")?),
                std::mem::transmute::<*mut c_void, ReadConsoleRing>(symbol("xc_readconsolering")?),
                std::mem::transmute::<*mut c_void, PhysInfo>(symbol("xc_physinfo")?),
                std::mem::transmute::<*mut c_void, Version>(symbol("xc_version")?),
                std::mem::transmute::<*mut c_void, GetInfoList>(symbol("xc_domain_getinfolist")?),
                std::mem::transmute::<*mut c_void, Assign>(symbol("xc_assign_device")?),
                std::mem::transmute::<*mut c_void, Deassign>(symbol("xc_deassign_device")?),
            )
        };
        // SAFETY: the logger is a static, so it outlives the handle; the library only
        // calls its functions, and they ignore all they are given (the va_list
        // included, which is passed as one pointer on the ABIs Xen has a dom0 on).
        let handle = unsafe { open(ptr::from_ref(&SILENT).cast_mut(), ptr::null_mut(), 0) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            handle,
            close,
            send_debug_keys,
            read_console_ring,
            physinfo,
            version,
            getinfolist,
            assign,
            deassign,
        })
    }

    /// Has Xen print what `xl debug-keys` would; returns when it is printed.
    pub fn send_debug_key(&self, key: u8) -> io::Result<()> {
        let keys = CString::new(vec![key])?;
        // SAFETY: the handle is open and `keys` is NUL-terminated; the library
        // copies it.
        check(unsafe { (self.send_debug_keys)(self.handle, keys.as_ptr()) })
    }

    /// Reads Xen's log from position `index` on, at most the buffer's length, and
    /// moves `index`. It never clears the log.
    pub fn read_log<'a>(&self, buffer: &'a mut [u8], index: &mut u32) -> io::Result<&'a [u8]> {
        let mut count = c_uint::try_from(buffer.len()).unwrap_or(c_uint::MAX);
        // SAFETY: `buffer` has `count` writable bytes, and the three other
        // pointers are to live variables of the type the signature has. clear is
        // 0, incremental is 1.
        check(unsafe {
            (self.read_console_ring)(self.handle, buffer.as_mut_ptr().cast(), &mut count, 0, 1, index)
        })?;
        let count = usize::try_from(count).unwrap_or(0);
        Ok(buffer.get(..count).unwrap_or_default())
    }

    /// `capabilities` of `struct xen_sysctl_physinfo`: the eighth 32-bit member
    /// since Xen 4.13.
    pub fn physical_capabilities(&self) -> io::Result<u32> {
        let mut info = DumpScratch::new();
        // SAFETY: the structure is below 300 bytes in every version, the buffer
        // has 4096, aligned.
        check(unsafe { (self.physinfo)(self.handle, ptr::from_mut(&mut *info).cast()) })?;
        Ok(info.u32_at(28))
    }

    /// `XENVER_commandline`: at most 1,024 bytes, with a NUL behind them.
    pub fn command_line(&self) -> io::Result<String> {
        const COMMAND_LINE: c_int = 9;
        let mut text = DumpScratch::new();
        // SAFETY: a `xen_commandline_t` is 1024 bytes in every version, the buffer has 4096.
        check(unsafe { (self.version)(self.handle, COMMAND_LINE, ptr::from_mut(&mut *text).cast()) })?;
        let bytes = text.0.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// The first domain whose id is `first` or above, with its `XEN_DOMINF` flags;
    /// `None` where there is none.
    pub fn domain_from(&self, first: u32) -> io::Result<Option<(u32, u32)>> {
        let mut info = DumpScratch::new();
        // SAFETY: one `xc_domaininfo_t` is below 300 bytes in every version, and
        // one is asked for.
        let count = unsafe { (self.getinfolist)(self.handle, first, 1, ptr::from_mut(&mut *info).cast()) };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        // domid is 16 bits at offset 0 (then padding), flags 32 bits at offset 4.
        let id = info.u32_at(0) & 0xffff;
        Ok((count > 0 && id >= first).then(|| (id, info.u32_at(4))))
    }

    /// Gives a function to `DOMID_IO`.
    pub fn quarantine(&self, sbdf: u32) -> io::Result<()> {
        // SAFETY: plain numbers and an open handle.
        check(unsafe { (self.assign)(self.handle, DOMID_IO, sbdf, RDM_RELAXED) })
    }

    /// Takes a function from `DOMID_IO`, which gives it to dom0.
    pub fn dequarantine(&self, sbdf: u32) -> io::Result<()> {
        // SAFETY: plain numbers and an open handle.
        check(unsafe { (self.deassign)(self.handle, DOMID_IO, sbdf) })
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        // SAFETY: the handle came from `xc_interface_open` and is closed once.
        unsafe { (self.close)(self.handle) };
    }
}

/// libxenctrl returns 0, or -1 with errno; some calls return -errno.
fn check(result: c_int) -> io::Result<()> {
    match result {
        0.. => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        negative => Err(io::Error::from_raw_os_error(negative.saturating_neg())),
    }
}
