//! What people and programs read: diagnostics, plans and events as text and as data.
//! Listeners and views: plain data made readable for people, pull requests and programs.

pub mod diagnostics;
pub mod graph;
pub mod lines;
pub mod plan;
pub mod progress;
pub mod words;
