//! What is fuzzed: parsers of bytes that come from outside. Each takes any bytes and may do nothing but return.
//!
//! `codec-core/tests/mutations.rs` runs the same functions on stable Rust.

use std::io::{Cursor, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

use siskin_core::Limits;
use siskin_core::bitstream::packet::Packet;
use siskin_core::bitstream::{BundleId, Frames, StreamHeader, rtp};
use siskin_core::bundle::{Bundle, FeatureBundle, Manifest};
use siskin_core::container::{Block, Reader, repair};
use siskin_core::entropy::Coder;
use siskin_core::features::{Decoder, DecoderOptions, FeatureHeader, MAX_LATENT};
use siskin_core::runtime::{Runtime, RuntimeOptions};
use siskin_core::tokens::{FileFormat, TokenFile};
use siskin_core::video::Checker;

/// A parser and its name, which is that of its corpus.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const TARGETS: [Target; 12] = [
    ("container", container),
    ("repair", repaired),
    ("packet", packet),
    ("rtp_payload", rtp_payload),
    ("stream_header", stream_header),
    ("manifest", manifest),
    ("codes", codes),
    ("video", video),
    ("tokens", tokens),
    ("checkpoint", checkpoint),
    ("pickle", pickle),
    ("features", features),
];

/// A stream that packets without a header are taken to be of.
fn stream() -> StreamHeader {
    StreamHeader {
        bundle: BundleId([1; 8]),
        bundle_name: "speech".into(),
        sample_rate: 24_000,
        channels: 1,
        hop: 480,
        groups: 2,
        stages: 9,
        code_bits: 10,
        pre_skip: 240,
    }
}

/// Reads a Matroska file to its end, seeks in it and reads on.
pub(crate) fn container(data: &[u8]) {
    let Ok(mut reader) = Reader::open(Cursor::new(data)) else { return };
    let (mut block, mut blocks, mut last) = (Block::default(), 0u64, 0);
    while let Ok(true) = reader.next_block(&mut block) {
        blocks += 1;
        last = block.pts_ns;
    }
    // A laced block of n bytes holds at most 256 packets, others one.
    assert!(blocks <= 256 * data.len() as u64);
    if reader.seek_to(last / 2).is_ok() {
        reader.next_block(&mut block).ok();
    }
}

/// Repairs a file; what comes of it can be read to its end.
pub(crate) fn repaired(data: &[u8]) {
    let mut out = Vec::new();
    let Ok(done) = repair(Cursor::new(data), &mut out) else { return };
    assert_eq!(out.len() as u64, done.bytes);
    for patch in &done.patches {
        patch.apply(&mut out).expect("within the file");
    }
    assert!(out.len() <= 2 * data.len() + 4096, "{} bytes became {}", data.len(), out.len());
    container(&out);
}

/// Takes a packet apart.
pub(crate) fn packet(data: &[u8]) {
    let Ok(packet) = Packet::parse(data, &Limits::default()) else { return };
    let header = packet.header.clone().unwrap_or_else(stream);
    if let Ok(packet) = packet.bind(&header) {
        assert!(packet.info().frames <= Limits::default().max_frames_per_packet);
        for back in 0..=packet.redundant_frames().map_or(0, |copies| copies.frame_count()) {
            packet.redundant_frames().into_iter().for_each(|copies| copies.read_frame(back, &mut Vec::new()));
        }
    }
}

/// Takes an RTP payload apart.
pub(crate) fn rtp_payload(data: &[u8]) {
    let Ok(payload) = rtp::PayloadHead::parse(data) else { return };
    let header = payload.header.clone().unwrap_or_else(stream);
    if let Ok(payload) = payload.bind(&header) {
        assert!(payload.redundant.len() <= rtp::MAX_REDUNDANT);
        assert!(payload.codes.len() <= 16 * 64 * 16);
    }
}

/// Reads a stream header, which is then written as it was.
pub(crate) fn stream_header(data: &[u8]) {
    if let Ok((header, length)) = StreamHeader::parse(data) {
        assert!(length <= data.len());
        assert_eq!(
            StreamHeader::parse(&header.to_bytes()).ok(),
            Some((header.clone(), header.to_bytes().len()))
        );
    }
}

