//! How long files and packets say that they are.

use super::*;

#[test]
fn the_length_counts_from_the_first_time_stamp() {
    let second = 1_000_000_000;
    let options = WriterOptions { mode: Mode::File, ..Default::default() };
    let (mut writer, mut data) = (Writer::new(vec![track()], options).expect("a track"), Vec::new());
    writer.write_header(&mut data).expect("a head");
    for i in 20..25 {
        writer.write_block(0, i * second, second, true, &[1; 100], &mut data).expect("a packet");
    }
    let cut = data.clone();
    let patches = writer.finish(&mut data).expect("an end");
    apply(&mut data, &patches);
    let (fixed, report) = repaired(&cut).expect("a file that can be repaired");
    for data in [&data, &fixed] {
        let reader = Reader::open(Cursor::new(data)).expect("a file of ours");
        assert_eq!(reader.duration_ns(), Some(5 * second));
        assert_eq!(blocks(data).expect("blocks").0[0].pts_ns, 20 * second);
    }
    assert_eq!(report.duration_ns, 5 * second);
}

#[test]
fn frames_that_last_longer_say_so_and_stay_what_they_are() {
    let header = VideoHeader {
        width: 32,
        height: 32,
        frame_rate: (25, 1),
        pixel_aspect: (1, 1),
        colorimetry: Default::default(),
    };
    let ms = 1_000_000;
    for mode in [Mode::File, Mode::Live] {
        let tracks = vec![Track::video(&header).with_packet_duration(40 * ms)];
        let mut writer =
            Writer::new(tracks, WriterOptions { mode, ..Default::default() }).expect("one track");
        let mut out = Vec::new();
        writer.write_header(&mut out).expect("a header");
        let frames = [(0, 40, true), (40, 40, false), (80, 120, false), (200, 200, true), (400, 40, false)];
        for (start, lasts, is_keyframe) in frames {
            writer.write_block(0, start * ms, lasts * ms, is_keyframe, &[1], &mut out).expect("a block");
        }
        let patches = writer.finish(&mut out).expect("an end");
        apply(&mut out, &patches);
        let (all, _) = blocks(&out).expect("a file of ours");
        let found: Vec<_> =
            all.iter().map(|b| (b.pts_ns / ms, b.duration_ns.unwrap_or(0) / ms, b.is_keyframe)).collect();
        assert_eq!(found, frames, "{mode:?}");
    }
}
