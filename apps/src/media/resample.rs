//! Sample formats, rates and channels, by FFmpeg's `aresample`.

use anyhow::{Result, bail};
use ffmpeg_next::format::Sample;
use ffmpeg_next::format::sample::Type;
use ffmpeg_next::{ChannelLayout, frame};

use super::demux::rescale_rounded;
use super::graph::{AudioShape, Graph, Pulled};

/// Samples of one step.
// A third of a second at 24 kHz: FFmpeg's cost for each frame does not show, and memory stays small.
const CHUNK: usize = 8192;

/// Interleaved floats, what everything between input and output works on.
pub(super) const FLOAT: Sample = Sample::F32(Type::Packed);

/// Float output would otherwise be mixed down at full power, beyond -1..1.
const MIX: &str = "rematrix_maxval=1.0";

/// The layout of one channel or two.
pub(super) fn layout(channels: u8) -> ChannelLayout {
    if channels == 2 { ChannelLayout::STEREO } else { ChannelLayout::MONO }
}

/// FFmpeg's name of it.
fn layout_name(channels: u8) -> &'static str {
    if channels == 2 { "stereo" } else { "mono" }
}

/// From decoded frames to floats of one channel or two, of a rate that keeps time with the frames' clock: differences from 20 ms on
/// are made up for by up to 1 % more or fewer samples, which is a sixth of a semitone; from 100 ms on by silence, or by leaving
/// samples out. With a `channel` it alone is taken, otherwise all are mixed down. One channel goes to both of two as it is.
pub(super) fn decoding_graph(
    shape: &AudioShape,
    rate: u32,
    channels: u8,
    channel: Option<u16>,
) -> Result<Graph> {
    let layout = layout_name(channels);
    let pick = match channel {
        // `aresample` would turn it down by 3 dB.
        None if channels == 2 && shape.layout.channels() == 1 => "pan=stereo|c0=c0|c1=c0,".to_owned(),
        None => String::new(),
        Some(number) if channels == 2 && i32::from(number) < shape.layout.channels() => {
            format!("pan=stereo|c0=c{number}|c1=c{number},")
        }
        Some(number) if i32::from(number) < shape.layout.channels() => format!("pan=mono|c0=c{number},"),
        Some(number) => bail!("channel {number} of {}, allowed: 0 to one less", shape.layout.channels()),
    };
    // The option counts samples per second.
    let stretch = shape.rate / 100;
    let chain = format!(
        "{pick}aresample={rate}:{MIX}:async={stretch}:min_comp=0.02:min_hard_comp=0.1,\
         aformat=sample_fmts=flt:channel_layouts={layout}:sample_rates={rate}"
    );
    Graph::audio(shape, &chain)
}

/// From floats of a rate to frames of a number of samples in another format.
pub(super) fn framing_graph(rate: u32, channels: u8, format: Sample, samples: usize) -> Result<Graph> {
    // No dither: 16-bit files hold the decoder's samples to the nearest step, and digital silence stays silence.
    let chain = format!(
        "aformat=sample_fmts={}:channel_layouts={}:sample_rates={rate},asetnsamples=n={samples}:p=0",
        format.name(),
        layout_name(channels)
    );
    Graph::audio(&float_shape(rate, channels), &chain)
}

fn float_shape(rate: u32, channels: u8) -> AudioShape {
    AudioShape { format: FLOAT, layout: layout(channels), rate }
}

/// Appends the samples of a frame of floats of one channel or two, interleaved.
pub(super) fn append_samples(frame: &frame::Audio, out: &mut Vec<f32>) {
    match (frame.samples(), frame.channels()) {
        (0, _) => {}
        (_, 2) => out.extend(frame.plane::<(f32, f32)>(0).iter().flat_map(|&(left, right)| [left, right])),
        _ => out.extend_from_slice(frame.plane::<f32>(0)),
    }
}

/// A frame of these floats of one channel or two, interleaved, of which the first has the number `position`.
pub(super) fn float_frame(samples: &[f32], channels: u8, rate: u32, position: i64) -> frame::Audio {
    let mut frame = frame::Audio::new(FLOAT, samples.len() / usize::from(channels.max(1)), layout(channels));
    frame.set_rate(rate);
    frame.set_pts(Some(position));
    match (samples.is_empty(), channels) {
        (true, _) => {}
        (false, 2) => {
            let pairs = samples.chunks_exact(2).map(|pair| (pair[0], pair[1]));
            frame.plane_mut::<(f32, f32)>(0).iter_mut().zip(pairs).for_each(|(to, from)| *to = from);
        }
        _ => frame.plane_mut::<f32>(0).copy_from_slice(samples),
    }
    frame
}

