//! Recordings that do not go as planned: killed, without input, of a source that changes.

mod common;

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use common::*;
use gst::prelude::*;
use siskin_core::container::{Block, Reader};

/// Kinds of tracks and packets of a Matroska file, as far as it goes.
fn read(bytes: Vec<u8>) -> (Reader<Cursor<Vec<u8>>>, Vec<Block>) {
    let mut reader = Reader::open(Cursor::new(bytes)).expect("a Matroska file");
    let mut found = Vec::new();
    loop {
        let mut block = Block::default();
        if !reader.next_block(&mut block).expect("a block") {
            return (reader, found);
        }
        found.push(block);
    }
}

fn bytes_on_disk(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).expect("the file");
    bytes
}

/// Starts a pipeline that writes to the file sink `out`.
fn write_to(path: &Path, text: &str) -> gst::Pipeline {
    let pipeline = launch(text);
    pipeline.by_name("out").expect("out").set_property("location", path.to_str().expect("a plain path"));
    pipeline
}

#[test]
fn what_a_live_recording_has_taken_is_on_disk_within_a_second() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, source) in [
        ("a.mka", "audiotestsrc is-live=true wave=ticks ! audioconvert ! audioresample ! siskinaudioenc"),
        (
            "v.mkv",
            "videotestsrc is-live=true pattern=ball ! video/x-raw,width=64,height=48,framerate=25/1 ! siskinvideoenc",
        ),
    ] {
        let path = folder.path().join(name);
        let pipeline = write_to(&path, &format!("{source} ! siskinmux ! filesink name=out"));
        pipeline.set_state(gst::State::Playing).expect("a start");
        // The element's own clock says how much the source has given; what a kill leaves is what is on disk at that moment.
        let given = || pipeline.current_running_time().unwrap_or_default();
        let began = Instant::now();
        while given() < gst::ClockTime::from_mseconds(3200) {
            assert!(began.elapsed() < Duration::from_secs(30), "no clock");
            std::thread::sleep(Duration::from_millis(20));
        }
        let (bytes, given) = (bytes_on_disk(&path), given());
        pipeline.set_state(gst::State::Null).expect("stopping never fails");
        let (_, blocks) = read(bytes);
        let last = blocks.last().map_or(gst::ClockTime::ZERO, |b| gst::ClockTime::from_nseconds(b.pts_ns));
        assert!(last + gst::ClockTime::from_mseconds(1200) >= given, "{name}: {last} of {given} are on disk");
    }
}

#[test]
fn an_input_without_a_buffer_leaves_a_whole_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = [
        ("audiotestsrc num-buffers=0 ! audioconvert ! audioresample ! siskinaudioenc", Some("A_SISKIN")),
        ("appsrc num-buffers=0 ! siskinaudioenc", Some("A_SISKIN")),
        ("videotestsrc num-buffers=0 ! video/x-raw,width=64,height=48 ! siskinvideoenc", Some("V_SISKIN")),
        // Nobody has said what the picture would have been.
        ("appsrc num-buffers=0 ! siskinvideoenc", None),
    ];
    for (source, codec) in rows {
        let path = folder.path().join("empty.mka");
        let said = play(&write_to(&path, &format!("{source} ! siskinmux ! filesink name=out")));
        assert_eq!(said.error, None, "{source}");
        let bytes = bytes_on_disk(&path);
        assert!(bytes.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]), "{source}");
        let Some(codec) = codec else { continue };
        let (reader, blocks) = read(bytes);
        let codecs: Vec<_> = reader.tracks().iter().map(|t| t.codec_id.as_str()).collect();
        assert_eq!((codecs.as_slice(), blocks.len()), (&[codec][..], 0), "{source}");
        // A duration of 0 is none in Matroska.
        assert_eq!(reader.duration_ns(), None, "{source}");
    }
}

/// Two seconds of pictures, each of other caps, through `encoder ! siskinmux` into a file.
fn record_change(path: &Path, first: &str, second: &str) -> Said {
    let source = |caps: &str| format!("videotestsrc num-buffers=25 pattern=ball ! video/x-raw,{caps} ! c.");
    play(&write_to(
        path,
        &format!(
            "concat name=c ! siskinvideoenc name=enc keyframe-interval=1000 ! siskinmux ! filesink name=out {} {}",
            source(first),
            source(second)
        ),
    ))
}

