//! `gitsync import` on stacks as public projects have them, against the real Docker Compose.

#[path = "../support/commit.rs"]
mod commit;

mod caddyfile;
mod doors;
mod fleet;
mod stacks;
