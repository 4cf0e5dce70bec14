//! The test app as a process: started, asked over the network, signalled.

mod health;
mod http;
mod stop;
mod support;
mod websocket;
