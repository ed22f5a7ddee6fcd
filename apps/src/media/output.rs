//! Mono samples to any file that FFmpeg writes.

use std::fs::File;
use std::path::Path;

use anyhow::{Result, anyhow};
use ffmpeg_next::codec::{self, Id, encoder};
use ffmpeg_next::format::context::{Output, StreamIo};
use ffmpeg_next::format::sample::Type;
use ffmpeg_next::format::{self, Sample};
use ffmpeg_next::{ChannelLayout, Dictionary, Error as FfmpegError, Packet, Rational, media};

use super::convert::{Converter, FLOAT, Resampler, mono_frame};
use crate::failure::usage;
use crate::target::is_dash;

/// Samples a packet of codecs that take any number.
const FREE_FRAME: usize = 4096;

/// What to write, as the output's name and the options say.
#[derive(Debug, Clone)]
pub(crate) struct OutputFormat {
    /// A name whose extension FFmpeg knows.
    name: String,
    /// FFmpeg's name of the format where no extension says it.
    muxer: Option<&'static str>,
    float: bool,
}

impl OutputFormat {
    /// The format that the extension of `path` names; WAV for `-` and for devices.
    pub(crate) fn of(path: &Path, float: bool, is_stream: bool) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        let named = |muxer| Ok(Self { name: format!("out.{extension}"), muxer: Some(muxer), float });
        match extension.as_str() {
            "f32" | "raw" => Ok(Self { float: true, ..named("f32le")? }),
            "wav" => named("wav"),
            "" if is_dash(path) || is_stream => named("wav"),
            "" => Err(usage(format!("{}: the extension says the format, e.g. .wav", path.display()))),
            _ => Ok(Self { name: format!("out.{extension}"), muxer: None, float }),
        }
    }
}

/// An output that is being written.
pub(crate) struct AudioOutput {
    context: Output,
    encoder: encoder::Audio,
    to_rate: Resampler,
    to_format: Option<Converter>,
    own_rate: u32,
    frame_samples: usize,
    /// Samples at the encoder's rate that do not fill a frame yet.
    waiting: Vec<f32>,
    /// Samples given to the encoder.
    given: i64,
    packet: Packet,
}

impl AudioOutput {
    /// Opens an output for samples of `rate`, to a file or else to stdout.
    pub(crate) fn create(
        target: Option<File>,
        seekable: bool,
        format: &OutputFormat,
        rate: u32,
        tags: &[(String, String)],
    ) -> Result<Self> {
        let io = match target {
            Some(file) if seekable => StreamIo::from_write_seek(file),
            Some(file) => StreamIo::from_write(file),
            None => StreamIo::from_write(std::io::stdout()),
        };
        let extension = format.name.trim_start_matches("out.");
        let mut context = format::output_to_stream(io?, Some(&format.name), format.muxer)
            .map_err(|_| usage(format!("FFmpeg knows no format with the extension .{extension}")))?;
        let id = codec_of(&context, format)?;
        let codec = encoder::find(id)
            .ok_or_else(|| anyhow!("this FFmpeg has no encoder for {id:?}, which .{extension} holds"))?;
        let audio = codec.audio()?;
        let rates: Vec<u32> =
            audio.rates().into_iter().flatten().filter_map(|r| u32::try_from(r).ok()).collect();
        let own_rate = nearest_rate(&rates, rate);
        let formats: Vec<Sample> = audio.formats().into_iter().flatten().collect();
        let sample = best_format(&formats);
        let mut encoder = codec::Context::new_with_codec(codec).encoder().audio()?;
        encoder.set_rate(own_rate.try_into()?);
        encoder.set_format(sample);
        encoder.set_channel_layout(ChannelLayout::MONO);
        encoder.set_time_base(Rational(1, own_rate.try_into()?));
        if context.format().flags().contains(format::Flags::GLOBAL_HEADER) {
            encoder.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        let encoder = encoder.open().map_err(|e| {
            anyhow!("FFmpeg's encoder for .{extension} does not take {own_rate} Hz mono: {e}")
        })?;
        context.add_stream(codec)?.set_parameters(&encoder);
        let mut metadata = Dictionary::new();
        tags.iter().for_each(|(key, value)| metadata.set(&key.to_lowercase(), value));
        context.set_metadata(metadata);
        let mut options = Dictionary::new();
        // Four gigabytes is where a plain WAV file ends.
        options.set("rf64", "auto");
        context.write_header_with(options).map_err(|e| anyhow!("the output cannot be written: {e}"))?;
        let mono = ChannelLayout::MONO;
        let to_format =
            (sample != FLOAT).then(|| Converter::new((FLOAT, mono, own_rate), (sample, own_rate)));
        let frame_samples = match encoder.frame_size() {
            0 => FREE_FRAME,
            size => size as usize,
        };
        Ok(Self {
            context,
            encoder,
            to_rate: Resampler::new(rate, own_rate)?,
            to_format: to_format.transpose()?,
            own_rate,
            frame_samples,
            waiting: Vec::new(),
            given: 0,
            packet: Packet::empty(),
        })
    }

    /// The rate that the output has, which differs where its codec does not know the samples' own.
    pub(crate) fn rate(&self) -> u32 {
        self.own_rate
    }

    /// Writes samples.
    pub(crate) fn write(&mut self, samples: &[f32]) -> Result<()> {
        self.to_rate.push(samples, &mut self.waiting)?;
        self.encode(false)
    }

    /// Writes what is left and ends the file.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.to_rate.finish(&mut self.waiting)?;
        self.encode(true)?;
        self.encoder.send_eof()?;
        self.take_packets()?;
        self.context.write_trailer().map_err(|e| anyhow!("the output cannot be written: {e}"))
    }

