//! What can go wrong with a lab, in words.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Why a lab can't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine lacks a right or a program.
    #[error("{0}")]
    Missing(String),
    /// A file of the lab can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program failed.
    #[error("`{command}` failed: {said}")]
    Command {
        /// As it was called.
        command: String,
        /// What it printed.
        said: String,
    },
    /// Something did not happen in time.
    #[error("{0} within {1} s")]
    Late(String, u64),
    /// No host, no lab, no such thing.
    #[error("{0}")]
    Unknown(String),
}

/// What most calls of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Names the file in an error of the file system.
pub fn at<T>(path: &Path, result: std::io::Result<T>) -> Result<T> {
    result.map_err(|source| Error::File { path: path.to_owned(), source })
}

/// Runs a command to its end without input; its standard output, or an error with all that it said.
pub fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let out = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(out.trim_end().to_owned());
    }
    let said = format!("{} {} ({})", said.trim(), out.trim(), output.status);
    Err(Error::Command { command: words(command), said: said.trim().to_owned() })
}

/// Runs a command to its end without input, whatever it ends with.
pub fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null());
    command
        .output()
        .map_err(|error| Error::Command { command: words(command), said: error.to_string() })
}

/// A command as one line.
pub fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
