use std::time::Duration;

use super::fit::{Fit, FitProgress, Schedule};
use super::optimizer::Optimizer;
use super::preview::Preview;
use super::target::Target;
use crate::{Error, Limits, Result};
use siskin_bitstream::VideoHeader;
use siskin_media::{PixelFormat, Size, VideoFrame, VideoFrameView};
use siskin_model::runtime::{Provider, Runtime};
use siskin_video::arch::{Architecture, Kind, Modulation};
use siskin_video::gop::{self, Gop};
use siskin_video::{Coding, inspect};
use siskin_video::{Decoded, Decoder};

/// Bits per parameter after coding, about, from which the network's size follows.
// It trades how large a network is against how finely it is coded. Training moves the bits to the target in any case,
// so it need not be exact.
const BITS_PER_PARAMETER: f64 = 4.5;
/// Bits per pixel that a network is made for where no size is the target.
// About the 1.5 million parameters that the papers use for 132 frames of 720p (HNeRV-Boost: 0.052).
const USUAL_BITS_PER_PIXEL: f64 = 0.05;
/// Fewest parameters of a network: the smallest architectures have about so many.
const MIN_PARAMETERS: usize = 2000;
/// Most sixteenths of an octave by which step sizes grow to meet a size: six octaves leave hardly a symbol.
const MAX_COARSER: u8 = 96;

/// How to encode.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// The decoder family: [`Kind::Content`] gives the most channels of an embedding, [`Kind::Disentangled`] the most of a
    /// token.
    pub kind: Kind,
    /// How the time acts in the network.
    pub modulation: Modulation,
    /// Parameters of the network with the embeddings of a group; none derives them from the target.
    pub parameters: Option<usize>,
    /// Epochs: with distortion alone in the loss, and with the bits too.
    pub epochs: [u32; 2],
    /// Learning rates of both phases.
    pub rates: [f64; 2],
    /// How parameters follow their gradients.
    pub optimizer: Optimizer,
    /// Every so many groups one decodes without the group before it; 1 means all.
    pub keyframe_interval: u32,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Default for EncoderConfig {
    /// HNeRV-Boost with the paper's 300 and 100 epochs.
    fn default() -> Self {
        Self {
            kind: Kind::Content(16),
            modulation: Modulation::Affine,
            parameters: None,
            // As in Boosting-NeRV, whose figures a default fit should be comparable with.
            epochs: [300, 100],
            rates: [3e-3, 5e-4],
            optimizer: Optimizer::Adan,
            keyframe_interval: 1,
            seed: 1,
        }
    }
}

/// A group of frames after encoding.
#[derive(Debug, Clone, PartialEq)]
pub struct CodedGop {
    /// The packet.
    pub data: Vec<u8>,
    /// Whether it decodes without the group before it.
    pub is_keyframe: bool,
    /// The PSNR of each frame as decoded from the packet, over RGB, in dB.
    pub psnr: Vec<f64>,
}

/// Encodes groups of frames, each by fitting a network to it.
pub struct Encoder {
    runtime: Runtime,
    header: VideoHeader,
    size: Size,
    config: EncoderConfig,
    /// Decodes what was written, as a player will.
    decoder: Decoder,
    next: u32,
    preview: Option<Preview>,
}

impl Encoder {
    /// Prepares a stream.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a size or configuration that cannot be.
    pub fn new(header: VideoHeader, runtime: &Runtime, config: &EncoderConfig) -> Result<Self> {
        let size = header.size()?;
        // Refused here, where a number can be named; later it would be a division by zero.
        if config.keyframe_interval == 0 {
            return Err(Error::parameter("key interval", 0, "1 and more"));
        }
        if config.epochs[0] == 0 {
            return Err(Error::parameter("epochs", 0, "1 and more"));
        }
        // What the packet's fields can hold (docs/video-bitstream.md, Network): no fit should end in a network that
        // cannot be written.
        if matches!(config.modulation, Modulation::Grid(0))
            || matches!(config.kind, Kind::Content(0 | 65..) | Kind::Disentangled(0 | 1 | 255))
        {
            return Err(Error::parameter(
                "network",
                format!("{config:?}"),
                "grids and embeddings of 1 to 64, tokens of 2 to 254",
            ));
        }
        Ok(Self {
            runtime: runtime.clone(),
            header,
            size,
            config: config.clone(),
            decoder: Decoder::new(runtime),
            next: 0,
            preview: None,
        })
    }

    /// The stream's header.
    pub fn header(&self) -> &VideoHeader {
        &self.header
    }

    /// What runs the networks; known once a group has been coded.
    pub fn provider(&self) -> Option<Provider> {
        self.decoder.provider()
    }

