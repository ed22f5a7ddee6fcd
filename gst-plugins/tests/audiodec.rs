//! `siskinaudiodec` on its own.

mod common;

use common::*;
use gst::prelude::*;
use gst_check::Harness;

/// Caps of the stream, with or without its header.
fn caps(with_header: bool) -> String {
    let plain = "audio/x-siskin,rate=24000,channels=1,parsed=true";
    let hex: String = header().to_bytes().iter().map(|b| format!("{b:02x}")).collect();
    if with_header { format!("{plain},streamheader=(buffer)<{hex}>") } else { plain.into() }
}

fn harness(properties: &str) -> Harness {
    common::harness(&format!("siskinaudiodec {properties}"), &caps(true))
}

fn pcm_of(buffers: &[gst::Buffer]) -> Vec<f32> {
    buffers.iter().flat_map(|b| samples_of(b)).collect()
}

fn stat(harness: &Harness, name: &str) -> u64 {
    let stats = harness.element().expect("an element").property::<gst::Structure>("stats");
    stats.get(name).expect("a counter of that name")
}

fn push_all<'a>(harness: &mut Harness, packets: impl IntoIterator<Item = &'a Coded>) {
    for packet in packets {
        harness.push(packet.buffer()).expect("a push");
    }
}

/// Whether the buffers follow each other without a hole, from the stream's first sample on.
fn assert_contiguous(buffers: &[gst::Buffer]) {
    let mut position = 0;
    for buffer in buffers {
        let pts = buffer.pts().expect("a time");
        let off = pts.max(time(position)) - pts.min(time(position));
        assert!(off.nseconds() <= 2, "{pts} at sample {position}");
        position += samples_of(buffer).len() as u64;
    }
}

#[test]
fn samples_are_the_cores_to_the_bit() {
    for (length, frames) in [(1, 1), (240, 1), (241, 1), (24_001, 1), (50_000, 7), (48_000, 50)] {
        let coded = encode(&voice(length), frames, None);
        let mut harness = harness("");
        push_all(&mut harness, &coded);
        harness.push_event(gst::event::Eos::new());
        let buffers = pull_all(&mut harness);
        assert_contiguous(&buffers);
        let pcm = pcm_of(&buffers);
        assert_eq!(pcm.len(), length);
        assert_same(&pcm, &decode_coded(&coded));
    }
}

#[test]
fn a_seek_without_sound_gives_none() {
    let coded = encode(&voice(24_000), 1, None);
    let mut harness = harness("");
    let segment = |is_silent: bool| {
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        if is_silent {
            segment.set_flags(gst::SegmentFlags::TRICKMODE | gst::SegmentFlags::TRICKMODE_NO_AUDIO);
        }
        gst::event::Segment::new(&segment)
    };
    for is_silent in [true, false] {
        harness.push_event(gst::event::FlushStart::new());
        harness.push_event(gst::event::FlushStop::new(true));
        harness.push_event(segment(is_silent));
        // The base class of GStreamer 1.22 made gaps of packets and packets of gaps until the stack was full.
        push_all(&mut harness, &coded);
        assert_eq!(pull_all(&mut harness).is_empty(), is_silent);
    }
}

#[test]
fn the_header_may_come_in_the_packets_alone() {
    let coded = encode(&voice(5000), 1, None);
    let mut harness = common::harness("siskinaudiodec", &caps(false));
    push_all(&mut harness, &coded);
    assert_same(&pcm_of(&pull_all(&mut harness)), &decode_coded(&coded));
}

#[test]
fn a_late_joiner_waits_for_the_header() {
    // The header is in the packets every 50 frames.
    let coded = encode(&voice(60_000), 1, None);
    let mut harness = common::harness("siskinaudiodec", &caps(false));
    let bus = bus_of(&harness);
    harness.push(Coded { data: vec![0xff; 30], ..coded[9].clone() }.buffer()).expect("a push");
    push_all(&mut harness, &coded[11..]);
    assert_eq!(warnings_on(&bus), [""; 0]);
    assert_eq!(stat(&harness, "packets-before-header"), 40);
    let expected = decode(coded[50..].iter().map(|p| p.data.as_slice()));
    let buffers = pull_all(&mut harness);
    assert_same(&pcm_of(&buffers), &expected);
    assert_eq!(buffers[0].pts(), Some(time(coded[50].position)));
}

/// What the core makes of packets of which some are lost.
fn with_losses(coded: &[Coded], lost: std::ops::Range<usize>) -> Vec<f32> {
    let (mut decoder, mut pcm) = (decoder(), Vec::new());
    for (n, packet) in coded.iter().enumerate() {
        if lost.contains(&n) {
            let end = pcm.len() + packet.samples as usize;
            decoder.conceal((packet.samples as u32).div_ceil(480), &mut pcm).expect("concealment");
            pcm.truncate(end);
        } else {
            decoder.decode(&packet.data, &mut pcm).expect("a packet of ours");
        }
    }
    pcm
}

