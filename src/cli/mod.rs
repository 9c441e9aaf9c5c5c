//! The command line: what can be said, and nothing of what it does.

#![forbid(unsafe_code)]

pub mod audit;

use crate::assess::StateWord;
use audit::AuditCommand;
use clap::builder::PossibleValue;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Where the journal lives below the sysroot.
pub const JOURNAL: &str = "/var/lib/qubes-dom0-pci/journal";

/// Where it was until 0.1, below a folder that group `qubes` can write.
pub const FORMER_JOURNAL: &str = "/var/lib/qubes/dom0-pci/journal";

/// Give PCI devices that a qube has used back to dom0, step by step and with proof.
///
/// A device that a qube has used may have been turned against dom0. The best way
/// to get it back is to reboot; where a reboot does not do, `plan` shows what
/// would be done and what it risks, and `reattach` does it.
#[derive(Parser, Debug)]
#[command(name = "qubes-dom0-pci", version, max_term_width = 80, disable_help_subcommand = true)]
pub struct Cli {
    /// Print one JSON document instead of text (errors too).
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors and the records that audit log and export give, and ask nothing.
    #[arg(long, global = true, conflicts_with = "json")]
    pub quiet: bool,
    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = When::Auto)]
    pub color: When,
    /// Put DIR before every path, to run against a model of a dom0.
    #[arg(long, global = true, value_name = "DIR")]
    pub sysroot: Option<PathBuf>,
    /// Where the journal is: a folder. For what `audit` only reads also a file that `audit export` wrote, a
    /// tar of several journals, or - for stdin [default: /var/lib/qubes-dom0-pci/journal].
    #[arg(long, global = true, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// What to do; on a terminal `status` where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Show on one screen how this dom0 stands, and what to type next.
    Status(StatusArgs),
    /// List the devices that dom0 does not drive: the state, who had each, and what can be done.
    List(ListArgs),
    /// Show devices: identity, owner, state, siblings, hazards.
    Show(DeviceArgs),
    /// Show the verdict, the steps and the equal shell commands; change nothing.
    Plan(PlanArgs),
    /// Bring functions back into dom0's use, each step proved; several are one operation.
    Reattach(ReattachArgs),
    /// Undo a misattachment: give back every function that was taken from dom0 with it.
    Rollback(RollbackArgs),
    /// Give devices to pciback, in quarantine; several are one operation.
    Hold(HoldArgs),
    /// Show where each device is after the next boot and why, or propose an edit that changes it.
    NextBoot(NextBootArgs),
    /// Settle what a crash or a power cut interrupted.
    Recover(RecoverArgs),
    /// Journal what happens to PCI devices until it is told to stop: the recorder.
    Record(RecordArgs),
    /// Look after the policy file.
    Policy {
        /// What to do with it.
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Read, verify, mend and prune the journal.
    Audit {
        /// What to do with it.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Prints what the last word can become, for the shells' completion; not for people.
    #[command(name = "complete", hide = true)]
    Complete {
        /// The words of the command line up to the cursor, without the program's name.
        #[arg(last = true)]
        words: Vec<String>,
    },
    /// Moves a journal of an older version to its new place; the package's update runs it.
    #[command(name = "move-journal", hide = true)]
    MoveJournal,
    /// Carries out single kernel writes for a running operation; not for people.
    #[command(name = "worker", hide = true)]
    Worker,
}

/// When there are colours.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// On a terminal.
    Auto,
    /// Also in a pipe.
    Always,
    /// Not at all.
    Never,
}

/// What to do with the policy file.
#[derive(Subcommand, Debug)]
pub enum PolicyCommand {
    /// Say whether the file is good, and what it forbids here.
    Check {
        /// A draft to check instead of the file that counts [default: /etc/qubes/dom0-pci.conf].
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// Arguments of `status`.
#[derive(Args, Debug, Default)]
pub struct StatusArgs {
    /// With --json: write qube-1, qube-2 for the names of qubes, for a bug report.
    #[arg(long)]
    pub redact: bool,
}

/// Arguments of `list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// List every device, also those that dom0 drives and those that nothing drives.
    #[arg(long)]
    pub all: bool,
    /// Show a block for each device instead of a line.
    #[arg(long)]
    pub long: bool,
    /// Only devices that this qube has, had or is assigned.
    #[arg(long, value_name = "NAME")]
    pub qube: Option<String>,
    /// Only devices in this state.
    #[arg(long, value_name = "STATE", value_enum)]
    pub state: Option<StateWord>,
    /// In which order.
    #[arg(long, value_name = "ORDER", value_enum, default_value_t = Sort::Action)]
    pub sort: Sort,
}

/// The order of a list.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// What can be acted on first.
    Action,
    /// By address.
    Address,
    /// By state.
    State,
    /// By the qube that had it last.
    Qube,
    /// The device that a qube had last comes first.
    Time,
}