#[test]
fn a_change_of_size_rate_or_color_goes_on_in_the_same_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("change.mkv");
    let base = "format=I420,width=64,height=48,framerate=25/1,colorimetry=bt601";
    for (second, size) in [
        ("format=I420,width=96,height=64,framerate=25/1,colorimetry=bt601", (96, 64)),
        ("format=I420,width=64,height=48,framerate=50/1,colorimetry=bt601", (64, 48)),
        ("format=I420,width=64,height=48,framerate=25/1,colorimetry=bt709", (64, 48)),
    ] {
        let said = record_change(&path, base, second);
        assert_eq!((said.error, said.warnings), (None, vec![]), "{second}");
        let (_, blocks) = read(bytes_on_disk(&path));
        let keys: Vec<_> =
            (0..).zip(&blocks).filter(|(_, b)| b.is_keyframe).map(|(n, _)| n).collect::<Vec<usize>>();
        assert_eq!((blocks.len(), keys), (50, vec![0, 25]), "{second}");
        // Stock demuxer, parser and decoder show all of it, each part in its own size.
        let text = format!(
            "filesrc location={} ! matroskademux ! siskinvideoparse ! siskinvideodec name=last",
            path.display()
        );
        let (said, shown) = watch(&text, "video/x-raw,format=I420");
        assert_eq!((said.error, said.warnings), (None, vec![]), "{second}");
        let sizes: Vec<_> = shown
            .iter()
            .map(|s| {
                let info = gst_video::VideoInfo::from_caps(&s.caps).expect("raw video");
                (info.width(), info.height())
            })
            .collect();
        assert_eq!(sizes, [vec![(64, 48); 25], vec![size; 25]].concat(), "{second}");
    }
}

#[test]
fn another_raw_format_of_the_same_pictures_is_no_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("same.mkv");
    let said = record_change(
        &path,
        "format=RGB,width=64,height=48,framerate=25/1",
        "format=I420,width=64,height=48,framerate=25/1",
    );
    assert_eq!((said.error, said.warnings), (None, vec![]));
    let (_, blocks) = read(bytes_on_disk(&path));
    let keys = blocks.iter().filter(|b| b.is_keyframe).count();
    // The ball starts anew, but that is no new stream.
    assert_eq!((blocks.len(), keys), (50, 1));
}

#[test]
fn what_cannot_go_on_ends_a_whole_file() {
    init();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ended.mka");
    let pipeline = write_to(&path, "appsrc name=in format=time ! siskinmux ! filesink name=out");
    let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().expect("in");
    source.set_max_bytes(0);
    let coded = encode(&voice(24_000), 1, None);
    source.set_caps(Some(&stream_caps(&header())));
    for packet in &coded {
        source.push_buffer(packet.buffer()).expect("a push");
    }
    source.set_caps(Some(&stream_caps(&stranger())));
    source.push_buffer(coded[0].buffer()).expect("a push");
    let error = play(&pipeline).error.expect("an error");
    assert!(error.contains("audio_0: a track cannot become another stream"), "{error}");
    let (reader, blocks) = read(bytes_on_disk(&path));
    assert_eq!(blocks.len(), coded.len());
    assert_eq!(reader.duration_ns(), Some(time(24_000).nseconds()), "the index has been written");
}

#[test]
fn splitmuxsink_begins_new_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipeline = launch(
        "videotestsrc num-buffers=75 pattern=ball ! video/x-raw,width=64,height=48,framerate=25/1 ! \
         siskinvideoenc keyframe-interval=25 ! splitmuxsink name=out muxer-factory=siskinmux max-size-time=1000000000",
    );
    let pattern = folder.path().join("part%d.mkv");
    pipeline.by_name("out").expect("out").set_property("location", pattern.to_str().expect("a plain path"));
    let said = play(&pipeline);
    assert_eq!(said.error, None);
    for part in 0..3 {
        let (reader, blocks) = read(bytes_on_disk(&folder.path().join(format!("part{part}.mkv"))));
        assert_eq!((blocks.len(), blocks[0].is_keyframe), (25, true), "part {part}");
        assert_eq!(reader.tracks()[0].codec_id, "V_SISKIN");
    }
}
