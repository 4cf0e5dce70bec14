//! A message as ntfy takes it: JSON to the server's root, so that any text gets through.

use serde_json::{Value, json};

use crate::settings::Ntfy;

use super::message::{Kind, Message};
use super::request::Outgoing;

/// Longer texts become attachments there.
const MOST: usize = 1500;

/// The request for a message.
pub fn request(ntfy: &Ntfy, message: &Message, token: Option<&str>) -> Outgoing {
    let mut body = json!({
        "topic": ntfy.topic,
        "title": message.title,
        "message": message.text.chars().take(MOST).collect::<String>(),
        "priority": ntfy.priority.unwrap_or_else(|| priority(message)),
        "tags": tags(message),
    });
    if let (Some(click), Some(body)) = (&ntfy.click, body.as_object_mut()) {
        body.insert("click".to_owned(), Value::from(click.as_str()));
    }
    Outgoing::json(ntfy.server.clone(), body.to_string().into_bytes()).bearer(token)
}

/// 5 wakes people up, 2 makes no sound.
fn priority(message: &Message) -> u8 {
    match message.event {
        Kind::NeedsOperator => 5,
        Kind::NodeLost if message.optional == Some(true) => 2,
        Kind::RolledBack | Kind::NodeLost => 4,
        Kind::Drift | Kind::Refused | Kind::Test => 3,
        Kind::Converged | Kind::DriftGone | Kind::NodeBack => 2,
    }
}

/// The first is shown as a sign.
fn tags(message: &Message) -> Vec<String> {
    let sign = match message.event {
        Kind::NeedsOperator => "rotating_light",
        Kind::RolledBack => "leftwards_arrow_with_hook",
        Kind::Converged | Kind::DriftGone | Kind::NodeBack => "white_check_mark",
        Kind::NodeLost => "electric_plug",
        Kind::Drift => "mag",
        Kind::Refused => "no_entry",
        Kind::Test => "wave",
    };
    let fleet = message.fleet.iter().map(ToString::to_string);
    [sign.to_owned(), message.event.word().to_owned()].into_iter().chain(fleet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Name, Timestamp};

    fn ntfy() -> Ntfy {
        Ntfy {
            server: "https://ntfy.example.net/".parse().unwrap(),
            topic: "my-fleet".to_owned(),
            token_file: None,
            priority: None,
            click: Some("https://git.example.net/fleet".parse().unwrap()),
        }
    }

    fn told(event: Kind, text: &str) -> Message {
        let fleet = Name::new("lab").unwrap();
        Message::new(event, Some(&fleet), Timestamp(0), "rolled back", text.to_owned())
    }

    #[test]
    fn a_message_is_posted_to_the_server_s_root_with_its_topic_in_the_body() {
        let sent = request(&ntfy(), &told(Kind::RolledBack, "n1 “ü”\nfailed"), Some("tk_1"));
        assert_eq!(sent.url.as_str(), "https://ntfy.example.net/");
        assert!(sent.headers.contains(&("authorization", "Bearer tk_1".to_owned())));
        assert!(!format!("{sent:?}").contains("tk_1"));
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        insta::assert_json_snapshot!("ntfy", body);
    }

    #[test]
    fn how_loud_it_is_goes_by_what_happened_unless_it_is_set() {
        let loud = |ntfy: &Ntfy, message: &Message| {
            let sent = request(ntfy, message, None);
            let body: Value = serde_json::from_slice(&sent.body).unwrap();
            assert!(body["message"].as_str().unwrap().chars().count() <= MOST);
            body["priority"].as_u64().unwrap()
        };
        let long = "ü".repeat(5000);
        assert_eq!(loud(&ntfy(), &told(Kind::NeedsOperator, &long)), 5);
        let lost = told(Kind::NodeLost, "");
        assert_eq!(loud(&ntfy(), &lost), 4);
        assert_eq!(loud(&ntfy(), &Message { optional: Some(true), ..lost.clone() }), 2);
        assert_eq!(loud(&Ntfy { priority: Some(1), ..ntfy() }, &lost), 1);
    }
}
