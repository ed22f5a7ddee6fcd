//! The frame before, with a border and with the samples between its samples, from which blocks are predicted.
//!
//! Interpolation is that of H.264 (ITU-T H.264, 8.4.2.2) but that diagonal half samples are filtered from rounded ones:
//! six taps for half samples, means of two for quarters, bilinear for chroma. All of it is integers.

use super::picture::Picture;
use super::vectors::{Motion, Vector};

/// Samples by which a block may lie outside the picture.
pub(super) const REACH: usize = 24;
/// Samples around luma: what blocks reach, and what the filter needs.
const BORDER: usize = REACH + 8;

/// A plane with a border.
#[derive(Debug, Clone)]
struct Plane {
    stride: usize,
    border: usize,
    data: Vec<u8>,
}

impl Plane {
    fn new(width: usize, height: usize, border: usize) -> Self {
        let stride = width + 2 * border;
        Self { stride, border, data: vec![0; stride * (height + 2 * border)] }
    }

    /// Copies samples in and repeats the edges outwards.
    fn fill(&mut self, samples: &[u8], width: usize) {
        let (stride, border) = (self.stride, self.border);
        let height = samples.len() / width;
        for (row, from) in self.data.chunks_exact_mut(stride).skip(border).zip(samples.chunks_exact(width)) {
            row[..border].fill(from[0]);
            row[border..border + width].copy_from_slice(from);
            row[border + width..].fill(from[width - 1]);
        }
        for y in 0..border {
            self.data.copy_within(border * stride..(border + 1) * stride, y * stride);
            let last = (border + height - 1) * stride;
            self.data.copy_within(last..last + stride, (border + height + y) * stride);
        }
    }

    /// The samples from (x, y) on, which may lie in the border.
    fn from(&self, x: isize, y: isize) -> &[u8] {
        let border = self.border as isize;
        &self.data[((y + border) * self.stride as isize + x + border) as usize..]
    }
}

/// A decoded frame as the next one is predicted from it.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    /// Samples, and those half a sample to the right, below, and both.
    luma: [Plane; 4],
    chroma: [Plane; 2],
}

/// One or two places whose mean predicts a block.
struct Sources<'a> {
    first: &'a [u8],
    second: Option<&'a [u8]>,
    stride: usize,
}

impl Reference {
    /// For pictures of this size.
    pub(super) fn new(like: &Picture) -> Self {
        let (width, height) = like.size(0);
        Self {
            luma: std::array::from_fn(|_| Plane::new(width, height, BORDER)),
            chroma: std::array::from_fn(|_| Plane::new(width / 2, height / 2, BORDER / 2)),
        }
    }

    /// Takes a frame.
    pub(super) fn take(&mut self, picture: &Picture) {
        let [full, right, below, both] = &mut self.luma;
        full.fill(&picture.planes[0], picture.width);
        for (plane, samples) in self.chroma.iter_mut().zip(&picture.planes[1..]) {
            plane.fill(samples, picture.width / 2);
        }
        filter(&full.data, &mut right.data, 1, full.stride);
        filter(&full.data, &mut below.data, full.stride, full.stride);
        filter(&right.data, &mut both.data, full.stride, full.stride);
    }

