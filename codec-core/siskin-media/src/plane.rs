use crate::{Error, Result};

/// Fails where `len` bytes do not hold `rows` rows of `row_bytes` at a distance of `stride`.
fn check_layout(len: usize, row_bytes: usize, rows: usize, stride: usize) -> Result<()> {
    // Rows would overlap, and writing one would change its neighbor. Strides below 0 (bottom-up frames) are not
    // supported.
    if stride < row_bytes {
        return Err(Error::parameter("stride", stride, format!("{row_bytes} and more")));
    }
    // The last row may end where its samples end.
    // Checked arithmetic, since stride and rows come from caps or a caller's buffer and may be anything.
    let needed = match rows.checked_sub(1) {
        Some(before) => before.checked_mul(stride).and_then(|n| n.checked_add(row_bytes)),
        None => Some(0),
    };
    if needed.is_none_or(|n| n > len) {
        let allowed = format!("{rows} rows of {row_bytes} bytes, {stride} apart");
        return Err(Error::parameter("plane", format!("{len} bytes"), allowed));
    }
    Ok(())
}

/// Rows of samples in memory that belongs to somebody else, 8 bits a sample. Rows may have gaps between them.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    data: &'a [u8],
    row_bytes: usize,
    rows: usize,
    stride: usize,
}

impl<'a> Plane<'a> {
    /// The plane of `rows` rows of `row_bytes` samples, whose beginnings lie `stride` bytes apart in `data`. Interleaved
    /// RGB has three samples a pixel.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a `stride` below `row_bytes`, or too little data.
    pub fn new(data: &'a [u8], row_bytes: usize, rows: usize, stride: usize) -> Result<Self> {
        check_layout(data.len(), row_bytes, rows, stride)?;
        Ok(Self { data, row_bytes, rows, stride })
    }

    /// A plane without gaps whose layout has been checked by its owner.
    pub(crate) fn packed(data: &'a [u8], row_bytes: usize, rows: usize) -> Self {
        debug_assert!(data.len() >= row_bytes * rows);
        Self { data, row_bytes, rows, stride: row_bytes }
    }

    /// Samples of a row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Rows.
    pub fn row_count(&self) -> usize {
        self.rows
    }

    /// Bytes from the beginning of a row to that of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The memory from the first sample on, gaps included.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Row `y`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, y: usize) -> &'a [u8] {
        assert!(y < self.rows, "row {y} of {}", self.rows);
        &self.data[y * self.stride..][..self.row_bytes]
    }

    /// All rows from the top.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let plane = *self;
        (0..plane.rows).map(move |y| plane.row(y))
    }

    /// The upper left part of at most `row_bytes` by `rows` samples.
    #[must_use]
    pub fn crop(mut self, row_bytes: usize, rows: usize) -> Self {
        // The stride stays, so what was cut off becomes the gap between rows.
        (self.row_bytes, self.rows) = (self.row_bytes.min(row_bytes), self.rows.min(rows));
        self
    }

    /// Whether rows follow each other without gaps.
    pub fn is_packed(&self) -> bool {
        self.stride == self.row_bytes
    }

    /// Appends the rows to `out` without gaps.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        // One copy rather than one per row: the planes of a VideoFrame always go this way.
        if self.is_packed() {
            out.extend_from_slice(&self.data[..self.row_bytes * self.rows]);
        } else {
            self.rows().for_each(|row| out.extend_from_slice(row));
        }
    }
}

/// As [`Plane`], to write to.
#[derive(Debug)]
pub struct PlaneMut<'a> {
    data: &'a mut [u8],
    row_bytes: usize,
    rows: usize,
    stride: usize,
}

impl<'a> PlaneMut<'a> {
    /// As [`Plane::new`].
    ///
    /// # Errors
    /// As there.
    pub fn new(data: &'a mut [u8], row_bytes: usize, rows: usize, stride: usize) -> Result<Self> {
        check_layout(data.len(), row_bytes, rows, stride)?;
        Ok(Self { data, row_bytes, rows, stride })
    }

    pub(crate) fn packed(data: &'a mut [u8], row_bytes: usize, rows: usize) -> Self {
        debug_assert!(data.len() >= row_bytes * rows);
        Self { data, row_bytes, rows, stride: row_bytes }
    }

