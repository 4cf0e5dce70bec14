//! How what was seen is told.

use std::time::Duration;

use gitsync_lab::traffic::{Answer, Arrival, Outcome, Seen};

fn answered(at: u64, version: &str, host: &str) -> Answer {
    let outcome = Outcome::Answered {
        status: 200,
        version: Some(version.to_owned()),
        host: Some(host.to_owned()),
        bytes: 3,
        arrival: Arrival::NothingSent,
    };
    let (at, took) = (Duration::from_millis(at), Duration::from_millis(10));
    Answer { at, took, method: "GET".to_owned(), outcome }
}

fn failed(at: u64, took: u64) -> Answer {
    let outcome = Outcome::Failed { reason: "connecting: refused".to_owned() };
    let (at, took) = (Duration::from_millis(at), Duration::from_millis(took));
    Answer { at, took, method: "POST".to_owned(), outcome }
}

fn seen(answers: Vec<Answer>) -> Seen {
    Seen { sent: answers.len(), in_flight: 0, answers }
}

#[test]
fn a_summary_tells_failures_and_who_answered_when() {
    let mut answers: Vec<_> = (0..=32).map(|at| answered(at * 100, "1", "vps2")).collect();
    answers.extend([failed(3300, 5), failed(3400, 40)]);
    answers.extend((35..50).map(|at| answered(at * 100, "2", "vps1")));
    let seen = seen(answers);
    assert_eq!(
        seen.summary(),
        "50 requests, 2 failed; slowest 0.040 s, longest time without an answer 0.300 s\n  \
         first failure: POST at 3.3 s after 0.005 s: failed connecting: refused\n  \
         last failure: POST at 3.4 s after 0.040 s: failed connecting: refused\n  \
         failures: failed connecting: refused\n  \
         0.0–3.2 s: version 1 from vps2 (33)\n  \
         3.3–3.4 s: failed connecting: refused (2)\n  \
         3.5–4.9 s: version 2 from vps1 (15)"
    );
}

#[test]
fn answers_that_take_turns_are_told_by_slices() {
    let turn =
        |at: u64| answered(at * 100, if at < 50 { "1" } else { "2" }, ["a", "b"][at as usize % 2]);
    let summary = seen((0..=100).map(turn).collect()).summary();
    let lines: Vec<_> = summary.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "  0.0–4.9 s: version 1 from a × 25; version 1 from b × 25 (50)",
            "  5.0–9.9 s: version 2 from a × 25; version 2 from b × 25 (50)",
            "  10.0–10.0 s: version 2 from a (1)",
        ]
    );
}

#[test]
fn gaps_count_from_the_start_and_to_the_last_failure() {
    let late = seen(vec![failed(0, 0), answered(490, "1", "a"), answered(600, "1", "a")]);
    assert_eq!(late.longest_gap(), Duration::from_millis(500));
    let ended = seen(vec![answered(0, "1", "a"), failed(100, 0), failed(900, 100)]);
    assert_eq!(ended.longest_gap(), Duration::from_millis(990));
}

#[test]
fn requests_without_an_outcome_are_not_flawless() {
    let lost = Seen { sent: 2, ..seen(vec![answered(0, "1", "a")]) };
    assert_eq!(lost.lost(), 1);
    assert!(lost.failures().is_empty());
    assert!(lost.summary().contains("1 without an outcome"), "{}", lost.summary());
    std::panic::catch_unwind(|| lost.assert_flawless()).expect_err("one is lost");
}

#[test]
fn a_reload_excuses_one_dropped_connection_and_nothing_else() {
    let with = |reason: &str, took: u64, times: u64| {
        let outcome = Outcome::Failed { reason: format!("waiting for the answer: {reason}") };
        let failure = |at| Answer { outcome: outcome.clone(), ..failed(at, took) };
        let mut answers = vec![answered(0, "1", "a")];
        answers.extend((1..=times).map(failure));
        let seen = seen(answers);
        std::panic::catch_unwind(|| seen.assert_flawless_over_reloads(1)).is_ok()
    };
    let (closed, reset) =
        ("connection closed before message completed", "Connection reset by peer (os error 104)");
    assert!(with(closed, 13, 0) && with(closed, 13, 1) && with(reset, 1, 1));
    assert!(!with(closed, 13, 2), "two for one reload");
    assert!(!with(closed, 5000, 1), "it was waited for");
    assert!(!with("Connection refused (os error 111)", 1, 1), "nobody listened");
}

#[test]
fn every_answer_is_saved_as_a_line_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/traffic.jsonl");
    seen(vec![answered(1, "1", "vps1"), failed(20, 5)]).save(&path).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        lines[0],
        serde_json::json!({
            "at_ms": 1.0, "method": "GET", "took_ms": 10.0, "outcome": "answered", "status": 200,
            "version": "1", "host": "vps1", "bytes": 3, "arrival": "nothing_sent",
        })
    );
    assert_eq!(lines[1]["reason"], "connecting: refused");
}
