//! `siskinmux` on its own and with file sinks.

mod common;

use std::fs::File;
use std::path::Path;

use common::*;
use gst::prelude::*;
use siskin_core::bitstream::packet::without_header;
use siskin_core::container::{Block, Reader};

fn blocks(path: &Path) -> (Reader<File>, Vec<Block>) {
    let mut reader = Reader::open(File::open(path).expect("the file")).expect("a Matroska file");
    let mut found = Vec::new();
    loop {
        let mut block = Block::default();
        if !reader.next_block(&mut block).expect("a block") {
            return (reader, found);
        }
        found.push(block);
    }
}

/// A packet as a file of less than ten seconds holds it: the header stands in the first only.
fn in_file(data: &[u8], position: u64) -> Vec<u8> {
    without_header(data).filter(|_| position > 0).unwrap_or_else(|| data.to_vec())
}

#[test]
fn a_file_holds_the_packets_with_their_times() {
    for (length, frames) in [(1, 1), (24_000, 1), (100_000, 50)] {
        let pcm = voice(length);
        let (_folder, path) =
            write_file(&pcm, &format!("siskinaudioenc frames-per-packet={frames}"), "siskinmux");
        let (reader, blocks) = blocks(&path);
        let tracks = reader.tracks();
        assert_eq!(tracks.len(), 1);
        assert_eq!((tracks[0].codec_id.as_str(), tracks[0].channels), ("A_SISKIN", 1));
        assert_eq!(tracks[0].codec_private, header().to_bytes());
        let expected = encode(&pcm, frames, None);
        assert_eq!(blocks.len(), expected.len());
        for (block, coded) in blocks.iter().zip(&expected) {
            assert_eq!(block.data, in_file(&coded.data, coded.position));
            let off = block.pts_ns.abs_diff(time(coded.position).nseconds());
            assert!(off <= 500_001, "{off} ns");
        }
        let duration = reader.duration_ns().expect("filled in at the end");
        assert!(duration.abs_diff(time(length as u64).nseconds()) <= 2, "{duration} ns");
    }
}

#[test]
fn a_streamable_file_holds_the_same_packets() {
    let pcm = voice(50_000);
    let (_a, file) = write_file(&pcm, "siskinaudioenc frames-per-packet=5", "siskinmux");
    let (_b, live) = write_file(&pcm, "siskinaudioenc frames-per-packet=5", "siskinmux streamable=true");
    let ((_, in_file), (reader, in_live)) = (blocks(&file), blocks(&live));
    let packets = |blocks: Vec<Block>| blocks.into_iter().map(|b| (b.pts_ns, b.data)).collect::<Vec<_>>();
    let in_live = packets(in_live);
    let stored = in_live.iter().map(|(pts, data)| (*pts, self::in_file(data, *pts * 24 / 1_000_000)));
    assert_eq!(packets(in_file), stored.collect::<Vec<_>>());
    assert_eq!(reader.duration_ns(), None);
}

#[test]
fn where_downstream_cannot_seek_it_says_so_and_streams() {
    let text = format!("audiotestsrc num-buffers=20 ! {RAW} ! siskinaudioenc ! siskinmux ! fakesink");
    let said = play(&launch(&text));
    assert_eq!(said.error, None);
    assert_eq!(said.infos, ["downstream cannot seek: writing a streamable file, without index and duration"]);
}

/// The muxer for a network, with one track.
fn live() -> gst_check::Harness {
    init();
    let mut harness = gst_check::Harness::with_padnames("siskinmux", Some("audio_%u"), Some("src"));
    harness.element().expect("an element").set_property("streamable", true);
    harness.set_src_caps(stream_caps(&header()));
    harness.play();
    harness
}

