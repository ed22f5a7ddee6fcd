//! Frames as blocks are predicted from them: planes with a border, and samples between the samples.

use siskin_media::{PixelFormat, Plane as View, Size, VideoFrameView};

use super::motion::{Trace, Vector};
use crate::Result;

/// Samples around luma: a block of 32 that lies wholly outside, the taps of a filter, and some room.
pub(super) const BORDER: usize = 80;
/// How far outside the frame a block's nearest side may lie.
const REACH: i32 = 8;

/// A plane with a border that repeats its edges.
#[derive(Debug, Clone)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) stride: usize,
    pub(super) border: usize,
    pub(super) data: Vec<u8>,
}

impl Plane {
    pub(super) fn new(width: usize, height: usize, border: usize) -> Self {
        let stride = width + 2 * border;
        Self { width, height, stride, border, data: vec![128; stride * (height + 2 * border)] }
    }

    /// Index of a sample, which may lie in the border.
    #[inline]
    pub(super) fn index(&self, x: isize, y: isize) -> usize {
        ((y + self.border as isize) * self.stride as isize + x + self.border as isize) as usize
    }

    /// The samples from (x, y) on.
    #[inline]
    pub(super) fn at(&self, x: usize, y: usize) -> &[u8] {
        &self.data[(y + self.border) * self.stride + x + self.border..]
    }

    #[inline]
    pub(super) fn at_mut(&mut self, x: usize, y: usize) -> &mut [u8] {
        &mut self.data[(y + self.border) * self.stride + x + self.border..]
    }

    /// The visible rows, cut before each of the rows `cuts`, which increase.
    fn cut(&mut self, cuts: impl Iterator<Item = usize>) -> Vec<Rows<'_>> {
        let (stride, border) = (self.stride, self.border);
        let mut rest = &mut self.data[border * stride..][..self.height * stride];
        let (mut top, mut out) = (0, Vec::new());
        for cut in cuts {
            let (data, below) = rest.split_at_mut((cut - top) * stride);
            out.push(Rows { data, stride, border, top, above: Vec::new() });
            (rest, top) = (below, cut);
        }
        out.push(Rows { data: rest, stride, border, top, above: Vec::new() });
        out
    }

    /// Repeats the edges outwards.
    pub(super) fn extend(&mut self) {
        let (stride, border, width) = (self.stride, self.border, self.width);
        for row in self.data.chunks_exact_mut(stride).skip(border).take(self.height) {
            let (first, last) = (row[border], row[border + width - 1]);
            row[..border].fill(first);
            row[border + width..].fill(last);
        }
        let (top, bottom) = (border * stride, (border + self.height - 1) * stride);
        for y in 0..border {
            self.data.copy_within(top..top + stride, y * stride);
            self.data.copy_within(bottom..bottom + stride, bottom + (y + 1) * stride);
        }
    }

    fn view(&self, width: usize, height: usize) -> Result<View<'_>> {
        View::new(self.at(0, 0), width, height, self.stride)
    }
}

/// Some rows of a plane, borders at their ends included.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a mut [u8],
    pub(super) stride: usize,
    border: usize,
    /// The first of them, as the plane counts.
    top: usize,
    /// The row before, without border, where another thread works on it.
    pub(super) above: Vec<u8>,
}

impl Rows<'_> {
    /// Index of a sample of the plane.
    #[inline]
    pub(super) fn index(&self, x: usize, y: usize) -> usize {
        (y - self.top) * self.stride + x + self.border
    }

    /// The samples from (x, y) on.
    #[inline]
    pub(super) fn at_mut(&mut self, x: usize, y: usize) -> &mut [u8] {
        let start = self.index(x, y);
        &mut self.data[start..]
    }

    /// The samples from (x, y) on, which may lie in the row above.
    #[inline]
    pub(super) fn at(&self, x: usize, y: usize) -> &[u8] {
        if y < self.top { &self.above[x..] } else { &self.data[self.index(x, y)..] }
    }
}

/// Rows of the three planes of a frame on which one thread works.
#[derive(Debug)]
pub(super) struct Canvas<'a> {
    pub(super) planes: [Rows<'a>; 3],
}

