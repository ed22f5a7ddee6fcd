//! A long stream through a file and through RTP, faster than real time: every sample comes out, and memory stays flat.
//!
//! `SISKIN_SOAK_SECONDS=3600 cargo test --release -p gst-plugin-siskin --test soak -- --nocapture` is the hour.
#![allow(clippy::print_stdout, reason = "a test that tells what it measured")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use common::*;
use gst::prelude::*;

/// Samples of one buffer of the source.
const PIECE: usize = 4800;
/// What memory may grow by from a fifth of the way to the end, in bytes: caches that fill, not one stream's data.
const GROWTH: u64 = 8 << 20;

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    text.split(' ').nth(1).and_then(|p| p.parse::<u64>().ok()).expect("a number") * 4096
}

/// Counts what arrives at a fake sink: samples by durations and by bytes.
fn count(pipeline: &gst::Pipeline, sink: &str) -> Arc<(AtomicU64, AtomicU64)> {
    let counts = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let counter = counts.clone();
    pipeline.by_name(sink).expect("a sink").connect("handoff", false, move |values| {
        let buffer = values[1].get::<gst::Buffer>().expect("a buffer");
        let end = buffer.pts().zip(buffer.duration()).map_or(0, |(p, d)| (p + d).nseconds());
        let samples = (u128::from(end) * u128::from(RATE) + 500_000_000) / 1_000_000_000;
        counter.0.fetch_max(samples as u64, Ordering::Relaxed);
        counter.1.fetch_add(buffer.size() as u64, Ordering::Relaxed);
        None
    });
    counts
}

fn wait(pipeline: &gst::Pipeline) {
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().expect("a bus").timed_pop_filtered(gst::ClockTime::NONE, &kinds);
    let message = message.expect("an end");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).expect("stopped");
}

fn launch(description: &str) -> gst::Pipeline {
    init();
    gst::parse::launch(description).expect("a pipeline").downcast().expect("a pipeline")
}

#[test]
fn a_long_stream_keeps_its_length_and_memory() {
    let seconds: u64 = std::env::var("SISKIN_SOAK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(30);
    let samples = seconds * RATE + 777;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("long.mka");
    let begun = Instant::now();
    let writer = launch(&format!(
        "appsrc name=src format=time block=true max-bytes=200000 caps={RAW} ! siskinaudioenc frames-per-packet=50 ! tee name=t \
         t. ! queue ! siskinmux ! filesink location={} \
         t. ! queue ! rtpsiskinaudiopay frames=1 redundancy=1 ! rtpjitterbuffer do-lost=true latency=200 \
         ! rtpsiskinaudiodepay name=depay ! siskinaudiodec ! fakesink name=heard signal-handoffs=true sync=false",
        path.display()
    ));
    let heard = count(&writer, "heard");
    writer.set_state(gst::State::Playing).expect("playing");
    let source = writer.by_name("src").expect("a source");
    let pattern = voice(10 * RATE as usize);
    let (mut position, mut early) = (0, 0);
    while position < samples {
        let from = (position % pattern.len() as u64) as usize;
        let length = PIECE.min(pattern.len() - from).min((samples - position) as usize);
        let buffer = raw_buffer(&pattern[from..from + length], position);
        let pushed = source.emit_by_name::<gst::FlowReturn>("push-buffer", &[&buffer]);
        assert_eq!(pushed, gst::FlowReturn::Ok);
        position += length as u64;
        if early == 0 && position >= samples / 5 {
            early = resident();
        }
    }
    assert_eq!(source.emit_by_name::<gst::FlowReturn>("end-of-stream", &[]), gst::FlowReturn::Ok);
    wait(&writer);
    let late = resident();
    let stats = writer.by_name("depay").expect("an element").property::<gst::Structure>("siskin-stats");
    let decoded = heard.1.load(Ordering::Relaxed) / 4;
    // RTP does not say where the padding of the last frame begins.
    assert!((samples..samples + 480).contains(&decoded), "{decoded} samples over RTP, {samples} went in");
    assert_eq!(stats.get("lost-frames"), Ok(0u64));

    let reader = launch(&format!(
        "filesrc location={} ! matroskademux ! siskinaudioparse ! fakesink name=read signal-handoffs=true sync=false",
        path.display()
    ));
    let read = count(&reader, "read");
    reader.set_state(gst::State::Playing).expect("playing");
    wait(&reader);
    assert_eq!(read.0.load(Ordering::Relaxed), samples, "samples in the file");
    println!(
        "{seconds} s of audio in {:.0} s: {decoded} samples over RTP and {samples} in a file of {} bytes; {:.1} MB at a \
         fifth, {:.1} MB at the end",
        begun.elapsed().as_secs_f64(),
        std::fs::metadata(&path).expect("a file").len(),
        early as f64 / 1e6,
        late as f64 / 1e6
    );
    assert!(late < early + GROWTH, "memory grew from {early} to {late} bytes");
}
