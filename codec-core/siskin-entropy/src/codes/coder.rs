use std::sync::Arc;

use constriction::backends::ReadWords;
use constriction::stream::queue::{EncoderSituation, RangeCoderState, RangeDecoder, RangeEncoder};
use constriction::stream::{Decode, Encode};
use constriction::{CoderError, Queue};

use super::distribution::{Distribution, LOGIT_BITS, PRECISION, Part};
use super::packet_predictor::PacketPredictor;
use super::predictor::Predictor;
use super::tables::Tables;
use siskin_bitstream::{CodeCoder, Frames, PacketShape, StreamHeader};

/// Codes the frames of packets with a bundle's [`Tables`]; it holds buffers only, no state from packet to packet.
#[derive(Debug, Clone)]
pub struct Coder {
    tables: Arc<Tables>,
    predictor: Predictor,
    packet_predictor: PacketPredictor,
    distribution: Distribution,
    /// What each code of a packet takes of its distribution.
    parts: Vec<Option<Part>>,
    words: Vec<u32>,
}

type State = RangeCoderState<u32, u64>;

impl Coder {
    /// Makes a coder for these tables.
    pub fn new(tables: Arc<Tables>) -> Self {
        Self {
            predictor: Predictor::new(&tables),
            packet_predictor: PacketPredictor::new(),
            distribution: Distribution::default(),
            parts: Vec::new(),
            words: Vec::new(),
            tables,
        }
    }

    /// The tables.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }
}

impl CodeCoder for Coder {
    fn fits_stream(&self, header: &StreamHeader) -> bool {
        let shape = (usize::from(header.groups), usize::from(header.stages));
        // The bundle's id is the caller's to check; this keeps indices within the tables.
        shape == (self.tables.groups, self.tables.stages) && self.tables.size <= 1 << header.code_bits
    }

    fn codebook_size(&self) -> usize {
        self.tables.size
    }

    fn encode_frames(&mut self, shape: PacketShape, frames: &Frames, out: &mut Vec<u8>) {
        self.words.clear();
        // The buffer goes into the coder and comes back, so that coding packets does not allocate.
        let words = std::mem::take(&mut self.words);
        let mut coder = RangeEncoder::<u32, u64, Vec<u32>>::with_write_backend(words);
        // Nothing is carried from packet to packet, so that a lost one costs no other.
        let (parts, distribution, stride) =
            (&mut self.parts, &mut self.distribution, self.tables.books.len());
        parts.clear();
        parts.resize(frames.len() * stride, None);
        self.packet_predictor.predict_packet(&self.tables, frames, |frame, index, code, logits| {
            distribution.set_logits(logits);
            parts[frame * stride + index] = distribution.part_of(code.into());
        });
        let mut before = shape.stages;
        for (frame, parts) in frames.iter().zip(self.parts.chunks_exact(stride.max(1))) {
            if shape.variable {
                let count = frame.len() / self.tables.groups;
                count_probabilities(before, shape.stages, &mut self.distribution);
                encode_part(&mut coder, self.distribution.part_of(count.saturating_sub(1)));
                before = count;
            }
            parts[..frame.len()].iter().for_each(|&part| encode_part(&mut coder, part));
        }
        // Not `into_compressed`, which ends with whole words: the shortest tail saves bytes of each packet.
        let (words, state, situation) = coder.into_raw_parts();
        write_words(&words, state, situation, out);
        self.words = words;
    }

    fn decode_frames(
        &mut self,
        shape: PacketShape,
        data: &[u8],
        frames: &mut Frames,
    ) -> Result<(), (usize, String)> {
        let (codes, counts) = frames.parts_mut();
        let groups = self.tables.groups;
        let mut coder = RangeDecoder::<u32, u64, Bytes<'_>>::with_backend(Bytes { data, at: 0 })
            .map_err(|PastEnd| past_end(data))?;
        self.predictor.start_packet();
        let mut before = shape.stages;
        for _ in 0..shape.frames {
            let mut count = shape.stages;
            if shape.variable {
                count_probabilities(before, shape.stages, &mut self.distribution);
                count = 1 + decode_symbol(&mut coder, &self.distribution, data)?;
                before = count;
            }
            counts.push(count as u8);
            for index in 0..count * groups {
                self.distribution.set_logits(self.predictor.predict_logits(&self.tables, index));
                let code = decode_symbol(&mut coder, &self.distribution, data)?;
                codes.push(code as u16);
                self.predictor.add_code(&self.tables, index, code);
            }
            self.predictor.next_frame(&self.tables);
        }
        let (bytes, state, point) = coder.into_raw_parts();
        let (tail, count) = shortest_tail(state);
        // The decoder's window of 8 bytes reaches past what was needed; the tail says how far.
        let needed = bytes.at - 8 + count;
        if data.len() != needed {
            return Err((data.len().min(needed), format!("{} bytes, the codes take {needed}", data.len())));
        }
        // Only one tail is written for a message, so that two different packets never decode alike.
        if point != tail {
            return Err((needed - count, "bytes that no encoder ends with".into()));
        }
        Ok(())
    }
}