    fn sources(&self, x: usize, y: usize, vector: Vector) -> Sources<'_> {
        let stride = self.luma[0].stride;
        // In half samples.
        let place = |start: usize, v: i16| (start as isize * 4 + isize::from(v)) >> 1;
        let (left, top) = (place(x, vector[0]), place(y, vector[1]));
        let at = |x: isize, y: isize| {
            let plane = (x & 1) as usize + 2 * (y & 1) as usize;
            self.luma[plane].from(x >> 1, y >> 1)
        };
        let (odd_x, odd_y) = (isize::from(vector[0] & 1), isize::from(vector[1] & 1));
        // A quarter on both axes lies between the half sample beside and the one below, not between full ones.
        let (first, second) = if odd_x + odd_y == 2 && (left + top) & 1 == 0 {
            (at(left + 1, top), Some(at(left, top + 1)))
        } else {
            (at(left, top), (odd_x + odd_y > 0).then(|| at(left + odd_x, top + odd_y)))
        };
        Sources { first, second, stride }
    }

    /// The sum of absolute differences between a luma block of `side` samples at (x, y) and where it was by `vector`; it
    /// may stop once it is above `most`.
    pub(super) fn difference(
        &self,
        picture: &Picture,
        (x, y, side): (usize, usize, usize),
        vector: Vector,
        most: u32,
    ) -> u32 {
        let sources = self.sources(x, y, vector);
        let own = &picture.planes[0][y * picture.width + x..];
        match side {
            16 => sources.difference::<16>(own, picture.width, most),
            _ => sources.difference::<8>(own, picture.width, most),
        }
    }

    /// Predicts a whole picture.
    pub(super) fn predict(&self, motion: &Motion, out: &mut Picture) {
        let wide = motion.columns / 2;
        for (place, &split) in motion.split.iter().enumerate() {
            let (x, y) = (place % wide * 2, place / wide * 2);
            if split {
                for i in 0..4 {
                    let (x, y) = (x + i % 2, y + i / 2);
                    self.predict_block::<8, 4>(x * 8, y * 8, motion.at(x, y), out);
                }
            } else {
                self.predict_block::<16, 8>(x * 8, y * 8, motion.at(x, y), out);
            }
        }
    }

    fn predict_block<const SIDE: usize, const HALF: usize>(
        &self,
        x: usize,
        y: usize,
        vector: Vector,
        out: &mut Picture,
    ) {
        let width = out.width;
        self.sources(x, y, vector).mean::<SIDE>(&mut out.planes[0][y * width + x..], width);
        for (plane, to) in self.chroma.iter().zip(&mut out.planes[1..]) {
            bilinear::<HALF>(plane, x / 2, y / 2, vector, &mut to[y / 2 * (width / 2) + x / 2..], width / 2);
        }
    }
}

impl Sources<'_> {
    fn difference<const SIDE: usize>(&self, own: &[u8], stride: usize, most: u32) -> u32 {
        let mut sum = 0;
        for row in 0..SIDE {
            let own: &[u8; SIDE] = head(&own[row * stride..]);
            let first: &[u8; SIDE] = head(&self.first[row * self.stride..]);
            let mut part = 0u32;
            if let Some(second) = self.second {
                let second: &[u8; SIDE] = head(&second[row * self.stride..]);
                for i in 0..SIDE {
                    part += u32::from(own[i].abs_diff(mean(first[i], second[i])));
                }
            } else {
                for i in 0..SIDE {
                    part += u32::from(own[i].abs_diff(first[i]));
                }
            }
            sum += part;
            if sum > most {
                break;
            }
        }
        sum
    }

    fn mean<const SIDE: usize>(&self, out: &mut [u8], stride: usize) {
        for row in 0..SIDE {
            let out = &mut out[row * stride..][..SIDE];
            let first: &[u8; SIDE] = head(&self.first[row * self.stride..]);
            match self.second {
                None => out.copy_from_slice(first),
                Some(second) => {
                    let second: &[u8; SIDE] = head(&second[row * self.stride..]);
                    out.iter_mut().zip(first.iter().zip(second)).for_each(|(o, (&a, &b))| *o = mean(a, b));
                }
            }
        }
    }
}

/// The first values, of which there must be as many: blocks end within the border.
fn head<const SIDE: usize>(values: &[u8]) -> &[u8; SIDE] {
    values.first_chunk().unwrap_or(&[0; SIDE])
}

fn mean(a: u8, b: u8) -> u8 {
    (u16::from(a) + u16::from(b)).div_ceil(2) as u8
}

