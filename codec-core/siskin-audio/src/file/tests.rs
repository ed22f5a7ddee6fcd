use std::cell::Cell;
use std::io::{Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::rc::Rc;

use siskin_bitstream::container::{Block, Mode, Track, Writer, WriterOptions};
use siskin_bitstream::{BundleId, StreamHeader};
use siskin_error::{Error, Limits};

use super::AudioFile;

/// A file of which only the beginning has arrived.
struct Arriving {
    data: Cursor<Vec<u8>>,
    arrived: Rc<Cell<u64>>,
}

impl Arriving {
    fn new(data: &[u8], arrived: u64) -> Self {
        Self { data: Cursor::new(data.to_vec()), arrived: Rc::new(Cell::new(arrived)) }
    }
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let there = self.arrived.get().saturating_sub(self.data.position());
        if there == 0 && self.data.position() < self.data.get_ref().len() as u64 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let most = buffer.len().min(there as usize);
        self.data.read(&mut buffer[..most])
    }
}

impl Seek for Arriving {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.data.seek(to)
    }
}

fn header() -> StreamHeader {
    StreamHeader {
        bundle: BundleId([7; 8]),
        bundle_name: "toy".into(),
        sample_rate: 24_000,
        channels: 1,
        hop: 480,
        groups: 2,
        stages: 9,
        code_bits: 10,
        pre_skip: 240,
    }
}

/// A file of 200 packets of 20 ms, each with its number in it, beside a track of text.
fn file() -> Vec<u8> {
    let options = WriterOptions { mode: Mode::File, ..Default::default() };
    let mut writer = Writer::new(vec![Track::audio(&header()), Track::text()], options).expect("tracks");
    let mut file = Vec::new();
    writer.write_header(&mut file).expect("a header");
    for i in 0..200u64 {
        writer.write_block(0, i * 20_000_000, 20_000_000, true, &[i as u8; 9], &mut file).expect("a block");
        if i % 50 == 0 {
            writer.write_block(1, i * 20_000_000, 20_000_000, true, b"word", &mut file).expect("a block");
        }
    }
    for patch in writer.finish(&mut file).expect("an end") {
        patch.apply(&mut file).expect("within the file");
    }
    file
}

#[test]
fn a_file_that_arrives_byte_by_byte_has_the_packets_of_the_whole_one() {
    let data = file();
    let mut whole = AudioFile::open(Cursor::new(data.clone()), Limits::default()).expect("a file");
    let (mut block, mut expected) = (Block::default(), Vec::new());
    while whole.next_packet(&mut block).expect("a packet") {
        expected.push(block.clone());
    }
    assert_eq!((expected.len(), whole.elsewhere_bytes()), (200, 16));

    let arrived = Rc::new(Cell::new(0));
    // Opened anew for each byte, until the description is whole.
    let mut audio = loop {
        let source = Arriving { data: Cursor::new(data.clone()), arrived: arrived.clone() };
        match AudioFile::open_arriving(source, Limits::default()) {
            Ok(audio) => break audio,
            Err(e) => assert!(e.is_would_block(), "{e} after {} bytes", arrived.get()),
        }
        arrived.set(arrived.get() + 1);
    };
    assert!(arrived.get() < 1000, "{} bytes before the first packet", arrived.get());
    assert_eq!((audio.header(), audio.stated_samples()), (&header(), whole.stated_samples()));
    let mut found = Vec::new();
    loop {
        match audio.next_packet(&mut block) {
            Ok(true) => found.push(block.clone()),
            Ok(false) => break,
            Err(e) => {
                assert!(e.is_would_block(), "{e}");
                arrived.set(arrived.get() + 1);
            }
        }
    }
    assert_eq!(found, expected);
    assert_eq!(audio.elsewhere_bytes(), 16);
    audio.seek(2.03).expect("all is there");
    assert!(audio.next_packet(&mut block).expect("a packet"));
    assert_eq!(block.data, [101; 9]);
}

#[test]
fn a_description_is_waited_for_and_what_lies_behind_the_packets_is_not() {
    let data = file();
    let arrived = data.len() as u64 - 1;
    let open = AudioFile::open(Arriving::new(&data, 100), Limits::default());
    assert!(open.is_err_and(|e| e.is_would_block()));
    let open = AudioFile::open_arriving(Arriving::new(&data, arrived), Limits::default());
    assert!(open.is_ok());
    let noise = AudioFile::open(Cursor::new(vec![0x55; 300]), Limits::default());
    assert!(matches!(noise.map(|_| ()), Err(Error::Container { .. })));
}

/// A file of a second of packets that begin at `start` seconds, beside text that ends at `text`, if there is any.
fn second_from(start: u64, text: Option<u64>) -> AudioFile<Cursor<Vec<u8>>> {
    let options = WriterOptions { mode: Mode::File, ..Default::default() };
    let tracks = [Some(Track::audio(&header())), text.map(|_| Track::text())];
    let mut writer = Writer::new(tracks.into_iter().flatten().collect(), options).expect("tracks");
    let mut file = Vec::new();
    writer.write_header(&mut file).expect("a header");
    for i in 0..50u64 {
        let at = start * 1_000_000_000 + i * 20_000_000;
        writer.write_block(0, at, 20_000_000, true, &[i as u8; 9], &mut file).expect("a block");
    }
    if let Some(end) = text {
        let at = (end - 1) * 1_000_000_000;
        writer.write_block(1, at, 1_000_000_000, true, b"word", &mut file).expect("a block");
    }
    for patch in writer.finish(&mut file).expect("an end") {
        patch.apply(&mut file).expect("within the file");
    }
    AudioFile::open(Cursor::new(file), Limits::default()).expect("a file")
}

#[test]
fn the_length_of_a_file_is_that_of_its_only_track_from_the_first_time_stamp() {
    let alone = second_from(0, None);
    assert_eq!((alone.stated_samples(), alone.stated_samples_from(0, 24_000)), (Some(24_000), Some(24_000)));
    assert_eq!(alone.stated_samples_from(0, 12_000), Some(24_000), "half is missing");
    // Counted from zero, as the writer does, or from the first time stamp.
    let late = second_from(3, None);
    assert_eq!(late.stated_samples_from(3 * 24_000, 24_000), Some(24_000));
    assert_eq!(alone.stated_samples_from(3 * 24_000, 24_000), Some(24_000));
    let beside = second_from(0, Some(30));
    assert_eq!(beside.reader().duration_ns(), Some(30_000_000_000));
    assert_eq!((beside.stated_samples(), beside.stated_samples_from(0, 24_000)), (None, None));
}
