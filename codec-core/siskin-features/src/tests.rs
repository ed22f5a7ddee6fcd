//! The crate on toy networks of a few lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sha2::{Digest, Sha256};
use siskin_media::{PixelFormat, Size, VideoFrame};
use siskin_model::bundle::FeatureBundle;
use siskin_model::runtime::{
    Backend, GraphSpec, HashedGraph, Provider, Runtime, RuntimeOptions, StepNetwork, TensorNetwork,
    TensorSpec, WholeNetwork,
};

use crate::latents::{Latents, read_latents, write_latents};
use crate::tables::{Contexts, FeatureTables};
use crate::{Decoder, DecoderOptions, Encoder, Error, Limits, MAX_LATENT, Result};

const CHANNELS: usize = 3;
const LEVELS: usize = 2;

/// Tables of three channels and two levels, the second of which rounds four times as coarsely.
fn tables_file() -> Vec<u8> {
    let gains: Vec<u8> = [8.0f32, 8.0, 8.0, 2.0, 2.0, 2.0].iter().flat_map(|g| g.to_le_bytes()).collect();
    let count = Contexts::count(CHANNELS);
    // Any probabilities will do, as long as both sides have the same.
    let contexts: Vec<u8> =
        (0..LEVELS * count).flat_map(|i| (4000 + (i * 7919 % 50_000) as u16).to_le_bytes()).collect();
    let view = |dtype, shape, data| TensorView::new(dtype, shape, data).expect("a tensor");
    let tensors = [
        ("gains", view(Dtype::F32, vec![LEVELS, CHANNELS], &gains)),
        ("contexts", view(Dtype::U16, vec![LEVELS, count], &contexts)),
    ];
    safetensors::serialize(tensors, None).expect("a file")
}

fn tables() -> FeatureTables {
    FeatureTables::parse(&tables_file(), LEVELS as u8, CHANNELS as u16).expect("tables")
}

fn bundle() -> FeatureBundle {
    let files: BTreeMap<String, Vec<u8>> = [
        ("device.onnx".to_owned(), b"device".to_vec()),
        ("text.onnx".to_owned(), b"text".to_vec()),
        ("red.onnx".to_owned(), b"red".to_vec()),
        ("tables.safetensors".to_owned(), tables_file()),
    ]
    .into();
    let hashes: BTreeMap<_, _> =
        files.iter().map(|(name, data)| (name, hex::encode(Sha256::digest(data)))).collect();
    let manifest = serde_json::json!({
        "format": 1, "kind": "feature", "name": "toy", "version": "1", "licence": "MIT", "levels": LEVELS,
        "default_level": 0, "channels": CHANNELS, "stride": 16, "align": 32, "device": "device.onnx",
        "tables": "tables.safetensors",
        "heads": [
            {"name": "text", "file": "text.onnx", "map_stride": 4, "result": "boxes", "threshold": 0.3},
            {"name": "red", "file": "red.onnx", "map_stride": 16, "result": "property", "threshold": 0.5},
        ],
        "files": hashes,
    });
    FeatureBundle::from_memory(manifest.to_string().as_bytes(), files).expect("a bundle")
}

type Work = Box<dyn Fn(&[f32], &mut [f32]) + Send>;

/// A network that computes its one output from its one input.
struct Toy {
    input: Vec<f32>,
    output: Vec<f32>,
    work: Work,
}

impl TensorNetwork for Toy {
    fn input(&mut self, _: usize) -> &mut [f32] {
        &mut self.input
    }

    fn output(&self, _: usize) -> &[f32] {
        &self.output
    }

    fn state(&mut self, _: usize) -> &mut [f32] {
        &mut []
    }

    fn run(&mut self) -> Result<()> {
        (self.work)(&self.input, &mut self.output);
        Ok(())
    }

    fn provider(&self) -> Provider {
        Provider::Cpu
    }
}

/// The networks of the toy bundle: latents are how bright and how red each block is, "text" is what is bright.
struct ToyBackend;

impl Backend for ToyBackend {
    fn info(&self) -> String {
        "toy".into()
    }

    fn open_step(
        &self,
        _: &RuntimeOptions,
        _: &GraphSpec,
        _: &HashedGraph<'_>,
        _: usize,
    ) -> Result<Box<dyn StepNetwork>> {
        unreachable!("no network of features has states")
    }

    fn open_whole(
        &self,
        _: &RuntimeOptions,
        _: &str,
        _: &HashedGraph<'_>,
        _: bool,
    ) -> Result<Box<dyn WholeNetwork>> {
        unreachable!("networks of features are opened for a size")
    }

