/// What the samples of a video frame mean, as code points of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colorimetry {
    /// Color primaries; 2 is unspecified.
    pub primaries: u8,
    /// Transfer characteristics; 2 is unspecified.
    pub transfer: u8,
    /// Matrix coefficients of the source; 2 is unspecified, 0 is RGB.
    pub matrix: u8,
    /// Whether the source's samples use the full range.
    pub full_range: bool,
}

impl Default for Colorimetry {
    fn default() -> Self {
        // Limited range where nothing is said, as H.264, H.265 and GStreamer have it.
        Self { primaries: 2, transfer: 2, matrix: 2, full_range: false }
    }
}
