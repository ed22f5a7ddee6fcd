//! The inner loop of the codebook search.

use pulp::{Simd, WithSimd};

use crate::search::{Beam, SearchCodebook};

/// Entries that are compared at once.
pub(crate) const LANES: usize = 32;

/// One dimension of a block of entries.
// In whole lines of the cache, of which vectors that lie across two would read both.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Column(pub(crate) [f32; LANES]);

/// Beams of a tile where registers hold 16 values and there are 32 of them: the distances of a block to all of them stay in 16.
const WIDE_TILE: usize = 8;
/// The same where there are fewer or narrower ones: half a block or a quarter of one, in 8 registers of 16.
const TILE: usize = 4;

/// An entry added to a beam.
// Small, since candidates are moved up and down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) total: f32,
    pub(crate) beam: u16,
    pub(crate) entry: u16,
}

impl Candidate {
    /// Stands for none: nothing is kept that costs as much.
    pub(crate) const NONE: Self = Self { total: f32::INFINITY, beam: 0, entry: 0 };
}

/// Selects the best of all sums of a beam and an entry, as many as `best` is long, which begins with [`Candidate::NONE`] alone.
pub(crate) struct SelectBest<'a> {
    pub(crate) beams: &'a [Beam],
    pub(crate) book: &'a SearchCodebook<'a>,
    /// Costs of entries in 256ths of a bit; empty if bits do not count.
    pub(crate) costs: &'a [f32],
    /// Half squared error that a 256th of a bit counts as.
    pub(crate) lambda: f32,
    pub(crate) best: &'a mut [Candidate],
    /// Space for the beams as the loop reads them.
    pub(crate) tiles: &'a mut Vec<f32>,
}

/// Half the squared distances of a residual to a block's entries, without the residual's own length, from `start` on.
#[inline(always)]
fn block_distances(residual: &[f32], block: &[Column], start: &[f32; LANES]) -> [f32; LANES] {
    let mut sums = *start;
    for (&x, column) in residual.iter().zip(block) {
        for (sum, &c) in sums.iter_mut().zip(&column.0) {
            *sum -= x * c;
        }
    }
    sums
}

/// Adds up what a tile of beams costs with each entry of a block, into `totals`; gives one bit for each beam that has an entry
/// below `cutoff`. `tile` has the negated residuals, a dimension after the other, and then the costs so far.
#[inline(always)]
fn tile_totals<S: Simd, const N: usize>(
    simd: S,
    tile: &[[f32; N]],
    block: &[Column],
    start: &[f32; LANES],
    cutoff: f32,
    totals: &mut [[f32; LANES]; N],
) -> u32 {
    let (mut below, cutoff) = (0, simd.splat_f32s(cutoff));
    let (start, _) = S::as_simd_f32s(start);
    for (pass, &[first, second]) in start.as_chunks::<2>().0.iter().enumerate() {
        let mut sums = [[first, second]; N];
        for (values, column) in tile.iter().zip(block) {
            let (column, _) = S::as_simd_f32s(&column.0);
            let (first, second) = (column[2 * pass], column[2 * pass + 1]);
            for (sum, &value) in sums.iter_mut().zip(values) {
                let value = simd.splat_f32s(value);
                // Fused where the processor has that; `mul_add` calls a function elsewhere, which took half of the browser's time.
                sum[0] = simd.mul_add_e_f32s(value, first, sum[0]);
                sum[1] = simd.mul_add_e_f32s(value, second, sum[1]);
            }
        }
        for (n, ((sum, &base), totals)) in
            sums.iter().zip(&tile[block.len()]).zip(totals.iter_mut()).enumerate()
        {
            let (totals, _) = S::as_mut_simd_f32s(totals);
            let base = simd.splat_f32s(base);
            for (total, &sum) in totals[2 * pass..].iter_mut().zip(sum) {
                *total = simd.add_f32s(base, sum);
                let found = simd.first_true_m32s(simd.less_than_f32s(*total, cutoff)) < S::F32_LANES;
                below |= u32::from(found) << n;
            }
        }
    }
    below
}

/// The least of some totals.
// By `min` and not by comparing each: LLVM 22 has no instruction for what it makes of that for WebAssembly's vectors, and gives up.
#[inline(always)]
fn least(totals: &[f32]) -> f32 {
    totals.iter().fold(f32::INFINITY, |least, &total| least.min(total))
}

