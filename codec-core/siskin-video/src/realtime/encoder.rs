use crate::{Error, Limits, Result};
use siskin_bitstream::VideoHeader;
use siskin_bitstream::video_packet::{self, Coding, GopInfo, REALTIME_NUMBERS};
use siskin_entropy::binary::BitEncoder;
use siskin_model::bundle::VideoBundle;
use siskin_model::runtime::{Provider, Runtime, TensorNetwork};

use super::chain::Chain;
use super::contexts;
use super::decoder::bundle_named;
use super::latents::LARGEST;
use super::picture::Picture;
use super::rate::RateControl;
use super::refine::{Refiner, Task};
use super::search::Search;
use super::{CHANNELS, GROUP, MOST_STEPS, i420_bytes};

/// A picture is a scene of its own where prediction leaves this mean difference a sample, and this part of the picture's
/// own differences between neighbours' means.
const CUT_DIFFERENCE: f32 = 12.0;
const CUT_PART: f32 = 0.9;

/// What is held constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// A quality of the bundle, 0 (finest) to its number of qualities less one.
    Quality(u8),
    /// Bits a second, packets without container.
    Bitrate(u32),
}

/// How to encode in real time.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Quality or bit rate.
    pub target: Target,
    /// Every so many pictures one stands alone; 1 means all.
    pub key_interval: u32,
    /// Whether a new scene begins with a picture that stands alone.
    pub scene_cuts: bool,
    /// Steps by which the latents of a picture are refined, up to [`MOST_STEPS`]: the first chooses the integers that are
    /// worth their bits, each further one decodes them and mends what is left. Decoders know nothing of it.
    pub steps: u32,
}

impl Default for Config {
    /// Quality 20, a key picture at least every 120, scene cuts found, one step of refinement.
    fn default() -> Self {
        Self { target: Target::Quality(20), key_interval: 120, scene_cuts: true, steps: 1 }
    }
}

/// A coded picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodedPicture<'a> {
    /// The packet.
    pub data: &'a [u8],
    /// Whether it decodes without any other.
    pub key: bool,
    /// The quality it was coded with.
    pub quality: u8,
}

/// Encodes pictures, a packet each, without delay.
pub struct Encoder {
    header: VideoHeader,
    config: Config,
    chain: Chain,
    network: Box<dyn TensorNetwork>,
    search: Search,
    refiner: Refiner,
    rate: Option<RateControl>,
    source: Picture,
    number: u32,
    /// Pictures since the last key picture; none before the first.
    since: Option<u32>,
    key_wanted: bool,
    packet: Vec<u8>,
}

