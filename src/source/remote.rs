//! What libgit2 is told about a remote: address, credentials, deadlines; and what its errors mean.

use std::path::PathBuf;
use std::sync::Once;
use std::time::{Duration, Instant};

use git2::{Cred, CredentialType, ErrorClass, ErrorCode, RemoteCallbacks};

use crate::settings::GitAccess;

use super::SourceError;

/// Key files tried when none is named and the agent has none, in the order of OpenSSH.
const DEFAULT_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// A repository's address, checked, and as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// For libgit2; may hold a password.
    pub url: String,
    /// For people: without a password.
    pub shown: String,
}

impl Address {
    /// Takes a local path, `file://`, `https://`, `http://`, `ssh://` or `user@host:path`.
    pub fn new(text: &str) -> Result<Self, SourceError> {
        let refuse = || SourceError::Address(without_password(text));
        let blank = text.is_empty() || text.chars().any(char::is_control);
        let known = ["file://", "https://", "http://", "ssh://"];
        let url = if blank || text.starts_with('-') {
            return Err(refuse());
        } else if known.iter().any(|scheme| text.starts_with(scheme)) || is_scp(text) {
            text.to_owned()
        } else if text.contains("://") || text.contains("::") {
            return Err(refuse());
        } else {
            let path = std::path::absolute(text).map_err(|_| refuse())?;
            path.to_string_lossy().into_owned()
        };
        Ok(Self { shown: without_password(&url), url })
    }
}

/// `user@host:path`: a colon before the first slash.
fn is_scp(text: &str) -> bool {
    let Some((host, path)) = text.split_once(':') else { return false };
    // A second slash or colon would make it another scheme, or one of Git's program transports.
    let other = path.starts_with("//") || path.starts_with(':');
    !host.is_empty() && !host.contains('/') && !other
}

fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((user, host)) if scheme != "ssh" || user.contains(':') => {
            format!("{scheme}://{host}{path}")
        }
        _ => url.to_owned(),
    }
}

/// Sockets give up after this silence, for every remote of the process.
///
/// The whole fetch has its own, longer deadline; this one frees the thread of a peer that says nothing at all.
pub(super) fn limit_sockets() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: both write a plain integer of libgit2; `Once` keeps writers apart, and every connection of this
        // process is made by a caller that came through here first.
        #[allow(unsafe_code)]
        unsafe {
            let _ = git2::opts::set_server_connect_timeout_in_milliseconds(10_000);
            let _ = git2::opts::set_server_timeout_in_milliseconds(30_000);
        }
    });
}

/// Callbacks that offer each credential once and end the transfer at the deadline.
pub(super) fn callbacks<'a>(
    access: &'a GitAccess,
    address: &'a Address,
    deadline: Instant,
) -> RemoteCallbacks<'a> {
    let mut offers = Offers::new(access, address);
    let mut callbacks = RemoteCallbacks::new();
    callbacks.credentials(move |url, user, kinds| offers.next(url, user, kinds));
    callbacks.transfer_progress(move |_| Instant::now() < deadline);
    callbacks.sideband_progress(move |_| Instant::now() < deadline);
    callbacks
}

/// Credentials not offered yet.
struct Offers<'a> {
    token: Option<&'a str>,
    agent: bool,
    keys: std::vec::IntoIter<PathBuf>,
    address: &'a Address,
}

impl<'a> Offers<'a> {
    fn new(access: &'a GitAccess, address: &'a Address) -> Self {
        let named = access.identity.clone();
        let agent = named.is_none() && std::env::var_os("SSH_AUTH_SOCK").is_some();
        let keys = match named {
            Some(key) => vec![key],
            None => default_keys(),
        };
        Self { token: access.token.as_deref(), agent, keys: keys.into_iter(), address }
    }

    fn next(
        &mut self,
        url: &str,
        user: Option<&str>,
        kinds: CredentialType,
    ) -> Result<Cred, git2::Error> {
        let user = user.unwrap_or("git");
        if kinds.contains(CredentialType::USERNAME) {
            return Cred::username(user);
        }
        if kinds.contains(CredentialType::SSH_KEY) {
            if std::mem::take(&mut self.agent) {
                return Cred::ssh_key_from_agent(user);
            }
            if let Some(key) = self.keys.next() {
                return Cred::ssh_key(user, None, &key, None);
            }
        }
        if kinds.contains(CredentialType::USER_PASS_PLAINTEXT)
            && same_server(url, &self.address.url)
            && let Some(token) = self.token.take()
        {
            // Forges take any name beside a token; this one says what it is.
            let name = if user == "git" { "x-access-token" } else { user };
            return Cred::userpass_plaintext(name, token);
        }
        Err(git2::Error::new(ErrorCode::Auth, ErrorClass::Callback, "no credentials are left"))
    }
}

/// A token goes over TLS only, and only to the server it was configured for.
fn same_server(asked: &str, configured: &str) -> bool {
    let server = |url: &str| {
        let rest = url.strip_prefix("https://")?;
        let authority = rest.split('/').next()?;
        let host = authority.rsplit('@').next()?;
        Some(host.to_ascii_lowercase())
    };
    server(asked).is_some() && server(asked) == server(configured)
}

