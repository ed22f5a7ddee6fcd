use std::collections::BTreeMap;

use serde::Deserialize;

use super::Specials;
use super::folder::{self, Facts};
use crate::runtime::{BlockSpec, GraphSpec};
use siskin_bitstream::BundleId;

/// The only manifest format so far.
const FORMAT: u32 = 1;
/// Frames by which a decoder or an encoder may lag: HiFi-Codec's encoder, the deepest of the published codecs, needs 73.
const MAX_DELAY_FRAMES: u32 = 128;

/// `manifest.json` of an audio bundle. Fields that only people read (training, figures) stay JSON.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    format: u32,
    kind: String,
    /// The bundle's name, its folder's name too.
    pub name: String,
    /// The bundle's version.
    pub version: String,
    /// The licence of the weights, an SPDX expression.
    pub licence: String,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u8,
    /// Samples a codec frame.
    pub hop: u16,
    /// Samples by which the decoder's output lags the encoder's input; dropped at the start of a stream.
    pub delay: u16,
    /// Samples beyond its own frame that the encoder must see before it can code a frame.
    pub lookahead: u32,
    /// Frames of history that an output frame of each network depends on.
    #[serde(default)]
    pub receptive_field_frames: ReceptiveField,
    /// Dimension of a latent.
    pub latent_dim: usize,
    /// Latents of a frame: more than one if the codec's coarser stages code several at once.
    #[serde(default = "one")]
    pub latents_per_frame: usize,
    /// Whose conventions the codec follows in what surrounds its networks.
    #[serde(default)]
    pub conventions: Conventions,
    /// If the codec codes segments that overlap, their sizes.
    #[serde(default)]
    pub segments: Option<SegmentSpec>,
    /// Networks for the first frames of a stream, if those are padded by mirroring what comes after them.
    #[serde(default)]
    pub opening: Option<OpeningSpec>,
    /// How latents become codes.
    pub quantizer: QuantizerSpec,
    /// Static tables for range-coded packets; without them codes have fixed width.
    #[serde(default)]
    pub entropy: Option<EntropySpec>,
    /// The stage prefixes that the bundle was trained for, with their code rates.
    pub prefixes: Vec<Prefix>,
    /// Stages that the encoder uses if nothing else is asked for.
    pub default_stages: u8,
    /// The network `pcm [1,channels,hop] -> latents [1,D,1]`.
    pub encoder: GraphSpec,
    /// The network `latents [1,D,1] -> pcm [1,channels,hop]`.
    pub decoder: GraphSpec,
    /// Ids beside the codes that mean something to models that read and write tokens: see
    /// [`Specials`].
    #[serde(default)]
    pub special_ids: BTreeMap<String, i64>,
    /// What the codes of its streams mean, if that is older than the bundle's networks.
    #[serde(default)]
    pub codes: Option<CodesSpec>,
    /// SHA-256 of the first encoder with these latents in hexadecimal, if this one computes the same with the same weights.
    #[serde(default)]
    pub latents: Option<String>,
    /// SHA-256 of every file of the bundle, in hexadecimal.
    pub files: BTreeMap<String, String>,
    /// How the bundle was trained.
    #[serde(default)]
    pub training: serde_json::Value,
    /// Measured quality.
    #[serde(default)]
    pub figures: serde_json::Value,
}

/// What surrounds the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Conventions {
    /// Samples pass a high-pass at 20 Hz before the encoder and a limiter after the decoder; the encoder searches several
    /// paths through the stages; a stream's last frames push out the decoder's delay.
    #[default]
    Siskin,
    /// As the codec's authors run it: samples as they are, the nearest entry of each stage in turn, and as many frames of
    /// tokens as the samples fill.
    Published,
}

/// Networks that take the first frames of a stream at once: like the bundle's own, with `frames` frames where those have one,
/// and the states as outputs only.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OpeningSpec {
    /// Frames that they take.
    pub frames: usize,
    /// The network `pcm [1,channels,frames * hop] -> latents [1,D,frames]`.
    pub encoder: GraphSpec,
    /// The network `latents [1,D,frames] -> pcm [1,channels,frames * hop]`; without one the decoder begins from its zero states.
    #[serde(default)]
    pub decoder: Option<GraphSpec>,
}

