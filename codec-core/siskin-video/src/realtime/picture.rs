//! Pictures of 4:2:0, padded to whole macroblocks, and how they lie in tensors.

use super::{BLOCK, CHANNELS, MACRO};

/// Samples of a padded picture: Y, U and V, each row by row without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    /// Luma columns, whole macroblocks.
    pub(super) width: usize,
    /// Luma rows, whole macroblocks.
    pub(super) height: usize,
    /// The planes.
    pub(super) planes: [Vec<u8>; 3],
}

impl Picture {
    /// A grey picture that has room for `width` by `height` samples.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let (width, height) = (width.next_multiple_of(MACRO), height.next_multiple_of(MACRO));
        let luma = width * height;
        Self { width, height, planes: [luma, luma / 4, luma / 4].map(|n| vec![128; n]) }
    }

    /// The size of a plane.
    pub(super) fn size(&self, plane: usize) -> (usize, usize) {
        if plane == 0 { (self.width, self.height) } else { (self.width / 2, self.height / 2) }
    }

    /// Takes a picture of `size` (columns, rows), planes one after another without gaps, and repeats its edges.
    pub(super) fn read_i420(&mut self, data: &[u8], (width, height): (usize, usize)) {
        let mut rest = data;
        for plane in 0..3 {
            let (columns, rows) =
                if plane == 0 { (width, height) } else { (width.div_ceil(2), height.div_ceil(2)) };
            let (stride, all) = self.size(plane);
            let out = &mut self.planes[plane];
            for (y, to) in out.chunks_exact_mut(stride).enumerate().take(all) {
                let from = &rest[y.min(rows - 1) * columns..][..columns];
                to[..columns].copy_from_slice(from);
                to[columns..].fill(from[columns - 1]);
            }
            rest = &rest[columns * rows..];
        }
    }

    /// Appends the picture's part of `size` to `out`, planes one after another without gaps.
    pub(super) fn write_i420(&self, (width, height): (usize, usize), out: &mut Vec<u8>) {
        for plane in 0..3 {
            let (columns, rows) =
                if plane == 0 { (width, height) } else { (width.div_ceil(2), height.div_ceil(2)) };
            let stride = self.size(plane).0;
            self.planes[plane]
                .chunks_exact(stride)
                .take(rows)
                .for_each(|r| out.extend_from_slice(&r[..columns]));
        }
    }

    /// Writes the picture as the networks take it, `[96, rows / 8, columns / 8]` with values of -0.5 to 0.5: channel
    /// `4 k + quadrant` of the 8x8 block, in each quadrant 16 luma samples row by row, 4 of U and 4 of V.
    pub(super) fn pack(&self, tensor: &mut [f32]) {
        let columns = self.width / BLOCK;
        let count = columns * (self.height / BLOCK);
        debug_assert_eq!(tensor.len(), CHANNELS * count);
        for (channel, out) in tensor.chunks_exact_mut(count).enumerate() {
            let (plane, x, y) = place(channel);
            let step = if plane == 0 { BLOCK } else { BLOCK / 2 };
            let stride = self.size(plane).0;
            for (row, out) in out.chunks_exact_mut(columns).enumerate() {
                let from = &self.planes[plane][(row * step + y) * stride..][..stride];
                for (value, samples) in out.iter_mut().zip(from.chunks_exact(step)) {
                    *value = f32::from(samples[x]) * (1.0 / 255.0) - 0.5;
                }
            }
        }
    }

    /// Takes what the decoder network gives, `[24, rows / 4, columns / 4]`; what is no number becomes black.
    pub(super) fn unpack(&mut self, tensor: &[f32]) {
        let columns = self.width / 4;
        let count = columns * (self.height / 4);
        for (plane, (channels, side)) in [(0..16, 4), (16..20, 2), (20..24, 2)].into_iter().enumerate() {
            let stride = self.size(plane).0;
            for (k, channel) in channels.enumerate() {
                let (x, y) = (k % side, k / side);
                let from = &tensor[channel * count..(channel + 1) * count];
                for (row, from) in from.chunks_exact(columns).enumerate() {
                    let to = &mut self.planes[plane][(row * side + y) * stride..][..stride];
                    for (samples, &value) in to.chunks_exact_mut(side).zip(from) {
                        // The cast saturates.
                        samples[x] = ((value + 0.5) * 255.0 + 0.5) as u8;
                    }
                }
            }
        }
    }
}

/// Plane and place in its block of a channel.
fn place(channel: usize) -> (usize, usize, usize) {
    let (k, quadrant) = (channel / 4, channel % 4);
    let (right, down) = (quadrant % 2, quadrant / 2);
    match k {
        0..16 => (0, right * 4 + k % 4, down * 4 + k / 4),
        16..20 => (1, right * 2 + (k - 16) % 2, down * 2 + (k - 16) / 2),
        _ => (2, right * 2 + (k - 20) % 2, down * 2 + (k - 20) / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_pictures_come_back() {
        for (width, height) in [(16usize, 16usize), (17, 31), (5, 3), (33, 1)] {
            let chroma = width.div_ceil(2) * height.div_ceil(2);
            let data: Vec<u8> = (0..width * height + 2 * chroma).map(|i| (i * 37 % 251) as u8).collect();
            let mut picture = Picture::new(width, height);
            picture.read_i420(&data, (width, height));
            let mut out = Vec::new();
            picture.write_i420((width, height), &mut out);
            assert_eq!(out, data);
        }
    }

    #[test]
    fn every_sample_has_one_place() {
        let mut picture = Picture::new(32, 16);
        for plane in &mut picture.planes {
            plane.iter_mut().enumerate().for_each(|(i, v)| *v = (i * 7 % 256) as u8);
        }
        let mut tensor = vec![0.0; CHANNELS * 8];
        picture.pack(&mut tensor);
        // As `pixel_shuffle(2)` makes it.
        let mut quarter = vec![0.0; 24 * 32];
        for (channel, values) in tensor.chunks_exact(8).enumerate() {
            let (k, quadrant) = (channel / 4, channel % 4);
            for (i, &v) in values.iter().enumerate() {
                let (x, y) = (i % 4 * 2 + quadrant % 2, i / 4 * 2 + quadrant / 2);
                quarter[k * 32 + y * 8 + x] = v;
            }
        }
        let mut back = Picture::new(32, 16);
        back.unpack(&quarter);
        assert_eq!(back, picture);
    }
}
