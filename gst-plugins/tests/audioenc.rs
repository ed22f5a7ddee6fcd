//! `siskinaudioenc` on its own.

mod common;

use common::*;
use gst::prelude::*;
use gst_check::Harness;
use siskin_core::bitstream::packet::{Packet, PacketInfo};

fn harness(properties: &str) -> Harness {
    common::harness(&format!("siskinaudioenc {properties}"), RAW)
}

fn info(packet: &[u8]) -> PacketInfo {
    let packet = Packet::parse(packet, &Default::default()).expect("a packet");
    packet.bind(&header()).expect("a packet of the stream").info()
}

fn ended(harness: &mut Harness) -> Vec<gst::Buffer> {
    harness.push_event(gst::event::Eos::new());
    pull_all(harness)
}

#[test]
fn packets_are_the_cores_and_keep_every_length() {
    let mut dice = Dice(1);
    for (length, frames) in
        [(1, 1), (239, 1), (240, 1), (241, 3), (479, 1), (480, 2), (24_000, 1), (33_333, 50)]
    {
        let pcm = voice(length);
        let mut harness = harness(&format!("frames-per-packet={frames}"));
        push_in_pieces(&mut harness, &pcm, &mut dice);
        let buffers = ended(&mut harness);
        let expected = encode(&pcm, frames, None);
        assert_eq!(buffers.len(), expected.len(), "{length} samples");
        for (buffer, coded) in buffers.iter().zip(&expected) {
            assert_eq!(bytes_of(buffer), coded.data);
            let end = buffer.pts().zip(buffer.duration()).map(|(pts, d)| pts + d).expect("a time");
            let off = |a: gst::ClockTime, b: gst::ClockTime| a.max(b) - a.min(b);
            assert!(off(buffer.pts().expect("a time"), time(coded.position)).nseconds() <= 1);
            assert!(off(end, time(coded.position + coded.samples)).nseconds() <= 1);
        }
        assert_eq!(decode_coded(&expected).len(), length);
    }
}

#[test]
fn nothing_in_gives_nothing() {
    assert!(ended(&mut harness("")).is_empty());
}

#[test]
fn caps_carry_the_stream_header() {
    let mut harness = harness("frames-per-packet=1");
    harness.push(raw_buffer(&voice(960), 0)).expect("a push");
    let pad = harness.element().and_then(|e| e.static_pad("src")).expect("a pad");
    let caps = pad.current_caps().expect("caps");
    let structure = caps.structure(0).expect("a structure");
    assert_eq!(structure.name(), "audio/x-siskin");
    assert_eq!((structure.get("rate"), structure.get("channels")), (Ok(24_000), Ok(1)));
    for buffer in [
        structure.get::<gst::Buffer>("codec_data").ok(),
        structure.get::<gst::Array>("streamheader").ok().and_then(|a| a.first()?.get().ok()),
    ] {
        assert_eq!(buffer.map(|b: gst::Buffer| bytes_of(&b)), Some(header().to_bytes()));
    }
}

#[test]
fn the_sink_takes_what_the_bundle_takes() {
    let harness = harness("");
    let pad = harness.element().and_then(|e| e.static_pad("sink")).expect("a pad");
    let caps = pad.query_caps(None);
    assert!(caps.can_intersect(&RAW.parse::<gst::Caps>().expect("caps")));
    let other: gst::Caps = RAW.replace("24000", "48000").parse().expect("caps");
    assert!(!caps.can_intersect(&other), "{caps}");
    let template = pad.pad_template().expect("a template");
    assert!(template.caps().can_intersect(&other), "another bundle may have another rate");
}

#[test]
fn latency_is_the_frames_and_the_delay() {
    for (frames, milliseconds) in [(1, 30), (5, 110)] {
        let mut harness = harness(&format!("frames-per-packet={frames}"));
        harness.push(raw_buffer(&voice(10), 0)).expect("a push");
        assert_eq!(harness.query_latency(), Some(gst::ClockTime::from_mseconds(milliseconds)));
    }
}