/// The segments of a codec whose networks take so many samples at once, because they normalize over all of them: the networks
/// `pcm [1,channels,n] -> latents [1,D,frames]` and back, with a frame for each hop and a part of one, for any `n` up to a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct SegmentSpec {
    /// Samples of a segment; whole frames.
    pub samples: usize,
    /// Samples from the start of a segment to that of the next.
    pub stride: usize,
    /// Whether samples are divided by the segment's loudness before the encoder, and multiplied after the decoder.
    pub normalized: bool,
}

impl SegmentSpec {
    /// Those of EnCodec at 48 kHz (arXiv 2210.13438, section 3.1): a second each, of which a hundredth overlaps.
    pub const ENCODEC_48K: Self = Self { samples: 48_000, stride: 47_520, normalized: true };

    /// Samples that a whole segment and the next have in common.
    pub fn overlap(&self) -> usize {
        self.samples.saturating_sub(self.stride)
    }

    /// The segments of a stream of `samples` samples: where each begins and ends. Only the last two may be shorter than whole.
    pub fn of_stream(self, samples: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
        let (length, stride) = (self.samples as u64, self.stride.max(1) as u64);
        (0..samples.div_ceil(stride)).map(move |n| n * stride..(n * stride + length).min(samples))
    }
}

fn one() -> usize {
    1
}

/// How far back networks look, in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct ReceptiveField {
    /// The encoder.
    pub encoder: u32,
    /// The decoder: so many frames after a reset its samples are those of an unbroken decoding.
    pub decoder: u32,
}

impl Default for ReceptiveField {
    /// What is taken for a bundle that does not say it: a second of most codecs.
    fn default() -> Self {
        Self { encoder: 50, decoder: 50 }
    }
}

/// The quantizer's shape.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct QuantizerSpec {
    /// Which residual quantizer.
    #[serde(rename = "type")]
    pub kind: QuantizerKind,
    /// Groups into which the latent is split (1 for RVQ).
    pub groups: u8,
    /// Residual stages.
    pub stages: u8,
    /// Entries of one codebook, 2 to 65,536.
    pub size: u32,
    /// Dimension of the whole latent.
    pub dim: usize,
    /// Safetensors file with `codebooks [stages, groups, size, dim / groups]`; what the other kinds need says
    /// `docs/model-bundle.md`.
    pub file: String,
    /// For [`QuantizerKind::Rvq`]: a file like [`file`](Self::file) with the codebooks that the decoder sums, if they are not
    /// those that the encoder searches. A decoder that was trained for another codec's tokens may have its own.
    #[serde(default)]
    pub decoder_file: Option<String>,
    /// For [`QuantizerKind::Split`]: stages of each part of the latent. All parts have one dimension.
    #[serde(default)]
    pub parts: Vec<u8>,
    /// For [`QuantizerKind::Factorized`]: latents that a code of each level stands for. Level by level a frame has
    /// `latents_per_frame` divided by this many codes, each a stage of its own.
    #[serde(default)]
    pub strides: Vec<usize>,
}

/// Where the tables of the entropy coding are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EntropySpec {
    /// Safetensors file that `siskin_entropy::Tables::parse` reads.
    pub file: String,
}

/// The id of codes that outlive networks: a bundle whose decoder was trained anew for the codes of an earlier bundle, or whose
/// latents more heads read, keeps the earlier one's id, so that it reads that one's files and that one reads its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CodesSpec {
    /// The id that streams carry, 16 lower-case hexadecimal digits: that of the first bundle with these codes.
    pub id: String,
    /// SHA-256, as [`Bundle::hash`](super::Bundle::hash) is made, over the files alone that say what codes mean: the quantizer's
    /// and the entropy coding's, of features the device half and the tables.
    pub sha256: String,
}

