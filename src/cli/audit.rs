//! The command line of `audit`: what can be said, and nothing of what it does.

#![forbid(unsafe_code)]

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What to do with the journal.
#[derive(Subcommand, Debug)]
pub enum AuditCommand {
    /// List what was done and what happened, the newest last.
    Log(LogArgs),
    /// Show one operation, its steps and what came of each, or one record, whole.
    Show {
        /// The operation's id, as `audit log` prints it, or a record's number.
        #[arg(value_name = "OP|SEQ")]
        what: String,
    },
    /// Draw who had which function when: one lane a function, time across.
    Timeline(TimelineArgs),
    /// Sum up the journal on one page: what was done, by whom, accepting what, and what nobody recorded.
    Report(ReportArgs),
    /// Verify every record, and say what the journal was compared with.
    Verify(VerifyArgs),
    /// Verify the journal and print its head, to be kept where dom0 cannot reach it.
    Checkpoint {
        /// Where it is going to be kept; remembered beside the journal.
        #[arg(long, value_name = "WHERE", default_value = "printed")]
        to: String,
    },
    /// Journal what older logs tell: history from before the recorder, marked as imported.
    Import(ImportArgs),
    /// Write all records to stdout, byte for byte.
    Export,
    /// Accept damage and go on behind it; the damage stays on record.
    Repair {
        /// Do it; without this, only say what would be accepted.
        #[arg(long)]
        yes: bool,
    },
    /// Remove old segments, after recording which.
    Prune(PruneArgs),
}

/// Arguments of `audit log`.
#[derive(Args, Debug)]
pub struct LogArgs {
    /// Only the newest N; 0 for all [default: 25, or all with a filter].
    #[arg(short = 'n', long, visible_alias = "newest", value_name = "N")]
    pub limit: Option<usize>,
    /// The newest first.
    #[arg(short, long, conflicts_with = "follow")]
    pub reverse: bool,
    /// The latest ones, then each new one as it is written, until interrupted.
    #[arg(short, long, conflicts_with = "until")]
    pub follow: bool,
    /// Not before this time, in UTC: 2026-11-22 or 2026-11-22T13:47.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Before this time, in UTC.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only what names this device.
    #[arg(long, value_name = "BDF")]
    pub device: Option<String>,
    /// Only what names this qube.
    #[arg(long, value_name = "NAME")]
    pub qube: Option<String>,
    /// Only what happened with a qube of this label.
    #[arg(long, value_name = "LABEL")]
    pub label: Option<String>,
    /// Only of this boot: `this`, -1 for the one before, or a beginning of its id.
    #[arg(long, value_name = "BOOT", allow_hyphen_values = true)]
    pub boot: Option<String>,
    /// Only this operation.
    #[arg(long, visible_alias = "op", value_name = "ID")]
    pub operation: Option<String>,
    /// Only records of this kind: op, step, recorder, device, stay, qube, lost, ...
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Only records with this member; can be given more than once.
    #[arg(long = "match", value_name = "KEY=VALUE")]
    pub matches: Vec<String>,
    /// Only operations that failed or were not finished.
    #[arg(long)]
    pub failed: bool,
    /// Operations in a table, records in a table, or records as they are.
    #[arg(short, long, value_name = "FORM", value_enum)]
    pub output: Option<LogForm>,
}

/// How `audit log` prints.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogForm {
    /// One line an operation.
    Table,
    /// One line a record.
    Records,
    /// The records' own lines, which are JSON.
    Raw,
}

/// Arguments of `audit timeline`.
#[derive(Args, Debug)]
pub struct TimelineArgs {
    /// Only this function.
    #[arg(long, value_name = "BDF")]
    pub device: Option<String>,
    /// From this time, in UTC: 2026-11-22 or 2026-11-22T13:47 [default: the first that is told].
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Up to this time, in UTC [default: now, or the last that is told].
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Columns of a line.
    #[arg(long, value_name = "N", default_value_t = 80)]
    #[arg(value_parser = clap::value_parser!(u16).range(40..=1000))]
    pub width: u16,
}

/// Arguments of `audit report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Compare the journal with a checkpoint that was kept elsewhere, long or short form; any number of them.
    #[arg(long = "checkpoint", value_name = "SEQ:HEX")]
    pub checkpoints: Vec<String>,
    /// Only this device.
    #[arg(long, value_name = "BDF")]
    pub device: Option<String>,
    /// From this time, in UTC: 2026-11-22 or 2026-11-22T13:47 [default: the first that is told].
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Before this time, in UTC [default: now, or the last that is told].
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// All operations as comma-separated values, a line each.
    #[arg(long, conflicts_with = "html")]
    pub csv: bool,
    /// Write the page for a browser to this file; - is stdout.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Arguments of `audit import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// libvirt's logs of qubes [default: /var/log/libvirt/libxl].
    #[arg(long, value_name = "DIR")]
    pub libvirt: Option<PathBuf>,
    /// Qubes' copies of qubes.xml [default: /var/lib/qubes/backup].
    #[arg(long, value_name = "DIR")]
    pub backups: Option<PathBuf>,
    /// What `journalctl -o json` wrote, - for stdin [default: journalctl is run].
    #[arg(long, value_name = "FILE")]
    pub journald: Option<PathBuf>,
    /// Logs of Xen's console [default: /var/log/xen/console/hypervisor.log].
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub xen_console: Vec<PathBuf>,
    /// Show what would be journaled; change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `audit verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// A head that was kept elsewhere, long or short form; any number of them.
    #[arg(long = "checkpoint", value_name = "SEQ:HEX")]
    pub checkpoints: Vec<String>,
    /// Verify only what follows this head, so that an accepted gap is not red.
    #[arg(long, value_name = "SEQ:HEX")]
    pub from: Option<String>,
}

/// Arguments of `audit prune`.
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Remove segments whose records are all older than this one.
    #[arg(long, value_name = "SEQ")]
    pub before: u64,
    /// Do it; without this, only say what would be removed.
    #[arg(long)]
    pub yes: bool,
}
