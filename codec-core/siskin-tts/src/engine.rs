use crate::Result;

/// What turns the numbers of a sentence's phonemes into samples.
pub trait Engine: Send {
    /// Speaks one sentence. `tokens` begin and end with the bundle's boundary, `voice` is a place in the manifest's
    /// voices, `speed` 1 is the voice's own pace. Samples go to `emit` as they come, until it returns false.
    ///
    /// Returns the samples that each token takes, in order; they sum to the samples of the whole sentence.
    ///
    /// # Errors
    /// [`Error::Network`](crate::Error::Network) if a network fails.
    fn speak(
        &mut self,
        tokens: &[i64],
        voice: usize,
        speed: f32,
        emit: &mut dyn FnMut(&[f32]) -> bool,
    ) -> Result<Vec<u64>>;
}
