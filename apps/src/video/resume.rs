//! Going on with an encoding that was interrupted: what the file has is taken over packet by packet into a new one, which
//! takes its place once it holds more.

use std::path::Path;

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};
use siskin_core::Limits;
use siskin_core::bitstream::VideoHeader;
use siskin_core::container::Block;
use siskin_core::video::{GopInfo, inspect};

use super::VideoFile;
use crate::media::Source;

/// The tag of Matroska that says how a file was encoded.
pub(super) const SETTINGS_TAG: &str = "ENCODER_SETTINGS";

/// How pictures are encoded and which, in words that two runs can be compared by: `name=value`, separated by spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings(String);

impl Settings {
    /// The settings with what names the input: its bytes, where it is a file, and its first frame.
    pub(super) fn new(settings: &str, source: &Source, first: &[u8]) -> Result<Self> {
        let file = source.fingerprint()?.map_or_else(|| "none".into(), |digest| short_digest(&digest));
        // The frame too: pipes have no bytes to go back to, and options may change what is decoded.
        Ok(Self(format!("{settings} input={file} first-picture={}", short_digest(&Sha256::digest(first)))))
    }

    /// The tag for the file.
    pub(super) fn tag(&self) -> (String, String) {
        (SETTINGS_TAG.into(), self.0.clone())
    }

    /// What is another in `before`, in words.
    fn differences(&self, before: &str) -> Vec<String> {
        // By name and not as one text, so that the user is told what differs.
        let find = |all: &str, name: &str| {
            all.split(' ').filter_map(|w| w.split_once('=')).find(|w| w.0 == name).map(|w| w.1.to_owned())
        };
        let names = |all: &str| {
            all.split(' ').filter_map(|w| w.split_once('=')).map(|w| w.0.to_owned()).collect::<Vec<_>>()
        };
        let mut all = names(&self.0);
        all.extend(names(before).into_iter().filter(|name| find(&self.0, name).is_none()));
        let differs = |name: &String| find(&self.0, name) != find(before, name);
        let told = |name: String| match name.as_str() {
            "first-picture" => "the first picture is another".to_owned(),
            "input" => "the input is another".to_owned(),
            _ => {
                let value = |all| find(all, &name).unwrap_or("none".into());
                format!("{name} was {} and is {}", value(before), value(&self.0))
            }
        };
        all.into_iter().filter(differs).map(told).collect()
    }
}

/// What an earlier run left.
pub(super) struct Earlier {
    file: VideoFile,
    block: Block,
    /// Packets that are still to be taken over; none means all.
    left: Option<u64>,
}

impl Earlier {
    /// Opens the file that an earlier run left, none where there is none.
    pub(super) fn open(path: &Path, header: &VideoHeader, settings: &Settings) -> Result<Option<Self>> {
        let name = path.display();
        if !path.exists() {
            return Ok(None);
        }
        if !VideoFile::is_video(path) {
            bail!("{name} is no video of siskin encode, so there is nothing to resume (-y begins anew)");
        }
        let file = VideoFile::open(path)?;
        let own = file.header();
        if own != header {
            bail!(
                "{name} cannot be resumed from this input: it holds {}, the input is {}",
                format_header(own),
                format_header(header)
            );
        }
        let Some((_, before)) = file.tags().iter().find(|(tag, _)| tag == SETTINGS_TAG) else {
            bail!("{name} does not say how it was encoded, so it cannot be resumed (-y begins anew)");
        };
        let differences = settings.differences(before);
        if !differences.is_empty() {
            bail!(
                "{name} cannot be resumed with these settings: {} (-y begins anew)",
                differences.join(", ")
            );
        }
        Ok(Some(Self { file, block: Block::default(), left: None }))
    }

    /// Takes over only what lies before the last packet that decodes alone: what follows it may not be all of its group.
    pub(super) fn up_to_last_key(mut self, path: &Path) -> Result<Self> {
        let (mut count, mut last) = (0, 0);
        while let Some((info, _)) = self.next() {
            if info.is_keyframe {
                last = count;
            }
            count += 1;
        }
        // Read a second time: only at the end is it known which keyframe was the last.
        Ok(Self { file: VideoFile::open(path)?, block: self.block, left: Some(last) })
    }

    /// The next packet; none where the whole ones end.
    pub(super) fn next(&mut self) -> Option<(GopInfo, &[u8])> {
        if self.left == Some(0) {
            return None;
        }
        self.left = self.left.map(|n| n - 1);
        if !self.file.next(&mut self.block).unwrap_or(false) {
            return None;
        }
        // A packet with a wrong checksum ends what can be taken over.
        let info = inspect(&self.block.data, &Limits::default()).ok()?;
        Some((info, &self.block.data))
    }
}

/// Enough of a digest to tell two inputs apart.
fn short_digest(digest: &[u8]) -> String {
    // 48 bits: this guards against mistakes, not attacks, and tags stay readable.
    digest.iter().take(6).map(|b| format!("{b:02x}")).collect()
}

fn format_header(header: &VideoHeader) -> String {
    let (n, d) = header.frame_rate;
    let rate =
        if n > 0 { format!("{:.3} fps", f64::from(n) / f64::from(d)) } else { "of a variable rate".into() };
    let colorimetry = header.colorimetry;
    let range = if colorimetry.full_range { "full" } else { "limited" };
    let (wide, high) = header.pixel_aspect;
    format!(
        "{}x{}, {rate}, pixels {wide}:{high}, matrix {}, {range} range",
        header.width, header.height, colorimetry.matrix
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told() {
        let settings =
            |words: &str, name: &str| Settings(format!("{words} input={name} first-picture={name}"));
        let now = settings("preset=fast gop-size=3 quality=50", "a");
        assert_eq!(now.differences(&now.tag().1), Vec::<String>::new());
        let before = settings("preset=fast gop-size=5 bitrate=9000", "b").tag().1;
        let told = now.differences(&before);
        let expected = [
            "gop-size was 5 and is 3",
            "quality was none and is 50",
            "the input is another",
            "the first picture is another",
            "bitrate was 9000 and is none",
        ];
        assert_eq!(told, expected);
    }
}
