//! `lab up`: brings a lab up that stays.

use gitsync_lab::{Backend, HostSpec, Kind, Mount, Result, Spec, Tree};

use super::{Named, fleet, say};

/// Room on a host's own disk, in MiB: enough for gitsync, quick to fill.
const DISK: u32 = 64;

#[derive(Debug, clap::Args)]
pub struct Up {
    /// How many hosts: h1, h2…
    #[arg(default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=200))]
    hosts: u8,
    #[command(flatten)]
    lab: Named,
    /// systemd as the first process of each
    #[arg(long)]
    systemd: bool,
    /// A Docker engine of its own on each
    #[arg(long)]
    docker: bool,
    /// Busybox with sshd and sudo and nothing else; gitsync's root has a space in its name
    #[arg(long, conflicts_with_all = ["systemd", "docker"])]
    poor: bool,
    /// What hosts are made of
    #[arg(long, value_enum, default_value = "namespaces")]
    backend: Kind,
}

impl Up {
    pub fn run(&self) -> Result<()> {
        self.backend.check()?;
        let tree = if self.poor { Tree::Poor } else { Tree::Whole };
        if !tree.is_there() {
            eprintln!("building the files of the hosts, once: about half a minute");
            tree.ensure()?;
        }
        let spec = Spec::of(self.hosts, |host| self.shape(host));
        let mut lab = self.backend.up(&self.lab.name, &spec)?;
        let written = fleet::write(&*lab, &self.lab.name);
        if let Err(error) = written {
            let _ = lab.down();
            return Err(error);
        }
        self.say_next(&*lab);
        Ok(())
    }

    fn shape(&self, host: HostSpec) -> HostSpec {
        // Containers get no disk of their own: that takes the machine's loop devices.
        let disk = |host: HostSpec, path: &str| match self.backend {
            Kind::Namespaces => host.mount(Mount::Disk(path.to_owned(), DISK)),
            Kind::Container => host,
        };
        if self.poor {
            return disk(host.poor(), "/data");
        }
        let host = disk(host.cron(), "/var/lib/gitsync");
        let host = if self.docker { host.docker() } else { host };
        if self.systemd { host.systemd() } else { host }
    }

    fn say_next(&self, lab: &dyn Backend) {
        let (name, flag, place) = (&self.lab.name, self.lab.flag(), lab.place().display());
        let hosts = if self.hosts == 1 { "host is" } else { "hosts are" };
        say(&format!(
            "{} {hosts} up in the lab `{name}`; a fleet to begin with is in {place}/fleet\n  \
             lab run{flag} -- gitsync …     gitsync, or anything, where the controller is\n  \
             lab ssh{flag} h1               a shell on a host; `lab fault{flag} h1 …` breaks it\n  \
             lab down{flag}                 ends it all; `lab status{flag}` says what there is\n",
            self.hosts
        ));
    }
}
