//! What coding as in files costs and saves: packets of 50 frames, range coded where the bundle has tables.

use std::time::Instant;

use serde::Serialize;
use siskin_core::audio::{Decoder, EncodedPacket, Encoder, EncoderConfig};
use siskin_core::bitstream::Frames;
use siskin_core::bitstream::packet::{Packet, PacketInfo, write_frames};
use siskin_core::bundle::Bundle;
use siskin_core::entropy::Coder;
use siskin_core::runtime::Runtime;
use siskin_core::{Limits, Result};

use crate::interrupt;

/// Frames of a packet in files.
const FRAMES: u32 = 50;

/// Time of a frame in microseconds, and what the packets take.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Files {
    pub(crate) encode_us: f64,
    pub(crate) decode_us: f64,
    /// Whether packets are range coded.
    pub(crate) range_coded: bool,
    pub(crate) fixed_width_bytes: usize,
    pub(crate) bytes: usize,
}

impl Files {
    /// Encodes and decodes `pcm`, whole frames, with the rate and the search of `config`.
    pub(crate) fn measure(
        bundle: &Bundle,
        runtime: &Runtime,
        config: &EncoderConfig,
        pcm: &[f32],
    ) -> anyhow::Result<Self> {
        let config = EncoderConfig { frames_per_packet: FRAMES, ..config.clone() };
        let mut encoder = Encoder::new(bundle, runtime, &config)?;
        let mut decoder = Decoder::new(bundle, runtime)?;
        let header = encoder.stream_header().clone();
        let mut coder = siskin_core::audio::load_entropy_tables(bundle)?.map(Coder::new);
        let (mut result, mut frames) = (Self { range_coded: coder.is_some(), ..Self::default() }, 0);
        let (mut packets, mut out, mut codes, mut fixed) =
            (Vec::new(), Vec::new(), Frames::default(), Vec::new());
        for second in pcm.chunks(bundle.manifest().frame_len() * FRAMES as usize) {
            interrupt::check_interrupt()?;
            packets.clear();
            let mut keep = |packet: EncodedPacket<'_>| -> Result<()> {
                packets.push(packet.data.to_vec());
                Ok(())
            };
            let clock = Instant::now();
            encoder.push_samples(second, &mut keep)?;
            result.encode_us += clock.elapsed().as_secs_f64() * 1e6;
            for packet in &packets {
                out.clear();
                let clock = Instant::now();
                let parsed = Packet::parse(packet, &Limits::default())?.bind(&header)?;
                let info = decoder.decode_packet(&parsed, &mut out)?.info;
                result.decode_us += clock.elapsed().as_secs_f64() * 1e6;
                frames += info.frames;
                parsed.read_codes(coder.as_mut().map(|c| c as _), &mut codes)?;
                fixed.clear();
                // Without the trim, which is not what is compared.
                let info = PacketInfo { end_trim: 0, ..info };
                if parsed.segment().is_some() {
                    // Segments have codes of fixed width.
                    fixed.extend_from_slice(packet);
                } else {
                    // The same codes once more at fixed width: what range coding saves, with all else equal.
                    write_frames(&header, &info, parsed.header().is_some(), &codes, None, &mut fixed)?;
                }
                (result.bytes, result.fixed_width_bytes) =
                    (result.bytes + packet.len(), result.fixed_width_bytes + fixed.len());
            }
        }
        let frames = f64::from(frames.max(1));
        (result.encode_us, result.decode_us) = (result.encode_us / frames, result.decode_us / frames);
        Ok(result)
    }
}
