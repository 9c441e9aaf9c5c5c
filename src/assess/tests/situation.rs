//! A situation of one function, built from a plain one by saying what is different.

use crate::assess::{Case, Hazard, HazardId, Severity, Verdict};
use crate::error::{Code, Exit, Failure};
use crate::journal::Identity;
use crate::journal::JournalReading;
use crate::names::{DriverName, ModuleName, Owner, Sbdf, Untrusted};
use crate::observe::config_space::{ConfigSpace, Express};
use crate::observe::exposure::{Exposure, Past};
use crate::observe::next_boot::{CommandLine, Device, Facts, Module, ModuleFiles, Release, Source};
use crate::observe::{Claim, Claims, Dom0, Function, Owners, Policy, Rule, Says, Subject, Use, Uses};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The function every situation is about.
pub const NIC: &str = "0000:00:07.0";

/// The facts, and what claims the function.
#[derive(Clone, Debug)]
pub struct Situation {
    pub dom0: Dom0,
    pub claims: Claims,
    pub past: Past,
    pub named: Option<DriverName>,
}

pub fn sbdf(text: &str) -> Sbdf {
    Sbdf::from_sysfs(text).unwrap()
}

/// A PCI Express endpoint on the root bus, with a reset of its own and a driver of dom0.
pub fn function(bdf: &str, class: u32) -> Function {
    Function {
        sbdf: sbdf(bdf),
        vendor: 0x8086,
        device: 0x10d3,
        class,
        modalias: "pci:v00008086d000010D3".to_owned(),
        driver: DriverName::parse("card"),
        driver_override: None,
        config: Some(ConfigSpace {
            vendor: 0x8086,
            device: 0x10d3,
            command: 0,
            class,
            revision: 1,
            header: 0,
            subsystem: (0x8086, 1),
            expansion_rom: false,
            capabilities: vec![0x10],
            express: Some(Express { kind: 0, phantom_bits: 0 }),
            function_level_reset: Some(true),
        }),
        serial: None,
        has_rom: false,
        reset_methods: Some(vec!["flr".to_owned()]),
        parents: Vec::new(),
        isolates: None,
        boot_display: false,
        virtual_functions: 0,
        physical_function: None,
    }
}

/// The past of a function that no qube ever had, and of which all is known.
fn heard() -> Exposure {
    Exposure {
        rom_sha256: None,
        seized: None,
        stays: Vec::new(),
        more_stays: 0,
        before: Vec::new(),
        more_before: 0,
        uncovered: Vec::new(),
        twins: Vec::new(),
        identity: Identity::default(),
        known: Vec::new(),
        changes: Vec::new(),
        operations: Vec::new(),
    }
}

/// A boot that leaves the card to its driver.
fn boots(nic: Sbdf, class: u32) -> Facts {
    let module = Module {
        name: ModuleName::parse("card").unwrap(),
        drivers: DriverName::parse("card").map(|driver| vec![driver]),
        built_in: false,
        needs: Vec::new(),
    };
    let device = Device {
        sbdf: nic,
        ids: (0x8086, 0x10d3),
        subsystem: (0, 0),
        class,
        secondary_bus: None,
        parents: Vec::new(),
        driver: DriverName::parse("card"),
        behind: None,
        physical: None,
        modules: Ok(vec![module]),
    };
    Facts {
        release: Release::Other,
        deciders: Vec::new(),
        devices: BTreeMap::from([(nic, device)]),
        source: Source::default(),
        generated: Vec::new(),
        this_boot: Ok(CommandLine::plain("", "/proc/cmdline")),
        modules: ModuleFiles::default(),
        initramfs: Ok(ModuleFiles::default()),
        overrides: BTreeMap::new(),
        qubes: Ok(None),
        built_in: BTreeSet::new(),
        keyboards: Ok(Vec::new()),
        usb_rules: Ok(Vec::new()),
        unseen: Vec::new(),
    }
}

impl Situation {
    /// dom0 drives a card of this class; nothing is wrong, and a recorder heard everything.
    pub fn driven(class: u32) -> Self {
        let nic = sbdf(NIC);
        let claim = Claim {
            module: ModuleName::parse("card").unwrap(),
            drivers: Some(vec![DriverName::parse("card").unwrap()]),
            blacklisted: false,
            blacklisted_in: None,
            barred: None,
            would_take: Vec::new(),
        };
        Self {
            dom0: Dom0 {
                functions: BTreeMap::from([(nic, function(NIC, class))]),
                has_pciback: true,
                slots: BTreeSet::new(),
                permissive: BTreeSet::new(),
                all_permissive: false,
                sleep_ports: BTreeSet::new(),
                owners: Ok(Owners::from([(nic, Owner::Dom0)])),
                uses: Ok(Uses::default()),
                iommu: Ok(true),
                xen_cmdline: Ok(String::new()),
                boot_id: "11111111".to_owned(),
                boot: boots(nic, class),
                policy: Ok(Policy::default()),
                qubes_known: Ok(None),
                live: None,
                by_root: true,
            },
            claims: Claims { by_alias: vec![claim], ..Claims::default() },
            past: Past {
                journal: JournalReading::Read { odd: 0 },
                repairs: 0,
                pruned: None,
                of: BTreeMap::from([(nic, heard())]),
            },
            named: None,
        }
    }