/// Reads the manifest of a bundle.
pub(crate) fn manifest(data: &[u8]) {
    if let Ok(manifest) = Manifest::parse(data) {
        manifest.stages_for(6000);
        manifest.warm_up_ns();
        manifest.algorithmic_delay();
    }
}

/// Takes the codes out of a packet, those that are range coded with the tables of the shipped bundle too.
pub(crate) fn codes(data: &[u8]) {
    static CODER: OnceLock<Coder> = OnceLock::new();
    let coder = CODER.get_or_init(|| {
        let bundle = Bundle::find("speech-24k").expect("the shipped bundle");
        Coder::new(siskin_core::audio::load_entropy_tables(&bundle).expect("tables").expect("tables"))
    });
    let packet = Packet::parse(data, &Limits::default()).and_then(|packet| packet.bind(&stream()));
    let Ok(packet) = packet else { return };
    let mut frames = Frames::default();
    if packet.read_codes(Some(&mut coder.clone()), &mut frames).is_ok() {
        assert!(frames.codes().iter().all(|&c| c < 1024));
    }
}

/// Reads a video packet and one after it, checksums mended, since nothing would be behind them otherwise.
pub(crate) fn video(data: &[u8]) {
    let mut checker = Checker::new(Limits::default());
    let mut packet = data.to_vec();
    packet.extend(crc32fast::hash(data).to_le_bytes());
    checker.packet(&packet).ok();
    checker.packet(&packet).ok();
}

/// Reads the header of a stream of features, and the latents of a packet of the shipped bundle.
pub(crate) fn features(data: &[u8]) {
    static DECODER: OnceLock<Mutex<Decoder>> = OnceLock::new();
    if let Ok((header, length)) = FeatureHeader::parse(data, &Limits::default()) {
        assert!(length <= data.len());
        let again = FeatureHeader::parse(&header.to_bytes(), &Limits::default());
        assert_eq!(again.ok(), Some((header.clone(), header.to_bytes().len())));
    }
    let bundle = || FeatureBundle::find(FeatureBundle::DEFAULT).expect("the shipped bundle");
    let decoder = DECODER.get_or_init(|| {
        // No network is opened, so ONNX Runtime is not loaded.
        let runtime = Runtime::load_when_needed(&RuntimeOptions::default()).expect("options of the default");
        Mutex::new(Decoder::new(&bundle(), &runtime, &DecoderOptions::default()).expect("a decoder"))
    });
    let mut decoder = decoder.lock().unwrap_or_else(PoisonError::into_inner);
    let mut packet = data.to_vec();
    // The bundle's id is put right, since nothing would be behind it otherwise.
    let id = decoder.bundle().manifest().id().0;
    packet.iter_mut().skip(1).zip(&id[..2]).for_each(|(byte, id)| *byte = *id);
    if let Ok((head, latents)) = decoder.decode_latents(&packet) {
        assert!(head.level < 32 && latents.iter().all(|v| v.abs() <= MAX_LATENT));
    }
}

/// Reads a file of tokens in every format; what is read can be written and is the same again.
pub(crate) fn tokens(data: &[u8]) {
    for format in [FileFormat::Safetensors, FileFormat::Npy, FileFormat::Jsonl] {
        if let Ok(file) = TokenFile::from_bytes(format, data) {
            let again = file.to_bytes(format).expect("what was read can be written");
            assert_eq!(TokenFile::from_bytes(format, &again).expect("what was written").codes, file.codes);
        }
    }
}

/// Reads the tensors of a checkpoint: safetensors, or an archive of PyTorch.
pub(crate) fn checkpoint(data: &[u8]) {
    let Ok(shapes) = siskin_import::read_shapes(data) else { return };
    // Tensors may share what the file holds, within a bound; a number has a byte at least.
    let values: usize = shapes.values().map(|shape| shape.iter().product::<usize>()).sum();
    assert!(values <= 4 * data.len());
}

/// Reads a pickle as the one of an archive, whose checksum would hide it from changes.
pub(crate) fn pickle(data: &[u8]) {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("a/data.pkl", data), ("a/data/0", &[0; 64])] {
        let written = writer.start_file(name, options).is_ok() && writer.write_all(bytes).is_ok();
        assert!(written);
    }
    let archive = writer.finish().map(Cursor::into_inner).unwrap_or_default();
    checkpoint(&archive);
}
