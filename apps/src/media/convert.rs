//! Sample formats, rates and channels, by FFmpeg's `swresample`.

use anyhow::{Context as _, Result, anyhow};
use ffmpeg_next::format::Sample;
use ffmpeg_next::format::sample::Type;
use ffmpeg_next::software::resampling::Context;
use ffmpeg_next::{ChannelLayout, Dictionary, frame};

/// Room beyond the computed length, since `swresample` may give a few samples more.
const SLACK: usize = 64;
/// Samples of one step.
const CHUNK: usize = 8192;

/// Turns frames of one shape into frames of another.
pub(super) struct Converter {
    context: Context,
    to: (Sample, u32),
    /// Samples a channel taken and given so far.
    taken: u64,
    given: u64,
}

/// Mono float, what everything between input and output works on.
pub(super) const FLOAT: Sample = Sample::F32(Type::Packed);

impl Converter {
    pub(super) fn new(from: (Sample, ChannelLayout, u32), to: (Sample, u32)) -> Result<Self> {
        let mut options = Dictionary::new();
        // Float output would otherwise be mixed down at full power, beyond -1..1.
        options.set("rematrix_maxval", "1.0");
        let context = Context::get_with(from.0, from.1, from.2, to.0, ChannelLayout::MONO, to.1, options)
            .map_err(|e| anyhow!("cannot convert {} Hz audio to {} Hz: {e}", from.2, to.1))?;
        Ok(Self { context, to, taken: 0, given: 0 })
    }

    /// Converts a frame; the result is empty while the resampler fills.
    pub(super) fn convert(&mut self, input: &frame::Audio) -> Result<frame::Audio> {
        let waiting = self.context.delay().map_or(0, |d| usize::try_from(d.output).unwrap_or(0));
        let (from, to) = (u64::from(self.context.input().rate), u64::from(self.to.1));
        let new = (input.samples() as u64 * to).div_ceil(from.max(1)) as usize;
        let mut output = frame::Audio::new(self.to.0, waiting + new + SLACK, ChannelLayout::MONO);
        self.context.run(input, &mut output).context("conversion failed")?;
        self.taken += input.samples() as u64;
        self.given += output.samples() as u64;
        Ok(output)
    }

    /// Appends what is still inside, so that the whole is as long as the input, rounded to the nearest sample.
    /// `swresample` itself may give one sample more or less, and nothing of an input shorter than its filter.
    pub(super) fn finish(mut self, out: &mut Vec<f32>) -> Result<()> {
        let (from, to) = (u64::from(self.context.input().rate.max(1)), u64::from(self.to.1));
        let whole = ((self.taken * to + from / 2) / from).max(u64::from(self.taken > 0));
        let end = out.len() + usize::try_from(whole.saturating_sub(self.given))?;
        loop {
            let mut frame = frame::Audio::new(self.to.0, CHUNK, ChannelLayout::MONO);
            self.context.flush(&mut frame).context("conversion failed")?;
            if frame.samples() == 0 {
                break;
            }
            append(&frame, out);
        }
        out.resize(end, 0.0);
        Ok(())
    }
}

/// Appends the samples of a mono float frame.
pub(super) fn append(frame: &frame::Audio, out: &mut Vec<f32>) {
    if frame.samples() > 0 {
        out.extend_from_slice(frame.plane::<f32>(0));
    }
}

/// A mono float frame of these samples.
pub(super) fn mono_frame(samples: &[f32], rate: u32) -> frame::Audio {
    let mut frame = frame::Audio::new(FLOAT, samples.len(), ChannelLayout::MONO);
    frame.set_rate(rate);
    if !samples.is_empty() {
        frame.plane_mut::<f32>(0).copy_from_slice(samples);
    }
    frame
}

/// A stream of mono samples to another rate.
pub(crate) struct Resampler {
    converter: Option<Converter>,
    from: u32,
}

impl Resampler {
    /// Prepares to resample; equal rates pass samples through untouched.
    pub(crate) fn new(from: u32, to: u32) -> Result<Self> {
        let converter = (from != to)
            .then(|| Converter::new((FLOAT, ChannelLayout::MONO, from), (FLOAT, to)))
            .transpose()?;
        Ok(Self { converter, from })
    }

    /// Takes samples and appends those that are ready.
    pub(crate) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let Some(converter) = &mut self.converter else {
            out.extend_from_slice(samples);
            return Ok(());
        };
        for chunk in samples.chunks(CHUNK) {
            append(&converter.convert(&mono_frame(chunk, self.from))?, out);
        }
        Ok(())
    }

    /// Appends what is left, once.
    pub(crate) fn finish(&mut self, out: &mut Vec<f32>) -> Result<()> {
        self.converter.take().map_or(Ok(()), |converter| converter.finish(out))
    }
}

/// Mono samples at another rate.
pub(crate) fn resample(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    let mut resampler = Resampler::new(from, to)?;
    let mut out = Vec::new();
    resampler.push(samples, &mut out)?;
    resampler.finish(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_kept_at_every_rate() {
        crate::media::init().expect("FFmpeg");
        for rate in [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000] {
            for length in [1usize, 7, 479, 480, 12_345, 20_000] {
                let tone: Vec<f32> = (0..length).map(|i| (i as f32 * 0.05).sin()).collect();
                let expected = (length as f64 * 24_000.0 / f64::from(rate)).round().max(1.0) as usize;
                let found = resample(&tone, rate, 24_000).expect("a conversion").len();
                assert!(found.abs_diff(expected) == 0, "{length} at {rate}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn the_delay_of_the_filter_is_taken_out() {
        crate::media::init().expect("FFmpeg");
        let tone = |rate: f32| {
            (0..(rate * 0.5) as usize).map(move |i| (i as f32 * 600.0 * std::f32::consts::TAU / rate).sin())
        };
        let found = resample(&tone(44_100.0).collect::<Vec<_>>(), 44_100, 24_000).expect("a conversion");
        let worst = found.iter().zip(tone(24_000.0)).skip(200).take(11_000).map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f32::max) < 1e-3);
    }
}
