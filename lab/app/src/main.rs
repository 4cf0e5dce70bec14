//! The lab's test app: it serves its version over HTTP and is healthy, slow or broken as it is configured.

mod answer;
mod app;
mod config;
mod health;
mod http;
mod probe;
mod response;
mod serve;
mod stop;
mod websocket;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::app::App;
use crate::config::Config;
use crate::health::Health;

/// How long work in hand may go on after the listeners closed, when the app drains.
const LAST_WORK: Duration = Duration::from_secs(30);
/// The same for an app that doesn't drain.
const SHORT_WORK: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let config = match Config::read(|name| std::env::var(name).ok(), &arguments) {
        Ok(config) => config,
        Err(error) => {
            app::complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    if arguments.first().is_some_and(|first| first == "healthcheck") {
        return probe::run(&config, &arguments);
    }
    // Before the app starts: as PID 1 a signal without a handler is lost.
    match Signals::new([SIGTERM, SIGINT]) {
        Ok(signals) => run(App::new(config), signals),
        Err(error) => {
            app::complain(&format!("cannot handle signals: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(app: App, signals: Signals) -> ExitCode {
    if app.config.health == Health::Crash {
        app.say("crashes, as configured");
        return ExitCode::FAILURE;
    }
    app.say(&format!("starts, boot {}", app.boot));
    let app = Arc::new(app);
    let life = Arc::clone(&app);
    if let Err(error) = app::thread(move || live(&life)) {
        app::complain(&format!("cannot start a thread: {error}"));
        return ExitCode::FAILURE;
    }
    wait_for_end(&app, signals);
    app.say("stopped");
    ExitCode::SUCCESS
}

/// Listens after the configured delay, and dies when the configuration says so.
fn live(app: &Arc<App>) {
    if let Health::Dies(after) = app.config.health {
        let mortal = Arc::clone(app);
        let timer = move || {
            std::thread::sleep(after.saturating_sub(mortal.started.elapsed()));
            mortal.die("dies, as configured");
        };
        if app::thread(timer).is_err() {
            app.die("cannot start a thread");
        }
    }
    if app.stop.wait_for_drain(app.config.start_delay) {
        return;
    }
    if let Err(error) = serve::listen(app) {
        app::complain(&error.to_string());
        app.die("cannot listen");
    }
}

/// Comes back when a signal came and the work in hand is done or out of time.
fn wait_for_end(app: &App, mut signals: Signals) {
    for signal in signals.forever() {
        let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
        if signal == SIGTERM && app.config.ignore_term {
            app.say("SIGTERM: ignored");
            continue;
        }
        app.say(&format!("{name}: stops, drain {:?}", app.config.drain));
        app.stop.drain();
        if app.stop.listens() {
            std::thread::sleep(app.config.drain);
        }
        app.stop.close();
        let patience = if app.config.drain.is_zero() { SHORT_WORK } else { LAST_WORK };
        if !app.stop.wait_until_empty(patience) {
            app.say("out of time: drops what is left");
        }
        return;
    }
}
