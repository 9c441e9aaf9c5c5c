//! Reads the facts of the next boot from their files.

mod configured;
mod files;
mod generated;
mod initramfs;
mod keyboards;
mod machine;

use super::facts::{Booting, Facts, Generated};
use super::{CommandLine, Decider, Device, ModuleFiles, Release, Source, Unknown};
use crate::error::Failure;
use crate::observe::{qubes, Qubes, Reading};
use crate::system::root::{names_in, Sysroot};
use crate::system::sysfs::PciSysfs;

/// How much is looked into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// The initramfs only where modprobe's files say something that it may say otherwise: it takes seconds.
    AsNeeded,
    /// The initramfs in any case.
    Initramfs,
}

/// Reads everything that can be read; what cannot is said in the facts.
///
/// # Errors
/// sysfs cannot be read: then nothing is known of any function.
pub fn read(root: &Sysroot, depth: Depth) -> Result<Facts, Failure> {
    let qubes = qubes::read(root, &PciSysfs::new(root));
    read_beside(root, depth, qubes)
}

/// Reads everything but what Qubes knows, which is given.
///
/// # Errors
/// sysfs cannot be read.
pub fn read_beside(root: &Sysroot, depth: Depth, qubes: Reading<Option<Qubes>>) -> Result<Facts, Failure> {
    let mut unseen = Vec::new();
    let release = release(root, &mut unseen);
    let mut devices = machine::devices(root, &PciSysfs::new(root))?;
    let this_boot = match files::text(root, "/proc/cmdline") {
        Ok(Some(text)) => Ok(CommandLine::plain(text.trim_end_matches('\n'), "/proc/cmdline")),
        Ok(None) => Err(Unknown::because("there is no /proc/cmdline")),
        Err(why) => Err(Unknown::because(why)),
    };
    let source = configured::source(root, &release);
    let generated = generated::all(root, &release);
    unseen.extend(unread(&source, &generated));
    let mut deciders = deciders(root, &generated, this_boot.as_ref().ok());
    deciders.extend(configured::initramfs_words(root));
    let (modules, unread) = configured::modules(root);
    if let Some(why) = unread {
        // What such a file says of a module is not known.
        devices.values_mut().for_each(|device| device.modules = Err(why.clone()));
        unseen.push(why);
    }
    let initramfs = match depth {
        Depth::AsNeeded if !speaks(&modules, devices.values()) => Ok(modules.clone()),
        _ => in_initramfs(root, &generated),
    };
    if let Err(why) = &initramfs {
        unseen.push(format!("the modprobe.d of the initramfs: {why}"));
    }
    let overrides = configured::overrides(root, devices.keys(), &mut unseen);
    if let Err(why) = &qubes {
        unseen.push(format!("what Qubes assigned: {why}"));
    }
    let built_in = machine::built_in(root, &release, &mut unseen);
    let (keyboards, usb_rules) = (keyboards::all(root), keyboards::usb_rules(root));
    Ok(Facts {
        release,
        deciders,
        devices,
        source,
        generated,
        this_boot,
        modules,
        initramfs,
        overrides,
        qubes,
        built_in,
        keyboards,
        usb_rules,
        unseen,
    })
}

/// Whether modprobe's files say anything of a module that claims one of the devices, or of what holds
/// devices for others.
fn speaks<'a>(modules: &ModuleFiles, mut devices: impl Iterator<Item = &'a Device>) -> bool {
    let lists = [("xen-pciback", "hide"), ("vfio-pci", "ids"), ("pci-stub", "ids")];
    lists.iter().any(|(module, name)| modules.options(module, name).next().is_some())
        || devices.any(|device| {
            let mut claims = device.modules.iter().flatten();
            claims.any(|module| {
                let mut needed = std::iter::once(&module.name).chain(&module.needs);
                modules.blacklisting(&module.name).next().is_some()
                    || needed.any(|name| modules.barring(name).next().is_some())
            })
        })
}

