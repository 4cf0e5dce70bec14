//! The planner and its views, through the public interface only.

mod build;
mod drift;
mod guards;
mod order;
mod properties;
mod rules;
mod saved;
mod views;
mod words;
