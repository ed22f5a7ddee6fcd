//! What the symbols of a stream are coded against, and reading the symbols of packets. No network runs here.

use siskin_bitstream::bytes::Cursor;
use siskin_bitstream::video_packet::{self, Coding, GopInfo, REALTIME_NUMBERS};
use siskin_bitstream::{BundleId, VideoHeader};
use siskin_entropy::binary::{BitCoder, BitDecoder};
use siskin_media::Size;
use siskin_model::bundle::VideoBundle;

use super::CHANNELS;
use super::contexts::{self, Contexts};
use super::latents::{self, Neighbors};
use super::motion::{self, MotionField};
use super::packing::{block_grid, padded_frame};
use crate::{Error, Limits, Result};

/// The codec state on the side of the symbols: adaptive contexts, and motion and latents of the last frame.
#[derive(Debug)]
pub(super) struct SymbolState {
    pub(super) bundle: VideoBundle,
    /// The visible part of frames.
    pub(super) size: Size,
    /// Probabilities at which contexts begin at a keyframe.
    initial: Vec<u16>,
    pub(super) contexts: Contexts,
    pub(super) neighbors: Neighbors,
    pub(super) motion: MotionField,
    /// 96 per block.
    pub(super) latents: Vec<i16>,
}

impl SymbolState {
    /// For a stream of a bundle whose frames have `header`'s size.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a size that is not coded, [`Error::BadBundle`].
    pub(super) fn new(bundle: &VideoBundle, header: &VideoHeader, limits: &Limits) -> Result<Self> {
        // First, since everything below is allocated by that size.
        let size = super::check_size(header, limits, super::MEMORY_PER_PIXEL)?;
        let initial = read_initial_probabilities(bundle)?;
        let (columns, rows) = block_grid(&padded_frame(size));
        Ok(Self {
            bundle: bundle.clone(),
            size,
            contexts: Contexts::new(&initial),
            initial,
            neighbors: Neighbors::new(columns, rows),
            motion: MotionField::new(columns, rows),
            latents: vec![0; columns * rows * CHANNELS],
        })
    }

    /// Begins a frame; contexts and motion begin again at a keyframe.
    pub(super) fn start_frame(&mut self, is_keyframe: bool) {
        if is_keyframe {
            self.contexts.reset(&self.initial);
            // A keyframe codes no motion, and the first predicted frame after it must not be predicted from vectors
            // of before.
            self.motion.clear();
        }
    }

    /// Codes or reads the motion of a predicted frame.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for what no encoder writes.
    pub(super) fn code_motion<C: BitCoder>(&mut self, coder: &mut C) -> Result<()> {
        motion::code_motion(coder, &mut self.contexts, &mut self.motion)
    }

    /// Codes or reads the latents.
    ///
    /// # Errors
    /// As for [`SymbolState::code_motion`].
    pub(super) fn code_latents<C: BitCoder>(&mut self, coder: &mut C, is_keyframe: bool) -> Result<()> {
        let Self { contexts, neighbors, latents, .. } = self;
        latents::code_latents(coder, contexts, neighbors, is_keyframe, latents)
    }
}

/// Reads packets of a stream one after another: checks that they follow each other, and reads their symbols.
#[derive(Debug, Default)]
pub(super) struct SymbolReader {
    header: Option<VideoHeader>,
    state: Option<SymbolState>,
    /// The number of the last packet, if all went well since the last keyframe.
    last: Option<u32>,
}

impl SymbolReader {
    /// The header of the stream; known from the first keyframe on.
    pub(super) fn header(&self) -> Option<&VideoHeader> {
        self.header.as_ref()
    }

    /// The state after the last packet.
    pub(super) fn state(&self) -> Option<&SymbolState> {
        self.state.as_ref()
    }

    /// Waits for a keyframe.
    pub(super) fn reset(&mut self) {
        self.last = None;
    }

    /// Drops the state too, so that the next keyframe makes a new one.
    pub(super) fn drop_state(&mut self) {
        (self.last, self.state) = (None, None);
    }