#[test]
fn by_itself_it_is_quick_behind_a_live_source_only() {
    for (live, samples) in [(true, 240), (false, 23_760)] {
        let text = format!(
            "audiotestsrc is-live={live} num-buffers=60 samplesperbuffer=480 ! {RAW} ! siskinaudioenc ! \
             fakesink name=out signal-handoffs=true sync=false"
        );
        let pipeline = launch(&text);
        let durations = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let keep = durations.clone();
        pipeline.by_name("out").expect("out").connect("handoff", false, move |args| {
            let buffer = args[1].get::<gst::Buffer>().expect("a buffer");
            keep.lock().expect("nobody panics with it").extend(buffer.duration());
            None
        });
        assert_eq!(play(&pipeline).error, None);
        assert_eq!(durations.lock().expect("nobody panics with it").first(), Some(&time(samples)));
    }
}

#[test]
fn the_rate_changes_while_playing() {
    let mut harness = harness("frames-per-packet=1 bitrate=2000");
    let element = harness.element().expect("an element");
    harness.push(raw_buffer(&voice(4800), 0)).expect("a push");
    element.set_property("bitrate", 6000u32);
    harness.push(raw_buffer(&voice(4800), 4800)).expect("a push");
    element.set_property("stages", 9u32);
    harness.push(raw_buffer(&voice(4800), 9600)).expect("a push");
    let mut stages: Vec<u8> = ended(&mut harness).iter().map(|b| info(&bytes_of(b)).stages).collect();
    stages.dedup();
    assert_eq!(stages, [2, 6, 9]);
    let mut rates = Vec::new();
    while let Some(event) = harness.try_pull_event() {
        if let gst::EventView::Tag(tag) = event.view() {
            rates.extend(tag.tag().get::<gst::tags::NominalBitrate>().map(|r| r.get()));
        }
    }
    rates.dedup();
    assert_eq!(rates, [2000, 6000, 9000]);
}

#[test]
fn a_variable_rate_is_met_and_can_be_changed_while_playing() {
    let mut harness = harness("frames-per-packet=1 rate-control=vbr bitrate=4000");
    let element = harness.element().expect("an element");
    let (mut rates, mut position) = (Vec::new(), 0);
    for bitrate in [4000u32, 7000] {
        element.set_property("bitrate", bitrate);
        for _ in 0..12 {
            harness.push(raw_buffer(&voice(24_000), position)).expect("a push");
            position += 24_000;
        }
        let mut sizes = Vec::new();
        while let Some(buffer) = harness.try_pull() {
            sizes.push(buffer.size() as f64 * 8.0);
        }
        let last = &sizes[sizes.len() - 500..];
        rates.push(last.iter().sum::<f64>() / 10.0 / f64::from(bitrate));
    }
    assert!(rates.iter().all(|r| (r - 1.0).abs() < 0.05), "{rates:?}");
    element.set_property_from_str("rate-control", "constant");
    harness.push(raw_buffer(&voice(4800), position)).expect("a push");
    let stages: Vec<u8> = ended(&mut harness).iter().map(|b| info(&bytes_of(b)).stages).collect();
    assert_eq!(stages.last(), Some(&7), "7000 b/s of codes");
}

#[test]
fn a_rate_that_the_bundle_has_not_is_a_warning_while_playing() {
    let mut harness = harness("frames-per-packet=1 stages=3");
    let bus = bus_of(&harness);
    harness.push(raw_buffer(&voice(4800), 0)).expect("a push");
    harness.element().expect("an element").set_property("stages", 40u32);
    harness.push(raw_buffer(&voice(4800), 4800)).expect("a push");
    assert!(ended(&mut harness).iter().all(|b| info(&bytes_of(b)).stages == 3));
    let warnings = warnings_on(&bus);
    assert!(warnings.len() == 1 && warnings[0].contains("stages is 40, allowed: 0 to 9"), "{warnings:?}");
}