    /// pciback holds it since the boot, and no qube ran with it: the mildest return there is.
    pub fn held(class: u32) -> Self {
        let mut one = Self::driven(class).with(|function| function.driver = Some(DriverName::PCIBACK));
        one.dom0.slots.insert(sbdf(NIC));
        one
    }

    /// The function is different so.
    pub fn with(mut self, change: impl FnOnce(&mut Function)) -> Self {
        change(self.dom0.functions.get_mut(&sbdf(NIC)).unwrap());
        self
    }

    /// Its config space is different so.
    pub fn config(self, change: impl FnOnce(&mut ConfigSpace)) -> Self {
        self.with(|function| {
            if let Some(config) = &mut function.config {
                change(config);
            }
        })
    }

    /// The rest is different so.
    pub fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Xen's owner of it.
    pub fn owned(self, owner: Owner) -> Self {
        self.owns(NIC, owner)
    }

    /// Xen's owner of another function.
    pub fn owns(mut self, bdf: &str, owner: Owner) -> Self {
        if let Ok(owners) = &mut self.dom0.owners {
            owners.insert(sbdf(bdf), owner);
        }
        self
    }

    /// Another function, and who owns it.
    pub fn beside(mut self, other: Function, owner: Owner) -> Self {
        let bdf = other.sbdf;
        self.dom0.functions.insert(bdf, other);
        self.past.of.insert(bdf, heard());
        self.owns(&bdf.to_string(), owner)
    }

    /// xenstore says that this qube has, or had, the function.
    pub fn used(self, domain: u16, qube: &str, alive: bool, options: &str) -> Self {
        self.uses(NIC, domain, qube, alive, options)
    }

    /// The same of another function.
    pub fn uses(mut self, bdf: &str, domain: u16, qube: &str, alive: bool, options: &str) -> Self {
        let mut uses: Vec<Use> = self.dom0.uses.iter().flat_map(Uses::iter).cloned().collect();
        uses.push(Use {
            sbdf: sbdf(bdf),
            domain,
            frontend: domain,
            of_lost_stub: false,
            alive,
            qube: Some(Untrusted::new(qube.as_bytes())),
            node: format!("/local/domain/0/backend/pci/{domain}/0/dev-0"),
            options: options.to_owned(),
        });
        self.dom0.uses = self.dom0.uses.map(|_| Uses::these(uses));
        self
    }

    /// The past is different so.
    pub fn past(self, change: impl FnOnce(&mut Exposure)) -> Self {
        self.past_of(NIC, change)
    }

    /// That of another function.
    pub fn past_of(mut self, bdf: &str, change: impl FnOnce(&mut Exposure)) -> Self {
        change(self.past.of.entry(sbdf(bdf)).or_insert_with(heard));
        self
    }

    /// A rule of the policy.
    pub fn rule(mut self, says: Says) -> Self {
        if let Ok(policy) = &mut self.dom0.policy {
            policy.rules.push(Rule { line: policy.rules.len() + 1, says });
        }
        self
    }

    /// The function, and what was read of it alone.
    pub fn subject(&self) -> Subject {
        let function = self.dom0.functions[&sbdf(NIC)].clone();
        Subject { function, description: "a card".to_owned(), claims: self.claims.clone() }
    }

    /// The return of the function.
    pub fn case(&self) -> Case {
        self.case_with(&[])
    }

    /// The return of the function together with others.
    pub fn case_with(&self, together: &[Sbdf]) -> Case {
        let (dom0, past) = (Rc::new(self.dom0.clone()), Rc::new(self.past.clone()));
        Case::of_return(&dom0, &past, self.subject(), self.named.as_ref(), together)
    }

    /// What follows, what a reboot would do left out.
    pub fn judged(&self) -> (Vec<Hazard>, Verdict) {
        let Case { mut hazards, verdict, .. } = self.case();
        hazards.retain(|hazard| hazard.id != HazardId::RebootWouldNotReturn);
        (hazards, verdict)
    }

    /// The same in a line: stops with `!`, notes with `~`, in alphabetical order; then the verdict.
    pub fn line(&self) -> String {
        let (hazards, verdict) = self.judged();
        let mark = |hazard: &Hazard| match hazard.severity {
            Severity::Stop => "!",
            Severity::Warn => "",
            Severity::Note => "~",
        };
        let words = hazards.iter().map(|hazard| format!("{}{}", mark(hazard), hazard.acceptance()));
        let words: Vec<String> = words.collect::<BTreeSet<_>>().into_iter().collect();
        let verdict = match verdict {
            Verdict::Nothing => "nothing",
            Verdict::Refused(_) => "refused",
            Verdict::Ask(accept) if accept.is_empty() => "heal",
            Verdict::Ask(_) => "ask",
            Verdict::Unknown => "unknown",
            Verdict::Pending | Verdict::Running => "unsettled",
        };
        format!("{} -> {verdict}", words.join(" ")).trim_start().to_owned()
    }
}

/// Something that could not be read.
pub fn failed() -> Failure {
    Failure::new(Exit::Io, Code::Unreadable, "cannot read it", "try again")
}