/// Half samples between each sample and the one `step` further, of all that have three on both sides.
fn filter(from: &[u8], to: &mut [u8], step: usize, stride: usize) {
    let n = from.len() - 5 * step;
    let to = &mut to[2 * step..2 * step + n];
    // Row by row, so that all six sources stay in the cache.
    for (row, to) in to.chunks_mut(stride).enumerate() {
        let tap = |k: usize| &from[row * stride + k * step..][..to.len()];
        let (a, b, c, d, e, f) = (tap(0), tap(1), tap(2), tap(3), tap(4), tap(5));
        for i in 0..to.len() {
            let wide = |v: u8| i16::from(v);
            let sum =
                wide(a[i]) + wide(f[i]) - 5 * (wide(b[i]) + wide(e[i])) + 20 * (wide(c[i]) + wide(d[i]));
            to[i] = ((sum + 16) >> 5).clamp(0, 255) as u8;
        }
    }
}

fn bilinear<const SIDE: usize>(
    plane: &Plane,
    x: usize,
    y: usize,
    vector: Vector,
    out: &mut [u8],
    stride: usize,
) {
    // A quarter of a luma sample is an eighth of a chroma sample.
    let place = |start: usize, v: i16| (start as isize + isize::from(v >> 3), u16::from((v & 7) as u8));
    let ((left, fx), (top, fy)) = (place(x, vector[0]), place(y, vector[1]));
    let from = plane.from(left, top);
    for row in 0..SIDE {
        let (a, b) = (&from[row * plane.stride..][..=SIDE], &from[(row + 1) * plane.stride..][..=SIDE]);
        let out = &mut out[row * stride..][..SIDE];
        for i in 0..SIDE {
            let wide = |v: u8| u16::from(v);
            let upper = wide(a[i]) * (8 - fx) + wide(a[i + 1]) * fx;
            let lower = wide(b[i]) * (8 - fx) + wide(b[i + 1]) * fx;
            out[i] = ((upper * (8 - fy) + lower * fy + 32) >> 6) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(seed: usize) -> Picture {
        let mut picture = Picture::new(48, 32);
        for plane in &mut picture.planes {
            plane
                .iter_mut()
                .enumerate()
                .for_each(|(i, v)| *v = ((i + seed).wrapping_mul(2_654_435_761) >> 24) as u8);
        }
        picture
    }

    #[test]
    fn no_motion_predicts_the_frame_itself() {
        let before = picture(1);
        let mut reference = Reference::new(&before);
        reference.take(&before);
        let mut out = Picture::new(48, 32);
        reference.predict(&Motion::new(6, 4), &mut out);
        assert_eq!(out, before);
    }

    #[test]
    fn every_vector_that_is_allowed_can_be_followed() {
        let before = picture(2);
        let mut reference = Reference::new(&before);
        reference.take(&before);
        let (mut motion, mut out) = (Motion::new(6, 4), Picture::new(48, 32));
        for x in -100..=300 {
            for y in -100..=220 {
                let vector = [x, y];
                if motion.allows(0, 0, 16, vector) {
                    motion.set(0, 0, [vector; 4]);
                    assert_eq!(motion.at(0, 0), vector);
                    reference.predict_block::<16, 8>(0, 0, vector, &mut out);
                    assert!(reference.difference(&before, (0, 0, 16), vector, u32::MAX) <= 256 * 255);
                }
            }
        }
    }

    #[test]
    fn quarters_lie_between_their_neighbours() {
        // Brightness falls to the right: so must what is predicted as the block moves.
        let mut before = Picture::new(64, 32);
        before.planes[0].iter_mut().enumerate().for_each(|(i, v)| *v = 255 - (i % 64) as u8 * 4);
        let mut reference = Reference::new(&before);
        reference.take(&before);
        let mut out = Picture::new(64, 32);
        let values: Vec<u8> = (0..16)
            .map(|x| {
                reference.predict_block::<16, 8>(16, 16, [x, 3], &mut out);
                out.planes[0][20 * 64 + 20]
            })
            .collect();
        for (i, pair) in values.windows(2).enumerate() {
            assert!(pair[0].abs_diff(pair[1]) == 1, "{i}: {values:?}");
        }
    }
}
