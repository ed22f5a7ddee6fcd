//! The reference frame, with a border and with the samples between its samples, from which blocks are predicted.
//!
//! Interpolation is that of H.264 (ITU-T H.264, 8.4.2.2) but that diagonal half samples are filtered from rounded ones:
//! six taps for half samples, means of two for quarters, bilinear for chroma. All of it is integers.

use siskin_media::{Plane, PlaneMut, VideoFrame};

use super::motion::{MotionField, MotionVector, REACH};

/// Samples around luma: what vectors reach, and three on each side that the six taps need, rounded up.
const BORDER: usize = REACH + 8;

/// A plane with a border, whose samples repeat the edges.
#[derive(Debug, Clone)]
struct BorderedPlane {
    stride: usize,
    border: usize,
    data: Vec<u8>,
}

impl BorderedPlane {
    fn new(columns: usize, rows: usize, border: usize) -> Self {
        let stride = columns + 2 * border;
        Self { stride, border, data: vec![0; stride * (rows + 2 * border)] }
    }

    /// Copies samples in and repeats the edges outwards.
    fn update_from(&mut self, plane: Plane<'_>) {
        let (stride, border) = (self.stride, self.border);
        let rows = self.data.len() / stride;
        let copied = PlaneMut::new(&mut self.data, stride, rows, stride)
            .and_then(|mut own| own.copy_extended(plane, border, border));
        // Both come from one frame size, so the plane fits.
        debug_assert!(copied.is_ok(), "{copied:?}");
    }

    /// The samples from (x, y) on, which may lie in the border.
    // Callers check vectors against REACH first, so the sum is never negative.
    fn samples_from(&self, x: isize, y: isize) -> &[u8] {
        let border = self.border as isize;
        &self.data[((y + border) * self.stride as isize + x + border) as usize..]
    }
}

/// A decoded frame as the next one is predicted from it.
#[derive(Debug, Clone)]
pub(super) struct ReferenceFrame {
    /// Samples, and those half a sample to the right, below, and both.
    // Four times the memory, but a search looks at each fraction of a block many times and a frame is interpolated
    // once. Quarters are means of two of these planes, made when they are needed.
    luma: [BorderedPlane; 4],
    chroma: [BorderedPlane; 2],
}

/// One or two places whose mean predicts a block.
struct Sources<'a> {
    first: &'a [u8],
    second: Option<&'a [u8]>,
    stride: usize,
}

impl ReferenceFrame {
    /// For padded frames of this one's size.
    pub(super) fn new(like: &VideoFrame) -> Self {
        let (columns, rows) = (like.size().width(), like.size().height());
        Self {
            luma: std::array::from_fn(|_| BorderedPlane::new(columns, rows, BORDER)),
            chroma: std::array::from_fn(|_| BorderedPlane::new(columns / 2, rows / 2, BORDER / 2)),
        }
    }

    /// Copies a decoded frame in and interpolates its half samples.
    pub(super) fn update_from(&mut self, frame: &VideoFrame) {
        let [full, right, below, both] = &mut self.luma;
        full.update_from(frame.plane(0));
        for (own, plane) in self.chroma.iter_mut().zip(frame.planes().skip(1)) {
            own.update_from(plane);
        }
        interpolate_half(&full.data, &mut right.data, 1, full.stride);
        interpolate_half(&full.data, &mut below.data, full.stride, full.stride);
        // H.264 filters the second time before rounding; from the rounded plane 8 bits are enough, and the format
        // says so.
        interpolate_half(&right.data, &mut both.data, full.stride, full.stride);
    }

