//! Colour as GStreamer names it and as ITU-T H.273 numbers it.

use gst_video::{
    VideoColorMatrix as Matrix, VideoColorPrimaries as Primaries, VideoColorRange as Range, VideoColorimetry,
    VideoTransferFunction as Transfer,
};
use siskin_core::bitstream::Colorimetry;

/// Code point of what is not known.
const UNSPECIFIED: u8 = 2;

const MATRICES: [(Matrix, u8); 6] = [
    (Matrix::Rgb, 0),
    (Matrix::Bt709, 1),
    (Matrix::Fcc, 4),
    // H.273 has 5 and 6 for the same matrix; GStreamer has one name.
    (Matrix::Bt601, 6),
    (Matrix::Smpte240m, 7),
    (Matrix::Bt2020, 9),
];

const TRANSFERS: [(Transfer, u8); 14] = [
    (Transfer::Bt709, 1),
    (Transfer::Gamma22, 4),
    (Transfer::Gamma28, 5),
    (Transfer::Bt601, 6),
    (Transfer::Smpte240m, 7),
    (Transfer::Gamma10, 8),
    (Transfer::Log100, 9),
    (Transfer::Log316, 10),
    (Transfer::Srgb, 13),
    (Transfer::Bt202010, 14),
    (Transfer::Bt202012, 15),
    (Transfer::Smpte2084, 16),
    (Transfer::AribStdB67, 18),
    // H.273 has no number for it.
    (Transfer::Adobergb, UNSPECIFIED),
];

const PRIMARIES: [(Primaries, u8); 11] = [
    (Primaries::Bt709, 1),
    (Primaries::Bt470m, 4),
    (Primaries::Bt470bg, 5),
    (Primaries::Smpte170m, 6),
    (Primaries::Smpte240m, 7),
    (Primaries::Film, 8),
    (Primaries::Bt2020, 9),
    (Primaries::Smptest428, 10),
    (Primaries::Smpterp431, 11),
    (Primaries::Smpteeg432, 12),
    (Primaries::Ebu3213, 22),
];

/// The code points of a format's colour.
pub(super) fn to_codes(colorimetry: &VideoColorimetry) -> Colorimetry {
    fn code<T: PartialEq>(table: &[(T, u8)], wanted: &T) -> u8 {
        table.iter().find(|(name, _)| name == wanted).map_or(UNSPECIFIED, |(_, code)| *code)
    }
    Colorimetry {
        primaries: code(&PRIMARIES, &colorimetry.primaries()),
        transfer: code(&TRANSFERS, &colorimetry.transfer()),
        matrix: code(&MATRICES, &colorimetry.matrix()),
        // An unknown range counts as limited, as it is in nearly all YUV.
        full_range: colorimetry.range() == Range::Range0_255,
    }
}

/// The colour of YUV made from a stream's frames. A matrix that is not known, or that of RGB, is taken for BT.601, which
/// is what `swscale` does both ways.
pub(super) fn of_yuv(colorimetry: &Colorimetry) -> VideoColorimetry {
    fn name<T: Copy>(table: &[(T, u8)], code: u8) -> Option<T> {
        table.iter().find(|(_, own)| *own == code && code != UNSPECIFIED).map(|(name, _)| *name)
    }
    // BT.470 has the matrix of BT.601.
    let matrix = if colorimetry.matrix == 5 { 6 } else { colorimetry.matrix };
    VideoColorimetry::new(
        // RGB is full range by nature, which says nothing about YUV made from it.
        if colorimetry.full_range && matrix != 0 { Range::Range0_255 } else { Range::Range16_235 },
        name(&MATRICES, matrix).filter(|m| *m != Matrix::Rgb).unwrap_or(Matrix::Bt601),
        name(&TRANSFERS, colorimetry.transfer).unwrap_or(Transfer::Bt601),
        name(&PRIMARIES, colorimetry.primaries).unwrap_or(Primaries::Smpte170m),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yuv_comes_back() {
        gst::init().expect("GStreamer");
        for text in ["bt601", "bt709", "smpte240m", "bt2020", "1:4:5:1"] {
            let colorimetry: VideoColorimetry = text.parse().expect("a known colour");
            assert_eq!(of_yuv(&to_codes(&colorimetry)), colorimetry, "{text}");
        }
        let rgb: VideoColorimetry = "sRGB".parse().expect("a known colour");
        assert_eq!(of_yuv(&to_codes(&rgb)).matrix(), Matrix::Bt601);
        assert_eq!(of_yuv(&Colorimetry::default()).range(), Range::Range16_235);
    }
}
