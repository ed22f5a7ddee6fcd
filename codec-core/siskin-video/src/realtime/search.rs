//! Finding motion: a coarse search over quartered pictures, candidates from the blocks around, then smaller and smaller
//! steps on the sum of absolute differences with the cost of the vector.

use super::picture::Picture;
use super::plane::Reference;
use super::vectors::{Motion, Vector};

/// The coarse search looks this far, in samples of the quartered picture.
const COARSE_REACH: isize = 6;
/// Most steps of a descent.
const STEPS: usize = 12;
/// Bits by which four vectors cost more than one before their differences are counted.
const SPLIT_BITS: u32 = 3;

/// Finds the motion of frames.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// The picture and the one before, quartered: columns, rows, samples.
    small: [Vec<u8>; 2],
    /// The motion of the frame before.
    old: Motion,
}

/// The best vector so far of a block, and its cost.
#[derive(Debug, Clone, Copy)]
struct Best {
    vector: Vector,
    cost: u32,
}

/// A block whose motion is sought.
struct Block<'a> {
    reference: &'a Reference,
    picture: &'a Picture,
    motion: &'a Motion,
    /// Place in blocks of 8x8, and side in samples.
    x: usize,
    y: usize,
    side: usize,
    predicted: Vector,
    /// What a bit costs, in sixteenths of a difference.
    weight: u32,
}

impl Search {
    /// For pictures like this one.
    pub(super) fn new(like: &Picture) -> Self {
        let count = like.width / 4 * (like.height / 4);
        Self {
            small: std::array::from_fn(|_| vec![0; count]),
            old: Motion::new(like.width / 8, like.height / 8),
        }
    }

    /// Takes a picture that is not predicted.
    pub(super) fn begin(&mut self, picture: &Picture) {
        self.old.clear();
        self.turn(picture);
    }

    /// The picture at hand is not predicted after all.
    pub(super) fn forget_motion(&mut self) {
        self.old.clear();
    }

    fn turn(&mut self, picture: &Picture) {
        self.small.swap(0, 1);
        quarter(picture, &mut self.small[0]);
    }

    /// Finds the motion from `reference`, the frame before as decoded, to `picture`; `step` is the quantizer's. Gives the
    /// mean difference a sample that remains.
    pub(super) fn run(
        &mut self,
        reference: &Reference,
        picture: &Picture,
        step: f32,
        motion: &mut Motion,
    ) -> f32 {
        self.turn(picture);
        motion.clear();
        // The usual weight of a bit: the root of 0.85 step^2 / 16 * 4 / 3, here in sixteenths.
        let weight = (step * 16.0 * 0.35) as u32;
        let (wide, high) = (motion.columns / 2, motion.rows / 2);
        let mut all = 0u64;
        for my in 0..high {
            for mx in 0..wide {
                let coarse = self.coarse(picture, mx, my);
                all += u64::from(self.macroblock(reference, picture, (mx, my), weight, coarse, motion));
            }
        }
        self.old.clone_from(motion);
        all as f32 / picture.planes[0].len() as f32
    }

    fn macroblock(
        &self,
        reference: &Reference,
        picture: &Picture,
        (mx, my): (usize, usize),
        weight: u32,
        coarse: Vector,
        motion: &mut Motion,
    ) -> u32 {
        let (x, y) = (2 * mx, 2 * my);
        let predicted = motion.predict(x, y, 2);
        let block = Block { reference, picture, motion, x, y, side: 16, predicted, weight };
        let around = [
            predicted,
            [0; 2],
            if mx > 0 { motion.at(x - 1, y) } else { [0; 2] },
            if my > 0 { motion.at(x, y - 1) } else { [0; 2] },
            self.old.at(x, y),
            coarse,
        ];
        let whole = block.find(&around);
        // Where next to nothing is left, four vectors cannot be better.
        if whole.cost < 16 * 16 + 2 * weight / 16 {
            motion.set(mx, my, [whole.vector; 4]);
            motion.split[my * (motion.columns / 2) + mx] = false;
            return whole.cost;
        }
        let mut cost = SPLIT_BITS * weight / 16;
        for i in 0..4 {
            let (x, y) = (x + i % 2, y + i / 2);
            let predicted = motion.predict(x, y, 1);
            let block = Block { reference, picture, motion, x, y, side: 8, predicted, weight };
            let best = block.find(&[whole.vector, predicted]);
            cost += best.cost;
            let place = y * motion.columns + x;
            motion.vectors[place] = best.vector;
        }
        let split = cost < whole.cost;
        if !split {
            motion.set(mx, my, [whole.vector; 4]);
        }
        motion.split[my * (motion.columns / 2) + mx] = split;
        whole.cost.min(cost)
    }

