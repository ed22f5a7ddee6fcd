//! Phonemes to the latents of the audio codec, and its decoder behind them (WavThruVec, Siuzdak et al. 2022, arXiv
//! 2203.16930, with the codec's own latents in place of wav2vec's).

use siskin_audio::FrameDecoder;
use siskin_error::{Error, Result};
use siskin_model::bundle::{Bundle, VoiceBundle};
use siskin_model::runtime::{Runtime, Value, WholeNetwork};

use crate::engine::Engine;
use crate::noise::Noise;

/// Limit of the frames of a sentence: two minutes at 50 Hz, far more than 300 characters take, so that a network's output
/// cannot ask for more memory.
const MAX_FRAMES: usize = 6000;
/// Values after the hidden row of a frame: its position in its phoneme, the frames left in it, and its duration.
const POSITION_VALUES: usize = 3;

/// File names and sizes of the manifest.
pub(crate) struct Spec<'a> {
    pub(crate) text: &'a str,
    pub(crate) vec: &'a str,
    pub(crate) noise: usize,
    pub(crate) codec: &'a str,
    pub(crate) codec_encoder: &'a str,
}

/// Both networks and the codec's decoder.
pub(crate) struct WavThruVec {
    text: Box<dyn WholeNetwork>,
    vec: Box<dyn WholeNetwork>,
    noise: usize,
    decoder: FrameDecoder,
    hop: usize,
    delay: usize,
    dim: usize,
}

impl WavThruVec {
    pub(crate) fn new(bundle: &VoiceBundle, runtime: &Runtime, spec: &Spec<'_>) -> Result<Self> {
        let bad = |reason: String| Error::bad_bundle(bundle.path(), reason);
        // By name and checked by its encoder's hash: a decoder that was trained further for the same latents is
        // welcome (`docs/tts.md`).
        let codec = Bundle::find(spec.codec)?;
        let (audio, voice) = (codec.manifest(), bundle.manifest());
        let encoder = audio.latents_id();
        // The network predicts the latents of one encoder; another one's would decode to noise.
        if encoder != spec.codec_encoder {
            return Err(bad(format!(
                "made for the latents of an encoder with sha256 {}, that of {} has {encoder}: train it again (models/tts)",
                spec.codec_encoder,
                codec.path().display()
            )));
        }
        if audio.sample_rate != voice.sample_rate || u32::from(audio.hop) != voice.frame_samples {
            return Err(bad(format!("rate or frame differ from those of {}", spec.codec)));
        }
        if audio.channels != 1 {
            return Err(bad(format!("{} has {} channels, a voice has one", spec.codec, audio.channels)));
        }
        Ok(Self {
            text: runtime.open_whole_network(spec.text, &bundle.file_bytes(spec.text)?)?,
            vec: runtime.open_whole_network(spec.vec, &bundle.file_bytes(spec.vec)?)?,
            noise: spec.noise,
            decoder: FrameDecoder::new(&codec, runtime)?,
            hop: audio.hop.into(),
            delay: audio.delay.into(),
            dim: audio.latent_dim,
        })
    }

    /// Latents `[frame][dim]` of a sentence, and the frames of each token.
    fn predict_latents(
        &mut self,
        tokens: &[i64],
        voice: usize,
        speed: f32,
    ) -> Result<(Vec<f32>, Vec<usize>)> {
        let speaker = [voice as i64];
        let inputs =
            [("tokens", Value::I64(&[1, tokens.len()], tokens)), ("speaker", Value::I64(&[1], &speaker))];
        let mut found = self.text.run(&inputs, &["hidden", "durations"])?.into_iter();
        let (shape, hidden) = found.next().unwrap_or_default();
        let (_, durations) = found.next().unwrap_or_default();
        let width = shape.get(2).copied().unwrap_or(0);
        if width == 0 || hidden.len() != tokens.len() * width || durations.len() != tokens.len() {
            return Err(Error::network("text", format!("output of shape {shape:?}")));
        }
        let frames = round_durations(&durations, speed);
        let total: usize = frames.iter().sum();
        let row = width + POSITION_VALUES;
        let mut expanded = Vec::with_capacity(total * row);
        for (hidden, &count) in hidden.chunks_exact(width).zip(&frames) {
            for at in 0..count {
                let (into, length) = (at as f32 + 0.5, count as f32);
                expanded.extend_from_slice(hidden);
                // Relative position, frames left (in tens, so that it is near 1) and log duration, as in training
                // (models/tts).
                expanded.extend([into / length, (length - into) / 10.0, length.ln()]);
            }
        }
        // A fixed seed: the same sentence sounds the same, which the tests rely on.
        let mut noise = Noise::new(1);
        let noise: Vec<f32> = (0..total * self.noise).map(|_| noise.next_value()).collect();
        let inputs = [
            ("expanded", Value::F32(&[1, total, row], &expanded)),
            ("noise", Value::F32(&[1, total, self.noise], &noise)),
        ];
        let latents = self.vec.run(&inputs, &["latents"])?.into_iter().next().unwrap_or_default().1;
        if latents.len() != total * self.dim {
            return Err(Error::network("vec", format!("{} latents for {total} frames", latents.len())));
        }
        Ok((latents, frames))
    }
}

impl Engine for WavThruVec {
    fn speak_tokens(
        &mut self,
        tokens: &[i64],
        voice: usize,
        speed: f32,
        emit: &mut dyn FnMut(&[f32]) -> bool,
    ) -> Result<Vec<u64>> {
        let (latents, frames) = self.predict_latents(tokens, voice, speed)?;
        // Each sentence is a stream of its own.
        self.decoder.reset();
        let mut skip = self.delay;
        for latent in latents.chunks_exact(self.dim) {
            let pcm = self.decoder.decode_latent(latent)?;
            if !emit(&pcm[skip..]) {
                break;
            }
            skip = 0;
        }
        // The decoder lags by the codec's delay: the end of the last frame comes with one frame more.
        if let Some(last) = latents.chunks_exact(self.dim).next_back() {
            let pcm = self.decoder.decode_latent(last)?;
            emit(&pcm[..self.delay]);
        }
        Ok(frames.into_iter().map(|f| (f * self.hop) as u64).collect())
    }
}

/// Rounds durations to frames with the rounding error carried over to the next, so that the sum is off by half a frame at
/// most; at least one frame in total.
fn round_durations(durations: &[f32], speed: f32) -> Vec<usize> {
    let (mut end, mut given) = (0.0f64, 0usize);
    let mut frames: Vec<usize> = durations
        .iter()
        .map(|&d| {
            let d = f64::from(d / speed);
            end += if d.is_finite() { d.max(0.0) } else { 0.0 };
            // The end is capped and not the sum of counts, so `given` never exceeds it.
            let count = (end.round() as usize).min(MAX_FRAMES) - given;
            given += count;
            count
        })
        .collect();
    if given == 0
        && let Some(first) = frames.first_mut()
    {
        *first = 1;
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::round_durations;

    #[test]
    fn rounding_loses_no_time() {
        assert_eq!(round_durations(&[1.4, 1.4, 1.4], 1.0), [1, 2, 1]);
        assert_eq!(round_durations(&[10.0, 10.0], 2.0), [5, 5]);
        assert_eq!(round_durations(&[0.0, f32::NAN, -3.0], 1.0), [1, 0, 0]);
        assert_eq!(round_durations(&[1e30], 1.0), [super::MAX_FRAMES]);
    }
}