fn default_keys() -> Vec<PathBuf> {
    let Some(home) = std::env::var_os("HOME") else { return Vec::new() };
    let folder = PathBuf::from(home).join(".ssh");
    DEFAULT_KEYS.iter().map(|name| folder.join(name)).filter(|key| key.is_file()).collect()
}

/// What an error of libgit2 while talking to a remote means to people.
pub(super) fn explain(
    error: &git2::Error,
    address: &Address,
    access: &GitAccess,
    limit: Duration,
    deadline: Instant,
) -> SourceError {
    let url = address.shown.clone();
    let said = error.message().to_lowercase();
    let late = Instant::now() >= deadline || said.contains("timed out");
    match error.code() {
        ErrorCode::Timeout => SourceError::TimedOut { url, seconds: limit.as_secs() },
        ErrorCode::Owner => SourceError::NotOwned { path: url },
        ErrorCode::Certificate => SourceError::Untrusted { advice: advice(address), url },
        ErrorCode::Auth => SourceError::Auth { tried: tried(address, access), url },
        _ if said.contains("authentication") || said.contains("401") || said.contains("403") => {
            SourceError::Auth { tried: tried(address, access), url }
        }
        _ if late => SourceError::TimedOut { url, seconds: limit.as_secs() },
        _ => SourceError::Unreachable { url, message: error.message().to_owned() },
    }
}

fn advice(address: &Address) -> String {
    if address.url.starts_with("https://") {
        return "its certificate is not signed by an authority that this machine trusts".to_owned();
    }
    let host = host_of(&address.url);
    format!(
        "its host key is not (or not like this) in ~/.ssh/known_hosts; compare the output of \
         `ssh-keyscan {host}` with what the host's owner says, then add it there"
    )
}

fn host_of(url: &str) -> String {
    let rest = url.strip_prefix("ssh://").unwrap_or(url);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = rest.split(['/', ':']).next().unwrap_or(rest);
    let port = rest.strip_prefix(host).and_then(|tail| tail.strip_prefix(':'));
    let port = port.and_then(|tail| tail.split('/').next()).filter(|p| p.parse::<u16>().is_ok());
    match port.filter(|_| url.starts_with("ssh://")) {
        Some(port) => format!("-p {port} {host}"),
        None => host.to_owned(),
    }
}

fn tried(address: &Address, access: &GitAccess) -> String {
    if address.url.starts_with("https://") {
        return match access.token {
            Some(_) => "the token was not accepted; is it still valid, and may it read this?",
            None => {
                "no token is set; name its file with `git: { token_file: … }` in the settings or GITSYNC_GIT_TOKEN_FILE"
            }
        }
        .to_owned();
    }
    if address.url.starts_with("http://") {
        return "credentials are never sent without TLS; use https:// or ssh://".to_owned();
    }
    match &access.identity {
        Some(key) => format!("the key `{}` was not accepted (or has a passphrase)", key.display()),
        None => "neither the SSH agent nor a key in ~/.ssh was accepted; \
                 name a key without passphrase with `git: { identity: … }` in the settings"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_other_protocols_are_refused() {
        for good in ["/srv/x.git", "x", "file:///x", "https://h/x", "ssh://h/x", "git@h:x.git"] {
            assert!(Address::new(good).is_ok(), "{good}");
        }
        for bad in ["", "git://h/x", "ext::sh -c id", "ftp://h/x", "--upload-pack=x", "a\nb"] {
            assert!(Address::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = |url: &str| Address::new(url).unwrap().shown;
        assert_eq!(shown("https://me:s3cret@h/x"), "https://h/x");
        assert_eq!(shown("https://s3cret@h/x"), "https://h/x");
        assert_eq!(shown("ssh://git@h/x"), "ssh://git@h/x");
        let error = Address::new("ftp://me:s3cret@h/x").unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
    }

    #[test]
    fn a_token_goes_to_its_own_server_over_tls_only() {
        assert!(same_server("https://h/x", "https://h/x.git"));
        assert!(!same_server("https://evil/x", "https://h/x"));
        assert!(!same_server("http://h/x", "http://h/x"));
        assert!(!same_server("https://h@evil/x", "https://h/x"));
    }

    #[test]
    fn each_credential_is_offered_once() {
        let access = GitAccess { token: Some("t".to_owned()), ..GitAccess::default() };
        let address = Address::new("https://h/x").unwrap();
        let mut offers = Offers::new(&access, &address);
        let kind = CredentialType::USER_PASS_PLAINTEXT;
        assert!(offers.next("https://h/x", None, kind).is_ok());
        assert!(offers.next("https://h/x", None, kind).is_err());
    }

    #[test]
    fn host_key_advice_names_the_port() {
        assert_eq!(host_of("ssh://git@h:2222/x"), "-p 2222 h");
        assert_eq!(host_of("git@h:2222/x"), "h");
    }
}
