use std::sync::Arc;

use pulp::{Simd, WithSimd};

use super::quantizer::ResidualQuantizer;
use siskin_entropy::{BitCostEstimator, Tables};

/// Width of the search if nothing else is asked for: most of what a wide search gains, at a few percent of real time.
pub const DEFAULT_SEARCH_WIDTH: usize = 8;

/// One codebook in the layouts that the search reads.
pub(super) struct Codebook<'a> {
    /// Its place in `[stage][group]`.
    pub(super) index: usize,
    /// `[entry][dim]`.
    pub(super) entries: &'a [f32],
    /// `[block][dim][lane]`: [`LANES`] entries side by side, the last block filled up with zeros.
    pub(super) blocks: &'a [f32],
    /// Half the squared length of each entry, infinite for those that fill up the last block.
    pub(super) half_norms: &'a [f32],
    /// What a 256th of a bit of this codebook removes of the half squared error on average.
    pub(super) price: f32,
}

/// What a bit weighs in the search if nothing else is asked for: the most that leaves the quality of a search of half the
/// width for distance alone (`examples/rate_distortion.rs`).
pub const DEFAULT_BIT_WEIGHT: f32 = 0.4;

/// Entries that are compared at once.
pub(super) const LANES: usize = 32;

/// A beam search through the stages of a residual quantizer, with its buffers.
///
/// After each stage the `width` best partial sums of each group are kept: the nearest, or, where codes are range
/// coded, those whose distance and bits weigh least together. Distances are halved and without the latent's own length,
/// which is the same for all: `|e|^2 / 2 - r.e` added up over the stages.
pub struct BeamSearch {
    width: usize,
    groups: Vec<Beams>,
    chosen: Vec<Choice>,
    appraiser: Option<BitCostEstimator>,
    /// What a bit weighs against what one removes of the error on average.
    bit_weight: f32,
    /// What each entry of the codebook at hand costs, in 256ths of a bit; empty if bits do not count.
    costs: Vec<f32>,
    arch: pulp::Arch,
}

/// The partial sums of a group.
struct Beams {
    /// Those kept, best first, and those of the stage before.
    now: Vec<Beam>,
    before: Vec<Beam>,
    /// How many of `now` are in use.
    alive: usize,
}

#[derive(Clone)]
struct Beam {
    distance: f32,
    /// Bits of the codes in 256ths, a whole number.
    bits: f32,
    residual: Vec<f32>,
    /// The latent so far as the tables see it.
    sums: Vec<i32>,
    codes: [u16; 64],
}

#[derive(Clone, Copy)]
struct Choice {
    total: f32,
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

/// Chooses the `width` best of all sums of a beam and an entry. A block is read once for all beams: reading the codebook
/// is what takes the time.
struct Choose<'a> {
    beams: &'a [Beam],
    book: &'a Codebook<'a>,
    /// What entries cost in 256ths of a bit, and what these weigh; empty if bits do not count.
    costs: &'a [f32],
    price: f32,
    width: usize,
    chosen: &'a mut Vec<Choice>,
}

impl Choose<'_> {
    /// What a choice has to be less than.
    #[inline(always)]
    fn bound(&self) -> f32 {
        match self.chosen.last() {
            Some(last) if self.chosen.len() == self.width => last.total,
            _ => f32::INFINITY,
        }
    }
}

impl WithSimd for Choose<'_> {
    type Output = ();

    // A closure would not be inlined into the function that is compiled for the vectors.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (columns, _) = self.book.blocks.as_chunks::<LANES>();
        let (norms, _) = self.book.half_norms.as_chunks::<LANES>();
        let (costs, _) = self.costs.as_chunks::<LANES>();
        let dim = self.beams[0].residual.len();
        for (number, (block, norms)) in columns.chunks_exact(dim).zip(norms).enumerate() {
            for (index, beam) in self.beams.iter().enumerate() {
                let mut totals = score(&beam.residual, block, norms);
                match costs.get(number) {
                    None => totals.iter_mut().for_each(|total| *total += beam.distance),
                    Some(costs) => {
                        let base = beam.distance + self.price * beam.bits;
                        totals
                            .iter_mut()
                            .zip(costs)
                            .for_each(|(t, cost)| *t = base + (*t + self.price * cost));
                    }
                }
                let bound = self.bound();
                if !totals.iter().fold(false, |any, &total| any | (total < bound)) {
                    continue;
                }
                for (lane, &total) in totals.iter().enumerate() {
                    // Of equals the one found first stays in front.
                    if total < self.bound() {
                        let at = self.chosen.partition_point(|c| c.total <= total);
                        self.chosen.truncate(self.width - 1);
                        self.chosen.insert(at, Choice { total, beam: index, entry: number * LANES + lane });
                    }
                }
            }
        }
    }
}

