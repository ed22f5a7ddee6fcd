use super::Architecture;
use super::gop;
use super::{blocks, realtime};
use crate::{Error, Limits, Result};
use siskin_bitstream::VideoHeader;
use siskin_bitstream::video_packet::{Coding, GopInfo, inspect};

/// Reads the packets of a stream whole, every parameter of every network, but runs none: finds what a decoder would refuse.
#[derive(Debug, Default)]
pub struct Checker {
    limits: Limits,
    header: Option<VideoHeader>,
    before: Option<(u32, Architecture)>,
    realtime: realtime::Checker,
    /// Whole frames, as they cost little without a network.
    blocks: blocks::Decoder,
}

impl Checker {
    /// A checker that refuses what `limits` do not allow.
    pub fn new(limits: Limits) -> Self {
        let mut blocks = blocks::Decoder::new();
        blocks.set_limits(limits.clone());
        Self { limits, blocks, ..Self::default() }
    }

    /// Reads the next packet.
    ///
    /// # Errors
    /// Those of [`Decoder::load`](super::Decoder::load), but for the network's.
    pub fn packet(&mut self, data: &[u8]) -> Result<GopInfo> {
        let info = inspect(data, &self.limits)?;
        if info.coding == Coding::Blocks {
            self.header = info.header.or(self.header);
            return self.blocks.decode(data);
        }
        if info.coding == Coding::Realtime {
            // Both codings may alternate in one stream, and a fitted GOP without a header uses the last one.
            self.header = info.header.or(self.header);
            return self.realtime.check_packet(data, &self.limits);
        }
        let header = info.header.or(self.header).ok_or(Error::MissingHeader)?;
        let before = self.before.as_ref().map(|(number, arch)| (*number, arch));
        let gop = gop::parse_gop(data, &header, before, &self.limits)?;
        self.header = Some(header);
        match (gop.arch, &mut self.before) {
            (Some(arch), _) => self.before = Some((info.number, arch)),
            // The network stays that of the key GOP, but the next one must follow this number.
            (None, Some((number, _))) => *number = info.number,
            (None, None) => return Err(Error::MissingHeader),
        }
        Ok(info)
    }
}