#[test]
fn a_gap_is_concealed_and_the_length_kept() {
    let coded = encode(&voice(20_000), 1, None);
    let mut harness = harness("");
    push_all(&mut harness, &coded[..12]);
    for packet in &coded[12..15] {
        let gap = gst::event::Gap::builder(time(packet.position)).duration(time(packet.samples)).build();
        assert!(harness.push_event(gap));
    }
    // A source marks what follows a loss; that must not throw away the state that bridges it.
    let mut next = coded[15].buffer();
    next.make_mut().set_flags(gst::BufferFlags::DISCONT);
    harness.push(next).expect("a push");
    push_all(&mut harness, &coded[16..]);
    let buffers = pull_all(&mut harness);
    assert_contiguous(&buffers);
    let pcm = pcm_of(&buffers);
    assert_eq!(pcm.len(), 20_000);
    assert_same(&pcm, &with_losses(&coded, 12..15));
    assert_eq!((stat(&harness, "concealments"), stat(&harness, "concealed-samples")), (3, 3 * 480));
}

/// What the core makes of packets of one frame with a hole, when it knows the packet behind it.
fn with_hole(coded: &[Coded], hole: std::ops::Range<usize>) -> Vec<f32> {
    let (mut decoder, mut pcm) = (decoder(), Vec::new());
    for (n, packet) in coded.iter().enumerate().filter(|(n, _)| !hole.contains(n)) {
        if n == hole.end {
            decoder.conceal_before_data(hole.len() as u32, &packet.data, &mut pcm).expect("concealment");
        }
        decoder.decode(&packet.data, &mut pcm).expect("a packet of ours");
    }
    pcm
}

#[test]
fn a_hole_between_packets_is_a_gap_too() {
    for discont in [false, true] {
        let coded = encode(&voice(20_000), 1, None);
        let mut harness = harness("");
        push_all(&mut harness, &coded[..12]);
        let mut next = coded[15].buffer();
        if discont {
            next.make_mut().set_flags(gst::BufferFlags::DISCONT);
        }
        harness.push(next).expect("a push");
        push_all(&mut harness, &coded[16..]);
        let buffers = pull_all(&mut harness);
        assert_contiguous(&buffers);
        assert_same(&pcm_of(&buffers), &with_hole(&coded, 12..15));
    }
}

#[test]
fn a_lost_packet_of_many_frames_is_as_long_as_it_was() {
    let coded = encode(&voice(100_000), 50, None);
    let mut harness = harness("");
    push_all(&mut harness, coded[..1].iter().chain(&coded[2..]));
    let buffers = pull_all(&mut harness);
    assert_contiguous(&buffers);
    assert_eq!(pcm_of(&buffers).len(), 100_000);
}

#[test]
fn a_pause_is_not_filled() {
    let coded = encode(&voice(10_000), 1, None);
    let mut harness = harness("");
    push_all(&mut harness, &coded[..5]);
    let mut late = coded[5].buffer();
    late.make_mut().set_pts(gst::ClockTime::from_seconds(3600));
    harness.push(late).expect("a push");
    let buffers = pull_all(&mut harness);
    assert_eq!(buffers.last().and_then(|b| b.pts()), Some(gst::ClockTime::from_seconds(3600)));
    assert_eq!(stat(&harness, "concealments"), 0);
}

#[test]
fn the_longest_gap_there_is_makes_ten_seconds() {
    let coded = encode(&voice(10_000), 1, None);
    let mut harness = harness("");
    push_all(&mut harness, &coded[..5]);
    let gap = gst::event::Gap::builder(time(coded[5].position)).duration(gst::ClockTime::MAX);
    harness.push_event(gap.build());
    assert_eq!(stat(&harness, "concealed-samples"), 240_000);
}

#[test]
fn without_plc_a_gap_is_passed_on() {
    let coded = encode(&voice(5000), 1, None);
    let mut harness = harness("plc=false");
    push_all(&mut harness, &coded[..3]);
    while harness.try_pull_event().is_some() {}
    harness.push_event(gst::event::Gap::builder(time(coded[3].position)).duration(time(480)).build());
    push_all(&mut harness, &coded[5..]);
    assert_eq!(harness.try_pull_event().map(|e| e.type_()), Some(gst::EventType::Gap));
    let lengths = coded[..3].iter().chain(&coded[5..]).map(|p| p.samples).sum::<u64>();
    assert_eq!(pcm_of(&pull_all(&mut harness)).len() as u64, lengths);
}

