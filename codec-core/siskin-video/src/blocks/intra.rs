//! Intra prediction as in ITU-T H.265 (8.4.4.2): planar, mean, and 33 directions.

use super::grid::Grid;
use super::picture::Rows;

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
        for i in 1..count - 1 {
            let sum = u16::from(samples[i - 1]) + 2 * u16::from(samples[i]) + u16::from(samples[i + 1]) + 2;
            smooth[i] = (sum >> 2) as u8;
        }
        Self { side, samples, smooth }
    }

    /// Predicts the block to `out`, whose rows are `stride` apart. Only luma is predicted from smoothed samples.
    pub(super) fn predict(&self, mode: u8, is_luma: bool, out: &mut [u8], stride: usize) {
        let side = self.side;
        let (corner, log) = (2 * side, side.trailing_zeros());
        if mode == MEAN {
            let sum: u32 = (1..=side)
                .map(|i| u32::from(self.samples[corner - i]) + u32::from(self.samples[corner + i]))
                .sum();
            let mean = ((sum + side as u32) >> (log + 1)) as u8;
            out.chunks_mut(stride).take(side).for_each(|row| row[..side].fill(mean));
            return;
        }
        // Smoothing pays where lines run across the grid of samples, and more so in large blocks.
        let away = i32::from(mode).abs_diff(ACROSS.into()).min(i32::from(mode).abs_diff(DOWN.into()));
        let is_smooth = is_luma
            && match side {
                4 => false,
                8 => mode == PLANAR || away > 7,
                16 => mode == PLANAR || away > 1,
                _ => mode == PLANAR || away > 0,
            };
        let samples = if is_smooth { &self.smooth } else { &self.samples };
        let (left, above) =
            (|y: usize| i32::from(samples[corner - 1 - y]), |x: usize| i32::from(samples[corner + 1 + x]));
        if mode == PLANAR {
            let (right, below) = (above(side), left(side));
            for (y, row) in out.chunks_mut(stride).take(side).enumerate() {
                let (first, n) = (left(y), side as i32);
                for (x, out) in row[..side].iter_mut().enumerate() {
                    let (px, py) = (x as i32, y as i32);
                    let across = (n - 1 - px) * first + (px + 1) * right;
                    let down = (n - 1 - py) * above(x) + (py + 1) * below;
                    *out = ((across + down + n) >> (log + 1)) as u8;
                }
            }
            return;
        }
        let (angle, is_down) = (ANGLES[usize::from(mode) - 2], mode >= 18);
        // The line from which all rows (or columns) are taken: index 32 is the corner.
        let mut line = [0u8; 32 + 2 * 32 + 2];
        for i in 0..=2 * side {
            line[32 + i] = if is_down { samples[corner + i] } else { samples[corner - i] };
        }
        if angle < 0 {
            let inverse = (8192 + (-angle) / 2) / -angle;
            for i in 1..=(side as i32 * -angle) >> 5 {
                let from = ((i * inverse + 128) >> 8) as usize;
                line[32 - i as usize] = if is_down { samples[corner - from] } else { samples[corner + from] };
            }
        }
        let mut turned = [0u8; 32 * 32];
        {
            let (rows, stride) = if is_down { (&mut *out, stride) } else { (&mut turned[..], side) };
            for (y, row) in rows.chunks_mut(stride).take(side).enumerate() {
                let offset = (y as i32 + 1) * angle;
                let (whole, fraction) = (offset >> 5, (offset & 31) as u16);
                let from = &line[(33 + whole) as usize..][..=side];
                let row = &mut row[..side];
                if fraction == 0 {
                    row.copy_from_slice(&from[..side]);
                } else {
                    for x in 0..side {
                        let sum =
                            (32 - fraction) * u16::from(from[x]) + fraction * u16::from(from[x + 1]) + 16;
                        row[x] = (sum >> 5) as u8;
                    }
                }
            }
        }
        if !is_down {
            for (y, row) in out.chunks_mut(stride).take(side).enumerate() {
                row[..side].iter_mut().enumerate().for_each(|(x, out)| *out = turned[x * side + y]);
            }
        }
    }
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
