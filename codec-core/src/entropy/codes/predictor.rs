use super::distribution::Distribution;
use super::tables::{Book, HIDDEN_MAX, INPUT_MAX, Tables};

/// What a packet has said so far, and what the tables make of it.
#[derive(Debug, Clone)]
pub(super) struct Predictor {
    /// The latent of the frame being coded as far as it is known, then those of the frames before, nearest first, as
    /// sums that have not been clamped.
    sums: Vec<i32>,
    /// `sums`, clamped.
    inputs: Vec<i16>,
    hidden: Vec<i16>,
    logits: Vec<i32>,
    arch: pulp::Arch,
}

/// A sum of products. Integers may be added in any order, so any vector width gives the same.
#[inline(always)]
fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

#[inline(always)]
fn run(book: &Book, inputs: &[i16], hidden: &mut [i16], logits: &mut [i32]) {
    for ((unit, row), bias) in
        hidden.iter_mut().zip(book.hidden.chunks_exact(inputs.len())).zip(&book.hidden_bias)
    {
        *unit = ((bias + dot(row, inputs)) >> book.hidden_shift).clamp(0, HIDDEN_MAX) as i16;
    }
    for ((logit, row), bias) in
        logits.iter_mut().zip(book.logits.chunks_exact(hidden.len())).zip(&book.logit_bias)
    {
        *logit = bias + (dot(row, hidden) >> book.logit_shift);
    }
}

impl Predictor {
    pub(super) fn new(tables: &Tables) -> Self {
        let inputs = tables.dim * (1 + tables.frames_before);
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
    pub(super) fn start(&mut self) {
        self.sums.fill(0);
        self.inputs.fill(0);
    }

    /// Gives the probabilities of the entries of codebook `index`.
    pub(super) fn predict(&mut self, tables: &Tables, index: usize, into: &mut Distribution) {
        let book = &tables.books[index];
        let hidden = &mut self.hidden[..book.hidden_bias.len()];
        if hidden.is_empty() {
            return into.set(&book.logit_bias);
        }
        let (inputs, logits) = (&self.inputs, &mut self.logits);
        self.arch.dispatch(|| run(book, inputs, hidden, logits));
        into.set(&self.logits);
    }

    /// Adds an entry of codebook `index` to the frame being coded.
    pub(super) fn add(&mut self, tables: &Tables, index: usize, entry: usize) {
        let dim = tables.group_dim;
        let at = (index * tables.size + entry) * dim;
        let group = index % tables.groups * dim;
        let parts = self.sums[group..group + dim].iter_mut().zip(&mut self.inputs[group..group + dim]);
        for ((sum, input), &e) in parts.zip(&tables.entries[at..at + dim]) {
            *sum += i32::from(e);
            *input = (*sum).clamp(-INPUT_MAX, INPUT_MAX) as i16;
        }
    }

    /// Ends a frame: what was the frame being coded is now the one before.
    pub(super) fn next_frame(&mut self, tables: &Tables) {
        let dim = tables.dim;
        let kept = self.sums.len() - dim;
        self.sums.copy_within(..kept, dim);
        self.inputs.copy_within(..kept, dim);
        self.sums[..dim].fill(0);
        self.inputs[..dim].fill(0);
    }
}
