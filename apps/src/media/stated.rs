//! How long a file says that it is in bytes, which FFmpeg's demuxers forget when it is shorter.

use std::io::{Read, Result, Seek, SeekFrom};

/// Bytes from the beginning that are looked at where there is no going back.
// WAV files may have tags before their samples; beyond this nothing is stated for want of knowledge.
pub(super) const HEAD: usize = 1 << 16;
/// Boxes of MP4 that are looked at before a file counts as too strange.
const MAX_BOXES: usize = 10_000;

/// A length that a file states of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stated {
    /// Where what is stated ends.
    pub(super) end: u64,
    /// Where the samples begin, if all from there on are samples of one size.
    pub(super) samples: Option<u64>,
}

impl Stated {
    /// The share of the stated samples that a file of so many bytes holds; none if it is whole.
    pub(super) fn share(&self, bytes: u64) -> Option<f64> {
        // Headers are no sound: a share of samples is what tells how much of the recording is there.
        let start = self.samples.unwrap_or(0).min(bytes);
        (bytes < self.end).then(|| (bytes - start) as f64 / (self.end - start).max(1) as f64)
    }
}

/// What the beginning of a file or pipe says.
pub(super) fn of_head(head: &[u8]) -> Option<Stated> {
    match head {
        [_, _, _, _, _, _, _, _, b'W', b'A', b'V', b'E', ..] => riff_data(head),
        [b'R', b'I', b'F', b'F', a, b, c, d, b'A', b'V', b'I', b' ', ..] => {
            let size = u32::from_le_bytes([*a, *b, *c, *d]);
            (!is_unknown(size)).then(|| Stated { end: 8 + u64::from(size), samples: None })
        }
        [0x1a, 0x45, 0xdf, 0xa3, ..] => matroska_segment(head),
        _ => None,
    }
}

/// Sizes of streams that were written to a pipe, where nobody knew: 0 and the greatest numbers with or without a sign, from which
/// some take a little for the header.
fn is_unknown(size: u32) -> bool {
    matches!(size, 0 | 0x7ff0_0000..=0x8000_ffff | 0xffff_0000..)
}

/// The data chunk of WAV and of its 64-bit kin.
fn riff_data(head: &[u8]) -> Option<Stated> {
    let long = match &head[..4] {
        b"RF64" | b"BW64" => Some(u64::from_le_bytes(head.get(28..36)?.try_into().ok()?)),
        b"RIFF" => None,
        _ => return None,
    };
    // Behind `RIFF`, the size and `WAVE`.
    let mut at = 12usize;
    loop {
        let chunk: [u8; 8] = head.get(at..at.checked_add(8)?)?.try_into().ok()?;
        let size = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
        at += 8;
        if &chunk[..4] == b"data" {
            let size = match (size, long) {
                (u32::MAX, Some(long)) if long > 0 && long < u64::MAX / 2 => long,
                (size, _) if is_unknown(size) => return None,
                (size, _) => size.into(),
            };
            return Some(Stated { end: at as u64 + size, samples: Some(at as u64) });
        }
        // Chunks are padded to even lengths.
        at = at.checked_add(size as usize)?.checked_add(size as usize % 2)?;
    }
}

/// The end of Matroska's first segment.
fn matroska_segment(head: &[u8]) -> Option<Stated> {
    let (size, length) = read_vint(head.get(4..)?)?;
    let segment = usize::try_from(size?).ok()?.checked_add(4 + length)?;
    if head.get(segment..segment.checked_add(4)?)? != [0x18, 0x53, 0x80, 0x67] {
        return None;
    }
    let (size, length) = read_vint(&head[segment + 4..])?;
    Some(Stated { end: size?.checked_add((segment + 4 + length) as u64)?, samples: None })
}

/// A size of EBML, none if it is unknown, and its length.
fn read_vint(data: &[u8]) -> Option<(Option<u64>, usize)> {
    let first = *data.first()?;
    let length = first.leading_zeros() as usize + 1;
    let bytes = data.get(..length).filter(|_| length <= 8)?;
    let marked = bytes.iter().fold(0u64, |all, &b| all << 8 | u64::from(b));
    let value = marked & ((1 << (7 * length)) - 1);
    // All ones mean that the size is unknown (RFC 8794, section 6.2), as in live streams.
    Some(((value != (1 << (7 * length)) - 1).then_some(value), length))
}

/// Whether the beginning is that of MP4 whose media come before the index (`moov`) that leads to them.
pub(super) fn is_index_behind(head: &[u8]) -> bool {
    let mut at = 0usize;
    for _ in 0..MAX_BOXES {
        let Some([a, b, c, d, name @ ..]) = head.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
            break;
        };
        let size = u32::from_be_bytes([*a, *b, *c, *d]);
        match name {
            b"mdat" => return true,
            b"ftyp" | b"wide" | b"free" | b"skip" | b"uuid" | b"pdin" if size >= 8 => at += size as usize,
            // The index itself, or no MP4.
            _ => break,
        }
    }
    false
}

