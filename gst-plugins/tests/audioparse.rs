//! `siskinaudioparse` on its own.

mod common;

use common::*;
use gst::prelude::*;
use gst_check::Harness;

fn harness() -> Harness {
    common::harness("siskinaudioparse", UNKNOWN)
}

/// A packet as a demuxer passes it on: time in whole milliseconds, no duration.
fn demuxed(packet: &Coded) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(packet.data.clone());
    let milliseconds = (time(packet.position).nseconds() + 500_000) / 1_000_000;
    buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(milliseconds));
    buffer
}

fn caps_of(harness: &Harness) -> Option<gst::Caps> {
    harness.element().and_then(|e| e.static_pad("src")).and_then(|pad| pad.current_caps())
}

fn assert_exact(buffers: &[gst::Buffer], coded: &[Coded]) {
    assert_eq!(buffers.len(), coded.len());
    for (buffer, packet) in buffers.iter().zip(coded) {
        assert_eq!(bytes_of(buffer), packet.data);
        let end = buffer.pts().zip(buffer.duration()).map(|(pts, duration)| pts + duration);
        assert_eq!(
            (buffer.pts(), end),
            (Some(time(packet.position)), Some(time(packet.position + packet.samples)))
        );
    }
}

#[test]
fn rounded_times_become_exact_and_caps_full() {
    for frames in [1, 7, 50] {
        let coded = encode(&voice(55_555), frames, None);
        let mut harness = harness();
        assert_eq!(caps_of(&harness), None, "not before the header is known");
        for packet in &coded {
            harness.push(demuxed(packet)).expect("a push");
        }
        let caps = caps_of(&harness).expect("caps");
        let structure = caps.structure(0).expect("a structure");
        assert_eq!((structure.name().as_str(), structure.get("rate")), ("audio/x-siskin", Ok(24_000)));
        let private = structure.get::<gst::Buffer>("codec_data").expect("codec data");
        assert_eq!(bytes_of(&private), header().to_bytes());
        assert_exact(&pull_all(&mut harness), &coded);
    }
}

#[test]
fn events_keep_their_order_around_the_caps() {
    let coded = encode(&voice(5000), 1, None);
    let mut harness = harness();
    let mut tags = gst::TagList::new();
    tags.make_mut().add::<gst::tags::LanguageCode>(&"fr", gst::TagMergeMode::Append);
    harness.push_event(gst::event::Tag::new(tags));
    harness.push(demuxed(&coded[0])).expect("a push");
    let events: Vec<_> = std::iter::from_fn(|| harness.try_pull_event()).collect();
    let kinds: Vec<_> = events.iter().map(|e| e.type_()).collect();
    use gst::EventType::{Caps, Segment, StreamStart, Tag};
    assert_eq!(kinds, [StreamStart, Caps, Segment, Tag]);
    let Some(gst::EventView::Tag(tag)) = events.last().map(|e| e.view()) else { unreachable!("it is a tag") };
    assert_eq!(tag.tag().get::<gst::tags::LanguageCode>().map(|t| t.get().to_owned()).as_deref(), Some("fr"));
    let codec = tag.tag().get::<gst::tags::AudioCodec>().map(|t| t.get().to_owned());
    assert_eq!(codec.as_deref(), Some("Siskin (speech-24k)"));
}

#[test]
fn after_a_seek_the_header_is_still_known_and_times_are_exact() {
    let coded = encode(&voice(60_000), 7, None);
    let mut harness = harness();
    harness.push(demuxed(&coded[0])).expect("a push");
    pull_all(&mut harness);
    for from in [3, 1, 11] {
        harness.push_event(gst::event::FlushStart::new());
        harness.push_event(gst::event::FlushStop::new(true));
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(time(coded[from].position));
        harness.push_event(gst::event::Segment::new(&segment));
        for packet in &coded[from..] {
            harness.push(demuxed(packet)).expect("a push");
        }
        let buffers = pull_all(&mut harness);
        assert!(buffers[0].flags().contains(gst::BufferFlags::DISCONT));
        assert_exact(&buffers, &coded[from..]);
    }
}

#[test]
fn a_broken_packet_takes_as_long_as_a_whole_one() {
    let coded = encode(&voice(20_000), 1, None);
    let mut harness = harness();
    for (n, packet) in coded.iter().enumerate() {
        let broken = Coded { data: vec![0xff; 20], ..packet.clone() };
        harness.push(demuxed(if n == 9 { &broken } else { packet })).expect("a push");
    }
    let buffers = pull_all(&mut harness);
    assert_eq!(buffers.len(), coded.len());
    assert!(buffers[9].flags().contains(gst::BufferFlags::CORRUPTED));
    assert_eq!((buffers[9].pts(), buffers[9].duration()), (Some(time(coded[9].position)), Some(time(480))));
    assert_exact(&buffers[10..], &coded[10..]);
}

