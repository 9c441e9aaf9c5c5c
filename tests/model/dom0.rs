//! The directory.

use super::modules::index;
use super::qubesd::{Qubesd, QUBES_42};
use super::terminal::{self, Answer};
use super::xenstored::{Fault, Xenstored};
use super::{Function, Said};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const RELEASE: &str = "6.12.0-model";

const PCI_IDS: &str = "\
1b36  Red Hat, Inc.
\t000d  QEMU XHCI Host Controller
8086  Intel Corporation
\t10d3  82574L Gigabit Network Connection
C 02  Network controller
\t00  Ethernet controller
C 0c  Serial bus controller
\t03  USB controller
";

/// A dom0: Xen with an IOMMU, xenstored, xen-pciback, and the modules e1000e and
/// xhci_pci loaded. It is gone with the value.
pub struct Dom0 {
    root: PathBuf,
    store: Xenstored,
    owners: BTreeMap<String, String>,
    aliases: Vec<(String, String)>,
    needs: Vec<(String, String)>,
    slots: Vec<String>,
}

impl Drop for Dom0 {
    fn drop(&mut self) {
        self.store.end(&self.root.join("run/xenstored/socket"));
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl Dom0 {
    /// Any Xen dom0: no network hidden at boot.
    pub fn new() -> Self {
        let mut dom0 = Self::without_xenstored();
        dom0.store.serve(&dom0.root.join("run/xenstored/socket"));
        dom0.claim("e1000e", "pci:v00008086d000010D3sv*sd*bc*sc*i*");
        dom0.claim("xhci_pci", "pci:v*d*sv*sd*bc0Csc03i30*");
        dom0.load("e1000e", &["e1000e"]);
        dom0.load("xhci_pci", &["xhci_hcd"]);
        dom0
    }

    /// The same with a store that does not run, and no modules.
    pub fn without_xenstored() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Short: the path of a socket has at most 107 letters.
        let root = std::env::temp_dir().join(format!("model-{}-{number}", std::process::id()));
        // As root's: under another one, folders are made that a group can write.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        let dom0 = Self {
            root,
            store: Xenstored::default(),
            owners: BTreeMap::new(),
            aliases: Vec::new(),
            needs: Vec::new(),
            slots: Vec::new(),
        };
        for folder in ["run/xenstored", "sys/bus/pci/devices", "sys/bus/pci/drivers", "sys/module", "dev"] {
            fs::create_dir_all(dom0.root.join(folder)).unwrap();
        }
        dom0.write("sys/hypervisor/type", "xen\n");
        dom0.write("proc/xen/capabilities", "control_d\n");
        dom0.write("proc/xen/model/domains", "0\n");
        dom0.write("proc/xen/model/log", "");
        dom0.write("proc/cmdline", "placeholder root=/dev/mapper/dom0-root ro\n");
        dom0.write("proc/sys/kernel/osrelease", format!("{RELEASE}\n"));
        dom0.write("proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
        dom0.write("proc/sys/kernel/random/uuid", "99999999-8888-7777-6666-555555555555\n");
        dom0.write("usr/share/hwdata/pci.ids", PCI_IDS);
        dom0.write("sys/bus/pci/drivers/pciback/slots", "");
        dom0.write("sys/bus/pci/drivers/pciback/permissive", "");
        dom0.write("dev/kmsg", "");
        dom0.write_owners();
        dom0.write_indexes();
        dom0
    }

    /// A dom0 with one function.
    pub fn with(function: Function) -> Self {
        let mut dom0 = Self::new();
        dom0.add(function);
        dom0
    }

    /// Writes a file of the model.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Removes a file or a folder of the model.
    pub fn remove(&self, path: &str) {
        let path = self.root.join(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }

    /// A path in the model.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Adds a function, with the links sysfs has.
    pub fn add(&mut self, function: Function) -> &mut Self {
        let bdf = &function.bdf;
        let mut place = PathBuf::from(format!("sys/devices/pci{}", &bdf[..7]));
        if let Some(first) = function.behind.first() {
            place = PathBuf::from(format!("sys/devices/pci{}", &first[..7]));
        }
        place.extend(&function.behind);
        place.push(bdf);
        let shown = place.display().to_string();
        let attribute = |name: &str, text: &[u8]| self.write(&format!("{shown}/{name}"), text);
        let line = |text: String| (text + "\n").into_bytes();
        attribute("vendor", &line(format!("0x{:04x}", function.vendor)));
        attribute("device", &line(format!("0x{:04x}", function.device)));
        attribute("class", &line(format!("0x{:06x}", function.class)));
        attribute("modalias", &[&function.modalias[..], b"\n"].concat());
        attribute("config", &function.config);
        attribute("driver_override", &[&function.driver_override[..], b"\n"].concat());
        if let Some(methods) = &function.reset {
            attribute("reset", b"");
            attribute("reset_method", &line(methods.clone()));
        }
        for (name, text) in &function.attributes {
            attribute(name, &line(text.clone()));
        }
        let levels = place.components().count();
        let up = "../".repeat(levels - 1);
        symlink(format!("../../../{}", &shown["sys/".len()..]), self.device(bdf)).unwrap();
        if let Some(driver) = &function.driver {
            self.register(driver);
            symlink(format!("{up}bus/pci/drivers/{driver}"), self.root.join(&place).join("driver")).unwrap();
        }
        if function.slot {
            self.slots.push(bdf.clone());
            self.write("sys/bus/pci/drivers/pciback/slots", self.slots.join("\n") + "\n");
        }
        self.owners.insert(bdf.clone(), function.owner.clone());
        self.write_owners();
        self
    }

    fn device(&self, bdf: &str) -> PathBuf {
        self.root.join("sys/bus/pci/devices").join(bdf)
    }

    /// A PCI driver is registered.
    pub fn register(&self, driver: &str) {
        for file in ["bind", "unbind"] {
            self.write(&format!("sys/bus/pci/drivers/{driver}/{file}"), "");
        }
    }

    fn write_owners(&self) {
        let mut dump = String::from("(XEN) ==== PCI devices ====\n(XEN) ==== segment 0000 ====\n");
        for (bdf, owner) in &self.owners {
            dump.push_str(&format!("(XEN) {bdf} - {owner} - node -1 \n"));
        }
        self.write("proc/xen/model/owners", dump);
    }

    /// Xen answers the request for owners with this.
    pub fn xen_prints(&self, dump: &str) {
        self.write("proc/xen/model/owners", dump);
    }

    /// A module claims an alias.
    pub fn claim(&mut self, module: &str, alias: &str) -> &mut Self {
        self.aliases.push((alias.to_owned(), module.to_owned()));
        self.write_indexes();
        self
    }

    /// A module that needs others first, as `depmod` has it; libkmod looks for their files.
    pub fn depends(&mut self, module: &str, others: &[&str]) -> &mut Self {
        let file = |module: &str| format!("kernel/{module}.ko");
        for one in others.iter().chain([&module]) {
            self.write(&format!("lib/modules/{RELEASE}/{}", file(one)), "");
        }
        let files: Vec<String> = others.iter().map(|other| file(other)).collect();
        self.needs.push((module.to_owned(), format!("{}: {}", file(module), files.join(" "))));
        self.write_indexes();
        self
    }

    /// What `depmod` writes of soft dependencies.
    pub fn softdep(&self, line: &str) {
        self.write(
            &format!("lib/modules/{RELEASE}/modules.softdep"),
            format!("# Soft dependencies\n{line}\n"),
        );
    }

    /// A module is loaded and has registered these PCI drivers.
    pub fn load(&self, module: &str, drivers: &[&str]) {
        self.write(&format!("sys/module/{module}/initstate"), "live\n");
        for driver in drivers {
            self.register(driver);
            let links = self.root.join(format!("sys/module/{module}/drivers"));
            fs::create_dir_all(&links).unwrap();
            symlink(format!("../../../bus/pci/drivers/{driver}"), links.join(format!("pci:{driver}")))
                .unwrap();
            let back = self.root.join(format!("sys/bus/pci/drivers/{driver}/module"));
            if !back.is_symlink() {
                symlink(format!("../../../../module/{module}"), back).unwrap();
            }
        }
    }

    fn write_indexes(&self) {
        let folder = format!("lib/modules/{RELEASE}");
        self.write(&format!("{folder}/modules.alias.bin"), index(&self.aliases));
        self.write(&format!("{folder}/modules.dep.bin"), index(&self.needs));
        for name in ["symbols", "builtin", "builtin.alias"] {
            self.write(&format!("{folder}/modules.{name}.bin"), index(&[]));
        }
    }

    /// A qube runs and has a function, as libxl writes it.
    pub fn qube_has(&self, id: u16, name: &str, bdf: &str) {
        self.runs(id, name);
        self.store.write(format!("/local/domain/0/backend/pci/{id}/0/dev-0"), bdf);
    }

    /// A qube with a stub domain runs and has a function, as libxl writes it: the backend is the stub domain's, the rest
    /// and Xen's owner are the qube's.
    pub fn qube_with_a_stub_has(&self, (id, stub): (u16, u16), name: &str, bdf: &str) {
        self.runs(id, name);
        self.runs(stub, &format!("{name}-dm"));
        self.node(format!("/local/domain/{stub}/target"), id.to_string());
        let key = bdf.replace([':', '.'], "-");
        self.node(format!("/libxl/pci/{key}/domid"), id.to_string());
        let backend = format!("/local/domain/0/backend/pci/{stub}/0");
        self.node(format!("{backend}/frontend-id"), stub.to_string());
        self.node(format!("{backend}/domain"), format!("{name}-dm"));
        self.node(format!("{backend}/opts-0"), "msitranslate=0,power_mgmt=0,permissive=0,rdm_policy=strict");
        self.node(format!("{backend}/dev-0"), bdf);
    }

    /// A domain runs.
    pub fn runs(&self, id: u16, name: &str) {
        let path = self.root.join("proc/xen/model/domains");
        let before = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{before}{id}\n")).unwrap();
        self.store.write(format!("/local/domain/{id}/name"), name);
    }

    /// A node of xenstore.
    pub fn node(&self, path: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.store.write(path, value);
    }

    /// Qubes is there, and its qubesd answers as it was recorded.
    pub fn qubes(&self, transcript: &str) -> Qubesd {
        let qubesd = Qubesd::replaying(transcript);
        qubesd.serve(&self.root.join("run/qubesd.sock"));
        let release = if transcript == QUBES_42 { "4.2.4 (R4.2)" } else { "4.3.0 (R4.3)" };
        self.write("etc/qubes-release", format!("Qubes release {release}\n"));
        qubesd
    }

    /// xenstore itself.
    pub fn store(&self) -> &Xenstored {
        &self.store
    }

    /// xenstored begins to answer.
    pub fn serve_xenstore(&self) {
        let socket = self.root.join("run/xenstored/socket");
        let _ = fs::remove_file(&socket);
        self.store.serve(&socket);
    }

    /// A domain is gone from Xen's list, and xenstored says so.
    pub fn ends(&self, id: u16) {
        let path = self.root.join("proc/xen/model/domains");
        let before = fs::read_to_string(&path).unwrap();
        let left: String =
            before.lines().filter(|line| *line != id.to_string()).map(|line| format!("{line}\n")).collect();
        fs::write(path, left).unwrap();
        self.store.remove(&format!("/local/domain/{id}"));
        self.store.announce("@releaseDomain");
    }

    /// Another driver, or none, has a function.
    pub fn drives(&self, bdf: &str, driver: Option<&str>) {
        let link = self.device(bdf).join("driver");
        let _ = fs::remove_file(&link);
        if let Some(driver) = driver {
            self.register(driver);
            symlink(self.root.join("sys/bus/pci/drivers").join(driver), link).unwrap();
        }
    }

    /// xenstored goes wrong.
    pub fn xenstored_fails(&self, fault: Fault) {
        self.store.fail(fault);
    }

    /// A new boot.
    pub fn reboots(&self) {
        self.write("proc/sys/kernel/random/boot_id", "66666666-7777-8888-9999-000000000000\n");
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.path("var/lib/qubes-dom0-pci/journal")
    }

    /// The command that runs the program on this model.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qubes-dom0-pci"));
        command.env_clear().env("TERM", "xterm").stdin(Stdio::null());
        command.arg("--sysroot").arg(&self.root).args(arguments);
        command
    }

    /// Runs the program.
    pub fn run(&self, arguments: &[&str]) -> Said {
        let answer = self.command(arguments).output().unwrap();
        let json = arguments.contains(&"--json");
        Said::new(answer.status.code(), answer.stdout, answer.stderr, json)
    }

    /// Runs the program with a terminal as stdout.
    pub fn run_on_terminal(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        terminal::printed(self.command(arguments).envs(variables.iter().copied()))
    }

    /// Runs the program with a terminal of so many columns as stdout.
    pub fn run_at(&self, columns: usize, arguments: &[&str]) -> String {
        terminal::printed_at(self.command(arguments).env("NO_COLOR", "1"), columns).replace("\r\n", "\n")
    }

    /// Runs the program on a terminal, where a person answers its question.
    pub fn ask(&self, arguments: &[&str], answer: Answer<'_>) -> (String, ExitStatus) {
        terminal::asked(&self.command(arguments), answer)
    }

    /// Runs it and holds the machine before against the machine after: only the
    /// journal and the lock may differ.
    #[track_caller]
    pub fn run_changing_nothing(&self, arguments: &[&str]) -> Said {
        let before = self.contents();
        let said = self.run(arguments);
        assert_eq!(before, self.contents(), "{arguments:?} changed something");
        said
    }

    /// A copy of the program below the root, for everybody to run. Made by a process of its own: a test beside this one that
    /// starts a program would inherit the file while it is written, and the kernel runs none that somebody may write
    /// (execve(2), ETXTBSY).
    pub fn copy_of_program(&self, path: &str) -> PathBuf {
        let copy = self.path(path);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        let program = env!("CARGO_BIN_EXE_qubes-dom0-pci");
        assert!(Command::new("cp").arg(program).arg(&copy).status().unwrap().success());
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        copy
    }

    /// The same, and the only document's member.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        self.run(&[&["--json"], arguments].concat()).json()
    }

