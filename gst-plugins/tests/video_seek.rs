//! Seeks in video, to any frame and up to a stop.

mod common;

use common::*;
use gst::prelude::*;

/// An encoder that learns next to nothing, quickly.
const QUICK: &str = "siskinvideoenc preset=nerv-fast epochs=4 threads=1";

const REALTIME: &str = "siskinvideoenc threads=1";

#[test]
fn a_seek_shows_the_frame_at_its_target() {
    let raw = "video/x-raw,format=RGB,width=16,height=16,framerate=10/1";
    let (_folder, path) = write_video(raw, 24, &format!("{QUICK} gop-size=6 key-interval=2"));
    let (straight, eye) = video_player(&path);
    assert_eq!(play(&straight).error, None);
    let linear = seen(&eye);
    assert_eq!(linear.len(), 24);
    for (ms, flags, first) in [
        (1500, gst::SeekFlags::ACCURATE, 15),
        (700, gst::SeekFlags::ACCURATE, 7),
        (2300, gst::SeekFlags::ACCURATE, 23),
        (1700, gst::SeekFlags::KEY_UNIT, 12),
    ] {
        let (player, eye) = video_player(&path);
        player.set_state(gst::State::Paused).expect("a start");
        settle(&player);
        player.seek_simple(gst::SeekFlags::FLUSH | flags, gst::ClockTime::from_mseconds(ms)).expect("a seek");
        settle(&player);
        eye.lock().expect("nobody panics with it").clear();
        let said = play(&player);
        assert_eq!((said.error, said.warnings), (None, vec![]));
        let shown = seen(&eye);
        assert_eq!(
            shown.first().and_then(|s| s.pts),
            Some(gst::ClockTime::from_mseconds(100 * first)),
            "{ms}"
        );
        assert_eq!(shown.len(), 24 - first as usize, "after a seek to {ms} ms");
        assert!(shown.iter().zip(&linear[first as usize..]).all(|(a, b)| a.data == b.data));
    }
}

/// Behind the stop the demuxer leaves out the keyframe and goes on with the frame after it.
#[test]
fn a_seek_with_a_stop_at_a_keyframe_plays_up_to_it_without_a_warning() {
    let raw = "video/x-raw,format=I420,width=48,height=32,framerate=25/1";
    let (_folder, path) = write_video(raw, 100, "siskinvideoenc preset=fast keyframe-interval=25");
    for (start, stop) in [(0, 1000), (0, 2000), (1000, 3000)] {
        let (player, eye) = video_player(&path);
        player.set_state(gst::State::Paused).expect("a start");
        settle(&player);
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        let [from, to] = [start, stop].map(gst::ClockTime::from_mseconds);
        player.seek(1.0, flags, gst::SeekType::Set, from, gst::SeekType::Set, to).expect("a seek");
        settle(&player);
        eye.lock().expect("nobody panics with it").clear();
        let said = play(&player);
        assert_eq!((said.error, said.warnings), (None, vec![]), "{start} to {stop} ms");
        let shown = seen(&eye);
        assert_eq!(shown.first().and_then(|s| s.pts), Some(from));
        assert_eq!(shown.len() as u64, (stop - start) / 40, "{start} to {stop} ms");
    }
}

#[test]
fn a_real_time_file_is_sought_to_any_frame() {
    let raw = "video/x-raw,format=I420,width=32,height=32,framerate=30/1";
    let (_folder, path) = write_video(raw, 60, &format!("{REALTIME} keyframe-interval=20"));
    let (straight, eye) = video_player(&path);
    assert_eq!(play(&straight).error, None);
    let linear = seen(&eye);
    assert_eq!(linear.len(), 60);
    let (player, eye) = video_player(&path);
    player.set_state(gst::State::Paused).expect("a start");
    settle(&player);
    let target = gst::ClockTime::SECOND.mul_div_round(47, 30).expect("a time");
    player.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, target).expect("a seek");
    settle(&player);
    eye.lock().expect("nobody panics with it").clear();
    let said = play(&player);
    assert_eq!((said.error, said.warnings), (None, vec![]));
    let shown = seen(&eye);
    assert_eq!(shown.first().and_then(|s| s.pts), Some(target));
    assert!(shown.len() == 13 && shown.iter().zip(&linear[47..]).all(|(a, b)| a.data == b.data));
}
