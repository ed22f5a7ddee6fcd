//! Frames that wait for each other in siskinvideoenc and share a packet.

mod common;

use std::path::{Path, PathBuf};

use common::*;
use gst::prelude::*;
use siskin_core::video::{GopInfo, inspect, psnr};

const RAW: &str = "video/x-raw,format=I420,width=64,height=48,framerate=30/1";
const ENCODER: &str = "siskinvideoenc lookahead=8 keyframe-interval=20 quality=80 threads=1";

/// A file of a ball that moves, for which packets of several frames pay, and its folder.
fn write_ball(frames: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mkv");
    let pipeline =
        launch(&format!("{} ! {ENCODER} ! siskinmux ! filesink location={}", ball(frames), path.display()));
    assert_eq!(play(&pipeline).error, None);
    assert!(heads(&path).iter().any(|head| head.frames == 8));
    (folder, path)
}

fn ball(frames: u32) -> String {
    format!("videotestsrc num-buffers={frames} pattern=ball animation-mode=frames ! {RAW}")
}

/// The heads of a file's packets.
fn heads(path: &Path) -> Vec<GopInfo> {
    use siskin_core::container::{Block, Reader};
    let mut reader = Reader::open(std::fs::File::open(path).expect("the file")).expect("Matroska");
    let (mut block, mut all) = (Block::default(), Vec::new());
    while reader.next_block(&mut block).expect("whole blocks") {
        all.push(inspect(&block.data, &Default::default()).expect("a packet"));
    }
    all
}

fn thirtieth(frame: u64) -> gst::ClockTime {
    gst::ClockTime::SECOND.mul_div_round(frame, 30).expect("a time")
}

fn is_near(found: Option<gst::ClockTime>, wanted: gst::ClockTime) -> bool {
    found.is_some_and(|found| found.max(wanted) - found.min(wanted) <= gst::ClockTime::from_nseconds(2))
}

#[test]
fn frames_come_back_with_their_times() {
    let (_folder, path) = write_ball(50);
    let infos = heads(&path);
    assert!(infos.iter().all(|i| i.durations.is_none()));
    let frames: Vec<_> = infos.iter().map(|i| (i.frames, i.is_keyframe)).collect();
    let mut all = 0;
    for &(count, is_keyframe) in &frames {
        assert_eq!(is_keyframe, all % 20 == 0, "{frames:?}");
        all += count;
    }
    assert_eq!(all, 50, "{frames:?}");
    let (_, original) = watch(&format!("{} ! identity name=last", ball(50)), RAW);
    let (said, shown) = watch(
        &format!(
            "filesrc location={} ! matroskademux ! siskinvideoparse ! siskinvideodec name=last",
            path.display()
        ),
        RAW,
    );
    assert_eq!((said.error, said.warnings), (None, vec![]));
    assert_eq!(shown.len(), 50);
    for (n, (shown, original)) in (0..).zip(shown.iter().zip(&original)) {
        assert!(is_near(shown.pts, thirtieth(n)), "{:?} of frame {n}", shown.pts);
        assert!(psnr(&shown.data, &original.data) > 30.0, "frame {n}");
    }
}

#[test]
fn a_seek_shows_the_frame_at_its_target_in_the_midst_of_a_packet() {
    let (_folder, path) = write_ball(60);
    let (straight, eye) = video_player(&path);
    assert_eq!(play(&straight).error, None);
    let linear = seen(&eye);
    assert_eq!(linear.len(), 60);
    for target in [3, 20, 27, 47, 59] {
        let (player, eye) = video_player(&path);
        player.set_state(gst::State::Paused).expect("a start");
        settle(&player);
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        player.seek_simple(flags, thirtieth(target)).expect("a seek");
        settle(&player);
        eye.lock().expect("nobody panics with it").clear();
        let said = play(&player);
        assert_eq!((said.error, said.warnings), (None, vec![]), "frame {target}");
        let shown = seen(&eye);
        assert!(is_near(shown.first().and_then(|s| s.pts), thirtieth(target)), "frame {target}");
        assert_eq!(shown.len(), 60 - target as usize);
        assert!(
            shown.iter().zip(&linear[target as usize..]).all(|(a, b)| a.data == b.data),
            "frame {target}"
        );
    }
}

/// Packets of frames of a constant rate that are pushed with these times; `request` is the frame before which a keyframe is asked for.
fn coded(milliseconds: &[u64], request: Option<usize>) -> (Vec<gst::Buffer>, gst_check::Harness) {
    let mut harness = harness("siskinvideoenc lookahead=4 threads=1", RAW);
    for (i, &ms) in milliseconds.iter().enumerate() {
        if request == Some(i) {
            harness.push_event(gst_video::DownstreamForceKeyUnitEvent::builder().build());
        }
        let mut buffer = gst::Buffer::from_slice(vec![(i * 9) as u8; 64 * 48 * 3 / 2]);
        buffer.get_mut().expect("a new buffer").set_pts(gst::ClockTime::from_mseconds(ms));
        harness.push(buffer).expect("a frame");
    }
    harness.push_event(gst::event::Eos::new());
    (pull_all(&mut harness), harness)
}