    /// Reads the head of a packet and makes the state of a new stream; the cursor stands before the quality.
    ///
    /// # Errors
    /// [`Error::MissingPredecessor`] if the frame is predicted from another than the last; [`Error::MissingHeader`] before
    /// the first keyframe; [`Error::WrongBundle`] if the bundle that the stream names is not found; [`Error::Bitstream`]
    /// for anything that the format or the limits do not allow.
    pub(super) fn open_packet<'a>(
        &mut self,
        data: &'a [u8],
        limits: &Limits,
    ) -> Result<(GopInfo, Cursor<'a>)> {
        let (info, mut cursor) = video_packet::read_head(data, limits)?;
        // A stream may hold fitted GOPs too; whoever calls this has told them apart.
        if info.coding != Coding::Realtime {
            return Err(cursor.field_error("coding", "not a real-time packet"));
        }
        if let Some(header) = info.header.filter(|_| info.is_keyframe) {
            let (id, name) = read_bundle_name(&mut cursor)?;
            self.prepare_state(&header, id, &name, limits)?;
            self.header = Some(header);
        } else {
            if self.state.is_none() {
                return Err(Error::MissingHeader);
            }
            // Numbers run from 0 to 127: enough to notice a loss, short of a multiple of 128 packets.
            let needed = (info.number + REALTIME_NUMBERS - 1) % REALTIME_NUMBERS;
            if self.last != Some(needed) {
                return Err(Error::MissingPredecessor { number: info.number, needed, found: self.last });
            }
        }
        Ok((info, cursor))
    }

    /// Makes a new state where the stream's bundle or size is another than before.
    fn prepare_state(
        &mut self,
        header: &VideoHeader,
        id: BundleId,
        name: &str,
        limits: &Limits,
    ) -> Result<()> {
        // A keyframe of the same stream keeps its buffers; only another bundle or size is worth an allocation and the
        // search for a bundle.
        let known = self.state.as_ref().filter(|s| s.bundle.manifest().id() == id);
        if known.is_some_and(|s| header.size().is_ok_and(|size| size == s.size)) {
            return Ok(());
        }
        let bundle = match known {
            Some(state) => state.bundle.clone(),
            None => VideoBundle::for_stream(id, name)?,
        };
        self.state = Some(SymbolState::new(&bundle, header, limits)?);
        self.last = None;
        Ok(())
    }

    /// Reads the symbols of the packet that [`SymbolReader::open_packet`] has opened; gives its quality. Until
    /// [`SymbolReader::finish_packet`] the stream counts as broken.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for what no encoder writes.
    pub(super) fn read_symbols(&mut self, info: &GopInfo, mut cursor: Cursor<'_>) -> Result<u8> {
        let state = self.state.as_mut().ok_or(Error::MissingHeader)?;
        let worst = state.bundle.manifest().qualities - 1;
        let quality = cursor.read_byte_in("quality", 0, worst.min(255) as u8)?;
        let mut coder = BitDecoder::new(cursor.rest())?;
        // From here on contexts may be adapted halfway, so an error leaves a state that no later frame may build on.
        self.last = None;
        state.start_frame(info.is_keyframe);
        if !info.is_keyframe {
            state.code_motion(&mut coder)?;
        }
        state.code_latents(&mut coder, info.is_keyframe)?;
        // A faulty writer seldom ends where its data does, so this finds what the checksum cannot.
        if !coder.may_be_at_end() {
            return Err(cursor.field_error("symbols", "more than the frame needs"));
        }
        Ok(quality)
    }

    /// The packet of this number was decoded: the next one may follow.
    pub(super) fn finish_packet(&mut self, number: u32) {
        self.last = Some(number);
    }
}

/// Reads which bundle a keyframe needs: its id and name.
pub(super) fn read_bundle_name(cursor: &mut Cursor<'_>) -> Result<(BundleId, String)> {
    let id: [u8; 8] = cursor.read_bytes("bundle", 8)?.try_into().unwrap_or_default();
    // The name only helps to find a bundle or to name it in an error; the id decides.
    let length = cursor.read_byte_in("bundle name's length", 0, 64)?;
    let name = String::from_utf8_lossy(cursor.read_bytes("bundle name", length.into())?);
    Ok((BundleId(id), name.into_owned()))
}

/// The probabilities at which contexts begin, from the bundle.
fn read_initial_probabilities(bundle: &VideoBundle) -> Result<Vec<u16>> {
    let data = &bundle.file_bytes(&bundle.manifest().contexts)?;
    let (pairs, rest) = data.as_chunks::<2>();
    if pairs.len() != contexts::COUNT || !rest.is_empty() {
        let reason = format!("contexts of {} bytes, not {}", data.len(), 2 * contexts::COUNT);
        return Err(Error::bad_bundle(bundle.path(), reason));
    }
    Ok(pairs.iter().map(|&p| u16::from_le_bytes(p)).collect())
}
