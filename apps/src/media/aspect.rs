//! The shape of pixels that a container states, which may be another than the codec's and goes before it.
//!
//! FFmpeg has it in a field of its stream that no safe code can read. What it prints of an input has it too, for every container
//! and protocol; it prints to stderr, which leads to a file meanwhile. No filter takes its place: `setsar` and `scale` go by the
//! shape that frames come with, which is the codec's.

use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use ffmpeg_next::format::context::{Input, input};
use ffmpeg_next::log;

/// One at a time: stderr is the whole program's.
static PRINTING: Mutex<()> = Mutex::new(());

/// The shape of a stream's pixels as a fraction, if the input states one.
pub(super) fn stated_aspect(source: &Input, stream: usize) -> Option<(u32, u32)> {
    of_text(&printed_dump(source)?, stream)
}

/// What FFmpeg prints of an input.
fn printed_dump(source: &Input) -> Option<String> {
    let _one = PRINTING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut file = tempfile::tempfile().ok()?;
    // Kept, to be put back below.
    let own = std::io::stderr().as_fd().try_clone_to_owned().ok()?;
    rustix::stdio::dup2_stderr(&file).ok()?;
    // The level at which FFmpeg prints the dump.
    log::set_level(log::Level::Info);
    input::dump(source, 0, None);
    log::set_level(log::Level::Quiet);
    // Without stderr no error would be seen any more, so this must not fail; there is nothing for it to fail of.
    rustix::stdio::dup2_stderr(&own).ok()?;
    file.rewind().ok()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The last shape in a stream's line: that of the container, where it is another than the codec's.
fn of_text(text: &str, stream: usize) -> Option<(u32, u32)> {
    let start = format!("Stream #0:{stream}");
    let is_own = |line: &&str| {
        line.strip_prefix(&start).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let line = text.lines().map(str::trim_start).find(is_own)?;
    // From the right: the codec's own shape stands before, in brackets.
    let ratio = line.rsplit_once("SAR ")?.1;
    let (n, rest) = ratio.split_once(':')?;
    let d: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let (n, d) = (n.parse().ok()?, d.parse().ok()?);
    (n > 0 && d > 0).then_some((n, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_has_the_last_word() {
        let text = "Input #0, matroska,webm, from '':\n  Metadata:\n    title : Stream #0:1 SAR 9:1\n\
            \x20 Stream #0:10: Video: vp9, 8x8, SAR 5:1 DAR 5:1, 25 fps\n\
            \x20 Stream #0:1(eng): Video: h264 (High), 64x48 [SAR 1:1 DAR 4:3], SAR 4:3 DAR 16:9, 25 fps\n\
            \x20 Stream #0:0: Audio: pcm_s16le\n";
        assert_eq!(of_text(text, 1), Some((4, 3)));
        assert_eq!(of_text(text, 10), Some((5, 1)));
        assert_eq!(of_text(text, 0), None);
        assert_eq!(of_text(text, 2), None);
        assert_eq!(of_text("Stream #0:0: Video: SAR x:y SAR 1:", 0), None);
    }
}
