use std::time::Duration;

use super::fit::{Aim, Fit, FitProgress, Schedule};
use super::optimizer::Optimizer;
use super::preview::Preview;
use crate::{Error, Limits, Result};
use siskin_bitstream::VideoHeader;
use siskin_model::runtime::{Provider, Runtime};
use siskin_video::arch::{Architecture, Kind, Modulation};
use siskin_video::gop::{self, Gop};
use siskin_video::{Coding, inspect};
use siskin_video::{Decoded, Decoder};

/// Bits that a parameter costs after coding, about, from which the network's size follows.
const BITS_A_PARAMETER: f64 = 4.5;
/// Bits a pixel that a network is made for where no size is asked for.
const USUAL_BITS_A_PIXEL: f64 = 0.05;
/// Fewest parameters of a network.
const FEWEST_PARAMETERS: usize = 2000;
/// Most sixteenths of an octave by which steps grow to meet a size.
const MOST_COARSER: u8 = 96;

/// What is held constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// The weight of a bit a pixel against the distortion; more is smaller and worse.
    Lambda(f64),
    /// Bits of a group of pictures, which are not exceeded.
    Bits(f64),
}

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
    /// Passes over the frames of a group: for the pictures alone, and with the bits in the loss.
    pub epochs: [u32; 2],
    /// Learning rates of both phases.
    pub rates: [f64; 2],
    /// How parameters follow their gradients.
    pub optimizer: Optimizer,
    /// Every so many groups one decodes without the group before it; 1 means all.
    pub key_interval: u32,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Default for EncoderConfig {
    /// HNeRV-Boost with the paper's 300 and 100 passes.
    fn default() -> Self {
        Self {
            kind: Kind::Content(16),
            modulation: Modulation::Affine,
            parameters: None,
            epochs: [300, 100],
            rates: [3e-3, 5e-4],
            optimizer: Optimizer::Adan,
            key_interval: 1,
            seed: 1,
        }
    }
}

/// A group of pictures after encoding.
#[derive(Debug, Clone, PartialEq)]
pub struct CodedGop {
    /// The packet.
    pub data: Vec<u8>,
    /// Whether it decodes without the group before it.
    pub key: bool,
    /// The PSNR of each frame as decoded from the packet, over RGB, in dB.
    pub psnr: Vec<f64>,
}

/// Encodes groups of pictures, each by fitting a network to it.
pub struct Encoder {
    runtime: Runtime,
    header: VideoHeader,
    config: EncoderConfig,
    check: Decoder,
    next: u32,
    preview: Option<Preview>,
}

impl Encoder {
    /// Prepares a stream.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a size or configuration that cannot be.
    pub fn new(header: VideoHeader, runtime: &Runtime, config: &EncoderConfig) -> Result<Self> {
        header.check()?;
        if config.key_interval == 0 {
            return Err(Error::parameter("key interval", 0, "1 and more"));
        }
        if config.epochs[0] == 0 {
            return Err(Error::parameter("epochs", 0, "1 and more"));
        }
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
            config: config.clone(),
            check: Decoder::new(runtime),
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
        self.check.provider()
    }

    /// The network that a group of so many frames gets.
    pub fn architecture(&self, frames: usize, target: Target) -> Architecture {
        let size = (self.header.width as usize, self.header.height as usize);
        let pixels = (self.header.pixels() * frames) as f64;
        let bits = match target {
            Target::Bits(bits) => bits,
            Target::Lambda(_) => pixels * USUAL_BITS_A_PIXEL,
        };
        let budget = self.config.parameters.unwrap_or((bits / BITS_A_PARAMETER) as usize);
        Architecture::fit(
            self.config.kind,
            self.config.modulation,
            size,
            frames,
            budget.max(FEWEST_PARAMETERS),
        )
    }

    /// Fits, codes and checks a group. Frames are interleaved RGB of 8 bits; `durations` in nanoseconds are for streams
    /// without a constant rate. `report` is asked after each step; its error ends the work and is returned.
    ///
    /// # Errors
    /// [`Error::Parameter`] for no frames, too many, frames of another size, or a target below what can be had;
    /// [`Error::Network`] if the fit fails.
    pub fn encode(
        &mut self,
        frames: &[Vec<u8>],
        durations: Option<&[u32]>,
        target: Target,
        report: &mut dyn FnMut(FitProgress) -> Result<()>,
    ) -> Result<CodedGop> {
        self.check_frames(frames, durations)?;
        let before = self.check.decoded().cloned();
        let wanted = self.architecture(frames.len(), target);
        let is_due = self.next.is_multiple_of(self.config.key_interval);
        let before = before.filter(|b| !is_due || b.arch == wanted);
        let key = is_due || before.is_none();
        let arch = before.as_ref().map_or(wanted, |b| b.arch.clone());
        let (needed, most) = (arch.memory(), Limits::default().max_video_memory);
        if needed > most {
            let allowed = format!("pictures whose decoder takes up to {most} bytes");
            return Err(Error::parameter("network", format!("{needed} bytes of features"), allowed));
        }
        let size = (self.header.width as usize, self.header.height as usize);
        let seed = self.config.seed.wrapping_add(self.next.into());
        let start = before.as_ref().map(|b| b.parameters.as_slice());
        let mut fit = Fit::new(&arch, &self.runtime, frames, size, seed, start);
        if let (false, Some(Decoded { parameters, .. })) = (key, &before) {
            fit.base.copy_from_slice(parameters);
        }
        let schedule = Schedule {
            epochs: self.config.epochs,
            rates: [self.config.rates[0] * arch.kind.rate(), self.config.rates[1]],
            optimizer: self.config.optimizer,
        };
        let aim = match target {
            Target::Lambda(lambda) => Aim::Lambda(lambda),
            Target::Bits(bits) => Aim::Bits(bits),
        };
        fit.run(&schedule, aim, self.preview.as_mut(), report)?;
        let data = self.code(&fit, &arch, key, frames.len(), durations, target)?;
        self.check.load(&data)?;
        let psnr = self.measure(frames)?;
        self.next += 1;
        Ok(CodedGop { data, key, psnr })
    }

