//! The configurations that a generator made, wherever they may be.

use super::files;
use crate::observe::next_boot::facts::{Booting, Generated};
use crate::observe::next_boot::grub_cfg::{environment, Booted, Entry, GrubCfg};
use crate::observe::next_boot::{CommandLine, File, Piece, Release, Unknown};
use crate::system::root::{names_in, Sysroot};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Below the EFI partition.
const ON_EFI: [&str; 3] =
    ["/boot/efi/EFI/qubes/grub.cfg", "/boot/efi/EFI/xenserver/grub.cfg", "/boot/efi/EFI/fedora/grub.cfg"];
/// Below /boot.
const ON_BOOT: [&str; 2] = ["/boot/grub2/grub.cfg", "/boot/grub/grub.cfg"];
/// Up to Qubes 4.0.
const XEN_CFG: &str = "/boot/efi/EFI/qubes/xen.cfg";
/// The boot loader specification's.
const ENTRIES: &str = "/boot/loader/entries";

/// All that are there, the one that the firmware boots first.
#[must_use]
pub fn all(root: &Sysroot, release: &Release) -> Vec<Generated> {
    let efi = root.path("/sys/firmware/efi").exists();
    let mut paths: Vec<&str> = Vec::new();
    if efi {
        paths.extend(ON_EFI);
        paths.extend(ON_BOOT);
    } else {
        paths.extend(ON_BOOT);
        paths.extend(ON_EFI);
    }
    let mut all = Vec::new();
    for path in paths {
        let booting = match files::bytes(root, path) {
            Ok(None) => continue,
            // Nobody but root sees whether there is one; a machine that does not boot from it has none to
            // mind.
            Err(_) if !efi && ON_EFI.contains(&path) => continue,
            Err(why) => Booting::Unreadable(why),
            Ok(Some(bytes)) => match booting(root, path, bytes) {
                Some(booting) => booting,
                None => continue,
            },
        };
        all.push(Generated { path: path.to_owned(), booting });
    }
    let old = matches!(release, Release::Qubes(_)) && all.is_empty();
    if old {
        if let Ok(Some(bytes)) = files::bytes(root, XEN_CFG) {
            let booting = xen_cfg(&File::new(XEN_CFG, bytes));
            all.push(Generated { path: XEN_CFG.to_owned(), booting });
        }
    }
    all
}

/// What a configuration boots; `None` where it only goes on with another one.
fn booting(root: &Sysroot, path: &str, bytes: Vec<u8>) -> Option<Booting> {
    let file = File::new(path, bytes);
    let cfg = GrubCfg::parse(&file, &[]);
    if cfg.entries.is_empty() && cfg.configfile.is_some() {
        return None;
    }
    let folder = path.rsplit_once('/').map_or("/boot/grub2", |(folder, _)| folder);
    let unknown = |why: String| Some(Booting::Unknown(Unknown::because(why)));
    let mut lists = Vec::new();
    if file.bytes.windows(6).any(|text| text == b"blscfg") {
        match entries(root) {
            Ok(entries) => lists = entries,
            Err(why) => return Some(Booting::Unreadable(why)),
        }
    }
    let mine = format!("{folder}/custom.cfg");
    match files::text(root, &mine) {
        Ok(None) => {}
        Ok(Some(text)) => {
            if text.lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with('#')) {
                return unknown(format!("{mine} may change the menu"));
            }
        }
        Err(why) => return Some(Booting::Unreadable(why)),
    }
    let variables = match environment_of(root, folder) {
        Ok(variables) => variables,
        Err(why) => return Some(Booting::Unreadable(why)),
    };
    Some(match GrubCfg::parse(&file, &lists).booted(&variables) {
        Ok(booted) => Booting::Xen(booted),
        Err(why) => Booting::Unknown(why),
    })
}

/// GRUB's environment block: next to the configuration, or in /boot's.
fn environment_of(root: &Sysroot, folder: &str) -> Result<BTreeMap<String, String>, String> {
    for folder in [folder, "/boot/grub2", "/boot/grub"] {
        if let Some(bytes) = files::bytes(root, &format!("{folder}/grubenv"))? {
            return Ok(environment(&bytes));
        }
    }
    Ok(BTreeMap::new())
}

/// Entries of the boot loader specification, the newest first: plain Linux, without Xen.
fn entries(root: &Sysroot) -> Result<Vec<Entry>, String> {
    let mut names = names_in(&root.path(ENTRIES)).map_err(|failure| failure.message)?;
    names.retain(|name| name.ends_with(".conf"));
    names.sort_by_key(|name| parts(name));
    names.reverse();
    let mut entries = Vec::new();
    for name in names {
        let text = files::text(root, &format!("{ENTRIES}/{name}"))?.unwrap_or_default();
        let title =
            text.lines().find_map(|line| line.trim().strip_prefix("title")).unwrap_or_default().trim();
        entries.push(Entry::of_linux(title, name.trim_end_matches(".conf")));
    }
    Ok(entries)
}

/// Numbers in a name compare as numbers.
fn parts(name: &str) -> Vec<(u64, String)> {
    let mut parts = Vec::new();
    let mut digits = String::new();
    let mut letters = String::new();
    for letter in name.chars().chain(['\0']) {
        if letter.is_ascii_digit() {
            digits.push(letter);
        } else {
            if !digits.is_empty() {
                parts.push((digits.parse().unwrap_or(u64::MAX), std::mem::take(&mut letters)));
                digits.clear();
            }
            letters.push(letter);
        }
    }
    parts.push((0, letters));
    parts
}

/// What Xen's own EFI configuration boots.
fn xen_cfg(file: &Rc<File>) -> Booting {
    let text = String::from_utf8_lossy(&file.bytes).into_owned();
    let mut section = String::new();
    let mut default = None;
    let mut kernels: Vec<(String, CommandLine)> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let begin = at;
        at += line.len();
        let whole = line.trim_end();
        if let Some(name) = whole.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some(name) = whole.strip_prefix("default=").filter(|_| section == "global") {
            default = Some(name.to_owned());
        } else if let Some(rest) = whole.strip_prefix("kernel=") {
            let skipped = rest.find(' ').map_or(rest.len(), |space| space + 1);
            let start = begin + "kernel=".len() + skipped;
            let pieces = Piece::of_file(file, start..(begin + whole.len()).max(start));
            kernels.push((section.clone(), CommandLine::new(pieces, &file.path)));
        }
    }
    let found = kernels.into_iter().find(|(section, _)| default.as_ref().is_none_or(|name| name == section));
    match found {
        Some((title, line)) => Booting::Xen(Booted { title, initramfs: None, line }),
        None => Booting::Unknown(Unknown::because(format!("{} names no kernel for its default", file.path))),
    }
}
