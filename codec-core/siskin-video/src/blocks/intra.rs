//! Intra prediction as in ITU-T H.265 (8.4.4.2): planar, mean, and 33 directions.

use super::grid::Grid;
use super::picture::Rows;
use super::vector::vectorized;

/// Number of modes.
pub(super) const MODES: u8 = 35;
pub(super) const PLANAR: u8 = 0;
pub(super) const MEAN: u8 = 1;
/// The horizontal and the vertical direction.
pub(super) const ACROSS: u8 = 10;
pub(super) const DOWN: u8 = 26;

/// Displacements per 32 samples of the modes from 2 on.
const ANGLES: [i32; 33] = [
    32, 26, 21, 17, 13, 9, 5, 2, 0, -2, -5, -9, -13, -17, -21, -26, -32, -26, -21, -17, -13, -9, -5, -2, 0,
    2, 5, 9, 13, 17, 21, 26, 32,
];

/// Samples around a block, as far as they are known, others filled in.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    side: usize,
    /// From below left up to the corner at `2 side`, then to the right: `4 side + 1` samples.
    samples: [u8; 4 * 32 + 1],
    /// The same after a low-pass filter.
    smooth: [u8; 4 * 32 + 1],
}

impl Surroundings {
    /// Of the block of `side` samples at (x, y) of a plane whose samples have `part` luma samples on a side.
    pub(super) fn new(
        grid: &Grid,
        plane: &Rows<'_>,
        (x, y, side): (usize, usize, usize),
        part: usize,
    ) -> Self {
        let mut samples = [128u8; 4 * 32 + 1];
        let mut known = [false; 4 * 32 + 1];
        let own = (x * part, y * part);
        let unit = 4 / part.clamp(1, 4);
        let at = |dx: isize, dy: isize| {
            let (px, py) = (x as isize + dx, y as isize + dy);
            grid.is_before(own, px * part as isize, py * part as isize)
        };
        let corner = 2 * side;
        for begin in (0..2 * side).step_by(unit) {
            if at(-1, begin as isize) {
                for i in begin..begin + unit {
                    samples[corner - 1 - i] = plane.at(x - 1, y + i)[0];
                    known[corner - 1 - i] = true;
                }
            }
            if at(begin as isize, -1) {
                let from = plane.at(x + begin, y - 1);
                samples[corner + 1 + begin..][..unit].copy_from_slice(&from[..unit]);
                known[corner + 1 + begin..][..unit].fill(true);
            }
        }
        if at(-1, -1) {
            samples[corner] = plane.at(x - 1, y - 1)[0];
            known[corner] = true;
        }
        // What is not known repeats what comes before it, from below left on; before the first, the first.
        let count = 4 * side + 1;
        if let Some(first) = known[..count].iter().position(|&k| k) {
            let value = samples[first];
            samples[..first].fill(value);
            for i in first + 1..count {
                if !known[i] {
                    samples[i] = samples[i - 1];
                }
            }
        }
        let mut smooth = samples;
        // Of chroma, and of luma in blocks of 4x4, nobody asks.
        let smoothed = if part == 1 && side > 4 { 1..count - 1 } else { 0..0 };
        for i in smoothed {
            let sum = u16::from(samples[i - 1]) + 2 * u16::from(samples[i]) + u16::from(samples[i + 1]) + 2;
            smooth[i] = (sum >> 2) as u8;
        }
        Self { side, samples, smooth }
    }

    /// Predicts the block to `out`, whose rows are `stride` apart. Only luma is predicted from smoothed samples.
    pub(super) fn predict(&self, mode: u8, is_luma: bool, out: &mut [u8], stride: usize) {
        vectorized(
            #[inline(always)]
            || match self.side {
                4 => self.predict_of::<4>(mode, is_luma, out, stride),
                8 => self.predict_of::<8>(mode, is_luma, out, stride),
                16 => self.predict_of::<16>(mode, is_luma, out, stride),
                _ => self.predict_of::<32>(mode, is_luma, out, stride),
            },
        );
    }

    /// The same of luma, but what [`is_turned`] holds for is predicted column by column: what is compared with a turned source need
    /// not be turned.
    pub(super) fn predict_turned(&self, mode: u8, out: &mut [u8], stride: usize) {
        vectorized(
            #[inline(always)]
            || match self.side {
                4 => self.predict_any::<4>(mode, true, out, stride),
                8 => self.predict_any::<8>(mode, true, out, stride),
                16 => self.predict_any::<16>(mode, true, out, stride),
                _ => self.predict_any::<32>(mode, true, out, stride),
            },
        );
    }

    #[inline(always)]
    fn predict_of<const N: usize>(&self, mode: u8, is_luma: bool, out: &mut [u8], stride: usize) {
        if !is_turned(mode) {
            return self.predict_any::<N>(mode, is_luma, out, stride);
        }
        let mut turned = [[0u8; N]; N];
        self.predict_any::<N>(mode, is_luma, turned.as_flattened_mut(), N);
        for (y, row) in out.chunks_mut(stride).take(N).enumerate() {
            for (out, column) in row[..N].iter_mut().zip(&turned) {
                *out = column[y];
            }
        }
    }