#[test]
fn plc_is_on_by_default() {
    assert!(harness("").element().expect("an element").property::<bool>("plc"));
}

#[test]
fn a_broken_packet_is_a_warning_and_keeps_the_length() {
    let coded = encode(&voice(20_000), 1, None);
    let mut harness = harness("");
    let bus = bus_of(&harness);
    for (n, packet) in coded.iter().enumerate() {
        let mut broken = packet.clone();
        match n {
            10 => broken.data.truncate(7),
            11 => broken.data = vec![0xff; 40],
            12 => broken.data.push(1),
            _ => (),
        }
        harness.push(broken.buffer()).expect("a broken packet stops nothing");
    }
    let buffers = pull_all(&mut harness);
    assert_contiguous(&buffers);
    assert_same(&pcm_of(&buffers), &with_losses(&coded, 10..13));
    let warnings = warnings_on(&bus);
    assert_eq!(warnings.len(), 1, "one for the run: {warnings:?}");
    assert!(warnings[0].starts_with("broken packet at 0:00:00.19"), "{warnings:?}");
    assert_eq!(stat(&harness, "broken-packets"), 3);
}

#[test]
fn no_bytes_stop_it() {
    let coded = encode(&voice(48_000), 1, None);
    let mut harness = harness("");
    let mut dice = Dice(7);
    for packet in &coded {
        let mut damaged = packet.clone();
        for _ in 0..dice.roll(4) {
            let at = dice.roll(damaged.data.len() as u64) as usize;
            damaged.data[at] ^= 1 << dice.roll(8);
        }
        damaged.data.truncate(1 + dice.roll(2 * packet.data.len() as u64) as usize);
        harness.push(damaged.buffer()).expect("a broken packet stops nothing");
    }
    assert!(stat(&harness, "broken-packets") > 10);
}

#[test]
fn errors_that_are_not_concealed_can_be_limited() {
    let coded = encode(&voice(20_000), 1, None);
    let mut harness = harness("plc=false");
    // The base class forgets what was set before the start.
    harness.element().expect("an element").set_property("max-errors", 3);
    push_all(&mut harness, &coded[..3]);
    let mut push =
        |packet: &Coded| harness.push(Coded { data: vec![0xff; 9], ..packet.clone() }.buffer()).is_ok();
    assert_eq!(coded[3..8].iter().map(&mut push).collect::<Vec<_>>(), [true, true, true, false, false]);
}

#[test]
fn another_bundles_stream_is_an_error_that_names_it() {
    init();
    let hex: String = stranger().to_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let text = format!(
        "appsrc name=in format=time caps=\"audio/x-siskin,rate=24000,channels=1,parsed=true,codec_data=(buffer){hex}\" ! \
         siskinaudiodec ! fakesink"
    );
    let pipeline = launch(&text);
    let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().expect("in");
    source.push_buffer(encode(&voice(480), 1, None)[0].buffer()).expect("a push");
    let error = play(&pipeline).error.expect("an error");
    assert!(
        error.starts_with("this stream needs the model bundle whale-song (id abababababababab)"),
        "{error}"
    );
    assert!(error.contains("found instead: ") && error.contains("speech-24k"), "{error}");
}

#[test]
fn a_damaged_header_in_the_middle_is_not_another_stream() {
    let coded = encode(&voice(100_000), 1, None);
    let mut harness = harness("");
    let bus = bus_of(&harness);
    for (n, packet) in coded.iter().enumerate() {
        let mut packet = packet.clone();
        if n == 50 {
            packet.data[6] ^= 0xff;
        }
        harness.push(packet.buffer()).expect("a push");
    }
    assert_same(&pcm_of(&pull_all(&mut harness)), &with_losses(&coded, 50..51));
    assert_eq!(warnings_on(&bus).len(), 1);
}

#[test]
fn a_flush_makes_it_as_new() {
    let coded = encode(&voice(20_000), 1, None);
    let mut harness = harness("");
    push_all(&mut harness, &coded[..20]);
    pull_all(&mut harness);
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    push_all(&mut harness, &coded[5..15]);
    let expected = decode(coded[5..15].iter().map(|p| p.data.as_slice()));
    assert_same(&pcm_of(&pull_all(&mut harness)), &expected);
}

#[test]
fn what_cannot_be_had_is_an_error_that_says_why() {
    for (properties, reason) in [
        ("model=whale-song", "model bundle whale-song not found; searched: "),
        ("execution-provider=cuda", "execution provider cuda cannot be used: "),
    ] {
        let text =
            format!("audiotestsrc num-buffers=2 ! siskinaudioenc ! siskinaudiodec {properties} ! fakesink");
        let said = play(&launch(&text));
        assert!(said.error.as_ref().is_some_and(|e| e.contains(reason)), "{properties}: {said:?}");
    }
}
