//! What the entropy coding of a file's packets costs and saves.

use std::time::Instant;

use serde::Serialize;
use siskin_core::bitstream::packet::{Packet, PacketInfo, write_frames};
use siskin_core::bitstream::{Frames, StreamHeader};
use siskin_core::entropy::Coder;
use siskin_core::{Limits, Result};

/// Frames of a packet in files.
const FRAMES: usize = 50;

/// Time of a frame in microseconds, and what the packets take.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Coding {
    pub(crate) encode_us: f64,
    pub(crate) decode_us: f64,
    pub(crate) fixed_width_bytes: usize,
    pub(crate) bytes: usize,
}

impl Coding {
    /// Puts the frames of `packets`, whose codes have fixed width, into packets as files have them, and reads those.
    pub(crate) fn measure(header: &StreamHeader, coder: &mut Coder, packets: &[Vec<u8>]) -> Result<Self> {
        let (mut one, mut many, mut back) =
            (Frames::default(), Frames::new(header.groups), Frames::default());
        let (mut result, info, mut data) = (Self::default(), PacketInfo::default(), Vec::new());
        for group in packets.chunks(FRAMES) {
            many.clear(header.groups);
            for packet in group {
                Packet::parse(packet, &Limits::default())?.frames(header, None, &mut one)?;
                one.iter().for_each(|codes| many.push(codes));
            }
            data.clear();
            write_frames(header, &info, false, &many, None, &mut data)?;
            result.fixed_width_bytes += data.len();
            data.clear();
            let clock = Instant::now();
            write_frames(header, &info, false, &many, Some(coder), &mut data)?;
            result.encode_us += clock.elapsed().as_secs_f64() * 1e6;
            result.bytes += data.len();
            let clock = Instant::now();
            Packet::parse(&data, &Limits::default())?.frames(header, Some(coder), &mut back)?;
            result.decode_us += clock.elapsed().as_secs_f64() * 1e6;
        }
        let frames = packets.len().max(1) as f64;
        (result.encode_us, result.decode_us) = (result.encode_us / frames, result.decode_us / frames);
        Ok(result)
    }
}