    fn open_tensor(
        &self,
        _: &RuntimeOptions,
        _: &TensorSpec<'_>,
        sizes: &[(&str, usize)],
        graph: &[u8],
    ) -> Result<Box<dyn TensorNetwork>> {
        let size = |name: &str| sizes.iter().find(|s| s.0 == name).expect("a size").1;
        let (rows, columns) = (size("rows"), size("columns"));
        let (input, output, work): (_, _, Work) = match graph {
            b"device" => {
                let (r, c) = (size("latent_rows"), size("latent_columns"));
                let work = move |x: &[f32], y: &mut [f32]| {
                    for (i, y) in y.iter_mut().enumerate() {
                        // Of the middle of each block: the first sample of Y, then U and V.
                        let (channel, row, column) = (i / (r * c), i / c % r, i % c);
                        let plane = [0, 4, 5][channel] * rows * columns;
                        *y = x[plane + (row * 8 + 4) * columns + column * 8 + 4] / 16.0 - 8.0;
                    }
                };
                (6 * rows * columns, CHANNELS * r * c, Box::new(work))
            }
            _ => {
                let (r, c) = (size("map_rows"), size("map_columns"));
                let (scale, channel) = (r / rows, if graph == b"red" { 2 } else { 0 });
                let work = move |x: &[f32], y: &mut [f32]| {
                    for (i, y) in y.iter_mut().enumerate() {
                        let (row, column) = (i / c / scale, i % c / scale);
                        *y = (x[(channel * rows + row) * columns + column] / 8.0).clamp(0.0, 1.0);
                    }
                };
                (CHANNELS * rows * columns, r * c, Box::new(work))
            }
        };
        Ok(Box::new(Toy { input: vec![0.0; input], output: vec![0.0; output], work }))
    }
}

fn runtime() -> Runtime {
    Runtime::with_backend(Arc::new(ToyBackend), &RuntimeOptions::default()).expect("a runtime")
}

/// A dark frame with a bright, red bar from (32, 16) to (95, 31).
fn frame(width: u32, height: u32) -> VideoFrame {
    let mut frame = VideoFrame::new(PixelFormat::I420, Size::new(width, height).expect("a size"));
    for (index, mut plane) in frame.planes_mut().enumerate() {
        let shift = usize::from(index > 0);
        for (y, row) in plane.rows_mut().enumerate() {
            for (x, v) in row.iter_mut().enumerate() {
                let is_bar = (32..96).contains(&(x << shift)) && (16..32).contains(&(y << shift));
                *v = match (index, is_bar) {
                    (0, true) => 240,
                    (0, false) => 30,
                    (2, true) => 250,
                    _ => 128,
                };
            }
        }
    }
    frame
}

fn encode(level: u8) -> Vec<u8> {
    let mut encoder = Encoder::new(&bundle(), &runtime()).expect("an encoder");
    encoder.set_level(level).expect("a level");
    encoder.encode(&frame(150, 70).view()).expect("a packet").to_vec()
}

fn decoder() -> Decoder {
    Decoder::new(&bundle(), &runtime(), &DecoderOptions::default()).expect("a decoder")
}

#[test]
fn a_bar_is_found_where_it_is_with_its_property() {
    let mut decoder = decoder();
    let packet = encode(0);
    let decoded = decoder.decode(&packet).expect("a frame");
    assert_eq!((decoded.head.size.width(), decoded.head.size.height(), decoded.head.level), (150, 70, 0));
    let names: Vec<_> = decoded.maps().map(|(name, map)| (name.to_owned(), map.columns, map.rows)).collect();
    // Padded to 160 by 96 pixels.
    assert_eq!(names, [("text".to_owned(), 40, 24), ("red".to_owned(), 10, 6)]);
    let found = decoded.objects();
    assert_eq!(found.len(), 1, "{found:?}");
    // 64 by 16 pixels, which grow by 1024 / 160 * 1.6 on each side.
    let (x, y) = (32.0 - 10.24, 16.0 - 10.24);
    let corner = found[0].corners[0];
    assert!((corner[0] - x).abs() < 0.1 && (corner[1] - y).abs() < 0.1, "{corner:?}");
    // The latents of the bar are (250 / 16 - 8) * 8 steps, and the head's map an eighth of their value.
    assert!((found[0].properties["red"] - 7.625 / 8.0).abs() < 1e-3, "{:?}", found[0].properties);
}

#[test]
fn packets_do_not_depend_on_each_other() {
    let packets = [encode(0), encode(1)];
    let mut decoder = decoder();
    let mut seen = Vec::new();
    // Lost, repeated, in another order: each one gives what it gives alone.
    for index in [1, 0, 0, 1] {
        let (head, latents) = decoder.decode_latents(&packets[index]).expect("a packet");
        seen.push((index, head, latents.to_vec()));
    }
    assert_eq!((&seen[0], &seen[1]), (&seen[3], &seen[2]));
    assert_ne!(seen[0].2, seen[1].2);
    let mut encoder = Encoder::new(&bundle(), &runtime()).expect("an encoder");
    for level in [1, 0, 1] {
        encoder.set_level(level).expect("a level");
        let packet = encoder.encode(&frame(150, 70).view()).expect("a packet");
        assert_eq!(packet, packets[usize::from(level)]);
    }
}

