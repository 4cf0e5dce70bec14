//! Healthy, unhealthy, slow, crashing; and the container's own health check.

use std::time::{Duration, Instant};

use crate::support::{App, command, until};

#[test]
fn a_healthy_app_says_its_version() {
    let answer = App::start(&[("APP_VERSION", "3")]).get("/health");
    assert_eq!((answer.status, answer.text()), (200, "3"));
}

#[test]
fn an_unhealthy_app_still_serves() {
    let app = App::start(&[("APP_HEALTH", "never")]);
    assert_eq!(app.get("/health").status, 503);
    assert_eq!(app.get("/").status, 200);
}

#[test]
fn an_app_becomes_healthy_after_its_time() {
    let start = Instant::now();
    let app = App::start(&[("APP_HEALTH", "after:500ms")]);
    let first = app.get("/health").status;
    assert!(first == 503 || start.elapsed() >= Duration::from_millis(500));
    until("health", || (app.get("/health").status == 200).then_some(()));
    assert!(start.elapsed() >= Duration::from_millis(500));
}

#[test]
fn a_slow_health_check_takes_its_time_and_nothing_else_does() {
    let app = App::start(&[("APP_HEALTH", "slow:400ms")]);
    let mut client = app.connect();
    let start = Instant::now();
    client.send("GET /health HTTP/1.1\r\n\r\n");
    assert_eq!(app.get("/").status, 200);
    assert!(start.elapsed() < Duration::from_millis(400));
    assert_eq!(client.answer().status, 200);
    assert!(start.elapsed() >= Duration::from_millis(400));
}

#[test]
fn a_crashing_app_exits_with_one_and_never_listens() {
    let mut app = App::launch(command(&[("APP_HEALTH", "crash")]));
    assert_eq!(app.line("").as_str(), "lab-app 1: crashes, as configured");
    assert_eq!(app.code(), Some(1));
}

#[test]
fn a_dying_app_is_healthy_first() {
    let start = Instant::now();
    let mut app = App::start(&[("APP_HEALTH", "dies:600ms")]);
    assert_eq!(app.get("/health").status, 200);
    assert_eq!(app.code(), Some(1));
    assert!(start.elapsed() >= Duration::from_millis(600));
}

#[test]
fn an_app_dies_when_asked() {
    let mut app = App::start(&[]);
    app.connect().send("POST /die HTTP/1.1\r\n\r\n");
    assert_eq!(app.code(), Some(1));
}

#[test]
fn an_old_app_answers_the_old_version_everywhere() {
    let app = App::start(&[("APP_VERSION", "2"), ("APP_HEALTH", "old:1.9-rc")]);
    for path in ["/", "/health"] {
        let answer = app.get(path);
        assert_eq!((answer.status, answer.text()), (200, "1.9-rc"));
        assert_eq!(answer.field("x-app-version"), Some("1.9-rc"));
    }
}

#[test]
fn the_health_check_command_tells_health_by_its_exit_code() {
    let check = |app: &App, arguments: &[&str]| {
        let port = app.tcp[0].to_string();
        let mut check = command(&[("APP_PORTS", &port)]);
        App::launch({
            check.arg("healthcheck").args(arguments);
            check
        })
        .code()
    };
    let good = App::start(&[]);
    let bad = App::start(&[("APP_HEALTH", "never")]);
    assert_eq!(check(&good, &[]), Some(0));
    assert_eq!(check(&bad, &[]), Some(1));
    let url = |app: &App, path: &str| format!("http://{}{path}", app.tcp[0]);
    assert_eq!(check(&good, &[&url(&bad, "/")]), Some(0));
    assert_eq!(check(&good, &[&url(&good, "/missing")]), Some(1));
    assert_eq!(check(&good, &["https://127.0.0.1/"]), Some(1));
    let gone = url(&good, "/");
    drop(good);
    assert_eq!(check(&bad, &[&gone]), Some(1));
}
