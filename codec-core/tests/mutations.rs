//! The fuzz targets on stable Rust: seeds, every truncation and flipped bit of each, and random mutations for as long as
//! `SISKIN_FUZZ_SECONDS` says (2 s a target).
#![allow(clippy::panic, clippy::print_stdout, reason = "a test that tells what it did")]

#[path = "../../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use siskin_core::bitstream::packet::{self, PacketInfo};
use siskin_core::bitstream::rtp::{self, PayloadInfo};
use siskin_core::bitstream::{BundleId, Frames, StreamHeader};
use siskin_core::bundle::Bundle;
use siskin_core::container::{Mode, Track, Writer, WriterOptions};
use siskin_core::entropy::Coder;
use siskin_core::tokens::{FileFormat, TokenFile, TokenMeta};
use targets::{TARGETS, Target};

/// Seeds of more bytes are not cut and flipped at every place.
const SMALL: usize = 4096;
/// What a mutated seed may grow to.
const MAX_BYTES: usize = 16_384;

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(kind).join(target)
}

/// The files of a folder, in the order of their names.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let mut paths: Vec<PathBuf> = entries.filter(|p| p.is_file()).collect();
    paths.sort();
    paths.into_iter().map(|p| (p.clone(), fs::read(p).expect("a seed"))).collect()
}

/// Runs a target; bytes on which it fails are kept.
fn run((name, target): Target, data: &[u8]) {
    let begun = Instant::now();
    let fine = catch_unwind(|| target(data)).is_ok();
    let quick = begun.elapsed() < Duration::from_secs(5);
    if !fine || !quick {
        let path = std::env::temp_dir().join(format!("siskin-{name}-{}.bin", data.len()));
        fs::write(&path, data).expect("a file");
        panic!("{name} fails or hangs on {}; put it into fuzz/regressions/{name}", path.display());
    }
}

/// Small numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below.max(1)
    }

    /// Changes some bytes, and copies, moves and removes parts.
    fn mutate(&mut self, data: &mut Vec<u8>, other: &[u8]) {
        const STRIKING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x1f, 0x40, 0xfe];
        for _ in 0..=self.roll(6) {
            let at = self.roll(data.len() + 1);
            let length = self.roll(16.min(data.len() - at + 1));
            match self.roll(7) {
                0 | 1 if at < data.len() => data[at] ^= 1 << self.roll(8),
                2 if at < data.len() => data[at] = STRIKING[self.roll(STRIKING.len())],
                3 => drop(data.splice(at..at, [STRIKING[self.roll(STRIKING.len())]])),
                4 => drop(data.drain(at..at + length)),
                5 => {
                    let part = data[at..at + length].to_vec();
                    let to = self.roll(data.len() + 1);
                    data.splice(to..to, part);
                }
                6 => {
                    let from = self.roll(other.len() + 1);
                    let end = (from + self.roll(64)).min(other.len());
                    data.splice(at..at + length, other[from..end].iter().copied());
                }
                _ => {}
            }
        }
        data.truncate(MAX_BYTES);
    }
}