impl ValueEnum for StateWord {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::InUse => "a qube has it",
            Self::Quarantine => "nobody has it, and Xen lets it reach no memory",
            Self::Held => "pciback, or another driver, keeps it for qubes",
            Self::Broken => "dom0's driver is bound to it, but Xen holds it in quarantine",
            Self::NoDriver => "nothing drives it",
            Self::Driven => "a driver of dom0 has it",
        };
        Some(PossibleValue::new(self.word()).help(help))
    }
}

/// The functions that a command is about.
#[derive(Args, Debug)]
pub struct DeviceArgs {
    /// The devices: addresses (0000:00:1f.6, 00:1f.6, 00_1f.6 or dom0:00_1f.6) or VENDOR:DEVICE; on a
    /// terminal also a qube's name or words of the description. With none, a terminal offers those there are.
    #[arg(value_name = "DEVICE")]
    pub device: Vec<String>,
}

/// How long a step may take.
#[derive(Args, Debug)]
pub struct Timeout {
    /// Seconds after which a step that does not return counts as hung.
    #[arg(id = "timeout", long = "timeout", value_name = "SECONDS", default_value_t = 150,
        value_parser = clap::value_parser!(u64).range(70..=3600))]
    seconds: u64,
}

impl Timeout {
    /// As a duration.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Arguments of `plan`.
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// The devices.
    #[command(flatten)]
    pub devices: DeviceArgs,
    /// Hazards accepted, by their ids; `plan` tells what is still asked.
    #[arg(long, value_name = "ID[:QUBE],...", value_delimiter = ',')]
    pub accept: Vec<String>,
    /// Bind this driver instead of the one the kernel's aliases name.
    #[arg(long, value_name = "NAME")]
    pub driver: Option<String>,
}

/// Arguments of `reattach`.
#[derive(Args, Debug)]
pub struct ReattachArgs {
    /// What to plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Go on only if the plan is still the one with this id.
    #[arg(long = "plan", value_name = "ID")]
    pub plan_id: Option<String>,
    /// How long a step may take.
    #[command(flatten)]
    pub timeout: Timeout,
}

/// Arguments of `recover`.
#[derive(Args, Debug)]
pub struct RecoverArgs {
    /// Keep the device in dom0: go forward only, and only if it proves to work.
    #[arg(long)]
    pub keep: bool,
    /// How long a step may take.
    #[command(flatten)]
    pub timeout: Timeout,
}

/// Arguments of `rollback`.
#[derive(Args, Debug)]
#[group(skip)]
#[command(group = ArgGroup::new("act").required(true).args(["device", "last"]))]
pub struct RollbackArgs {
    /// One of the functions, as 0000:00:1f.6, 00:1f.6, 00_1f.6 or dom0:00_1f.6: the newest act that took it
    /// is undone.
    #[arg(value_name = "BDF", conflicts_with = "last")]
    pub device: Option<String>,
    /// Undo the newest act of this boot; off a terminal it must be named with --plan.
    #[arg(long)]
    pub last: bool,
    /// Also take back the assignment in Qubes, so that the qube's next start does not take the devices again.
    #[arg(long)]
    pub unassign: bool,
    /// Hazards accepted, of all its functions.
    #[arg(long, value_name = "ID[:QUBE],...", value_delimiter = ',')]
    pub accept: Vec<String>,
    /// Go on only if act and plan are still those with this id.
    #[arg(long = "plan", value_name = "ID")]
    pub plan_id: Option<String>,
    /// How long a step may take.
    #[command(flatten)]
    pub timeout: Timeout,
}

/// Arguments of `hold`.
#[derive(Args, Debug)]
pub struct HoldArgs {
    /// The devices.
    #[command(flatten)]
    pub devices: DeviceArgs,
    /// How long a step may take.
    #[command(flatten)]
    pub timeout: Timeout,
}

/// Arguments of `next-boot`.
#[derive(Args, Debug)]
pub struct NextBootArgs {
    /// Show these functions only, as 0000:00:1f.6, 00:1f.6, 00_1f.6 or dom0:00_1f.6.
    #[arg(value_name = "BDF")]
    pub devices: Vec<String>,
    /// Propose one edit after which dom0 gets all of these.
    #[arg(long = "return", value_name = "BDF", num_args = 1..)]
    pub give: Vec<String>,
    /// Propose one edit after which dom0 gets none of these.
    #[arg(long, value_name = "BDF", num_args = 1..)]
    pub keep_away: Vec<String>,
    /// Print the diff of the files alone, ready for patch.
    #[arg(long)]
    pub diff: bool,
}

/// Arguments of `record`.
#[derive(Args, Debug)]
pub struct RecordArgs {
    /// Tell how things stand now, and end.
    #[arg(long)]
    pub once: bool,
    /// How often to note that it still runs.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub heartbeat: u32,
}
