use std::sync::Arc;

use siskin_bitstream::VideoHeader;
use siskin_bitstream::bytes::Cursor;
use siskin_bitstream::video_packet::{self, Coding, GopInfo, REALTIME_NUMBERS};
use siskin_entropy::range::RangeDecoder;
use siskin_media::{VideoFrame, VideoFrameView};

use super::contexts::Contexts;
use super::grid::{Grid, TREE};
use super::picture::{Canvas, Picture};
use super::pyramid::{self, MAX_FRAMES};
use super::reconstruct::reconstruct;
use super::state::{DECODER_MEMORY_PER_PIXEL, Start, State};
use super::syntax::{Block, MAX_LEVELS, MAX_LOG, MIN_LOG, code_prediction, code_residual, code_split};
use super::{HAS_TOOLS, KEPT, QUALITY_MASK, tools};
use crate::realtime::check_size;
use crate::{Error, Limits, Result};

/// Decodes the packets of the block codec, of one frame or of several. It needs no bundle and no network.
///
/// A packet that cannot be decoded leaves the last good frame; predicted frames after it are refused
/// ([`Error::MissingPredecessor`]) until a keyframe comes.
#[derive(Debug, Default)]
pub struct Decoder {
    limits: Limits,
    header: Option<VideoHeader>,
    state: Option<State>,
    /// The number of the last packet, if all went well since the last keyframe.
    last: Option<u32>,
    /// The frames of the packet decoded last, in the order of showing.
    shown: Vec<Arc<Picture>>,
}

impl Decoder {
    /// A decoder that waits for a keyframe.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds streams to other limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The header of the stream; known from the first keyframe on.
    pub fn header(&self) -> Option<&VideoHeader> {
        self.header.as_ref()
    }

    /// Forgets the stream, as before a seek.
    pub fn reset(&mut self) {
        // The frame before a seek must not be shown as the one sought.
        self.last = None;
        self.shown.clear();
    }

    /// Decodes a packet.
    ///
    /// # Errors
    /// [`Error::MissingPredecessor`] if the frame is predicted from another than the last; [`Error::MissingHeader`]
    /// before the first keyframe; [`Error::Bitstream`] and [`Error::Parameter`] for anything that the format or the limits
    /// do not allow.
    pub fn decode(&mut self, packet: &[u8]) -> Result<GopInfo> {
        let (info, cursor) = video_packet::read_head(packet, &self.limits)?;
        if info.coding != Coding::Blocks {
            return Err(cursor.field_error("coding", "not a packet of the block codec"));
        }
        if let Some(header) = info.header.filter(|_| info.is_keyframe) {
            let size = check_size(&header, &self.limits, DECODER_MEMORY_PER_PIXEL)?;
            if self.state.as_ref().is_none_or(|s| s.size != size) {
                // Before the new frames are allocated, so that never two streams take memory.
                self.state = None;
                self.shown.clear();
                self.state = Some(State::new(size, false));
            }
            self.header = Some(header);
        } else {
            // Numbers run from 0 to 127: enough to notice a loss, short of a multiple of 128 packets.
            let needed = (info.number + REALTIME_NUMBERS - 1) % REALTIME_NUMBERS;
            if self.state.is_none() {
                return Err(Error::MissingHeader);
            }
            if self.last != Some(needed) {
                return Err(Error::MissingPredecessor { number: info.number, needed, found: self.last });
            }
        }
        // From here on contexts may be adapted halfway, so an error leaves a state that no later frame may build on.
        let had_frame = self.last.take().is_some();
        let state = self.state.as_mut().ok_or(Error::MissingHeader)?;
        // Nothing after the head: the frame before is shown again, and the state stays as it is.
        let is_repeated = !info.is_keyframe && had_frame && cursor.rest().is_empty() && info.frames == 1;
        if is_repeated {
            self.shown.clear();
            self.shown.extend(state.references.last().cloned());
        } else {
            // Should this fail, the last good frame stays; the memory of the others is used again.
            self.shown.drain(..self.shown.len().saturating_sub(1));
            decode_packet(state, &info, cursor)?;
            self.shown = state.references.shown().into_iter().cloned().collect();
        }
        self.last = Some(info.number);
        Ok(info)
    }

    /// The last frame of the packet decoded last, in 4:2:0, where the decoder keeps it: no samples are copied.
    ///
    /// # Errors
    /// [`Error::MissingHeader`] if none has been decoded.
    pub fn frame(&self) -> Result<VideoFrameView<'_>> {
        self.frame_at(self.shown.len().saturating_sub(1))
    }

    /// Frame `index` of the packet decoded last, in the order of showing; otherwise as [`Decoder::frame`].
    ///
    /// # Errors
    /// [`Error::MissingHeader`] if no packet has been decoded; [`Error::Parameter`] for a frame that it does not have.
    pub fn frame_at(&self, index: usize) -> Result<VideoFrameView<'_>> {
        match (&self.state, self.shown.get(index)) {
            (Some(state), Some(shown)) => shown.view(state.size),
            (Some(_), None) if !self.shown.is_empty() => {
                Err(Error::parameter("frame", index, format!("0 to {}", self.shown.len() - 1)))
            }
            _ => Err(Error::MissingHeader),
        }
    }

    /// Copies the frame decoded last to `out`, which takes on its format and size.
    ///
    /// # Errors
    /// As for [`Decoder::frame`]; `out` is then left as it was.
    pub fn copy_frame(&self, out: &mut VideoFrame) -> Result<()> {
        self.frame()?.copy_to(out);
        Ok(())
    }
}