#[test]
fn bytes_are_the_same_everywhere() {
    let golden = include_str!("../../../testdata/golden/features.hex");
    let made: Vec<String> = [0, 1].map(|level| hex::encode(encode(level))).into();
    assert_eq!(made, golden.lines().collect::<Vec<_>>());
}

#[test]
fn damaged_packets_are_typed_errors() {
    let packet = encode(0);
    let mut decoder = decoder();
    let (mut flips, mut noticed) = (0, 0);
    for byte in 0..packet.len() {
        for bit in 0..8 {
            let mut damaged = packet.clone();
            damaged[byte] ^= 1 << bit;
            flips += 1;
            if let Err(error) = decoder.decode_latents(&damaged) {
                noticed += 1;
                let is_typed = matches!(error, Error::Bitstream { .. } | Error::WrongBundle { .. });
                assert!(is_typed, "byte {byte}: {error}");
            }
        }
        let cut = decoder.decode_latents(&packet[..byte]);
        assert!(matches!(cut, Err(Error::Bitstream { .. })) || byte > packet.len() / 2, "cut at {byte}");
    }
    // A flip that leaves the number of decisions as it was goes unnoticed: a sign, or a size.
    assert!(noticed * 10 >= flips * 7, "{noticed} of {flips} flips noticed");
    let mut longer = packet.clone();
    longer.extend_from_slice(&[0; 8]);
    assert!(matches!(decoder.decode_latents(&longer), Err(Error::Bitstream { field: "length", .. })));
    // The decoder goes on.
    assert!(decoder.decode(&packet).is_ok());
}

#[test]
fn another_bundles_packet_is_told() {
    let mut packet = encode(0);
    packet[1] ^= 0xff;
    assert!(matches!(decoder().decode(&packet), Err(Error::WrongBundle { .. })));
}

#[test]
fn options_out_of_range_are_refused() {
    let mut encoder = Encoder::new(&bundle(), &runtime()).expect("an encoder");
    assert!(matches!(encoder.set_level(2), Err(Error::Parameter { name: "level", .. })));
    let options = DecoderOptions { heads: Some(vec!["blue".into()]), ..Default::default() };
    assert!(matches!(
        Decoder::new(&bundle(), &runtime(), &options),
        Err(Error::Parameter { name: "head", .. })
    ));
    let options = DecoderOptions { heads: Some(vec![]), ..Default::default() };
    let mut decoder = Decoder::new(&bundle(), &runtime(), &options).expect("the first head alone");
    assert_eq!(decoder.decode(&encode(0)).expect("a frame").maps().count(), 1);
    let mut limits = Limits::default();
    limits.max_video_pixels = 150 * 69;
    let options = DecoderOptions { limits, ..Default::default() };
    let mut decoder = Decoder::new(&bundle(), &runtime(), &options).expect("a decoder");
    assert!(matches!(decoder.decode(&encode(0)), Err(Error::Bitstream { field: "size", .. })));
}

#[test]
fn bad_tables_are_refused() {
    let file = tables_file();
    assert!(FeatureTables::parse(&file, 3, 3).is_err_and(|e| e.contains("the manifest says")));
    assert!(FeatureTables::parse(&file[..40], 2, 3).is_err());
    // The header of a safetensors file is its length in 8 bytes and JSON; the gains follow it, as the larger type.
    let start = 8 + u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
    let mut zero = file;
    zero[start..start + 4].fill(0);
    assert!(FeatureTables::parse(&zero, 2, 3).is_err_and(|e| e.contains("gain 0")));
}

proptest! {
    #[test]
    fn any_latents_come_back(
        values in proptest::collection::vec(prop_oneof![8 => Just(0i16), 3 => -2..=2i16, 1 => -MAX_LATENT..=MAX_LATENT], 5 * 4 * CHANNELS),
        level in 0..2u8,
    ) {
        let (tables, mut contexts) = (tables(), Contexts::default());
        let mut latents = Latents { columns: 5, rows: 4, channels: CHANNELS, values: values.clone() };
        let mut data = Vec::new();
        write_latents(&mut latents, &tables, level, &mut contexts, &mut data).expect("latents in range");
        prop_assert_eq!(&latents.values, &values);
        let mut read = Latents::default();
        read.reshape(5, 4, CHANNELS);
        read_latents(&data, &tables, level, &mut contexts, &mut read).expect("what was written");
        prop_assert_eq!(read.values, values);
    }

    #[test]
    fn any_bytes_decode_or_fail(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        decoder().decode_latents(&data).ok();
        // Behind a head that is right.
        let mut packet = encode(1)[..7].to_vec();
        packet.extend_from_slice(&data);
        if let Ok((head, latents)) = decoder().decode_latents(&packet) {
            prop_assert!(head.level < 2 && latents.iter().all(|v| v.abs() <= MAX_LATENT));
        }
    }
}
