//! Samples or packets to tokens and to a file.

use std::path::Path;

use siskin_core::bitstream::StreamHeader;
use siskin_core::bundle::Bundle;
use siskin_core::entropy::Coder;
use siskin_core::runtime::Runtime;
use siskin_core::tokens::{
    FileFormat, Format, Packer, TokenFile, TokenMeta, Tokenizer, codes_and_scale_from_packet,
};
use siskin_core::{Error, Result};

/// How the codes come in.
enum Input {
    /// As samples.
    Samples(Box<Tokenizer>),
    /// As packets of coded audio, which may be range coded if the bundle has tables.
    Packets(Option<Box<Coder>>),
}

/// A stream on its way to tokens.
pub(super) struct Session {
    pub(super) header: StreamHeader,
    pub(super) provider: &'static str,
    input: Input,
    packer: Packer,
    /// All codes so far, `[T, K]`, if a file is to be written.
    kept: Option<Vec<u16>>,
    /// Scales of the segments so far, in a codec that codes those.
    scales: Vec<f32>,
    codes: Vec<u16>,
    parallel: Vec<i64>,
    /// Frames taken, and the samples that packets decode to; unknown if the beginning was missed.
    pub(super) frames: u64,
    samples: Option<u64>,
}

impl Session {
    /// For samples.
    pub(super) fn of_samples(
        bundle: &Bundle,
        runtime: &Runtime,
        layout: &str,
        stages: Option<u8>,
        keep: bool,
    ) -> Result<Self> {
        // Always parallel: the file keeps plain codes, whatever layout the application gets.
        let tokenizer = Tokenizer::new(bundle, runtime, "parallel", stages)?;
        let stages = stages.unwrap_or(bundle.manifest().default_stages);
        let packer = Packer::new(Format::from_bundle(bundle, stages, layout)?);
        let provider = tokenizer.provider().name();
        Ok(Self::new(bundle.stream_header(), Input::Samples(Box::new(tokenizer)), packer, provider, keep))
    }

    /// For packets of a stream; `stages` are those that every packet has at least.
    pub(super) fn of_packets(
        bundle: &Bundle,
        header: StreamHeader,
        layout: &str,
        stages: u8,
        keep: bool,
    ) -> Result<Self> {
        let packer = Packer::new(Format::from_bundle(bundle, stages, layout)?);
        let tables = siskin_core::audio::load_entropy_tables(bundle)?;
        let coder = tables.map(|tables| Box::new(Coder::new(tables)));
        Ok(Self::new(header, Input::Packets(coder), packer, "", keep))
    }

    fn new(header: StreamHeader, input: Input, packer: Packer, provider: &'static str, keep: bool) -> Self {
        Self {
            header,
            provider,
            input,
            packer,
            kept: keep.then(Vec::new),
            scales: Vec::new(),
            codes: Vec::new(),
            parallel: Vec::new(),
            frames: 0,
            samples: Some(0),
        }
    }

    /// What the tokens look like.
    pub(super) fn format(&self) -> &Format {
        self.packer.format()
    }

    /// Takes samples or a packet and appends the tokens that are ready.
    pub(super) fn take(&mut self, data: &[u8], out: &mut Vec<i64>) -> Result<()> {
        match &mut self.input {
            Input::Samples(tokenizer) => {
                let samples = data.as_chunks::<4>().0.iter().map(|b| f32::from_ne_bytes(*b));
                let pcm: Vec<f32> = samples.collect();
                tokenizer.push_samples(&pcm, &mut self.parallel)?;
                let samples = pcm.len() as u64 / u64::from(self.header.channels.max(1));
                self.samples = self.samples.map(|s| s + samples);
                self.scales.extend(tokenizer.take_scales());
                self.take_parallel(out)
            }
            Input::Packets(coder) => {
                self.codes.clear();
                let coder = coder.as_deref_mut();
                let (info, scale) = codes_and_scale_from_packet(data, &self.header, coder, &mut self.codes)?;
                self.scales.extend(scale);
                // A packet that starts a stream in the middle, or none at the beginning: the length in samples is
                // unknown then.
                let begins = info.starts_stream == (self.frames == 0);
                self.samples = self.samples.filter(|_| begins).map(|s| s + info.sample_count(&self.header));
                let (has, wanted) =
                    (self.header.codes_per_frame(info.stages), self.packer.format().codes_per_frame());
                if has < wanted {
                    let allowed = format!("{wanted}, as the first packet has");
                    return Err(Error::Parameter { name: "codebooks", value: has.to_string(), allowed });
                }
                let codes = std::mem::take(&mut self.codes);
                let taken =
                    // Stages come first in a frame, so its front is the same frame at fewer stages.
                    codes.chunks_exact(has).try_for_each(|frame| self.take_frame(&frame[..wanted], out));
                self.codes = codes;
                taken
            }
        }
    }

    /// Ends the stream: appends what is left, and returns what the file is to hold.
    pub(super) fn finish(&mut self, out: &mut Vec<i64>) -> Result<Option<TokenFile>> {
        if let Input::Samples(tokenizer) = &mut self.input {
            tokenizer.finish_stream(false, &mut self.parallel)?;
            self.scales.extend(tokenizer.take_scales());
            self.take_parallel(out)?;
        }
        self.packer.finish_stream(true, out);
        let format = self.packer.format();
        let (codebooks, size) = (format.codes_per_frame(), format.codebook_size());
        let file = self.kept.as_mut().map(|kept| {
            let meta = TokenMeta {
                samples: self.samples,
                scales: std::mem::take(&mut self.scales),
                ..TokenMeta::from_stream_header(&self.header, size)
            };
            TokenFile::from_frames(codebooks, &std::mem::take(kept), meta)
        });
        self.reset();
        file.transpose()
    }

    /// Forgets the stream.
    pub(super) fn reset(&mut self) {
        if let Input::Samples(tokenizer) = &mut self.input {
            tokenizer.reset();
        }
        self.packer.reset();
        self.parallel.clear();
        self.scales.clear();
        if let Some(kept) = &mut self.kept {
            kept.clear();
        }
        (self.frames, self.samples) = (0, Some(0));
    }

    fn take_parallel(&mut self, out: &mut Vec<i64>) -> Result<()> {
        let tokens = std::mem::take(&mut self.parallel);
        // In the parallel layout tokens are codes, which have 16 bits at most.
        let codes: Vec<u16> = tokens.iter().map(|&t| t as u16).collect();
        let codebooks = self.packer.format().codes_per_frame();
        codes.chunks_exact(codebooks).try_for_each(|frame| self.take_frame(frame, out))
    }

    fn take_frame(&mut self, frame: &[u16], out: &mut Vec<i64>) -> Result<()> {
        self.packer.push_frame(frame, out)?;
        self.frames += 1;
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(frame);
        }
        Ok(())
    }
}

/// Writes a token file under a temporary name and renames it, so that a crash leaves no half of one.
pub(super) fn write(file: &TokenFile, location: &Path) -> Result<()> {
    let format = FileFormat::from_path(location).ok_or_else(|| Error::Parameter {
        name: "location",
        value: location.display().to_string(),
        allowed: ".safetensors, .npy or .jsonl".into(),
    })?;
    let data = file.to_bytes(format)?;
    let mut part = location.as_os_str().to_owned();
    part.push(".part");
    let part = std::path::PathBuf::from(part);
    // In the same folder: a rename across file systems would be a copy.
    let written = std::fs::write(&part, data).and_then(|()| std::fs::rename(&part, location));
    written.map_err(|source| Error::Io { path: location.to_owned(), source })
}
