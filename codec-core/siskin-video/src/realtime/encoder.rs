use crate::{Error, Limits, Result};
use siskin_bitstream::VideoHeader;
use siskin_bitstream::video_packet::{self, Coding, GopInfo, REALTIME_NUMBERS};
use siskin_entropy::binary::BitEncoder;
use siskin_media::{PixelFormat, Plane, VideoFrame, VideoFrameView};
use siskin_model::bundle::VideoBundle;
use siskin_model::runtime::{Provider, Runtime, TensorNetwork};

use super::analysis_by_synthesis::{AnalysisBySynthesis, Task};
use super::config::{check_frame, check_refinements, frame_seconds};
use super::contexts;
use super::latents::MAX_LATENT;
use super::motion_search::MotionSearch;
use super::packing::{pack_frame, pad_frame};
use super::rate::RateController;
use super::reconstructor::Reconstructor;
use super::symbols::{SymbolState, read_bundle_name};
use super::{CHANNELS, CodedFrame, Config, GROUP, MACRO, Target};

/// Least mean absolute difference of inter prediction at a scene cut, in levels of 8 bits. Below it prediction is useful
/// whatever intra coding would cost; noise and slow fades stay well below.
const MIN_CUT_MAD: f32 = 12.0;
/// Least inter MAD at a scene cut as a part of intra MAD: from here on prediction saves next to nothing, and a keyframe
/// lets players join and stops errors.
const MIN_CUT_RATIO: f32 = 0.9;

/// Encodes frames with the network of a bundle (coding 1), a packet each, without delay.
pub struct NetworkEncoder {
    header: VideoHeader,
    config: Config,
    symbols: SymbolState,
    reconstructor: Reconstructor,
    network: Box<dyn TensorNetwork>,
    search: MotionSearch,
    refiner: AnalysisBySynthesis,
    rate: Option<RateController>,
    /// The frame to encode, padded.
    source: VideoFrame,
    number: u32,
    /// Frames since the last keyframe; none before the first.
    since: Option<u32>,
    keyframe_wanted: bool,
    /// The last predicted frame looked like a new scene.
    looked_new: bool,
    packet: Vec<u8>,
}

impl NetworkEncoder {
    /// Prepares a stream of frames of `header`'s size.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a size or configuration that cannot be, [`Error::Network`], [`Error::BadBundle`].
    pub fn new(
        header: VideoHeader,
        runtime: &Runtime,
        bundle: &VideoBundle,
        config: &Config,
    ) -> Result<Self> {
        header.check()?;
        config.check()?;
        let symbols = SymbolState::new(bundle, &header, &Limits::default())?;
        let reconstructor = Reconstructor::new(&symbols, runtime)?;
        let network = reconstructor.open_encoder_network(runtime)?;
        let source = reconstructor.frame.clone();
        let mut encoder = Self {
            search: MotionSearch::new(&source),
            refiner: AnalysisBySynthesis::new(&symbols, &source),
            source,
            rate: None,
            header,
            config: config.clone(),
            network,
            number: 0,
            since: None,
            keyframe_wanted: false,
            looked_new: false,
            packet: Vec::new(),
            symbols,
            reconstructor,
        };
        encoder.set_target(config.target)?;
        Ok(encoder)
    }

    /// The stream's header.
    pub fn header(&self) -> &VideoHeader {
        &self.header
    }

    /// Holds another quality or bit rate from the next frame on.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a quality that the bundle has not, or a bit rate of 0.
    pub fn set_target(&mut self, target: Target) -> Result<()> {
        let manifest = self.symbols.bundle.manifest();
        let (octave, qualities) = (manifest.qualities_an_octave, manifest.qualities);
        target.hold(&mut self.rate, qualities, |rate| RateController::new(rate, octave, qualities))?;
        self.config.target = target;
        Ok(())
    }

    /// Sets the refinements from the next frame on.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more than [`MAX_REFINEMENTS`](super::MAX_REFINEMENTS).
    pub fn set_refinements(&mut self, refinements: u32) -> Result<()> {
        check_refinements(refinements)?;
        self.config.refinements = refinements;
        Ok(())
    }