#[test]
fn no_bytes_stop_it() {
    let coded = encode(&voice(30_000), 1, None);
    let mut harness = harness();
    let mut dice = Dice(3);
    for packet in &coded {
        let garbage: Vec<u8> = (0..dice.roll(60)).map(|_| dice.roll(256) as u8).collect();
        let stamp = gst::ClockTime::from_nseconds(dice.0);
        let mut buffer = gst::Buffer::from_slice(garbage);
        buffer.make_mut().set_pts(stamp);
        harness.push(buffer).expect("a push");
        harness.push(demuxed(packet)).expect("a push");
    }
    let whole: Vec<_> = pull_all(&mut harness)
        .into_iter()
        .filter(|b| !b.flags().contains(gst::BufferFlags::CORRUPTED))
        .collect();
    let expected: Vec<_> = coded.iter().map(|p| p.data.clone()).collect();
    assert_eq!(whole.iter().map(|b| bytes_of(b)).collect::<Vec<_>>(), expected);
}

#[test]
fn a_stream_without_any_header_is_an_error_at_its_end() {
    let coded = encode(&voice(10_000), 1, None);
    let mut harness = harness();
    let bus = bus_of(&harness);
    for packet in &coded[1..] {
        harness.push(demuxed(packet)).expect("a push");
    }
    harness.push_event(gst::event::Eos::new());
    assert!(pull_all(&mut harness).is_empty());
    let message = bus.pop_filtered(&[gst::MessageType::Error]).expect("an error");
    let gst::MessageView::Error(error) = message.view() else { unreachable!("it is an error") };
    assert!(error.error().to_string().starts_with("no Siskin stream header in 21 packets"));
}

#[test]
fn a_stream_may_follow_another() {
    let (first, second) = (encode(&voice(3000), 1, None), encode(&voice(2000), 1, None));
    let mut harness = harness();
    for packet in &first {
        harness.push(demuxed(packet)).expect("a push");
    }
    for packet in &second {
        let mut buffer = demuxed(packet);
        let later = buffer.pts().map(|pts| pts + gst::ClockTime::from_seconds(60));
        buffer.make_mut().set_pts(later);
        harness.push(buffer).expect("a push");
    }
    let buffers = pull_all(&mut harness);
    assert_exact(&buffers[..first.len()], &first);
    assert_eq!(buffers[first.len()].pts(), Some(gst::ClockTime::from_seconds(60)));
    let packets: Vec<_> = buffers.iter().map(|b| bytes_of(b)).collect();
    assert_eq!(decode(packets.iter().map(Vec::as_slice)).len(), 5000);
}

#[test]
fn what_the_encoder_gives_goes_through_unchanged() {
    let text =
        format!("audiotestsrc num-buffers=30 ! {RAW} ! siskinaudioenc ! siskinaudioparse ! siskinaudiodec");
    let (sink, ear) = ear();
    let pipeline = launch(&text);
    pipeline.add(&sink).expect("a new element");
    let last =
        pipeline.iterate_elements().into_iter().flatten().find(|e| e.name().starts_with("siskinaudiodec"));
    last.expect("the decoder").link(&sink).expect("a link");
    assert_eq!(play(&pipeline).error, None);
    assert_eq!(heard(&ear).pcm.len(), 30 * 1024);
}

/// As of `GstBaseParse`: an encoder or a relay in front of a parser sees what stands behind it.
#[test]
fn a_parser_takes_what_downstream_takes() {
    init();
    for (parser, media, unknown, taken, refused) in [
        ("siskinaudioparse", "audio/x-siskin", "audio/x-unknown", "rate=(int)16000", "rate=(int)24000"),
        ("siskinvideoparse", "video/x-siskin", "video/x-unknown", "width=(int)320", "width=(int)640"),
    ] {
        let pipeline = launch(&format!("{parser} name=parse ! {media},{taken} ! fakesink"));
        let pad = pipeline.by_name("parse").and_then(|p| p.static_pad("sink")).expect("a pad");
        let caps = pad.query_caps(None);
        let names: Vec<_> = caps.iter().map(|s| s.name().as_str()).collect();
        assert_eq!(names, [unknown, media]);
        // The parser adds `parsed` itself.
        let coded = caps.structure(1).expect("a structure");
        assert!(coded.to_string().contains(taken) && !coded.has_field("parsed"), "{coded}");
        let with = |field| format!("{media},{field}").parse::<gst::Caps>().expect("caps");
        assert!(!pad.query_caps(Some(&with(taken))).is_empty(), "{parser}");
        assert!(pad.query_caps(Some(&with(refused))).is_empty(), "{parser}");
        // A stream that does not fit is refused by what stands behind, with its own reason.
        assert!(pad.query_accept_caps(&with(refused)), "{parser}");
    }
}
