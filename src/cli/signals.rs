//! Ctrl-C and SIGTERM, turned into what a rollout is asked.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::engine::Stop;

use super::problem::Problem;

/// For `apply`: the first Ctrl-C puts back, the second leaves; SIGTERM finishes what is under way and leaves.
pub fn for_rollout() -> Result<watch::Receiver<Stop>, Problem> {
    let (tell, hear) = watch::channel(Stop::No);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Problem::from_io)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Problem::from_io)?;
    tokio::spawn(async move {
        let mut interrupts = 0;
        loop {
            let wish = tokio::select! {
                Some(()) = interrupt.recv() => {
                    interrupts += 1;
                    if interrupts == 1 { Stop::PutBack } else { Stop::PutBackLater }
                }
                Some(()) = terminate.recv() => Stop::Pause,
                else => return,
            };
            if wish == Stop::PutBack {
                anstream::eprintln!("putting back; Ctrl-C again leaves at once");
            }
            if tell.send(wish).is_err() {
                return;
            }
        }
    });
    Ok(hear)
}

/// For the daemon: SIGTERM and Ctrl-C finish what is under way and leave; a second one leaves at once.
pub fn for_daemon() -> Result<watch::Receiver<Stop>, Problem> {
    let (tell, hear) = watch::channel(Stop::No);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Problem::from_io)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Problem::from_io)?;
    tokio::spawn(async move {
        for wish in [Stop::Pause, Stop::Leave] {
            tokio::select! {
                Some(()) = interrupt.recv() => {}
                Some(()) = terminate.recv() => {}
                else => return,
            }
            if tell.send(wish).is_err() {
                return;
            }
        }
    });
    Ok(hear)
}

/// SIGHUP: look at the repository now.
pub fn hangups() -> Result<tokio::sync::mpsc::Receiver<()>, Problem> {
    let (tell, hear) = tokio::sync::mpsc::channel(1);
    let mut hangup = signal(SignalKind::hangup()).map_err(Problem::from_io)?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            // One look is enough for any number of signals that came meanwhile.
            let _ = tell.try_send(());
        }
    });
    Ok(hear)
}
