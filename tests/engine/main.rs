//! The real engine driven against imagined nodes and real local ones: to its verdict, stopped, killed and taken up.

mod ends;
mod fleets;
mod killer;
mod lab;
mod local;
mod stops;
mod sweeps;
mod two;
