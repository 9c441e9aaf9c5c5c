//! What Qubes' script in the initramfs hides from dom0 (core-admin-linux, dracut module `90qubes-pciback`).
//!
//! It hides every network device always, every USB controller with `rd.qubes.hide_all_usb`, and what
//! `rd.qubes.hide_pci` lists; but none that `rd.qubes.dom0_usb` lists, of whatever class. The script of 4.2 takes bare
//! addresses (`00:14.0`) and compares texts; that of 4.3 takes segments and paths too, and compares what they lead to.

use super::reboot::Obstacle;
use crate::names::{escape, DeviceArgument, Sbdf};
use crate::observe::boot::Release;
use crate::observe::{Dom0, Function};

/// The command that writes GRUB's configuration anew.
const WRITE: &str = "grub2-mkconfig -o /boot/grub2/grub.cfg";

/// What keeps the function from dom0, if anything.
pub fn hides(dom0: &Dom0, function: &Function) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    let exempt = exempting(dom0, function);
    if dom0.qubes && function.base_class() == 0x02 && !is_exempt(dom0, function, &short(function.sbdf)) {
        obstacles.push(obstacle("Qubes hides every network device from dom0 at boot", &exempt));
    }
    let is_usb = function.class_and_subclass() == 0x0c03;
    if is_usb
        && is_set(&dom0.cmdline, "rd.qubes.hide_all_usb")
        && !is_exempt(dom0, function, &short(function.sbdf))
    {
        obstacles.push(obstacle("rd.qubes.hide_all_usb hides every USB controller", &exempt));
    }
    let list = last(&dom0.cmdline, "rd.qubes.hide_pci").unwrap_or_default();
    let naming = |entry: &&str| may_name(entry, function) && !is_exempt(dom0, function, entry);
    if list.split(',').any(|entry| naming(&entry)) {
        let rest: Vec<&str> = list.split(',').filter(|entry| !naming(entry)).collect();
        let word = format!("rd.qubes.hide_pci={list}");
        let new =
            if rest.is_empty() { String::new() } else { format!("rd.qubes.hide_pci={}", rest.join(",")) };
        obstacles.push(obstacle("rd.qubes.hide_pci names it", &replacing(&word, &new)));
    }
    obstacles
}

fn obstacle(what: &str, commands: &[String]) -> Obstacle {
    Obstacle { what: what.to_owned(), commands: commands.to_vec() }
}

/// Commands that take a word off the kernel's command line, or put another in its place.
pub fn replacing(word: &str, new: &str) -> Vec<String> {
    let plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:,=()*-".contains(&byte));
    if !plain(word) || !plain(new) {
        return vec![
            format!("edit /etc/default/grub: take out {}", escape(word.as_bytes())),
            WRITE.to_owned(),
        ];
    }
    let pattern = word.replace('.', "\\.").replace('*', "\\*");
    vec![format!("sed -i 's/{pattern}/{new}/' /etc/default/grub"), WRITE.to_owned()]
}

/// Commands that except the function from all hiding.
fn exempting(dom0: &Dom0, function: &Function) -> Vec<String> {
    let name = match (function.sbdf.segment(), dom0.boot.release) {
        (0, _) => short(function.sbdf),
        (_, Release::Qubes43) => function.sbdf.to_string(),
        // Its script has no way to name it.
        (_, Release::Qubes42) => return Vec::new(),
    };
    // The last one on the command line counts alone.
    let before =
        last(&dom0.cmdline, "rd.qubes.dom0_usb").filter(|list| is_list(dom0, list)).unwrap_or_default();
    let list = if before.is_empty() { name } else { format!("{before},{name}") };
    let line = format!("GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX rd.qubes.dom0_usb={list}\"");
    vec![format!("echo '{line}' >> /etc/default/grub"), WRITE.to_owned()]
}

/// Whether `rd.qubes.dom0_usb` excepts the function, which the script knows by `named`.
fn is_exempt(dom0: &Dom0, function: &Function, named: &str) -> bool {
    let list = last(&dom0.cmdline, "rd.qubes.dom0_usb").unwrap_or_default();
    let excepts = |entry: &str| match dom0.boot.release {
        Release::Qubes42 => entry == named,
        Release::Qubes43 => names(entry, function) == Some(true),
    };
    is_list(dom0, list) && list.split(',').any(excepts)
}

/// Whether the script takes a text for a list; another one it drops whole.
fn is_list(dom0: &Dom0, text: &str) -> bool {
    let more: &[u8] = if dom0.boot.release == Release::Qubes43 { b"_-" } else { b"" };
    let good =
        |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'.' | b':' | b',') || more.contains(&byte);
    text.bytes().all(good)
}

/// The address as `lspci` writes it, without segment 0.
fn short(sbdf: Sbdf) -> String {
    let whole = sbdf.to_string();
    whole.strip_prefix("0000:").map_or_else(|| whole.clone(), str::to_owned)
}

/// Whether an entry of a list names the function; `None` where that cannot be told.
pub fn names(entry: &str, function: &Function) -> Option<bool> {
    match DeviceArgument::parse(entry)? {
        DeviceArgument::Address(sbdf) => Some(sbdf == function.sbdf),
        DeviceArgument::Path(first, hops) => {
            let (root, below) = function.way();
            if first != root {
                return Some(false);
            }
            // A bus that is counted from elsewhere than the bridge's own may be any.
            let plain = hops.iter().all(|hop| hop.bus_offset == 0);
            (hops == below || plain).then_some(hops == below)
        }
    }
}

/// The same, the worse way where it cannot be told.
pub fn may_name(entry: &str, function: &Function) -> bool {
    names(entry, function).unwrap_or(!entry.is_empty())
}

/// The last value of a word, which is the one dracut's `getarg` takes; empty where it stands alone.
pub fn last<'a>(cmdline: &'a str, name: &str) -> Option<&'a str> {
    let value = |word: &'a str| match word.strip_prefix(name)? {
        "" => Some(""),
        rest => rest.strip_prefix('='),
    };
    cmdline.split_whitespace().filter_map(value).next_back()
}

/// A switch, as dracut's `getargbool` takes it.
fn is_set(cmdline: &str, name: &str) -> bool {
    last(cmdline, name).is_some_and(|value| !["0", "no", "off", "false"].contains(&value))
}
