//! Standard output and error as commands use them: colour, terminal or not, progress.

use std::io::IsTerminal;

use crate::report::lines::one_line;
use crate::report::progress::{Live, Progress};

use super::context::{Format, Global};

/// Whether text for people on standard error may have colour.
pub fn colour() -> bool {
    let wanted = anstream::AutoStream::choice(&std::io::stderr());
    wanted != anstream::ColorChoice::Never
}

/// Whether text for people on standard output may have colour.
pub fn colour_out() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

/// How a rollout's events are told.
pub fn progress(global: &Global, format: Format) -> Progress {
    let out = Box::new(std::io::stdout());
    match format {
        Format::Json => Progress::Json(out),
        Format::Text if global.quiet => Progress::Quiet(out),
        Format::Text if std::io::stdout().is_terminal() => Progress::Live(Live::default()),
        Format::Text => Progress::Lines(out),
    }
}

/// Prints a value as JSON.
pub fn json(value: &impl serde::Serialize) -> Result<u8, super::problem::Problem> {
    anstream::println!("{}", serde_json::to_string_pretty(value)?);
    Ok(0)
}

/// Asks a question at the terminal; no without one.
pub fn confirmed(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    anstream::eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Rows as columns, each as wide as its widest cell; whatever a cell says, its row is one line.
pub fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A point in time as people read it, in UTC.
pub fn when(at: crate::model::Timestamp) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn a_cell_of_several_lines_breaks_no_table() {
        let cells = [["A", "B"], ["one\n  two\u{1b}[2J\r\n", "x"], ["-", "y"]];
        let rows: Vec<Vec<String>> =
            cells.iter().map(|row| row.iter().map(|&cell| cell.to_owned()).collect()).collect();
        let lines = ["A            B", "one two\u{fffd}[2J  x", "-            y"];
        assert_eq!(table(&rows), lines.map(|line| format!("{line}\n")).concat());
    }
}
