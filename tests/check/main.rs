//! Whole repositories through the check: good ones become fleets, bad ones tell everything at its place.

mod arbitrary;
mod broken;
mod docs;
mod example;
mod happy;
mod hostile;
mod schemas;
mod support;