impl Encoder {
    /// Prepares a stream of pictures of `header`'s size.
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
        if config.key_interval == 0 {
            return Err(Error::parameter("key interval", 0, "1 and more"));
        }
        check_steps(config.steps)?;
        let manifest = bundle.manifest();
        let chain = Chain::new(bundle, runtime, &header, &Limits::default())?;
        let network = chain.encoder_network(runtime)?;
        let mut encoder = Self {
            search: Search::new(&chain.picture),
            refiner: Refiner::new(&chain),
            source: chain.picture.clone(),
            rate: None,
            header,
            config: config.clone(),
            network,
            number: 0,
            since: None,
            key_wanted: false,
            packet: Vec::new(),
            chain,
        };
        let (octave, qualities) = (manifest.qualities_an_octave, manifest.qualities);
        if let Target::Bitrate(rate) = config.target {
            encoder.rate = Some(RateControl::new(rate.into(), octave, qualities));
        }
        encoder.set_target(config.target)?;
        Ok(encoder)
    }

    /// The stream's header.
    pub fn header(&self) -> &VideoHeader {
        &self.header
    }

    /// Holds another quality or bit rate from the next picture on.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a quality that the bundle has not, or a bit rate of 0.
    pub fn set_target(&mut self, target: Target) -> Result<()> {
        let manifest = self.chain.bundle.manifest();
        match target {
            Target::Quality(q) if u16::from(q) >= manifest.qualities => {
                return Err(Error::parameter("quality", q, format!("0 to {}", manifest.qualities - 1)));
            }
            Target::Bitrate(0) => return Err(Error::parameter("bitrate", 0, "1 and more")),
            Target::Quality(_) => self.rate = None,
            Target::Bitrate(rate) => match &mut self.rate {
                Some(control) => control.set_rate(rate.into()),
                None => {
                    let (octave, qualities) = (manifest.qualities_an_octave, manifest.qualities);
                    self.rate = Some(RateControl::new(rate.into(), octave, qualities));
                }
            },
        }
        self.config.target = target;
        Ok(())
    }

    /// Refines by so many steps from the next picture on.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more than [`MOST_STEPS`].
    pub fn set_steps(&mut self, steps: u32) -> Result<()> {
        check_steps(steps)?;
        self.config.steps = steps;
        Ok(())
    }

    /// Lets the next picture stand alone.
    pub fn request_key(&mut self) {
        self.key_wanted = true;
    }

    /// What runs the networks.
    pub fn provider(&self) -> Provider {
        self.chain.provider()
    }

    /// Encodes a picture of 4:2:0, planes Y, U and V without gaps ([`i420_bytes`]); see
    /// [`rgb_to_i420`](super::rgb_to_i420) for others. `duration` in nanoseconds is for streams without a constant rate.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a picture of another size; [`Error::Network`], after which the next picture stands alone.
    pub fn encode(&mut self, picture: &[u8], duration: Option<u32>) -> Result<CodedPicture<'_>> {
        let bytes = i420_bytes(&self.header);
        if picture.len() != bytes {
            return Err(Error::parameter(
                "picture",
                format!("{} bytes", picture.len()),
                format!("{bytes} bytes"),
            ));
        }
        self.source.read_i420(picture, self.chain.size);
        // What ends between here and the end must not be built upon.
        let since = self.since.take();
        let mut key = self.key_wanted || since.is_none_or(|n| n + 1 >= self.config.key_interval);
        let seconds = self.seconds(duration);
        let mut quality = self.quality(key, seconds);
        if !key {
            let step = self.chain.bundle.manifest().step(quality);
            let left = self.search.run(&self.chain.reference, &self.source, step, &mut self.chain.motion);
            key = self.config.scene_cuts && is_cut(left, &self.source);
            if key {
                quality = self.quality(true, seconds);
                self.search.forget_motion();
            }
        } else {
            self.search.begin(&self.source);
        }
        self.write_head(key, duration, quality);
        self.code(key, quality)?;
        video_packet::seal(&mut self.packet);
        if let Some(rate) = &mut self.rate {
            rate.spent(key, quality, self.packet.len() as f64 * 8.0, seconds);
        }
        self.number = self.number.wrapping_add(1);
        self.since = Some(if key { 0 } else { since.map_or(0, |n| n + 1) });
        self.key_wanted = false;
        Ok(CodedPicture { data: &self.packet, key, quality })
    }

    /// Goes on behind a packet of an earlier run with the same settings: numbers and rate control stand as if this
    /// encoder had made it. The next picture stands alone.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the packet is of another stream, bundle or place, what a decoder returns for damage.
    pub fn resume(&mut self, packet: &[u8]) -> Result<GopInfo> {
        let (info, mut cursor) = video_packet::read_head(packet, &Limits::default())?;
        let number = self.number % REALTIME_NUMBERS;
        if info.coding != Coding::Realtime || info.number != number {
            let found = format!("{:?} picture {}", info.coding, info.number);
            return Err(Error::parameter("packet", found, format!("real-time picture {number}")));
        }
        if let Some(header) = info.header.filter(|_| info.key) {
            let (id, name) = bundle_named(&mut cursor)?;
            let manifest = self.chain.bundle.manifest();
            if header != self.header || id != manifest.id() {
                let own = format!("{:?} of {} ({})", self.header, manifest.name, manifest.id());
                return Err(Error::parameter("packet", format!("{header:?} of {name} ({id})"), own));
            }
        }
        let quality = cursor.byte_in("quality", 0, u8::MAX)?;
        let seconds = self.seconds(info.durations.as_ref().and_then(|d| d.first().copied()));
        if let Some(rate) = &mut self.rate {
            rate.spent(info.key, quality, packet.len() as f64 * 8.0, seconds);
        }
        self.number = self.number.wrapping_add(1);
        self.since = None;
        Ok(info)
    }

    fn seconds(&self, duration: Option<u32>) -> f64 {
        duration.map_or(self.header.frame_duration_ns().unwrap_or(33_333_333) as f64, f64::from) / 1e9
    }

    fn quality(&self, key: bool, seconds: f64) -> u8 {
        match (&self.rate, self.config.target) {
            (Some(rate), _) => rate.choose(key, seconds, self.config.key_interval, self.header.pixels()),
            (None, Target::Quality(q)) if key => {
                u16::from(q).saturating_sub(self.chain.bundle.manifest().key_finer) as u8
            }
            (None, Target::Quality(q)) => q,
            (None, Target::Bitrate(_)) => 20,
        }
    }

    fn write_head(&mut self, key: bool, duration: Option<u32>, quality: u8) {
        self.packet.clear();
        video_packet::write_head(
            Coding::Realtime,
            key.then_some(&self.header),
            (self.number, 1),
            duration.as_ref().map(std::slice::from_ref),
            &mut self.packet,
        );
        if key {
            let manifest = self.chain.bundle.manifest();
            self.packet.extend_from_slice(&manifest.id().0);
            self.packet.push(manifest.name.len() as u8);
            self.packet.extend_from_slice(manifest.name.as_bytes());
        }
        self.packet.push(quality);
    }

    /// Motion, latents, and the picture as a decoder will see it.
    fn code(&mut self, key: bool, quality: u8) -> Result<()> {
        let chain = &mut self.chain;
        chain.begin(key);
        let mut coder = BitEncoder::default();
        if !key {
            chain.code_motion(&mut coder)?;
        }
        self.source.pack(self.network.input(0));
        self.network.input(1).copy_from_slice(chain.predict(key));
        self.network.input(2).copy_from_slice(&chain.condition(quality));
        self.network.input(3)[0] = 255.0 / chain.bundle.manifest().step(quality);
        self.network.run()?;
        let dead = chain.bundle.manifest().dead_zone[usize::from(!key)];
        if self.config.steps == 0 {
            quantise(self.network.output(0), dead, &mut chain.latents);
        } else {
            let (source, network, steps) = (&self.source, &mut *self.network, self.config.steps);
            self.refiner.run(chain, Task { source, network, key, quality, steps })?;
        }
        chain.code_latents(&mut coder, key)?;
        coder.finish(&mut self.packet);
        chain.reconstruct(quality)
    }

    /// The last picture as a decoder sees it, as 4:2:0, replacing `out`.
    pub fn picture(&self, out: &mut Vec<u8>) {
        out.clear();
        self.chain.picture.write_i420(self.chain.size, out);
    }

    /// The probabilities of all adaptive decisions after the last picture, of 65,536: what a bundle's `contexts` are made
    /// from.
    pub fn probabilities(&self) -> Vec<u16> {
        self.chain.probabilities().collect()
    }
}

