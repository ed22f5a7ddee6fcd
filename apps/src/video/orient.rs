//! Which way up frames are: the display matrix of MP4 and of the codecs' own messages.

/// Bytes of a display matrix: three rows of three numbers of 32 bits.
const BYTES: usize = 36;

/// How frames are to be turned for the screen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Orientation {
    /// As they are.
    Upright,
    /// By quarters of a turn, mirrored or not: the filters that do it, and in words.
    Turned(&'static str, &'static str),
    /// Clockwise by an angle, in degrees.
    Rotated(f64),
}

impl Orientation {
    /// The orientation that a display matrix says, in FFmpeg's layout.
    pub(super) fn of(matrix: &[u8]) -> Self {
        let Some(matrix) = matrix.get(..BYTES) else { return Self::Upright };
        let at = |place: usize| {
            let bytes: [u8; 4] = std::array::from_fn(|i| matrix[4 * place + i]);
            // 16.16 fixed point, in the machine's order, as FFmpeg keeps it.
            f64::from(i32::from_ne_bytes(bytes)) / 65_536.0
        };
        // A point (x, y) is shown at (a x + c y, b x + d y), with y downwards.
        let (a, b, c, d) = (at(0), at(1), at(3), at(4));
        let (across, down) = (a.hypot(c), b.hypot(d));
        // A matrix of zeros, as some cameras write, means nothing.
        if across < 1e-6 || down < 1e-6 {
            return Self::Upright;
        }
        let sign = |v: f64, length: f64| match v / length {
            v if v > 0.999 => 1,
            v if v < -0.999 => -1,
            // Three degrees: what is so near a quarter of a turn is meant as one.
            v if v.abs() < 0.05 => 0,
            _ => 2,
        };
        // `vflip` turns the memory's order round without moving anything; what follows it writes rows from the top again.
        match [sign(a, across), sign(b, down), sign(c, across), sign(d, down)] {
            [1, 0, 0, 1] => Self::Upright,
            [0, 1, -1, 0] => Self::Turned("transpose=clock", "Rotating the frames by 90 degrees"),
            [-1, 0, 0, -1] => Self::Turned("vflip,hflip", "Rotating the frames by 180 degrees"),
            [0, -1, 1, 0] => Self::Turned("transpose=cclock", "Rotating the frames by 270 degrees"),
            [-1, 0, 0, 1] => Self::Turned("hflip", "Mirroring the frames"),
            [1, 0, 0, -1] => Self::Turned("vflip,copy", "Flipping the frames upside down"),
            [0, 1, 1, 0] => {
                Self::Turned("transpose=cclock_flip", "Rotating the frames by 90 degrees and mirroring them")
            }
            [0, -1, -1, 0] => {
                Self::Turned("transpose=clock_flip", "Rotating the frames by 270 degrees and mirroring them")
            }
            _ => Self::Rotated((b / down).atan2(a / across).to_degrees()),
        }
    }

    /// The filters that turn frames; none for those that stay.
    pub(super) fn filters(self) -> Option<String> {
        match self {
            Self::Upright => None,
            Self::Turned(filters, _) => Some(filters.into()),
            // In a frame of the same size, as `ffmpeg` does.
            Self::Rotated(degrees) => Some(format!("rotate={degrees:.3}*PI/180")),
        }
    }

    /// What is done, in words.
    pub(super) fn words(self) -> Option<String> {
        match self {
            Self::Upright => None,
            Self::Turned(_, words) => Some(words.into()),
            Self::Rotated(degrees) => Some(format!("Rotating the frames by {degrees:.1} degrees")),
        }
    }

    /// Whether columns become rows.
    pub(super) fn swaps_sides(self) -> bool {
        matches!(self, Self::Turned(filters, _) if filters.starts_with("transpose"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(a: f64, b: f64, c: f64, d: f64) -> Vec<u8> {
        let fixed = |v: f64| (v * 65_536.0).round() as i32;
        let all = [fixed(a), fixed(b), 0, fixed(c), fixed(d), 0, 0, 0, 1 << 30];
        all.iter().flat_map(|v| v.to_ne_bytes()).collect()
    }

    #[test]
    fn quarters_and_mirrors_are_told_apart() {
        for (degrees, filters) in [
            (0.0, None),
            (90.0, Some("transpose=clock")),
            (180.0, Some("vflip,hflip")),
            (270.0, Some("transpose=cclock")),
        ] {
            let (sin, cos) = f64::to_radians(degrees).sin_cos();
            let found = Orientation::of(&matrix(cos, sin, -sin, cos));
            assert_eq!(found.filters().as_deref(), filters, "{degrees}");
            // The scale is the pixels' shape and nothing else.
            let wide = Orientation::of(&matrix(2.0 * cos, sin, -2.0 * sin, cos));
            assert_eq!(wide, found, "{degrees}");
        }
        assert_eq!(Orientation::of(&matrix(-1.0, 0.0, 0.0, 1.0)).filters().as_deref(), Some("hflip"));
        assert_eq!(Orientation::of(&matrix(1.0, 0.0, 0.0, -1.0)).filters().as_deref(), Some("vflip,copy"));
        let (sin, cos) = f64::to_radians(30.0).sin_cos();
        assert_eq!(
            Orientation::of(&matrix(cos, sin, -sin, cos)).words().as_deref(),
            Some("Rotating the frames by 30.0 degrees")
        );
        for broken in [&[][..], &[0; 35], &[0; 36], &[255; 36]] {
            Orientation::of(broken);
        }
    }
}
