//! Commands that may hang, because their host does, and are ended then.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::error::{Error, Result, at, words};
use crate::process::{children, signal, wait};

/// Runs a command without input, whatever it ends with; one that is late is ended with all that it started.
pub(crate) fn bounded(command: &mut Command, within: Duration) -> Result<Output> {
    // Files, not pipes: what outlives the command would hold a pipe open.
    let (mut out, mut err) = (nameless()?, nameless()?);
    command.stdin(Stdio::null()).stdout(again(&out)?).stderr(again(&err)?);
    let told = words(command);
    let failed =
        |error: std::io::Error| Error::Command { command: told.clone(), said: error.to_string() };
    let mut child = command.spawn().map_err(failed)?;
    let status = match wait(&format!("end of `{told}`"), within, || child.try_wait().transpose()) {
        Ok(ended) => ended.map_err(failed)?,
        Err(late) => {
            end(child.id());
            let _ = child.wait();
            return Err(late);
        }
    };
    Ok(Output { status, stdout: text(&mut out)?, stderr: text(&mut err)? })
}

fn nameless() -> Result<File> {
    at(Path::new("a temporary file"), tempfile::tempfile())
}

fn again(file: &File) -> Result<File> {
    at(Path::new("a temporary file"), file.try_clone())
}

fn text(file: &mut File) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = file.rewind().and_then(|()| file.read_to_end(&mut text));
    at(Path::new("a temporary file"), read.map(|_| text))
}

/// Ends a process and its descendants: a killed `nsenter` leaves what it entered a namespace for.
fn end(pid: u32) {
    let below = children(pid);
    signal("KILL", pid);
    below.into_iter().for_each(end);
}
