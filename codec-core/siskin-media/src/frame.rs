use crate::{Error, Plane, PlaneMut, Result, Size};

/// How the samples of a frame lie in memory, 8 bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Three planes, Y, U and V, in 4:2:0: chroma has half the columns and rows, rounded up.
    I420,
    /// One plane of red, green and blue, interleaved.
    Rgb,
}

impl PixelFormat {
    /// Planes of a frame.
    pub const fn plane_count(self) -> usize {
        match self {
            Self::I420 => 3,
            Self::Rgb => 1,
        }
    }

    /// Samples of a row, and rows, of plane `index` of a frame; none where there is no such plane.
    pub const fn plane_shape(self, size: Size, index: usize) -> (usize, usize) {
        match (self, index) {
            (Self::I420, 0) => (size.width(), size.height()),
            (Self::I420, 1 | 2) => (size.chroma().width(), size.chroma().height()),
            // A row counts samples and not pixels, so that copies need not know the format.
            (Self::Rgb, 0) => (3 * size.width(), size.height()),
            _ => (0, 0),
        }
    }

    /// Bytes of a frame without gaps.
    pub const fn frame_bytes(self, size: Size) -> usize {
        match self {
            Self::I420 => size.pixel_count() + 2 * size.chroma().pixel_count(),
            Self::Rgb => 3 * size.pixel_count(),
        }
    }
}

/// A frame that owns its samples, planes one behind another and rows without gaps.
///
/// ```
/// use siskin_media::{Colorimetry, PixelFormat, Size, VideoFrame, YuvMatrix};
///
/// # fn main() -> siskin_media::Result<()> {
/// // A ramp of 5 by 3 pixels: chroma rounds up to 3 by 2.
/// let size = Size::new(5, 3)?;
/// let mut frame = VideoFrame::new(PixelFormat::I420, size);
/// for (y, row) in frame.plane_mut(0).rows_mut().enumerate() {
///     row.iter_mut().enumerate().for_each(|(x, luma)| *luma = (16 + 20 * x + 40 * y) as u8);
/// }
/// let shapes: Vec<_> = frame.planes().map(|p| (p.row_bytes(), p.row_count())).collect();
/// assert_eq!(shapes, [(5, 3), (3, 2), (3, 2)]);
///
/// let matrix = YuvMatrix::from_colorimetry(&Colorimetry::default());
/// let mut rgb = VideoFrame::new(PixelFormat::Rgb, size);
/// frame.view().convert_to(PixelFormat::Rgb, &matrix, &mut rgb);
/// assert_eq!(rgb.plane(0).row(0)[..3], [0, 0, 0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoFrame {
    format: PixelFormat,
    size: Size,
    data: Vec<u8>,
}

impl VideoFrame {
    /// A frame whose samples are all 128: gray.
    pub fn new(format: PixelFormat, size: Size) -> Self {
        // Gray in both formats. Zeros would be black in RGB but green in I420, which shows wherever a frame is left
        // unwritten.
        Self { format, size, data: vec![128; format.frame_bytes(size)] }
    }

    /// A frame of `data`: the planes one behind another, rows without gaps.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of bytes than [`PixelFormat::frame_bytes`].
    pub fn from_data(format: PixelFormat, size: Size, data: Vec<u8>) -> Result<Self> {
        check_bytes(format, size, data.len())?;
        Ok(Self { format, size, data })
    }

    /// How the samples lie.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Columns and rows.
    pub fn size(&self) -> Size {
        self.size
    }

    /// All samples.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// All samples, to write to.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// All samples; the frame is used up.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Makes this a frame of another format and size, in the same memory where that suffices. Samples are then anything.
    pub fn reshape(&mut self, format: PixelFormat, size: Size) {
        (self.format, self.size) = (format, size);
        // Bytes that stay are not cleared: every caller writes the whole frame, and a memset of 4K costs 12 MB of
        // traffic each.
        self.data.resize(format.frame_bytes(size), 128);
    }