fn check_steps(steps: u32) -> Result<()> {
    if steps <= MOST_STEPS {
        return Ok(());
    }
    Err(Error::parameter("steps", steps, format!("0 to {MOST_STEPS}")))
}

/// How many adaptive decisions there are, which a bundle gives a start each.
pub fn context_count() -> usize {
    contexts::COUNT
}

/// A latent of one that is alone in its group was at least so large: the group alone costs several bits.
const ALONE: f32 = 0.85;

/// Rounds latents `[96, blocks]` to integers, 96 a block, nearer to zero by `dead`.
fn quantise(wanted: &[f32], dead: f32, out: &mut [i16]) {
    let blocks = out.len() / CHANNELS;
    for (block, own) in out.chunks_exact_mut(CHANNELS).enumerate() {
        for (c, v) in own.iter_mut().enumerate() {
            let value = wanted[c * blocks + block];
            // The cast saturates, and makes 0 of what is no number.
            let size = ((value.abs() + 0.5 - dead) as i16).min(LARGEST);
            *v = if value < 0.0 { -size } else { size };
        }
        // The first group has the means, which many pixels hang on.
        for (group, own) in own.chunks_exact_mut(GROUP).enumerate().skip(1) {
            if own.iter().map(|v| v.unsigned_abs()).sum::<u16>() == 1
                && let Some(i) = own.iter().position(|&v| v != 0)
                && wanted[(group * GROUP + i) * blocks + block].abs() < ALONE
            {
                own[i] = 0;
            }
        }
    }
}

/// Whether what prediction leaves is as much as the picture itself has.
fn is_cut(left: f32, picture: &Picture) -> bool {
    if left < CUT_DIFFERENCE {
        return false;
    }
    // Mean difference of each sample to the mean of its block.
    let mut sum = 0u64;
    for rows in picture.planes[0].chunks_exact(16 * picture.width) {
        for x in (0..picture.width).step_by(16) {
            let samples = || rows.chunks_exact(picture.width).flat_map(|r| &r[x..x + 16]);
            let mean = (samples().map(|&v| u32::from(v)).sum::<u32>() / 256) as u8;
            sum += samples().map(|&v| u64::from(v.abs_diff(mean))).sum::<u64>();
        }
    }
    left > CUT_PART * sum as f32 / picture.planes[0].len() as f32
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("realtime::Encoder").field("header", &self.header).finish_non_exhaustive()
    }
}