#[test]
fn live_caps_carry_the_head_for_late_clients() {
    let mut harness = live();
    let coded = encode(&voice(60_000), 1, None);
    for packet in &coded {
        harness.push(packet.buffer()).expect("a push");
    }
    harness.push_event(gst::event::Eos::new());
    let buffers: Vec<_> = std::iter::from_fn(|| harness.pull_until_eos().ok().flatten()).collect();
    assert!(buffers[0].flags().contains(gst::BufferFlags::HEADER));
    let caps = harness.sinkpad().and_then(|pad| pad.current_caps()).expect("caps");
    let list =
        caps.structure(0).and_then(|s| s.get::<gst::Array>("streamheader").ok()).expect("a head in caps");
    let stored = list.first().and_then(|v| v.get::<gst::Buffer>().ok()).expect("a buffer");
    assert_eq!(bytes_of(&stored), bytes_of(&buffers[0]));
    // Each packet is there at once, and a client that joins at a key finds a whole cluster behind the head.
    assert_eq!(buffers.len(), 1 + coded.len());
    let from =
        buffers.iter().rposition(|b| !b.flags().contains(gst::BufferFlags::DELTA_UNIT)).expect("a key");
    assert!(from > 1);
    let late: Vec<u8> = [&buffers[..1], &buffers[from..]].concat().iter().flat_map(|b| bytes_of(b)).collect();
    let mut reader = Reader::open(std::io::Cursor::new(late)).expect("a Matroska stream");
    let mut block = Block::default();
    assert!(reader.next_block(&mut block).expect("a block"));
    assert_eq!(block.data, coded[from - 1].data);
}

#[test]
fn a_gap_is_no_packet() {
    let mut harness = live();
    let coded = encode(&voice(5000), 1, None);
    for packet in &coded {
        harness.push(packet.buffer()).expect("a push");
        harness.push_event(gst::event::Gap::builder(time(packet.position)).duration(time(10)).build());
    }
    harness.push_event(gst::event::Eos::new());
    let buffers = std::iter::from_fn(|| harness.pull_until_eos().ok().flatten());
    assert_eq!(buffers.count(), 1 + coded.len());
}

#[test]
fn pads_are_named_after_their_kind() {
    init();
    let mux = gst::ElementFactory::make("siskinmux").build().expect("the muxer");
    let pads: Vec<_> = [None, None, Some("audio_7")]
        .into_iter()
        .map(|name| mux.request_pad_simple(name.unwrap_or("audio_%u")).expect("a pad").name())
        .collect();
    assert_eq!(pads, ["audio_0", "audio_1", "audio_7"]);
    mux.release_request_pad(&mux.static_pad("audio_0").expect("the first"));
    assert_eq!(mux.request_pad_simple("audio_%u").map(|p| p.name().to_string()).as_deref(), Some("audio_0"));
}

#[test]
fn two_tracks_are_interleaved() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mka");
    let pipeline = launch(&format!(
        "siskinmux name=mux ! filesink name=out \
         audiotestsrc num-buffers=50 freq=200 ! {RAW} ! siskinaudioenc frames-per-packet=5 ! queue ! mux.audio_0 \
         audiotestsrc num-buffers=50 freq=300 ! {RAW} ! siskinaudioenc frames-per-packet=5 ! queue ! mux.audio_1"
    ));
    pipeline.by_name("out").expect("out").set_property("location", path.to_str().expect("a plain path"));
    assert_eq!(play(&pipeline).error, None);
    let (reader, blocks) = blocks(&path);
    assert_eq!(reader.tracks().len(), 2);
    for number in [1, 2] {
        let packets = blocks.iter().filter(|b| b.track == number).map(|b| b.data.as_slice());
        assert_eq!(decode(packets).len(), 50 * 1024);
    }
    let latest = blocks.windows(2).all(|pair| pair[1].pts_ns + 1_000_000 >= pair[0].pts_ns);
    assert!(latest, "in the order of their times");
}

#[test]
fn tags_are_kept() {
    let (_folder, path) = write_file(
        &voice(1000),
        "taginject tags=\"title=Wind,artist=Someone\" ! siskinaudioenc",
        "siskinmux",
    );
    let (reader, _) = blocks(&path);
    for (name, value) in [("TITLE", "Wind"), ("ARTIST", "Someone")] {
        assert!(reader.tags().iter().any(|(n, v)| n == name && v == value), "{:?}", reader.tags());
    }
}