/// A decoded frame, padded to whole blocks of 8x8.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub(super) planes: [Plane; 3],
    /// Luma half a sample to the right, below, and both; only an encoder looks there.
    pub(super) halves: Option<[Plane; 3]>,
    /// Number of the frame since the keyframe, in the order of showing.
    pub(super) time: u32,
    /// How its cells moved.
    pub(super) traces: Vec<Trace>,
}

impl Picture {
    /// A gray frame for a stream of `size`.
    pub(super) fn new(size: Size) -> Self {
        Self::with_border(size, BORDER)
    }

    /// One for a frame that is to be coded, from which nothing is predicted: a fifth smaller.
    pub(super) fn new_source(size: Size) -> Self {
        Self::with_border(size, 0)
    }

    fn with_border(size: Size, border: usize) -> Self {
        let side = |n: usize| n.next_multiple_of(8);
        let (width, height) = (side(size.width()), side(size.height()));
        let plane = |part: usize| Plane::new(width / part, height / part, border / part);
        Self { planes: [plane(1), plane(2), plane(2)], halves: None, time: 0, traces: Vec::new() }
    }

    /// The frame, cut before each of the luma rows `cuts`, which are even and increase.
    pub(super) fn cut(&mut self, cuts: &[usize]) -> Vec<Canvas<'_>> {
        let [luma, u, v] = &mut self.planes;
        let chroma = || cuts.iter().map(|c| c / 2);
        luma.cut(cuts.iter().copied())
            .into_iter()
            .zip(u.cut(chroma()))
            .zip(v.cut(chroma()))
            .map(|((luma, u), v)| Canvas { planes: [luma, u, v] })
            .collect()
    }

    /// Repeats the edges of all planes outwards.
    pub(super) fn extend(&mut self) {
        self.planes.iter_mut().for_each(Plane::extend);
    }

    /// Interpolates the half samples, of the frame and of 8 samples around it.
    pub(super) fn interpolate_halves(&mut self) {
        let luma = &self.planes[0];
        let halves = self.halves.get_or_insert_with(|| std::array::from_fn(|_| luma.clone()));
        super::interpolation::halves(luma, halves);
    }

    /// The visible part.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for a size beyond the planes.
    pub(super) fn view(&self, size: Size) -> Result<VideoFrameView<'_>> {
        let chroma = size.chroma();
        let [y, u, v] = &self.planes;
        let planes = [
            y.view(size.width(), size.height())?,
            u.view(chroma.width(), chroma.height())?,
            v.view(chroma.width(), chroma.height())?,
        ];
        VideoFrameView::new(PixelFormat::I420, size, &planes)
    }

    /// Copies a frame in and repeats its edges up to whole blocks and over the border.
    pub(super) fn copy_from(&mut self, frame: &VideoFrameView<'_>) {
        for (own, plane) in self.planes.iter_mut().zip(frame.planes()) {
            let width = own.width;
            for y in 0..own.height {
                let row = plane.row(y.min(plane.row_count() - 1));
                let out = &mut own.at_mut(0, y)[..width];
                out[..row.len()].copy_from_slice(row);
                out[row.len()..].fill(row.last().copied().unwrap_or(128));
            }
        }
        self.extend();
    }

    /// Whether the visible samples are those of a frame.
    pub(super) fn is_same(&self, frame: &VideoFrameView<'_>) -> bool {
        self.planes
            .iter()
            .zip(frame.planes())
            .all(|(own, plane)| plane.rows().enumerate().all(|(y, row)| own.at(0, y)[..row.len()] == *row))
    }

    /// Where a block of `side` luma samples at (x, y) lies in this frame, moved by `vector`: in quarters of a sample, kept
    /// near the frame.
    #[inline]
    pub(super) fn locate(&self, (x, y, side): (usize, usize, usize), vector: Vector) -> (i32, i32) {
        let place = |start: usize, v: i16, length: usize| {
            let (least, most) = (-(side as i32 + REACH), length as i32 + REACH);
            (4 * start as i32 + i32::from(v)).clamp(4 * least, 4 * most)
        };
        (place(x, vector[0], self.planes[0].width), place(y, vector[1], self.planes[0].height))
    }
}
