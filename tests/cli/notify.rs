//! Notifications: what arrives at a webhook and at ntfy, once; and rollouts that no receiver can hold up.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;

use crate::lab::{Lab, Running, wait};

const TOKEN: &str = "tk_THE-TOKEN";
const SECRET: &str = "THE-SECRET";
const TOPIC: &str = "THE-TOPIC";

/// One request.
#[derive(Clone, Debug)]
struct Post {
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Post {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What is on the other end: takes everything down and answers as it is told, else with 200.
struct Hook {
    address: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
    answers: Arc<Mutex<VecDeque<String>>>,
}

impl Hook {
    fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (posts, answers) = (Arc::default(), Arc::default());
        let hook = Self { address, posts: Arc::clone(&posts), answers: Arc::clone(&answers) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (posts, answers) = (Arc::clone(&posts), Arc::clone(&answers));
                std::thread::spawn(move || answer(stream, &posts, &answers));
            }
        });
        hook
    }

    /// The next answer: a status and headers.
    fn answers(&self, answer: &str) {
        self.answers.lock().unwrap().push_back(answer.to_owned());
    }

    fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    /// The events that arrived so far.
    fn events(&self) -> Vec<String> {
        let event = |post: Post| post.json()["event"].as_str().unwrap_or_default().to_owned();
        self.posts().into_iter().map(event).collect()
    }

    /// Waits for the next message, and insists on what it tells.
    #[track_caller]
    fn gets(&self, number: usize, event: &str) -> Value {
        wait(event, || self.posts().len() >= number);
        let all = self.events();
        assert_eq!(all.get(number - 1).map(String::as_str), Some(event), "{all:?}");
        self.posts()[number - 1].json()
    }
}

