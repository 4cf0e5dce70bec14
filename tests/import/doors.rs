//! Flags and refusals of the command itself.