    /// Makes the next frame a keyframe.
    pub fn request_key(&mut self) {
        self.keyframe_wanted = true;
    }

    /// What runs the networks.
    pub fn provider(&self) -> Provider {
        self.reconstructor.provider()
    }

    /// Encodes a frame of 4:2:0, wherever its rows are; [`VideoFrameView::convert_to`] makes such of RGB. `duration` in
    /// nanoseconds is for streams without a constant frame rate.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a frame of another format or size; [`Error::Network`], after which the next frame is a
    /// keyframe.
    pub fn encode_frame(
        &mut self,
        frame: &VideoFrameView<'_>,
        duration: Option<u32>,
    ) -> Result<CodedFrame<'_>> {
        let size = self.symbols.size;
        check_frame(frame, size)?;
        pad_frame(frame, &mut self.source)?;
        // Should anything below fail, no frame may be predicted from this one.
        // The last frame that a decoder has may then be another than this encoder's reference.
        let since = self.since.take();
        let mut is_keyframe =
            self.keyframe_wanted || since.is_none_or(|n| n + 1 >= self.config.keyframe_interval);
        let seconds = frame_seconds(&self.header, duration);
        // Chosen before motion is estimated, since the qstep sets lambda of the search.
        let mut quality = self.choose_quality(is_keyframe, seconds);
        if !is_keyframe {
            let qstep = self.symbols.bundle.manifest().step(quality);
            let (reference, motion) = (&self.reconstructor.reference, &mut self.symbols.motion);
            let inter = self.search.estimate_motion(reference, &self.source, qstep, motion);
            // In noise every frame looks like a new scene, and keyframes would take ten times the rate.
            let looks_new = self.config.scene_cuts && is_scene_cut(inter, self.source.plane(0));
            let can_pay = self.rate.as_ref().is_none_or(|rate| !rate.is_in_debt());
            is_keyframe = looks_new && !self.looked_new && can_pay;
            self.looked_new = looks_new;
            if is_keyframe {
                // A keyframe of rate control has a budget of its own.
                quality = self.choose_quality(true, seconds);
                // Vectors across a cut are chance hits; as candidates of the next frame they would only cost time.
                self.search.forget_motion();
            }
        } else {
            // The coarse search of the next frame needs this one, even though nothing is sought in it.
            self.search.skip_frame(&self.source);
        }
        if is_keyframe {
            // As in a run that goes on here; nor does the frame behind it begin another scene.
            self.looked_new = true;
        }
        let repeats = !is_keyframe && self.rate.as_ref().is_some_and(|rate| rate.must_repeat_frame(quality));
        if repeats {
            self.symbols.motion.clear();
            self.search.forget_motion();
        }
        self.write_head(is_keyframe, duration, quality);
        self.code_symbols(is_keyframe, quality, repeats)?;
        video_packet::append_checksum(&mut self.packet);
        if let Some(rate) = &mut self.rate {
            // Whole packets count, checksum and header included, since that is what the rate promises.
            let bits = self.packet.len() as f64 * 8.0;
            if repeats {
                rate.record_repeated_frame(bits, seconds);
            } else {
                rate.record_frame(is_keyframe, quality, bits, seconds);
            }
        }
        // The packet holds the number modulo 128, so wrapping at 2^32 leaves no gap.
        self.number = self.number.wrapping_add(1);
        self.since = Some(if is_keyframe { 0 } else { since.map_or(0, |n| n + 1) });
        self.keyframe_wanted = false;
        Ok(CodedFrame { data: &self.packet, is_keyframe, quality })
    }

    /// As [`NetworkEncoder::encode_frame`], of planes Y, U and V one behind another without gaps.
    ///
    /// # Errors
    /// As there.
    pub fn encode(&mut self, data: &[u8], duration: Option<u32>) -> Result<CodedFrame<'_>> {
        let frame = VideoFrameView::from_data(PixelFormat::I420, self.symbols.size, data)?;
        self.encode_frame(&frame, duration)
    }

    /// Goes on behind a packet of an earlier run with the same settings: numbers and rate control stand as if this
    /// encoder had made it. The next frame is a keyframe.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the packet is of another stream, bundle or place, what a decoder returns for damage.
    pub fn resume(&mut self, packet: &[u8]) -> Result<GopInfo> {
        // Only the head is read: rate control needs the quality and the size, and the next frame predicts from
        // nothing before it.
        let (info, mut cursor) = video_packet::read_head(packet, &Limits::default())?;
        let number = self.number % REALTIME_NUMBERS;
        if info.coding != Coding::Realtime || info.number != number {
            let found = format!("{:?} frame {}", info.coding, info.number);
            return Err(Error::parameter("packet", found, format!("real-time frame {number}")));
        }
        if let Some(header) = info.header.filter(|_| info.is_keyframe) {
            let (id, name) = read_bundle_name(&mut cursor)?;
            let manifest = self.symbols.bundle.manifest();
            if header != self.header || id != manifest.id() {
                let own = format!("{:?} of {} ({})", self.header, manifest.name, manifest.id());
                return Err(Error::parameter("packet", format!("{header:?} of {name} ({id})"), own));
            }
        }
        let quality = cursor.read_byte_in("quality", 0, u8::MAX)?;
        let seconds = frame_seconds(&self.header, info.durations.as_ref().and_then(|d| d.first().copied()));
        if let Some(rate) = &mut self.rate {
            rate.record_frame(info.is_keyframe, quality, packet.len() as f64 * 8.0, seconds);
        }
        self.number = self.number.wrapping_add(1);
        // The reference frame of the earlier run is gone.
        self.since = None;
        Ok(info)
    }

    fn choose_quality(&self, is_keyframe: bool, seconds: f64) -> u8 {
        match (&self.rate, self.config.target) {
            (Some(rate), _) => {
                rate.choose_quality(is_keyframe, seconds, self.config.keyframe_interval, self.header.pixels())
            }
            (None, Target::Quality(q) | Target::Step(q)) if is_keyframe => {
                // All frames up to the next keyframe inherit the quality of this one. Six qualities finer measured
                // best on Bunny and bikes (docs/video-training.md).
                u16::from(q).saturating_sub(self.symbols.bundle.manifest().key_finer) as u8
            }
            (None, Target::Quality(q) | Target::Step(q)) => q,
            // Never reached: a bit rate always comes with a controller.
            (None, Target::Bitrate(_)) => 20,
        }
    }

    fn write_head(&mut self, is_keyframe: bool, duration: Option<u32>, quality: u8) {
        self.packet.clear();
        video_packet::write_head(
            Coding::Realtime,
            is_keyframe.then_some(&self.header),
            (self.number, 1),
            duration.as_ref().map(std::slice::from_ref),
            &mut self.packet,
        );
        if is_keyframe {
            let manifest = self.symbols.bundle.manifest();
            self.packet.extend_from_slice(&manifest.id().0);
            self.packet.push(manifest.name.len() as u8);
            self.packet.extend_from_slice(manifest.name.as_bytes());
        }
        self.packet.push(quality);
    }

    /// Writes motion and latents, which are all zero in a frame that `repeats` the one before, and reconstructs the frame as a
    /// decoder will.
    fn code_symbols(&mut self, is_keyframe: bool, quality: u8, repeats: bool) -> Result<()> {
        let (symbols, reconstructor) = (&mut self.symbols, &mut self.reconstructor);
        // The order of a decoder: reset at a keyframe, motion, prediction, latents. Contexts adapt along the way, so
        // any other order would code other bits than are read.
        symbols.start_frame(is_keyframe);
        reconstructor.start_frame(is_keyframe);
        let mut coder = BitEncoder::default();
        if !is_keyframe {
            symbols.code_motion(&mut coder)?;
        }
        // Motion is coded first, since the prediction that the network takes is made with it.
        let prediction = reconstructor.predict_frame(&symbols.motion);
        pack_frame(&self.source, self.network.input(0));
        self.network.input(1).copy_from_slice(prediction);
        self.network.input(2).copy_from_slice(&reconstructor.condition(quality));
        // The network sees samples in parts of 255 and gives latents in qsteps.
        self.network.input(3)[0] = 255.0 / symbols.bundle.manifest().step(quality);
        if repeats {
            symbols.latents.fill(0);
            symbols.code_latents(&mut coder, is_keyframe)?;
            coder.finish_into(&mut self.packet);
            return reconstructor.reconstruct_frame(symbols, quality);
        }
        self.network.run()?;
        if self.config.refinements == 0 {
            let dead_zone = symbols.bundle.manifest().dead_zone[usize::from(!is_keyframe)];
            quantize_latents(self.network.output(0), dead_zone, &mut symbols.latents);
        } else {
            let (source, network, count) = (&self.source, &mut *self.network, self.config.refinements);
            let task = Task { source, network, is_keyframe, quality, count };
            self.refiner.refine_frame(symbols, reconstructor, task)?;
        }
        // Only now are the contexts adapted: the refinements have worked on copies of them.
        symbols.code_latents(&mut coder, is_keyframe)?;
        coder.finish_into(&mut self.packet);
        reconstructor.reconstruct_frame(symbols, quality)
    }

    /// The last frame as a decoder sees it, in 4:2:0, where the encoder keeps it: no samples are copied.
    pub fn reconstructed_frame(&self) -> VideoFrameView<'_> {
        self.reconstructor.visible_frame()
    }

    /// The probabilities of all contexts after the last frame, of 65,536: what a bundle's `contexts` are made from.
    pub fn probabilities(&self) -> Vec<u16> {
        self.symbols.contexts.probabilities().collect()
    }
}

