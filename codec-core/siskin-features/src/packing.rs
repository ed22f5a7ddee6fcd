//! How 4:2:0 lies in the tensor of the device half, and padding to whole blocks.

use siskin_media::{Colorimetry, PixelFormat, Size, VideoFrame, VideoFrameView};

use crate::{Error, Result};

/// What the samples mean that the device half was trained on: BT.601 of limited range. Whoever has others converts them: a JPEG, which is
/// of full range, took a third more bytes as it was.
pub const COLORIMETRY: Colorimetry = Colorimetry { primaries: 2, transfer: 2, matrix: 6, full_range: false };

/// Channels of the device half's input: four samples of Y, row by row, U and V of 2x2 pixels.
pub(crate) const INPUTS: usize = 6;
/// Pixels of a frame per value of the tensor, in each direction.
pub(crate) const CELL: usize = 2;

/// Writes a frame as the device half takes it, `[6, rows / 2, columns / 2]` with values of 0 to 255, through `padded`, whose
/// sides are multiples of `align`. Edges are repeated: a border of another color would be an edge to find.
///
/// # Errors
/// [`Error::Parameter`] for another format than I420.
pub(crate) fn pack_frame(
    frame: &VideoFrameView<'_>,
    align: u16,
    padded: &mut VideoFrame,
    tensor: &mut [f32],
) -> Result<()> {
    if frame.format() != PixelFormat::I420 {
        return Err(Error::parameter("pixel format", format!("{:?}", frame.format()), "I420"));
    }
    let size = frame.size().align_to(align.into());
    if padded.size() != size || padded.format() != PixelFormat::I420 {
        padded.reshape(PixelFormat::I420, size);
    }
    let planes = frame.planes().iter().zip(padded.planes_mut());
    planes.into_iter().try_for_each(|(from, mut to)| to.copy_extended(*from, 0, 0))?;
    let columns = size.width() / CELL;
    let count = columns * (size.height() / CELL);
    // Channel by channel: writes are in order, and the strided reads stay within the cached rows of a frame.
    for (channel, out) in tensor.chunks_exact_mut(count).enumerate().take(INPUTS) {
        let (plane, k, side) = match channel {
            0..4 => (0, channel, CELL),
            _ => (channel - 3, 0, 1),
        };
        let plane = padded.plane(plane);
        for (row, out) in out.chunks_exact_mut(columns).enumerate() {
            let samples = plane.row(row * side + k / side).chunks_exact(side);
            out.iter_mut().zip(samples).for_each(|(value, s)| *value = f32::from(s[k % side]));
        }
    }
    Ok(())
}

/// Columns and rows of the blocks of a padded frame.
pub(crate) fn block_grid(aligned: Size, stride: u16) -> (usize, usize) {
    let stride = usize::from(stride);
    (aligned.width() / stride, aligned.height() / stride)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_has_its_place_and_edges_repeat() {
        let size = Size::new(18, 6).expect("a size");
        let mut frame = VideoFrame::new(PixelFormat::I420, size);
        for mut plane in frame.planes_mut() {
            for (y, row) in plane.rows_mut().enumerate() {
                row.iter_mut().enumerate().for_each(|(x, v)| *v = (16 * y + x) as u8);
            }
        }
        let mut padded = VideoFrame::new(PixelFormat::I420, size);
        // Padded to 32x16 pixels: 16 columns and 8 rows of cells.
        let mut tensor = vec![-1.0; INPUTS * 128];
        pack_frame(&frame.view(), 16, &mut padded, &mut tensor).expect("I420");
        let at = |channel: usize, row: usize, column: usize| tensor[channel * 128 + row * 16 + column];
        // Luma at (2 * 3, 2 + 1), chroma at (4, 1).
        assert_eq!(at(2, 1, 3), (16 * 3 + 6) as f32);
        assert_eq!(at(4, 1, 4), (16 + 4) as f32);
        assert_eq!(at(5, 2, 0), (16 * 2) as f32);
        // Beyond the last column (17) and row (5).
        assert_eq!((at(1, 0, 15), at(0, 7, 0)), (17.0, (16 * 5) as f32));
        let rgb = VideoFrame::new(PixelFormat::Rgb, size);
        assert!(pack_frame(&rgb.view(), 16, &mut padded, &mut tensor).is_err());
    }
}
