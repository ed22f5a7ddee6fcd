use siskin_bitstream::VideoHeader;
use siskin_bitstream::video_packet::GopInfo;
use siskin_media::{VideoFrame, VideoFrameView};
use siskin_model::runtime::{Provider, Runtime};

use super::reconstructor::Reconstructor;
use super::symbols::SymbolReader;
use crate::{Error, Limits, Result};

/// Decodes the packets of the real-time mode: one frame each.
///
/// A packet that cannot be decoded leaves the last good frame; predicted frames after it are refused
/// ([`Error::MissingPredecessor`]) until a keyframe comes.
pub struct Decoder {
    runtime: Runtime,
    limits: Limits,
    symbols: SymbolReader,
    reconstructor: Option<Reconstructor>,
    has_frame: bool,
}

impl Decoder {
    /// A decoder that waits for a keyframe, which names its bundle.
    pub fn new(runtime: &Runtime) -> Self {
        Self {
            runtime: runtime.clone(),
            limits: Limits::default(),
            symbols: SymbolReader::default(),
            reconstructor: None,
            has_frame: false,
        }
    }

    /// Holds streams to other limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The header of the stream; known from the first keyframe on.
    pub fn header(&self) -> Option<&VideoHeader> {
        self.symbols.header()
    }

    /// Forgets the stream, as before a seek; networks are kept.
    pub fn reset(&mut self) {
        self.symbols.reset();
        // The frame before a seek must not be shown as the one sought.
        self.has_frame = false;
    }

    /// What runs the network.
    pub fn provider(&self) -> Option<Provider> {
        self.reconstructor.as_ref().map(Reconstructor::provider)
    }

    /// Decodes a packet.
    ///
    /// # Errors
    /// [`Error::MissingPredecessor`] if the frame is predicted from another than the last; [`Error::MissingHeader`]
    /// before the first keyframe; [`Error::WrongBundle`] if the bundle that the stream names is not found;
    /// [`Error::Bitstream`] for anything that the format or the limits do not allow; [`Error::Network`].
    pub fn decode(&mut self, packet: &[u8]) -> Result<GopInfo> {
        let (info, cursor) = self.symbols.open_packet(packet, &self.limits)?;
        // Before the symbols are read, so that no time goes into a frame that cannot be made.
        self.prepare_network()?;
        let quality = self.symbols.read_symbols(&info, cursor)?;
        let (Some(state), Some(reconstructor)) = (self.symbols.state(), &mut self.reconstructor) else {
            return Err(Error::MissingHeader);
        };
        reconstructor.start_frame(info.is_keyframe);
        reconstructor.predict_frame(&state.motion);
        reconstructor.reconstruct_frame(state, quality)?;
        // Only after the network ran: a frame whose reconstruction failed is no reference for the next.
        self.symbols.finish_packet(info.number);
        self.has_frame = true;
        Ok(info)
    }

    /// Opens the network where the stream's bundle or size is another than before.
    fn prepare_network(&mut self) -> Result<()> {
        let state = self.symbols.state().ok_or(Error::MissingHeader)?;
        if self.reconstructor.as_ref().is_some_and(|r| r.fits(state)) {
            return Ok(());
        }
        self.has_frame = false;
        match Reconstructor::new(state, &self.runtime) {
            Ok(new) => self.reconstructor = Some(new),
            Err(error) => {
                // Otherwise the next keyframe would find a state of the right size and skip what failed here.
                self.symbols.drop_state();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The frame decoded last, in 4:2:0, where the decoder keeps it: no samples are copied.
    ///
    /// # Errors
    /// [`Error::MissingHeader`] if none has been decoded.
    pub fn frame(&self) -> Result<VideoFrameView<'_>> {
        let reconstructor = self.reconstructor.as_ref().filter(|_| self.has_frame);
        reconstructor.map(Reconstructor::visible_frame).ok_or(Error::MissingHeader)
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

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("realtime::Decoder").field("header", &self.header()).finish_non_exhaustive()
    }
}
