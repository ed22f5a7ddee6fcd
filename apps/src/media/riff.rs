//! How long a WAV file says that it is, which FFmpeg's demuxer forgets when the file is shorter.

use std::io::{Read, Result, Seek, SeekFrom};

/// Sizes of streams that were written to a pipe, where nobody knew.
const UNKNOWN: [u32; 2] = [0, u32::MAX];

/// The share of the stated samples that the file holds, if it is a WAV file that was cut off.
pub(super) fn share_left<R: Read + Seek>(source: &mut R) -> Result<Option<f64>> {
    let end = source.seek(SeekFrom::End(0))?;
    source.seek(SeekFrom::Start(0))?;
    let mut head = [0; 12];
    if end < 12 {
        return Ok(None);
    }
    source.read_exact(&mut head)?;
    if &head[..4] != b"RIFF" || &head[8..] != b"WAVE" {
        return Ok(None);
    }
    let mut at = 12u64;
    while at + 8 <= end {
        let mut chunk = [0; 8];
        source.seek(SeekFrom::Start(at))?;
        source.read_exact(&mut chunk)?;
        let size = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
        at += 8;
        if &chunk[..4] == b"data" {
            let there = end - at;
            let is_cut = !UNKNOWN.contains(&size) && u64::from(size) > there;
            return Ok(is_cut.then(|| there as f64 / f64::from(size)));
        }
        at += u64::from(size) + u64::from(size % 2);
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

    #[test]
    fn only_a_file_shorter_than_stated_is_cut() {
        let share = |data: Vec<u8>| share_left(&mut Cursor::new(data)).expect("no error");
        assert_eq!(share(wav(100, 25)), Some(0.25));
        assert_eq!(share(wav(100, 100)), None);
        assert_eq!(share(wav(u32::MAX, 100)), None);
        assert_eq!(share(wav(0, 100)), None);
        assert_eq!(share(b"fLaC and so on and on".to_vec()), None);
        for cut in 0..40 {
            share(wav(100, 100)[..cut].to_vec());
        }
    }
}
