use super::layer::LANES;
use super::tables::{HIDDEN_MAX, INPUT_MAX, Tables};

/// A sum as the networks see it.
pub(super) fn clamp_input(sum: i32) -> i16 {
    sum.clamp(-INPUT_MAX, INPUT_MAX) as i16
}

/// What a packet has said so far, and what the tables make of it.
#[derive(Debug, Clone)]
pub(super) struct Predictor {
    /// The latent of the frame being coded as far as it is known, then those of the frames before, nearest first, as
    /// sums that have not been clamped.
    // Beside the clamped inputs, since a sum beyond the bound may come back within it by a later stage.
    sums: Vec<i32>,
    /// `sums`, clamped; one more that is zero where their number is odd.
    // 16 bits, so that vector units can multiply and add pairs of them in one instruction.
    inputs: Vec<i16>,
    /// In whole blocks.
    hidden: Vec<i16>,
    /// In whole blocks.
    logits: Vec<i32>,
    arch: pulp::Arch,
}

impl Predictor {
    pub(super) fn new(tables: &Tables) -> Self {
        let inputs = tables.dim * (1 + tables.frames_before);
        // Buffers of the largest network: they are shared, since one runs at a time.
        let most = tables.books.iter().map(|b| b.hidden_bias.len()).max().unwrap_or_default();
        Self {
            sums: vec![0; inputs],
            inputs: vec![0; inputs.next_multiple_of(2)],
            hidden: vec![0; most],
            logits: vec![0; tables.size.next_multiple_of(LANES)],
            arch: pulp::Arch::new(),
        }
    }

    /// Begins a packet: nothing is known.
    pub(super) fn start_packet(&mut self) {
        self.sums.fill(0);
        self.inputs.fill(0);
    }

    /// The logits of the entries of codebook `index`.
    pub(super) fn predict_logits<'a>(&'a mut self, tables: &'a Tables, index: usize) -> &'a [i32] {
        let book = &tables.books[index];
        // Constant tables need no run: the biases are the logits.
        if book.hidden.outputs() == 0 {
            return &book.logit_bias[..tables.size];
        }
        let (hidden, _) = self.hidden.as_chunks_mut::<LANES>();
        let (bias, _) = book.hidden_bias.as_chunks::<LANES>();
        book.hidden.multiply(self.arch, [self.inputs.as_chunks::<2>().0], |block, [sums]| {
            for ((unit, sum), bias) in hidden[block].iter_mut().zip(sums).zip(&bias[block]) {
                *unit = ((bias + sum) >> book.hidden_shift).clamp(0, HIDDEN_MAX) as i16;
            }
        });
        let (logits, _) = self.logits.as_chunks_mut::<LANES>();
        let (bias, _) = book.logit_bias.as_chunks::<LANES>();
        book.logits.multiply(self.arch, [self.hidden.as_chunks::<2>().0], |block, [sums]| {
            for ((logit, sum), bias) in logits[block].iter_mut().zip(sums).zip(&bias[block]) {
                *logit = bias + (sum >> book.logit_shift);
            }
        });
        &self.logits[..tables.size]
    }

    /// Adds an entry of codebook `index` to the frame being coded.
    pub(super) fn add_code(&mut self, tables: &Tables, index: usize, entry: usize) {
        let dim = tables.group_dim;
        let group = index % tables.groups * dim;
        let parts = self.sums[group..group + dim].iter_mut().zip(&mut self.inputs[group..group + dim]);
        for ((sum, input), &e) in parts.zip(tables.entry_of(index, entry)) {
            *sum += i32::from(e);
            *input = clamp_input(*sum);
        }
    }

    /// Takes the codes of a group in the frame being coded for those that add up to `sums`.
    pub(super) fn set_group(&mut self, group: usize, sums: &[i32]) {
        let at = group * sums.len();
        self.sums[at..at + sums.len()].copy_from_slice(sums);
        let inputs = self.inputs[at..].iter_mut().zip(sums);
        inputs.for_each(|(input, &sum)| *input = clamp_input(sum));
    }

    /// Forgets the frame being coded.
    pub(super) fn restart_frame(&mut self, tables: &Tables) {
        self.sums[..tables.dim].fill(0);
        self.inputs[..tables.dim].fill(0);
    }

    /// Ends a frame: what was the frame being coded is now the one before.
    pub(super) fn next_frame(&mut self, tables: &Tables) {
        let dim = tables.dim;
        let kept = self.sums.len() - dim;
        // Shifted and not a ring: a network's row of weights lies over the inputs in one piece.
        self.sums.copy_within(..kept, dim);
        self.inputs.copy_within(..kept, dim);
        self.restart_frame(tables);
    }
}
