use std::sync::Arc;

use siskin_entropy::{BitCostEstimator, CodebookShape, Tables};

use crate::select::{Candidate, Column, LANES, SelectBest};

/// Default width of the search: most of what a wide search gains, at a few percent of real time
/// (`examples/rate_distortion.rs`).
pub const DEFAULT_SEARCH_WIDTH: usize = 8;

/// Widest search: from there on the gain is nothing and the list of candidates long.
const MAX_SEARCH_WIDTH: usize = 64;

/// One codebook in the memory layouts that the search reads.
pub(crate) struct SearchCodebook<'a> {
    /// Its place in `[stage][group]`.
    pub(crate) index: usize,
    /// `[entry][dim]`.
    pub(crate) entries: &'a [f32],
    /// `[block][dim]`: [`LANES`] entries side by side, the last block filled up with zeros.
    pub(crate) columns: &'a [Column],
    /// Half the squared length of each entry, infinite for those that fill up the last block.
    pub(crate) half_norms: &'a [f32],
    /// Half squared error that a 256th of a bit of this codebook removes on average.
    pub(crate) error_per_bit: f32,
}

/// Default lambda: the largest that leaves the quality of a search of half the width for distance alone
/// (`examples/rate_distortion.rs`).
pub const DEFAULT_LAMBDA: f32 = 0.4;

/// A beam search through the stages of a residual quantizer, with its buffers.
///
/// After each stage the `width` best partial sums of each group are kept: the nearest, or, where codes are range
/// coded, those of the least cost `D + lambda R`. Distances `D` are halved and without the latent's own length, which is
/// the same for all: `|e|^2 / 2 - r.e` added up over the stages.
pub struct BeamSearch {
    width: usize,
    groups: Vec<Beams>,
    best: Vec<Candidate>,
    tiles: Vec<f32>,
    estimator: Option<BitCostEstimator>,
    /// Cost of a bit relative to the error that a bit of the same stage removes on average.
    lambda: f32,
    /// Cost of each entry of the current codebook in 256ths of a bit; empty if bits do not count.
    costs: Vec<f32>,
    arch: pulp::Arch,
}

/// The partial sums of a group.
struct Beams {
    /// Those kept, best first, and those of the stage before.
    current: Vec<Beam>,
    previous: Vec<Beam>,
    /// Beams of `current` in use.
    count: usize,
}

#[derive(Clone)]
pub(crate) struct Beam {
    pub(crate) distance: f32,
    /// Bits of the codes in 256ths, a whole number.
    pub(crate) bits: f32,
    pub(crate) residual: Vec<f32>,
    /// The sum of the entries in the tables' integers.
    sums: Vec<i32>,
    // As many as a stream may have stages; an array, so that beams are copied without an allocation.
    codes: [u16; 64],
}

impl BeamSearch {
    /// A search of this width (1 to 64) for a quantizer with codebooks of this shape.
    pub fn new(shape: CodebookShape, width: usize) -> Self {
        let (width, dim) = (width.clamp(1, MAX_SEARCH_WIDTH), shape.group_dim);
        let beam =
            Beam { distance: 0.0, bits: 0.0, residual: vec![0.0; dim], sums: vec![0; dim], codes: [0; 64] };
        let group =
            || Beams { current: vec![beam.clone(); width], previous: vec![beam.clone(); width], count: 0 };
        Self {
            width,
            groups: (0..shape.groups).map(|_| group()).collect(),
            best: Vec::with_capacity(width),
            tiles: Vec::with_capacity((dim + 1) * (width + 8)),
            estimator: None,
            lambda: 0.0,
            costs: Vec::new(),
            arch: pulp::Arch::new(),
        }
    }

    /// Counts the bits that codes take with these tables, from the packet that starts now. With a lambda of 0 or without
    /// tables distance alone counts.
    pub(crate) fn set_bit_costs(&mut self, tables: Option<Arc<Tables>>, lambda: f32) {
        let tables = tables.filter(|_| lambda > 0.0);
        self.lambda = lambda;
        // Rounded up to whole blocks, as the kernel reads them.
        let entries = tables.as_ref().map_or(0, |t| t.size().next_multiple_of(LANES));
        self.costs.clear();
        self.costs.resize(entries, 0.0);
        self.estimator = tables.map(BitCostEstimator::new);
    }

