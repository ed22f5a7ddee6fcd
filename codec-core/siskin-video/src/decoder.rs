use super::frame_threads::{GroupFrames, GroupSource};
use super::gop;
use super::{blocks, inference, quantizer, realtime};
use crate::arch::Architecture;
use crate::{Error, Limits, Result};
use siskin_bitstream::VideoHeader;
use siskin_bitstream::video_packet::{Coding, GopInfo, inspect};
use siskin_media::{PixelFormat, VideoFrame, VideoFrameView, YuvMatrix};
use siskin_model::runtime::{Provider, Runtime};

/// The network of a group of pictures as it was coded.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The number of the group.
    pub number: u32,
    /// Its network.
    pub arch: Architecture,
    /// The parameters of the network.
    pub parameters: Vec<f32>,
}

/// Decodes groups of frames: [`Decoder::load`] reads a packet, [`Decoder::decode_frame`] decodes any of its frames.
///
/// Frames of a group with a network of its own are decoded by frame threads, which prefetch a few beyond the one that is
/// asked for: quickest is to ask for one after another.
///
/// A packet of the [block codec](blocks) is a group of one frame or several, one of a [network for all streams](realtime) of one
/// frame; its bundle is found by the id in the stream.
///
/// Parameters decode to the same numbers on every machine. Frames may differ by one step of 255 where networks are
/// computed in another order.
pub struct Decoder {
    runtime: Runtime,
    limits: Limits,
    header: Option<VideoHeader>,
    before: Option<Decoded>,
    /// The group at hand, ready to be shown.
    loaded: Option<GroupFrames>,
    /// Reads frames of the real-time mode; there from the first one on.
    realtime: Option<Box<realtime::Decoder>>,
    /// Reads frames of the block codec.
    blocks: blocks::Decoder,
    /// How the packet at hand is coded.
    coding: Coding,
    /// A frame on its way to 4:2:0.
    rgb: VideoFrame,
}

impl Decoder {
    /// A decoder that waits for a key packet.
    pub fn new(runtime: &Runtime) -> Self {
        Self {
            runtime: runtime.clone(),
            limits: Limits::default(),
            header: None,
            before: None,
            loaded: None,
            realtime: None,
            blocks: blocks::Decoder::new(),
            coding: Coding::Fitted,
            rgb: VideoFrame::default(),
        }
    }

    /// Holds streams to other limits.
    pub fn set_limits(&mut self, limits: Limits) {
        if let Some(realtime) = &mut self.realtime {
            realtime.set_limits(limits.clone());
        }
        self.blocks.set_limits(limits.clone());
        self.limits = limits;
    }

    /// The header of the stream; known from the first key packet on.
    pub fn header(&self) -> Option<&VideoHeader> {
        self.header.as_ref()
    }

    /// Forgets the stream, as before a seek.
    pub fn reset(&mut self) {
        self.before = None;
        self.loaded = None;
        self.blocks.reset();
        if let Some(realtime) = &mut self.realtime {
            realtime.reset();
        }
    }

    /// What runs the network of the group at hand.
    pub fn provider(&self) -> Option<Provider> {
        match self.coding {
            Coding::Fitted => self.loaded.as_ref().map(GroupFrames::provider),
            Coding::Realtime => self.realtime.as_ref().and_then(|r| r.provider()),
            // No network.
            Coding::Blocks => None,
        }
    }

    /// The number, network and parameters of the group at hand.
    pub fn decoded(&self) -> Option<&Decoded> {
        self.before.as_ref()
    }

    /// Takes a packet, whose frames can then be had.
    ///
    /// # Errors
    /// [`Error::MissingHeader`] before the first key packet; [`Error::MissingPredecessor`] if the group is coded against
    /// another one than the last; [`Error::Bitstream`] for anything that the format or the limits do not allow. The group
    /// before stays as it was. [`Error::Network`] if the network cannot be made, after which there is no group.
    pub fn load(&mut self, packet: &[u8]) -> Result<GopInfo> {
        let info = inspect(packet, &self.limits)?;
        if info.coding == Coding::Blocks {
            let info = self.blocks.decode(packet)?;
            self.header = self.blocks.header().copied();
            self.coding = Coding::Blocks;
            return Ok(info);
        }
        if info.coding == Coding::Realtime {
            // Made on demand, since most streams have one coding only.
            let realtime = self.realtime.get_or_insert_with(|| {
                let mut new = Box::new(realtime::Decoder::new(&self.runtime));
                new.set_limits(self.limits.clone());
                new
            });
            // The coding changes only after success, so that a damaged packet leaves the frames of before to be
            // shown.
            let info = realtime.decode(packet)?;
            self.header = realtime.header().copied();
            self.coding = Coding::Realtime;
            return Ok(info);
        }
        let header = info.header.or(self.header).ok_or(Error::MissingHeader)?;
        let before = self.before.as_ref();
        let gop = gop::parse_gop(packet, &header, before.map(|b| (b.number, &b.arch)), &self.limits)?;
        // A key GOP stands alone even where another was decoded before it.
        let base = before.filter(|_| !gop.is_keyframe).map(|b| b.parameters.as_slice());
        let parameters = gop::dequantize_groups(&gop.groups, base);
        let arch = match (gop.arch, before) {
            (Some(own), _) => own,
            (None, Some(before)) => before.arch.clone(),
            (None, None) => return Err(Error::MissingHeader),
        };
        // Embeddings belong to frames, not to the network, so they are never differences to the GOP before.
        let embeddings = gop.embeddings.map_or(Vec::new(), |group| {
            let step = quantizer::step_size(group.step);
            group.symbols.iter().map(|&s| s as f32 * step).collect()
        });
        let size = header.size()?;
        // The threads of the group before end here, so that never more than one group takes memory.
        self.loaded = None;
        let model = inference::build_model(&arch, &parameters, &header);
        let source = GroupSource {
            number: gop.number,
            arch: arch.clone(),
            size,
            frames: gop.frames as usize,
            embeddings,
        };
        self.loaded = Some(GroupFrames::open(&self.runtime, &self.limits, source, model)?);
        self.coding = Coding::Fitted;
        self.header = Some(header);
        // Last: on any error above, the next packet is still checked against the GOP that was really decoded.
        self.before = Some(Decoded { number: gop.number, arch, parameters });
        Ok(info)
    }