    fn locate_sources(&self, x: usize, y: usize, vector: MotionVector) -> Sources<'_> {
        let stride = self.luma[0].stride;
        // In half samples.
        let place = |start: usize, v: i16| (start as isize * 4 + isize::from(v)) >> 1;
        let (left, top) = (place(x, vector[0]), place(y, vector[1]));
        let at = |x: isize, y: isize| {
            let plane = (x & 1) as usize + 2 * (y & 1) as usize;
            self.luma[plane].samples_from(x >> 1, y >> 1)
        };
        let (odd_x, odd_y) = (isize::from(vector[0] & 1), isize::from(vector[1] & 1));
        // A quarter on both axes lies between the half sample beside and the one below, not between full ones.
        let (first, second) = if odd_x + odd_y == 2 && (left + top) & 1 == 0 {
            // Both are half off in exactly one direction, as the format demands.
            (at(left + 1, top), Some(at(left, top + 1)))
        } else {
            (at(left, top), (odd_x + odd_y > 0).then(|| at(left + odd_x, top + odd_y)))
        };
        Sources { first, second, stride }
    }

    /// The SAD between a luma block of `side` samples at (x, y) of `plane` and the reference block that `vector` points
    /// to; it may stop once it is above `limit`.
    pub(super) fn block_sad(
        &self,
        plane: Plane<'_>,
        (x, y, side): (usize, usize, usize),
        vector: MotionVector,
        limit: u32,
    ) -> u32 {
        let sources = self.locate_sources(x, y, vector);
        let own = &plane.data()[y * plane.stride() + x..];
        match side {
            // The side is a constant in each instance, so that the loops are unrolled to vector instructions.
            16 => sources.sad::<16>(own, plane.stride(), limit),
            _ => sources.sad::<8>(own, plane.stride(), limit),
        }
    }

    /// Predicts a whole padded frame.
    pub(super) fn predict_frame(&self, motion: &MotionField, out: &mut VideoFrame) {
        for (index, mut plane) in out.planes_mut().enumerate() {
            motion.for_each_block(|x, y, side, vector| match (index.checked_sub(1), side) {
                (None, 16) => self.predict_luma::<16>(x, y, vector, &mut plane),
                (None, _) => self.predict_luma::<8>(x, y, vector, &mut plane),
                (Some(chroma), 16) => predict_chroma::<8>(&self.chroma[chroma], x, y, vector, &mut plane),
                (Some(chroma), _) => predict_chroma::<4>(&self.chroma[chroma], x, y, vector, &mut plane),
            });
        }
    }

    /// Predicts the luma block of `SIDE` samples at (x, y).
    fn predict_luma<const SIDE: usize>(
        &self,
        x: usize,
        y: usize,
        vector: MotionVector,
        out: &mut PlaneMut<'_>,
    ) {
        let stride = out.stride();
        self.locate_sources(x, y, vector).write_mean::<SIDE>(&mut out.data_mut()[y * stride + x..], stride);
    }
}

impl Sources<'_> {
    fn sad<const SIDE: usize>(&self, own: &[u8], stride: usize, limit: u32) -> u32 {
        let mut sum = 0;
        for row in 0..SIDE {
            let own: &[u8; SIDE] = first_samples(&own[row * stride..]);
            let first: &[u8; SIDE] = first_samples(&self.first[row * self.stride..]);
            let mut part = 0u32;
            if let Some(second) = self.second {
                let second: &[u8; SIDE] = first_samples(&second[row * self.stride..]);
                for i in 0..SIDE {
                    part += u32::from(own[i].abs_diff(round_mean(first[i], second[i])));
                }
            } else {
                for i in 0..SIDE {
                    part += u32::from(own[i].abs_diff(first[i]));
                }
            }
            sum += part;
            // Once a row and not once a sample, so that a row stays a few vector instructions.
            if sum > limit {
                break;
            }
        }
        sum
    }

    fn write_mean<const SIDE: usize>(&self, out: &mut [u8], stride: usize) {
        for row in 0..SIDE {
            let out = &mut out[row * stride..][..SIDE];
            let first: &[u8; SIDE] = first_samples(&self.first[row * self.stride..]);
            match self.second {
                None => out.copy_from_slice(first),
                Some(second) => {
                    let second: &[u8; SIDE] = first_samples(&second[row * self.stride..]);
                    out.iter_mut()
                        .zip(first.iter().zip(second))
                        .for_each(|(o, (&a, &b))| *o = round_mean(a, b));
                }
            }
        }
    }
}

/// The first values, of which there must be as many: blocks end within the border.
fn first_samples<const SIDE: usize>(values: &[u8]) -> &[u8; SIDE] {
    values.first_chunk().unwrap_or(&[0; SIDE])
}

fn round_mean(a: u8, b: u8) -> u8 {
    (u16::from(a) + u16::from(b)).div_ceil(2) as u8
}

