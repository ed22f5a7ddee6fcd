//! `--watch`: a sheet of the original, the decoded frame and their difference, written now and then.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use ffmpeg_next::codec::{self, Id, encoder};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Packet, Rational, frame};

use crate::failure::usage_error;

/// Differences are shown so many times as large, around grey.
// Errors of a good encoding are a few levels, too few to be seen.
const GAIN: i32 = 4;
/// A sheet is written about so often.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);

/// The sheet that is written.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    path: PathBuf,
    size: (usize, usize),
    due: Instant,
}

impl Watch {
    /// For frames of this size.
    pub(super) fn new(path: &Path, (width, height): (u32, u32)) -> Result<Self> {
        if !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) {
            return Err(usage_error(format!("--watch writes PNG, name it .png: {}", path.display())));
        }
        Ok(Self { path: path.to_owned(), size: (width as usize, height as usize), due: Instant::now() })
    }

    /// Whether it is time for another sheet.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    /// Writes a sheet of two frames, interleaved RGB, under a name of its own first, so that a viewer never reads half a
    /// sheet.
    pub(super) fn show(&mut self, original: &[u8], decoded: &[u8]) -> Result<()> {
        let name = self.path.display();
        let data = encode_png(&draw_sheet(original, decoded, self.size), (3 * self.size.0, self.size.1))?;
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The umask takes from this; temporary files are otherwise for their owner alone.
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        let mut file = tempfile::Builder::new()
            .prefix(".watch.")
            .permissions(permissions)
            .tempfile_in(folder)
            .with_context(|| format!("{name}"))?;
        std::io::Write::write_all(&mut file, &data).with_context(|| format!("{name}"))?;
        file.persist(&self.path).map_err(|e| e.error).with_context(|| format!("{name}"))?;
        // From the end: a sheet of a large frame takes time itself.
        self.due = Instant::now() + INTERVAL;
        Ok(())
    }
}

/// The original, the decoded frame and their difference side by side.
fn draw_sheet(original: &[u8], decoded: &[u8], (width, height): (usize, usize)) -> Vec<u8> {
    let mut out = Vec::with_capacity(9 * width * height);
    for (a, b) in original.chunks_exact(3 * width).zip(decoded.chunks_exact(3 * width)) {
        out.extend_from_slice(a);
        out.extend_from_slice(b);
        let difference =
            |(&a, &b): (&u8, &u8)| (128 + GAIN * (i32::from(b) - i32::from(a))).clamp(0, 255) as u8;
        out.extend(a.iter().zip(b).map(difference));
    }
    out
}

/// Interleaved RGB as a PNG file.
fn encode_png(rgb: &[u8], (width, height): (usize, usize)) -> Result<Vec<u8>> {
    let (columns, rows) = (width as u32, height as u32);
    let codec = encoder::find(Id::PNG).ok_or_else(|| anyhow!("this FFmpeg has no encoder for PNG"))?;
    let mut encoder = codec::Context::new_with_codec(codec).encoder().video()?;
    encoder.set_width(columns);
    encoder.set_height(rows);
    encoder.set_format(Pixel::RGB24);
    encoder.set_time_base(Rational(1, 1));
    let mut encoder = encoder.open()?;
    let mut sheet = frame::Video::new(Pixel::RGB24, columns, rows);
    let stride = sheet.stride(0);
    for (from, to) in rgb.chunks_exact(3 * width).zip(sheet.data_mut(0).chunks_mut(stride)) {
        to[..3 * width].copy_from_slice(from);
    }
    encoder.send_frame(&sheet)?;
    encoder.send_eof()?;
    let mut packet = Packet::empty();
    encoder.receive_packet(&mut packet)?;
    Ok(packet.data().unwrap_or_default().to_vec())
}