impl BeamSearch {
    /// Makes a search of this width (at least 1) for a quantizer's shape.
    pub fn new(quantizer: &ResidualQuantizer, width: usize) -> Self {
        let (width, dim) = (width.max(1), quantizer.group_dim());
        let beam =
            Beam { distance: 0.0, bits: 0.0, residual: vec![0.0; dim], sums: vec![0; dim], codes: [0; 64] };
        let group = || Beams { now: vec![beam.clone(); width], before: vec![beam.clone(); width], alive: 0 };
        Self {
            width,
            groups: (0..quantizer.groups()).map(|_| group()).collect(),
            chosen: Vec::with_capacity(width),
            appraiser: None,
            bit_weight: 0.0,
            costs: Vec::new(),
            arch: pulp::Arch::new(),
        }
    }

    /// Weighs the bits that codes take with these tables, from the packet that begins now; with a weight of 0 or without
    /// tables distance alone counts.
    pub(super) fn weigh(&mut self, tables: Option<Arc<Tables>>, bit_weight: f32) {
        let tables = tables.filter(|_| bit_weight > 0.0);
        self.bit_weight = bit_weight;
        let entries = tables.as_ref().map_or(0, |t| t.size().next_multiple_of(LANES));
        self.costs.clear();
        self.costs.resize(entries, 0.0);
        self.appraiser = tables.map(BitCostEstimator::new);
    }

    /// Begins a packet: nothing is known of its frames.
    pub(super) fn begin_packet(&mut self) {
        if let Some(appraiser) = &mut self.appraiser {
            appraiser.start_packet();
        }
    }

    /// Ends a frame of the packet, for which these codes were taken.
    pub(super) fn end_frame(&mut self, codes: &[u16]) {
        if let Some(appraiser) = &mut self.appraiser {
            appraiser.end_frame(codes);
        }
    }

    /// Begins with the latent of a group.
    pub(super) fn start(&mut self, group: usize, latent: &[f32]) {
        let beams = &mut self.groups[group];
        let first = &mut beams.now[0];
        (first.distance, first.bits) = (0.0, 0.0);
        first.residual.copy_from_slice(latent);
        first.sums.fill(0);
        beams.alive = 1;
    }

    /// Adds an entry of the next stage's codebook to each partial sum of a group and keeps the best.
    pub(super) fn extend(&mut self, group: usize, stage: usize, book: &Codebook<'_>) {
        let beams = &mut self.groups[group];
        let alive = &beams.now[..beams.alive];
        if let Some(appraiser) = &mut self.appraiser {
            // The other sums are near the best one, and so are their predictions: with each sum's own, packets would be
            // a six-hundredth smaller and the search several times as slow.
            appraiser.estimate_costs(book.index, &alive[0].sums, &mut self.costs);
        }
        self.chosen.clear();
        let (chosen, costs, width) = (&mut self.chosen, &self.costs, self.width);
        let price = self.bit_weight * book.price;
        self.arch.dispatch(Choose { beams: alive, book, costs, price, width, chosen: &mut *chosen });
        if chosen.is_empty() {
            chosen.push(Choice { total: 0.0, beam: 0, entry: 0 });
        }
        std::mem::swap(&mut beams.now, &mut beams.before);
        beams.alive = chosen.len();
        for (beam, choice) in beams.now.iter_mut().zip(chosen.iter()) {
            let parent = &beams.before[choice.beam];
            let dim = parent.residual.len();
            let entry = &book.entries[choice.entry * dim..(choice.entry + 1) * dim];
            beam.residual.iter_mut().zip(&parent.residual).zip(entry).for_each(|((r, p), e)| *r = p - e);
            beam.codes[..stage].copy_from_slice(&parent.codes[..stage]);
            beam.codes[stage] = choice.entry as u16;
            beam.distance = choice.total;
            if let Some(appraiser) = &self.appraiser {
                beam.bits = parent.bits + costs[choice.entry];
                beam.distance -= price * beam.bits;
                beam.sums.copy_from_slice(&parent.sums);
                appraiser.add_entry(book.index, choice.entry, &mut beam.sums);
            }
        }
        if let Some(appraiser) = &mut self.appraiser {
            appraiser.set_group_sums(group, &beams.now[0].sums);
        }
    }

    /// Half the squared distance of a group's best sum, without the latent's own length.
    pub(super) fn distance(&self, group: usize) -> f32 {
        self.groups[group].now[0].distance
    }

    /// The codes of a group's best sum.
    pub(super) fn finish(&self, group: usize, stages: usize) -> &[u16] {
        &self.groups[group].now[0].codes[..stages]
    }
}