/// Half samples between each sample and the one `step` further, of all that have three on both sides.
fn interpolate_half(from: &[u8], to: &mut [u8], step: usize, stride: usize) {
    // The plane is taken as one long row: what is wrong at the ends of rows lies in the border, beyond what a vector
    // reaches.
    let n = from.len() - 5 * step;
    let to = &mut to[2 * step..2 * step + n];
    // Row by row, so that all six sources stay in the cache.
    for (row, to) in to.chunks_mut(stride).enumerate() {
        let tap = |k: usize| &from[row * stride + k * step..][..to.len()];
        let (a, b, c, d, e, f) = (tap(0), tap(1), tap(2), tap(3), tap(4), tap(5));
        for i in 0..to.len() {
            // 16 bits hold every sum, from -2550 to 10,710, and twice as many fit into a vector as of 32.
            let wide = |v: u8| i16::from(v);
            let sum =
                wide(a[i]) + wide(f[i]) - 5 * (wide(b[i]) + wide(e[i])) + 20 * (wide(c[i]) + wide(d[i]));
            to[i] = ((sum + 16) >> 5).clamp(0, 255) as u8;
        }
    }
}

/// Predicts the chroma block of `SIDE` samples that belongs to the luma block at (x, y).
fn predict_chroma<const SIDE: usize>(
    reference: &BorderedPlane,
    x: usize,
    y: usize,
    vector: MotionVector,
    out: &mut PlaneMut<'_>,
) {
    // A quarter of a luma sample is an eighth of a chroma sample.
    // The shift rounds down, also for negative vectors, so the fraction stays 0 to 7.
    let place = |start: usize, v: i16| ((start / 2) as isize + isize::from(v >> 3), u16::from((v & 7) as u8));
    let ((left, fx), (top, fy)) = (place(x, vector[0]), place(y, vector[1]));
    let from = reference.samples_from(left, top);
    let stride = out.stride();
    let out = &mut out.data_mut()[y / 2 * stride + x / 2..];
    for row in 0..SIDE {
        let (a, b) =
            (&from[row * reference.stride..][..=SIDE], &from[(row + 1) * reference.stride..][..=SIDE]);
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
    use siskin_media::Size;

    use super::super::packing::padded_frame;
    use super::*;

    fn gray(width: u32, height: u32) -> VideoFrame {
        padded_frame(Size::new(width, height).expect("a size"))
    }

    fn noise(seed: usize) -> VideoFrame {
        let mut frame = gray(48, 32);
        for mut plane in frame.planes_mut() {
            plane
                .data_mut()
                .iter_mut()
                .enumerate()
                .for_each(|(i, v)| *v = ((i + seed).wrapping_mul(2_654_435_761) >> 24) as u8);
        }
        frame
    }

    #[test]
    fn no_motion_predicts_the_frame_itself() {
        let before = noise(1);
        let mut reference = ReferenceFrame::new(&before);
        reference.update_from(&before);
        let mut out = gray(48, 32);
        reference.predict_frame(&MotionField::new(6, 4), &mut out);
        assert_eq!(out, before);
    }

    #[test]
    fn every_vector_that_is_allowed_can_be_followed() {
        let before = noise(2);
        let mut reference = ReferenceFrame::new(&before);
        reference.update_from(&before);
        let (mut motion, mut out) = (MotionField::new(6, 4), gray(48, 32));
        for x in -100..=300 {
            for y in -100..=220 {
                let vector = [x, y];
                if motion.is_allowed(0, 0, 16, vector) {
                    motion.set_macroblock(0, 0, [vector; 4]);
                    assert_eq!(motion.vector_at(0, 0), vector);
                    reference.predict_luma::<16>(0, 0, vector, &mut out.plane_mut(0));
                    predict_chroma::<8>(&reference.chroma[0], 0, 0, vector, &mut out.plane_mut(1));
                    assert!(reference.block_sad(before.plane(0), (0, 0, 16), vector, u32::MAX) <= 256 * 255);
                }
            }
        }
    }

    #[test]
    fn quarters_lie_between_their_neighbours() {
        // Brightness falls to the right: so must what is predicted as the block moves.
        let mut before = gray(64, 32);
        before
            .plane_mut(0)
            .data_mut()
            .iter_mut()
            .enumerate()
            .for_each(|(i, v)| *v = 255 - (i % 64) as u8 * 4);
        let mut reference = ReferenceFrame::new(&before);
        reference.update_from(&before);
        let mut out = gray(64, 32);
        let values: Vec<u8> = (0..16)
            .map(|x| {
                reference.predict_luma::<16>(16, 16, [x, 3], &mut out.plane_mut(0));
                out.plane(0).row(20)[20]
            })
            .collect();
        for (i, pair) in values.windows(2).enumerate() {
            assert!(pair[0].abs_diff(pair[1]) == 1, "{i}: {values:?}");
        }
    }
}