#[test]
fn other_caps_in_the_middle_end_one_stream_and_begin_another() {
    let mut harness = harness("frames-per-packet=1");
    harness.push(raw_buffer(&voice(1000), 0)).expect("a push");
    let other: gst::Caps = format!("{RAW},channel-mask=(bitmask)0x4").parse().expect("caps");
    harness.push_event(gst::event::Caps::new(&other));
    harness.push(raw_buffer(&voice(700), 1000)).expect("a push");
    let buffers = ended(&mut harness);
    let packets: Vec<Vec<u8>> = buffers.iter().map(|b| bytes_of(b)).collect();
    let starts: Vec<bool> = packets.iter().map(|p| info(p).starts_stream).collect();
    assert_eq!(starts, [true, false, false, true, false]);
    assert_eq!(decode(packets.iter().map(Vec::as_slice)).len(), 1700);
}

/// Root mean square.
fn level(pcm: &[f32]) -> f32 {
    (pcm.iter().map(|s| s * s).sum::<f32>() / pcm.len().max(1) as f32).sqrt()
}

/// What a file of these buffers plays, put where their times say.
fn decoded(buffers: &[gst::Buffer]) -> Vec<f32> {
    let mut decoder = Harness::new("siskinaudiodec");
    decoder.set_src_caps(stream_caps(&header()));
    decoder.play();
    for buffer in buffers {
        decoder.push(buffer.clone()).expect("a push");
    }
    decoder.push_event(gst::event::Eos::new());
    let mut pcm = Vec::new();
    for buffer in pull_all(&mut decoder) {
        let at = buffer.pts().expect("a time").nseconds() as f64 * RATE as f64 / 1e9;
        let start = at.round() as usize;
        assert!(start.abs_diff(pcm.len()) <= 1, "sound at {start}, the one before ends at {}", pcm.len());
        pcm.extend(samples_of(&buffer));
    }
    pcm
}

#[test]
fn a_gap_of_the_input_is_silence_of_its_length() {
    let (first, second) = (voice(26_000), voice(24_000));
    // 10 ms to both sides: what the filters of the codec smear.
    let margin = 480;
    for frames in [1, 5, 50] {
        // As times that jump, and announced by an event.
        for announced in [false, true] {
            let mut harness = harness(&format!("frames-per-packet={frames}"));
            harness.push(raw_buffer(&first, 0)).expect("a push");
            let start = 3 * RATE;
            if announced {
                let gap = time(start) - time(26_000);
                harness.push_event(gst::event::Gap::builder(time(26_000)).duration(gap).build());
            }
            let mut later = raw_buffer(&second, start);
            later.make_mut().set_flags(gst::BufferFlags::DISCONT);
            harness.push(later).expect("a push");
            let pcm = decoded(&ended(&mut harness));
            assert_eq!(pcm.len() as u64, start + 24_000, "{frames} frames a packet");
            let start = start as usize;
            let (before, gap) = (level(&pcm[..26_000]), level(&pcm[26_000 + margin..start - margin]));
            let after = level(&pcm[start..start + 24_000]);
            assert!(gap < 0.02 * before, "{frames} frames a packet: {gap} in the gap, {before} before");
            assert!(
                (0.5..2.0).contains(&(after / before)),
                "{frames} frames a packet: {after} after, {before} before"
            );
        }
    }
}

/// Where the sound begins again after a gap, in samples.
fn onset(pcm: &[f32], from: usize) -> usize {
    let loudest = pcm[from..].iter().fold(0.0f32, |m, s| m.max(s.abs()));
    from + pcm[from..].iter().position(|s| s.abs() > 0.3 * loudest).unwrap_or_default()
}

