//! The channel to this machine: the same node script, run by this machine's shell.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::channel::{Answer, Channel};
use super::{Dial, TransportError, script};
use crate::model::AbsPath;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const INSTALL_DEADLINE: Duration = Duration::from_secs(30);

/// Runs the node script on this machine, below a root of its own, in a clean environment.
#[derive(Clone, Debug)]
pub struct LocalChannel {
    root: AbsPath,
    shell: Vec<String>,
    environment: Vec<(String, String)>,
}

fn failed(what: &str, error: &std::io::Error) -> TransportError {
    TransportError::Unreachable(format!("{what}: {error}"))
}

impl LocalChannel {
    /// A channel whose script lives below `root`; the home directory is that of this process.
    pub fn new(root: AbsPath, home: &str) -> Self {
        let environment = [("PATH", PATH), ("HOME", home)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        Self { root, shell: vec!["sh".to_owned()], environment }
    }

    /// With another shell than `sh`, as program and arguments.
    pub fn with_shell(mut self, shell: &[&str]) -> Self {
        self.shell = shell.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// With one more variable in the script's environment.
    pub fn with_variable(mut self, key: &str, value: &str) -> Self {
        self.environment.retain(|(name, _)| name != key);
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    async fn call(
        &self,
        arguments: &[String],
        input: Vec<u8>,
        deadline: Duration,
    ) -> Result<Answer, TransportError> {
        let child = self.spawn(arguments)?;
        let group = child.id();
        match tokio::time::timeout(deadline, exchange(child, input)).await {
            Ok(answer) => answer.map_err(|error| failed("running the node script", &error)),
            Err(_) => {
                end_group(group).await;
                let seconds = deadline.as_secs();
                Err(TransportError::Unreachable(format!("no answer within {seconds} s")))
            }
        }
    }

    /// The first of `arguments` is `sh`, which the channel's own shell replaces.
    fn spawn(&self, arguments: &[String]) -> Result<Child, TransportError> {
        let mut words = self.shell.iter().chain(arguments.iter().skip(1));
        let program = words.next().map_or("sh", String::as_str);
        Command::new(program)
            .args(words)
            .env_clear()
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C at the terminal is the controller's to handle; the node's work goes on.
            .process_group(0)
            .kill_on_drop(false)
            .spawn()
            .map_err(|error| failed(program, &error))
    }

    async fn install(&self) -> Result<(), TransportError> {
        let text = script::script_text().as_bytes().to_vec();
        let arguments = script::install_arguments(&self.root);
        let answer = self.call(&arguments, text, INSTALL_DEADLINE).await?;
        if answer.status == Some(0) {
            return Ok(());
        }
        let complaint = answer.complaint();
        Err(TransportError::Unreachable(format!("installing the node script: {complaint}")))
    }
}

/// Writes all input and reads all output at once, so that neither side waits for the other.
async fn exchange(mut child: Child, input: Vec<u8>) -> Result<Answer, std::io::Error> {
    let stdin = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let write = async move {
        if let Some(mut pipe) = stdin {
            // A script that fails early reads no further; its answer says why.
            let _ = pipe.write_all(&input).await;
            let _ = pipe.shutdown().await;
        }
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let read_out = async {
        if let Some(mut pipe) = stdout {
            pipe.read_to_end(&mut out).await?;
        }
        Ok::<(), std::io::Error>(())
    };
    let read_err = async {
        if let Some(mut pipe) = stderr {
            pipe.read_to_end(&mut err).await?;
        }
        Ok::<(), std::io::Error>(())
    };
    let ((), out_read, err_read) = tokio::join!(write, read_out, read_err);
    out_read?;
    err_read?;
    let status = child.wait().await?.code();
    Ok(Answer { stdout: out, stderr: err, status })
}

/// Ends a script that took too long, by its process group; whatever state that leaves, the next verb finishes it.
async fn end_group(group: Option<u32>) {
    if let Some(group) = group {
        let target = format!("-{group}");
        let _ = Command::new("kill").args(["-KILL", "--", &target]).status().await;
    }
}

#[async_trait]
impl Channel for LocalChannel {
    async fn run(
        &self,
        verb: &str,
        request: Vec<u8>,
        deadline: Duration,
    ) -> Result<Answer, TransportError> {
        let arguments = script::verb_arguments(&self.root, verb);
        let answer = self.call(&arguments, request.clone(), deadline).await?;
        if !answer.script_is_missing() {
            return Ok(answer);
        }
        self.install().await?;
        self.call(&arguments, request, deadline).await
    }

    async fn dial(&self, target: SocketAddr) -> Result<Dial, TransportError> {
        Ok(Dial::Direct(target))
    }
}
