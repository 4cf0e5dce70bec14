//! Errors at the door: what went wrong, what to do, and the exit code.

use std::fmt::Display;

use crate::report::lines::hanging;

/// An error that ends a command.
#[derive(Debug)]
pub struct Problem {
    message: String,
    hints: Vec<String>,
    code: u8,
    /// Already told in full: nothing more is printed.
    silent: bool,
}

impl Problem {
    /// An error with exit code 1.
    pub fn new(message: impl Display) -> Self {
        Self { message: message.to_string(), hints: Vec::new(), code: 1, silent: false }
    }

    /// The repository is invalid, and its diagnostics were printed.
    pub fn invalid() -> Self {
        Self { message: String::new(), hints: Vec::new(), code: 2, silent: true }
    }

    /// A plan that is not rolled out.
    pub fn from_refusal(refusal: &crate::engine::Refusal) -> Self {
        Self::new(&refusal.message).hint(refusal.hint.clone())
    }

    /// From the operating system.
    pub fn from_io(error: std::io::Error) -> Self {
        Self::new(error)
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Sets the exit code.
    #[must_use]
    pub fn exits(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Another exit code for an invalid repository.
    #[must_use]
    pub fn invalid_as(mut self, code: u8) -> Self {
        if self.silent {
            self.code = code;
        }
        self
    }

    /// The process's exit code.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// Prints the error and its hints to standard error.
    pub fn print(&self) {
        if self.silent {
            return;
        }
        anstream::eprintln!("error: {}", hanging(&self.message, "  ").join("\n"));
        for hint in &self.hints {
            anstream::eprintln!("  hint: {}", hanging(hint, "    ").join("\n"));
        }
    }
}

impl<E: std::error::Error> From<E> for Problem {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        Self::new(message)
    }
}