#[test]
fn a_stream_without_a_header_is_refused() {
    init();
    let text = "appsrc name=in format=time caps=\"audio/x-siskin,rate=24000,channels=1,parsed=true\" ! siskinmux ! \
                fakesink";
    let pipeline = launch(text);
    let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().expect("in");
    source.push_buffer(encode(&voice(480), 1, None)[0].buffer()).expect("a push");
    let error = play(&pipeline).error.expect("an error");
    assert!(error.contains("audio_0: no stream header in"), "{error}");
}

#[test]
fn what_is_set_on_an_encoder_is_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mkv");
    for (source, name) in [
        (format!("audiotestsrc num-buffers=10 ! {RAW} ! siskinaudioenc name=enc"), "sound"),
        (
            "videotestsrc num-buffers=5 ! video/x-raw,width=32,height=32 ! siskinvideoenc name=enc"
                .to_owned(),
            "picture",
        ),
    ] {
        let pipeline = launch(&format!("{source} ! siskinmux ! filesink name=out"));
        pipeline.by_name("out").expect("out").set_property("location", path.to_str().expect("a plain path"));
        let encoder = pipeline.by_name("enc").expect("enc");
        let setter = encoder.dynamic_cast_ref::<gst::TagSetter>().expect("a tag setter");
        setter.add_tag::<gst::tags::Comment>(&name, gst::TagMergeMode::Replace);
        assert_eq!(play(&pipeline).error, None);
        let (reader, _) = blocks(&path);
        assert!(reader.tags().iter().any(|(n, v)| n == "COMMENT" && v == name), "{:?}", reader.tags());
    }
}

#[test]
fn a_live_stream_that_pauses_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mkv");
    let pipeline = launch(&format!(
        "appsrc name=in format=time is-live=true caps={RAW} ! siskinaudioenc ! queue ! mux.audio_0 \
         videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=20/1 ! siskinvideoenc ! queue ! mux. \
         siskinmux name=mux latency=200000000 streamable=true ! filesink location={}",
        path.display()
    ));
    let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().expect("in");
    pipeline.set_state(gst::State::Playing).expect("playing");
    source.push_buffer(raw_buffer(&voice(12_000), 0)).expect("a push");
    // Then it says nothing more.
    std::thread::sleep(std::time::Duration::from_secs(4));
    pipeline.set_state(gst::State::Null).expect("stopped");
    let (reader, blocks) = blocks(&path);
    let number = |codec: &str| reader.tracks().iter().find(|t| t.codec_id == codec).map(|t| t.number);
    let count = |codec: &str| blocks.iter().filter(|b| Some(b.track) == number(codec)).count();
    assert!(count("A_SISKIN") > 0);
    // A second or more of the start goes to loading the network.
    assert!(count("V_SISKIN") > 25, "{} frames", count("V_SISKIN"));
}

#[test]
fn packets_without_a_time_follow_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mkv");
    let raw = "video/x-raw,format=I420,width=64,height=48,framerate=20/1";
    let pipeline = launch(&format!(
        "appsrc name=in format=time caps={raw} ! siskinvideoenc ! siskinmux ! filesink location={}",
        path.display()
    ));
    let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().expect("in");
    for i in 0..10u8 {
        let mut frame = gst::Buffer::from_mut_slice(vec![20 * i; 64 * 48 * 3 / 2]);
        frame.get_mut().expect("ours alone").set_duration(gst::ClockTime::from_mseconds(50));
        source.push_buffer(frame).expect("a push");
    }
    source.end_of_stream().expect("an end");
    assert_eq!(play(&pipeline).error, None);
    let times: Vec<u64> = blocks(&path).1.iter().map(|b| b.pts_ns / 1_000_000).collect();
    assert_eq!(times, (0..10).map(|i| 50 * i).collect::<Vec<_>>());
}

#[test]
fn a_file_that_begins_late_is_as_long_as_what_is_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mkv");
    let pipeline = launch(&format!(
        "videotestsrc num-buffers=20 timestamp-offset=20000000000 ! video/x-raw,width=64,height=48,framerate=20/1 \
         ! siskinvideoenc ! siskinmux ! filesink location={}",
        path.display()
    ));
    assert_eq!(play(&pipeline).error, None);
    let (reader, blocks) = blocks(&path);
    assert_eq!((reader.duration_ns(), blocks[0].pts_ns), (Some(1_000_000_000), 20_000_000_000));
}
