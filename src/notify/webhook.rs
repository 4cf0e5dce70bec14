//! A message as a webhook takes it: the whole value as JSON, signed if there is a key.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::settings::Webhook;

use super::message::Message;
use super::request::Outgoing;

/// The request for a message.
pub fn request(
    webhook: &Webhook,
    message: &Message,
    token: Option<&str>,
    secret: Option<&str>,
) -> Result<Outgoing, serde_json::Error> {
    let body = serde_json::to_vec(message)?;
    let signature = secret.and_then(|secret| signature(secret.as_bytes(), &body));
    let mut sent = Outgoing::json(webhook.url.clone(), body).bearer(token);
    sent.headers.push(("x-gitsync-event", message.event.word().to_owned()));
    sent.headers.push(("x-gitsync-delivery", message.id.clone()));
    sent.headers.extend(signature.map(|signature| ("x-gitsync-signature-256", signature)));
    Ok(sent)
}

/// `sha256=` and HMAC-SHA256 of the body in hexadecimal digits.
fn signature(secret: &[u8], body: &[u8]) -> Option<String> {
    // A key of any length is taken.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(body);
    let mut text = "sha256=".to_owned();
    for byte in mac.finalize().into_bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn the_signature_is_that_of_rfc_4231() {
        let told = signature(b"Jefe", b"what do ya want for nothing?").unwrap();
        let known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(told, format!("sha256={known}"));
    }

    #[test]
    fn the_body_is_the_message_and_the_headers_say_what_it_is() {
        let url = "https://hooks.example.net/a".parse().unwrap();
        let webhook = Webhook { url, token_file: None, secret_file: None };
        let message = Message::test(Timestamp(1_700_000_000_000));
        let sent = request(&webhook, &message, Some("t"), Some("k")).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!((body["version"].as_u64(), body["event"].as_str()), (Some(1), Some("test")));
        assert_eq!(body["at"], "2023-11-14T22:13:20Z");
        let names: Vec<&str> = sent.headers.iter().map(|(name, _)| *name).collect();
        let signed = "x-gitsync-signature-256";
        let all =
            ["content-type", "authorization", "x-gitsync-event", "x-gitsync-delivery", signed];
        assert_eq!(names, all);
        let bare = request(&webhook, &message, None, None).unwrap();
        assert!(!bare.headers.iter().any(|(name, _)| [signed, "authorization"].contains(name)));
    }
}