    /// Decodes frame `index` of the current group to `format`, replacing `out`. Frames of the real-time mode are 4:2:0 and
    /// others RGB; the other way they are converted with the stream's colorimetry.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no such frame, [`Error::NotFinite`] if the network gives NaN or infinite values,
    /// in which case `out` is left as it was; [`Error::Network`].
    pub fn decode_frame(&mut self, index: usize, format: PixelFormat, out: &mut VideoFrame) -> Result<()> {
        let header = self.header.as_ref().ok_or(Error::MissingHeader)?;
        let matrix = YuvMatrix::from_colorimetry(&header.colorimetry);
        match self.coding {
            // A packet of it is one frame.
            Coding::Realtime if index > 0 => return Err(Error::parameter("frame", index, "0")),
            Coding::Blocks => self.blocks.frame_at(index)?.convert_to(format, &matrix, out),
            Coding::Realtime => {
                let realtime = self.realtime.as_ref().ok_or(Error::MissingHeader)?;
                realtime.frame()?.convert_to(format, &matrix, out);
            }
            Coding::Fitted => {
                let group = self.loaded.as_mut().ok_or(Error::MissingHeader)?;
                // Straight into the caller's frame, without the copy through `rgb`.
                if format == PixelFormat::Rgb {
                    return group.decode_frame(index, out);
                }
                group.decode_frame(index, &mut self.rgb)?;
                self.rgb.view().convert_to(format, &matrix, out);
            }
        }
        Ok(())
    }

    /// Frame `index` of the last packet, in 4:2:0, where the decoder keeps it: no samples are copied. None if the group at hand has a
    /// network of its own, whose frames [`Decoder::decode_frame`] computes.
    ///
    /// # Errors
    /// [`Error::MissingHeader`] if none has been decoded; [`Error::Parameter`] if there is no such frame.
    pub fn view_frame(&self, index: usize) -> Result<Option<VideoFrameView<'_>>> {
        match self.coding {
            Coding::Realtime if index > 0 => Err(Error::parameter("frame", index, "0")),
            Coding::Blocks => self.blocks.frame_at(index).map(Some),
            Coding::Realtime => self.realtime.as_ref().ok_or(Error::MissingHeader)?.frame().map(Some),
            Coding::Fitted => Ok(None),
        }
    }

    /// As [`Decoder::view_frame`], the last frame that could be decoded.
    ///
    /// # Errors
    /// [`Error::MissingHeader`] if none has been decoded.
    pub fn view_last_frame(&self) -> Result<Option<VideoFrameView<'_>>> {
        match self.coding {
            Coding::Blocks => self.blocks.frame().map(Some),
            _ => self.view_frame(0),
        }
    }

    /// As [`Decoder::decode_frame`], to the bytes of RGB.
    ///
    /// # Errors
    /// As there.
    pub fn frame(&mut self, index: usize, out: &mut Vec<u8>) -> Result<()> {
        self.decode_bytes(index, PixelFormat::Rgb, out)
    }

    /// As [`Decoder::decode_frame`], to the bytes of 4:2:0: planes Y, U and V without gaps.
    ///
    /// # Errors
    /// As there.
    pub fn frame_i420(&mut self, index: usize, out: &mut Vec<u8>) -> Result<()> {
        self.decode_bytes(index, PixelFormat::I420, out)
    }

    fn decode_bytes(&mut self, index: usize, format: PixelFormat, out: &mut Vec<u8>) -> Result<()> {
        let mut frame = VideoFrame::default();
        self.decode_frame(index, format, &mut frame)?;
        *out = frame.into_data();
        Ok(())
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("header", &self.header).finish_non_exhaustive()
    }
}
