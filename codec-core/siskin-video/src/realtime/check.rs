use crate::{Error, Limits, Result};
use siskin_bitstream::VideoHeader;
use siskin_bitstream::video_packet::{self, GopInfo, REALTIME_NUMBERS};
use siskin_entropy::binary::BitDecoder;
use siskin_model::bundle::VideoBundle;

use super::chain::starts;
use super::contexts::Contexts;
use super::decoder::bundle_named;
use super::latents::{self, Neighbours};
use super::picture::Picture;
use super::vectors::{self, Motion};
use super::{BLOCK, CHANNELS};

/// Reads the packets of a stream to their last decision without running a network.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    state: Option<State>,
    last: Option<u32>,
}

#[derive(Debug)]
struct State {
    bundle: VideoBundle,
    size: (u32, u32),
    start: Vec<u16>,
    contexts: Contexts,
    around: Neighbours,
    motion: Motion,
    latents: Vec<i16>,
}

impl State {
    fn new(bundle: VideoBundle, header: &VideoHeader) -> Result<Self> {
        let start = starts(&bundle)?;
        let picture = Picture::new(header.width as usize, header.height as usize);
        let (columns, rows) = (picture.width / BLOCK, picture.height / BLOCK);
        Ok(Self {
            bundle,
            size: (header.width, header.height),
            contexts: Contexts::new(&start),
            start,
            around: Neighbours::new(columns, rows),
            motion: Motion::new(columns, rows),
            latents: vec![0; columns * rows * CHANNELS],
        })
    }
}

impl Checker {
    /// Reads the next packet.
    ///
    /// # Errors
    /// Those of a decoder, but for the networks'.
    pub(crate) fn packet(&mut self, data: &[u8], limits: &Limits) -> Result<GopInfo> {
        let (info, mut cursor) = video_packet::read_head(data, limits)?;
        if let Some(header) = info.header.filter(|_| info.key) {
            let (id, name) = bundle_named(&mut cursor)?;
            let fits = |s: &State| s.size == (header.width, header.height) && s.bundle.manifest().id() == id;
            if !self.state.as_ref().is_some_and(fits) {
                super::check_size(&header, limits)?;
                self.state = Some(State::new(VideoBundle::for_stream(id, &name)?, &header)?);
            }
        } else {
            let needed = (info.number + REALTIME_NUMBERS - 1) % REALTIME_NUMBERS;
            if self.last != Some(needed) {
                return Err(Error::MissingPredecessor { number: info.number, needed, found: self.last });
            }
        }
        self.last = None;
        let State { bundle, start, contexts, around, motion, latents, .. } =
            self.state.as_mut().ok_or(Error::MissingHeader)?;
        let most = bundle.manifest().qualities - 1;
        cursor.byte_in("quality", 0, most.min(255) as u8)?;
        let mut coder = BitDecoder::new(cursor.rest())?;
        if info.key {
            contexts.reset(start);
            motion.clear();
        } else {
            vectors::code(&mut coder, contexts, motion)?;
        }
        latents::code(&mut coder, contexts, around, info.key, latents)?;
        if !coder.may_be_at_end() {
            return Err(cursor.error("symbols", "more than the picture takes"));
        }
        self.last = Some(info.number);
        Ok(info)
    }
}
