use super::quantizer::ResidualQuantizer;

/// Width of the search if nothing else is asked for: most of what a wide search gains, at a few percent of real time.
pub const DEFAULT_SEARCH_WIDTH: usize = 4;

/// One codebook in the layouts that the search reads.
pub(super) struct Codebook<'a> {
    /// `[entry][dim]`.
    pub(super) entries: &'a [f32],
    /// `[block][dim][lane]`: [`LANES`] entries side by side, the last block filled up with zeros.
    pub(super) blocks: &'a [f32],
    /// Half the squared length of each entry, infinite for those that fill up the last block.
    pub(super) half_norms: &'a [f32],
}

/// Entries that are compared at once.
pub(super) const LANES: usize = 32;

/// A beam search through the stages of a residual quantizer, with its buffers.
///
/// After each stage the `width` partial sums nearest to the latent are kept. Distances are halved and without the
/// latent's own length, which is the same for all: `|e|^2 / 2 - r.e` added up over the stages.
pub struct BeamSearch {
    dim: usize,
    /// The kept partial sums, nearest first, and those of the stage before.
    beams: Vec<Beam>,
    before: Vec<Beam>,
    /// How many of `beams` are in use.
    alive: usize,
    chosen: Vec<Choice>,
    arch: pulp::Arch,
}

#[derive(Clone)]
struct Beam {
    distance: f32,
    residual: Vec<f32>,
    codes: [u16; 64],
}

#[derive(Clone, Copy)]
struct Choice {
    distance: f32,
    beam: usize,
    entry: usize,
}

/// Half the squared distances of a residual to a block's entries, without the residual's own length. Compiled for
/// several vector widths; multiplications and sums are the same in each, and stay in registers over all dimensions.
#[inline(always)]
fn score(residual: &[f32], block: &[[f32; LANES]], half_norms: &[f32; LANES]) -> [f32; LANES] {
    let mut sums = *half_norms;
    for (&x, column) in residual.iter().zip(block) {
        for (sum, &c) in sums.iter_mut().zip(column) {
            *sum -= x * c;
        }
    }
    sums
}

/// Chooses the `width` nearest of all sums of a beam and an entry. A block is read once for all beams: reading the
/// codebook is what takes the time.
#[inline(always)]
fn choose(beams: &[Beam], book: &Codebook<'_>, dim: usize, width: usize, chosen: &mut Vec<Choice>) {
    let (columns, _) = book.blocks.as_chunks::<LANES>();
    let (norms, _) = book.half_norms.as_chunks::<LANES>();
    for (number, (block, norms)) in columns.chunks_exact(dim).zip(norms).enumerate() {
        for (index, beam) in beams.iter().enumerate() {
            let scores = score(&beam.residual, block, norms);
            for (lane, score) in scores.iter().enumerate() {
                let distance = beam.distance + score;
                let last = chosen.last().map_or(f32::INFINITY, |c| c.distance);
                // Of equals the one found first stays in front.
                if distance < last || (chosen.len() < width && distance.is_finite()) {
                    let at = chosen.partition_point(|c| c.distance <= distance);
                    chosen.insert(at, Choice { distance, beam: index, entry: number * LANES + lane });
                    chosen.truncate(width);
                }
            }
        }
    }
}

impl BeamSearch {
    /// Makes a search of this width (at least 1) for a quantizer's shape.
    pub fn new(quantizer: &ResidualQuantizer, width: usize) -> Self {
        let width = width.max(1);
        let dim = quantizer.group_dim();
        let beam = Beam { distance: 0.0, residual: vec![0.0; dim], codes: [0; 64] };
        Self {
            dim,
            beams: vec![beam.clone(); width],
            before: vec![beam; width],
            alive: 0,
            chosen: Vec::with_capacity(width + 1),
            arch: pulp::Arch::new(),
        }
    }

    /// Begins with a latent of one group.
    pub(super) fn start(&mut self, latent: &[f32]) {
        let first = &mut self.beams[0];
        first.distance = 0.0;
        first.residual.copy_from_slice(latent);
        self.alive = 1;
    }

    /// Adds an entry of the next stage's codebook to each partial sum and keeps the nearest.
    pub(super) fn extend(&mut self, stage: usize, book: Codebook<'_>) {
        let width = self.beams.len();
        self.chosen.clear();
        let (beams, chosen, dim) = (&self.beams[..self.alive], &mut self.chosen, self.dim);
        self.arch.dispatch(|| choose(beams, &book, dim, width, chosen));
        if self.chosen.is_empty() {
            self.chosen.push(Choice { distance: 0.0, beam: 0, entry: 0 });
        }
        std::mem::swap(&mut self.beams, &mut self.before);
        self.alive = self.chosen.len();
        for (beam, choice) in self.beams.iter_mut().zip(&self.chosen) {
            let parent = &self.before[choice.beam];
            let entry = &book.entries[choice.entry * self.dim..(choice.entry + 1) * self.dim];
            beam.distance = choice.distance;
            beam.residual.iter_mut().zip(&parent.residual).zip(entry).for_each(|((r, p), e)| *r = p - e);
            beam.codes[..stage].copy_from_slice(&parent.codes[..stage]);
            beam.codes[stage] = choice.entry as u16;
        }
    }

    /// Half the squared distance of the nearest sum, without the latent's own length.
    pub(super) fn distance(&self) -> f32 {
        self.beams[0].distance
    }

    /// The codes of the nearest sum.
    pub(super) fn finish(&self, stages: usize) -> &[u16] {
        &self.beams[0].codes[..stages]
    }
}
