//! The blocks of a Caddyfile as they stand there.

/// The options of the whole server.
pub(super) fn options(text: &str) -> Option<String> {
    let first = blocks(text).into_iter().next()?;
    first.trim_start().starts_with('{').then_some(first)
}

/// The block of a site; empty when there is none that names exactly these hosts.
pub(super) fn site(text: &str, hosts: &[String]) -> String {
    let mut found = blocks(text).into_iter().filter(|block| {
        let named = addresses(block);
        hosts.iter().all(|host| named.contains(host)) && !hosts.is_empty()
    });
    found.next().unwrap_or_default()
}

/// Blocks of the outermost level with the lines before their braces; comments between them are left out.
fn blocks(text: &str) -> Vec<String> {
    let (mut found, mut open, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    for line in text.lines() {
        let bare = line.split(" #").next().unwrap_or_default().trim();
        if depth == 0 && (bare.is_empty() || bare.starts_with('#')) {
            continue;
        }
        open.push(line);
        if bare.starts_with('#') {
            continue;
        }
        if bare == "{" || bare.ends_with(" {") {
            depth += 1;
        } else if bare == "}" {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                found.push(open.join("\n"));
                open.clear();
            }
        }
    }
    // A file of one site may go without braces.
    if !open.is_empty() {
        found.push(open.join("\n"));
    }
    found
}

/// The hosts that a block begins with, without schemes, ports and paths.
fn addresses(block: &str) -> Vec<String> {
    let head = block.split('{').next().unwrap_or_default();
    let head = if block.contains('{') { head } else { head.lines().next().unwrap_or_default() };
    let words = head.split([',', ' ', '\n', '\t']).filter(|word| !word.is_empty());
    let bare = words.map(|word| {
        let word = word.split_once("://").map_or(word, |(_, rest)| rest);
        word.split(['/', ':']).next().unwrap_or_default().to_owned()
    });
    bare.collect()
}
