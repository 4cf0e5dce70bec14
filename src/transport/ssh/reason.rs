//! What `ssh` said when it did not get through, boiled down to the reason.

/// What comes last and explains nothing.
const NOISE: [&str; 3] = ["Connection closed by UNKNOWN", "stdio forwarding failed", "Killed by"];

/// The line that says why, and what was wrong with the private key, if anything was.
///
/// What a jump host says comes before what is said about the node: without the one there is no other.
pub(super) fn reason(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let forwarded = lines().find_map(|line| line.split_once(": open failed: ").map(|(_, why)| why));
    let noise = |line: &&str| NOISE.iter().any(|part| line.starts_with(part));
    let last = lines().rev().find(|line| !noise(line)).or(lines().next_back());
    let why = match forwarded {
        Some(why) => format!("the jump host says: {why}"),
        None => last.unwrap_or("no reason given").to_owned(),
    };
    match lines().find(|line| about_key(line)).filter(|line| *line != why) {
        Some(key) => format!("{why} ({key})"),
        None => why,
    }
}

fn about_key(line: &str) -> bool {
    ["no such identity:", "Load key ", "Permissions 0"].iter().any(|part| line.starts_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_something_is_the_reason() {
        assert_eq!(reason("debug\nconnect: No route to host\n\n"), "connect: No route to host");
        assert_eq!(reason(""), "no reason given");
        assert_eq!(
            reason("Connection closed by UNKNOWN port 65535"),
            NOISE[0].to_owned() + " port 65535"
        );
    }

    #[test]
    fn a_jump_host_that_does_not_connect_says_why() {
        let said = "channel 0: open failed: connect failed: Name or service not known\n\
                    stdio forwarding failed\nConnection closed by UNKNOWN port 65535\n";
        assert_eq!(reason(said), "the jump host says: connect failed: Name or service not known");
    }

    #[test]
    fn a_key_that_can_not_be_read_is_told_beside_the_refusal() {
        let said =
            "no such identity: /k: No such file or directory\nme@h: Permission denied (publickey).";
        let told = "me@h: Permission denied (publickey). (no such identity: /k: No such file or directory)";
        assert_eq!(reason(said), told);
    }
}
