use crate::{Error, Result};

/// Columns and rows of a video frame, each 1 to [`Size::MAX_SIDE`], so that no area of a frame overflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    width: u32,
    height: u32,
}

impl Size {
    /// Longest side of a frame.
    // The bitstream's bound. Squared it is 2^28, so areas times 3 channels fit 32 bits and no sum of planes
    // overflows.
    pub const MAX_SIDE: u32 = 16_384;

    /// The smallest size, one pixel.
    pub const MIN: Self = Self { width: 1, height: 1 };

    /// A size of `width` columns and `height` rows.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a side outside 1 to [`Size::MAX_SIDE`].
    pub fn new(width: u32, height: u32) -> Result<Self> {
        for (name, side) in [("width", width), ("height", height)] {
            if !(1..=Self::MAX_SIDE).contains(&side) {
                return Err(Error::parameter(name, side, format!("1 to {}", Self::MAX_SIDE)));
            }
        }
        Ok(Self { width, height })
    }

    /// Columns.
    pub const fn width(self) -> usize {
        self.width as usize
    }

    /// Rows.
    pub const fn height(self) -> usize {
        self.height as usize
    }

    /// Columns times rows.
    pub const fn pixel_count(self) -> usize {
        self.width() * self.height()
    }

    /// The size of the chroma planes of 4:2:0: half of each side, rounded up.
    #[must_use]
    pub const fn chroma(self) -> Self {
        // Rounded up and not down, as in I420 of GStreamer, FFmpeg and libyuv: the last odd column has chroma of
        // its own.
        Self { width: self.width.div_ceil(2), height: self.height.div_ceil(2) }
    }

    /// Both sides rounded up to multiples of a power of two, at most [`Size::MAX_SIDE`].
    #[must_use]
    pub fn align_to(self, side: u32) -> Self {
        // A power of two as well, so the result is a multiple of `side` at the bound too.
        let align = |v: u32| v.next_multiple_of(side.max(1)).min(Self::MAX_SIDE);
        Self { width: align(self.width), height: align(self.height) }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sides_round_up_and_bad_sides_are_named() {
        let size = Size::new(17, 31).expect("a size");
        assert_eq!((size.chroma().width(), size.chroma().height()), (9, 16));
        assert_eq!(size.align_to(16), Size::new(32, 32).expect("a size"));
        assert_eq!(size.to_string(), "17x31");
        for (width, height, field) in [(0, 1, "width"), (1, 0, "height"), (16_385, 1, "width")] {
            let error = Size::new(width, height);
            assert!(matches!(error, Err(Error::Parameter { name, .. }) if name == field), "{error:?}");
        }
    }
}
