//! Whose dom0 this is, and who decides besides the boot configuration what is booted.

/// Which of Qubes' boot scripts runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScriptOf {
    /// The script of 4.2 and before, which compares texts.
    Qubes42,
    /// The script of 4.3, which resolves addresses and paths.
    Qubes43,
}

/// Whose dom0 this is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Release {
    /// Qubes, with its boot script.
    Qubes(ScriptOf),
    /// Fedora or one made of it.
    Fedora,
    /// Debian or one made of it.
    Debian,
    /// XCP-ng or XenServer.
    XcpNg,
    /// Another one.
    Other,
}

impl Release {
    /// From `/etc/qubes-release`, `/etc/os-release` and whether there is `/etc/debian_version`.
    #[must_use]
    pub fn of(qubes: Option<&str>, os: &str, debian: bool) -> Self {
        if let Some(text) = qubes {
            let old = ["3.", "4.0", "4.1", "4.2"].iter().any(|old| text.contains(&format!("release {old}")));
            return Self::Qubes(if old { ScriptOf::Qubes42 } else { ScriptOf::Qubes43 });
        }
        let field = |name: &str| {
            let line = os.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\'']).to_ascii_lowercase()
        };
        let ids = format!(" {} {} ", field("ID"), field("ID_LIKE"));
        let is = |name: &str| ids.contains(&format!(" {name} "));
        if is("xenenterprise") || is("xcp-ng") || field("NAME").contains("xcp-ng") {
            Self::XcpNg
        } else if is("debian") || is("ubuntu") || debian {
            Self::Debian
        } else if is("fedora") || is("rhel") || is("centos") {
            Self::Fedora
        } else {
            Self::Other
        }
    }

    /// The boot script of Qubes, where it is Qubes.
    #[must_use]
    pub fn script(&self) -> Option<ScriptOf> {
        match self {
            Self::Qubes(script) => Some(*script),
            _ => None,
        }
    }
}

/// Who decides about the next boot besides GRUB's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decider {
    /// Heads or PureBoot: the firmware boots what is signed in this file.
    Heads(String),
    /// Anti Evil Maid seals secrets to the command line.
    AntiEvilMaid(String),
    /// A unified image holds kernel, initramfs and command line.
    Unified(String),
    /// `kernel_cmdline=` of dracut's configuration gives the initramfs words of its own, at this place.
    Dracut(String),
    /// Where one of them would stand cannot be read, in words: it may decide.
    Unread(String),
}

impl Decider {
    /// Why the prediction is unknown.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Heads(file) => {
                format!("the firmware (Heads or PureBoot) boots what {file} says, not GRUB's configuration")
            }
            Self::AntiEvilMaid(file) => format!("Anti Evil Maid is set up ({file}): it boots what it sealed"),
            Self::Unified(file) => format!("{file} is a unified image: it holds the command line itself"),
            Self::Dracut(place) => {
                format!("kernel_cmdline= of {place} gives the boot script words that no boot entry shows")
            }
            Self::Unread(why) => format!("{why}, so who decides what is booted is not known"),
        }
    }

    /// What a change of the boot configuration brings with it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Heads(_) => {
                "after a change of /boot the firmware raises an alarm at the next boot: there choose \
                 \"Update checksums and sign all files in /boot\" and the default entry"
            }
            Self::AntiEvilMaid(_) => {
                "after a change of the command line the secret is not unsealed at the next boot: \
                 check the machine, go on without it, and seal again"
            }
            Self::Unified(_) => {
                "change the command line where the image is made (uki-generate, /etc/kernel/cmdline), \
                 and make it again"
            }
            Self::Dracut(_) => {
                "take these words out of there, run dracut --force, and put what is wanted into \
                 /etc/default/grub"
            }
            Self::Unread(_) => "see why it cannot be read (without root, run it with sudo), and try again",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_apart() {
        let of = |qubes: Option<&str>, os: &str| Release::of(qubes, os, false);
        assert_eq!(of(Some("Qubes release 4.2.3 (R4.2)"), ""), Release::Qubes(ScriptOf::Qubes42));
        assert_eq!(of(Some("Qubes release 4.3.0 (R4.3)"), "ID=fedora"), Release::Qubes(ScriptOf::Qubes43));
        assert_eq!(of(Some(""), ""), Release::Qubes(ScriptOf::Qubes43));
        assert_eq!(
            of(None, "NAME=\"XCP-ng\"\nID=\"xenenterprise\"\nID_LIKE=\"centos rhel fedora\""),
            Release::XcpNg
        );
        assert_eq!(of(None, "ID=ubuntu\nID_LIKE=debian"), Release::Debian);
        assert_eq!(of(None, "ID=fedora"), Release::Fedora);
        assert_eq!(of(None, ""), Release::Other);
        assert_eq!(Release::of(None, "", true), Release::Debian);
    }
}
