use crate::{Error, Limits, Result};
use siskin_bitstream::bytes::Cursor;
use siskin_bitstream::video_packet::{self, Coding, GopInfo, REALTIME_NUMBERS};
use siskin_bitstream::{BundleId, VideoHeader};
use siskin_entropy::binary::BitDecoder;
use siskin_model::bundle::VideoBundle;
use siskin_model::runtime::{Provider, Runtime};

use super::chain::Chain;

/// Reads the packets of the real-time mode: one picture each.
///
/// A packet that cannot be decoded leaves the last good picture; predicted pictures after it are refused
/// ([`Error::MissingPredecessor`]) until one comes that stands alone.
pub struct Decoder {
    runtime: Runtime,
    limits: Limits,
    header: Option<VideoHeader>,
    chain: Option<Chain>,
    /// The number of the packet decoded last, if the chain is whole.
    last: Option<u32>,
    has_picture: bool,
}

impl Decoder {
    /// A decoder that waits for a key packet, which names its bundle.
    pub fn new(runtime: &Runtime) -> Self {
        Self {
            runtime: runtime.clone(),
            limits: Limits::default(),
            header: None,
            chain: None,
            last: None,
            has_picture: false,
        }
    }

    /// Holds streams to other limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The header of the stream; known from the first key packet on.
    pub fn header(&self) -> Option<&VideoHeader> {
        self.header.as_ref()
    }

    /// Forgets the stream, as before a seek; networks are kept.
    pub fn reset(&mut self) {
        self.last = None;
        self.has_picture = false;
    }

    /// What runs the network.
    pub fn provider(&self) -> Option<Provider> {
        self.chain.as_ref().map(Chain::provider)
    }

    /// Decodes a packet.
    ///
    /// # Errors
    /// [`Error::MissingPredecessor`] if the picture is predicted from another than the last; [`Error::MissingHeader`]
    /// before the first key packet; [`Error::WrongBundle`] if the bundle that the stream names is not here;
    /// [`Error::Bitstream`] for anything that the format or the limits do not allow.
    pub fn decode(&mut self, packet: &[u8]) -> Result<GopInfo> {
        let (info, mut cursor) = video_packet::read_head(packet, &self.limits)?;
        if info.coding != Coding::Realtime {
            return Err(cursor.error("coding", "not a real-time picture"));
        }
        if let Some(header) = info.header.filter(|_| info.key) {
            let (id, name) = bundle_named(&mut cursor)?;
            self.prepare(header, id, &name)?;
        } else {
            let needed = (info.number + REALTIME_NUMBERS - 1) % REALTIME_NUMBERS;
            if self.chain.is_none() {
                return Err(Error::MissingHeader);
            }
            if self.last != Some(needed) {
                return Err(Error::MissingPredecessor { number: info.number, needed, found: self.last });
            }
        }
        let Some(chain) = &mut self.chain else { return Err(Error::MissingHeader) };
        let most = chain.bundle.manifest().qualities - 1;
        let quality = cursor.byte_in("quality", 0, most.min(255) as u8)?;
        let mut coder = BitDecoder::new(cursor.rest())?;
        // Should anything below fail, the chain is broken.
        self.last = None;
        chain.begin(info.key);
        if !info.key {
            chain.code_motion(&mut coder)?;
        }
        chain.code_latents(&mut coder, info.key)?;
        if !coder.may_be_at_end() {
            return Err(cursor.error("symbols", "more than the picture takes"));
        }
        chain.predict(info.key);
        chain.reconstruct(quality)?;
        self.last = Some(info.number);
        self.has_picture = true;
        Ok(info)
    }

    /// Opens networks where the stream's bundle or size is another than before.
    fn prepare(&mut self, header: VideoHeader, id: BundleId, name: &str) -> Result<()> {
        let size = (header.width as usize, header.height as usize);
        let fits = |c: &Chain| c.size == size && c.bundle.manifest().id() == id;
        if !self.chain.as_ref().is_some_and(fits) {
            let known = self.chain.as_ref().map(|c| &c.bundle).filter(|b| b.manifest().id() == id);
            let bundle = match known {
                Some(bundle) => bundle.clone(),
                None => VideoBundle::for_stream(id, name)?,
            };
            self.chain = Some(Chain::new(&bundle, &self.runtime, &header, &self.limits)?);
            self.has_picture = false;
        }
        self.header = Some(header);
        Ok(())
    }

    /// The picture decoded last as 4:2:0, planes Y, U and V without gaps, replacing `out`.
    ///
    /// # Errors
    /// [`Error::MissingHeader`] if none has been decoded; `out` is then left as it was.
    pub fn picture(&self, out: &mut Vec<u8>) -> Result<()> {
        let chain = self.chain.as_ref().filter(|_| self.has_picture).ok_or(Error::MissingHeader)?;
        out.clear();
        chain.picture.write_i420(chain.size, out);
        Ok(())
    }
}

/// Reads which bundle a key packet needs: its id and name.
pub(super) fn bundle_named(cursor: &mut Cursor<'_>) -> Result<(BundleId, String)> {
    let id: [u8; 8] = cursor.bytes("bundle", 8)?.try_into().unwrap_or_default();
    let length = cursor.byte_in("bundle name's length", 0, 64)?;
    let name = String::from_utf8_lossy(cursor.bytes("bundle name", length.into())?);
    Ok((BundleId(id), name.into_owned()))
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("realtime::Decoder").field("header", &self.header).finish_non_exhaustive()
    }
}