impl CodesSpec {
    /// The id, if it is one.
    pub(super) fn stream_id(&self) -> Option<BundleId> {
        let mut id = [0; 8];
        let is_lower = self.id.bytes().all(|b| !b.is_ascii_uppercase());
        hex::decode_to_slice(&self.id, &mut id).ok().filter(|()| is_lower).map(|()| BundleId(id))
    }

    /// Checks the id, and the hash over those of `files` that say what codes mean.
    pub(super) fn check(
        &self,
        files: &BTreeMap<String, String>,
        is_of_codes: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        if self.stream_id().is_none() {
            return Err(format!("codes id {:?} is not 16 hexadecimal digits", self.id));
        }
        // Codebooks exchanged under an id that files carry would turn those files into noise without a word.
        let of_codes = files.iter().filter(|(name, _)| is_of_codes(name));
        let found = hex::encode(super::hash_of(&of_codes.map(|(n, h)| (n.clone(), h.clone())).collect()));
        if found != self.sha256 {
            return Err(format!("codes sha256 {}, the files of the codes have {found}", self.sha256));
        }
        Ok(())
    }
}

/// The residual quantizers that are implemented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuantizerKind {
    /// Residual vector quantization (SoundStream, arXiv 2107.03312, section III-C).
    Rvq,
    /// Group-residual vector quantization (HiFi-Codec, arXiv 2305.02765, section 3.2).
    Grvq,
    /// Parts of the latent, each with residual stages of its own, one part after another (Mimi, arXiv 2410.00037, section
    /// 3.2.3: a semantic code beside acoustic ones).
    Split,
    /// Residual stages that search in a projection of few dimensions by the angle alone (DAC, arXiv 2306.06546, section 3.2),
    /// over one or several latents (SNAC, arXiv 2410.14411).
    Factorized,
}

impl QuantizerSpec {
    /// Checks what belongs to one kind alone, in a codec of `per_frame` latents a frame.
    fn check_kind(&self, per_frame: usize) -> Result<(), String> {
        let stages = usize::from(self.stages);
        let fits = match self.kind {
            QuantizerKind::Rvq | QuantizerKind::Grvq => per_frame == 1,
            QuantizerKind::Split => {
                let sum: usize = self.parts.iter().map(|&p| usize::from(p)).sum();
                let is_whole = !self.parts.is_empty() && self.dim.is_multiple_of(self.parts.len());
                per_frame == 1 && sum == stages && is_whole && !self.parts.contains(&0)
            }
            QuantizerKind::Factorized => {
                let divides = |&s: &usize| s > 0 && per_frame.is_multiple_of(s);
                let codes = || self.strides.iter().map(|s| per_frame / s).sum::<usize>();
                self.strides.iter().all(divides) && codes() == stages
            }
        };
        if self.decoder_file.is_some() && self.kind != QuantizerKind::Rvq {
            return Err(format!("decoder_file of a quantizer {:?}, which has one file", self.kind));
        }
        let (kind, parts, strides) = (self.kind, &self.parts, &self.strides);
        let reason = || {
            format!(
                "quantizer {kind:?} of {stages} stages, parts {parts:?}, strides {strides:?}, {per_frame} latents"
            )
        };
        if fits { Ok(()) } else { Err(reason()) }
    }

    /// Bits of one code.
    pub fn code_bits(&self) -> u8 {
        // Codes are 0 to `size - 1`; sizes need not be powers of two.
        (u32::BITS - (self.size - 1).leading_zeros()) as u8
    }
}

/// A stage prefix and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Prefix {
    /// Residual stages.
    pub stages: u8,
    /// Bits a second of the bare codes.
    pub bitrate: u32,
}

impl Facts for Manifest {
    const KIND: &str = "audio";