    /// The id of the plan for a function.
    #[track_caller]
    pub fn plan_id(&self, bdf: &str) -> String {
        self.json(&["plan", bdf])["plan"]["id"].as_str().unwrap().to_owned()
    }

    /// The ids of a function's hazards.
    #[track_caller]
    pub fn hazards(&self, bdf: &str) -> Vec<String> {
        let plan = self.json(&["plan", bdf]);
        let ids = plan["device"]["hazards"].as_array().unwrap_or_else(|| panic!("{plan}")).iter();
        ids.map(|hazard| hazard["id"].as_str().unwrap().to_owned()).collect()
    }

    /// What `list` says of a function's state.
    #[track_caller]
    pub fn state(&self, bdf: &str) -> String {
        let list = self.json(&["list", "--all"]);
        let functions = list["functions"].as_array().unwrap_or_else(|| panic!("{list}"));
        let function = functions.iter().find(|function| function["bdf"] == bdf).expect("it is not listed");
        function["state"].as_str().unwrap().to_owned()
    }

    /// Every file below the folders that a command could change, the journal and the lock apart.
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut contents = BTreeMap::new();
        for folder in ["sys", "proc", "etc", "lib"] {
            gather(&self.root.join(folder), &mut contents);
        }
        contents
    }
}

fn gather(folder: &Path, contents: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            contents.insert(path, target.into_os_string().into_encoded_bytes());
        } else if path.is_dir() {
            gather(&path, contents);
        } else {
            let bytes = fs::read(&path).unwrap();
            contents.insert(path, bytes);
        }
    }
}
