use siskin_bitstream::video_packet::GopInfo;

use super::symbols::SymbolReader;
use crate::{Limits, Result};

/// Reads the packets of a stream to their last symbol without running a network.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    symbols: SymbolReader,
}

impl Checker {
    /// Reads the next packet.
    ///
    /// # Errors
    /// Those of a decoder, but for the networks'.
    pub(crate) fn check_packet(&mut self, data: &[u8], limits: &Limits) -> Result<GopInfo> {
        let (info, cursor) = self.symbols.open_packet(data, limits)?;
        self.symbols.read_symbols(&info, cursor)?;
        self.symbols.finish_packet(info.number);
        Ok(info)
    }
}
