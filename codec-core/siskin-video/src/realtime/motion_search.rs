//! Motion estimation: a full search over frames of a quarter of the size, candidates from neighboring blocks, then a diamond
//! search of falling step down to quarter samples, on SAD plus lambda times the bits of the motion vector.

use siskin_media::{Plane, VideoFrame};

use super::motion::{MotionField, MotionVector};
use super::reference::ReferenceFrame;

/// Range of the coarse search in samples of the small frame: 24 samples each way, as far as vectors may leave the frame.
// 13x13 positions of 64 samples cost about as much as 42 SADs of a whole macroblock.
const COARSE_REACH: isize = 6;
/// Most moves of the diamond search at full samples. It ends where no neighbor is better, so this only bounds the time.
const MAX_MOVES: usize = 12;
/// Bits that four vectors cost more than one, beside their differences: a guess at the split flag and three zero flags.
const SPLIT_BITS: u32 = 3;

/// Estimates the motion of frames.
#[derive(Debug, Clone)]
pub(super) struct MotionSearch {
    /// Luma of the frame and the one before at a quarter of their sides.
    small: [Vec<u8>; 2],
    /// The motion of the frame before.
    previous: MotionField,
}

/// The best vector so far of a block, and its cost.
#[derive(Debug, Clone, Copy)]
struct Best {
    vector: MotionVector,
    cost: u32,
}

/// A block whose motion is sought.
struct Block<'a> {
    reference: &'a ReferenceFrame,
    luma: Plane<'a>,
    motion: &'a MotionField,
    /// Place in blocks of 8x8, and side in samples.
    x: usize,
    y: usize,
    side: usize,
    predicted: MotionVector,
    /// Lambda in sixteenths of SAD per bit.
    lambda: u32,
}

impl MotionSearch {
    /// For padded frames of this one's size.
    pub(super) fn new(like: &VideoFrame) -> Self {
        let (width, height) = (like.size().width(), like.size().height());
        let count = width / 4 * (height / 4);
        Self {
            small: std::array::from_fn(|_| vec![0; count]),
            previous: MotionField::new(width / 8, height / 8),
        }
    }

    /// Notes a keyframe, which is not predicted: the next frame searches in it.
    pub(super) fn skip_frame(&mut self, frame: &VideoFrame) {
        self.previous.clear();
        self.push_small(frame.plane(0));
    }

    /// The frame just searched becomes a keyframe after all.
    pub(super) fn forget_motion(&mut self) {
        self.previous.clear();
    }

    fn push_small(&mut self, luma: Plane<'_>) {
        // The older of both planes is overwritten, so nothing is allocated for a frame.
        self.small.swap(0, 1);
        shrink_plane(luma, &mut self.small[0]);
    }

    /// Estimates the motion from `reference` to `frame`. Gives the mean absolute difference per sample that remains, the
    /// vectors' bits included.
    pub(super) fn estimate_motion(
        &mut self,
        reference: &ReferenceFrame,
        frame: &VideoFrame,
        qstep: f32,
        motion: &mut MotionField,
    ) -> f32 {
        let luma = frame.plane(0);
        self.push_small(luma);
        motion.clear();
        // The usual lambda of SAD is the root of 0.85 qstep^2 / 16 * 4 / 3, about 0.27 qstep; 0.35 makes vectors a little
        // smoother. In sixteenths, to stay in integers.
        let lambda = (qstep * 16.0 * 0.35) as u32;
        let (wide, high) = (motion.columns / 2, motion.rows / 2);
        let mut all = 0u64;
        for my in 0..high {
            for mx in 0..wide {
                // The coarse search looks at the source of the last frame and not at its decoded form: coding noise
                // would mislead it, and its result is only a candidate.
                let coarse = self.search_coarse(luma, mx, my);
                all += u64::from(self.search_macroblock(reference, luma, (mx, my), lambda, coarse, motion));
            }
        }
        self.previous.clone_from(motion);
        all as f32 / luma.data().len() as f32
    }

