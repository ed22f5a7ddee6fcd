//! Kokoro-82M (hexgrad, Apache-2.0; StyleTTS 2, Li et al. 2023, arXiv 2306.07691) as one graph.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors};

use siskin_error::{Error, Result};
use siskin_model::bundle::VoiceBundle;
use siskin_model::runtime::{Runtime, Value, WholeNetwork};

use crate::engine::Engine;

/// The network and the styles of its voices.
pub(crate) struct Kokoro {
    network: Box<dyn WholeNetwork>,
    durations: String,
    frame: u64,
    /// Names of the manifest's voices.
    voices: Vec<String>,
    styles: HashMap<String, Style>,
}

/// A voice's style for every length of sentence.
struct Style {
    lengths: usize,
    dim: usize,
    /// `[lengths, dim]`.
    values: Vec<f32>,
}

impl Kokoro {
    pub(crate) fn new(
        bundle: &VoiceBundle,
        runtime: &Runtime,
        graph: &str,
        durations: &str,
        styles: &str,
    ) -> Result<Self> {
        let manifest = bundle.manifest();
        let bad = |reason: String| Error::bad_bundle(bundle.path(), reason);
        let network = runtime.open_whole_network(graph, &bundle.file_bytes(graph)?)?;
        // Without durations there are no word timestamps; better refused at load than at the first sentence.
        if !network.has_output(durations) {
            return Err(bad(format!("{graph} has no output {durations}")));
        }
        let file = bundle.file_bytes(styles)?;
        let tensors = SafeTensors::deserialize(&file).map_err(|e| bad(format!("{styles}: {e}")))?;
        let voices: Vec<String> = manifest.voices.iter().map(|v| v.name.clone()).collect();
        let mut found = HashMap::new();
        for voice in &voices {
            let view = tensors.tensor(voice).map_err(|e| bad(format!("{styles}: {e}")))?;
            let (&[lengths, 1, dim], Dtype::F32) = (view.shape(), view.dtype()) else {
                return Err(bad(format!("{styles}: {voice} is {:?} {:?}", view.dtype(), view.shape())));
            };
            let values: Vec<f32> =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            if lengths == 0 || values.iter().any(|x| !x.is_finite()) {
                return Err(bad(format!("{styles}: {voice} is empty or not finite")));
            }
            found.insert(voice.clone(), Style { lengths, dim, values });
        }
        Ok(Self {
            network,
            durations: durations.to_owned(),
            frame: manifest.frame_samples.into(),
            voices,
            styles: found,
        })
    }
}

impl Engine for Kokoro {
    fn speak_tokens(
        &mut self,
        tokens: &[i64],
        voice: usize,
        speed: f32,
        emit: &mut dyn FnMut(&[f32]) -> bool,
    ) -> Result<Vec<u64>> {
        let style = self
            .voices
            .get(voice)
            .and_then(|v| self.styles.get(v))
            .ok_or_else(|| Error::parameter("voice", voice, format!("below {}", self.voices.len())))?;
        // Row n of a style is for sentences of n phonemes, without the boundaries.
        // Longer sentences get the style of the longest.
        let row = tokens.len().saturating_sub(2).min(style.lengths - 1);
        let style_now = &style.values[row * style.dim..(row + 1) * style.dim];
        let inputs = [
            ("tokens", Value::I64(&[1, tokens.len()], tokens)),
            ("style", Value::F32(&[1, style.dim], style_now)),
            ("speed", Value::F32(&[1], std::slice::from_ref(&speed))),
        ];
        let mut found = self.network.run(&inputs, &["audio", &self.durations])?.into_iter();
        // In the order in which the outputs were asked for.
        let (audio, durations) = (found.next().unwrap_or_default().1, found.next().unwrap_or_default().1);
        let total = audio.len() as u64;
        emit(&audio);
        let mut frames: Vec<u64> =
            durations.iter().map(|&d| (f64::from(d).max(0.0) as u64) * self.frame).collect();
        // Tokens without a duration in the network's output take no time.
        frames.resize(tokens.len(), 0);
        fit_durations(&mut frames, total);
        Ok(frames)
    }
}

/// Fits durations to a sum of `total` samples: the model rounds them to frames, so they may differ from its audio.
fn fit_durations(durations: &mut [u64], total: u64) {
    // Too long durations are cut from the end, and what is missing goes to the last token, the boundary, which is
    // silence.
    let mut left = total;
    for duration in durations.iter_mut() {
        *duration = (*duration).min(left);
        left -= *duration;
    }
    if let Some(last) = durations.last_mut() {
        *last += left;
    }
}

#[cfg(test)]
mod tests {
    use super::fit_durations;

    #[test]
    fn durations_sum_to_the_samples() {
        for total in [0, 5, 30, 100] {
            let mut durations = [10, 0, 20];
            fit_durations(&mut durations, total);
            assert_eq!(durations.iter().sum::<u64>(), total);
        }
    }
}
