//! A plan for a terminal: waves with symbols, reasons, what people notice, and diffs.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::model::{Action, FileChange, FileChangeKind, Plan, Step, Warning, Wave};

use super::super::lines::{hanging, headline, plain};
use super::{Filter, words};

/// A plan for a terminal, ending with one summary line; styled with ANSI codes only when `color` says so.
pub fn human(plan: &Plan, filter: &Filter, color: bool) -> String {
    let mut page = Page { text: String::new(), color };
    page.line(&page.styled(Style::new().bold(), &words::title(plan)));
    for skipped in plan.skipped.iter().filter(|s| named(filter, s.node.as_str())) {
        let reason = headline(&skipped.reason);
        page.line(&format!("  {} takes no part ({reason})", skipped.node));
    }
    page.line("");
    let count = plan.waves.len();
    for (number, wave) in plan.waves.iter().enumerate() {
        page.wave(wave, number + 1, count, filter);
    }
    if plan.is_empty() && plan.refusals.is_empty() {
        page.line(&format!("{}\n", unchanged(plan)));
    }
    page.notes("Warnings", &plan.warnings, filter, AnsiColor::Yellow);
    page.notes("Refused", &plan.refusals, &Filter::default(), AnsiColor::Red);
    let summary = words::summary(plan, filter);
    page.line(&page.styled(Style::new().bold(), &summary));
    page.text
}

/// Why there is nothing to do: only nodes that were asked and answered are known to run a release.
fn unchanged(plan: &Plan) -> &'static str {
    match (plan.nodes.is_empty(), plan.skipped.is_empty()) {
        (true, true) => "Nobody was asked: this fleet has no nodes.",
        (true, false) => "Nothing changes: no node answers.",
        (false, true) => "Nothing changes: the nodes run this release.",
        (false, false) => "Nothing changes: the nodes that answer run this release.",
    }
}

fn named(filter: &Filter, node: &str) -> bool {
    filter.node.as_deref().is_none_or(|wanted| wanted == node)
}

struct Page {
    text: String,
    color: bool,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn wave(&mut self, wave: &Wave, number: usize, of: usize, filter: &Filter) {
        let mut steps = wave.steps.iter().filter(|step| filter.shows_step(step)).peekable();
        if steps.peek().is_none() {
            return;
        }
        let mut head = format!("Wave {number} of {of}");
        if let Some(gate) = &wave.gate {
            let _ = write!(head, ": {}", words::gate(gate));
        }
        self.line(&head);
        for step in steps {
            self.step(step);
        }
        self.line("");
    }

    fn step(&mut self, step: &Step) {
        let symbol = self.styled(action_style(step.action), step.action.symbol());
        let optional = if step.optional { " (optional)" } else { "" };
        self.line(&format!("  {symbol} {}{optional}", step.unit));
        for gone in &step.replaces {
            self.labelled("replaces", &gone.unit.to_string());
        }
        for reason in &step.reasons {
            self.labelled("why", &plain(&reason.0));
        }
        for notice in &step.notices {
            self.labelled("notice", &plain(&notice.0));
        }
        for file in &step.files {
            self.file(file);
        }
    }

    fn labelled(&mut self, label: &str, text: &str) {
        let label = self.styled(Style::new().dimmed(), &format!("{label:<8}"));
        self.line(&format!("      {label} {text}"));
    }

    fn file(&mut self, file: &FileChange) {
        let symbol = words::file_symbol(file.kind);
        let note = words::file_note(file);
        let note = if note.is_empty() { note } else { format!(" ({note})") };
        self.labelled("file", &format!("{symbol} {}{note}", plain(&file.destination)));
        if file.kind != FileChangeKind::Changed {
            return;
        }
        for line in file.diff.iter().flat_map(|diff| diff.lines()) {
            let shown = self.styled(diff_style(line), &plain(line));
            self.line(&format!("               │ {shown}"));
        }
    }

    fn notes(&mut self, title: &str, notes: &[Warning], filter: &Filter, color: AnsiColor) {
        let shown = |note: &&Warning| note.unit.as_ref().is_none_or(|unit| filter.shows(unit));
        let mut notes = notes.iter().filter(shown).peekable();
        if notes.peek().is_none() {
            return;
        }
        let style = Style::new().bold().fg_color(Some(color.into()));
        self.line(&format!("{}:", self.styled(style, title)));
        for note in notes {
            let mut lines = hanging(&note.message, "      ").into_iter();
            self.line(&format!("  {} [{}]", lines.next().unwrap_or_default(), plain(&note.code)));
            lines.for_each(|line| self.line(&line));
        }
        self.line("");
    }
}

fn action_style(action: Action) -> Style {
    let color = match action {
        Action::Create => AnsiColor::Green,
        Action::Update | Action::Repair => AnsiColor::Yellow,
        Action::Remove => AnsiColor::Red,
        Action::Replace => AnsiColor::Magenta,
    };
    Style::new().bold().fg_color(Some(color.into()))
}

fn diff_style(line: &str) -> Style {
    match line.as_bytes().first() {
        Some(b'+') => AnsiColor::Green.on_default(),
        Some(b'-') => AnsiColor::Red.on_default(),
        Some(b'@') => AnsiColor::Cyan.on_default(),
        _ => Style::new(),
    }
}
