//! What an encoder of the real-time mode is asked for, and what it gives; and what the encoders of both codings do alike.

use siskin_bitstream::VideoHeader;
use siskin_bitstream::video_packet::MAX_BLOCK_FRAMES;
use siskin_media::{PixelFormat, Size, TimeBase, VideoFrameView};

use super::MAX_REFINEMENTS;
use super::rate::RateController;
use crate::{Error, Result};

/// What is held constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// A quality, 0 (finest) to [`QUALITIES`](super::QUALITIES) less one, or to the bundle's number of qualities less one. The block
    /// codec is up to 8 finer where the step would take more of the detail than it does of films, as of noise.
    Quality(u8),
    /// The step of a quality, whatever is coded.
    Step(u8),
    /// Bits per second, packets without container.
    Bitrate(u32),
}

/// How to encode in real time.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Quality or bit rate.
    pub target: Target,
    /// Most frames from one keyframe to the next; 1 means that all are keyframes.
    pub keyframe_interval: u32,
    /// Whether a new scene begins with a keyframe.
    pub scene_cuts: bool,
    /// Work on each frame, up to [`MAX_REFINEMENTS`](super::MAX_REFINEMENTS); decoders know nothing of it. Of the block codec 0
    /// decides on the sizes of blocks without trying them, and 2 tries everything; more is the same. With a network, the first is RDOQ, and each further one analysis by
    /// synthesis.
    pub refinements: u32,
    /// Threads of the block codec, up to [`MAX_THREADS`]; 0 for one per core, shared by all streams. Packets do not depend on it.
    /// Those of a network are the runtime's.
    pub threads: usize,
    /// Frames that a packet of the block codec may hold, up to [`MAX_LOOKAHEAD`]: frames between the first and the last one are
    /// predicted from both sides, and all wait for the last one. 0 and 1 code each frame at once.
    pub lookahead: u32,
}

/// Names for how much work each frame is given, as other encoders have them, and the refinements of each.
pub const EFFORTS: [(&str, u32); 3] = [("fast", 0), ("medium", 1), ("slow", 2)];

/// The most frames that [`Config::lookahead`] can name.
pub const MAX_LOOKAHEAD: u32 = MAX_BLOCK_FRAMES;

/// The most threads that [`Config::threads`] can name.
pub const MAX_THREADS: usize = 256;

impl Default for Config {
    /// Quality 20, a keyframe at least every 120 frames, scene cuts found, one refinement, a thread per core.
    fn default() -> Self {
        // Four seconds at 30 frames/s bound how long a player that joins waits and how far errors spread; a keyframe
        // costs several predicted frames. The first refinement needs no further run of a network, so it is on by
        // default.
        Self {
            target: Target::Quality(20),
            keyframe_interval: 120,
            scene_cuts: true,
            refinements: 1,
            threads: 0,
            lookahead: 0,
        }
    }
}

/// A coded frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodedFrame<'a> {
    /// The packet.
    pub data: &'a [u8],
    /// Whether it decodes without any other.
    pub is_keyframe: bool,
    /// The quality it was coded with.
    pub quality: u8,
}

impl Target {
    /// Makes `rate` hold this target. Qualities below `qualities` can be named; `new_controller` makes a controller for a bit rate.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a quality that there is not, or a bit rate of 0.
    pub(crate) fn hold(
        self,
        rate: &mut Option<RateController>,
        qualities: u16,
        new_controller: impl FnOnce(f64) -> RateController,
    ) -> Result<()> {
        match (self, &mut *rate) {
            (Self::Quality(q) | Self::Step(q), _) if u16::from(q) >= qualities => {
                return Err(Error::parameter("quality", q, format!("0 to {}", qualities - 1)));
            }
            (Self::Bitrate(0), _) => return Err(Error::parameter("bitrate", 0, "1 and more")),
            (Self::Quality(_) | Self::Step(_), _) => *rate = None,
            // What was learned of the source holds at another rate too; only a new controller begins with guesses.
            (Self::Bitrate(bits), Some(control)) => control.set_rate(bits.into()),
            (Self::Bitrate(bits), None) => *rate = Some(new_controller(bits.into())),
        }
        Ok(())
    }
}

impl Config {
    /// Refuses what no encoder can do, but for the target, whose qualities are the encoder's.
    pub(crate) fn check(&self) -> Result<()> {
        if self.keyframe_interval == 0 {
            return Err(Error::parameter("keyframe interval", 0, "1 and more"));
        }
        if self.threads > MAX_THREADS {
            return Err(Error::parameter("threads", self.threads, format!("0 to {MAX_THREADS}")));
        }
        if self.lookahead > MAX_LOOKAHEAD {
            return Err(Error::parameter("lookahead", self.lookahead, format!("0 to {MAX_LOOKAHEAD}")));
        }
        check_refinements(self.refinements)
    }
}

pub(crate) fn check_refinements(refinements: u32) -> Result<()> {
    if refinements <= MAX_REFINEMENTS {
        return Ok(());
    }
    Err(Error::parameter("refinements", refinements, format!("0 to {MAX_REFINEMENTS}")))
}

/// Refuses a frame of another format or size than the stream's.
pub(crate) fn check_frame(frame: &VideoFrameView<'_>, size: Size) -> Result<()> {
    if (frame.format(), frame.size()) == (PixelFormat::I420, size) {
        return Ok(());
    }
    let found = format!("{} in {:?}", frame.size(), frame.format());
    Err(Error::parameter("frame", found, format!("{size} in I420")))
}

/// Seconds that a frame lasts; a thirtieth where nobody says.
pub(crate) fn frame_seconds(header: &VideoHeader, duration: Option<u32>) -> f64 {
    let duration = duration.map(u64::from).or(header.frame_duration_ns()).unwrap_or(33_333_333);
    TimeBase::NANOSECONDS.ticks_to_seconds(duration)
}
