//! `gitsync init`: a small fleet repository that is valid from the start.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::ToSocketAddrs as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::check;
use crate::model::Name;
use crate::transport::script::shell_quote;

use super::context::Global;
use super::init_files::{self, Host, Start};
use super::init_git::{self, Committed};
use super::problem::Problem;

/// Make a fleet repository: small, commented and valid.
#[derive(Debug, Args)]
pub struct Init {
    /// Where; made when it is not there
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
    /// A machine of the fleet, such as vps1=deploy@192.0.2.10; this machine, as a directory, when none is named
    #[arg(long, value_name = "NODE=[USER@]HOST", value_parser = host)]
    with: Vec<Host>,
}

/// Files that are not worth an error when people have one already: theirs stays.
const THEIRS: [&str; 3] = ["README.md", ".gitignore", ".gitattributes"];

impl Init {
    /// Writes the files, all or none, then makes a repository and a first commit of them where it can.
    pub fn run(&self, global: &Global) -> Result<u8, Problem> {
        let place = place(&self.directory)?;
        let name = place.file_name().map(|name| name.to_string_lossy().into_owned());
        let fleet = label(&name.unwrap_or_default(), "fleet");
        let start = self.start(&place)?;
        let mut files = init_files::files(&fleet, &start);
        for (kind, schema) in check::schema::schemas() {
            let text = serde_json::to_string_pretty(&schema)? + "\n";
            files.insert(format!("schema/{kind}.json"), text);
        }
        let kept = unless_theirs(&place, &mut files)?;
        let mut made = Made::default();
        for (path, text) in &files {
            made.file(&place.join(path), text)?;
        }
        if let Start::Here { directory, .. } = &start {
            made.ignored(Path::new(directory))?;
        }
        let paths: Vec<&str> = files.keys().map(String::as_str).collect();
        let committed = init_git::commit(&place, &paths)?;
        made.stays();
        if !global.quiet {
            anstream::print!("{}", self.told(&paths, &kept, &committed));
        }
        Ok(0)
    }

    fn start(&self, place: &Path) -> Result<Start, Problem> {
        for (at, host) in self.with.iter().enumerate() {
            if self.with.iter().skip(at + 1).any(|other| other.name == host.name) {
                return Err(Problem::new(format!("two machines are called `{}`", host.name)));
            }
        }
        if !self.with.is_empty() {
            return Ok(Start::Hosts(self.with.clone()));
        }
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let node = label(hostname.split('.').next().unwrap_or_default(), "this-machine");
        let directory = place.join(".gitsync").join(node.as_str()).display().to_string();
        Ok(Start::Here { node, directory })
    }

    fn told(&self, paths: &[&str], kept: &[&str], committed: &Committed) -> String {
        let mut text = format!("A fleet repository in {}:\n", self.directory.display());
        let width = paths.iter().filter(|path| init_files::told(path).is_some());
        let width = width.map(|path| path.len()).max().unwrap_or(0);
        for path in paths {
            if let Some(what) = init_files::told(path) {
                text.push_str(&format!("  {path:width$}  {what}\n"));
            }
        }
        for path in kept {
            text.push_str(&format!("{path} was there already and stays as it is.\n"));
        }
        text.push_str(&committed.told());
        text.push_str("\nNext:\n");
        if self.directory != Path::new(".") {
            text.push_str(&format!(
                "  cd {}\n",
                shell_quote(&self.directory.display().to_string())
            ));
        }
        text.push_str(&committed.commands());
        for (command, what) in [
            ("gitsync validate", "every problem of every file"),
            ("gitsync plan", "what would change where, and why"),
            ("gitsync apply", "do it; Ctrl-C puts everything back"),
        ] {
            text.push_str(&format!("  {command:18} # {what}\n"));
        }
        text
    }
}

/// The directory without links, also when it is not there yet.
fn place(directory: &Path) -> Result<PathBuf, Problem> {
    let full = std::path::absolute(directory)?;
    let there = full.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let rest = full.strip_prefix(there).unwrap_or(Path::new(""));
    let real = there.canonicalize()?;
    let place = if rest.as_os_str().is_empty() { real } else { real.join(rest) };
    if !init_files::is_writable_path(&place) {
        let shown = place.display().to_string();
        return Err(Problem::new(format!("`{}` can't stand in a YAML file", shown.escape_debug()))
            .hint("give the directory a name without control characters, in UTF-8"));
    }
    if place.join("fleet.yaml").symlink_metadata().is_ok() {
        return Err(Problem::new(format!("{} has a fleet.yaml already", directory.display()))
            .hint(
                "`gitsync validate` says how it is; `gitsync init DIR` makes another one elsewhere",
            ));
    }
    Ok(place)
}