/// Decodes the frames of a packet.
fn decode_packet(state: &mut State, info: &GopInfo, mut cursor: Cursor<'_>) -> Result<()> {
    let (is_keyframe, frames) = (info.is_keyframe, info.frames as usize);
    let first = cursor.read_byte("quality")?;
    if is_keyframe {
        state.tools = if first & HAS_TOOLS != 0 { cursor.read_byte("tools")? } else { 0 };
        if state.tools & !tools::ALL != 0 {
            let reason = format!("{:#04x}, of which this reader knows {:#04x}", state.tools, tools::ALL);
            return Err(cursor.field_error("tools", reason));
        }
    } else if first & HAS_TOOLS != 0 {
        return Err(cursor.field_error("quality", "bit 7 is set, which only keyframes may have"));
    }
    let most = if is_keyframe || state.tools & tools::PYRAMID == 0 { 1 } else { MAX_FRAMES };
    if frames > most {
        return Err(cursor.field_error("frames", format!("{frames}, allowed here: up to {most}")));
    }
    if state.references.last().is_none() && !is_keyframe {
        return Err(Error::MissingHeader);
    }
    let (quality, is_kept) = (first & QUALITY_MASK, first & KEPT != 0);
    let mut coder = RangeDecoder::new(cursor.rest());
    state.start_packet(is_keyframe);
    for step in pyramid::order(frames) {
        let quality = match step.level {
            0 => quality,
            level => pyramid::code_quality(&mut coder, (quality, level), 0)?,
        };
        decode_frame(state, Start { is_keyframe, step, quality }, is_kept, &mut coder)?;
    }
    state.finish_packet(frames);
    if !coder.may_be_at_end() {
        return Err(cursor.field_error("decisions", "more than the frames need"));
    }
    Ok(())
}

/// Decodes a frame and makes it a reference frame.
fn decode_frame(state: &mut State, start: Start, is_kept: bool, coder: &mut RangeDecoder<'_>) -> Result<()> {
    let (references, mut picture) = state.start_frame(start);
    let mut canvases = picture.cut(&[]);
    let (contexts, grids) = state.parts(start.step.kind());
    let mut trees = Trees {
        coder,
        contexts,
        // A decoder has one of each.
        grid: &mut grids[0],
        canvas: &mut canvases[0],
        references: &references,
        quality: start.quality,
        levels: Box::new([0; MAX_LEVELS]),
    };
    trees.decode_all()?;
    // A faulty writer seldom ends where its data does, so this finds what the checksum cannot.
    trees.coder.check()?;
    drop((references, canvases));
    state.finish_frame(picture, start, is_kept);
    Ok(())
}

/// The blocks of a frame on their way to samples.
struct Trees<'a, 'b, 'c> {
    coder: &'a mut RangeDecoder<'c>,
    contexts: &'a mut Contexts,
    grid: &'a mut Grid,
    canvas: &'a mut Canvas<'b>,
    references: &'a [Arc<Picture>],
    quality: u8,
    levels: Box<[i16; MAX_LEVELS]>,
}

impl Trees<'_, '_, '_> {
    fn decode_all(&mut self) -> Result<()> {
        let (width, height) = (self.grid.width(), self.grid.bottom());
        for y in (0..height).step_by(TREE) {
            for x in (0..width).step_by(TREE) {
                self.decode_square(x, y, MAX_LOG)?;
            }
            // Data that has ended gives decisions all the same; a large frame of them is not worth the time.
            self.coder.check()?;
        }
        Ok(())
    }

    fn decode_square(&mut self, x: usize, y: usize, log: u8) -> Result<()> {
        let side = 1 << log;
        let (contexts, grid) = (&mut *self.contexts, &mut *self.grid);
        let (width, height) = (grid.width(), grid.bottom());
        if x >= width || y >= height {
            return Ok(());
        }
        // Squares that reach beyond the frame are always split.
        let is_inside = x + side <= width && y + side <= height;
        let is_split =
            log > MIN_LOG && (!is_inside || code_split(self.coder, contexts, grid, (x, y, log), false)?);
        if is_split {
            let half = side / 2;
            return [(0, 0), (half, 0), (0, half), (half, half)]
                .into_iter()
                .try_for_each(|(dx, dy)| self.decode_square(x + dx, y + dy, log - 1));
        }
        let mut block = Block::new(x, y, log);
        code_prediction(self.coder, contexts, grid, &mut block)?;
        let extents = code_residual(self.coder, contexts, &mut block, &mut self.levels[..])?;
        block.record(grid);
        let reference = |r: u8| self.references.get(usize::from(r)).map(Arc::as_ref);
        reconstruct(self.canvas, reference, grid, &block, (&self.levels[..], &extents), self.quality);
        if block.coded != 0 {
            // The next block is read into zeros.
            self.levels[..block.level_count()].fill(0);
        }
        Ok(())
    }
}
