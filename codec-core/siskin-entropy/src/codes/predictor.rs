use pulp::{Simd, WithSimd};

use super::tables::{Book, HIDDEN_MAX, INPUT_MAX, Tables};

/// What a packet has said so far, and what the tables make of it.
#[derive(Debug, Clone)]
pub(super) struct Predictor {
    /// The latent of the frame being coded as far as it is known, then those of the frames before, nearest first, as
    /// sums that have not been clamped.
    // Beside the clamped inputs, since a sum beyond the bound may come back within it by a later stage.
    sums: Vec<i32>,
    /// `sums`, clamped.
    // 16 bits, so that vector units can multiply and add pairs of them in one instruction.
    inputs: Vec<i16>,
    hidden: Vec<i16>,
    logits: Vec<i32>,
    arch: pulp::Arch,
}

/// A sum of products. Integers may be added in any order, so any vector width gives the same.
#[inline(always)]
fn dot_product(a: &[i16], b: &[i16]) -> i32 {
    let products = a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y));
    // `Tables::new` has refused weights whose sums could overflow. Wrapping, since the check of each addition in
    // development builds keeps the compiler from using vectors: it took 59 % of the time of encoding there.
    products.fold(0, i32::wrapping_add)
}

/// Runs the network of a codebook.
struct Run<'a> {
    book: &'a Book,
    inputs: &'a [i16],
    hidden: &'a mut [i16],
    logits: &'a mut [i32],
}

impl WithSimd for Run<'_> {
    type Output = ();

    // A closure would not be inlined into the function that is compiled for the vectors.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { book, inputs, hidden, logits } = self;
        let rows = book.hidden.chunks_exact(inputs.len());
        for ((unit, row), bias) in hidden.iter_mut().zip(rows).zip(&book.hidden_bias) {
            *unit = ((bias + dot_product(row, inputs)) >> book.hidden_shift).clamp(0, HIDDEN_MAX) as i16;
        }
        let rows = book.logits.chunks_exact(hidden.len());
        for ((logit, row), bias) in logits.iter_mut().zip(rows).zip(&book.logit_bias) {
            *logit = bias + (dot_product(row, hidden) >> book.logit_shift);
        }
    }
}

impl Predictor {
    pub(super) fn new(tables: &Tables) -> Self {
        let inputs = tables.dim * (1 + tables.frames_before);
        // Buffers of the largest network: they are shared, since one runs at a time.
        let most = tables.books.iter().map(|b| b.hidden_bias.len()).max().unwrap_or_default();
        Self {
            sums: vec![0; inputs],
            inputs: vec![0; inputs],
            hidden: vec![0; most],
            logits: vec![0; tables.size],
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
        let hidden = &mut self.hidden[..book.hidden_bias.len()];
        // Constant tables need no run: the biases are the logits.
        if hidden.is_empty() {
            return &book.logit_bias;
        }
        let (inputs, logits) = (&self.inputs, &mut self.logits);
        self.arch.dispatch(Run { book, inputs, hidden, logits: &mut *logits });
        &self.logits
    }

    /// Adds an entry of codebook `index` to the frame being coded.
    pub(super) fn add_code(&mut self, tables: &Tables, index: usize, entry: usize) {
        let dim = tables.group_dim;
        let group = index % tables.groups * dim;
        let parts = self.sums[group..group + dim].iter_mut().zip(&mut self.inputs[group..group + dim]);
        for ((sum, input), &e) in parts.zip(tables.entry_of(index, entry)) {
            *sum += i32::from(e);
            *input = (*sum).clamp(-INPUT_MAX, INPUT_MAX) as i16;
        }
    }

    /// Takes the codes of a group in the frame being coded for those that add up to `sums`.
    pub(super) fn set_group(&mut self, group: usize, sums: &[i32]) {
        let at = group * sums.len();
        self.sums[at..at + sums.len()].copy_from_slice(sums);
        let inputs = self.inputs[at..].iter_mut().zip(sums);
        inputs.for_each(|(input, &sum)| *input = sum.clamp(-INPUT_MAX, INPUT_MAX) as i16);
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