#[test]
fn sound_after_a_gap_of_any_length_is_in_its_place() {
    // Half a second of a tone that begins at once and loudly, a gap, and the same again.
    let tone: Vec<f32> = (0..12_000).map(|n| 0.5 * (n as f32 * 0.07).sin()).collect();
    for frames in [1, 2, 5, 50] {
        for gap in [20, 33, 60, 250, 999, 3000] {
            let mut harness = harness(&format!("frames-per-packet={frames} stages=9"));
            // In buffers of 21.3 ms, as of 1024 samples at 48 kHz.
            let start = tone.len() as u64 + gap * RATE / 1000;
            for first in [0, start] {
                for (n, piece) in tone.chunks(512).enumerate() {
                    harness.push(raw_buffer(piece, first + 512 * n as u64)).expect("a push");
                }
            }
            let pcm = decoded(&ended(&mut harness));
            assert_eq!(pcm.len() as u64, start + tone.len() as u64, "{frames} frames a packet, {gap} ms");
            // From the middle of the gap; the codec smears by up to a frame to both sides.
            let again = onset(&pcm, tone.len() + (start as usize - tone.len()) / 2);
            let off = again as i64 - start as i64;
            assert!((-480..=480).contains(&off), "{frames} frames a packet, {gap} ms: {off} samples off");
        }
    }
}

#[test]
fn jumps_to_and_fro_within_the_tolerance_move_nothing() {
    // 20 ms of sound whose times are off by up to 9 ms to either side, as those of a network.
    for frames in [1, 2, 5, 50] {
        let (mut harness, mut dice) = (harness(&format!("frames-per-packet={frames}")), Dice(7));
        let pcm = voice(480 * 100);
        for (n, piece) in pcm.chunks(480).enumerate() {
            let off = if n == 0 { 0 } else { dice.roll(433) as i64 - 216 };
            let position = (480 * n as u64).saturating_add_signed(off);
            harness.push(raw_buffer(piece, position)).expect("a push");
        }
        let packets: Vec<_> = ended(&mut harness).iter().map(|b| bytes_of(b)).collect();
        let expected: Vec<_> = encode(&pcm, frames, None).into_iter().map(|p| p.data).collect();
        assert!(packets == expected, "{frames} frames a packet: the samples are not those of the input");
    }
}

#[test]
fn small_jumps_do_not_add_up() {
    // 20 ms of sound every 25 ms, each jump below the 40 ms that the base class lets pass.
    for frames in [1, 50] {
        let mut harness = harness(&format!("frames-per-packet={frames}"));
        let pcm = voice(480);
        for n in 0..200 {
            harness.push(raw_buffer(&pcm, n * 600)).expect("a push");
        }
        let buffers = ended(&mut harness);
        let end =
            buffers.last().and_then(|b| b.pts().zip(b.duration())).map(|(pts, d)| pts + d).expect("a time");
        let off = end.max(time(199 * 600 + 480)) - end.min(time(199 * 600 + 480));
        assert!(off <= gst::ClockTime::from_mseconds(10), "{frames} frames a packet: off by {off}");
        let coded: u64 = buffers.iter().map(|b| b.duration().expect("a duration").nseconds()).sum();
        let expected = time(199 * 600 + 480).nseconds();
        assert!(coded.abs_diff(expected) <= 50_000_000, "{frames} frames a packet: {coded} of {expected} ns");
    }
}

#[test]
fn what_comes_twice_is_cut_off() {
    let mut harness = harness("frames-per-packet=50");
    let pcm = voice(48_000);
    harness.push(raw_buffer(&pcm[..30_000], 0)).expect("a push");
    // All of it old, then half of it.
    harness.push(raw_buffer(&pcm[20_000..25_000], 20_000)).expect("a push");
    harness.push(raw_buffer(&pcm[25_000..], 25_000)).expect("a push");
    let buffers = ended(&mut harness);
    let expected = encode(&pcm, 50, None);
    assert_eq!(
        buffers.iter().map(|b| bytes_of(b)).collect::<Vec<_>>(),
        expected.iter().map(|p| p.data.clone()).collect::<Vec<_>>()
    );
}

