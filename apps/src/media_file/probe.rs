//! What a coded file holds, from its packets; no samples are decoded.

use anyhow::Result;
use siskin_core::Limits;
use siskin_core::bitstream::Frames;
use siskin_core::bitstream::packet::{Coding, Packet};
use siskin_core::bundle::Bundle;
use siskin_core::container::Block;
use siskin_core::entropy::Coder;

use super::CodedFile;

/// Counts over the packets of a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe {
    /// Packets, good and bad.
    pub(crate) packets: u64,
    /// Codec frames.
    pub(crate) frames: u64,
    /// Samples a channel.
    pub(crate) samples: u64,
    /// Position of the first one, once there is one.
    start: Option<u64>,
    /// Bytes of all packets.
    pub(crate) packet_bytes: u64,
    /// Fewest and most stages of a packet.
    pub(crate) stages: Option<(u8, u8)>,
    /// Most frames of a packet.
    pub(crate) frames_per_packet: u32,
    /// Bits of the bare codes at fixed width; unknown if range-coded frames have their own stages and the bundle is not
    /// here.
    pub(crate) code_bits: Option<u64>,
    /// Packets whose codes are range coded.
    pub(crate) range_coded: u64,
    /// Packets whose frames have their own stages.
    pub(crate) variable: u64,
    /// Bytes of copies of earlier frames.
    pub(crate) redundant_bytes: u64,
    /// Frames that a description of noise stands for, in packets or in the gaps after them.
    pub(crate) pause_frames: u64,
    /// Bytes of the packets that describe noise.
    pub(crate) pause_bytes: u64,
    /// Packets that carry the stream header.
    pub(crate) headers: u64,
    /// What is wrong, packet by packet, as `(packet number from 0, seconds, what)`.
    pub(crate) faults: Vec<(u64, f64, String)>,
    /// Faults beyond those that are listed.
    pub(crate) more_faults: u64,
}

/// Faults that are kept one by one.
// A file of noise would otherwise make a list as long as itself.
const MAX_FAULTS: usize = 1000;

/// What is known of the bundle.
struct Known {
    size: Option<u32>,
    coder: Option<Coder>,
}

/// Where the packets stand.
#[derive(Default)]
struct Timeline {
    /// Position at which the stream began.
    origin: u64,
    /// Position at which the next packet should begin; unknown after a fault.
    expected: Option<u64>,
    /// Whether the packet before describes noise, which a gap goes on with.
    in_pause: bool,
}

impl Probe {
    /// Reads the whole file, the codes too if the bundle is known.
    pub(crate) fn of(file: &mut CodedFile, bundle: Option<&Bundle>) -> Result<Self> {
        let mut probe = Self { code_bits: Some(0), ..Default::default() };
        let (mut block, mut frames) = (Block::default(), Frames::default());
        let tables = bundle.map(siskin_core::audio::load_entropy_tables).transpose()?.flatten();
        let mut known =
            Known { size: bundle.map(|b| b.manifest().quantizer.size), coder: tables.map(Coder::new) };
        let mut timeline = Timeline::default();
        loop {
            match file.next_packet(&mut block) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => {
                    probe.note_fault(
                        probe.samples as f64 / f64::from(file.header().sample_rate),
                        e.with_sources(),
                    );
                    break;
                }
            }
            let seconds = block.pts_ns as f64 / 1e9;
            if let Err(what) = probe.take(file, &block, &mut known, &mut frames, &mut timeline) {
                probe.note_fault(seconds, what);
                // A packet that cannot be read has an unknown length.
                timeline.expected = None;
            }
            probe.packets += 1;
            probe.packet_bytes += block.data.len() as u64;
        }
        Ok(probe)
    }

    /// How many samples the container states that there are, if it says something of the sound.
    pub(crate) fn stated_samples(&self, file: &CodedFile) -> Option<u64> {
        file.stated_samples_from(self.start.unwrap_or(0), self.samples)
    }

    /// Counts a packet and checks that it follows the one before.
    fn take(
        &mut self,
        file: &CodedFile,
        block: &Block,
        known: &mut Known,
        frames: &mut Frames,
        timeline: &mut Timeline,
    ) -> Result<(), String> {
        let header = file.header();
        let packet = Packet::parse(&block.data, &Limits::default()).map_err(|e| e.to_string())?;
        if packet.header.as_ref().is_some_and(|h| !h.same_stream(header)) {
            return Err("its header is that of another stream".into());
        }
        let packet = packet.bind(header).map_err(|e| e.to_string())?;
        let info = packet.info();
        let is_coded = packet.coding() == Coding::RangeCoded;
        // Without the bundle's tables range-coded codes stay closed; all else is checked.
        let readable = !is_coded || known.coder.is_some();
        if readable {
            packet.read_codes(known.coder.as_mut().map(|c| c as _), frames).map_err(|e| e.to_string())?;
            // A codebook may have fewer entries than its codes have bits for.
            let size = known.size.unwrap_or(1 << header.code_bits);
            if let Some(code) = frames.codes().iter().find(|&&c| u32::from(c) >= size) {
                return Err(format!("code {code}, the codebook has {size} entries"));
            }
        }
        let codes = match packet.is_variable() {
            true if readable => Some(frames.codes().len()),
            true => None,
            false => Some(info.frames as usize * header.codes_per_frame(info.stages)),
        };
        self.code_bits =
            self.code_bits.zip(codes).map(|(b, c)| b + (c * usize::from(header.code_bits)) as u64);
        self.range_coded += u64::from(is_coded);
        self.variable += u64::from(packet.is_variable());
        self.frames += u64::from(info.frames);
        self.samples += packet.sample_count();
        self.frames_per_packet = self.frames_per_packet.max(info.frames);
        self.headers += u64::from(packet.header().is_some());
        if let Some(copies) = packet.redundant_frames() {
            self.redundant_bytes += copies.byte_len() as u64;
        }
        if packet.comfort_noise().is_some() {
            self.pause_frames += u64::from(info.frames);
            self.pause_bytes += block.data.len() as u64;
        } else {
            let lowest =
                frames.stage_counts().iter().copied().min().filter(|_| readable).unwrap_or(info.stages);
            let (low, high) = self.stages.unwrap_or((lowest, info.stages));
            self.stages = Some((low.min(lowest), high.max(info.stages)));
        }
        if info.starts_stream {
            // A stream that follows another begins where that ends, to the sample.
            timeline.origin = timeline.expected.unwrap_or(file.samples(block.pts_ns) as u64);
        }
        let position =
            if info.starts_stream { timeline.origin } else { file.position(block.pts_ns, timeline.origin) };
        let in_pause = std::mem::replace(&mut timeline.in_pause, packet.comfort_noise().is_some());
        let gap = timeline.expected.map_or(0, |e| position.saturating_sub(e));
        // DTX sends nothing for whole frames; any other gap is a fault.
        if in_pause && gap > 0 && gap.is_multiple_of(header.hop.into()) {
            self.samples += gap;
            self.frames += gap / u64::from(header.hop);
            self.pause_frames += gap / u64::from(header.hop);
        } else if let Some(expected) = timeline.expected.filter(|&e| e != position) {
            let rate = f64::from(header.sample_rate);
            let (at, should) = (position as f64 / rate, expected as f64 / rate);
            self.note_fault(at, format!("begins at {at:.3} s, the packet before ends at {should:.3} s"));
        }
        self.start.get_or_insert(position);
        timeline.expected = Some(position + packet.sample_count());
        Ok(())
    }

    fn note_fault(&mut self, seconds: f64, what: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push((self.packets, seconds, what));
        } else {
            self.more_faults += 1;
        }
    }
}
