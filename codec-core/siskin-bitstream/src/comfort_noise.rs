//! The description of background noise that stands in for the codes of a pause.

use crate::Result;
use crate::bytes::Cursor;
use crate::bytes::{BitReader, BitWriter};

/// Background noise, in whole steps: a level and the spectrum's shape.
///
/// `docs/bitstream.md` gives the bands' frequencies. All numbers are integers, so every reader has the same noise to
/// make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ComfortNoise {
    /// Level in half decibels: 0 is digital silence, `n` is a root mean square of `(n - 193) / 2` dB of full scale,
    /// up to [`MAX_LEVEL`](Self::MAX_LEVEL).
    pub level: u8,
    /// Power density of each band beside the others, 0 to 15 in steps of 3 dB. Nothing in digital silence.
    pub bands: [u8; Self::BANDS],
}

impl ComfortNoise {
    /// Bands of the spectrum.
    // Twelve bands of four bits are six whole bytes. At 24 kHz they are 1.8 Bark wide each: 6 asinh(f / 600 Hz) is
    // the Bark scale.
    pub const BANDS: usize = 12;
    /// The loudest level: -0.5 dB.
    // One below the level that would be 0 dB: 0 dB RMS would be a full-scale square wave, which no background is.
    pub const MAX_LEVEL: u8 = 192;
    /// Decibels of one step of a band.
    // 16 values span 45 dB between the quietest band and the loudest, and rounding is off by 1.5 dB at most.
    pub const BAND_STEP_DB: f32 = 3.0;

    /// Root mean square in decibels of full scale; none in digital silence.
    ///
    /// ```
    /// use siskin_bitstream::ComfortNoise;
    ///
    /// let noise = ComfortNoise { level: 87, ..Default::default() };
    /// assert_eq!(noise.level_db(), Some(-53.0));
    /// ```
    pub fn level_db(&self) -> Option<f32> {
        (self.level > 0).then(|| (f32::from(self.level) - 193.0) / 2.0)
    }

    /// Appends the description: 1 byte for digital silence, else 7.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        // Clamped rather than refused: the level is measured from a signal, and a packet that cannot be written
        // would break the stream over one loud frame.
        out.push(self.level.min(Self::MAX_LEVEL));
        if self.level > 0 {
            let mut bits = BitWriter::new(out);
            self.bands.iter().for_each(|&band| bits.write_bits(band.min(15).into(), 4));
            bits.fill_byte();
        }
    }

    /// Reads a description.
    pub(super) fn read_from(cursor: &mut Cursor<'_>) -> Result<Self> {
        let level = cursor.read_byte("noise level")?;
        // Refused and not clamped, so that all readers agree on which packets are valid.
        if level > Self::MAX_LEVEL {
            return Err(
                cursor.field_error("noise level", format!("{level}, allowed: 0 to {}", Self::MAX_LEVEL))
            );
        }
        let mut shape = Self { level, ..Self::default() };
        if level > 0 {
            let mut bits = BitReader::new(cursor.read_bytes("noise bands", (Self::BANDS * 4).div_ceil(8))?);
            shape.bands.iter_mut().for_each(|band| *band = bits.read_bits(4) as u8);
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::frames::Frames;
    use crate::header::sample;
    use crate::packet::{Packet, PacketInfo, write_sid};

    fn shape() -> ComfortNoise {
        ComfortNoise { level: 87, bands: [15, 14, 12, 11, 10, 10, 9, 7, 5, 3, 1, 0] }
    }

    fn packet(info: &PacketInfo, in_band: bool, noise: &ComfortNoise) -> Vec<u8> {
        let mut out = Vec::new();
        write_sid(&sample(), info, in_band, noise, &mut out).expect("a frame");
        out
    }

    #[test]
    fn descriptions_come_back() {
        for (noise, in_band, end_trim) in
            [(shape(), true, 0), (shape(), false, 7), (ComfortNoise::default(), false, 0)]
        {
            let info = PacketInfo { starts_stream: in_band, end_trim, frames: 20, ..Default::default() };
            let bytes = packet(&info, in_band, &noise);
            let parsed = Packet::parse(&bytes, &Limits::default()).and_then(|p| p.bind(&sample()));
            let parsed = parsed.expect("a packet");
            assert_eq!((parsed.info(), parsed.comfort_noise()), (info, Some(&noise)));
            let mut codes = Frames::new(1);
            codes.push_frame(&[7]);
            parsed.read_codes(None, &mut codes).expect("a pause");
            assert!(codes.is_empty());
            for cut in 0..bytes.len() {
                let cut = Packet::parse(&bytes[..cut], &Limits::default())
                    .and_then(|p| p.bind(&sample()).map(drop));
                assert!(cut.is_err());
            }
        }
    }

    #[test]
    fn a_pause_has_the_bytes_that_the_document_says() {
        let golden = include_str!("../../../testdata/golden/packet-silence.hex").trim();
        let info = PacketInfo { frames: 20, ..Default::default() };
        assert_eq!(hex::encode(packet(&info, false, &shape())), golden);
    }

    #[test]
    fn a_level_above_full_scale_and_trailing_bytes_are_refused() {
        let info = PacketInfo { frames: 1, ..Default::default() };
        let mut bytes = packet(&info, false, &shape());
        bytes.push(0);
        let longer = Packet::parse(&bytes, &Limits::default()).and_then(|p| p.bind(&sample()).map(drop));
        assert!(longer.is_err());
        bytes[2] = 193;
        assert!(Packet::parse(&bytes, &Limits::default()).is_err());
        assert_eq!((shape().level_db(), ComfortNoise::default().level_db()), (Some(-53.0), None));
    }
}
