//! How 4:2:0 lies in the tensors of the networks, and padding to whole macroblocks.

use siskin_media::{PixelFormat, Plane, Size, VideoFrame, VideoFrameView};

use super::{BLOCK, CHANNELS, MACRO};
use crate::Result;

/// A gray frame of whole macroblocks that has room for `size`.
pub(super) fn padded_frame(size: Size) -> VideoFrame {
    // Macroblocks and not blocks, since a vector moves 16x16 samples.
    VideoFrame::new(PixelFormat::I420, size.align_to(MACRO as u32))
}

/// Columns and rows of 8x8 blocks of a padded frame.
pub(super) fn block_grid(frame: &VideoFrame) -> (usize, usize) {
    (frame.size().width() / BLOCK, frame.size().height() / BLOCK)
}

/// Copies a frame of 4:2:0 into a padded one and repeats its edges. This is the only copy of samples that the encoder
/// itself makes of a frame: rows are read where the caller has them.
///
/// # Errors
/// [`crate::Error::Parameter`] for a frame that is larger than the padded one.
pub(super) fn pad_frame(from: &VideoFrameView<'_>, to: &mut VideoFrame) -> Result<()> {
    from.planes().iter().zip(to.planes_mut()).try_for_each(|(from, mut to)| to.copy_extended(*from, 0, 0))
}

/// Writes a padded frame as the networks take it, `[96, rows / 8, columns / 8]` with values of -0.5 to 0.5: channel
/// `4 k + quadrant` of the 8x8 block, in each quadrant 16 luma samples row by row, 4 of U and 4 of V.
pub(super) fn pack_frame(frame: &VideoFrame, tensor: &mut [f32]) {
    let (columns, rows) = block_grid(frame);
    let count = columns * rows;
    debug_assert_eq!(tensor.len(), CHANNELS * count);
    let view = frame.view();
    // Channel by channel: writes are in order, and the strided reads stay within the cached rows of a frame.
    for (channel, out) in tensor.chunks_exact_mut(count).enumerate() {
        let (plane, x, y) = place_in_block(channel);
        let side = if plane == 0 { BLOCK } else { BLOCK / 2 };
        let plane: Plane<'_> = view.planes()[plane];
        for (row, out) in out.chunks_exact_mut(columns).enumerate() {
            for (value, samples) in out.iter_mut().zip(plane.row(row * side + y).chunks_exact(side)) {
                // Centered values, so that the convolutions' zero padding stands for gray and not for black.
                *value = f32::from(samples[x]) * (1.0 / 255.0) - 0.5;
            }
        }
    }
}

/// Reads what the decoder network gives, `[24, rows / 4, columns / 4]`, into a padded frame; NaN becomes black.
pub(super) fn unpack_frame(tensor: &[f32], frame: &mut VideoFrame) {
    let columns = frame.size().width() / 4;
    let count = columns * (frame.size().height() / 4);
    // The decoder network ends at a quarter of the size, where a pixel shuffle by hand is only this loop.
    let layout = [(0..16, 4), (16..20, 2), (20..24, 2)];
    for (mut plane, (channels, side)) in frame.planes_mut().zip(layout) {
        for (k, channel) in channels.enumerate() {
            let (x, y) = (k % side, k / side);
            let from = &tensor[channel * count..(channel + 1) * count];
            for (row, from) in from.chunks_exact(columns).enumerate() {
                let to = plane.row_mut(row * side + y);
                for (samples, &value) in to.chunks_exact_mut(side).zip(from) {
                    // The cast saturates.
                    samples[x] = ((value + 0.5) * 255.0 + 0.5) as u8;
                }
            }
        }
    }
}

/// Plane, column and row in its block of a channel.
fn place_in_block(channel: usize) -> (usize, usize, usize) {
    // The order of a pixel unshuffle of the quarter-size layout, so that both networks share one.
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
    fn odd_frames_come_back_from_their_padding() {
        for (width, height) in [(16, 16), (17, 31), (5, 3), (33, 1)] {
            let size = Size::new(width, height).expect("a size");
            let bytes = PixelFormat::I420.frame_bytes(size);
            let data: Vec<u8> = (0..bytes).map(|i| (i * 37 % 251) as u8).collect();
            let frame = VideoFrame::from_data(PixelFormat::I420, size, data).expect("a frame");
            let mut padded = padded_frame(size);
            pad_frame(&frame.view(), &mut padded).expect("room");
            let last = padded.size().width() - 1;
            assert_eq!(padded.plane(0).row(0)[last], frame.plane(0).row(0)[width as usize - 1]);
            let mut out = VideoFrame::new(PixelFormat::Rgb, size);
            padded.view().crop(size).copy_to(&mut out);
            assert_eq!(out, frame);
        }
    }

    #[test]
    fn every_sample_has_one_place() {
        let mut frame = padded_frame(Size::new(32, 16).expect("a size"));
        for mut plane in frame.planes_mut() {
            plane.data_mut().iter_mut().enumerate().for_each(|(i, v)| *v = (i * 7 % 256) as u8);
        }
        let mut tensor = vec![0.0; CHANNELS * 8];
        pack_frame(&frame, &mut tensor);
        // As `pixel_shuffle(2)` makes it.
        let mut quarter = vec![0.0; 24 * 32];
        for (channel, values) in tensor.chunks_exact(8).enumerate() {
            let (k, quadrant) = (channel / 4, channel % 4);
            for (i, &v) in values.iter().enumerate() {
                let (x, y) = (i % 4 * 2 + quadrant % 2, i / 4 * 2 + quadrant / 2);
                quarter[k * 32 + y * 8 + x] = v;
            }
        }
        let mut back = padded_frame(frame.size());
        unpack_frame(&quarter, &mut back);
        assert_eq!(back, frame);
    }
}
