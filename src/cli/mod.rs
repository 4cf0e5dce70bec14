//! The command line: one file per command, which builds the edges, calls the engine and reports.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

mod apply;
mod check;
mod completions;
mod context;
mod demo;
mod demo_app;
mod demo_fleet;
mod drift;
mod forget;
mod graph;
mod history;
mod import;
mod init;
mod init_files;
mod init_git;
mod left;
mod logs;
mod look;
mod notices;
mod notify;
mod output;
mod plan;
mod problem;
mod render;
mod resume;
mod retry;
mod reviewed;
mod rollback;
mod run;
mod saved;
mod schema;
mod secret;
mod show;
mod show_plan;
mod signals;
mod status;
mod suspend;
mod unlock;
mod validate;
mod waiting;

use context::Global;
use problem::Problem;

/// Moves a fleet of plain Linux machines to what a Git repository says, as one transaction.
#[derive(Debug, Parser)]
#[command(name = "gitsync", version, arg_required_else_help = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done or no change; 1 error; 2 invalid repository; 3 rolled back; \
    4 needs an operator."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a fleet repository: small, commented and valid
    Init(init::Init),
    /// Check a fleet repository: every problem of every file in one run
    Validate(validate::Validate),
    /// Write or print every file exactly as it would land on its node
    Render(render::Render),
    /// Draw the fleet: nodes, units and what leads from one to another
    Graph(graph::GraphCommand),
    /// Show what would change where, why, and what people would notice
    Plan(plan::PlanCommand),
    /// Show a plan that was saved for review
    ShowPlan(show_plan::ShowPlan),
    /// Roll out HEAD as one transaction
    Apply(apply::Apply),
    /// Watch a Git repository and roll out every commit (the daemon)
    Run(run::Run),
    /// What runs where since when, and who is behind
    Status(status::Status),
    /// Past rollouts, newest first
    History(history::History),
    /// One rollout with every step
    Show(show::Show),
    /// Files, containers and processes that are no longer as they were rolled out
    Drift(drift::DriftCommand),
    /// Ask every probe once, now
    Check(check::Check),
    /// The last lines that a unit's program logged, wherever it runs
    Logs(logs::LogsCommand),
    /// Lift the quarantine of a release, so that it is tried again
    Retry(retry::Retry),
    /// End the hold of a rollout whose controller is dead for good
    Unlock(unlock::UnlockCommand),
    /// Stop rollouts of a fleet on this controller for a while
    Suspend(suspend::SuspendCommand),
    /// End the suspension of a fleet on this controller
    Resume(suspend::ResumeCommand),
    /// Say that a node which left the fleet is gone for good
    Forget(forget::ForgetCommand),
    /// Go back to an earlier good release, from the nodes' own copies
    Rollback(rollback::Rollback),
    /// Bring what there is already into a fleet repository: compose files, a Caddyfile
    Import(import::Import),
    /// See whether notifications get through
    Notify(notify::Notify),
    /// Add, edit and rekey secrets in files that `sops` reads as well
    Secret(secret::Secret),
    /// Print the JSON Schemas of the repository's files, of saved plans and of notifications
    Schema(schema::Schema),
    /// Print completions for a shell
    Completions(completions::Completions),
    /// See it work on this machine: no root, Docker, SSH or network needed
    Demo(demo::Demo),
    #[command(hide = true)]
    DemoApp(demo_app::DemoApp),
}

/// Runs the command line and maps what comes of it to an exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    match dispatch(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            problem.print();
            ExitCode::from(problem.code())
        }
    }
}

/// The program's own log goes to standard error: warnings, and what `GITSYNC_LOG` asks for, as `gitsync=debug`.
fn log() {
    let filter =
        EnvFilter::try_from_env("GITSYNC_LOG").or_else(|_| EnvFilter::try_new("gitsync=warn"));
    if let Ok(filter) = filter {
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        // Without colour: it is read in journals and files.
        log.with_ansi(false).init();
    }
}

fn dispatch(cli: &Cli) -> Result<u8, Problem> {
    let global = &cli.global;
    match &cli.command {
        Command::Schema(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::ShowPlan(command) => command.run(),
        Command::Init(command) => command.run(global),
        Command::Validate(command) => command.run(global),
        Command::Suspend(command) => command.run(global),
        Command::Resume(command) => command.run(global),
        Command::Render(command) => command.run(global),
        Command::Graph(command) => command.run(global),
        Command::Import(command) => command.run(global),
        Command::DemoApp(app) => app.serve().map(|()| 0).map_err(Problem::from_io),
        other => asynchronous(other, global),
    }
}

fn asynchronous(command: &Command, global: &Global) -> Result<u8, Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Problem::from_io)?;
    let code = runtime.block_on(async {
        match command {
            Command::Plan(command) => command.run(global).await,
            Command::Apply(command) => command.run(global).await,
            Command::Run(command) => command.run(global).await,
            Command::Status(command) => command.run(global).await,
            Command::History(command) => command.run(global).await,
            Command::Show(command) => command.run(global).await,
            Command::Drift(command) => command.run(global).await,
            Command::Check(command) => command.run(global).await,
            Command::Logs(command) => command.run(global).await,
            Command::Retry(command) => command.run(global).await,
            Command::Unlock(command) => command.run(global).await,
            Command::Forget(command) => command.run(global).await,
            Command::Rollback(command) => command.run(global).await,
            Command::Notify(command) => command.run(global).await,
            Command::Secret(command) => command.run(global).await,
            Command::Demo(command) => command.run().await,
            _ => Ok(0),
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    code
}

/// The command line as clap knows it, for completions and tests.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
