//! A plan for a pull request: a table per node, collapsible diffs, and a bound on its size.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::{FileChange, Name, Plan, Step, Warning};

use super::super::lines::{headline, one_line, plain};
use super::{Filter, words};

/// The view is never longer than this many bytes: 60,000. Forges refuse comments above 65,536 characters.
pub const MARKDOWN_LIMIT: usize = 60_000;

/// Room kept for the closing lines.
const RESERVE: usize = 1_000;

/// No single table cell is longer than this many characters.
const CELL: usize = 600;

/// A plan in GitHub's Markdown; what does not fit is left out with a note that says so.
pub fn markdown(plan: &Plan, filter: &Filter) -> String {
    let mut page = Page { text: String::new(), cut: 0 };
    page.add(&format!("## Plan for {}\n\n", escape(&words::title(plan))));
    page.add(&format!("**{}**\n\n", words::summary(plan, filter)));
    page.notes("⛔ Refused", &plan.refusals, &Filter::default());
    page.notes("⚠️ Warnings", &plan.warnings, filter);
    for skipped in &plan.skipped {
        page.add(&format!(
            "- {} takes no part ({})\n",
            skipped.node,
            escape(&headline(&skipped.reason))
        ));
    }
    page.waits(plan, filter);
    let nodes = by_node(plan, filter);
    for (node, steps) in &nodes {
        page.table(node, steps);
    }
    for (_, step) in nodes.values().flatten() {
        page.diffs(step);
    }
    page.finish()
}

/// A step with the number of its wave.
type Placed<'a> = (usize, &'a Step);

fn by_node<'a>(plan: &'a Plan, filter: &Filter) -> BTreeMap<&'a Name, Vec<Placed<'a>>> {
    let mut nodes: BTreeMap<&Name, Vec<Placed>> = BTreeMap::new();
    for (number, wave) in plan.waves.iter().enumerate() {
        for step in wave.steps.iter().filter(|step| filter.shows_step(step)) {
            nodes.entry(&step.unit.node).or_default().push((number + 1, step));
        }
    }
    nodes
}

struct Page {
    text: String,
    cut: usize,
}

impl Page {
    /// Adds a part when it fits as a whole; else counts it as left out.
    fn add(&mut self, part: &str) -> bool {
        let fits = self.text.len() + part.len() <= MARKDOWN_LIMIT - RESERVE;
        if fits {
            self.text.push_str(part);
        } else {
            self.cut += 1;
        }
        fits
    }

    fn notes(&mut self, title: &str, notes: &[Warning], filter: &Filter) {
        let shown = |note: &&Warning| note.unit.as_ref().is_none_or(|unit| filter.shows(unit));
        let lines = notes.iter().filter(shown).map(|note| {
            format!("- {} (`{}`)\n", clip(&escape(&one_line(&note.message))), code(&note.code))
        });
        let lines: Vec<String> = lines.collect();
        if lines.is_empty() {
            return;
        }
        self.add(&format!("**{title}**\n\n"));
        for line in lines {
            self.add(&line);
        }
        self.add("\n");
    }

    fn waits(&mut self, plan: &Plan, filter: &Filter) {
        for (number, wave) in plan.waves.iter().enumerate() {
            if !wave.steps.iter().any(|step| filter.shows_step(step)) {
                continue;
            }
            if let Some(gate) = &wave.gate {
                self.add(&format!("- Wave {} {}\n", number + 1, escape(&words::gate(gate))));
            }
        }
    }

    fn table(&mut self, node: &Name, steps: &[Placed]) {
        let head =
            format!("\n### {node}\n\n| | Unit | Wave | Why | What people notice |\n|-|-|-|-|-|\n");
        if !self.add(&head) {
            self.cut += steps.len();
            return;
        }
        for (wave, step) in steps {
            let mut unit = format!("`{}`", step.unit.local());
            for gone in &step.replaces {
                let _ = write!(unit, "<br>replaces `{}`", gone.unit.local());
            }
            let reasons = step.reasons.iter().map(|reason| reason.0.as_str());
            let notices = step.notices.iter().map(|notice| notice.0.as_str());
            let (why, notice) = (cell(reasons), cell(notices));
            let symbol = step.action.symbol();
            self.add(&format!("| `{symbol}` | {unit} | {wave} | {why} | {notice} |\n"));
        }
    }

    fn diffs(&mut self, step: &Step) {
        for file in &step.files {
            let part = match &file.diff {
                Some(diff) => collapsed(step, file, diff),
                None => format!(
                    "\n`{}`: {} `{}` {}\n",
                    step.unit,
                    words::file_symbol(file.kind),
                    code(&file.destination),
                    words::file_note(file)
                ),
            };
            self.add(&part);
        }
    }

    fn finish(mut self) -> String {
        if self.cut > 0 {
            let parts =
                if self.cut == 1 { "1 part".to_owned() } else { format!("{} parts", self.cut) };
            let _ = write!(
                self.text,
                "\n_Cut: {parts} did not fit here. `gitsync plan` shows everything._\n"
            );
        }
        self.text
    }
}

fn collapsed(step: &Step, file: &FileChange, diff: &str) -> String {
    let longest = diff.lines().map(ticks).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let shown: Vec<String> = diff.lines().map(plain).collect();
    format!(
        "\n<details><summary><code>{}</code>: {} <code>{}</code></summary>\n\n{fence}diff\n{}\n{fence}\n\n</details>\n",
        step.unit,
        words::file_symbol(file.kind),
        html(&file.destination),
        shown.join("\n")
    )
}

/// The longest run of backticks.
fn ticks(line: &str) -> usize {
    line.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

fn cell<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let lines: Vec<String> = texts.map(escape).collect();
    clip(&lines.join("<br>"))
}

/// At most [`CELL`] characters, never ending within an escape.
fn clip(text: &str) -> String {
    if text.chars().count() <= CELL {
        return text.to_owned();
    }
    let short: String = text.chars().take(CELL).collect();
    let end = short.rfind([' ', ',']).unwrap_or(0);
    format!("{}…", short.get(..end).unwrap_or(""))
}

/// Text that Markdown shows as it is: no markup, no mention, no new line.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // A zero-width joiner keeps a forge from notifying whoever has that name.
            '@' => safe.push_str("@\u{200d}"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => {
                safe.push('\\');
                safe.push(c);
            }
            _ => safe.push(c),
        }
    }
    safe
}

fn html(text: &str) -> String {
    let text = plain(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Text within a code span.
fn code(text: &str) -> String {
    plain(text).replace('`', "'")
}
