use siskin_error::Result;

/// Synthesizes samples from the phoneme ids of a sentence.
pub trait Engine: Send {
    /// Speaks one sentence. `tokens` begin and end with the bundle's boundary, `voice` is an index into the manifest's
    /// voices, `speed` 1 is the voice's own pace. Samples (mono, -1..1) go to `emit` as they come, until it returns false.
    ///
    /// Returns the duration of each token in samples; they sum to the duration of the sentence.
    ///
    /// # Errors
    /// [`Error::Network`](crate::Error::Network) if a network fails.
    fn speak_tokens(
        &mut self,
        tokens: &[i64],
        voice: usize,
        speed: f32,
        emit: &mut dyn FnMut(&[f32]) -> bool,
    ) -> Result<Vec<u64>>;
}