/// How many contexts there are, each of which a bundle gives an initial probability.
pub fn context_count() -> usize {
    contexts::COUNT
}

/// A magnitude of 1 that is alone in its group is kept from here on: its group flag alone costs several bits.
const MIN_LONE_LATENT: f32 = 0.85;

/// Rounds latents `[96, blocks]` to integers, 96 per block, nearer to zero by `dead_zone`.
fn quantize_latents(wanted: &[f32], dead_zone: f32, out: &mut [i16]) {
    let blocks = out.len() / CHANNELS;
    for (block, own) in out.chunks_exact_mut(CHANNELS).enumerate() {
        for (c, v) in own.iter_mut().enumerate() {
            let value = wanted[c * blocks + block];
            // The cast saturates, and makes 0 of NaN.
            let size = ((value.abs() + 0.5 - dead_zone) as i16).min(MAX_LATENT);
            *v = if value < 0.0 { -size } else { size };
        }
        // The first group has the means, which act on whole blocks.
        // Setting lone ones to zero was measured together with the dead zone (docs/video-training.md, the shipped
        // line).
        for (group, own) in own.chunks_exact_mut(GROUP).enumerate().skip(1) {
            if own.iter().map(|v| v.unsigned_abs()).sum::<u16>() == 1
                && let Some(i) = own.iter().position(|&v| v != 0)
                && wanted[(group * GROUP + i) * blocks + block].abs() < MIN_LONE_LATENT
            {
                own[i] = 0;
            }
        }
    }
}

