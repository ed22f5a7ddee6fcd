//! What the element tests share: a signal, the core's own encoder and decoder to compare with, and pipelines run to
//! their end. All of it needs the bundle `speech-24k` and fails without it.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program is a crate of its own and uses its own part"
)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use gst::prelude::*;
use siskin_core::audio::{Decoder, EncodedPacket, Encoder, EncoderConfig};
use siskin_core::bitstream::{BundleId, StreamHeader};
use siskin_core::bundle::Bundle;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};

pub const RATE: u64 = 24_000;
pub const RAW: &str = "audio/x-raw,format=F32LE,rate=24000,channels=1,layout=interleaved";
pub const UNKNOWN: &str = "audio/x-unknown,codec-id=(string)A_SISKIN";
const TIMEOUT: Duration = Duration::from_secs(60);

pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().expect("GStreamer");
        gstsiskin::plugin_register_static().expect("the plugin");
    });
}

pub fn bundle() -> Bundle {
    Bundle::find("speech-24k").expect("the bundle speech-24k")
}

pub fn header() -> StreamHeader {
    bundle().stream_header()
}

/// Caps of the coded stream of a header.
pub fn stream_caps(header: &StreamHeader) -> gst::Caps {
    init();
    let bytes = gst::Buffer::from_slice(header.to_bytes());
    gst::Caps::builder("audio/x-siskin")
        .field("rate", header.sample_rate as i32)
        .field("channels", i32::from(header.channels))
        .field("parsed", true)
        .field("streamheader", gst::Array::new([bytes]))
        .build()
}

fn runtime() -> Runtime {
    Runtime::load(&RuntimeOptions { provider: Provider::Cpu, ..Default::default() }).expect("ONNX Runtime")
}

/// The header of a bundle that nobody has.
pub fn stranger() -> StreamHeader {
    StreamHeader { bundle: BundleId([0xab; 8]), bundle_name: "whale-song".into(), ..header() }
}

/// A voice-like signal: harmonics of a gliding pitch with a syllable rhythm.
pub fn voice(samples: usize) -> Vec<f32> {
    let mut phase = 0.0f32;
    (0..samples)
        .map(|i| {
            let t = i as f32 / RATE as f32;
            phase += (140.0 + 30.0 * (t * 2.0).sin()) / RATE as f32;
            let tone: f32 =
                (1..12).map(|h| (phase * h as f32 * std::f32::consts::TAU).sin() / h as f32).sum();
            tone * 0.15 * (1.0 + (t * 4.0 * std::f32::consts::TAU).sin())
        })
        .collect()
}

/// Small numbers that look random and are the same each time.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Coded {
    pub data: Vec<u8>,
    pub position: u64,
    pub samples: u64,
}

pub fn time(samples: u64) -> gst::ClockTime {
    gst::ClockTime::SECOND.mul_div_round(samples, RATE).expect("a short time")
}

impl Coded {
    pub fn buffer(&self) -> gst::Buffer {
        init();
        let mut buffer = gst::Buffer::from_slice(self.data.clone());
        let edit = buffer.make_mut();
        edit.set_pts(time(self.position));
        edit.set_duration(time(self.position + self.samples) - time(self.position));
        buffer
    }
}

/// What the core's encoder makes of samples.
pub fn encode(pcm: &[f32], frames_per_packet: u32, stages: Option<u8>) -> Vec<Coded> {
    encode_with(pcm, &EncoderConfig { stages, frames_per_packet, ..Default::default() })
}

/// What the core's encoder makes of samples with any settings.
pub fn encode_with(pcm: &[f32], config: &EncoderConfig) -> Vec<Coded> {
    let mut encoder = Encoder::new(&bundle(), &runtime(), config).expect("an encoder");
    let mut out = Vec::new();
    let mut keep = |p: EncodedPacket<'_>| -> siskin_core::Result<()> {
        out.push(Coded { data: p.data.to_vec(), position: p.position, samples: p.samples });
        Ok(())
    };
    encoder.push_samples(pcm, &mut keep).expect("encoding");
    encoder.finish_stream(&mut keep).expect("encoding");
    out
}

pub fn decoder() -> Decoder {
    let mut decoder = Decoder::new(&bundle(), &runtime()).expect("a decoder");
    decoder.set_header(&header()).expect("its own header");
    decoder
}

/// What the core's decoder makes of packets.
pub fn decode<'a>(packets: impl IntoIterator<Item = &'a [u8]>) -> Vec<f32> {
    let (mut decoder, mut pcm) = (decoder(), Vec::new());
    for packet in packets {
        decoder.decode(packet, &mut pcm).expect("a packet of ours");
    }
    pcm
}