    /// The best full search over the quartered pictures, on squares of 8x8 about the macroblock.
    fn coarse(&self, picture: &Picture, mx: usize, my: usize) -> Vector {
        let (columns, rows) = (picture.width / 4, picture.height / 4);
        let [own, before] = &self.small;
        let side = 8.min(columns).min(rows);
        let start = |place: usize, all: usize| (place * 4).saturating_sub(2).min(all - side);
        let (x, y) = (start(mx, columns), start(my, rows));
        let difference = |dx: isize, dy: isize, most: u32| {
            let (px, py) = ((x as isize + dx) as usize, (y as isize + dy) as usize);
            let mut sum = 0;
            for row in 0..side {
                let a = &own[(y + row) * columns + x..][..side];
                let b = &before[(py + row) * columns + px..][..side];
                sum += a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
                if sum > most {
                    break;
                }
            }
            sum
        };
        let range = |place: usize, all: usize| {
            -COARSE_REACH.min(place as isize)..=COARSE_REACH.min((all - side - place) as isize)
        };
        let mut best = (difference(0, 0, u32::MAX), [0, 0]);
        for dy in range(y, rows) {
            for dx in range(x, columns) {
                let found = difference(dx, dy, best.0);
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
    fn cost(&self, vector: Vector, most: u32) -> u32 {
        let bits: u32 = (0..2).map(|i| length(i32::from(vector[i]) - i32::from(self.predicted[i]))).sum();
        let rate = bits * self.weight / 16;
        rate + self.reference.difference(self.picture, (self.x * 8, self.y * 8, self.side), vector, most)
    }

    fn attempt(&self, vector: Vector, best: &mut Best) -> bool {
        if !self.motion.allows(self.x, self.y, self.side, vector) {
            return false;
        }
        let cost = self.cost(vector, best.cost);
        if cost < best.cost {
            *best = Best { vector, cost };
            return true;
        }
        false
    }

    /// The best of candidates, then of what lies around it.
    fn find(&self, candidates: &[Vector]) -> Best {
        let mut best = Best { vector: [0; 2], cost: self.cost([0; 2], u32::MAX) };
        for (i, &candidate) in candidates.iter().enumerate() {
            if !candidates[..i].contains(&candidate) {
                self.attempt(candidate, &mut best);
                self.attempt(candidate.map(|v| (v + 2) & !3), &mut best);
            }
        }
        // Nothing to be gained where the difference is that of noise.
        if best.cost <= (self.side * self.side) as u32 / 2 {
            return best;
        }
        for (size, steps) in [(8, 4), (4, STEPS), (2, 2), (1, 2)] {
            for _ in 0..steps {
                let [x, y] = best.vector;
                let near = [[x - size, y], [x + size, y], [x, y - size], [x, y + size]];
                let mut found = false;
                for vector in near {
                    found |= self.attempt(vector, &mut best);
                }
                if !found {
                    break;
                }
            }
        }
        best
    }
}

/// Bits of a component's difference, about.
fn length(difference: i32) -> u32 {
    match difference.unsigned_abs() {
        0 => 1,
        size => 3 + 2 * (32 - size.leading_zeros()) / 2 * 2 / 2,
    }
}

/// Means of 4x4 samples.
fn quarter(picture: &Picture, out: &mut [u8]) {
    let columns = picture.width / 4;
    for (row, out) in out.chunks_exact_mut(columns).enumerate() {
        let rows: [&[u8]; 4] =
            std::array::from_fn(|i| &picture.planes[0][(row * 4 + i) * picture.width..][..picture.width]);
        for (x, out) in out.iter_mut().enumerate() {
            let sum: u16 = rows.iter().flat_map(|r| &r[x * 4..x * 4 + 4]).map(|&v| u16::from(v)).sum();
            *out = ((sum + 8) / 16) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_is_found() {
        // A soft texture, so that a descent finds its way, moved by (7, -3) samples.
        let value = |x: f32, y: f32| 128.0 + 60.0 * (x * 0.21).sin() + 50.0 * (y * 0.17 + x * 0.05).cos();
        let make = |dx: f32, dy: f32| {
            let mut picture = Picture::new(96, 80);
            for (i, v) in picture.planes[0].iter_mut().enumerate() {
                *v = value((i % 96) as f32 + dx, (i / 96) as f32 + dy) as u8;
            }
            picture
        };
        let (before, after) = (make(0.0, 0.0), make(7.0, -3.0));
        let (mut search, mut reference) = (Search::new(&before), Reference::new(&before));
        search.begin(&before);
        reference.take(&before);
        let mut motion = Motion::new(12, 10);
        let left = search.run(&reference, &after, 10.0, &mut motion);
        assert!(left < 2.0, "{left}");
        assert_eq!(motion.at(4, 4), [28, -12]);
        assert_eq!(motion.at(7, 5), [28, -12]);
    }
}
