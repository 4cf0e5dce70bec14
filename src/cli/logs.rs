//! `gitsync logs`: the last lines that units' programs logged, wherever they run.

use std::time::Duration;

use clap::Args;

use crate::engine::{Masked, Redactor};
use crate::model::{Unit, UnitId};
use crate::transport::Transport;

use super::context::{self, Global, Place};
use super::look::{Look, look};
use super::problem::Problem;

/// Between two looks at a log that is followed.
const PAUSE: Duration = Duration::from_secs(1);
/// Lines that are asked for at each look, so that a burst between two of them is not cut.
const WINDOW: u32 = 2000;

/// Show the last lines that a unit's program logged: of containers, processes, and what a gateway's command tells.
///
/// Secrets of the unit are masked as `[secret]`, for which the controller's key is needed.
#[derive(Debug, Args)]
pub struct LogsCommand {
    /// The unit, as in `vps1/service.web`; `service.web` or `web` on every node that has it
    #[arg(value_name = "UNIT")]
    unit: String,
    #[command(flatten)]
    place: Place,
    /// How many lines of each
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    lines: u32,
    /// Go on with what comes, until it is interrupted
    #[arg(long, short)]
    follow: bool,
    /// Show lines of units whose secrets can't be masked here as they are
    #[arg(long)]
    unmasked: bool,
}

/// A unit whose log is shown.
struct Source<'a> {
    id: UnitId,
    transport: &'a dyn Transport,
    redactor: Option<Redactor>,
    seen: Vec<String>,
}

impl LogsCommand {
    /// Prints lines as they are; with several units each after the unit's name.
    pub async fn run(&self, global: &Global) -> Result<u8, Problem> {
        let look = look(global, &self.place).await?;
        let mut sources = self.sources(&look)?;
        let several = sources.len() > 1;
        let fleet = &look.wanted.fleet.name;
        let mut asked = if self.follow { WINDOW.max(self.lines) } else { self.lines };
        let mut first = true;
        loop {
            for source in &mut sources {
                let lines = source.transport.logs(fleet, &source.id, asked).await?;
                let shown =
                    if first { last(&lines, self.lines) } else { new(&source.seen, &lines) };
                for line in shown {
                    source.print(line, several);
                }
                source.seen = lines;
            }
            if !self.follow {
                return Ok(0);
            }
            (asked, first) = (WINDOW, false);
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn sources<'a>(&self, look: &'a Look) -> Result<Vec<Source<'a>>, Problem> {
        let vault = context::vault(&look.settings);
        let mut found = Vec::new();
        for unit in running(look).filter(|unit| is_meant(&unit.id, &self.unit)) {
            let Some(transport) = look.nodes.get(&unit.id.node) else { continue };
            let redactor = match Masked::of(unit, &look.wanted.release, vault.as_ref()) {
                Ok(redactor) => Some(redactor),
                Err(_) if self.unmasked => None,
                Err(why) => {
                    let message =
                        format!("{} has secrets that can't be masked here: {why}", unit.id);
                    return Err(
                        Problem::new(message).hint("--unmasked shows its lines as they are")
                    );
                }
            };
            let (id, transport) = (unit.id.clone(), transport.as_ref());
            found.push(Source { id, transport, redactor, seen: Vec::new() });
        }
        if found.is_empty() {
            return Err(self.unknown(look));
        }
        Ok(found)
    }

    fn unknown(&self, look: &Look) -> Problem {
        let mut names: Vec<String> = running(look).map(|unit| unit.id.to_string()).collect();
        names.sort();
        let silent = look.observed.nodes.keys().filter(|node| look.observed.report(node).is_none());
        let silent: Vec<String> = silent.map(ToString::to_string).collect();
        let mut problem = Problem::new(format!("no node runs `{}`", self.unit.escape_debug()));
        if !silent.is_empty() {
            problem =
                problem.hint(format!("not asked, as they don't answer: {}", silent.join(", ")));
        }
        match names.is_empty() {
            true => problem,
            false => problem.hint(format!("there are {}", names.join(", "))),
        }
    }
}

/// What the nodes run, by their own manifests.
fn running(look: &Look) -> impl Iterator<Item = &Unit> {
    look.observed.nodes.keys().filter_map(|node| look.observed.report(node)).flat_map(|report| {
        let units = report.units.values().filter_map(|unit| unit.current.as_ref());
        units.filter_map(|digest| report.manifests.get(digest))
    })
}

/// Whether a unit is meant by its id, by its id without the node, or by its name alone.
fn is_meant(id: &UnitId, word: &str) -> bool {
    let named = id.name.as_ref().is_some_and(|name| name.as_str() == word);
    id.to_string() == word || id.local() == word || named
}

impl Source<'_> {
    fn print(&self, line: &str, several: bool) {
        let line = self.redactor.as_ref().map_or_else(|| line.to_owned(), |it| it.text(line));
        // A program's output may not steer the terminal of who reads it.
        let line = line.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}");
        match several {
            true => anstream::println!("{} | {line}", self.id),
            false => anstream::println!("{line}"),
        }
    }
}

fn last(lines: &[String], most: u32) -> &[String] {
    let from = lines.len().saturating_sub(most as usize);
    lines.get(from..).unwrap_or_default()
}

/// What came since the last look: what stands after the longest end of it that the new one begins with.
fn new<'a>(seen: &[String], lines: &'a [String]) -> &'a [String] {
    let known = (0..=seen.len()).find_map(|from| {
        let end = seen.get(from..)?;
        lines.starts_with(end).then_some(end.len())
    });
    lines.get(known.unwrap_or(0)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.chars().map(|c| c.to_string()).collect()
    }

    #[test]
    fn what_was_shown_is_not_shown_again_and_nothing_new_is_left_out() {
        for (seen, now, shown) in [
            ("", "ab", "ab"),
            ("ab", "ab", ""),
            ("ab", "abc", "c"),
            ("abc", "bcde", "de"),
            ("abc", "xyz", "xyz"),
            ("aa", "aaa", "a"),
            ("abc", "", ""),
        ] {
            assert_eq!(new(&lines(seen), &lines(now)), lines(shown), "{seen} {now}");
        }
    }

    #[test]
    fn a_unit_is_meant_by_its_id_its_local_name_or_its_name() {
        let id: UnitId = "vps1/service.web@dev".parse().unwrap();
        for word in ["vps1/service.web@dev", "service.web@dev", "web"] {
            assert!(is_meant(&id, word), "{word}");
        }
        for word in ["vps1", "service.web", "vps2/service.web@dev", "we"] {
            assert!(!is_meant(&id, word), "{word}");
        }
    }
}
