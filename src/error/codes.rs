//! The stable words of errors: one table for the program and its manual, which a test holds against it.

#[cfg(test)]
use super::Exit;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $word:literal $exits:tt $meaning:literal $remedy:literal;)*) => {
        /// What kind of error it is; scripts go by its word.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
            /// A hazard that nobody can accept; its id is the word.
            Stop(&'static str),
        }

        impl Code {
            /// Every code but the stops, by its word.
            #[cfg(test)]
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The word in JSON and in the journal; the same in every version.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Code::$name => $word,)* Code::Stop(id) => id }
            }

            /// The exit statuses that it comes with.
            #[cfg(test)]
            #[must_use]
            pub const fn exits(self) -> &'static [Exit] {
                match self { $(Code::$name => { use Exit::*; &$exits })* Code::Stop(_) => &[Exit::Refused] }
            }

            /// What happened, in a sentence for the manual.
            #[cfg(test)]
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning,)* Code::Stop(_) => Code::Refused.meaning() }
            }

            /// What to do, in a sentence for the manual; the error itself says it for the case.
            #[cfg(test)]
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Code::$name => $remedy,)* Code::Stop(_) => Code::Refused.remedy() }
            }
        }
    };
}

codes! {
    Busy "busy" [Undone]
        "Another command that changes something is running; it is named."
        "Wait until it has ended.";
    ConsentMissing "consent-missing" [Consent]
        "A hazard was not accepted; nothing was changed."
        "Reboot, or accept each hazard by its id, after reading what it rests on.";
    Done "done" [Done]
        "Every step was proved. No error."
        "Nothing.";
    Gone "gone" [NotUndone]
        "The device went away in the middle."
        "Where it comes back, `show` says what it is then.";
    HandsOff "hands-off" [NotUndone]
        "Somebody else changed the device in the middle; it was not touched any more."
        "`list` says who has it.";
    Hung "hung" [Hung]
        "The kernel does not come back from a step; what it waits for is said."
        "Reboot. Nothing else ends the step.";
    Journal "journal" [Io]
        "The journal could not be written or read."
        "See what the file system and the kernel's log say; `audit verify` tells what is there.";
    JournalBroken "journal-broken" [JournalBroken]
        "The journal does not verify."
        "`audit verify` says where; keep a copy; `audit repair` accepts the break, for ever visible.";
    JournalBusy "journal-busy" [Io]
        "Another program has the journal locked."
        "Try again when it is done.";
    JournalFull "journal-full" [Io]
        "There is no room for what an operation has to write; it was not begun."
        "Make room, or `audit prune`.";
    Lock "lock" [Io]
        "The lock that keeps two operations apart could not be opened."
        "Look at /run, and run it as root.";
    Modules "modules" [Io]
        "The index of the kernel's modules could not be read."
        "`depmod`, and look whether /lib/modules has the running kernel.";
    NoDom0 "no-dom0" [NotDom0]
        "This is a domain of Xen, but not the one in control."
        "Run it in dom0.";
    NoEdit "no-edit" [Refused]
        "No edit of the boot configuration gets the devices there."
        "The message says why; `next-boot` shows what decides.";
    NoJournal "no-journal" [Io]
        "There is no journal where one was asked for."
        "Look at `--journal`; `record` and every changing command begin one.";
    NoQubesd "no-qubesd" [NotDom0]
        "qubesd is not there, and this cannot be done without it."
        "`systemctl status qubesd`.";
    NoRight "no-right" [NotDom0]
        "The right is missing."
        "Run it as root.";
    NoSuchDevice "no-such-device" [Usage]
        "No function is at this address."
        "`list --all` names every function.";
    NoSuchOperation "no-such-operation" [Usage]
        "The journal has no operation, and no record, of this name."
        "`audit log` names them.";
    NoXen "no-xen" [NotDom0]
        "This is no dom0 of Xen, or a service or library of Xen is missing; it is named."
        "Run it in dom0.";
    NoXenstore "no-xenstore" [NotDom0]
        "xenstore does not answer."
        "See whether xenstored runs.";
    NotReturned "not-returned" [Undone, Refused, Consent, NotUndone, Hung, Io]
        "None of several devices came to the wanted end, or one hangs or is out of reach; each is listed \
         with its reason."
        "`show` says what state each is in; a reboot is recommended.";
    NotTrusted "not-trusted" [Io]
        "A file that has to be root's alone is not."
        "Look who changed it, then mend its owner and mode.";
    NotUnassigned "not-unassigned" [Undone]
        "qubesd did not take the assignment back."
        "`qvm-pci unassign`, as said.";
    NotUndone "not-undone" [NotUndone]
        "A step failed and so did the way back; where the device is left is said."
        "As said; at the latest a reboot.";
    NothingKnown "nothing-known" [Refused]
        "The journal knows of no act that could be undone."
        "Name the function: `rollback BDF`.";
    OwnerUnknown "owner-unknown" [Io]
        "Xen does not tell whose the function is, and without that nothing is settled."
        "See why `xl debug-keys Q` and `xl dmesg` tell nothing, then `recover`; or reboot.";
    Page "page" [Io]
        "The report's page could not be written."
        "Give a file in a folder that you may write.";
    Partly "partly" [Partly]
        "Some of several devices came to the wanted end; each is listed with its reason."
        "`show` says what state each is in; a reboot is recommended.";
    Pending "pending" [Pending]
        "An operation was interrupted and is not settled."
        "`recover`.";
    PlanStale "plan-stale" [Consent]
        "What was reviewed is not what there is now; nothing was changed."
        "Review it again: `plan`.";
    Poll "poll" [Io]
        "The recorder cannot wait for what it hears."
        "Its unit starts it again.";
    QubesdException "qubesd-exception" [Io]
        "qubesd answers with an exception; it is named."
        "`journalctl -u qubesd`.";
    QubesdGone "qubesd-gone" [Io]
        "qubesd closed its stream of events."
        "`systemctl status qubesd`.";
    QubesdNonsense "qubesd-nonsense" [Io]
        "An answer of qubesd is not what it can be."
        "Try again; `journalctl -u qubesd`.";
    QubesdRefused "qubesd-refused" [Io]
        "qubesd gives no answer: a policy refuses, or the call is unknown."
        "`journalctl -u qubesd`.";
    QubesdSilent "qubesd-silent" [Io]
        "qubesd does not answer in time."
        "`systemctl status qubesd`.";
    Rebooted "rebooted" [Done]
        "A reboot ended the operation. No error."
        "Nothing.";
    Refused "refused" [Refused]
        "A hazard that nobody can accept; nothing was changed."
        "`show` names it, and what would take it away.";
    Stdout "stdout" [Io]
        "What was asked for could not be written out."
        "Look at where it is written to.";
    Uevents "uevents" [Io]
        "The kernel's uevents cannot be heard."
        "Run the recorder in dom0, as root, outside a container.";
    Undone "undone" [Undone, Io]
        "A step failed; all was undone: the device is as it was, or safer, as said."
        "What failed is said, with what to do.";
    Unreadable "unreadable" [Io]
        "Something that had to be read could not be."
        "As said: root, or try again.";
    Usage "usage" [Usage]
        "The command line cannot be understood."
        "`--help`.";
    Worker "worker" [Undone]
        "A step could not be begun: the program cannot start itself again."
        "Look at memory and process limits.";
    Xenstore "xenstore" [Io]
        "xenstore answers with an error, or not as it can."
        "Try again; see whether xenstored runs.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_words_and_stand_in_order() {
        let words: Vec<_> = Code::ALL.iter().map(|code| code.word()).collect();
        assert!(words.windows(2).all(|pair| matches!(pair, [one, other] if one < other)), "{words:?}");
        assert!(words.iter().all(|word| word
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')));
    }

    #[test]
    fn each_says_what_happened_and_what_to_do() {
        for code in Code::ALL {
            assert!(code.meaning().ends_with('.') && code.remedy().ends_with('.'), "{}", code.word());
            assert!(!code.exits().is_empty(), "{}", code.word());
        }
    }
}
