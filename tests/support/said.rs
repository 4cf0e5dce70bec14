//! What a command that ended said, and what a test insists on.

/// An exit code and both outputs.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Insists on an exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out:\n{}\nerr:\n{}", self.out, self.err);
        self
    }

    /// Insists on a text in either output.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.has(text), "no `{text}` in out:\n{}\nerr:\n{}", self.out, self.err);
        self
    }

    /// Insists that a text is in neither output.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(!self.has(text), "`{text}` in out:\n{}\nerr:\n{}", self.out, self.err);
        self
    }

    /// Whether a text is in either output.
    pub fn has(&self, text: &str) -> bool {
        self.out.contains(text) || self.err.contains(text)
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Standard output as JSON lines.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.out.lines().map(parse).collect()
    }
}
