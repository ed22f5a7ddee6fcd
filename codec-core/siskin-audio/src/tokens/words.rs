use serde::{Deserialize, Serialize};

/// A word or a longer piece of text with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Start, in seconds of the stream.
    pub start: f64,
    /// End, in seconds of the stream.
    pub end: f64,
    /// The speaker, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
}

impl Word {
    /// Start and duration in nanoseconds, for a container; none if the times are negative, reversed or not finite.
    pub fn span_ns(&self) -> Option<(u64, u64)> {
        // 1e9 s are 31 years; NaN is in no range, and nanoseconds stay within 64 bits.
        let valid = |s: f64| (0.0..1e9).contains(&s);
        let is_span = valid(self.start) && valid(self.end) && self.end >= self.start;
        is_span.then(|| ((self.start * 1e9).round() as u64, ((self.end - self.start) * 1e9).round() as u64))
    }
}
