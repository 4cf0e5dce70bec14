//! What is sent over the wire, as data: built and tested without a network.

use std::fmt;

use reqwest::Url;

/// One POST.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub url: Url,
    /// Headers besides those of every request.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Outgoing {
    /// JSON for a URL.
    pub fn json(url: Url, body: Vec<u8>) -> Self {
        Self { url, headers: vec![("content-type", "application/json".to_owned())], body }
    }

    /// With a token, if there is one.
    #[must_use]
    pub fn bearer(mut self, token: Option<&str>) -> Self {
        self.headers.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
        self
    }
}

/// Neither URL, headers nor body: each can hold a secret.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").finish_non_exhaustive()
    }
}