fn fuzz(target: Target) {
    let (name, _) = target;
    files(&folder("regressions", name)).iter().for_each(|(_, data)| run(target, data));
    let seeds: Vec<Vec<u8>> = files(&folder("corpus", name)).into_iter().map(|(_, data)| data).collect();
    assert!(!seeds.is_empty(), "no seeds for {name}");
    let mut exhaustive = 0u64;
    for seed in seeds.iter().filter(|s| s.len() <= SMALL) {
        for cut in 0..=seed.len() {
            run(target, &seed[..cut]);
        }
        let mut data = seed.clone();
        for bit in 0..seed.len() * 8 {
            data[bit / 8] ^= 1 << (bit % 8);
            run(target, &data);
            data[bit / 8] ^= 1 << (bit % 8);
        }
        exhaustive += seed.len() as u64 * 9 + 1;
    }
    let seconds = std::env::var("SISKIN_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2.0);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let (mut dice, mut runs, mut data) = (Dice(1), 0u64, Vec::new());
    while Instant::now() < end {
        let (seed, other) = (dice.roll(seeds.len()), dice.roll(seeds.len()));
        data.clone_from(&seeds[seed]);
        dice.mutate(&mut data, &seeds[other]);
        run(target, &data);
        runs += 1;
    }
    println!("{name}: {exhaustive} truncations and flipped bits, {runs} mutations in {seconds} s");
}

#[test]
fn containers() {
    fuzz(TARGETS[0]);
    fuzz(TARGETS[1]);
}

#[test]
fn packets_and_payloads() {
    fuzz(TARGETS[2]);
    fuzz(TARGETS[3]);
    fuzz(TARGETS[4]);
}

#[test]
fn manifests() {
    fuzz(TARGETS[5]);
}

#[test]
fn codes() {
    fuzz(TARGETS[6]);
}

#[test]
fn video() {
    fuzz(TARGETS[7]);
}

#[test]
fn token_files() {
    fuzz(TARGETS[8]);
}

#[test]
fn checkpoints() {
    fuzz(TARGETS[9]);
    fuzz(TARGETS[10]);
}

#[test]
fn features() {
    fuzz(TARGETS[11]);
}

#[test]
#[ignore = "writes the seeds anew, after a change of a format"]
fn write_seeds() {
    let header = StreamHeader {
        bundle: BundleId([1; 8]),
        bundle_name: "speech".into(),
        sample_rate: 24_000,
        channels: 1,
        hop: 480,
        groups: 2,
        stages: 9,
        code_bits: 10,
        pre_skip: 240,
    };
    let keep = |target: &str, name: &str, data: &[u8]| {
        let folder = folder("corpus", target);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name), data).expect("a file");
    };
    keep("stream_header", "long", &header.to_bytes());
    let mut short = Vec::new();
    header.write_to(true, &mut short);
    keep("stream_header", "short", &short);
    let mut packets = Vec::new();
    for (name, starts_stream, end_trim, frames, stages) in
        [("first", true, 0, 2, 3), ("plain", false, 0, 5, 9), ("last", false, 100, 1, 1)]
    {
        let info = PacketInfo { starts_stream, end_trim, frames, stages, overlap: 0 };
        let codes: Vec<u16> = (0..frames as u16 * 18).map(|i| i * 37 % 1024).collect();
        let mut data = Vec::new();
        packet::write_packet(&header, &info, starts_stream, &codes, &mut data).expect("a packet");
        keep("packet", name, &data);
        packets.push((info.sample_count(&header), data));
    }
    let earlier: Vec<Vec<u16>> = (0..2).map(|i| vec![i * 100; 6]).collect();
    let copies: Vec<&[u16]> = earlier.iter().map(Vec::as_slice).collect();
    for (name, starts_stream, frames, redundancy) in
        [("first", true, 1, vec![]), ("copies", false, 2, vec![3, 2]), ("many", false, 16, vec![])]
    {
        let info = PayloadInfo { starts_stream, frames, stages: 4, redundancy };
        let codes: Vec<u16> = (0..u16::from(frames) * 8).map(|i| i * 41 % 1024).collect();
        let mut data = Vec::new();
        rtp::write_payload(&header, &info, starts_stream, &codes, &copies, &mut data).expect("a payload");
        keep("rtp_payload", name, &data);
    }
    for mode in [Mode::File, Mode::Live] {
        let tags = vec![("TITLE".into(), "a title".into())];
        let options = WriterOptions { mode, writing_app: "test".into(), tags };
        let mut writer = Writer::new(vec![Track::audio(&header)], options).expect("a track");
        let (mut out, mut position) = (Vec::new(), 0);
        writer.write_header(&mut out).expect("a header");
        for (samples, data) in packets.iter().chain(&packets[1..]) {
            let ns = |samples: u64| samples * 1_000_000_000 / 24_000;
            writer.write_block(0, ns(position), ns(*samples), true, data, &mut out).expect("a block");
            position += samples;
        }
        for patch in writer.finish(&mut out).expect("an end") {
            patch.apply(&mut out).expect("within the file");
        }
        for target in ["container", "repair"] {
            keep(target, if mode == Mode::File { "file" } else { "live" }, &out);
        }
    }
    let bundle = Bundle::find("speech-24k").expect("the shipped bundle");
    let mut coder =
        Coder::new(siskin_core::audio::load_entropy_tables(&bundle).expect("tables").expect("tables"));
    for (name, stages) in [("even", [2u8; 4]), ("uneven", [1, 3, 2, 9])] {
        let mut frames = Frames::new(2);
        for count in stages {
            let codes: Vec<u16> = (0..u16::from(count) * 2).map(|i| i * 37 % 1024).collect();
            frames.push_frame(&codes);
        }
        let info = PacketInfo { starts_stream: true, end_trim: 0, frames: 4, stages: 1, overlap: 0 };
        let mut data = Vec::new();
        packet::write_frames(&header, &info, true, &frames, Some(&mut coder), &mut data).expect("a packet");
        keep("codes", name, &data);
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/golden/video-packet.hex");
    let golden = fs::read_to_string(golden).expect("the golden packet");
    let mut video = hex::decode(golden.lines().next().expect("a packet")).expect("hexadecimal digits");
    video.truncate(video.len() - 4);
    keep("video", "golden", &video);
    let tokens = TokenFile::from_frames(2, &[1, 2, 3, 4, 5, 6], TokenMeta::from_stream_header(&header, 1024));
    for format in FileFormat::ALL {
        let data = tokens.as_ref().expect("whole frames").to_bytes(format).expect("a file");
        keep("tokens", format.name(), &data);
    }
    let text = fs::read(bundle.path().join("manifest.json")).expect("a manifest");
    let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let mut small = value.clone();
    for key in ["training", "figures"] {
        small.as_object_mut().expect("an object").remove(key);
    }
    for network in ["encoder", "decoder"] {
        small[network]["states"].as_array_mut().expect("a list").truncate(1);
    }
    // A dictionary with a 2 x 2 tensor, as `torch.save` writes it.
    let pickle = b"\x80\x02}q\x00(X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\x00\x00\x00storageq\x03\
        ctorch\nFloatStorage\nq\x04X\x01\x00\x00\x000q\x05X\x03\x00\x00\x00cpuq\x06K\x04tq\x07QK\x00K\x02K\x02\x86q\x08K\x02K\x01\
        \x86q\x09\x89ccollections\nOrderedDict\nq\x0a)Rq\x0btq\x0cRq\x0dX\x01\x00\x00\x00nJ\x80\x3e\x00\x00X\x01\x00\x00\x00l]q\x0e(\
        NK\x01G\x3f\xf0\x00\x00\x00\x00\x00\x00eu.";
    keep("pickle", "dictionary", pickle);
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("a/data.pkl", &pickle[..]), ("a/byteorder", b"little"), ("a/data/0", &[1; 16])] {
        archive.start_file(name, stored).expect("a file of the archive");
        std::io::Write::write_all(&mut archive, bytes).expect("its bytes");
    }
    keep("checkpoint", "torch", &archive.finish().expect("an archive").into_inner());
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F16, vec![2, 2], &[1; 8]).expect("a tensor");
    keep("checkpoint", "safetensors", &safetensors::serialize([("w", view)], None).expect("a file"));
    keep("manifest", "small.json", serde_json::to_string(&small).expect("JSON").as_bytes());
}