    /// Goes on behind a group that an earlier run coded from the same `frames`, as if this one had.
    ///
    /// # Errors
    /// What [`Decoder::load`] returns, and [`Error::Parameter`] where the packet is not the next one or not of these
    /// frames.
    pub fn resume(&mut self, packet: &[u8], frames: &[Vec<u8>]) -> Result<CodedGop> {
        self.check_frames(frames, None)?;
        let info = inspect(packet, &Limits::default())?;
        if (info.coding, info.number, info.frames as usize) != (Coding::Fitted, self.next, frames.len()) {
            let found = format!("{:?} group {} of {} frames", info.coding, info.number, info.frames);
            let needed = format!("fitted group {} of {} frames", self.next, frames.len());
            return Err(Error::parameter("packet", found, needed));
        }
        self.check.load(packet)?;
        let psnr = self.measure(frames)?;
        self.next += 1;
        Ok(CodedGop { data: packet.to_vec(), key: info.key, psnr })
    }

    /// Calls `show` about so often while a group is fitted: with a frame, and the frame as the network makes it so far,
    /// both interleaved RGB.
    pub fn watch(&mut self, every: Duration, show: impl FnMut(&[u8], &[u8]) + Send + 'static) {
        self.preview = Some(Preview::new(self.header, every, Box::new(show)));
    }

    /// Frame `index` of the last group as a decoder sees it, interleaved RGB, replacing `out`.
    ///
    /// # Errors
    /// As for [`Decoder::frame`].
    pub fn picture(&mut self, index: usize, out: &mut Vec<u8>) -> Result<()> {
        self.check.frame(index, out)
    }

    fn check_frames(&self, frames: &[Vec<u8>], durations: Option<&[u32]>) -> Result<()> {
        let most = Limits::default().max_video_frames as usize;
        if !(1..=most).contains(&frames.len()) {
            return Err(Error::parameter("frames", frames.len(), format!("1 to {most}")));
        }
        let bytes = 3 * self.header.pixels();
        if let Some(odd) = frames.iter().find(|f| f.len() != bytes) {
            return Err(Error::parameter("frame", format!("{} bytes", odd.len()), format!("{bytes} bytes")));
        }
        match durations {
            Some(d) if d.len() != frames.len() => Err(Error::parameter("durations", d.len(), frames.len())),
            _ => Ok(()),
        }
    }

    /// The packet; where a size is aimed at, with the smallest steps that keep within it.
    fn code(
        &self,
        fit: &Fit<'_>,
        arch: &Architecture,
        key: bool,
        frames: usize,
        durations: Option<&[u32]>,
        target: Target,
    ) -> Result<Vec<u8>> {
        let packet = |coarser: u8| {
            let (groups, embeddings) = fit.symbols(coarser);
            let gop = Gop {
                number: self.next,
                key,
                frames: frames as u32,
                durations: durations.map(<[u32]>::to_vec),
                arch: key.then(|| arch.clone()),
                groups,
                embeddings,
            };
            gop::write(&gop, &self.header)
        };
        let finest = packet(0)?;
        let Target::Bits(bits) = target else { return Ok(finest) };
        let fits = |data: &[u8]| data.len() as f64 * 8.0 <= bits;
        if fits(&finest) {
            return Ok(finest);
        }
        let (mut low, mut high) = (0, MOST_COARSER);
        let mut best = packet(high)?;
        if !fits(&best) {
            let least = best.len();
            return Err(Error::parameter(
                "size of a group",
                format!("{bits:.0} bits"),
                format!("{} and more", least * 8),
            ));
        }
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
    fn measure(&mut self, frames: &[Vec<u8>]) -> Result<Vec<f64>> {
        let mut picture = Vec::new();
        let mut all = Vec::with_capacity(frames.len());
        for (index, frame) in frames.iter().enumerate() {
            self.check.frame(index, &mut picture)?;
            all.push(siskin_video::psnr(frame, &picture));
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
