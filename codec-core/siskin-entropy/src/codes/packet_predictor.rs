//! Predictions for packets whose codes are all known.

use siskin_bitstream::Frames;

use super::layer::LANES;
use super::predictor::clamp_input;
use super::tables::{Book, HIDDEN_MAX, Tables};

/// Frames that are predicted side by side: weights are read and widened once for all of them.
const FRAMES: usize = 4;

/// What the tables make of the codes of a packet, codebook by codebook where a [`Predictor`](super::predictor::Predictor), which
/// learns the codes one by one, goes frame by frame and reads all weights for each.
#[derive(Debug, Clone)]
pub(super) struct PacketPredictor {
    /// `[frame][dimension]`: the latents as far as the codes so far say.
    sums: Vec<i32>,
    /// `[frame][input]`: the same clamped, then the latents of the frames before, nearest first; of even length.
    inputs: Vec<i16>,
    /// `[frame of a batch][unit]`.
    hidden: Vec<i16>,
    /// `[frame of a batch][entry]`.
    logits: Vec<i32>,
    arch: pulp::Arch,
}

impl PacketPredictor {
    pub(super) fn new() -> Self {
        let (sums, inputs, hidden, logits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { sums, inputs, hidden, logits, arch: pulp::Arch::new() }
    }

    /// Passes the logits of each code to `seen`, with the numbers of its frame and its codebook and itself; the codes of a
    /// codebook one after another.
    pub(super) fn predict_packet(
        &mut self,
        tables: &Tables,
        frames: &Frames,
        mut seen: impl FnMut(usize, usize, u16, &[i32]),
    ) {
        let width = (tables.dim * (1 + tables.frames_before)).next_multiple_of(2);
        self.start_packet(tables, frames, width);
        let most = frames.iter().map(<[u16]>::len).max().unwrap_or_default();
        for index in 0..most {
            let book = &tables.books[index];
            let (mut batch, mut count) = ([(0, 0); FRAMES], 0);
            let mut coded =
                frames.iter().enumerate().filter_map(|(n, f)| Some((n, *f.get(index)?))).peekable();
            while let Some((frame, code)) = coded.next() {
                // What a batch lacks at the end is the last frame again.
                batch[count..].fill((frame, code));
                count += 1;
                if count < FRAMES && coded.peek().is_some() {
                    continue;
                }
                let numbers = batch.map(|(frame, _)| frame);
                self.predict_batch(tables, book, numbers, width);
                for (n, &(frame, code)) in batch[..count].iter().enumerate() {
                    let at = n * tables.size.next_multiple_of(LANES);
                    seen(frame, index, code, &self.logits[at..at + tables.size]);
                    self.add_code(tables, frame, index, code.into(), width);
                }
                count = 0;
            }
        }
    }

    /// Begins a packet: of each frame nothing is known but the frames before.
    fn start_packet(&mut self, tables: &Tables, frames: &Frames, width: usize) {
        let dim = tables.dim;
        self.sums.clear();
        self.sums.resize(frames.len() * dim, 0);
        self.inputs.clear();
        self.inputs.resize(frames.len() * width, 0);
        for (number, frame) in frames.iter().enumerate() {
            let sums = &mut self.sums[number * dim..(number + 1) * dim];
            for (index, &code) in frame.iter().enumerate() {
                let group = index % tables.groups * tables.group_dim;
                let entry = tables.entry_of(index, code.into());
                sums[group..].iter_mut().zip(entry).for_each(|(sum, &e)| *sum += i32::from(e));
            }
            let after =
                self.inputs.chunks_exact_mut(width.max(1)).skip(number + 1).take(tables.frames_before);
            for (distance, inputs) in (1..).zip(after) {
                let inputs = inputs[distance * dim..].iter_mut().zip(&*sums);
                inputs.for_each(|(input, &sum)| *input = clamp_input(sum));
            }
            sums.fill(0);
        }
    }

    /// The logits of some frames' codes of one codebook.
    fn predict_batch(&mut self, tables: &Tables, book: &Book, frames: [usize; FRAMES], width: usize) {
        let entries = tables.size.next_multiple_of(LANES);
        self.logits.resize(FRAMES * entries, 0);
        // Constant tables need no run: the biases are the logits.
        if book.hidden.outputs() == 0 {
            self.logits.chunks_exact_mut(entries).for_each(|logits| logits.copy_from_slice(&book.logit_bias));
            return;
        }
        let units = book.hidden_bias.len();
        self.hidden.resize(FRAMES * units, 0);
        let (hidden, inputs) = (&mut self.hidden, &self.inputs);
        let pairs = frames.map(|frame| inputs[frame * width..(frame + 1) * width].as_chunks::<2>().0);
        let (bias, _) = book.hidden_bias.as_chunks::<LANES>();
        book.hidden.multiply(self.arch, pairs, |block, sums| {
            for (units, sums) in hidden.chunks_exact_mut(units).zip(sums) {
                let units = units.as_chunks_mut::<LANES>().0[block].iter_mut();
                for ((unit, sum), bias) in units.zip(sums).zip(&bias[block]) {
                    *unit = ((bias + sum) >> book.hidden_shift).clamp(0, HIDDEN_MAX) as i16;
                }
            }
        });
        let hidden = &self.hidden;
        let pairs =
            std::array::from_fn::<_, FRAMES, _>(|n| hidden[n * units..(n + 1) * units].as_chunks::<2>().0);
        let (bias, _) = book.logit_bias.as_chunks::<LANES>();
        let logits = &mut self.logits;
        book.logits.multiply(self.arch, pairs, |block, sums| {
            for (logits, sums) in logits.chunks_exact_mut(entries).zip(sums) {
                let logits = logits.as_chunks_mut::<LANES>().0[block].iter_mut();
                for ((logit, sum), bias) in logits.zip(sums).zip(&bias[block]) {
                    *logit = bias + (sum >> book.logit_shift);
                }
            }
        });
    }

    /// Adds a code to its frame.
    fn add_code(&mut self, tables: &Tables, frame: usize, index: usize, entry: usize, width: usize) {
        let group = index % tables.groups * tables.group_dim;
        let sums = self.sums[frame * tables.dim + group..].iter_mut();
        let inputs = self.inputs[frame * width + group..].iter_mut();
        for ((sum, input), &e) in sums.zip(inputs).zip(tables.entry_of(index, entry)) {
            *sum += i32::from(e);
            *input = clamp_input(*sum);
        }
    }
}
