//! From a recording, or a part of one, to its codes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use siskin_core::bundle::Bundle;
use siskin_core::corpus::{Encoded, Sound, Utterance};
use siskin_core::tokens::{TokenFile, TokenMeta, Tokenizer};

use super::export::ExportArgs;
use crate::interrupt;
use crate::media::AudioInput;
use crate::media_file::CodedFile;

/// Samples that the encoder gets at once.
// A second of `speech-24k`: interrupts are noticed at once, and a call's overhead does not count.
const BATCH: usize = 24_000;

/// Seconds by which a part may reach beyond the end of its file, as in Kaldi's extract-segments: manifests round, and what lacks more
/// would have words that are not in it.
const MOST_SHORT: f64 = 0.5;

/// One thread's tools.
pub(super) struct Exporter<'a> {
    args: &'a ExportArgs,
    /// Whether a recording of nothing but zeros is refused.
    is_silence_refused: bool,
    /// Loaded with the first recording that is not coded yet.
    tool: Option<(Bundle, Tokenizer)>,
    /// The file of the last part, for the one that follows in it: decoding from the start for each of a thousand segments
    /// of an hour would decode a thousand hours.
    open: Option<OpenFile>,
}

/// A file at a sample.
struct OpenFile {
    path: PathBuf,
    channel: Option<u16>,
    audio: AudioInput,
    /// Samples read beyond those that were taken, channels interleaved.
    pcm: Vec<f32>,
    channels: usize,
    /// The number of the first sample of `pcm`.
    position: u64,
}

impl<'a> Exporter<'a> {
    pub(super) fn new(args: &'a ExportArgs, is_silence_refused: bool) -> Self {
        Self { args, is_silence_refused, tool: None, open: None }
    }

    /// Loads bundle and network now and not with the first recording.
    pub(super) fn load_tools(&mut self) -> Result<()> {
        if self.tool.is_none() {
            self.tool = Some(self.load()?);
        }
        Ok(())
    }

    /// Whether a file is a recording or coded, as far as opening it tells.
    pub(super) fn check_opens(&self, path: &Path) -> Result<()> {
        if !CodedFile::is_coded(path) {
            let bundle = self.args.model.bundle()?;
            AudioInput::open(path, Some(bundle.manifest().sample_rate))?;
        }
        Ok(())
    }

    /// The codes of an utterance, with its name, text and speaker.
    pub(super) fn export(&mut self, utterance: &Utterance) -> Result<Encoded> {
        let path = match &utterance.sound {
            Sound::File(path) => path,
            Sound::Refused(reason) => bail!("{reason}"),
        };
        let mut encoded = if CodedFile::is_coded(path) {
            if utterance.start > 0.0 || utterance.duration.is_some() {
                bail!("{} is a coded file, of which no parts are taken: decode it first", path.display());
            }
            self.codes_of_coded(path)?.into()
        } else {
            self.encode(path, utterance)?
        };
        encoded.tokens.meta = utterance.describe(encoded.tokens.meta);
        Ok(encoded)
    }

    fn codes_of_coded(&self, input: &Path) -> Result<TokenFile> {
        let codes = CodedFile::open(input)?.codes(self.args.stages)?;
        let installed = siskin_core::bundle::installed();
        let bundle = installed.iter().find(|b| b.id() == codes.header.bundle);
        // Without the bundle, the most that the codes' bits can say.
        let size = bundle.map_or(1 << codes.header.code_bits, |b| b.manifest().quantizer.size);
        let mut meta = TokenMeta::from_stream_header(&codes.header, size);
        meta.samples = codes.samples;
        meta.scales = codes.scales;
        let file = TokenFile::from_frames(codes.codebooks, &codes.frames, meta)?;
        file.check_codes(size).with_context(|| input.display().to_string())?;
        Ok(file)
    }