fn frames_of(packets: &[gst::Buffer]) -> Vec<(u32, bool)> {
    let head = |p: &gst::Buffer| inspect(&bytes_of(p), &Default::default()).expect("a packet");
    packets.iter().map(head).map(|i| (i.frames, i.is_keyframe)).collect()
}

#[test]
fn the_last_frames_come_at_the_end_of_the_stream() {
    let times: Vec<u64> = (0..6).map(|i| i * 1000 / 30).collect();
    let (packets, _) = coded(&times, None);
    let frames = frames_of(&packets);
    assert_eq!(frames.iter().map(|f| f.0).sum::<u32>(), 6, "{frames:?}");
    assert!(is_near(packets[1].pts(), gst::ClockTime::from_mseconds(33)));
    assert!(packets.iter().skip(1).all(|p| p.flags().contains(gst::BufferFlags::DELTA_UNIT)));
}

#[test]
fn a_keyframe_that_is_asked_for_begins_a_packet() {
    let times: Vec<u64> = (0..12).map(|i| i * 1000 / 30).collect();
    let frames = frames_of(&coded(&times, Some(7)).0);
    let before: u32 = frames.iter().skip(1).take_while(|f| !f.1).map(|f| f.0).sum();
    assert_eq!((frames[0], before), ((1, true), 6), "{frames:?}");
    assert_eq!(frames.iter().filter(|f| f.1).count(), 2);
    assert_eq!(frames.iter().map(|f| f.0).sum::<u32>(), 12);
}

#[test]
fn a_pause_ends_a_packet() {
    // Seven seconds are more than a frame can last in a packet.
    let times = [0, 33, 67, 100, 7100, 7133, 7167];
    let (packets, _) = coded(&times, None);
    let starts: Vec<_> = packets.iter().filter_map(|p| p.pts()).map(|t| t.mseconds()).collect();
    assert!(starts.contains(&7100), "{starts:?}");
    assert_eq!(frames_of(&packets).iter().map(|f| f.0).sum::<u32>(), 7);
}

#[test]
fn frames_that_wait_are_told_as_latency() {
    let (_, harness) = coded(&[0, 33], None);
    let told = harness.query_latency().expect("a latency");
    assert!(told >= thirtieth(4), "{told}");
}

#[test]
fn frames_of_a_variable_rate_wait_as_long() {
    let raw = "video/x-raw,format=I420,width=64,height=48,framerate=0/1";
    let mut harness = harness("siskinvideoenc lookahead=4 threads=1", raw);
    let mut push = |ms: u64| {
        let mut buffer = gst::Buffer::from_slice(vec![90u8; 64 * 48 * 3 / 2]);
        buffer.get_mut().expect("a new buffer").set_pts(gst::ClockTime::from_mseconds(ms));
        harness.push(buffer).expect("a frame");
        harness.query_latency().expect("a latency")
    };
    let first = push(0);
    assert!(first >= gst::ClockTime::from_mseconds(200), "{first}");
    // Seven frames a second.
    let later = (1..8).map(|i| push(i * 140)).last();
    assert!(later >= Some(gst::ClockTime::from_mseconds(560)), "{later:?}");
}

#[test]
fn frames_without_times_follow_one_another() {
    let mut harness = harness("siskinvideoenc lookahead=4 threads=1", RAW);
    for i in 0..9u8 {
        harness.push(gst::Buffer::from_slice(vec![i * 9; 64 * 48 * 3 / 2])).expect("a frame");
    }
    harness.push_event(gst::event::Eos::new());
    let packets = pull_all(&mut harness);
    let mut end = gst::ClockTime::ZERO;
    for packet in &packets {
        assert!(is_near(packet.pts(), end), "{packets:?}");
        end += packet.duration().expect("a duration");
    }
    // Each duration is rounded to a nanosecond.
    assert!(end.nseconds().abs_diff(300_000_000) < 10, "{end}");
}

#[test]
fn a_network_takes_no_lookahead() {
    let pipeline = launch(&format!(
        "videotestsrc num-buffers=2 ! {RAW} ! siskinvideoenc lookahead=4 model=video-realtime ! fakesink"
    ));
    let error = play(&pipeline).error.expect("an error");
    assert!(error.contains("lookahead"), "{error}");
}