fn in_initramfs(root: &Sysroot, generated: &[Generated]) -> Result<ModuleFiles, String> {
    let image = generated.first().and_then(|one| match &one.booting {
        Booting::Xen(booted) => booted.initramfs.as_deref(),
        _ => None,
    });
    initramfs::modules(root, image.ok_or("which initramfs is booted is not known")?)
}

/// What could not be read of the boot configuration.
fn unread(source: &Source, generated: &[Generated]) -> Vec<String> {
    let mut unseen: Vec<String> = source.unread.iter().map(ToString::to_string).collect();
    for one in generated {
        match &one.booting {
            Booting::Unreadable(why) => unseen.push(why.clone()),
            Booting::Unknown(unknown) => unseen.push(unknown.to_string()),
            Booting::Xen(_) => {}
        }
    }
    if generated.is_empty() {
        unseen.push(if source.is_there() {
            "no configuration that was made of /etc/default/grub was found: its source is taken".to_owned()
        } else {
            "no boot configuration was found: this boot's command line is taken".to_owned()
        });
    }
    unseen
}

fn release(root: &Sysroot, unseen: &mut Vec<String>) -> Release {
    let mut text = |path: &str| {
        files::text(root, path).unwrap_or_else(|why| {
            unseen.push(why);
            // It is there.
            Some(String::new())
        })
    };
    let qubes = text("/etc/qubes-release");
    let os = text("/etc/os-release").unwrap_or_default();
    let debian = root.path("/etc/debian_version").exists();
    Release::of(qubes.as_deref(), &os, debian)
}

/// Who decides besides GRUB's configuration.
fn deciders(root: &Sysroot, generated: &[Generated], this_boot: Option<&CommandLine>) -> Vec<Decider> {
    let mut deciders = Vec::new();
    let is_heads = |name: &String| name.starts_with("kexec_default") && name.ends_with(".txt");
    match names_in(&root.path("/boot")) {
        Ok(names) => deciders
            .extend(names.into_iter().find(is_heads).map(|name| Decider::Heads(format!("/boot/{name}")))),
        Err(failure) => deciders.push(Decider::Unread(failure.message)),
    }
    let lines = generated.iter().filter_map(|one| match &one.booting {
        Booting::Xen(booted) => Some(&booted.line),
        _ => None,
    });
    let sealed = |line: &CommandLine| {
        line.words
            .iter()
            .find(|word| word.name == "aem.uuid" || word.name.starts_with("rd.antievilmaid"))
            .map(|_| line.from.clone())
    };
    let by_word = lines.chain(this_boot).find_map(sealed);
    let places = [
        "/boot/aem",
        "/var/lib/anti-evil-maid",
        "/etc/anti-evil-maid.conf",
        "/etc/grub.d/19_linux_xen_tboot",
    ];
    let by_file = places.iter().find(|path| root.path(path).exists()).map(|path| (*path).to_owned());
    deciders.extend(by_word.or(by_file).map(Decider::AntiEvilMaid));
    if generated.is_empty() {
        deciders.extend(unified(root));
    }
    deciders
}

/// A unified image, where there is no configuration of GRUB.
fn unified(root: &Sysroot) -> Option<Decider> {
    for folder in ["/boot/efi/EFI/Linux", "/boot/efi/EFI/qubes"] {
        let names = match names_in(&root.path(folder)) {
            Ok(names) => names,
            Err(failure) => return Some(Decider::Unread(failure.message)),
        };
        for name in names {
            let lower = name.to_ascii_lowercase();
            let other = ["xen", "grub", "gcd", "shim", "mm", "fb", "boot"]
                .iter()
                .any(|start| lower.starts_with(start));
            if lower.ends_with(".efi") && (!other || folder.ends_with("Linux")) {
                return Some(Decider::Unified(format!("{folder}/{name}")));
            }
        }
    }
    None
}
