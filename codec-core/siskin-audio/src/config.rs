use crate::rate::RateMode;
use crate::search::{DEFAULT_LAMBDA, DEFAULT_SEARCH_WIDTH};

/// Settings of an [`Encoder`](crate::Encoder).
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Residual stages, 1 to the bundle's; `None` takes the bundle's default.
    pub stages: Option<u8>,
    /// Codec frames per packet, 1 to 500. Each adds a hop to the delay; 1 for live, 50 for files.
    pub frames_per_packet: u32,
    /// Frames after which a packet carries the stream header again, for readers that join late.
    pub header_interval: u32,
    /// Beams of the codebook search, 1 to 64: see
    /// [`FrameEncoder::set_search_width`](crate::FrameEncoder::set_search_width).
    pub search_width: usize,
    /// How the encoder chooses its bit rate.
    pub rate_mode: RateMode,
    /// Range codes packets of several frames where that takes fewer bytes, if the bundle has tables for it.
    pub entropy_coding: bool,
    /// Cost of a range-coded bit in the codebook search, 0 to 4. With 1 a bit costs as much as the squared error that a bit
    /// of the same stage removes on average, with 0 nothing.
    pub lambda: f32,
    /// Earlier frames that each packet repeats (in-band FEC), 0 to
    /// [`redundancy::MAX_FRAMES`](siskin_bitstream::redundancy::MAX_FRAMES): after a loss the next packet restores that
    /// many of the lost frames with `redundancy_stages` stages.
    pub redundancy: u8,
    /// Residual stages of the repeated frames.
    pub redundancy_stages: u8,
    /// Discontinuous transmission (DTX): sends SID frames in place of background noise. With less than 0.4 s of frames per
    /// packet there are gaps between them.
    pub dtx: bool,
}

/// Codec frames of a packet of a file at this frame rate: a second, so that a seek and a loss cost little, and 50 at most, from
/// where on the container takes 3 % at 6 kb/s.
pub fn file_frames_per_packet(frame_rate: f64) -> u32 {
    (frame_rate.ceil() as u32).clamp(1, 50)
}

impl Default for EncoderConfig {
    /// The bundle's default rate, one frame per packet, the header every 50 frames, entropy coding.
    fn default() -> Self {
        Self {
            stages: None,
            frames_per_packet: 1,
            // A reader that joins waits for at most a second at 50 Hz.
            header_interval: 50,
            search_width: DEFAULT_SEARCH_WIDTH,
            rate_mode: RateMode::Constant,
            entropy_coding: true,
            lambda: DEFAULT_LAMBDA,
            redundancy: 0,
            // One stage is 1 kb/s for each repeated frame with speech-24k.
            redundancy_stages: 1,
            // Off: a receiver that does not know DTX would take the gaps between SID frames for losses.
            dtx: false,
        }
    }
}
