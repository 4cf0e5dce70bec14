//! `lab status`: what is up, where it is, what is wrong with it on purpose.

use gitsync_lab::{Backend, Host, Result};

use super::known::Known;
use super::{Named, fleet, say};

#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    lab: Named,
    /// Print only the lab's directory
    #[arg(long)]
    place: bool,
}

impl Status {
    pub fn run(&self) -> Result<()> {
        let lab = self.lab.find()?;
        let place = lab.place().display();
        if self.place {
            say(&format!("{place}\n"));
            return Ok(());
        }
        let mut text = self.hosts(&*lab)?;
        text += &format!("\nidentity    {place}/identity\nssh_config  {place}/ssh_config\n");
        text += &format!("fleet       {place}/fleet\n");
        for host in lab.hosts() {
            text += &format!("\n# nodes/{}.yaml\n{}", host.name(), fleet::node(&*lab, host)?);
        }
        say(&text);
        Ok(())
    }

    fn hosts(&self, lab: &dyn Backend) -> Result<String> {
        let known = Known::read(lab.place());
        let (name, kind, controller) = (&self.lab.name, lab.kind(), lab.spec().controller);
        let mut text =
            format!("lab `{name}` of {kind}s; the controller's address is {controller}\n");
        for host in lab.hosts() {
            text += &format!("  {}\n", line(lab, host, &known)?);
        }
        Ok(text)
    }
}

fn line(lab: &dyn Backend, host: &Host, known: &Known) -> Result<String> {
    let power = if lab.is_on(host)? { "on" } else { "off" };
    let faults = known.of(host.name()).join(", ");
    let line =
        format!("{:<10} {:<15} {power:<3}  {faults}", host.name(), host.address().to_string());
    Ok(line.trim_end().to_owned())
}