    /// The network that a group of so many frames gets.
    pub fn architecture(&self, frames: usize, target: Target) -> Architecture {
        let pixels = (self.header.pixels() * frames) as f64;
        let bits = match target {
            Target::Bits(bits) => bits,
            Target::Lambda(_) => pixels * USUAL_BITS_PER_PIXEL,
        };
        let budget = self.config.parameters.unwrap_or((bits / BITS_PER_PARAMETER) as usize);
        Architecture::for_budget(
            self.config.kind,
            self.config.modulation,
            self.size,
            frames,
            budget.max(MIN_PARAMETERS),
        )
    }

    /// Fits a network to a group of RGB frames, codes it and decodes it again. `durations` in nanoseconds are for streams
    /// without a constant frame rate. `report` is called after each iteration; its error ends the fit and is returned.
    ///
    /// # Errors
    /// [`Error::Parameter`] for no frames, too many, frames of another size, or a target below what can be had;
    /// [`Error::Network`] if the fit fails.
    pub fn encode_group(
        &mut self,
        frames: &[VideoFrameView<'_>],
        durations: Option<&[u32]>,
        target: Target,
        report: &mut dyn FnMut(FitProgress) -> Result<()>,
    ) -> Result<CodedGop> {
        self.check_frames(frames, durations)?;
        // The parameters as decoded, not as fitted: differences must be to what a player has.
        let before = self.decoder.decoded().cloned();
        let wanted = self.architecture(frames.len(), target);
        let is_due = self.next.is_multiple_of(self.config.keyframe_interval);
        // A key GOP starts from the previous network too, if it has the same form: neighbors in time look alike, so
        // that saves epochs. A GOP in between has to keep that form.
        let before = before.filter(|b| !is_due || b.arch == wanted);
        let is_keyframe = is_due || before.is_none();
        let arch = before.as_ref().map_or(wanted, |b| b.arch.clone());
        // A stream that default limits refuse would be worth nothing, so an encoder holds to them.
        let (needed, most) = (arch.memory_bytes(), Limits::default().max_video_memory);
        if needed > most {
            let allowed = format!("frames whose decoder takes up to {most} bytes");
            return Err(Error::parameter("network", format!("{needed} bytes of features"), allowed));
        }
        // By the number of the GOP and not by a running generator, so that a resumed encoding goes the same way.
        let seed = self.config.seed.wrapping_add(self.next.into());
        let start = before.as_ref().map(|b| b.parameters.as_slice());
        let mut fit = Fit::new(&arch, &self.runtime, frames, self.size, seed, start);
        if let (false, Some(Decoded { parameters, .. })) = (is_keyframe, &before) {
            // Key GOPs keep a base of zeros, so one path codes both.
            fit.base.copy_from_slice(parameters);
        }
        let schedule = Schedule {
            epochs: self.config.epochs,
            rates: [self.config.rates[0] * arch.kind.learning_rate_factor(), self.config.rates[1]],
            optimizer: self.config.optimizer,
        };
        fit.run_phases(&schedule, target, self.preview.as_mut(), report)?;
        let data = self.write_packet(&fit, &arch, is_keyframe, frames.len(), durations, target)?;
        // What is measured, and what the next GOP starts from, is the packet itself.
        self.decoder.load(&data)?;
        let psnr = self.measure_psnr(frames)?;
        self.next += 1;
        Ok(CodedGop { data, is_keyframe, psnr })
    }

    /// Goes on behind a group that an earlier run coded from the same `frames`, as if this one had.
    ///
    /// # Errors
    /// What [`Decoder::load`] returns, and [`Error::Parameter`] where the packet is not the next one or not of these
    /// frames.
    pub fn resume_group(&mut self, packet: &[u8], frames: &[VideoFrameView<'_>]) -> Result<CodedGop> {
        self.check_frames(frames, None)?;
        let info = inspect(packet, &Limits::default())?;
        // The input may have been cut or changed since the interrupted run.
        if (info.coding, info.number, info.frames as usize) != (Coding::Fitted, self.next, frames.len()) {
            let found = format!("{:?} group {} of {} frames", info.coding, info.number, info.frames);
            let needed = format!("fitted group {} of {} frames", self.next, frames.len());
            return Err(Error::parameter("packet", found, needed));
        }
        self.decoder.load(packet)?;
        let psnr = self.measure_psnr(frames)?;
        self.next += 1;
        Ok(CodedGop { data: packet.to_vec(), is_keyframe: info.is_keyframe, psnr })
    }

    /// As [`Encoder::encode_group`], of the bytes of RGB frames.
    ///
    /// # Errors
    /// As there.
    pub fn encode(
        &mut self,
        frames: &[Vec<u8>],
        durations: Option<&[u32]>,
        target: Target,
        report: &mut dyn FnMut(FitProgress) -> Result<()>,
    ) -> Result<CodedGop> {
        let frames = self.view_frames(frames)?;
        self.encode_group(&frames, durations, target, report)
    }

    /// As [`Encoder::resume_group`], of the bytes of RGB frames.
    ///
    /// # Errors
    /// As there.
    pub fn resume(&mut self, packet: &[u8], frames: &[Vec<u8>]) -> Result<CodedGop> {
        let frames = self.view_frames(frames)?;
        self.resume_group(packet, &frames)
    }

    fn view_frames<'a>(&self, frames: &'a [Vec<u8>]) -> Result<Vec<VideoFrameView<'a>>> {
        frames.iter().map(|data| VideoFrameView::from_data(PixelFormat::Rgb, self.size, data)).collect()
    }