/// A stream of samples of one channel or two, interleaved, to another rate.
pub(crate) struct Resampler {
    graph: Option<Graph>,
    filtered: frame::Audio,
    from: u32,
    to: u32,
    channels: u8,
    /// Samples taken and given so far.
    taken: u64,
    given: u64,
}

impl Resampler {
    /// Prepares to resample; equal rates pass samples through untouched.
    pub(crate) fn new(from: u32, to: u32, channels: u8) -> Result<Self> {
        // No `async` here: these samples are counted and have no clock to follow.
        let layout = layout_name(channels);
        let chain =
            format!("aresample={to},aformat=sample_fmts=flt:channel_layouts={layout}:sample_rates={to}");
        let graph = (from != to).then(|| Graph::audio(&float_shape(from, channels), &chain)).transpose()?;
        Ok(Self { graph, filtered: frame::Audio::empty(), from, to, channels, taken: 0, given: 0 })
    }

    /// Takes samples and appends those that are ready.
    pub(crate) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let Some(graph) = &mut self.graph else {
            out.extend_from_slice(samples);
            return Ok(());
        };
        let channels = usize::from(self.channels.max(1));
        for chunk in samples.chunks(CHUNK * channels) {
            graph.push(&mut float_frame(chunk, self.channels, self.from, self.taken as i64))?;
            self.taken += (chunk.len() / channels) as u64;
            while graph.pull_frame(&mut self.filtered)? == Pulled::Frame {
                append_samples(&self.filtered, out);
                self.given += self.filtered.samples() as u64;
            }
        }
        Ok(())
    }

    /// Appends what is left, once, so that the whole is as long as what was taken, rounded to the nearest sample.
    pub(crate) fn finish(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let Some(mut graph) = self.graph.take() else { return Ok(()) };
        let start = out.len();
        graph.close(self.taken as i64)?;
        while graph.pull_frame(&mut self.filtered)? == Pulled::Frame {
            append_samples(&self.filtered, out);
        }
        // FFmpeg's resampler ends up to a few samples early or late.
        let whole = rescale_rounded(self.taken as i64, self.to.into(), self.from.into());
        let whole = u64::try_from(whole).unwrap_or(0).max(u64::from(self.taken > 0));
        let missing = usize::try_from(whole.saturating_sub(self.given))?;
        out.resize(start + missing * usize::from(self.channels.max(1)), 0.0);
        Ok(())
    }
}

/// Samples of one channel at another rate.
pub(crate) fn resample_all(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    let mut resampler = Resampler::new(from, to, 1)?;
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
        crate::media::init_ffmpeg().expect("FFmpeg");
        for rate in [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000] {
            for length in [1usize, 7, 479, 480, 12_345, 20_000] {
                let tone: Vec<f32> = (0..length).map(|i| (i as f32 * 0.05).sin()).collect();
                let expected = (length as f64 * 24_000.0 / f64::from(rate)).round().max(1.0) as usize;
                let found = resample_all(&tone, rate, 24_000).expect("a conversion").len();
                assert!(found.abs_diff(expected) == 0, "{length} at {rate}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn channels_stay_apart() {
        crate::media::init_ffmpeg().expect("FFmpeg");
        let pairs: Vec<f32> = (0..9600).flat_map(|i| [(i as f32 * 0.05).sin(), 0.25]).collect();
        let left: Vec<f32> = pairs.iter().step_by(2).copied().collect();
        let (mut resampler, mut out) = (Resampler::new(48_000, 24_000, 2).expect("a resampler"), Vec::new());
        pairs.chunks(1000).for_each(|part| resampler.push(part, &mut out).expect("samples"));
        resampler.finish(&mut out).expect("an end");
        let alone = resample_all(&left, 48_000, 24_000).expect("a conversion");
        assert_eq!(out.len(), 9600);
        assert!(out.iter().step_by(2).zip(&alone).all(|(a, b)| (a - b).abs() < 1e-6));
        assert!(out[201..9300].iter().step_by(2).all(|x| (x - 0.25).abs() < 1e-3));
    }

    #[test]
    fn the_delay_of_the_filter_is_taken_out() {
        crate::media::init_ffmpeg().expect("FFmpeg");
        let tone = |rate: f32| {
            (0..(rate * 0.5) as usize).map(move |i| (i as f32 * 600.0 * std::f32::consts::TAU / rate).sin())
        };
        let found = resample_all(&tone(44_100.0).collect::<Vec<_>>(), 44_100, 24_000).expect("a conversion");
        let worst = found.iter().zip(tone(24_000.0)).skip(200).take(11_000).map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f32::max) < 1e-3);
    }
}
