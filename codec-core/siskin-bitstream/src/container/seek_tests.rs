use std::cell::Cell;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::rc::Rc;

use super::*;
use crate::{VideoHeader, sample};

const SECOND: u64 = 1_000_000_000;

/// A source that counts what is read of it.
struct Metered<'a> {
    data: Cursor<&'a [u8]>,
    read: Rc<Cell<u64>>,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.data.read(buffer)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}

impl Seek for Metered<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.data.seek(to)
    }
}

/// Two minutes: a frame of video every tenth of a second with a keyframe every other second, and sound of a second a packet.
/// Packets begin with the second, or tenth, in which they are.
fn film(mode: Mode) -> Vec<u8> {
    let header = VideoHeader {
        width: 16,
        height: 16,
        frame_rate: (10, 1),
        pixel_aspect: (1, 1),
        colorimetry: Default::default(),
    };
    let options = WriterOptions { mode, ..Default::default() };
    let mut writer =
        Writer::new(vec![Track::video(&header), Track::audio(&sample())], options).expect("tracks");
    let mut out = Vec::new();
    writer.write_header(&mut out).expect("a header");
    for i in 0..1200u64 {
        let tenth = SECOND / 10;
        let data = [&(i as u16).to_le_bytes()[..], &[7; 300]].concat();
        writer.write_block(0, i * tenth, tenth, i % 20 == 0, &data, &mut out).expect("a frame");
        if i % 10 == 0 {
            writer
                .write_block(1, i * tenth, SECOND, true, &[(i / 10) as u8; 60], &mut out)
                .expect("a packet");
        }
    }
    for patch in writer.finish(&mut out).expect("an end") {
        patch.apply(&mut out).expect("within the file");
    }
    out
}

/// Seeks, and gives the block that is read then, its time in seconds and the bytes that were read.
fn seek(data: &[u8], go: impl Fn(&mut Reader<Metered<'_>>) -> crate::Result<()>) -> (Block, f64, u64) {
    let read = Rc::new(Cell::new(0));
    let mut reader = Reader::open(Metered { data: Cursor::new(data), read: read.clone() }).expect("a film");
    let before = read.get();
    go(&mut reader).expect("within the file");
    let mut block = Block::default();
    assert!(reader.next_block(&mut block).expect("a block"));
    let seconds = block.pts_ns as f64 / SECOND as f64;
    (block, seconds, read.get() - before)
}

#[test]
fn an_index_leads_near_the_target_and_changes_nothing() {
    let (indexed, live) = (film(Mode::File), film(Mode::Live));
    for seconds in [0, 1, 2, 59, 60, 61, 119, 500] {
        let go = |reader: &mut Reader<Metered<'_>>| reader.seek_to(seconds * SECOND + SECOND / 20);
        let (found, expected) = (seek(&indexed, go), seek(&live, go));
        assert_eq!(found.0, expected.0, "{seconds} s");
        // Two seconds of film at most, and the index.
        assert!(found.2 < 12_000, "{} bytes for {seconds} s", found.2);
        let key =
            |reader: &mut Reader<Metered<'_>>| reader.seek_to_keyframe(1, seconds * SECOND + SECOND / 2);
        let (found, expected) = (seek(&indexed, key), seek(&live, key));
        assert_eq!(found.0, expected.0, "{seconds} s");
        assert!(found.0.is_keyframe && found.0.track == 1 && found.1 == (seconds.min(119) / 2 * 2) as f64);
        assert!(found.2 < 15_000, "{} bytes for {seconds} s", found.2);
    }
}

#[test]
fn a_track_without_points_is_found_by_those_of_another() {
    let (indexed, live) = (film(Mode::File), film(Mode::Live));
    for seconds in [0, 30, 90, 119] {
        let go = |reader: &mut Reader<Metered<'_>>| reader.seek_to_keyframe(2, seconds * SECOND + SECOND / 2);
        let (found, expected) = (seek(&indexed, go), seek(&live, go));
        assert_eq!(found.0, expected.0, "{seconds} s");
        assert!(found.0.track == 2 && found.1 == seconds as f64, "{} s", found.1);
        assert!(found.2 < 15_000, "{} bytes for {seconds} s", found.2);
    }
}

#[test]
fn a_wrong_index_is_not_believed() {
    let data = film(Mode::File);
    let mark = id::CUES.to_be_bytes();
    let at = data.windows(4).rposition(|w| w == mark).expect("an index");
    let go = |reader: &mut Reader<Metered<'_>>| reader.seek_to_keyframe(1, 90 * SECOND);
    for bit in (at * 8..data.len() * 8).step_by(3) {
        let mut broken = data.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        let (block, seconds, _) = seek(&broken, go);
        assert!(block.is_keyframe && seconds == 90.0, "{seconds} s, bit {bit}");
    }
    // One that was cut off with the end of the file.
    let (block, seconds, _) = seek(&data[..at + 40], go);
    assert!(block.is_keyframe && seconds == 90.0);
}