    #[inline(always)]
    fn predict_any<const N: usize>(&self, mode: u8, is_luma: bool, out: &mut [u8], stride: usize) {
        let (corner, log) = (2 * N, N.trailing_zeros());
        if mode == MEAN {
            let sum: u32 = (1..=N)
                .map(|i| u32::from(self.samples[corner - i]) + u32::from(self.samples[corner + i]))
                .sum();
            let mean = ((sum + N as u32) >> (log + 1)) as u8;
            out.chunks_mut(stride).take(N).for_each(|row| row[..N].fill(mean));
            return;
        }
        // Smoothing pays where lines run across the grid of samples, and more so in large blocks.
        let away = i32::from(mode).abs_diff(ACROSS.into()).min(i32::from(mode).abs_diff(DOWN.into()));
        let is_smooth = is_luma
            && match N {
                4 => false,
                8 => mode == PLANAR || away > 7,
                16 => mode == PLANAR || away > 1,
                _ => mode == PLANAR || away > 0,
            };
        let samples = if is_smooth { &self.smooth } else { &self.samples };
        if mode == PLANAR {
            let above: [u16; N] = std::array::from_fn(|x| samples[corner + 1 + x].into());
            let (right, below) = (u16::from(samples[corner + 1 + N]), u16::from(samples[corner - 1 - N]));
            // 16 bits hold 64 times 255.
            let across: [u16; N] = std::array::from_fn(|x| (x as u16 + 1) * right + N as u16);
            for (y, row) in out.chunks_mut(stride).take(N).enumerate() {
                let (left, y) = (u16::from(samples[corner - 1 - y]), y as u16);
                let mut sums = [0u8; N];
                for x in 0..N {
                    let sides = (N - 1 - x) as u16 * left + across[x];
                    let sum = sides + (N as u16 - 1 - y) * above[x] + (y + 1) * below;
                    sums[x] = (sum >> (log + 1)) as u8;
                }
                row[..N].copy_from_slice(&sums);
            }
            return;
        }
        let (angle, is_down) = (ANGLES[usize::from(mode) - 2], !is_turned(mode));
        // The line from which all rows (or columns) are taken: index 32 is the corner.
        let mut line = [0u8; 32 + 2 * 32 + 2];
        if is_down {
            line[32..=32 + 2 * N].copy_from_slice(&samples[corner..=corner + 2 * N]);
        } else {
            line[32..=32 + 2 * N]
                .iter_mut()
                .zip(samples[..=corner].iter().rev())
                .for_each(|(to, &v)| *to = v);
        }
        if angle < 0 {
            let inverse = (8192 + (-angle) / 2) / -angle;
            for i in 1..=(N as i32 * -angle) >> 5 {
                let from = ((i * inverse + 128) >> 8) as usize;
                line[32 - i as usize] = if is_down { samples[corner - from] } else { samples[corner + from] };
            }
        }
        for (y, row) in out.chunks_mut(stride).take(N).enumerate() {
            let offset = (y as i32 + 1) * angle;
            let (whole, fraction) = (offset >> 5, (offset & 31) as u16);
            let from = &line[(33 + whole) as usize..][..=N];
            let row = &mut row[..N];
            if fraction == 0 {
                row.copy_from_slice(&from[..N]);
            } else {
                let mut sums = [0u8; N];
                for x in 0..N {
                    let sum = (32 - fraction) * u16::from(from[x]) + fraction * u16::from(from[x + 1]) + 16;
                    sums[x] = (sum >> 5) as u8;
                }
                row.copy_from_slice(&sums);
            }
        }
    }
}

/// Whether a mode predicts columns from what is on the left.
pub(super) fn is_turned(mode: u8) -> bool {
    (2..18).contains(&mode)
}

/// The three likeliest modes, after those of the left and the upper neighbor.
pub(super) fn likely_modes(grid: &Grid, (x, y): (usize, usize)) -> [u8; 3] {
    let mode = |px: isize, py: isize| {
        grid.before((x, y), px, py).filter(|c| c.motion.is_intra()).map_or(MEAN, |c| c.mode)
    };
    let (left, above) = (mode(x as isize - 1, y as isize), mode(x as isize, y as isize - 1));
    if left != above {
        let third = [PLANAR, MEAN, DOWN].into_iter().find(|&m| m != left && m != above).unwrap_or(DOWN);
        return [left, above, third];
    }
    if left < 2 {
        return [PLANAR, MEAN, DOWN];
    }
    [left, 2 + (left + 29) % 32, 2 + (left - 2 + 1) % 32]
}

#[cfg(test)]
mod tests {
    use siskin_media::Size;

    use super::super::picture::Picture;
    use super::*;

    #[test]
    fn flat_surroundings_give_flat_blocks_in_every_mode() {
        let grid = Grid::new(64, 0, 64);
        let mut picture = Picture::new(Size::new(64, 64).expect("a size"));
        picture.planes[0].data.fill(77);
        let mut canvases = picture.cut(&[]);
        let plane = &mut canvases[0].planes[0];
        for side in [4, 8, 16, 32] {
            let around = Surroundings::new(&grid, plane, (32, 32, side), 1);
            for mode in 0..MODES {
                let mut out = vec![0; 32 * side];
                around.predict(mode, true, &mut out, 32);
                assert!(out.chunks(32).all(|row| row[..side].iter().all(|&v| v == 77)), "{side} {mode}");
            }
        }
    }
}
