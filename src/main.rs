//! Gives PCI devices that a qube has used back to dom0: parse, dispatch, exit.

mod assess;
mod cli;
mod commands;
mod consent;
mod error;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)]
mod fuzz;
mod journal;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod manual;
mod names;
mod observe;
mod plan;
mod recorder;
mod report;
mod run;
mod system;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command, PolicyCommand, StatusArgs, When};
use commands::Context;
use error::{Exit, Failure};
use report::Colours;
use std::io::IsTerminal;
use std::process::ExitCode;
use system::root::Sysroot;

fn main() -> ExitCode {
    report::choose_colours(Colours::Auto);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let root = Sysroot::new(cli.sysroot.clone());
    let context = Context {
        journal: cli.journal.clone().unwrap_or_else(|| root.path(cli::JOURNAL)),
        root,
        shown_journal: None,
        json: cli.json,
        quiet: cli.quiet,
    };
    report::choose_colours(match cli.color {
        When::Auto => Colours::Auto,
        When::Always => Colours::Always,
        When::Never => Colours::Never,
    });
    report::keep_quiet(cli.quiet);
    let Some(command) = cli.command.as_ref().or_else(|| at_a_terminal(&cli)) else { return no_command(&cli) };
    if matches!(command, Command::Worker) {
        return worker(&context);
    }
    let (name, result) = run(&context, command);
    let exit = match result {
        Ok(exit) => exit,
        Err(failure) => {
            report_failure(context.json, name, &failure);
            failure.exit
        }
    };
    ExitCode::from(exit.status())
}

fn run(context: &Context, command: &Command) -> (&'static str, Result<Exit, Failure>) {
    match command {
        Command::Status(args) => ("status", commands::status::run(context, args)),
        Command::List(args) => ("list", commands::list::run(context, args)),
        Command::Show(devices) => ("show", commands::show::run(context, devices)),
        Command::Plan(args) => ("plan", commands::plan::run(context, args)),
        Command::Reattach(args) => ("reattach", commands::reattach::run(context, args)),
        Command::Rollback(args) => ("rollback", commands::rollback::run(context, args)),
        Command::Hold(args) => ("hold", commands::hold::run(context, args)),
        Command::NextBoot(args) => ("next-boot", commands::next_boot::run(context, args)),
        Command::Recover(args) => ("recover", commands::recover::run(context, args)),
        Command::Record(args) => ("record", commands::record::run(context, args)),
        Command::Policy { command: PolicyCommand::Check { file } } => {
            ("policy-check", commands::policy::run(context, file.as_deref()))
        }
        Command::Audit { command } => commands::audit::run(context, command),
        Command::MoveJournal => ("move-journal", commands::move_journal::run(context)),
        Command::Complete { words } => ("complete", commands::complete::run(words)),
        Command::Worker => ("worker", Ok(Exit::Done)),
    }
}

/// What the bare command does: on a terminal it shows how things stand.
fn at_a_terminal(cli: &Cli) -> Option<&'static Command> {
    let shows = !cli.json && !cli.quiet && std::io::stdout().is_terminal();
    shows.then_some(&Command::Status(StatusArgs { redact: false }))
}

/// Nothing was said, and nobody is there to be shown how things stand.
fn no_command(cli: &Cli) -> ExitCode {
    if cli.json {
        let failure = Failure::usage("a command is missing", "see --help");
        report_failure(true, "usage", &failure);
    } else {
        let help = Cli::command().render_help().to_string();
        let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), help.as_bytes());
    }
    ExitCode::from(Exit::Usage.status())
}

fn report_failure(as_json: bool, command: &str, failure: &Failure) {
    if as_json {
        let members = serde_json::json!({ "error": report::json::failure(failure) });
        // Where stdout is gone there is nobody to tell.
        let _ = report::emit(&report::json::document(command, members));
    } else {
        report::complain(failure);
    }
}

/// What clap found wrong; help and version are answers, not errors. An error is
/// JSON where --json was said, though parsing did not get that far.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let exit = report::emit(&error.to_string()).map_or_else(
            |failure| {
                report::complain(&failure);
                failure.exit
            },
            |()| Exit::Done,
        );
        return ExitCode::from(exit.status());
    }
    let text = error.to_string();
    let as_json = std::env::args_os().any(|argument| argument == "--json");
    if as_json {
        let failure = Failure::usage(names::escape(wrong(error).as_bytes()), "see --help");
        report_failure(true, "usage", &failure);
    } else {
        // It repeats what was typed, or what a script made of foreign text.
        let shown = names::harmless(text.as_bytes());
        let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), shown.as_bytes());
    }
    ExitCode::from(Exit::Usage.status())
}

/// What is wrong, on one line: clap's message with what it lists below it, without usage and tips.
fn wrong(error: &clap::Error) -> String {
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "it is not said what to do: a command is missing".to_owned();
    }
    let text = error.to_string();
    let about: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    about.join(" ").trim_start_matches("error: ").to_owned()
}

fn worker(context: &Context) -> ExitCode {
    match system::worker::serve(&context.root) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(Exit::Io.status()),
    }
}