/// Takes out what people have already; anything else that is in the way is an error.
fn unless_theirs(
    place: &Path,
    files: &mut BTreeMap<String, String>,
) -> Result<Vec<&'static str>, Problem> {
    let is_there = |path: &str| place.join(path).symlink_metadata().is_ok();
    let mut kept = THEIRS.to_vec();
    kept.retain(|path| is_there(path) && files.remove(*path).is_some());
    let taken: Vec<&str> = files.keys().map(String::as_str).filter(|path| is_there(path)).collect();
    if taken.is_empty() {
        return Ok(kept);
    }
    Err(Problem::new(format!("there already: {}", taken.join(", ")))
        .hint("nothing is overwritten; name an empty directory, or move these away"))
}

/// Files and directories that were made; they go again unless they may stay.
#[derive(Default)]
struct Made {
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

impl Made {
    fn file(&mut self, path: &Path, text: &str) -> Result<(), Problem> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let absent = parent.ancestors().take_while(|directory| !directory.exists());
        let absent: Vec<PathBuf> = absent.map(Path::to_path_buf).collect();
        for directory in absent.into_iter().rev() {
            std::fs::create_dir(&directory).map_err(|error| wrong(&directory, &error))?;
            self.directories.push(directory);
        }
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
        let mut file = file.map_err(|error| wrong(path, &error))?;
        self.files.push(path.to_path_buf());
        file.write_all(text.as_bytes()).map_err(|error| wrong(path, &error))
    }

    /// A directory beside the node's own says that Git ignores it, whatever the repository says.
    fn ignored(&mut self, node: &Path) -> Result<(), Problem> {
        let ignore = node.parent().unwrap_or(node).join(".gitignore");
        if ignore.exists() { Ok(()) } else { self.file(&ignore, "*\n") }
    }

    fn stays(&mut self) {
        self.files.clear();
        self.directories.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
        for directory in self.directories.iter().rev() {
            let _ = std::fs::remove_dir(directory);
        }
    }
}

fn wrong(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(format!("{} can't be made: {error}", path.display()))
}

/// The nearest name that a text can be; another one when nothing is left of it.
fn label(text: &str, otherwise: &str) -> Name {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("-");
    let short: String = joined.chars().take(63).collect();
    let name = Name::new(short.trim_end_matches('-')).or_else(|_| Name::new(otherwise));
    // `otherwise` is a name.
    name.unwrap_or_else(|_| unreachable!("`{otherwise}` is a name"))
}

/// `NODE=[USER@]HOST`; a host's name is looked up, because services bind to an address.
fn host(text: &str) -> Result<Host, String> {
    let (name, rest) = text.split_once('=').ok_or("write it as vps1=deploy@192.0.2.10")?;
    let name = Name::new(name).map_err(|error| error.to_string())?;
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host.to_owned()),
        None => (None, rest.to_owned()),
    };
    for word in user.iter().chain([&host]) {
        let first = word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':');
        let inner = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
        if !first || !word.chars().all(inner) {
            return Err(format!("`{word}` is no user or host"));
        }
    }
    let found = (host.as_str(), 22_u16).to_socket_addrs();
    let found: Vec<_> = found.map_err(|error| format!("`{host}`: {error}"))?.collect();
    let address = found.iter().find(|address| address.is_ipv4()).or(found.first());
    let address = address.ok_or_else(|| format!("`{host}` has no address"))?.ip();
    Ok(Host { name, host, address, user })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_name() {
        for (text, name) in [
            ("Home Lab", "home-lab"),
            ("--x--", "x"),
            ("…", "fleet"),
            ("", "fleet"),
            ("pi.local", "pi-local"),
            (&format!("{}-b", "a".repeat(62)), &"a".repeat(62)),
        ] {
            assert_eq!(label(text, "fleet").as_str(), name, "{text}");
        }
    }

    #[test]
    fn a_machine_is_a_name_and_how_ssh_gets_there() {
        let vps1 = host("vps1=deploy@192.0.2.10").unwrap();
        assert_eq!((vps1.name.as_str(), vps1.user.as_deref()), ("vps1", Some("deploy")));
        assert_eq!(
            (vps1.host.as_str(), vps1.address.to_string()),
            ("192.0.2.10", "192.0.2.10".into())
        );
        assert_eq!(host("nas=fd00::1").unwrap().address.to_string(), "fd00::1");
        for wrong in ["vps1", "V=192.0.2.1", "a=", "a=-x", "a=b@-oProxyCommand=x", "a=b c"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_made_goes_again_unless_it_may_stay() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b/file");
        let mut made = Made::default();
        made.file(&path, "x").unwrap();
        drop(made);
        assert!(!home.path().join("a").exists());
        let mut made = Made::default();
        made.file(&path, "x").unwrap();
        assert!(made.file(&path, "y").is_err());
        made.stays();
        drop(made);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "x");
    }
}
