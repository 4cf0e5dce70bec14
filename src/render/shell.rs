//! Texts as words of a POSIX shell.

/// A text as one word: in single quotes, whatever is in it.
pub(super) fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Whether a text can name a shell variable.
pub(super) fn is_variable(name: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes().all(letters) && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// Assignments and then the program text, which may use them.
pub(super) fn program(variables: &[(&str, &str)], body: &str) -> String {
    let mut text = String::new();
    for (name, value) in variables {
        text.push_str(&format!("{name}={}\n", word(value)));
    }
    text.push_str(body);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