impl SelectBest<'_> {
    /// Cost below which a candidate is kept.
    #[inline(always)]
    fn cutoff_total(&self) -> f32 {
        self.best.last().map_or(f32::NEG_INFINITY, |last| last.total)
    }

    /// Keeps what is below the cutoff of a beam's totals with the entries of block `number`.
    #[inline(always)]
    fn keep_best(&mut self, beam: usize, number: usize, totals: &[f32; LANES]) {
        let mut cutoff = self.cutoff_total();
        let (groups, _) = totals.as_chunks::<8>();
        for (group, totals) in groups.iter().enumerate() {
            // One comparison for eight entries, since hardly more than one of a block is kept.
            if least(totals) >= cutoff {
                continue;
            }
            for (lane, &total) in totals.iter().enumerate() {
                if total < cutoff {
                    let entry = (number * LANES + group * 8 + lane) as u16;
                    self.insert(Candidate { total, beam: beam as u16, entry });
                    cutoff = self.cutoff_total();
                }
            }
        }
    }

    /// Puts a candidate among the best in place of the last; of equals the one found first stays in front.
    #[inline(always)]
    fn insert(&mut self, candidate: Candidate) {
        // Insertion sort: the list has at most 64 entries and insertions are rare.
        let mut at = self.best.len() - 1;
        while at > 0 && self.best[at - 1].total > candidate.total {
            self.best[at] = self.best[at - 1];
            at -= 1;
        }
        self.best[at] = candidate;
    }

    /// The cost of a beam so far.
    #[inline(always)]
    fn base(&self, beam: &Beam) -> f32 {
        beam.distance + self.lambda * beam.bits
    }

    /// What the totals of a block begin with: half the squared lengths of its entries and what their bits cost.
    #[inline(always)]
    fn block_start(&self, number: usize, norms: &[f32; LANES]) -> [f32; LANES] {
        let mut start = *norms;
        if let Some(costs) = self.costs.as_chunks::<LANES>().0.get(number) {
            start.iter_mut().zip(costs).for_each(|(start, cost)| *start += self.lambda * cost);
        }
        start
    }

    /// The search in tiles of `N` beams. A column of a block, one dimension of its entries, is loaded once for all of them.
    #[inline(always)]
    fn run_tiles<S: Simd, const N: usize>(mut self, simd: S) {
        let dim = self.beams[0].residual.len();
        // Each tile is its beams' residuals, a dimension after the other, and in a last row what they cost so far.
        let rows = dim + 1;
        let mut packed = std::mem::take(self.tiles);
        packed.clear();
        packed.resize(self.beams.len().div_ceil(N) * rows * N, 0.0);
        for (tile, beams) in packed.chunks_exact_mut(rows * N).zip(self.beams.chunks(N)) {
            // Nothing is below any cutoff for the beams that a tile lacks.
            tile[dim * N..].fill(f32::INFINITY);
            for (n, beam) in beams.iter().enumerate() {
                let column = tile.iter_mut().skip(n).step_by(N);
                let values = beam.residual.iter().map(|x| -x).chain([self.base(beam)]);
                column.zip(values).for_each(|(to, x)| *to = x);
            }
        }
        let (tiles, _) = packed.as_chunks::<N>();
        let (norms, _) = self.book.half_norms.as_chunks::<LANES>();
        let mut totals = [[0.0; LANES]; N];
        for (number, (block, norms)) in self.book.columns.chunks_exact(dim).zip(norms).enumerate() {
            let start = self.block_start(number, norms);
            for (index, tile) in tiles.chunks_exact(rows).enumerate() {
                let cutoff = self.cutoff_total();
                let below = tile_totals(simd, tile, block, &start, cutoff, &mut totals);
                // Most blocks have no entry under the cutoff.
                if below == 0 {
                    continue;
                }
                for (n, totals) in totals.iter().enumerate() {
                    if below >> n & 1 == 1 {
                        self.keep_best(index * N + n, number, totals);
                    }
                }
            }
        }
        *self.tiles = packed;
    }

    /// The search beam by beam, with what the compiler makes of plain loops.
    #[inline(always)]
    fn run_plain(mut self) {
        let dim = self.beams[0].residual.len();
        let (norms, _) = self.book.half_norms.as_chunks::<LANES>();
        for (number, (block, norms)) in self.book.columns.chunks_exact(dim).zip(norms).enumerate() {
            let start = self.block_start(number, norms);
            for (index, beam) in self.beams.iter().enumerate() {
                let mut totals = block_distances(&beam.residual, block, &start);
                let base = self.base(beam);
                totals.iter_mut().for_each(|total| *total += base);
                let cutoff = self.cutoff_total();
                if least(&totals) < cutoff {
                    self.keep_best(index, number, &totals);
                }
            }
        }
    }
}

impl WithSimd for SelectBest<'_> {
    type Output = ();

    // A closure would not be inlined into the function that is compiled for the vectors.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::IS_SCALAR {
            // One value at a time would be slower than what the compiler makes of plain loops.
            self.run_plain();
        } else if self.beams.len() == 1 {
            self.run_tiles::<S, 1>(simd);
        } else if S::F32_LANES >= 16 {
            self.run_tiles::<S, WIDE_TILE>(simd);
        } else {
            self.run_tiles::<S, TILE>(simd);
        }
    }
}
