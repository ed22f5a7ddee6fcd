use serde::{Deserialize, Serialize};

/// An utterance, or a whole shard, that is not in the corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The utterance; `None` stands for all of the shard, which could not be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its file, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The shard that it would be in.
    pub shard: String,
    /// What is wrong.
    pub error: String,
}

impl Failure {
    /// What failed and why, in one line.
    pub fn describe(&self) -> String {
        match (&self.input, &self.id) {
            // Most errors name their file already.
            (Some(input), _) if self.error.contains(input.as_str()) => self.error.clone(),
            (Some(input), _) => format!("{input}: {}", self.error),
            // The name of a broken line is its number, with which the error begins.
            (None, Some(id)) if self.error.starts_with(id.as_str()) => self.error.clone(),
            (None, Some(id)) => format!("{id}: {}", self.error),
            (None, None) => format!("shard {}: {}", self.shard, self.error),
        }
    }
}