    /// Sets the vectors of a macroblock; gives its cost.
    fn search_macroblock(
        &self,
        reference: &ReferenceFrame,
        luma: Plane<'_>,
        (mx, my): (usize, usize),
        lambda: u32,
        coarse: MotionVector,
        motion: &mut MotionField,
    ) -> u32 {
        let (x, y) = (2 * mx, 2 * my);
        let predicted = motion.predict_vector(x, y, 2);
        let block = Block { reference, luma, motion, x, y, side: 16, predicted, lambda };
        // In raster order left and above are already final. Neighbors in space and time find what the coarse search
        // cannot: fine motion, and motion of flat areas.
        let candidates = [
            predicted,
            [0; 2],
            if mx > 0 { motion.vector_at(x - 1, y) } else { [0; 2] },
            if my > 0 { motion.vector_at(x, y - 1) } else { [0; 2] },
            self.previous.vector_at(x, y),
            coarse,
        ];
        let whole = block.find_vector(&candidates);
        // Below one level of error per sample the residual is noise: four vectors would only cost bits.
        // Two bits are what one vector equal to its prediction takes in each component by the estimate below.
        if whole.cost < 16 * 16 + 2 * lambda / 16 {
            motion.set_macroblock(mx, my, [whole.vector; 4]);
            motion.split[my * (motion.columns / 2) + mx] = false;
            return whole.cost;
        }
        let mut cost = SPLIT_BITS * lambda / 16;
        for i in 0..4 {
            let (x, y) = (x + i % 2, y + i / 2);
            let predicted = motion.predict_vector(x, y, 1);
            let block = Block { reference, luma, motion, x, y, side: 8, predicted, lambda };
            let best = block.find_vector(&[whole.vector, predicted]);
            cost += best.cost;
            let place = y * motion.columns + x;
            // Set at once, because the next of the four is predicted from it, as a decoder predicts it.
            motion.vectors[place] = best.vector;
        }
        let split = cost < whole.cost;
        if !split {
            motion.set_macroblock(mx, my, [whole.vector; 4]);
        }
        motion.split[my * (motion.columns / 2) + mx] = split;
        whole.cost.min(cost)
    }

    /// The best vector of a full search over the small frames, on 8x8 samples about the macroblock.
    fn search_coarse(&self, luma: Plane<'_>, mx: usize, my: usize) -> MotionVector {
        let (columns, rows) = (luma.row_bytes() / 4, luma.row_count() / 4);
        let [own, before] = &self.small;
        // A block of 8 small samples covers 32 of the frame: twice the macroblock, which makes the match less
        // ambiguous.
        let side = 8.min(columns).min(rows);
        let start = |place: usize, all: usize| (place * 4).saturating_sub(2).min(all - side);
        let (x, y) = (start(mx, columns), start(my, rows));
        let sad = |dx: isize, dy: isize, limit: u32| {
            let (px, py) = ((x as isize + dx) as usize, (y as isize + dy) as usize);
            let mut sum = 0;
            for row in 0..side {
                let a = &own[(y + row) * columns + x..][..side];
                let b = &before[(py + row) * columns + px..][..side];
                // One check per row and not per sample, so that the sum over a row is vectorized.
                sum += a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
                if sum > limit {
                    break;
                }
            }
            sum
        };
        let range = |place: usize, all: usize| {
            -COARSE_REACH.min(place as isize)..=COARSE_REACH.min((all - side - place) as isize)
        };
        // No motion is the first candidate, so it wins every tie: flat areas stay at rest.
        let mut best = (sad(0, 0, u32::MAX), [0, 0]);
        for dy in range(y, rows) {
            for dx in range(x, columns) {
                let found = sad(dx, dy, best.0);
                if found < best.0 {
                    best = (found, [dx, dy]);
                }
            }
        }
        // A sample here is four, and a vector counts quarters.
        best.1.map(|v| v as i16 * 16)
    }
}

