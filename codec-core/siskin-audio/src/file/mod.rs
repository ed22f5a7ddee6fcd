//! Matroska files with a Siskin audio track: their packets in order, and their samples to the exact length.
//!
//! Sources may still be arriving: where one has no data yet it returns [`WouldBlock`](std::io::ErrorKind::WouldBlock), the call
//! fails with an error that says so ([`Error::is_would_block`](crate::Error::is_would_block)), and is made again later.

mod audio_file;
mod file_decoder;
mod losses;
#[cfg(test)]
mod tests;

pub use audio_file::AudioFile;
pub use file_decoder::{FileDecoder, PacketFilter};
pub use losses::Losses;
