//! What a coded file holds, from the heads of its packets; nothing is decoded.

use anyhow::Result;
use siskin_core::Limits;
use siskin_core::bitstream::packet::Packet;
use siskin_core::container::Block;

use super::CodedFile;

/// Counts over the packets of a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Survey {
    /// Packets, good and bad.
    pub(crate) packets: u64,
    /// Codec frames.
    pub(crate) frames: u64,
    /// Samples a channel.
    pub(crate) samples: u64,
    /// Bytes of all packets.
    pub(crate) packet_bytes: u64,
    /// Fewest and most stages of a packet.
    pub(crate) stages: Option<(u8, u8)>,
    /// Most frames of a packet.
    pub(crate) frames_per_packet: u32,
    /// Bits of the bare codes.
    pub(crate) code_bits: u64,
    /// Packets that carry the stream header.
    pub(crate) headers: u64,
    /// What is wrong, packet by packet, as `(packet number from 0, seconds, what)`.
    pub(crate) faults: Vec<(u64, f64, String)>,
    /// Faults beyond those that are listed.
    pub(crate) more_faults: u64,
}

/// Faults that are kept one by one.
const MOST_FAULTS: usize = 1000;

/// Where the packets stand.
#[derive(Default)]
struct Timeline {
    /// Position at which the stream began.
    origin: u64,
    /// Position at which the next packet should begin; unknown after a fault.
    expected: Option<u64>,
}

impl Survey {
    /// Reads the whole file. Entries of codebooks are checked if `codebook_size` is known.
    pub(crate) fn of(file: &mut CodedFile, codebook_size: Option<u32>) -> Result<Self> {
        let mut survey = Self::default();
        let (mut block, mut codes) = (Block::default(), Vec::new());
        let mut timeline = Timeline::default();
        loop {
            match file.next(&mut block) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => {
                    survey.fault(survey.samples as f64 / f64::from(file.header().sample_rate), e.to_string());
                    break;
                }
            }
            let seconds = block.pts_ns as f64 / 1e9;
            if let Err(what) = survey.take(file, &block, codebook_size, &mut codes, &mut timeline) {
                survey.fault(seconds, what);
                timeline.expected = None;
            }
            survey.packets += 1;
            survey.packet_bytes += block.data.len() as u64;
        }
        Ok(survey)
    }

    /// Counts a packet and checks that it follows the one before.
    fn take(
        &mut self,
        file: &CodedFile,
        block: &Block,
        codebook_size: Option<u32>,
        codes: &mut Vec<u16>,
        timeline: &mut Timeline,
    ) -> Result<(), String> {
        let header = file.header();
        let packet = Packet::parse(&block.data, &Limits::default()).map_err(|e| e.to_string())?;
        if packet.header.as_ref().is_some_and(|h| !h.same_stream(header)) {
            return Err("its header is that of another stream".into());
        }
        let info = packet.info(header).map_err(|e| e.to_string())?;
        if let Some(size) = codebook_size {
            packet.codes(header, &info, codes);
            if let Some(code) = codes.iter().find(|&&c| u32::from(c) >= size) {
                return Err(format!("code {code}, the codebook has {size} entries"));
            }
        }
        self.frames += u64::from(info.frames);
        self.samples += info.samples(header);
        self.frames_per_packet = self.frames_per_packet.max(info.frames);
        self.code_bits += u64::from(info.frames)
            * (header.codes_per_frame(info.stages) * usize::from(header.code_bits)) as u64;
        self.headers += u64::from(packet.header.is_some());
        let (low, high) = self.stages.unwrap_or((info.stages, info.stages));
        self.stages = Some((low.min(info.stages), high.max(info.stages)));
        if info.starts_stream {
            timeline.origin = timeline.expected.unwrap_or(file.samples(block.pts_ns) as u64);
        }
        let position =
            if info.starts_stream { timeline.origin } else { file.position(block.pts_ns, timeline.origin) };
        if let Some(expected) = timeline.expected.filter(|&e| e != position) {
            let rate = f64::from(header.sample_rate);
            let (at, should) = (position as f64 / rate, expected as f64 / rate);
            self.fault(at, format!("begins at {at:.3} s, the packet before ends at {should:.3} s"));
        }
        timeline.expected = Some(position + info.samples(header));
        Ok(())
    }

    fn fault(&mut self, seconds: f64, what: String) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push((self.packets, seconds, what));
        } else {
            self.more_faults += 1;
        }
    }
}