pub fn decode_coded(packets: &[Coded]) -> Vec<f32> {
    decode(packets.iter().map(|p| p.data.as_slice()))
}

/// A buffer of samples that begins at sample `position`.
pub fn raw_buffer(pcm: &[f32], position: u64) -> gst::Buffer {
    init();
    let bytes: Vec<u8> = pcm.iter().flat_map(|s| s.to_ne_bytes()).collect();
    let mut buffer = gst::Buffer::from_slice(bytes);
    let edit = buffer.make_mut();
    edit.set_pts(time(position));
    edit.set_duration(time(position + pcm.len() as u64) - time(position));
    buffer
}

pub fn samples_of(buffer: &gst::BufferRef) -> Vec<f32> {
    let map = buffer.map_readable().expect("a readable buffer");
    map.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect()
}

pub fn bytes_of(buffer: &gst::BufferRef) -> Vec<u8> {
    buffer.map_readable().expect("a readable buffer").to_vec()
}

/// A playing harness around one element, described as for `gst-launch-1.0`.
pub fn harness(element: &str, caps: &str) -> gst_check::Harness {
    init();
    let element = gst::parse::launch(element).expect("an element");
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str(caps);
    harness.play();
    harness
}

/// Pushes samples in buffers of random sizes, then the end.
pub fn push_in_pieces(harness: &mut gst_check::Harness, pcm: &[f32], dice: &mut Dice) {
    let mut position = 0;
    while position < pcm.len() {
        let size = (1 + dice.roll(3000) as usize).min(pcm.len() - position);
        harness.push(raw_buffer(&pcm[position..position + size], position as u64)).expect("a push");
        position += size;
    }
}

/// Equal to the bit; says where they part instead of printing them.
#[track_caller]
pub fn assert_same(pcm: &[f32], expected: &[f32]) {
    let parts = pcm.iter().zip(expected).position(|(a, b)| a.to_bits() != b.to_bits());
    assert_eq!((pcm.len(), parts), (expected.len(), None), "(samples, first that differs)");
}

/// Takes all that has come out.
pub fn pull_all(harness: &mut gst_check::Harness) -> Vec<gst::Buffer> {
    std::iter::from_fn(|| harness.try_pull()).collect()
}

/// Gives the harness's element a bus to post on.
pub fn bus_of(harness: &gst_check::Harness) -> gst::Bus {
    let bus = gst::Bus::new();
    harness.element().expect("an element").set_bus(Some(&bus));
    bus
}

pub fn warnings_on(bus: &gst::Bus) -> Vec<String> {
    std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning]))
        .filter_map(|m| match m.view() {
            gst::MessageView::Warning(w) => Some(w.error().to_string()),
            _ => None,
        })
        .collect()
}

/// What a pipeline said until its end.
#[derive(Debug, Default)]
pub struct Said {
    pub error: Option<String>,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

/// Plays until the end or the first error, then stops.
pub fn play(pipeline: &impl IsA<gst::Element>) -> Said {
    let said = play_on(pipeline);
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    said
}

/// Plays until the end or the first error.
pub fn play_on(pipeline: &impl IsA<gst::Element>) -> Said {
    let mut said = Said::default();
    let bus = pipeline.bus().expect("a pipeline has a bus");
    // A failure is on the bus too, with its reason.
    let started = pipeline.set_state(gst::State::Playing);
    let wait = if started.is_ok() { TIMEOUT } else { Duration::from_secs(1) };
    while let Some(message) = bus.timed_pop(gst::ClockTime::try_from(wait).ok()) {
        match message.view() {
            gst::MessageView::Eos(_) => return said,
            gst::MessageView::Error(e) => {
                said.error = Some(e.error().to_string());
                return said;
            }
            gst::MessageView::Warning(w) => said.warnings.push(w.error().to_string()),
            gst::MessageView::Info(i) => said.infos.push(i.error().to_string()),
            _ => (),
        }
    }
    said.error = Some("no end within a minute".into());
    said
}

/// Collects what an appsink gets: samples, and the time of the first.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    pub pcm: Vec<f32>,
    pub buffers: Vec<(Option<gst::ClockTime>, usize)>,
}

