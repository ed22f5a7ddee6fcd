//! The elements of video: pictures through encoder, file, parser and decoder, damage, sizes, rates. All fits are tiny.

mod common;

use std::path::Path;

use common::*;
use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use siskin_core::bitstream::VideoHeader;
use siskin_core::video::{inspect, psnr};

/// An encoder that learns next to nothing, quickly.
const QUICK: &str = "siskinvideoenc preset=nerv-fast epochs=4 threads=1";

/// The file's video packets.
fn packets(path: &Path) -> Vec<Vec<u8>> {
    use siskin_core::container::{Block, Reader};
    let mut reader = Reader::open(std::fs::File::open(path).expect("the file")).expect("Matroska");
    let (mut block, mut all) = (Block::default(), Vec::new());
    while reader.next_block(&mut block).expect("whole blocks") {
        all.push(block.data.clone());
    }
    all
}

#[test]
fn what_is_learned_is_seen_in_playbin_with_exact_times() {
    let raw = "video/x-raw,format=RGB,width=32,height=24,framerate=30000/1001";
    let (_folder, path) =
        write_video(raw, 5, "siskinvideoenc preset=nerv epochs=160 gop-size=3 quality=70 threads=1");
    let (_, original) =
        watch(&format!("videotestsrc num-buffers=5 pattern=colors ! {raw} ! identity name=last"), raw);
    let (player, eye) = video_player(&path);
    let said = play(&player);
    assert_eq!((said.error, said.warnings), (None, vec![]));
    let seen = seen(&eye);
    assert_eq!(seen.len(), 5);
    for (n, (seen, original)) in (0..).zip(seen.iter().zip(&original)) {
        let exact = |n: u64| gst::ClockTime::from_nseconds((n * 1_001_000_000_000 + 15_000) / 30_000);
        let off = seen.pts.map(|pts| pts.max(exact(n)) - pts.min(exact(n)));
        assert!(off.is_some_and(|off| off.nseconds() <= 2), "{:?} of frame {n}", seen.pts);
        assert!(seen.duration.is_some_and(|d| d.nseconds().abs_diff(33_366_667) <= 2), "{:?}", seen.duration);
        let fraction = seen.caps.structure(0).and_then(|s| s.get::<gst::Fraction>("framerate").ok());
        assert_eq!(fraction, Some(gst::Fraction::new(30_000, 1001)));
        let quality = psnr(&seen.data, &original.data);
        assert!(quality > 18.0, "frame {n}: {quality:.1} dB");
    }
    let infos: Vec<_> =
        packets(&path).iter().map(|p| inspect(p, &Default::default()).expect("a packet")).collect();
    assert_eq!(infos.iter().map(|i| (i.frames, i.is_keyframe)).collect::<Vec<_>>(), [(3, true), (2, true)]);
    assert!(infos.iter().all(|i| i.durations.is_none()));
}

#[test]
fn sizes_formats_and_colors_come_through() {
    for (size, raw, out) in [
        ((16, 16), "format=RGB", "RGB"),
        ((33, 57), "format=I420,colorimetry=bt709", "I420"),
        ((51, 18), "format=I420,colorimetry=1:4:5:1", "I420"),
    ] {
        let caps = format!(
            "video/x-raw,{raw},width={},height={},framerate=25/1,pixel-aspect-ratio=4/3",
            size.0, size.1
        );
        let text = format!("videotestsrc num-buffers=2 ! {caps} ! {QUICK} ! siskinvideodec name=last");
        let (said, seen) = watch(&text, &format!("video/x-raw,format={out}"));
        assert_eq!((said.error, said.warnings, seen.len()), (None, vec![], 2), "{caps}");
        let info = VideoInfo::from_caps(&seen[0].caps).expect("raw caps");
        assert_eq!((info.width(), info.height(), info.par()), (size.0, size.1, gst::Fraction::new(4, 3)));
        assert_eq!(seen[0].data.len(), info.size());
        if out == "I420" {
            let before = VideoInfo::from_caps(&caps.parse::<gst::Caps>().expect("caps")).expect("raw caps");
            assert_eq!(info.colorimetry(), before.colorimetry());
            assert_eq!(info.format(), VideoFormat::I420);
        }
    }
}