/// How likely each number of stages from 1 to `stages` is after a frame with `before`: the same most, two octaves less
/// for the next, then an octave less for each step.
fn count_probabilities(before: usize, stages: usize, into: &mut Distribution) {
    let mut logits = [0; 64];
    let logits = &mut logits[..stages.clamp(2, 64)];
    for (i, logit) in logits.iter_mut().enumerate() {
        let steps = (i + 1).abs_diff(before) as i32;
        // Nine octaves at most: any count stays codable at about 10 bits.
        *logit = if steps == 0 { 0 } else { -(1 << LOGIT_BITS) * (steps + 1).min(9) };
    }
    into.set_logits(logits);
}

fn encode_part(coder: &mut RangeEncoder<u32, u64, Vec<u32>>, part: Option<Part>) {
    debug_assert!(part.is_some(), "a symbol that the distribution lacks");
    if let Some(part) = part {
        // Neither error exists: the part has a probability, and a vector takes every word.
        let _ = Encode::<PRECISION>::encode_symbol(coder, (), part);
    }
}

fn decode_symbol(
    coder: &mut RangeDecoder<u32, u64, Bytes<'_>>,
    distribution: &Distribution,
    data: &[u8],
) -> Result<usize, (usize, String)> {
    Decode::<PRECISION>::decode_symbol(coder, distribution).map_err(|e| match e {
        CoderError::Backend(PastEnd) => past_end(data),
        CoderError::Frontend(_) => (data.len(), "a value beyond the coder's range".to_owned()),
    })
}

fn past_end(data: &[u8]) -> (usize, String) {
    (data.len(), format!("{} bytes, the codes take more", data.len()))
}

/// The shortest bytes whose value lies in the coder's last interval, as the first of the 64 bits of its window, and how
/// many they are.
fn shortest_tail(state: State) -> (u64, usize) {
    for count in 0..8 {
        let rest = u64::MAX >> (8 * count);
        // The lowest multiple of 2^(64 - 8 count) that is not below `lower`; past 2^64 it wraps, which is a carry.
        let point = state.lower().wrapping_add(rest) & !rest;
        if point.wrapping_sub(state.lower()) < state.range().get() {
            return (point, count);
        }
    }
    // All eight bytes name `lower` itself.
    (state.lower(), 8)
}

/// Appends the coder's words, those that it held back, and the tail.
fn write_words(words: &[u32], state: State, situation: EncoderSituation<u32>, out: &mut Vec<u8>) {
    words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
    let (point, count) = shortest_tail(state);
    // Words are held back while the interval straddles a carry; the tail decides which side it is.
    if let EncoderSituation::Inverted(held, first) = situation {
        let carries = point < state.lower();
        let (first, rest) = if carries { (first.wrapping_add(1), 0) } else { (first, u32::MAX) };
        out.extend_from_slice(&first.to_be_bytes());
        (1..held.get()).for_each(|_| out.extend_from_slice(&rest.to_be_bytes()));
    }
    out.extend_from_slice(&point.to_be_bytes()[..count]);
}

/// Bytes as the words that the range decoder takes, with zeros after the end for as long as the last window may reach.
#[derive(Debug, Clone, Copy)]
struct Bytes<'a> {
    data: &'a [u8],
    at: usize,
}

/// More was asked for than any codes of these bytes can need.
#[derive(Debug, Clone, Copy)]
struct PastEnd;

impl ReadWords<u32, Queue> for Bytes<'_> {
    type ReadError = PastEnd;

    fn read(&mut self) -> Result<Option<u32>, PastEnd> {
        // The window of 64 bits may reach 8 bytes past the shortest tail; a read beyond that means that bytes are
        // missing.
        if self.at + 4 > self.data.len() + 8 {
            return Err(PastEnd);
        }
        let mut word = [0; 4];
        let rest = self.data.get(self.at..).unwrap_or_default();
        let count = rest.len().min(4);
        word[..count].copy_from_slice(&rest[..count]);
        self.at += 4;
        Ok(Some(u32::from_be_bytes(word)))
    }
}

#[cfg(test)]
impl Coder {
    /// Codes of a frame of `count` stages that the tables find likely after `before`.
    pub(super) fn likely(&mut self, before: &Frames, count: usize) -> Vec<u16> {
        self.next(before, count, |d| (0..d.len()).max_by_key(|&e| d.part_of(e).map(|p| p.size())))
    }

    /// The same of what they find least likely.
    pub(super) fn unlikely(&mut self, before: &Frames, count: usize) -> Vec<u16> {
        self.next(before, count, |d| (0..d.len()).min_by_key(|&e| d.part_of(e).map(|p| p.size())))
    }

    fn next(
        &mut self,
        before: &Frames,
        count: usize,
        choose: impl Fn(&Distribution) -> Option<usize>,
    ) -> Vec<u16> {
        self.predictor.start_packet();
        for frame in before.iter() {
            for (index, &code) in frame.iter().enumerate() {
                self.predictor.add_code(&self.tables, index, code.into());
            }
            self.predictor.next_frame(&self.tables);
        }
        let mut codes = Vec::new();
        for index in 0..count * self.tables.groups {
            self.distribution.set_logits(self.predictor.predict_logits(&self.tables, index));
            let entry = choose(&self.distribution).expect("an entry");
            codes.push(entry as u16);
            self.predictor.add_code(&self.tables, index, entry);
        }
        codes
    }
}
