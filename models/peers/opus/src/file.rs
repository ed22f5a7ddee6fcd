//! Opus in Ogg (RFC 7845), as much as a mono stream of 20 ms packets needs.
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result, bail};
use ogg::writing::PacketWriteEndInfo;
use ogg::{PacketReader, PacketWriter};

use crate::libopus::{FRAME, RATE};

const SERIAL: u32 = 1;
/// Ogg counts Opus in samples of 48 kHz.
const SCALE: usize = 48_000 / RATE;

/// A coded stream: what a file holds.
pub(crate) struct Stream {
    /// Samples at [`RATE`] to drop at the start.
    pub(crate) skip: usize,
    /// Samples at [`RATE`] of the original.
    pub(crate) samples: usize,
    /// Packets of one frame each.
    pub(crate) packets: Vec<Vec<u8>>,
}

/// Writes the stream.
pub(crate) fn write(path: &Path, stream: &Stream) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut ogg = PacketWriter::new(BufWriter::new(file));
    let mut head = b"OpusHead\x01\x01".to_vec();
    head.extend(((stream.skip * SCALE) as u16).to_le_bytes());
    head.extend((RATE as u32).to_le_bytes());
    head.extend([0; 3]);
    ogg.write_packet(head, SERIAL, PacketWriteEndInfo::EndPage, 0)?;
    let mut tags = b"OpusTags".to_vec();
    let vendor = b"libopus";
    tags.extend((vendor.len() as u32).to_le_bytes());
    tags.extend(vendor);
    tags.extend(0u32.to_le_bytes());
    ogg.write_packet(tags, SERIAL, PacketWriteEndInfo::EndPage, 0)?;
    let last = stream.packets.len().saturating_sub(1);
    for (i, packet) in stream.packets.iter().enumerate() {
        let (end, granule) = if i == last {
            (PacketWriteEndInfo::EndStream, stream.skip + stream.samples)
        } else {
            (PacketWriteEndInfo::NormalPacket, (i + 1) * FRAME)
        };
        ogg.write_packet(packet.clone(), SERIAL, end, (granule * SCALE) as u64)?;
    }
    Ok(())
}

/// Reads what [`write`] wrote.
pub(crate) fn read(path: &Path) -> Result<Stream> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut ogg = PacketReader::new(file);
    let head = ogg.read_packet_expected()?.data;
    if head.len() < 19 || !head.starts_with(b"OpusHead") {
        bail!("{} holds no Opus", path.display());
    }
    let skip = usize::from(u16::from_le_bytes([head[10], head[11]])) / SCALE;
    ogg.read_packet_expected()?;
    let (mut packets, mut end) = (Vec::new(), 0);
    while let Some(packet) = ogg.read_packet()? {
        end = packet.absgp_page() as usize / SCALE;
        packets.push(packet.data);
    }
    Ok(Stream { skip, samples: end.saturating_sub(skip), packets })
}
