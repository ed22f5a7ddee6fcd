//! Motion search: whole samples around predictions, then halves from interpolated planes, then quarters.

use super::distortion::{sad, satd};
use super::motion::{MAX_COMPONENT, Vector};
use super::picture::Picture;
use super::vector::vectorized;

/// Steps of whole samples at most.
const MAX_STEPS: usize = 24;

/// What is sought: a block of the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Its samples, and how far apart their rows are.
    pub(super) own: (&'a [u8], usize),
    pub(super) place: (usize, usize, usize),
    /// What predicts the vector, which costs bits by its difference.
    pub(super) predicted: Vector,
    /// Cost of a bit as SAD.
    pub(super) lambda: f32,
    /// The block lies in a larger one whose vector is among the starts, so that wide steps find little.
    pub(super) is_near: bool,
}

/// Bits of a vector, about.
pub(super) fn vector_bits(vector: Vector, predicted: Vector) -> f32 {
    let one = |axis: usize| {
        let size = i32::from(vector[axis]).abs_diff(predicted[axis].into());
        if size == 0 { 0.7 } else { 2.0 + 2.0 * (size.ilog2() as f32) }
    };
    one(0) + one(1)
}

impl Wanted<'_> {
    fn bits_cost(&self, vector: Vector) -> u32 {
        (self.lambda * vector_bits(vector, self.predicted)) as u32
    }

    /// Cost of a vector whose components are multiples of half a sample.
    fn coarse_cost(&self, from: &Picture, vector: Vector, limit: u32) -> u32 {
        let side = self.place.2;
        let bits = self.bits_cost(vector);
        if bits >= limit {
            return u32::MAX;
        }
        let (px, py) = from.locate(self.place, vector);
        let plane = match ((px >> 1) & 1, (py >> 1) & 1, &from.halves) {
            (1, 0, Some(halves)) => &halves[0],
            (0, 1, Some(halves)) => &halves[1],
            (1, 1, Some(halves)) => &halves[2],
            _ => &from.planes[0],
        };
        let start = plane.index((px >> 2) as isize, (py >> 2) as isize);
        bits + sad(side, self.own.0, self.own.1, &plane.data[start..], plane.stride, limit - bits)
    }

    /// The best vector into `from`, and its cost with SATD in the place of SAD.
    pub(super) fn search(&self, from: &Picture, starts: &[Vector], out: &mut [u8]) -> (Vector, u32) {
        let whole = |v: Vector| v.map(|c| (c + 2) & !3);
        let mut best = (whole(self.predicted), u32::MAX);
        let mut seen = [[0i16; 2]; 16];
        let mut count = 0;
        for start in std::iter::once(self.predicted).chain(starts.iter().copied()).map(whole) {
            if seen[..count].contains(&start) || count == seen.len() {
                continue;
            }
            seen[count] = start;
            count += 1;
            let cost = self.coarse_cost(from, start, best.1);
            if cost < best.1 {
                best = (start, cost);
            }
        }
        // A hexagon's wide steps while they help, then a diamond.
        let mut steps = 0;
        let patterns =
            [&[[-8, 0], [8, 0], [-4, -8], [4, -8], [-4, 8], [4, 8]][..], &[[-4, 0], [4, 0], [0, -4], [0, 4]]];
        for pattern in patterns.into_iter().skip(usize::from(self.is_near)) {
            loop {
                let center = best.0;
                self.try_around(from, center, pattern, &mut best);
                steps += 1;
                if best.0 == center || steps > MAX_STEPS {
                    break;
                }
            }
        }
        const RING: [Vector; 8] = [[-1, 0], [1, 0], [0, -1], [0, 1], [-1, -1], [1, -1], [-1, 1], [1, 1]];
        let center = best.0;
        self.try_around(from, center, &RING.map(|v| v.map(|c| 2 * c)), &mut best);
        // Quarters are means of halves here, and SATD counts for the best of them alone.
        let (side, (own, own_stride)) = (self.place.2, self.own);
        let cost_of = |vector: Vector, out: &mut [u8]| {
            average(from, self.place, vector, out);
            self.bits_cost(vector) + sad(side, own, own_stride, out, 32, u32::MAX)
        };
        let center = best.0;
        // The cross first; the corner only between its better arms.
        let mut arms = [(0i16, best.1); 2];
        for axis in 0..2 {
            for d in [-1, 1] {
                let mut vector = center;
                vector[axis] += d;
                let cost = cost_of(vector, out);
                if cost < arms[axis].1 {
                    arms[axis] = (d, cost);
                }
                if cost < best.1 {
                    best = (vector, cost);
                }
            }
        }
        if arms[0].0 != 0 && arms[1].0 != 0 {
            let vector = [center[0] + arms[0].0, center[1] + arms[1].0];
            let cost = cost_of(vector, out);
            if cost < best.1 {
                best = (vector, cost);
            }
        }
        average(from, self.place, best.0, out);
        (best.0, self.bits_cost(best.0) + satd(side, own, own_stride, out, 32))
    }

    fn try_around(&self, from: &Picture, center: Vector, pattern: &[Vector], best: &mut (Vector, u32)) {
        for step in pattern {
            let vector = [0, 1].map(|i| i32::from(center[i]) + i32::from(step[i]));
            if vector.iter().any(|c| c.abs() > MAX_COMPONENT) {
                continue;
            }
            let vector = vector.map(|c| c as i16);
            let cost = self.coarse_cost(from, vector, best.1);
            if cost < best.1 {
                *best = (vector, cost);
            }
        }
    }
}

/// Predicts a luma block about as [`predict_luma`](super::interpolation::predict_luma) does: quarters are means of the two nearest
/// samples on the grid of halves.
pub(super) fn average(from: &Picture, place: (usize, usize, usize), vector: Vector, out: &mut [u8]) {
    let (px, py) = from.locate(place, vector);
    let (left, top, odd) = (px >> 1, py >> 1, [px & 1, py & 1]);
    let at = |x: i32, y: i32| {
        let plane = match (x & 1, y & 1, &from.halves) {
            (1, 0, Some(halves)) => &halves[0],
            (0, 1, Some(halves)) => &halves[1],
            (1, 1, Some(halves)) => &halves[2],
            _ => &from.planes[0],
        };
        (&plane.data[plane.index((x >> 1) as isize, (y >> 1) as isize)..], plane.stride)
    };
    let (first, second) = match odd {
        // Both odd: the two that are half off in one direction only.
        [1, 1] if (left + top) & 1 == 0 => (at(left + 1, top), at(left, top + 1)),
        [x, y] => (at(left, top), at(left + x, top + y)),
    };
    vectorized(
        #[inline(always)]
        || match place.2 {
            8 => average_of::<8>(first, second, out),
            16 => average_of::<16>(first, second, out),
            _ => average_of::<32>(first, second, out),
        },
    );
}

#[inline(always)]
fn average_of<const N: usize>(first: (&[u8], usize), second: (&[u8], usize), out: &mut [u8]) {
    let (first, second) =
        ((&first.0[..(N - 1) * first.1 + N], first.1), (&second.0[..(N - 1) * second.1 + N], second.1));
    for (row, out) in out.chunks_mut(32).take(N).enumerate() {
        let (a, b) = (&first.0[row * first.1..][..N], &second.0[row * second.1..][..N]);
        // Written as a whole: compilers cannot know that `out` is not one of the others.
        let mut means = [0u8; N];
        for i in 0..N {
            means[i] = ((u16::from(a[i]) + u16::from(b[i]) + 1) >> 1) as u8;
        }
        out[..N].copy_from_slice(&means);
    }
}
