//! What an encoder of the real-time mode is asked for, and what it gives.

/// What is held constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// A quality, 0 (finest) to [`QUALITIES`](super::QUALITIES) less one, or to the bundle's number of qualities less one.
    Quality(u8),
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
    /// leaves out the smallest blocks and all reference frames but one. With a network, the first is RDOQ, and each further one
    /// analysis by synthesis.
    pub refinements: u32,
}

impl Default for Config {
    /// Quality 20, a keyframe at least every 120 frames, scene cuts found, one refinement.
    fn default() -> Self {
        // Four seconds at 30 frames/s bound how long a player that joins waits and how far errors spread; a keyframe
        // costs several predicted frames. The first refinement needs no further run of a network, so it is on by
        // default.
        Self { target: Target::Quality(20), keyframe_interval: 120, scene_cuts: true, refinements: 1 }
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