impl Block<'_> {
    /// SAD plus lambda times the bits of the vector; at least `limit` once it is known to be above.
    fn vector_cost(&self, vector: MotionVector, limit: u32) -> u32 {
        let bits: u32 = (0..2)
            .map(|i| estimate_difference_bits(i32::from(vector[i]) - i32::from(self.predicted[i])))
            .sum();
        let rate = bits * self.lambda / 16;
        rate + self.reference.block_sad(self.luma, (self.x * 8, self.y * 8, self.side), vector, limit)
    }

    /// Takes a vector where it is better; whether it is.
    fn try_vector(&self, vector: MotionVector, best: &mut Best) -> bool {
        // A decoder refuses such a vector, and the border of the reference frame ends there.
        if !self.motion.is_allowed(self.x, self.y, self.side, vector) {
            return false;
        }
        let cost = self.vector_cost(vector, best.cost);
        if cost < best.cost {
            *best = Best { vector, cost };
            return true;
        }
        false
    }

    /// The best of candidates, then of a diamond search around it.
    fn find_vector(&self, candidates: &[MotionVector]) -> Best {
        // The zero vector is always allowed, so there is a result even if every candidate points too far out.
        let mut best = Best { vector: [0; 2], cost: self.vector_cost([0; 2], u32::MAX) };
        for (i, &candidate) in candidates.iter().enumerate() {
            if !candidates[..i].contains(&candidate) {
                self.try_vector(candidate, &mut best);
                // Also rounded to full samples, which need no interpolation and keep the frame sharp.
                self.try_vector(candidate.map(|v| (v + 2) & !3), &mut best);
            }
        }
        // Half a level of error per sample is rounding: nothing to be gained.
        if best.cost <= (self.side * self.side) as u32 / 2 {
            return best;
        }
        // Steps in quarter samples: two samples, one, a half, a quarter. Fractions get two moves each, since the full
        // sample before them is at most half a sample off where the descent has converged.
        for (size, moves) in [(8, 4), (4, MAX_MOVES), (2, 2), (1, 2)] {
            for _ in 0..moves {
                let [x, y] = best.vector;
                let near = [[x - size, y], [x + size, y], [x, y - size], [x, y + size]];
                let mut found = false;
                for vector in near {
                    found |= self.try_vector(vector, &mut best);
                }
                if !found {
                    break;
                }
            }
        }
        best
    }
}

/// Bits of a component's difference to its prediction, about: one for 0, else about what flag, sign and the code of the
/// magnitude take.
fn estimate_difference_bits(difference: i32) -> u32 {
    match difference.unsigned_abs() {
        // The adaptive contexts make zero differences cheaper still; a constant keeps the search independent of the
        // coder's state.
        0 => 1,
        magnitude => 3 + (u32::BITS - magnitude.leading_zeros()),
    }
}

/// Means of 4x4 samples.
fn shrink_plane(plane: Plane<'_>, out: &mut [u8]) {
    let columns = plane.row_bytes() / 4;
    for (row, out) in out.chunks_exact_mut(columns).enumerate() {
        let rows: [&[u8]; 4] = std::array::from_fn(|i| plane.row(row * 4 + i));
        for (x, out) in out.iter_mut().enumerate() {
            let sum: u16 = rows.iter().flat_map(|r| &r[x * 4..x * 4 + 4]).map(|&v| u16::from(v)).sum();
            // Averaging removes the detail that would alias at a quarter of the size.
            *out = ((sum + 8) / 16) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use siskin_media::Size;

    use super::super::packing::padded_frame;
    use super::*;

    #[test]
    fn what_moved_is_found() {
        // A soft texture, so that a descent finds its way, moved by (7, -3) samples.
        let value = |x: f32, y: f32| 128.0 + 60.0 * (x * 0.21).sin() + 50.0 * (y * 0.17 + x * 0.05).cos();
        let make = |dx: f32, dy: f32| {
            let mut frame = padded_frame(Size::new(96, 80).expect("a size"));
            for (i, v) in frame.plane_mut(0).data_mut().iter_mut().enumerate() {
                *v = value((i % 96) as f32 + dx, (i / 96) as f32 + dy) as u8;
            }
            frame
        };
        let (before, after) = (make(0.0, 0.0), make(7.0, -3.0));
        let (mut search, mut reference) = (MotionSearch::new(&before), ReferenceFrame::new(&before));
        search.skip_frame(&before);
        reference.update_from(&before);
        let mut motion = MotionField::new(12, 10);
        let left = search.estimate_motion(&reference, &after, 10.0, &mut motion);
        assert!(left < 2.0, "{left}");
        assert_eq!(motion.vector_at(4, 4), [28, -12]);
        assert_eq!(motion.vector_at(7, 5), [28, -12]);
    }
}