/// Scene cut: inter MAD, with the motion vectors' share, is at least [`MIN_CUT_RATIO`] of intra MAD, that of each sample to
/// the mean of its macroblock.
fn is_scene_cut(inter_mad: f32, luma: Plane<'_>) -> bool {
    // Most frames end here, so intra MAD is rarely computed.
    if inter_mad < MIN_CUT_MAD {
        return false;
    }
    let (width, samples) = (luma.row_bytes(), luma.data());
    let mut sum = 0u64;
    for rows in samples.chunks_exact(MACRO * width) {
        for x in (0..width).step_by(MACRO) {
            let block = || rows.chunks_exact(width).flat_map(|r| &r[x..x + MACRO]);
            // The mean of a macroblock stands for intra prediction: cheap, and pessimistic about texture, so that a
            // cut needs a clear sign.
            let mean = (block().map(|&v| u32::from(v)).sum::<u32>() / (MACRO * MACRO) as u32) as u8;
            sum += block().map(|&v| u64::from(v.abs_diff(mean))).sum::<u64>();
        }
    }
    inter_mad > MIN_CUT_RATIO * sum as f32 / samples.len() as f32
}

impl std::fmt::Debug for NetworkEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("realtime::NetworkEncoder").field("header", &self.header).finish_non_exhaustive()
    }
}