/// Raw frames with these times, in milliseconds, into an encoder; what comes out.
fn encode(caps: &str, encoder: &str, times: &[u64], keys: &[usize]) -> (Vec<gst::Buffer>, VideoHeader) {
    let mut harness = harness(encoder, caps);
    let info = VideoInfo::from_caps(&caps.parse::<gst::Caps>().expect("caps")).expect("raw caps");
    for (n, &time) in times.iter().enumerate() {
        if keys.contains(&n) {
            harness.push_event(gst_video::DownstreamForceKeyUnitEvent::builder().build());
        }
        let mut buffer = gst::Buffer::from_slice(vec![(n * 20) as u8; info.size()]);
        buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(time));
        harness.push(buffer).expect("a push");
    }
    harness.push_event(gst::event::Eos::new());
    let out = pull_all(&mut harness);
    let caps = harness.sinkpad().and_then(|pad| pad.current_caps()).expect("caps");
    let bytes = caps.structure(0).expect("a structure").get::<gst::Buffer>("codec_data").expect("a header");
    let header = VideoHeader::parse(&bytes_of(&bytes), &Default::default()).expect("a header").0;
    (out, header)
}

#[test]
fn groups_end_where_they_should_and_carry_odd_durations() {
    let caps = "video/x-raw,format=RGB,width=16,height=16,framerate=25/1";
    let frames = |out: &[gst::Buffer]| -> Vec<u32> {
        out.iter().map(|b| inspect(&bytes_of(b), &Default::default()).expect("a packet").frames).collect()
    };
    let (out, _) = encode(caps, &format!("{QUICK} gop-size=4"), &[0, 40, 80, 120, 160, 200, 240], &[2]);
    assert_eq!(frames(&out), [2, 4, 1]);
    let times: Vec<_> =
        out.iter().map(|b| (b.pts().map(|t| t.mseconds()), b.duration().map(|t| t.mseconds()))).collect();
    assert_eq!(times, [(Some(0), Some(80)), (Some(80), Some(160)), (Some(240), Some(40))]);
    assert!(out.iter().all(|b| !b.flags().contains(gst::BufferFlags::DELTA_UNIT)));

    let (out, _) = encode(caps, &format!("{QUICK} gop-size=1 key-interval=2"), &[0, 40, 80], &[]);
    let deltas: Vec<_> = out.iter().map(|b| b.flags().contains(gst::BufferFlags::DELTA_UNIT)).collect();
    assert_eq!(deltas, [false, true, false]);

    let variable = caps.replace("25/1", "0/1");
    let (out, header) = encode(&variable, &format!("{QUICK} gop-size=3"), &[0, 10, 100, 250, 300], &[]);
    assert_eq!((frames(&out), header.frame_rate.0), (vec![3, 2], 0));
    let info = inspect(&bytes_of(&out[0]), &Default::default()).expect("a packet");
    assert_eq!(info.durations, Some(vec![10_000_000, 90_000_000, 150_000_000]));

    // Decoded, the times are those that went in.
    let mut decoder = harness("siskinvideodec", "video/x-siskin");
    out.into_iter().for_each(|b| {
        decoder.push(b).expect("a push");
    });
    let times: Vec<_> = pull_all(&mut decoder).iter().map(|b| b.pts().map(|t| t.mseconds())).collect();
    assert_eq!(times, [0, 10, 100, 250, 300].map(Some));
}

#[test]
fn damage_and_a_missing_predecessor_hold_the_last_picture() {
    let caps = "video/x-raw,format=RGB,width=16,height=16,framerate=25/1";
    let times: Vec<u64> = (0..10).map(|n| n * 40).collect();
    let (mut out, _) = encode(caps, &format!("{QUICK} gop-size=2 key-interval=3"), &times, &[]);
    // Group 1 is damaged; 2 leans on it; 3 is a key group again.
    let mut damaged = bytes_of(&out[1]);
    damaged[20] ^= 1;
    let mut buffer = gst::Buffer::from_slice(damaged);
    let edit = buffer.make_mut();
    edit.set_pts(out[1].pts());
    edit.set_duration(out[1].duration());
    out[1] = buffer;
    let mut decoder = harness("siskinvideodec", "video/x-siskin");
    let bus = bus_of(&decoder);
    out.into_iter().for_each(|b| {
        decoder.push(b).expect("a push");
    });
    let shown = pull_all(&mut decoder);
    let warnings = warnings_on(&bus);
    assert!(warnings.len() == 1 && warnings[0].starts_with("broken packet at 0:00:00.08"), "{warnings:?}");
    assert_eq!(shown.iter().filter_map(|b| b.pts()).map(|t| t.mseconds()).collect::<Vec<_>>(), times);
    let held: Vec<_> = shown.iter().map(|b| b.flags().contains(gst::BufferFlags::CORRUPTED)).collect();
    assert_eq!(held, [false, false, true, true, true, true, false, false, false, false]);
    assert!((2..6).all(|n| bytes_of(&shown[n]) == bytes_of(&shown[1])));
}