    /// The frame without its memory.
    pub fn view(&self) -> VideoFrameView<'_> {
        VideoFrameView {
            format: self.format,
            size: self.size,
            // Three slices into `data`; nothing is copied, so a view is cheap enough to make for each call.
            planes: split(self.format, self.size, &self.data),
        }
    }

    /// The planes, as many as the format has: Y, U and V, or RGB.
    pub fn planes(&self) -> impl ExactSizeIterator<Item = Plane<'_>> {
        split(self.format, self.size, &self.data).into_iter().take(self.format.plane_count())
    }

    /// The planes, to write to.
    pub fn planes_mut(&mut self) -> impl ExactSizeIterator<Item = PlaneMut<'_>> {
        let (format, size) = (self.format, self.size);
        let mut rest = self.data.as_mut_slice();
        // Split off one after another, since the borrow checker allows no three mutable slices of one vector
        // otherwise. Planes beyond the format's get an empty rest.
        let planes = std::array::from_fn::<_, 3, _>(|index| {
            let (row_bytes, rows) = format.plane_shape(size, index);
            let (own, after) = std::mem::take(&mut rest).split_at_mut(row_bytes * rows);
            rest = after;
            PlaneMut::packed(own, row_bytes, rows)
        });
        planes.into_iter().take(format.plane_count())
    }

    /// Plane `index`.
    ///
    /// # Panics
    /// If the format has no such plane.
    pub fn plane(&self, index: usize) -> Plane<'_> {
        assert!(index < self.format.plane_count(), "plane {index} of {:?}", self.format);
        self.view().planes[index]
    }

    /// Plane `index`, to write to.
    ///
    /// # Panics
    /// If the format has no such plane.
    pub fn plane_mut(&mut self, index: usize) -> PlaneMut<'_> {
        assert!(index < self.format.plane_count(), "plane {index} of {:?}", self.format);
        let (row_bytes, rows) = self.format.plane_shape(self.size, index);
        let start = plane_start(self.format, self.size, index);
        PlaneMut::packed(&mut self.data[start..][..row_bytes * rows], row_bytes, rows)
    }
}

impl Default for VideoFrame {
    /// A gray frame of one pixel, to be replaced.
    fn default() -> Self {
        Self::new(PixelFormat::Rgb, Size::MIN)
    }
}

/// Where plane `index` begins in a frame without gaps.
const fn plane_start(format: PixelFormat, size: Size, index: usize) -> usize {
    match (format, index) {
        (PixelFormat::I420, 1) => size.pixel_count(),
        (PixelFormat::I420, 2) => size.pixel_count() + size.chroma().pixel_count(),
        _ => 0,
    }
}

/// The planes of a frame without gaps.
fn split(format: PixelFormat, size: Size, data: &[u8]) -> [Plane<'_>; 3] {
    std::array::from_fn(|index| {
        let (row_bytes, rows) = format.plane_shape(size, index);
        Plane::packed(&data[plane_start(format, size, index)..][..row_bytes * rows], row_bytes, rows)
    })
}

fn check_bytes(format: PixelFormat, size: Size, found: usize) -> Result<()> {
    let needed = format.frame_bytes(size);
    if found == needed {
        return Ok(());
    }
    Err(Error::parameter("frame", format!("{found} bytes"), format!("{needed} bytes ({size}, {format:?})")))
}

/// A frame whose samples belong to somebody else: a [`VideoFrame`], or memory of a decoder or camera, gaps and all.
#[derive(Debug, Clone, Copy)]
pub struct VideoFrameView<'a> {
    format: PixelFormat,
    size: Size,
    /// As many as the format has, then empty ones.
    planes: [Plane<'a>; 3],
}

