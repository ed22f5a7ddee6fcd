use siskin_error::Error;

/// Why an utterance has no codes.
#[derive(Debug)]
pub enum Fault<E> {
    /// It cannot be encoded, for this reason; the run goes on with the others.
    Utterance(String),
    /// The run cannot go on.
    Run(E),
}

impl<E> From<Error> for Fault<E> {
    fn from(error: Error) -> Self {
        Self::Utterance(error.with_sources())
    }
}