/// An appsink for samples as the decoder gives them, and what it has heard.
pub fn ear() -> (gst_app::AppSink, Arc<Mutex<Heard>>) {
    init();
    let heard = Arc::new(Mutex::new(Heard::default()));
    let sink = gst_app::AppSink::builder().caps(&RAW.parse::<gst::Caps>().expect("caps")).sync(false).build();
    let keep = heard.clone();
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if let (Some(buffer), Ok(mut heard)) = (sample.buffer(), keep.lock()) {
            let pcm = samples_of(buffer);
            heard.buffers.push((buffer.pts(), pcm.len()));
            heard.pcm.extend(pcm);
        }
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
    (sink, heard)
}

pub fn heard(ear: &Arc<Mutex<Heard>>) -> Heard {
    ear.lock().expect("nobody panics with it").clone()
}

/// Writes samples through `siskinaudioenc ! siskinmux` into a file.
pub fn write_file(pcm: &[f32], encoder: &str, muxer: &str) -> (tempfile::TempDir, PathBuf) {
    init();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mka");
    let text = format!("appsrc name=in caps={RAW} format=time ! {encoder} ! {muxer} ! filesink name=out");
    let pipeline = launch(&text);
    pipeline.by_name("out").expect("out").set_property("location", path.to_str().expect("a plain path"));
    let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().expect("in");
    // Nothing is taken before it plays, so nothing blocks here.
    source.set_max_bytes(0);
    for (n, piece) in pcm.chunks(1000).enumerate() {
        source.push_buffer(raw_buffer(piece, n as u64 * 1000)).expect("a push");
    }
    source.end_of_stream().expect("an end");
    let said = play(&pipeline);
    assert_eq!(said.error, None);
    (folder, path)
}

pub fn launch(text: &str) -> gst::Pipeline {
    init();
    gst::parse::launch(text).expect("a pipeline").downcast::<gst::Pipeline>().expect("a pipeline")
}

pub fn uri(path: &Path) -> String {
    gst::glib::filename_to_uri(path, None).expect("an absolute path").to_string()
}

/// A picture that a shown sink got.
#[derive(Debug, Clone)]
pub struct Seen {
    pub caps: gst::Caps,
    pub pts: Option<gst::ClockTime>,
    pub duration: Option<gst::ClockTime>,
    pub data: Vec<u8>,
}

/// An appsink that takes pictures of these caps, and what it has seen.
pub fn eye(caps: &str) -> (gst_app::AppSink, Arc<Mutex<Vec<Seen>>>) {
    init();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink =
        gst_app::AppSink::builder().caps(&caps.parse::<gst::Caps>().expect("caps")).sync(false).build();
    let keep = seen.clone();
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if let (Some(buffer), Some(caps), Ok(mut seen)) = (sample.buffer(), sample.caps_owned(), keep.lock())
        {
            seen.push(Seen { caps, pts: buffer.pts(), duration: buffer.duration(), data: bytes_of(buffer) });
        }
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
    (sink, seen)
}

pub fn seen(eye: &Mutex<Vec<Seen>>) -> Vec<Seen> {
    eye.lock().expect("nobody panics with it").clone()
}

/// Pictures that an appsink of RGB sees at the end of a pipeline whose last element is called `last`.
pub fn watch(text: &str, caps: &str) -> (Said, Vec<Seen>) {
    let (sink, eye) = eye(caps);
    let pipeline = launch(text);
    pipeline.add(&sink).expect("a new element");
    pipeline.by_name("last").expect("last").link(&sink).expect("a link");
    (play(&pipeline), seen(&eye))
}

/// Writes a test picture's video through an encoder into a file.
pub fn write_video(raw: &str, frames: u32, encoder: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mkv");
    let pipeline = launch(&format!(
        "videotestsrc num-buffers={frames} pattern=colors ! {raw} ! {encoder} ! siskinmux ! filesink name=out"
    ));
    pipeline.by_name("out").expect("out").set_property("location", path.to_str().expect("a plain path"));
    assert_eq!(play(&pipeline).error, None);
    (folder, path)
}

/// Plays a file with nothing named.
pub fn video_player(path: &Path) -> (gst::Element, Arc<Mutex<Vec<Seen>>>) {
    let (sink, eye) = eye("video/x-raw,format=RGB");
    let player = gst::ElementFactory::make("playbin")
        .property("uri", uri(path))
        .property("video-sink", &sink)
        .property("audio-sink", gst::ElementFactory::make("fakesink").build().expect("a sink"))
        .build()
        .expect("playbin");
    (player, eye)
}

pub fn settle(player: &gst::Element) {
    let (result, state, _) = player.state(gst::ClockTime::from_seconds(60));
    assert!(result.is_ok() && state == gst::State::Paused, "{result:?} {state:?}");
}