    fn check_numbers(&self) -> Result<(), String> {
        // The bounds of the stream header: a bundle that passes has a header that every reader takes.
        let q = &self.quantizer;
        let check = |ok: bool, reason: String| if ok { Ok(()) } else { Err(reason) };
        // First: in another format the other fields may mean something else.
        check(self.format == FORMAT, format!("format {}, this reader knows {FORMAT}", self.format))?;
        check(self.kind == Self::KIND, format!("the bundle is of kind {}, not {}", self.kind, Self::KIND))?;
        check((1..=64).contains(&self.name.len()), format!("name of {} bytes", self.name.len()))?;
        check((1..=768_000).contains(&self.sample_rate), format!("sample_rate {}", self.sample_rate))?;
        check((1..=2).contains(&self.channels), format!("channels {}, allowed: 1 and 2", self.channels))?;
        check(self.hop > 0, "hop 0".into())?;
        // The first packet of a stream drops the delay, and must hold it.
        let most = u32::from(self.hop) * MAX_DELAY_FRAMES;
        check(u32::from(self.delay) <= most, format!("delay {}, allowed: up to {most}", self.delay))?;
        let whole = self.lookahead.is_multiple_of(self.hop.into()) && self.lookahead <= most;
        check(whole, format!("lookahead {}, allowed: whole frames up to {most}", self.lookahead))?;
        let per_frame = self.latents_per_frame;
        check((1..=64).contains(&per_frame), format!("latents_per_frame {per_frame}"))?;
        let opening = self.opening.as_ref().map_or(1, |o| o.frames);
        check((1..=64).contains(&opening), format!("opening of {opening} frames, allowed: 1 to 64"))?;
        check((1..=16).contains(&q.groups), format!("quantizer groups {}", q.groups))?;
        check((1..=64).contains(&q.stages), format!("quantizer stages {}", q.stages))?;
        check((2..=65_536).contains(&q.size), format!("quantizer size {}", q.size))?;
        check((1..=4096).contains(&q.dim), format!("quantizer dim {}", q.dim))?;
        check(q.dim.is_multiple_of(q.groups.into()), format!("dim {} in {} groups", q.dim, q.groups))?;
        check(q.kind == QuantizerKind::Grvq || q.groups == 1, format!("{} groups", q.groups))?;
        q.check_kind(per_frame)?;
        // Only the conventions of the published codecs have an encoder that waits.
        let is_plain = self.conventions == Conventions::Siskin;
        let waits = self.lookahead > 0 || self.opening.is_some() || self.delay > self.hop;
        check(
            !is_plain || !waits,
            "lookahead, opening or a long delay without conventions \"published\"".into(),
        )?;
        self.check_segments()?;
        check(q.dim == self.latent_dim, format!("latent_dim {}, quantizer dim {}", self.latent_dim, q.dim))?;
        // Sizes of tensors follow from these.
        let (hop, latents) = (usize::from(self.hop), per_frame);
        // Blocks state the sizes of one channel.
        for (network, input, output) in [(&self.encoder, hop, latents), (&self.decoder, latents, hop)] {
            let frames = 1..=BlockSpec::MAX_FRAMES;
            let fits = (network.blocks)
                .is_none_or(|b| (b.input, b.output) == (input, output) && frames.contains(&b.max_frames));
            let reason = || {
                format!(
                    "{}: blocks {:?}, a frame has {input} and {output}, allowed: {frames:?} frames",
                    network.file, network.blocks
                )
            };
            if !fits {
                return Err(reason());
            }
        }
        let field = self.receptive_field_frames;
        let longest = field.encoder.max(field.decoder);
        // A seek decodes so many frames before its target: 10,000 are already 200 s at 50 Hz.
        check(longest <= 10_000, format!("receptive_field_frames {longest}, allowed: up to 10000"))?;
        let stages_fit = |s: u8| (1..=q.stages).contains(&s);
        check(stages_fit(self.default_stages), format!("default_stages {}", self.default_stages))?;
        let size = q.size;
        // Made and dropped: an id that clashes shows when the bundle is loaded, not when somebody asks for tokens.
        Specials::new(&self.special_ids, size, size.into()).map_err(|e| format!("special_ids: {e}"))?;
        check(self.prefixes.iter().all(|p| stages_fit(p.stages)), "a prefix beyond the stages".into())?;
        let Some(codes) = &self.codes else { return Ok(()) };
        let tables = self.entropy.as_ref().map(|e| e.file.as_str());
        codes.check(&self.files, |name| name == self.quantizer.file || Some(name) == tables)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn file_hashes(&self) -> &BTreeMap<String, String> {
        &self.files
    }
}

impl Manifest {
    /// What the bundle's latents are known by: the SHA-256 of the first encoder that gave them, in hexadecimal.
    pub fn latents_id(&self) -> &str {
        let own = || self.files.get(&self.encoder.file).map_or("", String::as_str);
        self.latents.as_deref().unwrap_or_else(own)
    }