impl<'a> VideoFrameView<'a> {
    /// A frame of the format's planes.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of planes, or a plane of another size.
    pub fn new(format: PixelFormat, size: Size, planes: &[Plane<'a>]) -> Result<Self> {
        if planes.len() != format.plane_count() {
            return Err(Error::parameter("planes", planes.len(), format.plane_count()));
        }
        // An array of three rather than a vector: a view is made for each frame, and must not allocate.
        let mut all = [Plane::packed(&[], 0, 0); 3];
        for (index, (own, plane)) in all.iter_mut().zip(planes).enumerate() {
            let (columns, rows) = format.plane_shape(size, index);
            // Exactly the frame's samples. Padding of a decoder's memory belongs into the stride, or is cut by
            // `Plane::crop` before.
            if (plane.row_bytes(), plane.row_count()) != (columns, rows) {
                let found = format!("{}x{}", plane.row_bytes(), plane.row_count());
                return Err(Error::parameter("plane", found, format!("{columns}x{rows}")));
            }
            *own = *plane;
        }
        Ok(Self { format, size, planes: all })
    }

    /// A frame of `data`: the planes one behind another, rows without gaps.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of bytes than [`PixelFormat::frame_bytes`].
    pub fn from_data(format: PixelFormat, size: Size, data: &'a [u8]) -> Result<Self> {
        check_bytes(format, size, data.len())?;
        Ok(Self { format, size, planes: split(format, size, data) })
    }

    /// How the samples lie.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Columns and rows.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The planes, as many as the format has.
    pub fn planes(&self) -> &[Plane<'a>] {
        &self.planes[..self.format.plane_count()]
    }

    /// The upper left part of a frame, as far as `size` lies in it.
    #[must_use]
    pub fn crop(&self, size: Size) -> Self {
        let sides = (size.width().min(self.size.width()), size.height().min(self.size.height()));
        // Cannot fail: the smaller of two valid sides is valid.
        let Ok(size) = Size::new(sides.0 as u32, sides.1 as u32) else { return *self };
        let mut planes = self.planes;
        for (index, plane) in planes.iter_mut().enumerate() {
            let (columns, rows) = self.format.plane_shape(size, index);
            *plane = plane.crop(columns, rows);
        }
        Self { size, planes, ..*self }
    }

    /// Copies the frame to `out`, which takes on its format and size.
    pub fn copy_to(&self, out: &mut VideoFrame) {
        (out.format, out.size) = (self.format, self.size);
        // Cleared and appended to, not resized and overwritten, so that no byte is written twice; the capacity
        // stays.
        out.data.clear();
        self.planes().iter().for_each(|plane| plane.append_to(&mut out.data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32) -> Size {
        Size::new(width, height).expect("a size")
    }

    #[test]
    fn planes_of_odd_sizes_fill_the_frame() {
        for (width, height) in [(1, 1), (16, 16), (17, 31), (5, 3), (33, 1)] {
            for format in [PixelFormat::I420, PixelFormat::Rgb] {
                let size = size(width, height);
                let data: Vec<u8> = (0..format.frame_bytes(size)).map(|i| (i * 37 % 251) as u8).collect();
                let frame = VideoFrame::from_data(format, size, data.clone()).expect("a frame");
                let mut packed = Vec::new();
                frame.planes().for_each(|p| p.append_to(&mut packed));
                assert_eq!(packed, data);
                let mut copy = VideoFrame::new(format, self::size(1, 1));
                frame.view().copy_to(&mut copy);
                assert_eq!(copy, frame);
            }
        }
    }

    #[test]
    fn a_crop_is_the_upper_left_part() {
        let mut frame = VideoFrame::new(PixelFormat::I420, size(16, 16));
        for index in 0..3 {
            for (y, row) in frame.plane_mut(index).rows_mut().enumerate() {
                row.iter_mut().enumerate().for_each(|(x, v)| *v = (x + 16 * y) as u8);
            }
        }
        let part = frame.view().crop(size(5, 3));
        assert_eq!(part.planes()[0].row(2), [32, 33, 34, 35, 36]);
        assert_eq!(part.planes()[2].row(1), [16, 17, 18]);
        assert_eq!((part.planes()[1].row_bytes(), part.planes()[1].row_count()), (3, 2));
        assert_eq!(frame.view().crop(size(99, 99)).size(), size(16, 16));
    }

    #[test]
    fn frames_that_do_not_fit_are_refused() {
        let small = size(3, 3);
        for wrong in [0, 16, 18] {
            assert!(VideoFrame::from_data(PixelFormat::I420, small, vec![0; wrong]).is_err(), "{wrong}");
            assert!(VideoFrameView::from_data(PixelFormat::I420, small, &vec![0; wrong]).is_err(), "{wrong}");
        }
        let mut frame = VideoFrame::new(PixelFormat::I420, small);
        let shapes: Vec<_> = frame.planes_mut().map(|p| p.as_plane().data().len()).collect();
        assert_eq!(shapes, [9, 4, 4]);
        let planes: Vec<_> = frame.planes().collect();
        assert!(VideoFrameView::new(PixelFormat::I420, small, &planes).is_ok());
        assert!(VideoFrameView::new(PixelFormat::I420, small, &planes[..2]).is_err());
        assert!(VideoFrameView::new(PixelFormat::I420, size(5, 3), &planes).is_err());
        assert!(VideoFrameView::new(PixelFormat::Rgb, small, &planes[..1]).is_err());
    }
}