/// Where the last box of an MP4 file ends, as it says itself. The file is left anywhere.
pub(super) fn of_boxes<R: Read + Seek>(source: &mut R, bytes: u64) -> Result<Option<Stated>> {
    let mut at = 0u64;
    for count in 0..MAX_BOXES {
        if at.saturating_add(8) > bytes {
            break;
        }
        source.seek(SeekFrom::Start(at))?;
        let mut head = [0u8; 16];
        source.read_exact(&mut head[..8])?;
        let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        // At the beginning only names that files begin with: otherwise any text would be taken for boxes.
        let is_first =
            count == 0 && !matches!(&head[4..8], b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip");
        if is_first || !head[4..8].iter().all(|b| b.is_ascii_graphic() || *b == b' ' || *b == 0xa9) {
            break;
        }
        let size = match size {
            // To the end of the file, wherever that is.
            0 => break,
            1 if at + 16 <= bytes => {
                source.read_exact(&mut head[8..])?;
                u64::from_be_bytes([
                    head[8], head[9], head[10], head[11], head[12], head[13], head[14], head[15],
                ])
            }
            size => size.into(),
        };
        if size < 8 {
            break;
        }
        at = at.saturating_add(size);
        if at > bytes {
            return Ok(Some(Stated { end: at, samples: None }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn wav(stated: u32, there: usize) -> Vec<u8> {
        let mut data = b"RIFF\0\0\0\0WAVEfmt \x02\0\0\0\x01\0data".to_vec();
        data.extend_from_slice(&stated.to_le_bytes());
        data.resize(data.len() + there, 0);
        data
    }

    fn share(data: &[u8]) -> Option<f64> {
        of_head(data).and_then(|stated| stated.share(data.len() as u64))
    }

    #[test]
    fn only_a_file_shorter_than_stated_is_cut() {
        assert_eq!(share(&wav(100, 25)), Some(0.25));
        assert_eq!(share(&wav(100, 100)), None);
        // What programs write into a pipe: 0, FFmpeg, Android, espeak-ng and sox.
        for unknown in [0, u32::MAX, 0x7fff_ffff, 0x7fff_f000, 0x7fff_f000 - 36, u32::MAX - 36, 0x8000_0000] {
            assert_eq!(share(&wav(unknown, 100)), None, "{unknown:x}");
        }
        assert_eq!(share(b"fLaC and so on and on"), None);
        for cut in 0..40 {
            share(&wav(100, 100)[..cut]);
        }
    }

    #[test]
    fn other_containers_state_their_end() {
        let avi = b"RIFF\x64\0\0\0AVI LIST";
        assert_eq!(of_head(avi), Some(Stated { end: 108, samples: None }));
        let mut long = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
        long.extend_from_slice(&[0; 8]);
        long.extend_from_slice(&1000u64.to_le_bytes());
        long.extend_from_slice(&[0; 12]);
        long.extend_from_slice(b"data\xff\xff\xff\xff");
        assert_eq!(of_head(&long), Some(Stated { end: 1056, samples: Some(56) }));
        let mkv = [0x1a, 0x45, 0xdf, 0xa3, 0x81, 0, 0x18, 0x53, 0x80, 0x67, 0x40, 0xff, 1, 2];
        assert_eq!(of_head(&mkv), Some(Stated { end: 12 + 255, samples: None }));
        let live = [0x1a, 0x45, 0xdf, 0xa3, 0x81, 0, 0x18, 0x53, 0x80, 0x67, 0xff, 1, 2];
        assert_eq!(of_head(&live), None);
    }

    #[test]
    fn boxes_that_reach_beyond_the_end_are_found() {
        let mut mp4 = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x64mdat".to_vec();
        mp4.resize(60, 0);
        let stated = |data: &[u8]| of_boxes(&mut Cursor::new(data), data.len() as u64).expect("no error");
        assert_eq!(stated(&mp4), Some(Stated { end: 116, samples: None }));
        mp4.resize(116, 0);
        assert_eq!(stated(&mp4), None);
        assert_eq!(stated(b"no boxes at all, but text"), None);
        for cut in 0..30 {
            stated(&mp4[..cut]);
        }
    }

    #[test]
    fn media_before_the_index_of_mp4_are_seen() {
        let make = |boxes: &[(&[u8; 4], u32)]| {
            let one = |(name, size): &(&[u8; 4], u32)| {
                let body = vec![0; (*size as usize).saturating_sub(8).min(100)];
                [&size.to_be_bytes()[..], &name[..], &body].concat()
            };
            boxes.iter().flat_map(one).collect::<Vec<u8>>()
        };
        assert!(is_index_behind(&make(&[(b"ftyp", 28), (b"free", 8), (b"mdat", 90_000)])));
        // Sizes of 64 bits stand behind the name.
        assert!(is_index_behind(&make(&[(b"ftyp", 28), (b"mdat", 1)])));
        assert!(!is_index_behind(&make(&[(b"ftyp", 28), (b"moov", 60), (b"mdat", 90_000)])));
        assert!(!is_index_behind(&make(&[(b"ftyp", 0)])));
        assert!(!is_index_behind(b"any text at all"));
        assert!(!is_index_behind(b""));
    }
}