    /// Reads a manifest and checks that its numbers are within what is implemented.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        folder::parse_manifest(text)
    }

    /// Samples of a frame, of all channels.
    pub fn frame_len(&self) -> usize {
        usize::from(self.hop) * usize::from(self.channels)
    }

    fn check_segments(&self) -> Result<(), String> {
        let Some(SegmentSpec { samples, stride, .. }) = self.segments else { return Ok(()) };
        let hop = usize::from(self.hop);
        // The most frames that a packet may have, and the packet's overlap.
        let fits = samples.is_multiple_of(hop) && (1..=500).contains(&(samples / hop));
        // Two segments overlap, never three. A manifest may state any number, so nothing is multiplied.
        let overlaps = samples.checked_sub(stride).is_some_and(|overlap| overlap <= stride);
        if !fits || !overlaps {
            return Err(format!("segments of {samples} samples every {stride}, frames have {hop}"));
        }
        let has_states = [&self.encoder, &self.decoder].iter().any(|g| !g.states.is_empty());
        let waits = self.lookahead > 0 || self.delay > 0 || self.opening.is_some() || has_states;
        if waits || self.conventions != Conventions::Published || self.entropy.is_some() {
            return Err(
                "segments with states, delay, lookahead, opening or entropy tables, or without conventions \
                        \"published\""
                    .into(),
            );
        }
        if self.latents_per_frame != 1 {
            return Err(format!("segments with latents_per_frame {}", self.latents_per_frame));
        }
        Ok(())
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        super::hash_of(&self.files)
    }

    /// The id that streams of the bundle carry: what `codes` says, else the first 8 bytes of the hash of all files; none if
    /// `codes` says nothing that is an id.
    pub(super) fn stream_id(&self) -> Option<BundleId> {
        self.codes.as_ref().map_or_else(|| Some(super::id_of(&self.hash())), CodesSpec::stream_id)
    }

    /// Values of a frame's latents.
    pub fn latent_len(&self) -> usize {
        self.latent_dim * self.latents_per_frame
    }

    /// Algorithmic delay in samples: one frame is gathered before it is coded, then the overlap.
    pub fn algorithmic_delay(&self) -> u32 {
        u32::from(self.hop) + u32::from(self.delay) + self.lookahead
    }

    /// Nanoseconds of a stream to decode and drop before the place sought, so that the samples from there on are those
    /// of an unbroken decoding.
    pub fn warm_up_ns(&self) -> u64 {
        let samples = u64::from(self.receptive_field_frames.decoder) * u64::from(self.hop);
        // Rounded up, as a frame too few would make the first samples after a seek differ.
        (samples * 1_000_000_000).div_ceil(u64::from(self.sample_rate).max(1))
    }

    /// The largest number of stages whose code rate does not exceed `bitrate`, at least one. Where several stages are the
    /// codes of one level, only whole levels count.
    pub fn stages_for(&self, bitrate: u32) -> u8 {
        let q = &self.quantizer;
        if q.strides.iter().any(|&s| s != self.latents_per_frame) {
            let fitting = self.prefixes.iter().filter(|p| p.bitrate <= bitrate).map(|p| p.stages).max();
            return fitting.or_else(|| self.prefixes.iter().map(|p| p.stages).min()).unwrap_or(1);
        }
        let per_stage = f64::from(q.code_bits()) * f64::from(q.groups) * f64::from(self.sample_rate)
            / f64::from(self.hop);
        // The tolerance keeps a whole quotient that rounds to just below it.
        ((f64::from(bitrate) / per_stage + 1e-9) as u64).clamp(1, q.stages.into()) as u8
    }
}