    /// Calls `show` about so often while a group is fitted: with a frame, and the frame as the network makes it so far,
    /// both interleaved RGB.
    pub fn watch(&mut self, every: Duration, show: impl FnMut(&[u8], &[u8]) + Send + 'static) {
        self.preview = Some(Preview::new(self.header, every, Box::new(show)));
    }

    /// Frame `index` of the last group as a decoder sees it, RGB, replacing `out`.
    ///
    /// # Errors
    /// As for [`Decoder::decode_frame`].
    pub fn decode_frame(&mut self, index: usize, out: &mut VideoFrame) -> Result<()> {
        self.decoder.decode_frame(index, PixelFormat::Rgb, out)
    }

    fn check_frames(&self, frames: &[VideoFrameView<'_>], durations: Option<&[u32]>) -> Result<()> {
        let most = Limits::default().max_video_frames as usize;
        if !(1..=most).contains(&frames.len()) {
            return Err(Error::parameter("frames", frames.len(), format!("1 to {most}")));
        }
        let fits = |f: &VideoFrameView<'_>| (f.format(), f.size()) == (PixelFormat::Rgb, self.size);
        if let Some(odd) = frames.iter().find(|f| !fits(f)) {
            let found = format!("{} in {:?}", odd.size(), odd.format());
            return Err(Error::parameter("frame", found, format!("{} in Rgb", self.size)));
        }
        match durations {
            Some(d) if d.len() != frames.len() => Err(Error::parameter("durations", d.len(), frames.len())),
            _ => Ok(()),
        }
    }

    /// The packet; where a size is the target, with the smallest step sizes that keep within it.
    fn write_packet(
        &self,
        fit: &Fit<'_>,
        arch: &Architecture,
        is_keyframe: bool,
        frames: usize,
        durations: Option<&[u32]>,
        target: Target,
    ) -> Result<Vec<u8>> {
        let packet = |coarser: u8| {
            let (groups, embeddings) = fit.quantize_symbols(coarser);
            let gop = Gop {
                number: self.next,
                is_keyframe,
                frames: frames as u32,
                durations: durations.map(<[u32]>::to_vec),
                arch: is_keyframe.then(|| arch.clone()),
                groups,
                embeddings,
            };
            gop::write_gop(&gop, &self.header)
        };
        // The steps that training has settled on come first, since the network was fitted to them.
        let finest = packet(0)?;
        let Target::Bits(bits) = target else { return Ok(finest) };
        let fits = |data: &[u8]| data.len() as f64 * 8.0 <= bits;
        if fits(&finest) {
            return Ok(finest);
        }
        let (mut low, mut high) = (0, MAX_COARSER);
        // If even this does not fit, no step size will, and the error can say how many bits would.
        let mut best = packet(high)?;
        if !fits(&best) {
            let least = best.len();
            return Err(Error::parameter(
                "size of a group",
                // What a container and sound take may leave less than nothing.
                format!("{:.0} bits", bits.max(0.0)),
                format!("{} and more", least * 8),
            ));
        }
        // Bisection: six or seven packets, which is nothing beside the fit.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let data = packet(middle)?;
            if fits(&data) {
                (high, best) = (middle, data);
            } else {
                low = middle;
            }
        }
        Ok(best)
    }

    /// The PSNR of each frame of the group that the decoder has just loaded.
    fn measure_psnr(&mut self, frames: &[VideoFrameView<'_>]) -> Result<Vec<f64>> {
        // One frame at a time, in the order in which the decoder prefetches.
        let mut decoded = VideoFrame::new(PixelFormat::Rgb, self.size);
        let mut all = Vec::with_capacity(frames.len());
        for (index, frame) in frames.iter().enumerate() {
            self.decoder.decode_frame(index, PixelFormat::Rgb, &mut decoded)?;
            all.push(siskin_video::frame_psnr(frame, &decoded.view()));
        }
        Ok(all)
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("header", &self.header)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