    fn encode(&mut self, all: bool) -> Result<()> {
        let whole = self.waiting.len() - self.waiting.len() % self.frame_samples;
        let count = if all { self.waiting.len() } else { whole };
        let waiting = std::mem::take(&mut self.waiting);
        for samples in waiting[..count].chunks(self.frame_samples) {
            let mut frame = mono_frame(samples, self.own_rate);
            if let Some(converter) = &mut self.to_format {
                frame = converter.convert(&frame)?;
            }
            frame.set_rate(self.own_rate);
            frame.set_pts(Some(self.given));
            self.given += samples.len() as i64;
            self.encoder.send_frame(&frame).map_err(|e| anyhow!("the output cannot be encoded: {e}"))?;
            self.take_packets()?;
        }
        self.waiting = waiting;
        self.waiting.drain(..count);
        Ok(())
    }

    fn take_packets(&mut self) -> Result<()> {
        let from = Rational(1, self.own_rate.try_into()?);
        let to = self.context.stream(0).map_or(from, |s| s.time_base());
        loop {
            match self.encoder.receive_packet(&mut self.packet) {
                Ok(()) => {}
                Err(FfmpegError::Eof | FfmpegError::Other { errno: ffmpeg_next::error::EAGAIN }) => {
                    return Ok(());
                }
                Err(e) => return Err(anyhow!("the output cannot be encoded: {e}")),
            }
            self.packet.set_stream(0);
            self.packet.rescale_ts(from, to);
            self.packet
                .write_interleaved(&mut self.context)
                .map_err(|e| anyhow!("the output cannot be written: {e}"))?;
        }
    }
}

fn codec_of(context: &Output, format: &OutputFormat) -> Result<Id> {
    let id = context.format().codec(&format.name, media::Type::Audio);
    match (id, format.float) {
        (Id::None, _) => Err(usage(format!("{} files hold no audio", context.format().name()))),
        (Id::PCM_S16LE, true) => Ok(Id::PCM_F32LE),
        (Id::PCM_S16BE, true) => Ok(Id::PCM_F32BE),
        (Id::PCM_F32LE | Id::PCM_F32BE, true) | (_, false) => Ok(id),
        (_, true) => {
            Err(usage(format!("--float: {} files do not hold float samples", context.format().name())))
        }
    }
}

/// The rate itself if it is offered, else the next higher, else the highest. No list means any rate.
fn nearest_rate(offered: &[u32], rate: u32) -> u32 {
    let higher = offered.iter().copied().filter(|&r| r >= rate).min();
    higher.or(offered.iter().copied().max()).unwrap_or(rate)
}

/// Float where the codec takes it; else 16 bits, the depth of players; else what it takes.
fn best_format(offered: &[Sample]) -> Sample {
    let preferred = [
        Sample::F32(Type::Packed),
        Sample::F32(Type::Planar),
        Sample::I16(Type::Packed),
        Sample::I16(Type::Planar),
    ];
    let found = preferred.into_iter().find(|p| offered.contains(p));
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
