//! Single requests, and waiting for something.

use std::time::{Duration, Instant};

use gitsync_lab::traffic::{get, post, wait_until};

use crate::servers::{answer, app};

#[test]
fn one_request_tells_status_headers_and_content() {
    let server = answer(|asked| app(503, "3", asked.header("host"), asked));
    let reply = get(server.addr, "shop.example", "/").unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (503, "yes"));
    assert_eq!((reply.version(), reply.host()), (Some("3"), Some("shop.example")));
    let reply = post(server.addr, "shop.example", "/echo", b"12345").unwrap();
    assert_eq!(reply.header("x-app-body-length"), Some("5"));
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn one_request_can_be_made_inside_a_runtime() {
    let server = answer(|asked| app(200, "3", "a", asked));
    assert_eq!(get(server.addr, "x", "/").unwrap().status, 200);
}

#[test]
fn one_request_that_fails_says_how() {
    let server = answer(|_| None);
    let error = get(server.addr, "x", "/").unwrap_err();
    assert_eq!(error, "waiting for the answer: connection closed before message completed");
    let error = get(server.addr, "not a host\n", "/").unwrap_err();
    assert!(error.starts_with("making the request: "), "{error}");
}

#[test]
fn waiting_ends_with_the_first_success_or_with_the_last_reason() {
    let mut looks = 0;
    let found = wait_until(Duration::from_secs(20), "the third look", || {
        looks += 1;
        if looks == 3 { Ok(looks) } else { Err(format!("look {looks}")) }
    });
    assert_eq!(found, Ok(3));
    let begun = Instant::now();
    let never: Result<(), _> =
        wait_until(Duration::from_millis(200), "a miracle", || Err("none yet".to_owned()));
    assert_eq!(never, Err("a miracle: not within 0.2 s: none yet".to_owned()));
    assert!(begun.elapsed() >= Duration::from_millis(200));
}