    /// The plane to read from.
    pub fn as_plane(&self) -> Plane<'_> {
        Plane { data: self.data, row_bytes: self.row_bytes, rows: self.rows, stride: self.stride }
    }

    /// Row `y`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row_mut(&mut self, y: usize) -> &mut [u8] {
        assert!(y < self.rows, "row {y} of {}", self.rows);
        &mut self.data[y * self.stride..][..self.row_bytes]
    }

    /// The memory from the first sample on, gaps included.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.data
    }

    /// Bytes from the beginning of a row to that of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// All rows from the top.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let row_bytes = self.row_bytes;
        // `max(1)` only for planes without samples, as chunks of 0 panic.
        self.data.chunks_mut(self.stride.max(1)).take(self.rows).map(move |row| &mut row[..row_bytes])
    }

    /// Copies a plane of the same size.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the sizes differ.
    pub fn copy_from(&mut self, from: Plane<'_>) -> Result<()> {
        if (from.row_bytes, from.rows) != (self.row_bytes, self.rows) {
            return Err(Error::parameter(
                "plane",
                format!("{}x{}", from.row_bytes, from.rows),
                format!("{}x{}", self.row_bytes, self.rows),
            ));
        }
        // One copy only where there are no gaps: what lies in them may be another plane's, as in side-by-side frames.
        if self.stride == self.row_bytes && from.stride == self.row_bytes {
            let end = self.rows * self.row_bytes;
            self.data[..end].copy_from_slice(&from.data[..end]);
        } else {
            self.rows_mut().zip(from.rows()).for_each(|(to, from)| to.copy_from_slice(from));
        }
        Ok(())
    }

    /// Copies `from` so that its upper left sample is at column `left` of row `top`, and repeats its edges up to this
    /// plane's own.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `from` has no samples, or does not fit there.
    pub fn copy_extended(&mut self, from: Plane<'_>, left: usize, top: usize) -> Result<()> {
        let fits = |own: usize, start: usize, size: usize| own.checked_sub(start).is_some_and(|n| n >= size);
        if from.row_bytes == 0
            || from.rows == 0
            || !fits(self.row_bytes, left, from.row_bytes)
            || !fits(self.rows, top, from.rows)
        {
            return Err(Error::parameter(
                "plane",
                format!("{}x{} at {left}, {top}", from.row_bytes, from.rows),
                format!("1x1 up to {}x{}", self.row_bytes, self.rows),
            ));
        }
        let (columns, rows) = (from.row_bytes, from.rows);
        // Sides first, then whole rows up and down, so that the corners repeat the corner samples.
        for (row, from) in self.rows_mut().skip(top).zip(from.rows()) {
            row[..left].fill(from[0]);
            row[left..left + columns].copy_from_slice(from);
            row[left + columns..].fill(from[columns - 1]);
        }
        let (stride, row_bytes) = (self.stride, self.row_bytes);
        let mut repeat = |from: usize, to: usize| {
            self.data.copy_within(from * stride..from * stride + row_bytes, to * stride);
        };
        (0..top).for_each(|y| repeat(top, y));
        (top + rows..self.rows).for_each(|y| repeat(top + rows - 1, y));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_that_do_not_fit_are_refused() {
        let data = [0; 10];
        assert!(Plane::new(&data, 4, 2, 6).is_ok(), "the last row may be short");
        for (row_bytes, rows, stride, field) in [
            (4, 2, 3, "stride"),
            (4, 2, 7, "plane"),
            (5, 3, 5, "plane"),
            (1, usize::MAX, usize::MAX, "plane"),
        ] {
            let error = Plane::new(&data, row_bytes, rows, stride);
            assert!(matches!(error, Err(Error::Parameter { name, .. }) if name == field), "{error:?}");
        }
        assert!(Plane::new(&[], 0, 0, 0).is_ok_and(|p| p.rows().len() == 0));
    }

    #[test]
    fn rows_are_copied_whatever_their_strides() {
        let data: Vec<u8> = (0..20).collect();
        let from = Plane::new(&data, 3, 4, 5).expect("a plane");
        for stride in [3, 5, 6] {
            let mut room = vec![99; 4 * stride];
            let mut to = PlaneMut::new(&mut room, 3, 4, stride).expect("a plane");
            to.copy_from(from).expect("one size");
            assert!(to.as_plane().rows().eq(from.rows()), "{stride}");
            let gaps = room.chunks(stride).flat_map(|row| &row[3..]);
            assert!(
                gaps.into_iter().all(|&x| x == 99),
                "what lies between the rows is not the plane's: {room:?}"
            );
        }
        let mut room = [0; 12];
        let mut to = PlaneMut::new(&mut room, 3, 4, 3).expect("a plane");
        assert!(to.copy_from(from.crop(2, 4)).is_err());
        let nothing = Plane::new(&[], 3, 0, 3).expect("a plane");
        PlaneMut::new(&mut [], 3, 0, 3).and_then(|mut to| to.copy_from(nothing)).expect("no rows to copy");
        let mut packed = Vec::new();
        from.append_to(&mut packed);
        assert_eq!(packed, [0, 1, 2, 5, 6, 7, 10, 11, 12, 15, 16, 17]);
    }

    #[test]
    fn edges_are_repeated() {
        let from = Plane::new(&[1, 2, 3, 4], 2, 2, 2).expect("a plane");
        let mut room = [0; 20];
        let mut to = PlaneMut::new(&mut room, 5, 4, 5).expect("a plane");
        to.copy_extended(from, 1, 1).expect("room");
        assert_eq!(room, [1, 1, 2, 2, 2, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 3, 3, 4, 4, 4]);
        let mut to = PlaneMut::new(&mut room, 5, 4, 5).expect("a plane");
        assert!(to.copy_extended(from, 4, 0).is_err() && to.copy_extended(from.crop(0, 2), 0, 0).is_err());
    }
}
