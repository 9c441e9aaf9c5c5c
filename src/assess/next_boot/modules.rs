//! Whether the next boot loads a module by what a device is.

use super::because::{Because, Rule};
use super::setting::Setting;
use crate::names::ModuleName;
use crate::observe::next_boot::{CommandLine, Device, Module, ModuleFiles, Word};

/// `modprobe.blacklist=`: libkmod adds up all of them.
pub const BY_MODPROBE: &str = "modprobe.blacklist";
/// `module_blacklist=`: the kernel takes the last one.
pub const BY_KERNEL: &str = "module_blacklist";
/// `rd.driver.blacklist=`: dracut, within the initramfs.
pub const BY_DRACUT: &str = "rd.driver.blacklist";

/// Whether a module is loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loads {
    /// It is.
    Yes,
    /// It is not.
    No(Because),
    /// That cannot be told.
    Perhaps(Because),
}

/// Whether the next boot loads a module that claims a device.
#[must_use]
pub fn loads(setting: &Setting, line: &CommandLine, device: &Device, module: &Module) -> Loads {
    if module.built_in {
        return Loads::Yes;
    }
    for name in std::iter::once(&module.name).chain(&module.needs) {
        if let Some(word) = words_naming(line, BY_KERNEL, name).last() {
            return Loads::No(Because::word(Rule::Word(BY_KERNEL), Some(word)));
        }
    }
    if let Some(word) = words_naming(line, BY_MODPROBE, &module.name).first() {
        return Loads::No(Because::word(Rule::Word(BY_MODPROBE), Some(word)));
    }
    let told = in_files(setting, device, module);
    if told != Loads::Yes {
        return told;
    }
    match words_naming(line, BY_DRACUT, &module.name).first() {
        // The initramfs does not load it; what comes behind may.
        Some(word) => Loads::Perhaps(Because::word(Rule::Word(BY_DRACUT), Some(word))),
        None => Loads::Yes,
    }
}

/// The words of a blacklist that have an effect on a module.
#[must_use]
pub fn words_naming<'a>(line: &'a CommandLine, option: &'a str, module: &ModuleName) -> Vec<&'a Word> {
    let all: Vec<&Word> = if option == BY_KERNEL {
        line.parameters(option).last().into_iter().collect()
    } else {
        line.words.iter().filter(|word| word.name == option).collect()
    };
    all.into_iter()
        .filter(|word| word.value().split(',').any(|name| is_named(option, name, module)))
        .collect()
}

/// Whether an entry of a blacklist means a module. The kernel compares letter by letter; others take `-`
/// for `_`.
#[must_use]
pub fn is_named(option: &str, name: &str, module: &ModuleName) -> bool {
    if option == BY_KERNEL {
        name == module.as_str()
    } else {
        ModuleName::parse(name).as_ref() == Some(module)
    }
}

/// The files of the system have the last word; those of the initramfs may be older, and load it before.
fn in_files(setting: &Setting, device: &Device, module: &Module) -> Loads {
    let barred = |files: &ModuleFiles| {
        let mut needed = std::iter::once(&module.name).chain(&module.needs);
        let install = needed.find_map(|name| {
            let line = files.barring(name).next()?;
            Some(Because::at(Rule::Install(name.clone()), line.place()))
        });
        install.or_else(|| {
            let line = files.blacklisting(&module.name).next()?;
            Some(Because::at(Rule::Blacklist(module.name.clone()), line.place()))
        })
    };
    let Some(because) = barred(&setting.modules) else { return Loads::Yes };
    let shown = device.driver.is_none() && module.drivers.is_none();
    match &setting.initramfs {
        Some(files) if barred(files).is_some() => Loads::No(because),
        // This boot shows that it is not loaded.
        None if shown => Loads::No(because),
        _ => Loads::Perhaps(because),
    }
}