#[test]
fn any_flipped_bit_and_any_cut_is_survived() {
    let caps = "video/x-raw,format=RGB,width=16,height=16,framerate=25/1";
    let (out, _) = encode(caps, &format!("{QUICK} gop-size=2"), &[0, 40, 80, 120], &[]);
    let good: Vec<_> = out.iter().map(|b| bytes_of(b)).collect();
    let mut dice = Dice(3);
    let mut decoder = gst_check::Harness::new_parse("siskinvideoparse ! siskinvideodec");
    decoder.set_src_caps_str("video/x-siskin");
    decoder.play();
    for n in 0..200 {
        let mut data = good[n % 2].clone();
        let at = dice.roll(data.len() as u64) as usize;
        if n % 3 == 0 {
            data.truncate(at);
        } else {
            data[at] ^= 1 << dice.roll(8);
        }
        // The checksum made right, so that the parsers behind it see the damage too.
        if n % 2 == 0 && data.len() > 4 {
            let body = data.len() - 4;
            let sum = crc32fast::hash(&data[..body]).to_le_bytes();
            data[body..].copy_from_slice(&sum);
        }
        let mut buffer = gst::Buffer::from_slice(data);
        buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(80 * n as u64));
        decoder.push(buffer).expect("damage is no error");
        pull_all(&mut decoder);
    }
    decoder.push(out[0].clone()).expect("a push");
    let shown = pull_all(&mut decoder);
    assert!(shown.last().is_some_and(|b| !b.flags().contains(gst::BufferFlags::CORRUPTED)));
}

#[test]
fn a_stop_ends_a_fit_at_once() {
    let pipeline = launch(
        "videotestsrc num-buffers=2 ! video/x-raw,format=RGB,width=64,height=64,framerate=25/1 ! \
         siskinvideoenc name=enc preset=nerv-placebo epochs=100000 gop-size=2 threads=1 ! fakesink async=false",
    );
    pipeline.set_state(gst::State::Playing).expect("a start");
    let encoder = pipeline.by_name("enc").expect("enc");
    let steps = || encoder.property::<gst::Structure>("stats").get::<u64>("step").expect("a counter");
    let began = std::time::Instant::now();
    while steps() < 3 && began.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(steps() >= 3, "no fit has begun");
    let stopping = std::time::Instant::now();
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    assert!(stopping.elapsed().as_secs() < 10, "{:?}", stopping.elapsed());
}

#[test]
fn a_live_encoder_reports_its_latency() {
    let harness =
        harness(&format!("{QUICK} gop-size=10"), "video/x-raw,format=RGB,width=16,height=16,framerate=25/1");
    assert_eq!(harness.query_latency(), Some(gst::ClockTime::from_mseconds(400)));
}

const REALTIME: &str = "siskinvideoenc threads=1";

#[test]
fn real_time_pictures_come_one_by_one_and_keep_their_color() {
    for (format, size) in [("I420,colorimetry=bt709", (48, 34)), ("RGB", (40, 47))] {
        let raw = format!("video/x-raw,format={format},width={},height={},framerate=30/1", size.0, size.1);
        let source = format!("videotestsrc num-buffers=8 pattern=smpte75 ! {raw}");
        let (_, original) = watch(&format!("{source} ! identity name=last"), &raw);
        let text = format!(
            "{source} ! {REALTIME} quality=90 keyframe-interval=5 name=enc ! siskinvideodec name=last"
        );
        let (sink, eye) = eye(&format!("video/x-raw,format={}", &format[..format.find(',').unwrap_or(3)]));
        let pipeline = launch(&text);
        pipeline.add(&sink).expect("a new element");
        pipeline.by_name("last").expect("last").link(&sink).expect("a link");
        let said = play_on(&pipeline);
        let stats = pipeline.by_name("enc").expect("enc").property::<gst::Structure>("stats");
        pipeline.set_state(gst::State::Null).expect("stopping never fails");
        assert_eq!((said.error, said.warnings), (None, vec![]), "{raw}");
        assert_eq!(
            (stats.get::<u64>("groups").ok(), stats.get::<u64>("key-groups").ok()),
            (Some(8), Some(2))
        );
        let shown = seen(&eye);
        assert_eq!(shown.len(), 8);
        for (n, (shown, original)) in (0..).zip(shown.iter().zip(&original)) {
            let exact = gst::ClockTime::SECOND.mul_div_floor(n, 30);
            assert!(
                shown.pts.zip(exact).is_some_and(|(a, b)| a.max(b) - a.min(b) <= gst::ClockTime::NSECOND)
            );
            let quality = psnr(&shown.data, &original.data);
            // Chroma of half the size costs bars of strong colours dear, but must not shift them.
            assert!(
                quality > if format == "RGB" { 18.0 } else { 25.0 },
                "frame {n} of {raw}: {quality:.1} dB"
            );
            for channel in 0..3 {
                let mean = |data: &[u8]| {
                    let own: Vec<_> = data.iter().skip(channel).step_by(3).map(|&v| f64::from(v)).collect();
                    own.iter().sum::<f64>() / own.len() as f64
                };
                let shift = mean(&shown.data) - mean(&original.data);
                assert!(format != "RGB" || shift.abs() < 4.0, "channel {channel} is off by {shift:.1}");
            }
        }
    }
}

