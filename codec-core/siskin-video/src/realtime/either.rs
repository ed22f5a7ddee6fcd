use siskin_bitstream::VideoHeader;
use siskin_bitstream::video_packet::{Coding, GopInfo};
use siskin_media::VideoFrameView;
use siskin_model::bundle::VideoBundle;
use siskin_model::runtime::{Provider, Runtime};

use super::{CodedFrame, Config, NetworkEncoder, Target};
use crate::{Error, Result, blocks};

/// Encodes frames with the block codec, each at once or several together, or with the network of a bundle.
// A trait object would do, but the two differ in how they begin, and callers name the type.
#[derive(Debug)]
pub struct Encoder(Inner);

#[derive(Debug)]
enum Inner {
    Blocks(Box<blocks::Encoder>),
    Network(Box<NetworkEncoder>),
}

/// Calls a method of whichever encoder there is.
macro_rules! of_either {
    ($self:ident, $encoder:ident => $call:expr) => {
        match &$self.0 {
            Inner::Blocks($encoder) => $call,
            Inner::Network($encoder) => $call,
        }
    };
    (mut $self:ident, $encoder:ident => $call:expr) => {
        match &mut $self.0 {
            Inner::Blocks($encoder) => $call,
            Inner::Network($encoder) => $call,
        }
    };
}

impl Encoder {
    /// Prepares a stream of frames of `header`'s size for the block codec, which needs no bundle.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for a size or configuration that cannot be.
    pub fn new(header: VideoHeader, config: &Config) -> Result<Self> {
        Ok(Self(Inner::Blocks(Box::new(blocks::Encoder::new(header, config)?))))
    }

    /// Prepares a stream that is coded with the network of a bundle.
    ///
    /// # Errors
    /// Those of [`NetworkEncoder::new`].
    pub fn with_network(
        header: VideoHeader,
        runtime: &Runtime,
        bundle: &VideoBundle,
        config: &Config,
    ) -> Result<Self> {
        Ok(Self(Inner::Network(Box::new(NetworkEncoder::new(header, runtime, bundle, config)?))))
    }

    /// How its packets are coded.
    pub fn coding(&self) -> Coding {
        match &self.0 {
            Inner::Blocks(_) => Coding::Blocks,
            Inner::Network(_) => Coding::Realtime,
        }
    }

    /// The stream's header.
    pub fn header(&self) -> &VideoHeader {
        of_either!(self, encoder => encoder.header())
    }

    /// Holds another quality or bit rate from the next frame on.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for a quality that there is not, or a bit rate of 0.
    pub fn set_target(&mut self, target: Target) -> Result<()> {
        of_either!(mut self, encoder => encoder.set_target(target))
    }

    /// Sets [`Config::refinements`] from the next frame on.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for more than [`MAX_REFINEMENTS`](super::MAX_REFINEMENTS).
    pub fn set_refinements(&mut self, refinements: u32) -> Result<()> {
        of_either!(mut self, encoder => encoder.set_refinements(refinements))
    }

    /// Makes the next frame a keyframe.
    pub fn request_key(&mut self) {
        of_either!(mut self, encoder => encoder.request_key());
    }

    /// What runs the networks; none where there are none.
    pub fn provider(&self) -> Option<Provider> {
        match &self.0 {
            Inner::Blocks(_) => None,
            Inner::Network(encoder) => Some(encoder.provider()),
        }
    }

    /// Encodes a frame of 4:2:0, wherever its rows are; [`VideoFrameView::convert_to`] makes such of RGB. `duration` in
    /// nanoseconds is for streams without a constant frame rate.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for a frame of another format or size;
    /// [`Error::Network`](crate::Error::Network), after which the next frame is a keyframe.
    pub fn encode_frame(
        &mut self,
        frame: &VideoFrameView<'_>,
        duration: Option<u32>,
    ) -> Result<CodedFrame<'_>> {
        of_either!(mut self, encoder => encoder.encode_frame(frame, duration))
    }

    /// How many of the frames that come next should be one packet; with a network always one.
    ///
    /// # Errors
    /// Those of [`blocks::Encoder::plan`].
    pub fn plan(&mut self, frames: &[VideoFrameView<'_>]) -> Result<usize> {
        match &mut self.0 {
            Inner::Blocks(encoder) => encoder.plan(frames),
            Inner::Network(_) => Ok(1),
        }
    }

    /// Encodes frames as one packet, as many as [`Encoder::plan`] says. `durations` in nanoseconds, one a frame, are for streams
    /// without a constant frame rate.
    ///
    /// # Errors
    /// As for [`Encoder::encode_frame`], and [`Error::Parameter`](crate::Error::Parameter) for no frames or for more than the next
    /// packet may hold.
    pub fn encode_group(
        &mut self,
        frames: &[VideoFrameView<'_>],
        durations: Option<&[u32]>,
    ) -> Result<CodedFrame<'_>> {
        match (&mut self.0, frames) {
            (Inner::Blocks(encoder), _) => encoder.encode_group(frames, durations),
            (Inner::Network(encoder), [frame]) => {
                encoder.encode_frame(frame, durations.and_then(|d| d.first().copied()))
            }
            _ => Err(Error::parameter("frames", frames.len(), "1")),
        }
    }

    /// As [`Encoder::encode_frame`], of planes Y, U and V one behind another without gaps.
    ///
    /// # Errors
    /// As there.
    pub fn encode(&mut self, data: &[u8], duration: Option<u32>) -> Result<CodedFrame<'_>> {
        of_either!(mut self, encoder => encoder.encode(data, duration))
    }

    /// Goes on behind a packet of an earlier run with the same settings: numbers and rate control stand as if this
    /// encoder had made it. The next frame is a keyframe.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if the packet is of another stream, coding or place, what a decoder
    /// returns for damage.
    pub fn resume(&mut self, packet: &[u8]) -> Result<GopInfo> {
        of_either!(mut self, encoder => encoder.resume(packet))
    }

    /// The frames of the last packet as a decoder sees them, in 4:2:0, in the order of showing, where the encoder keeps them: no samples
    /// are copied.
    ///
    /// # Errors
    /// [`Error::MissingHeader`](crate::Error::MissingHeader) before the first frame.
    pub fn reconstructed_frames(&self) -> Result<Vec<VideoFrameView<'_>>> {
        match &self.0 {
            Inner::Blocks(encoder) => encoder.reconstructed_frames(),
            Inner::Network(encoder) => Ok(vec![encoder.reconstructed_frame()]),
        }
    }

    /// The last frame as a decoder sees it, in 4:2:0, where the encoder keeps it: no samples are copied.
    ///
    /// # Errors
    /// [`Error::MissingHeader`](crate::Error::MissingHeader) before the first frame.
    pub fn reconstructed_frame(&self) -> Result<VideoFrameView<'_>> {
        match &self.0 {
            Inner::Blocks(encoder) => encoder.reconstructed_frame(),
            Inner::Network(encoder) => Ok(encoder.reconstructed_frame()),
        }
    }
}
