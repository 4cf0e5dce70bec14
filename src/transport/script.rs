//! The node script: its text, its name on a node, and the commands that install and call it.

use std::sync::LazyLock;

use crate::model::{AbsPath, sha256_hex};

const PARTS: [&str; 22] = [
    include_str!("node/base.sh"),
    include_str!("node/header.sh"),
    include_str!("node/manifest.sh"),
    include_str!("node/policy.sh"),
    include_str!("node/paths.sh"),
    include_str!("node/files.sh"),
    include_str!("node/job.sh"),
    include_str!("node/process.sh"),
    include_str!("node/compose.sh"),
    include_str!("node/adopt.sh"),
    include_str!("node/found.sh"),
    include_str!("node/runtime.sh"),
    include_str!("node/record.sh"),
    include_str!("node/lease.sh"),
    include_str!("node/boot.sh"),
    include_str!("node/unlock.sh"),
    include_str!("node/room.sh"),
    include_str!("node/prepare.sh"),
    include_str!("node/change.sh"),
    include_str!("node/observe.sh"),
    include_str!("node/probe.sh"),
    include_str!("node/main.sh"),
];

static SCRIPT: LazyLock<String> = LazyLock::new(|| PARTS.concat());
static DIGEST: LazyLock<String> = LazyLock::new(|| sha256_hex(SCRIPT.as_bytes()));

/// Installs standard input as `<$1>/bin/<$2>` when its SHA-256 is `$3`; in place wholly or not at all.
///
/// A directory that has other things in it and never was gitsync's is left as it is: it would be closed to others.
const INSTALL: &str = r#"set -eu
umask 022
mkdir -p "$1"
ours=no
for there in "$1"/bin/gitsync-node-*.sh; do
    [ ! -f "$there" ] || ours=yes
done
for there in "$1"/* "$1"/.[!.]*; do
    case $ours${there#"$1"} in
    yes* | no/lost+found) ;;
    no/bin | no/blobs | no/claims | no/fleets | no/mutex | no/node-id | no/tmp) ;;
    *)
        if [ -e "$there" ] || [ -L "$there" ]; then
            echo "$1 is not gitsync's own: it holds ${there##*/}; name another directory as \`root\`" >&2
            exit 1
        fi
        ;;
    esac
done
chmod 700 "$1"
umask 077
mkdir -p "$1/bin"
cd "$1/bin"
new=".$2.$$"
cat >"$new"
dd if=/dev/null of="$new" conv=notrunc,fsync 2>/dev/null
if [ "$(sha256sum <"$new" | cut -c 1-64)" != "$3" ]; then
    rm -f "$new"
    echo "the node script arrived broken" >&2
    exit 1
fi
mv -f "$new" "$2"
sync . 2>/dev/null || :"#;

/// The whole text of the script that runs on nodes, a POSIX shell program.
pub fn script_text() -> &'static str {
    &SCRIPT
}

/// The script's SHA-256.
pub fn script_digest() -> &'static str {
    &DIGEST
}

/// The script's file name below `<root>/bin`; another text has another name, so versions never mix.
pub fn script_name() -> String {
    format!("gitsync-node-{}.sh", DIGEST.get(..16).unwrap_or(&DIGEST))
}

/// The script's path on a node.
pub fn script_path(root: &AbsPath) -> String {
    format!("{}/bin/{}", root.as_str().trim_end_matches('/'), script_name())
}

/// The program and arguments that run a verb; the request goes to standard input.
pub fn verb_arguments(root: &AbsPath, verb: &str) -> Vec<String> {
    vec!["sh".to_owned(), script_path(root), verb.to_owned()]
}

/// The program and arguments that install the script from standard input; safe to repeat, also at once.
pub fn install_arguments(root: &AbsPath) -> Vec<String> {
    let mut arguments: Vec<String> = ["sh", "-c", INSTALL, "sh"].map(str::to_owned).into();
    arguments.push(root.as_str().to_owned());
    arguments.push(script_name());
    arguments.push(script_digest().to_owned());
    arguments
}

/// Arguments as one line for a remote shell, with `sudo -n` in front when asked for.
pub fn remote_command(arguments: &[String], sudo: bool) -> String {
    let quoted: Vec<String> = arguments.iter().map(|argument| shell_quote(argument)).collect();
    format!("{}{}", if sudo { "sudo -n " } else { "" }, quoted.join(" "))
}

/// A text as one word of a POSIX shell.
pub fn shell_quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-@%+=:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_commands_quote_what_a_shell_would_read() {
        let arguments = ["sh".to_owned(), "/mnt/my disk/it's $x".to_owned(), "observe".to_owned()];
        assert_eq!(
            remote_command(&arguments, true),
            r"sudo -n sh '/mnt/my disk/it'\''s $x' observe"
        );
        assert_eq!(shell_quote(""), "''");
    }

    #[test]
    fn the_script_is_named_by_its_digest() {
        assert!(script_digest().starts_with(&script_name()[13..29]));
        let root = AbsPath::new("/var/lib/gitsync").unwrap();
        assert_eq!(verb_arguments(&root, "observe")[1], script_path(&root));
    }

    #[test]
    fn every_part_of_the_script_is_short_enough_to_read() {
        for part in PARTS {
            assert!(part.lines().count() <= 400);
            assert!(!part.contains('\r'));
        }
    }
}