fn answer(
    mut stream: TcpStream,
    posts: &Mutex<Vec<Post>>,
    answers: &Mutex<VecDeque<String>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let path = lines[0].split(' ').nth(1)?.to_owned();
        let mut post = Post { path, headers, body: String::new() };
        let mut body = vec![0; post.header("content-length")?.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        post.body = String::from_utf8(body).unwrap();
        posts.lock().unwrap().push(post);
        let told = answers.lock().unwrap().pop_front().unwrap_or_else(|| "200 OK".to_owned());
        if told == "silence" {
            // Until the other end goes.
            return reader.read_line(&mut String::new()).ok().map(drop);
        }
        write!(stream, "HTTP/1.1 {told}\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}

/// Settings with these channels; `TOKEN` and `KEY` in them are files.
fn settings(lab: &Lab, channels: &str) -> String {
    let (token, key) = (lab.home().join("token"), lab.home().join("key"));
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    std::fs::write(&key, format!("{SECRET}\n")).unwrap();
    let channels = channels.replace("TOKEN", &token.display().to_string());
    let text = format!("notify:\n{}", channels.replace("KEY", &key.display().to_string()));
    let path = lab.home().join("settings.yaml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn webhook(hook: &Hook, more: &str) -> String {
    let address = hook.address;
    format!(
        "  - webhook: {{ url: 'http://{address}/{TOPIC}?key={SECRET}', token_file: TOKEN, secret_file: KEY }}\n    {more}\n"
    )
}

fn ntfy(hook: &Hook, more: &str) -> String {
    format!(
        "  - ntfy: {{ url: 'http://{}/{TOPIC}', token_file: TOKEN }}\n    {more}\n",
        hook.address
    )
}

#[track_caller]
fn has_no_secret(text: &str) {
    for secret in [TOKEN, SECRET, TOPIC] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

fn daemon(lab: &Lab, settings: &str) -> Running {
    let url = format!("file://{}", lab.home().join("fleet.git").display());
    lab.start(&["run", &url, "--interval", "200ms", "--config", settings])
}

#[test]
fn the_daemon_tells_of_verdicts_drift_nodes_and_refused_commits_once() {
    let (lab, hook, phone) = (Lab::new(), Hook::new(), Hook::new());
    lab.bare();
    let phone_gets = "on: [node_lost, rolled_back]";
    let settings = settings(&lab, &(webhook(&hook, "on: all") + &ntfy(&phone, phone_gets)));
    let mut first = daemon(&lab, &settings);
    let told = hook.gets(1, "converged");
    assert_eq!((told["version"].as_u64(), told["fleet"].as_str()), (Some(1), Some("lab")));
    assert_eq!((&told["rollout"], &told["commit"]["subject"]), (&"lab-1".into(), &"first".into()));
    lab.sick_web("web 2");
    let sick = lab.commit("sick");
    lab.push();
    let told = hook.gets(2, "rolled_back");
    assert_eq!(told["failed"][0]["unit"], "n1/service.web");
    assert_eq!(told["failed"][0]["node"], "n1");
    assert_eq!((&told["quarantined"], &told["commit"]["id"]), (&true.into(), &sick[..12].into()));
    std::fs::write(lab.motd(), "by hand\n").unwrap();
    let told = hook.gets(3, "drift");
    assert_eq!(told["drift"][0]["unit"], "n1/bundle.motd");
    assert!(told["text"].as_str().unwrap().contains("was changed"), "{told}");
    first.hears("rolled_back");
    first.signal("TERM");
    let first = first.end().exits(0);
    // What was told stays told: the next message is of something else.
    let mut second = daemon(&lab, &settings);
    second.hears("is quarantined");
    let away = lab.home().join("away");
    std::fs::rename(lab.node_directory("n2"), &away).unwrap();
    std::fs::write(lab.node_directory("n2"), "").unwrap();
    let told = hook.gets(4, "node_lost");
    assert_eq!((&told["node"], &told["optional"]), (&"n2".into(), &false.into()));
    // That a commit waits for the node goes without saying.
    lab.web("web 3");
    lab.commit("third");
    lab.push();
    second.hears("not rolled out: n2 can't be reached");
    std::fs::remove_file(lab.node_directory("n2")).unwrap();
    std::fs::rename(&away, lab.node_directory("n2")).unwrap();
    hook.gets(5, "converged");
    hook.gets(6, "node_back");
    std::fs::write(lab.motd(), "welcome\n").unwrap();
    hook.gets(7, "drift_gone");
    lab.write("services/web.yaml", "image: [");
    lab.commit("not valid");
    lab.push();
    let told = hook.gets(8, "refused");
    assert_eq!(
        (&told["code"], &told["commit"]["subject"]),
        (&"invalid".into(), &"not valid".into())
    );
    assert!(told["problems"][0].as_str().unwrap().contains(" at services/web.yaml:1:"), "{told}");
    second.signal("TERM");
    let second = second.end().exits(0);
    assert_eq!(hook.posts().len(), 8, "{:?}", hook.events());
    for said in [first.out, first.err, second.out, second.err] {
        has_no_secret(&said);
    }
    for post in hook.posts() {
        signed(&post);
    }
    let heard: Vec<Value> = phone.posts().iter().map(Post::json).collect();
    let titles: Vec<&str> = heard.iter().filter_map(|body| body["title"].as_str()).collect();
    assert_eq!(titles, ["lab: rolled back", "lab: n2 is lost", "lab: n2 is back"]);
    assert_eq!((&heard[0]["topic"], &heard[0]["priority"]), (&TOPIC.into(), &4.into()));
    assert_eq!(phone.posts()[0].path, "/");
}

#[track_caller]
fn signed(post: &Post) {
    assert_eq!(post.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(post.path, format!("/{TOPIC}?key={SECRET}"));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(post.body.as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(post.header("x-gitsync-signature-256"), Some(format!("sha256={digits}").as_str()));
    assert_eq!(post.header("x-gitsync-event"), post.json()["event"].as_str());
    has_no_secret(&post.body);
    let schema = include_str!("../../schema/notification.json");
    let schema = serde_json::from_str(schema).unwrap();
    jsonschema::validate(&schema, &post.json()).unwrap();
}

#[test]
fn apply_tells_how_it_ended_unless_it_is_told_not_to() {
    let (lab, hook) = (Lab::new(), Hook::new());
    let settings = settings(&lab, &webhook(&hook, "on: all"));
    let apply =
        |more: &[&str]| lab.gitsync(&[&["apply", "--yes", "--config", &settings], more].concat());
    apply(&["--no-notify"]).exits(0);
    assert!(hook.posts().is_empty());
    lab.sick_web("web 2");
    lab.commit("sick");
    apply(&[]).exits(3);
    assert_eq!(hook.events(), ["rolled_back"]);
    lab.web("web 3");
    lab.commit("well");
    // A receiver that stumbles is asked again, with the same message.
    hook.answers("503 Service Unavailable");
    apply(&[]).exits(0);
    assert_eq!(hook.events(), ["rolled_back", "converged", "converged"]);
    let ids: Vec<_> = hook.posts().iter().map(|post| post.json()["id"].clone()).collect();
    assert!(ids[1] == ids[2] && ids[0] != ids[1], "{ids:?}");
    lab.gitsync(&["rollback", "--yes", "--config", &settings]).exits(0);
    assert_eq!(hook.events().len(), 4);
}

#[test]
fn a_receiver_that_is_down_silent_or_unkind_changes_no_rollout() {
    let (lab, silent, unkind) = (Lab::new(), Hook::new(), Hook::new());
    let down = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    silent.answers("silence");
    unkind.answers("403 Forbidden");
    let channels = format!(
        "  - webhook: {{ url: 'http://{down}/{TOPIC}', token_file: TOKEN }}\n    on: all\n"
    );
    let channels = channels + &webhook(&silent, "on: all") + &ntfy(&unkind, "on: all");
    let settings = settings(&lab, &channels);
    let said = lab.gitsync(&["apply", "--yes", "--config", &settings]).exits(0).says("converged");
    lab.runs("web 1", "api 1", "welcome");
    for text in [
        format!("webhook at http://{down}: not told: lab: converged: connection refused"),
        format!("webhook at http://{}: not delivered before the end", silent.address),
        format!("ntfy at http://{}: not told: lab: converged: the answer is 403", unkind.address),
    ] {
        assert!(said.err.contains(&text), "no {text} in {}", said.err);
    }
    has_no_secret(&said.out);
    has_no_secret(&said.err);
    // Nobody is asked twice who said no.
    assert_eq!(unkind.posts().len(), 1);
}

#[test]
fn a_test_message_says_what_came_back_and_follows_nobody_elsewhere() {
    let (lab, hook, other) = (Lab::new(), Hook::new(), Hook::new());
    lab.gitsync(&["notify", "test"]).exits(1).says("docs/notifications.md");
    let settings = settings(&lab, &(webhook(&hook, "on: [drift]") + &ntfy(&hook, "on: all")));
    let test = || lab.gitsync(&["notify", "test", "--config", &settings]);
    let said = test().exits(0);
    let address = hook.address;
    let lines = [
        format!("webhook at http://{address}: taken (200 OK)"),
        format!("ntfy at http://{address}: taken (200 OK)"),
    ];
    assert_eq!(said.out, lines.map(|line| line + "\n").concat());
    signed(&hook.posts()[0]);
    hook.answers(&format!("307 Temporary Redirect\r\nlocation: http://{}/", other.address));
    let said = test().exits(1).says("FAILED: the answer is 307").says("taken (200 OK)");
    has_no_secret(&said.out);
    assert!(other.posts().is_empty());
    std::fs::write(lab.home().join("token"), "a b").unwrap();
    test().exits(1).says("token` has something in it that no token has");
    std::fs::remove_file(lab.home().join("token")).unwrap();
    test().exits(1).says("token` can't be read");
}