    fn encode(&mut self, input: &Path, utterance: &Utterance) -> Result<Encoded> {
        let ready = self.tool.take().map_or_else(|| self.load(), Ok)?;
        let (bundle, tokenizer) = self.tool.insert(ready);
        let manifest = bundle.manifest();
        let (first, end) = utterance.range(manifest.sample_rate);
        let mut file = match self.open.take() {
            Some(open) if open.is_before(input, utterance.channel, first) => open,
            _ => OpenFile::open(input, utterance.channel, manifest.sample_rate, manifest.channels)?,
        };
        let (mut tokens, mut codes, mut peak) = (Vec::new(), Vec::new(), 0f32);
        tokenizer.reset();
        file.skip_to(first)?;
        let bad_before = file.audio.bad_packets();
        loop {
            interrupt::check_interrupt()?;
            let wanted = end.map_or(u64::MAX, |end| end.saturating_sub(file.position)).min(BATCH as u64);
            let pcm = file.take(wanted as usize)?;
            if pcm.is_empty() {
                break;
            }
            peak = pcm.iter().fold(peak, |most, s| most.max(s.abs()));
            tokenizer.push_samples(&pcm, &mut tokens)?;
            // In the parallel layout tokens are codes; ten hours of them as 64-bit tokens would take 170 MB.
            codes.extend(tokens.drain(..).map(|t| t as u16));
        }
        match file.audio.bad_packets() - bad_before {
            0 => {}
            bad => bail!(
                "{}: {bad} packets of sound could not be decoded{}",
                input.display(),
                describe_range(utterance)
            ),
        }
        // A truncated recording in a training set would go unnoticed for ever.
        let is_at_end = end.is_none_or(|end| file.position < end);
        if is_at_end && let Some(missing) = file.audio.missing() {
            bail!("{missing}");
        }
        if let Some(end) = end.filter(|&end| file.position < end) {
            let short = (end - file.position) as f64 / f64::from(manifest.sample_rate);
            if short > MOST_SHORT && file.position > first {
                bail!("{} ends {short:.2} s before its part{}", input.display(), describe_range(utterance));
            }
        }
        let samples = tokenizer.finish_stream(false, &mut tokens)?;
        codes.extend(tokens.drain(..).map(|t| t as u16));
        if samples == 0 {
            bail!("{} holds no audio samples{}", input.display(), describe_range(utterance));
        }
        if self.is_silence_refused && peak == 0.0 {
            bail!("{} holds only digital silence{}", input.display(), describe_range(utterance));
        }
        let mut meta = TokenMeta::from_stream_header(&bundle.stream_header(), manifest.quantizer.size);
        meta.samples = Some(samples);
        meta.scales = tokenizer.take_scales();
        let tokens = TokenFile::from_frames(tokenizer.format().codes_per_frame(), &codes, meta)?;
        let file_rate = Some(file.audio.source_rate());
        self.open = end.is_some().then_some(file);
        Ok(Encoded { tokens, file_rate })
    }

    fn load(&self) -> Result<(Bundle, Tokenizer)> {
        let bundle = self.args.model.bundle()?;
        let runtime = self.args.model.runtime()?;
        let mut tokenizer = Tokenizer::new(&bundle, &runtime, "parallel", self.args.stages)?;
        tokenizer.set_search_width(self.args.search_width);
        tokenizer.set_block(siskin_core::audio::MAX_BLOCK);
        Ok((bundle, tokenizer))
    }
}

/// The part of a file, in words; nothing for the whole.
fn describe_range(utterance: &Utterance) -> String {
    match utterance.duration {
        None if utterance.start == 0.0 => String::new(),
        None => format!(" from {} s on", utterance.start),
        Some(duration) => format!(" from {} to {} s", utterance.start, utterance.start + duration),
    }
}

impl OpenFile {
    fn open(path: &Path, channel: Option<u16>, rate: u32, channels: u8) -> Result<Self> {
        let mut audio = AudioInput::open(path, Some(rate))?;
        audio.set_channels(channels);
        if let Some(channel) = channel {
            audio.pick_channel(channel);
        }
        let channels = channels.into();
        Ok(Self { path: path.to_owned(), channel, audio, pcm: Vec::new(), channels, position: 0 })
    }

    /// Whether a part of a file that begins at a sample can still be read from here.
    fn is_before(&self, path: &Path, channel: Option<u16>, first: u64) -> bool {
        self.path == path && self.channel == channel && self.position <= first
    }

    /// Leaves out the samples before `first`.
    fn skip_to(&mut self, first: u64) -> Result<()> {
        while self.position < first {
            interrupt::check_interrupt()?;
            let wanted = (first - self.position).min(BATCH as u64) as usize;
            if self.take(wanted)?.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The next samples, up to `count` of each channel; none at the end.
    fn take(&mut self, count: usize) -> Result<Vec<f32>> {
        let values = count * self.channels;
        while self.pcm.len() < values && self.audio.next(&mut self.pcm)? {}
        let rest = self.pcm.split_off(values.min(self.pcm.len()));
        let taken = std::mem::replace(&mut self.pcm, rest);
        self.position += (taken.len() / self.channels) as u64;
        Ok(taken)
    }
}
