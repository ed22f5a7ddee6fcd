//! Spoken samples to a coded file or to whatever FFmpeg writes.

use std::path::Path;

use anyhow::{Result, anyhow};
use siskin_core::audio::{Encoder, EncoderConfig};

use crate::failure::usage_error;
use crate::media::{AudioOutput, Labels, OutputFormat};
use crate::media_file::Sink;
use crate::model::{ModelArgs, stages_at};
use crate::target::Target;
use crate::units;

/// An output that is being written.
pub(crate) enum SpeechOutput {
    /// Encoded in Matroska.
    Coded {
        /// The codec.
        encoder: Box<Encoder>,
        /// The container.
        sink: Box<Sink>,
    },
    /// Samples.
    Plain(Box<AudioOutput>),
}

/// Whether the name asks for a coded file.
pub(crate) fn is_coded(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["mka", "mkv"].iter().any(|e| extension.eq_ignore_ascii_case(e))
}

impl SpeechOutput {
    /// Opens the output for samples of `rate`.
    pub(crate) fn create(
        path: &Path,
        target: &Target,
        rate: u32,
        model: &ModelArgs,
        bitrate: Option<u32>,
        tags: Vec<(String, String)>,
    ) -> Result<Self> {
        if !is_coded(path) {
            if bitrate.is_some() {
                return Err(usage_error(format!(
                    "--bitrate is for coded files (.mka), not for {}",
                    path.display()
                )));
            }
            let is_stream = matches!(target, Target::Stream(..));
            let format = OutputFormat::of(path, false, is_stream)?;
            let output = AudioOutput::create(
                target.handle()?,
                target.is_file(),
                &format,
                (rate, 1),
                &Labels { tags, ..Labels::default() },
            )?;
            return Ok(Self::Plain(Box::new(output)));
        }
        let bundle = model.bundle()?;
        let manifest = bundle.manifest();
        if manifest.sample_rate != rate {
            // Sentence by sentence resampling would click; no voice so far needs it.
            return Err(anyhow!(
                "the voice speaks at {rate} Hz and {} codes {} Hz: write a .wav and encode that",
                manifest.name,
                manifest.sample_rate
            ));
        }
        // 50 frames a packet, as `encode` has it unless told otherwise.
        let stages = stages_at(manifest, bitrate)?;
        let config = EncoderConfig { stages: Some(stages), frames_per_packet: 50, ..Default::default() };
        if manifest.channels != 1 {
            return Err(anyhow!(
                "the voice speaks in mono and {} codes stereo: write a .wav and encode that",
                manifest.name
            ));
        }
        let encoder = Encoder::new(&bundle, &model.runtime()?, &config)?;
        let sink = Sink::with_words(target, (encoder.stream_header(), encoder.frames_per_packet()), tags)?;
        Ok(Self::Coded { encoder: Box::new(encoder), sink: Box::new(sink) })
    }

    /// Writes samples.
    pub(crate) fn write(&mut self, pcm: &[f32]) -> Result<()> {
        match self {
            Self::Coded { encoder, sink } => encoder.push_samples(pcm, &mut |p| sink.packet(p)),
            Self::Plain(output) => output.write(pcm),
        }
    }

    /// Writes a word and its times in seconds, where the file has room for words.
    pub(crate) fn word(&mut self, text: &str, start: f64, end: f64) -> Result<()> {
        match self {
            Self::Coded { sink, .. } => sink.word(text, start, end),
            // WAV and what else FFmpeg writes here have no track of words; `--words` writes them beside it.
            Self::Plain(_) => Ok(()),
        }
    }

    /// Bytes of a coded file so far.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Coded { sink, .. } => sink.bytes(),
            // FFmpeg buffers, and zero is not shown.
            Self::Plain(_) => 0,
        }
    }

    /// Writes what is left, ends the file, and says what it came to.
    pub(crate) fn finish(self, seconds: f64) -> Result<String> {
        match self {
            Self::Coded { mut encoder, mut sink } => {
                encoder.finish_stream(&mut |p| sink.packet(p))?;
                let totals = sink.finish()?;
                let rate = units::rate_of(totals.bytes, seconds);
                Ok(format!(", {}, {}", units::format_size(totals.bytes), units::format_bitrate(rate)))
            }
            Self::Plain(output) => output.finish().map(|()| String::new()),
        }
    }
}