#[test]
fn without_properties_a_live_source_is_encoded_as_it_comes() {
    let raw = "video/x-raw,format=I420,width=64,height=48,framerate=25/1";
    let (sink, eye) = eye(raw);
    let pipeline = launch(&format!(
        "videotestsrc is-live=true num-buffers=25 pattern=ball ! {raw} ! siskinvideoenc name=enc ! \
         siskinvideodec name=last"
    ));
    pipeline.add(&sink).expect("a new element");
    pipeline.by_name("last").expect("last").link(&sink).expect("a link");
    let began = std::time::Instant::now();
    let said = play_on(&pipeline);
    let took = began.elapsed();
    let stats = pipeline.by_name("enc").expect("enc").property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    assert_eq!((said.error, said.warnings), (None, vec![]));
    assert_eq!((seen(&eye).len(), stats.get::<u64>("groups").ok()), (25, Some(25)));
    // One second of source; the fits that were the default in release 0.2 would take minutes.
    assert!(took.as_secs_f64() < 10.0, "{took:?}");
}

#[test]
fn a_key_picture_is_made_in_real_time_when_it_is_asked_for() {
    let caps = "video/x-raw,format=I420,width=32,height=32,framerate=25/1";
    let mut harness = harness("siskinvideoenc keyframe-interval=100", caps);
    // The same picture all the time, so that none begins a scene.
    let picture: Vec<u8> = (0..32 * 48).map(|i| (40 + i % 32 * 4) as u8).collect();
    for n in 0..5u64 {
        if n == 3 {
            harness.push_event(gst_video::DownstreamForceKeyUnitEvent::builder().build());
        }
        let mut buffer = gst::Buffer::from_slice(picture.clone());
        buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(40 * n));
        harness.push(buffer).expect("a push");
    }
    harness.push_event(gst::event::Eos::new());
    let out = pull_all(&mut harness);
    let keys: Vec<bool> = out.iter().map(|b| !b.flags().contains(gst::BufferFlags::DELTA_UNIT)).collect();
    assert_eq!(keys, [true, false, false, true, false]);
}

#[test]
fn an_encoder_that_is_late_leaves_refinement_out_and_then_pictures() {
    let caps = "video/x-raw,format=RGB,width=16,height=16,framerate=25/1";
    let mut harness = harness(&format!("{REALTIME} refine=2"), caps);
    let frame = |ms: u64| {
        let mut buffer = gst::Buffer::from_slice(vec![90u8; 3 * 16 * 16]);
        buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(ms));
        buffer
    };
    harness.push(frame(0)).expect("a push");
    assert_eq!(pull_all(&mut harness).len(), 1);
    let counted = |harness: &gst_check::Harness, name: &str| {
        let stats = harness.element().expect("an element").property::<gst::Structure>("stats");
        stats.get::<u64>(name).expect("a counter")
    };
    let late = gst::event::Qos::builder(gst::QOSType::Underflow, 2.0, 200_000_000)
        .timestamp(gst::ClockTime::from_mseconds(40))
        .build();
    harness.push_upstream_event(late);
    // One step less, none, no picture.
    for (ms, pictures) in [(40, 1), (80, 1), (120, 0)] {
        harness.push(frame(ms)).expect("a push");
        assert_eq!(pull_all(&mut harness).len(), pictures, "at {ms} ms");
    }
    assert_eq!((counted(&harness, "reduced-frames"), counted(&harness, "late-frames")), (2, 1));
    harness.push(frame(2000)).expect("a push");
    assert_eq!(pull_all(&mut harness).len(), 1);
    assert_eq!((counted(&harness, "reduced-frames"), counted(&harness, "late-frames")), (3, 1));
}

