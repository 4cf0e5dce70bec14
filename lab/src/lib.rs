//! Real hosts on one machine: namespaces with their own addresses, processes, files, sshd and engine, and links that
//! can be cut. Tests and people use the same code.

mod backend;
mod bounded;
mod container;
mod error;
pub mod evidence;
mod fault;
mod host;
pub mod image;
mod lab;
mod place;
mod process;
mod program;
pub mod registry;
mod spec;
pub mod traffic;
mod tree;
mod truth;

pub use backend::{Backend, Kind, down, find, names};
pub use error::{Error, Result, words};
pub use fault::{Fault, Way};
pub use host::Host;
pub use lab::{Lab, check_machine, check_root};
pub use place::sweep;
pub use process::{Process, children, signal, wait};
pub use program::{app, app_program};
pub use spec::{HostSpec, Init, Mount, Spec};
pub use tree::Tree;
pub use truth::{STATE, Truth};