    /// Starts a packet, whose range coding knows nothing of the packets before it.
    pub(crate) fn start_packet(&mut self) {
        if let Some(estimator) = &mut self.estimator {
            estimator.start_packet();
        }
    }

    /// Ends a frame of the packet with the codes that it got.
    pub(crate) fn end_frame(&mut self, codes: &[u16]) {
        if let Some(estimator) = &mut self.estimator {
            estimator.end_frame(codes);
        }
    }

    /// Starts the search for the latent of a group.
    pub(crate) fn start_group(&mut self, group: usize, latent: &[f32]) {
        let beams = &mut self.groups[group];
        let first = &mut beams.current[0];
        (first.distance, first.bits) = (0.0, 0.0);
        first.residual.copy_from_slice(latent);
        first.sums.fill(0);
        beams.count = 1;
    }

    /// Adds an entry of the next stage's codebook to each partial sum of a group and keeps the best.
    pub(crate) fn extend_beams(&mut self, group: usize, stage: usize, book: &SearchCodebook<'_>) {
        let beams = &mut self.groups[group];
        let alive = &beams.current[..beams.count];
        if let Some(estimator) = &mut self.estimator {
            // The other sums are near the best one, and so are their predictions: with each sum's own, packets would be
            // a six-hundredth smaller and the search several times as slow.
            estimator.estimate_costs(book.index, &alive[0].sums, &mut self.costs);
        }
        self.best.clear();
        self.best.resize(self.width, Candidate::NONE);
        let (best, costs) = (&mut self.best, &self.costs);
        // Per codebook: a bit of a later stage removes less error, so it must cost less.
        let lambda = self.lambda * book.error_per_bit;
        let tiles = &mut self.tiles;
        self.arch.dispatch(SelectBest { beams: alive, book, costs, lambda, best, tiles });
        best.truncate(best.partition_point(|c| c.total < f32::INFINITY));
        // A latent that is not finite has no nearest entry.
        if best.is_empty() {
            best.push(Candidate { total: 0.0, ..Candidate::NONE });
        }
        // Two sets of beams, as a beam may be the parent of several.
        std::mem::swap(&mut beams.current, &mut beams.previous);
        beams.count = best.len();
        for (beam, candidate) in beams.current.iter_mut().zip(best.iter()) {
            let entry_index = usize::from(candidate.entry);
            let parent = &beams.previous[usize::from(candidate.beam)];
            let dim = parent.residual.len();
            let entry = &book.entries[entry_index * dim..(entry_index + 1) * dim];
            beam.residual.iter_mut().zip(&parent.residual).zip(entry).for_each(|((r, p), e)| *r = p - e);
            beam.codes[..stage].copy_from_slice(&parent.codes[..stage]);
            beam.codes[stage] = candidate.entry;
            beam.distance = candidate.total;
            if let Some(estimator) = &self.estimator {
                beam.bits = parent.bits + costs[entry_index];
                // Distance and bits are kept apart, since lambda differs from codebook to codebook.
                beam.distance -= lambda * beam.bits;
                beam.sums.copy_from_slice(&parent.sums);
                estimator.add_entry(book.index, entry_index, &mut beam.sums);
            }
        }
        if let Some(estimator) = &mut self.estimator {
            estimator.set_group_sums(group, &beams.current[0].sums);
        }
    }

    /// Half the squared distance of a group's best sum, without the latent's own length.
    pub(crate) fn best_distance(&self, group: usize) -> f32 {
        self.groups[group].current[0].distance
    }

    /// The codes of a group's best sum.
    pub(crate) fn best_codes(&self, group: usize, stages: usize) -> &[u16] {
        &self.groups[group].current[0].codes[..stages]
    }
}