#[test]
fn sound_and_picture_do_not_drift() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("av.mkv");
    let seconds = 20;
    let pipeline = launch(&format!(
        "videotestsrc num-buffers={} ! video/x-raw,format=I420,width=16,height=16,framerate=30000/1001 ! {REALTIME} ! queue ! mux.video_0 \
         audiotestsrc num-buffers={} samplesperbuffer=480 ! {RAW} ! siskinaudioenc ! queue ! mux.audio_0 \
         siskinmux name=mux ! filesink name=out",
        seconds * 30_000 / 1001,
        seconds * 50,
    ));
    pipeline.by_name("out").expect("out").set_property("location", path.to_str().expect("a plain path"));
    assert_eq!(play(&pipeline).error, None);

    let (ear, heard_by) = ear();
    let (player, eye) = video_player(&path);
    player.set_property("audio-sink", &ear);
    let said = play(&player);
    assert_eq!((said.error, said.warnings), (None, vec![]));
    let off = |pts: Option<gst::ClockTime>, exact: u64| pts.expect("a time").nseconds().abs_diff(exact);
    let pictures = seen(&eye);
    assert_eq!(pictures.len() as u64, seconds * 30_000 / 1001);
    let picture =
        (0..).zip(&pictures).map(|(n, p)| off(p.pts, (n * 1_001_000_000_000 + 15_000) / 30_000)).max();
    let (mut samples, mut sound) = (0, 0);
    for (pts, count) in heard(&heard_by).buffers {
        sound = sound.max(off(pts, time(samples).nseconds()));
        samples += count as u64;
    }
    assert_eq!(samples, seconds * RATE);
    let picture = picture.expect("pictures");
    eprintln!("in {seconds} s: pictures are off by up to {picture} ns, sound by up to {sound} ns");
    assert!(picture + sound <= 1_000_000, "{picture} and {sound} ns");
}

#[test]
fn requests_are_answered_with_the_next_frame_but_not_ten_times_a_second() {
    let caps = "video/x-raw,format=I420,width=32,height=32,framerate=25/1";
    let mut harness = harness("siskinvideoenc keyframe-interval=100", caps);
    let picture: Vec<u8> = (0..32 * 48).map(|i| (40 + i % 32 * 4) as u8).collect();
    let mut keys = Vec::new();
    for n in 0..20u64 {
        // A receiver that asks in a row, and one that asks later.
        if (5..8).contains(&n) || n == 12 {
            harness.push_upstream_event(
                gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build(),
            );
        }
        let mut buffer = gst::Buffer::from_slice(picture.clone());
        buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(40 * n));
        harness.push(buffer).expect("a push");
        let out = pull_all(&mut harness);
        keys.extend(out.iter().filter(|b| !b.flags().contains(gst::BufferFlags::DELTA_UNIT)).map(|_| n));
    }
    assert_eq!(keys[..2], [0, 5], "{keys:?}");
    assert!(keys.contains(&12) && keys.windows(2).all(|pair| pair[1] - pair[0] >= 3), "{keys:?}");
    let stats = harness.element().expect("an element").property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("keyframe-requests"), Ok(keys.len() as u64 - 1));
}

#[test]
fn what_an_application_sets_stays() {
    let pipeline = launch(
        "videotestsrc num-buffers=3 ! video/x-raw,width=64,height=64 ! \
         siskinvideoenc name=enc qos=false min-force-key-unit-interval=0 ! fakesink",
    );
    let said = play_on(&pipeline);
    let encoder = pipeline.by_name("enc").expect("enc");
    let (qos, interval) =
        (encoder.property::<bool>("qos"), encoder.property::<u64>("min-force-key-unit-interval"));
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    assert_eq!((said.error, qos, interval), (None, false, 0));
    assert!(gst::ElementFactory::make("siskinvideoenc").build().expect("an encoder").property::<bool>("qos"));
}

