//! `lab ssh`: a shell or a command on a host, as anybody would get one.

use std::ffi::OsString;
use std::fs;
use std::io::IsTerminal;

use gitsync_lab::{Error, Result};

use super::{Named, become_command, fleet, host};

#[derive(Debug, clap::Args)]
pub struct Ssh {
    #[command(flatten)]
    lab: Named,
    /// Who logs in: root, deploy (who may use sudo) or sync
    #[arg(long, default_value = "root")]
    user: String,
    /// The host
    host: String,
    /// The command; a shell without one
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Ssh {
    pub fn run(&self) -> Result<()> {
        let lab = self.lab.find()?;
        let host = host(&*lab, &self.host)?;
        if !lab.is_on(host)? {
            let flag = self.lab.flag();
            let (name, hint) = (host.name(), format!("`lab fault{flag} {} power-on`", host.name()));
            return Err(Error::Unknown(format!("{name} is off; {hint} powers it on")));
        }
        // The keys as they are now: `known_hosts` keeps those of the beginning, as a controller does.
        let known = lab.place().join("known_hosts.now");
        let write = fs::write(&known, fleet::known_hosts(&*lab)?);
        write.map_err(|source| Error::File { path: known.clone(), source })?;
        let mut words: Vec<OsString> = vec!["ssh".into(), "-F".into()];
        words.push(lab.place().join("ssh_config").into());
        words.extend(["-o".into(), format!("UserKnownHostsFile=\"{}\"", known.display()).into()]);
        words.extend(["-l".into(), self.user.clone().into()]);
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
            words.push("-t".into());
        }
        words.extend([host.name().into(), "--".into()]);
        words.extend(self.command.iter().cloned());
        become_command(lab.run(&words))
    }
}
