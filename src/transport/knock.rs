//! Whether an address accepts a connection, without saying anything to it.

use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use super::{Dial, TransportError, plain_failure};
use crate::model::{FailureKind, duration_text};

/// Connects and closes again; `Failed` with the reason in words when it is not accepted in time.
pub(crate) async fn knock(dial: Dial, within: Duration) -> Result<(), TransportError> {
    let (connect, target) = match dial {
        Dial::Direct(address) => (
            tokio::time::timeout(within, async { TcpStream::connect(address).await.map(drop) })
                .await,
            address.to_string(),
        ),
        Dial::Unix(path) => (
            tokio::time::timeout(within, async { UnixStream::connect(&path).await.map(drop) })
                .await,
            path.display().to_string(),
        ),
    };
    let reason = match connect {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => words(&error),
        Err(_) => format!("no answer within {}", duration_text(within)),
    };
    let failure = plain_failure(FailureKind::Content, format!("{target}: {reason}"));
    Err(TransportError::Failed(Box::new(failure)))
}

/// The usual reasons without their error numbers.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        _ => error.to_string(),
    }
}
