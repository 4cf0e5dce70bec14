//! Starts the app on free loopback ports and speaks plain HTTP to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// No wait of a test is longer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A command without the caller's environment, on free loopback ports.
pub fn command(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab-app"));
    command.env_clear().env("APP_BIND", "127.0.0.1").env("APP_PORTS", "0");
    command.envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running app; killed when it goes out of scope.
pub struct App {
    child: Child,
    lines: Receiver<String>,
    /// Where it serves HTTP.
    pub tcp: Vec<SocketAddr>,
    /// Where it echoes datagrams.
    pub udp: Vec<SocketAddr>,
}

impl App {
    /// Starts it and waits until it listens.
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let mut app = App::launch(command(environment));
        let line = app.line("listening");
        let addresses = |key: &str| {
            let list = line.split(' ').find_map(|word| word.strip_prefix(key)).unwrap();
            let items = list.split(',').filter(|item| !item.is_empty());
            items.map(|item| item.parse().unwrap()).collect()
        };
        app.tcp = addresses("tcp=");
        app.udp = addresses("udp=");
        app
    }

    /// Starts it and doesn't wait.
    pub fn launch(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        App { child, lines, tcp: Vec::new(), udp: Vec::new() }
    }

    /// The next line of its output with these words.
    pub fn line(&self, words: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).expect("the line comes in time");
            if line.contains(words) {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code, which must come in time.
    pub fn code(&mut self) -> Option<i32> {
        wait(&mut self.child).code()
    }

    /// What it said on standard error, after its end.
    pub fn complaints(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub fn connect(&self) -> Client {
        Client::to(self.tcp[0])
    }

    /// One GET on a connection of its own.
    pub fn get(&self, target: &str) -> Answer {
        self.connect().get(target)
    }

    /// One POST on a connection of its own.
    pub fn post(&self, target: &str, body: &[u8]) -> Answer {
        self.connect().post(target, body)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a child's end with a deadline.
pub fn wait(child: &mut Child) -> ExitStatus {
    until("the process ends", || child.try_wait().unwrap())
}

/// Asks again and again until there is something.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < end, "in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One connection.
pub struct Client {
    pub stream: BufReader<TcpStream>,
}

impl Client {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    pub fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: lab\r\n\r\n"));
        self.answer()
    }

    pub fn post(&mut self, target: &str, body: &[u8]) -> Answer {
        let length = body.len();
        self.send(format!(
            "POST {target} HTTP/1.1\r\nHost: lab\r\nContent-Length: {length}\r\n\r\n"
        ));
        self.send(body);
        self.answer()
    }

    /// The next answer with its body.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        let length = answer.field("content-length").unwrap().parse().unwrap();
        answer.body.resize(length, 0);
        self.stream.read_exact(&mut answer.body).unwrap();
        answer
    }

    /// The next answer up to its body.
    pub fn head(&mut self) -> Answer {
        let line = self.line();
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap();
        let mut answer =
            Answer { status: status.parse().unwrap(), fields: Vec::new(), body: Vec::new() };
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { return answer };
            answer.fields.push((name.to_ascii_lowercase(), value.to_string()));
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(line.ends_with("\r\n"), "a whole line: {line:?}");
        line.trim_end().to_string()
    }

    /// Everything until the other side closes or resets, or none if it does neither so long.
    pub fn rest(&mut self, patience: Duration) -> Option<Vec<u8>> {
        self.stream.get_ref().set_read_timeout(Some(patience)).unwrap();
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            _ => Some(bytes),
        }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}