#[test]
fn behind_a_long_gap_a_new_stream_begins_at_its_time() {
    for frames in [1, 50] {
        let mut harness = harness(&format!("frames-per-packet={frames}"));
        harness.push(raw_buffer(&voice(26_000), 0)).expect("a push");
        harness.push(raw_buffer(&voice(24_000), 60 * RATE)).expect("a push");
        let buffers = ended(&mut harness);
        let starts: Vec<_> = buffers
            .iter()
            .filter(|b| info(&bytes_of(b)).starts_stream)
            .map(|b| b.pts().expect("a time").seconds())
            .collect();
        assert_eq!(starts, [0, 60], "{frames} frames a packet");
        let length = |from: u64, to: u64| -> u64 {
            let part = buffers.iter().filter(|b| (from..to).contains(&b.pts().expect("a time").seconds()));
            part.map(|b| b.duration().expect("a duration").nseconds()).sum::<u64>() / 1_000_000
        };
        // 300 ms of silence, so that a decoder conceals silence.
        assert!(length(0, 60).abs_diff(1083 + 300) <= 1, "{} ms", length(0, 60));
        assert!(length(60, 99).abs_diff(1000) <= 1, "{} ms", length(60, 99));
    }
}

#[test]
fn a_flush_forgets_what_was_before() {
    let mut harness = harness("frames-per-packet=1");
    harness.push(raw_buffer(&voice(1100), 0)).expect("a push");
    pull_all(&mut harness);
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    harness.push_event(gst::event::Segment::new(&segment));
    let pcm = voice(5000);
    harness.push(raw_buffer(&pcm, 0)).expect("a push");
    let packets: Vec<Vec<u8>> = ended(&mut harness).iter().map(|b| bytes_of(b)).collect();
    let expected: Vec<Vec<u8>> = encode(&pcm, 1, None).into_iter().map(|p| p.data).collect();
    assert_eq!(packets, expected);
}

#[test]
fn it_can_be_stopped_and_started_again() {
    let pipeline = launch(&format!(
        "audiotestsrc num-buffers=20 ! {RAW} ! siskinaudioenc name=enc ! siskinaudiodec ! fakesink sync=false"
    ));
    let encoder = pipeline.by_name("enc").expect("enc");
    for _ in 0..2 {
        assert_eq!(play_on(&pipeline).error, None);
        assert_eq!(encoder.property::<String>("active-provider"), "cpu");
        let stats = encoder.property::<gst::Structure>("stats");
        assert_eq!(stats.get::<u64>("samples"), Ok(20 * 1024));
        pipeline.set_state(gst::State::Null).expect("stopping never fails");
        assert_eq!(encoder.property::<String>("active-provider"), "");
    }
}

#[test]
fn stats_count_packets_frames_and_bytes() {
    let mut harness = harness("frames-per-packet=2");
    harness.push(raw_buffer(&voice(24_000), 0)).expect("a push");
    let buffers = ended(&mut harness);
    let stats = harness.element().expect("an element").property::<gst::Structure>("stats");
    let bytes: usize = buffers.iter().map(|b| b.size()).sum();
    assert_eq!(stats.get("packets"), Ok(26u64));
    assert_eq!(stats.get("frames"), Ok(51u64));
    assert_eq!(stats.get("samples"), Ok(24_000u64));
    assert_eq!(stats.get("bytes"), Ok(bytes as u64));
    assert_eq!(stats.get("bitrate"), Ok(bytes as u64 * 8));
}

#[test]
fn what_cannot_be_had_is_an_error_that_says_why() {
    for (properties, reason) in [
        ("model=whale-song", "model bundle whale-song not found; searched: "),
        ("execution-provider=cuda", "execution provider cuda cannot be used: "),
        ("execution-provider=tensorrt", "execution provider tensorrt cannot be used: "),
        ("stages=64", "stages is 64, allowed: 0 to 9"),
    ] {
        let said =
            play(&launch(&format!("audiotestsrc num-buffers=2 ! siskinaudioenc {properties} ! fakesink")));
        assert!(said.error.as_ref().is_some_and(|e| e.contains(reason)), "{properties}: {said:?}");
    }
}
