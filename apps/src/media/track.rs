//! Samples of one channel or two to one track of a file that FFmpeg writes.

use anyhow::{Result, anyhow};
use ffmpeg_next::codec::{self, Id, encoder};
use ffmpeg_next::format::context::Output;
use ffmpeg_next::format::sample::Type;
use ffmpeg_next::format::{self, Sample};
use ffmpeg_next::{Error as FfmpegError, Packet, Rational, frame};

use super::graph::{Graph, Pulled};
use super::resample::{self, FLOAT, Resampler, float_frame};

/// Samples a packet of codecs that take any number.
// PCM and the like; large enough that a block's header does not count, small enough for players to seek by.
const FREE_FRAME: usize = 4096;

/// A track that is being written.
pub(crate) struct AudioTrack {
    /// Index of the stream in its file.
    stream: usize,
    encoder: encoder::Audio,
    to_rate: Resampler,
    /// From samples at the encoder's rate to its frames.
    to_frames: Graph,
    own_rate: u32,
    channels: u8,
    frame: frame::Audio,
    ready: Vec<f32>,
    /// When the next sample is heard, in samples.
    position: i64,
}

impl AudioTrack {
    /// Adds a track for samples of `rate` in one channel or two to a file.
    pub(crate) fn add(context: &mut Output, id: Id, rate: u32, channels: u8) -> Result<Self> {
        let codec = encoder::find(id).ok_or_else(|| anyhow!("this FFmpeg has no encoder for {id:?}"))?;
        let audio = codec.audio()?;
        let rates: Vec<u32> =
            audio.rates().into_iter().flatten().filter_map(|r| u32::try_from(r).ok()).collect();
        let own_rate = nearest_rate(&rates, rate);
        let formats: Vec<Sample> = audio.formats().into_iter().flatten().collect();
        let sample = best_format(id, &formats);
        let mut encoder = codec::Context::new_with_codec(codec).encoder().audio()?;
        encoder.set_rate(own_rate.try_into()?);
        encoder.set_format(sample);
        encoder.set_channel_layout(resample::layout(channels));
        // In samples, so that no time is rounded before the container does it.
        encoder.set_time_base(Rational(1, own_rate.try_into()?));
        // MP4 and Matroska keep the codec's parameters in their head and want none in the packets.
        if context.format().flags().contains(format::Flags::GLOBAL_HEADER) {
            encoder.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        let encoder = encoder.open().map_err(|e| {
            let channels = if channels == 2 { "stereo" } else { "mono" };
            anyhow!("FFmpeg's encoder {} does not take {own_rate} Hz {channels}: {e}", codec.name())
        })?;
        let mut stream = context.add_stream(codec)?;
        stream.set_parameters(&encoder);
        let stream = stream.index();
        let frame_samples = match encoder.frame_size() {
            0 => FREE_FRAME,
            size => size as usize,
        };
        Ok(Self {
            stream,
            encoder,
            to_rate: Resampler::new(rate, own_rate, channels)?,
            to_frames: resample::framing_graph(own_rate, channels, sample, frame_samples)?,
            own_rate,
            channels,
            frame: frame::Audio::empty(),
            ready: Vec::new(),
            position: 0,
        })
    }

    /// The rate that the track has, which differs where its codec does not know the samples' own.
    pub(super) fn rate(&self) -> u32 {
        self.own_rate
    }

    /// Lets the track begin so many nanoseconds after the file does; before the first sample is written.
    pub(crate) fn begin_at(&mut self, nanoseconds: u64) {
        let samples = u128::from(nanoseconds) * u128::from(self.own_rate);
        // To the nearest sample; a time beyond 64 bits of samples is a damaged one.
        self.position = i64::try_from((samples + 500_000_000) / 1_000_000_000).unwrap_or(0);
    }

    /// Writes samples.
    pub(crate) fn write(&mut self, samples: &[f32], context: &mut Output) -> Result<()> {
        self.to_rate.push(samples, &mut self.ready)?;
        self.encode(context)
    }

    /// Writes what is left.
    pub(crate) fn finish(&mut self, context: &mut Output) -> Result<()> {
        self.to_rate.finish(&mut self.ready)?;
        self.encode(context)?;
        self.to_frames.close(self.position)?;
        // What the filter held back, then what the encoder does.
        self.take_frames(context)?;
        self.encoder.send_eof()?;
        self.take_packets(context)
    }

    /// Encodes the samples that are ready, as far as they fill frames.
    fn encode(&mut self, context: &mut Output) -> Result<()> {
        if self.ready.is_empty() {
            return Ok(());
        }
        let mut frame = float_frame(&self.ready, self.channels, self.own_rate, self.position);
        self.position += frame.samples() as i64;
        self.ready.clear();
        self.to_frames.push(&mut frame)?;
        self.take_frames(context)
    }

    fn take_frames(&mut self, context: &mut Output) -> Result<()> {
        while self.to_frames.pull_frame(&mut self.frame)? == Pulled::Frame {
            self.encoder.send_frame(&self.frame).map_err(|e| anyhow!("the output cannot be encoded: {e}"))?;
            self.take_packets(context)?;
        }
        Ok(())
    }

    fn take_packets(&mut self, context: &mut Output) -> Result<()> {
        let ticks = Rational(1, self.own_rate.try_into()?);
        write_packets(&mut self.encoder, context, self.stream, ticks, |_| {})
    }
}

/// Writes the packets that an encoder has ready to a stream; their times are in `ticks`, in which `finish` sees them.
pub(crate) fn write_packets(
    encoder: &mut encoder::Encoder,
    context: &mut Output,
    stream: usize,
    ticks: Rational,
    mut finish: impl FnMut(&mut Packet),
) -> Result<()> {
    let to = context.stream(stream).map_or(ticks, |s| s.time_base());
    let mut packet = Packet::empty();
    loop {
        match encoder.receive_packet(&mut packet) {
            Ok(()) => {}
            Err(FfmpegError::Eof | FfmpegError::Other { errno: ffmpeg_next::error::EAGAIN }) => {
                return Ok(());
            }
            Err(e) => return Err(anyhow!("the output cannot be encoded: {e}")),
        }
        finish(&mut packet);
        packet.set_stream(stream);
        // The muxer chooses its own unit when the header is written, so it is asked for each time.
        packet.rescale_ts(ticks, to);
        packet.write_interleaved(context).map_err(|e| anyhow!("the output cannot be written: {e}"))?;
    }
}

/// The rate itself if it is offered, else the next higher, else the highest. No list means any rate.
fn nearest_rate(offered: &[u32], rate: u32) -> u32 {
    // Up and not down: the nearest below would cut off the top of the spectrum.
    let higher = offered.iter().copied().filter(|&r| r >= rate).min();
    higher.or(offered.iter().copied().max()).unwrap_or(rate)
}

/// Float where the codec takes it; else 16 bits, the depth of players; else what it takes. FLAC, which is to lose nothing, holds 24
/// bits: the decoder's noise in a pause lies at -120 dB, which 16 bits make digital silence of.
fn best_format(id: Id, offered: &[Sample]) -> Sample {
    let exact = [Sample::I32(Type::Packed), Sample::I32(Type::Planar)].into_iter().filter(|_| id == Id::FLAC);
    let preferred = [
        Sample::F32(Type::Packed),
        Sample::F32(Type::Planar),
        Sample::I16(Type::Packed),
        Sample::I16(Type::Planar),
    ];
    let found = exact.chain(preferred).find(|p| offered.contains(p));
    found.or(offered.first().copied()).unwrap_or(FLOAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_go_up_if_they_must_change() {
        assert_eq!(nearest_rate(&[], 24_000), 24_000);
        assert_eq!(nearest_rate(&[48_000, 24_000, 8000], 24_000), 24_000);
        assert_eq!(nearest_rate(&[44_100, 32_000, 8000], 24_000), 32_000);
        assert_eq!(nearest_rate(&[8000], 24_000), 8000);
    }
}
