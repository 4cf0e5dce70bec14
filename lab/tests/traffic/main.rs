//! Users of a fleet tell exactly what small servers did to them.

mod load;
mod network;
mod once;
mod seen;
mod servers;
mod transfer;
mod websocket;