#[test]
fn interlaced_video_is_refused_in_words() {
    init();
    let interlaced = "videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48,interlace-mode=interleaved";
    for converter in ["", "! videoconvert"] {
        let text = format!("{interlaced} {converter} ! siskinvideoenc ! fakesink");
        let error = gst::parse::launch(&text).expect_err("no link").to_string();
        assert!(error.contains("could not link") && !error.contains('{'), "{error}");
    }
    // Caps that do not say so are progressive, and a deinterlacer makes them.
    for source in [
        "videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48",
        "videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48,interlace-mode=interleaved ! deinterlace",
    ] {
        assert_eq!(play(&launch(&format!("{source} ! siskinvideoenc ! fakesink"))).error, None, "{source}");
    }
    let mut silent = harness("siskinvideoenc", "video/x-raw,format=I420,width=32,height=32,framerate=25/1");
    silent.push(gst::Buffer::from_slice(vec![90u8; 32 * 48])).expect("a push");
    assert_eq!(pull_all(&mut silent).len(), 1);
}

#[test]
fn the_format_that_costs_nothing_is_offered_first() {
    init();
    for (preset, expected) in [("realtime", "I420"), ("nerv-fast", "RGB")] {
        let (source, format) =
            eye_of_first(&format!("siskinvideoenc preset={preset} epochs=2 gop-size=1 threads=1"));
        assert_eq!(format, expected, "{source}");
    }
}

/// The format that a converter chooses in front of an encoder.
fn eye_of_first(encoder: &str) -> (String, String) {
    let text = format!(
        "videotestsrc num-buffers=1 ! video/x-raw,format=AYUV,width=32,height=32,framerate=25/1 ! videoconvert name=convert ! {encoder} ! \
         fakesink"
    );
    let pipeline = launch(&text);
    let said = play_on(&pipeline);
    let pad = pipeline.by_name("convert").and_then(|c| c.static_pad("src")).expect("a pad");
    let caps = pad.current_caps().expect("caps");
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    assert_eq!(said.error, None);
    (text, caps.structure(0).and_then(|s| s.get::<String>("format").ok()).unwrap_or_default())
}

#[test]
fn noise_keeps_the_bit_rate() {
    for (pattern, bitrate) in [("snow", 50_000u32), ("snow", 300_000)] {
        let text = format!(
            "videotestsrc pattern={pattern} num-buffers=120 ! video/x-raw,format=I420,width=160,height=120,framerate=30/1 ! \
             siskinvideoenc bitrate={bitrate} threads=1 ! identity name=last"
        );
        let (said, packets) = watch(&text, "video/x-siskin");
        assert_eq!((said.error, packets.len()), (None, 120));
        let seconds: Vec<usize> =
            packets.chunks(30).map(|second| second.iter().map(|p| p.data.len() * 8).sum()).collect();
        // The first second pays for what cannot be known before the first frames.
        let (last, rate) = (seconds[2] + seconds[3], bitrate as usize);
        assert!((rate..rate * 26 / 10).contains(&last), "{bitrate} b/s: {seconds:?}");
        assert!(seconds[2..].iter().all(|&bits| bits < rate * 2), "{bitrate} b/s: {seconds:?}");
    }
}

/// Nothing else is seen of a fit for minutes to hours.
#[test]
fn a_fit_says_how_far_it_is() {
    let pipeline = launch(&format!(
        "videotestsrc num-buffers=4 ! video/x-raw,width=32,height=32,framerate=25/1 ! {QUICK} gop-size=2 ! fakesink"
    ));
    let bus = pipeline.bus().expect("a pipeline has a bus");
    pipeline.set_state(gst::State::Playing).expect("a start");
    let mut said = Vec::new();
    while let Some(message) = bus.timed_pop(gst::ClockTime::from_seconds(60)) {
        match message.view() {
            gst::MessageView::Progress(progress) => {
                let (kind, code, _) = progress.get();
                let field = |name| message.structure().and_then(|s| s.get::<i32>(name).ok());
                let group = message.structure().and_then(|s| s.get::<u64>("group").ok());
                said.push((kind, code.to_string(), group, field("percent").is_some_and(|p| p == 100)));
            }
            gst::MessageView::Eos(_) | gst::MessageView::Error(_) => break,
            _ => (),
        }
    }
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    let of = |kind| said.iter().filter(|s| s.0 == kind).map(|s| s.2).collect::<Vec<_>>();
    assert_eq!(of(gst::ProgressType::Start), [Some(1), Some(2)], "{said:?}");
    assert_eq!(of(gst::ProgressType::Complete), [Some(1), Some(2)], "{said:?}");
    assert!(said.iter().all(|s| s.1 == "fit" && s.3 == (s.0 == gst::ProgressType::Complete)), "{said:?}");
}
