//! Video over RTP: cut, lost, doubled, joined late, begun anew.

mod common;

use common::*;
use gst::prelude::*;
use siskin_core::video::inspect;

const RAW_VIDEO: &str = "video/x-raw,format=I420,width=48,height=32,framerate=25/1";

/// RTP packets of a test picture's video, each with its sequence number.
fn payloads(frames: u32, gop: u32) -> Vec<(u16, gst::Buffer)> {
    payloads_from(-1, frames, gop)
}

/// The same, numbered from `first` on, or from a random number if that is -1.
fn payloads_from(first: i32, frames: u32, gop: u32) -> Vec<(u16, gst::Buffer)> {
    init();
    let text = format!(
        "videotestsrc num-buffers={frames} pattern=smpte ! {RAW_VIDEO} ! siskinvideoenc quality=100 \
         keyframe-interval={gop} threads=1 ! rtpsiskinvideopay mtu=150 seqnum-offset={first} name=last"
    );
    let (sink, packets) =
        (gst_app::AppSink::builder().sync(false).build(), std::sync::Mutex::new(Vec::new()));
    let pipeline = launch(&text);
    pipeline.add(&sink).expect("a new element");
    pipeline.by_name("last").expect("last").link(&sink).expect("a link");
    pipeline.set_state(gst::State::Playing).expect("a start");
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer_owned().expect("a buffer");
        assert!(buffer.size() <= 150, "{} bytes", buffer.size());
        let sequence = gst_rtp::RTPBuffer::from_buffer_readable(&buffer).expect("RTP").seq();
        packets.lock().expect("nobody panics with it").push((sequence, buffer));
    }
    let caps = sink.static_pad("sink").and_then(|p| p.current_caps()).expect("caps");
    let structure = caps.structure(0).expect("a structure");
    assert_eq!(structure.get::<&str>("media"), Ok("video"));
    assert!(structure.get::<&str>("config").is_ok_and(|c| c.starts_with("534b56")));
    // Only streams of networks need a bundle.
    assert!(!structure.has_field("bundle"), "{structure}");
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    packets.into_inner().expect("nobody panics with it")
}

fn receiver() -> gst_check::Harness {
    harness("rtpsiskinvideodepay", "application/x-rtp,media=video,clock-rate=90000,encoding-name=SISKIN")
}

fn push<'a>(harness: &mut gst_check::Harness, payloads: impl Iterator<Item = &'a (u16, gst::Buffer)>) {
    for (_, buffer) in payloads {
        harness.push(buffer.clone()).expect("a push");
    }
}

/// Numbers of the packets that come out, and whether they follow a loss.
fn received(harness: &mut gst_check::Harness) -> Vec<(u32, bool)> {
    received_with_keys(harness).into_iter().map(|(number, discont, _)| (number, discont)).collect()
}

/// The same, and whether each decodes alone.
fn received_with_keys(harness: &mut gst_check::Harness) -> Vec<(u32, bool, bool)> {
    pull_all(harness)
        .iter()
        .map(|b| {
            let info = inspect(&bytes_of(b), &Default::default()).expect("a whole packet");
            assert_eq!(info.is_keyframe, !b.flags().contains(gst::BufferFlags::DELTA_UNIT));
            assert_eq!(b.duration(), Some(gst::ClockTime::from_mseconds(40)));
            (info.number, b.flags().contains(gst::BufferFlags::DISCONT), info.is_keyframe)
        })
        .collect()
}

/// Requests for a key packet that went upstream.
fn requests(harness: &mut gst_check::Harness) -> usize {
    let events = std::iter::from_fn(|| harness.try_pull_upstream_event());
    events.filter(|e| gst_video::ForceKeyUnitEvent::is(e)).count()
}

#[test]
fn packets_come_through_and_a_loss_skips_to_the_next_key_packet() {
    let sent = payloads(9, 3);
    assert!(sent.len() > 18, "{} payloads are no fragments", sent.len());
    let mut whole = receiver();
    push(&mut whole, sent.iter());
    let all = received_with_keys(&mut whole);
    assert_eq!(all.iter().map(|p| p.0).collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
    assert!((3..9).contains(&all.iter().filter(|p| p.2).count()), "{all:?}");
    assert_eq!(requests(&mut whole), 0);

    // Each in turn is lost.
    let times: Vec<_> = sent.iter().map(|(_, b)| b.pts().expect("a time").mseconds() / 40).collect();
    for lost in (0..sent.len()).step_by(4) {
        let mut receiver = receiver();
        let others = sent.iter().enumerate().filter(|(n, _)| *n != lost);
        push(&mut receiver, others.map(|(_, payload)| payload));
        let packet = times[lost] as u32;
        let again = all.iter().find(|p| p.0 > packet && p.2).map_or(9, |p| p.0);
        let expected: Vec<_> = (0..9).filter(|n| *n < packet || *n >= again).collect();
        let got = received(&mut receiver);
        assert_eq!(got.iter().map(|p| p.0).collect::<Vec<_>>(), expected, "payload {lost} lost");
        let after = got.iter().find(|p| p.0 > packet);
        assert!(packet == 0 || after.is_none_or(|p| p.1), "no mark after the loss");
        // Where the payload behind the lost one begins a keyframe, there is nothing to ask for.
        let is_answered = again == packet + 1 && times.get(lost + 1).is_some_and(|t| *t == u64::from(again));
        assert!(
            packet == 0 || is_answered || requests(&mut receiver) > 0 || after.is_none(),
            "nobody asked for a key packet after the loss of {lost}"
        );
    }
}

#[test]
fn doubled_late_and_broken_payloads_and_a_new_sender() {
    let (first, second) = (payloads(4, 2), payloads(4, 2));
    let mut receiver = receiver();
    // Joined in the middle, everything twice.
    for (_, buffer) in &first[1..] {
        receiver.push(buffer.clone()).expect("a push");
        receiver.push(buffer.clone()).expect("a push");
    }
    assert_eq!(received(&mut receiver).iter().map(|p| p.0).collect::<Vec<_>>(), [2, 3]);
    // A sender begins anew with other numbers.
    push(&mut receiver, second.iter());
    assert_eq!(received(&mut receiver).iter().map(|p| p.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    // Anything in the payload is survived.
    let mut dice = Dice(9);
    for _ in 0..20 {
        for (_, buffer) in &first {
            let mut bytes = bytes_of(buffer);
            let at = 12 + dice.roll(bytes.len() as u64 - 12) as usize;
            if dice.roll(2) == 0 {
                bytes[at] = dice.roll(256) as u8;
            } else {
                bytes.truncate(at);
            }
            let mut broken = gst::Buffer::from_slice(bytes);
            broken.make_mut().set_pts(buffer.pts());
            receiver.push(broken).expect("damage is no error");
        }
        received(&mut receiver);
    }
    push(&mut receiver, second.iter());
    assert_eq!(received(&mut receiver).len(), 4);
}

#[test]
fn a_receiver_without_the_bundle_refuses() {
    init();
    let pipeline = launch(
        "appsrc name=in format=time caps=application/x-rtp,media=(string)video,clock-rate=(int)90000,\
         encoding-name=(string)SISKIN,bundle=(string)abababababababab ! rtpsiskinvideodepay ! fakesink",
    );
    let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().expect("in");
    source.push_buffer(gst::Buffer::from_slice([0x80u8; 20])).expect("a push");
    source.end_of_stream().expect("an end");
    let error = play(&pipeline).error.expect("an error");
    assert!(error.contains("abababababababab"), "{error}");
}

#[test]
fn the_decoder_shows_what_comes_through_losses() {
    let text = format!(
        "videotestsrc num-buffers=60 pattern=ball ! {RAW_VIDEO} ! siskinvideoenc keyframe-interval=6 threads=1 ! \
         rtpsiskinvideopay mtu=200 ! identity drop-probability=0.02 ! rtpsiskinvideodepay name=depay ! siskinvideodec name=last"
    );
    let (sink, eye) = eye("video/x-raw,format=I420");
    let pipeline = launch(&text);
    pipeline.add(&sink).expect("a new element");
    pipeline.by_name("last").expect("last").link(&sink).expect("a link");
    let said = play_on(&pipeline);
    let stats = pipeline.by_name("depay").expect("depay").property::<gst::Structure>("siskin-stats");
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    assert_eq!((said.error, said.warnings), (None, vec![]));
    let packets = stats.get::<u64>("packets").expect("a counter");
    assert_eq!(seen(&eye).len() as u64, packets, "{stats}");
    assert!((6..=60).contains(&packets), "{stats}");
}

/// A payload that belongs to no keyframe, and those behind it.
fn behind_the_keyframe(sent: &[(u16, gst::Buffer)]) -> &[(u16, gst::Buffer)] {
    let at = sent.iter().position(|(_, b)| b.pts() > sent[0].1.pts()).expect("a second frame");
    &sent[at..]
}

fn counter(harness: &gst_check::Harness, name: &str) -> u64 {
    let stats = harness.element().expect("an element").property::<gst::Structure>("siskin-stats");
    stats.get::<u64>(name).expect("a counter")
}

#[test]
fn a_late_joiner_asks_at_once_and_again_until_a_keyframe_comes() {
    let sent = payloads_from(100, 40, 40);
    let late = behind_the_keyframe(&sent);
    let mut receiver = receiver();
    push(&mut receiver, late[..1].iter());
    assert_eq!(requests(&mut receiver), 1);
    // More that cannot be decoded comes at once: that is no reason to ask again.
    push(&mut receiver, late[1..4].iter());
    assert_eq!(requests(&mut receiver), 0);
    for n in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(120));
        push(&mut receiver, late[4 + n..5 + n].iter());
        assert_eq!(requests(&mut receiver), 1, "{n}");
    }
    assert_eq!((counter(&receiver, "keyframe-requests"), counter(&receiver, "losses")), (4, 0));
    assert_eq!(received(&mut receiver), []);
    // The answer, from a sender that has begun anew.
    push(&mut receiver, payloads_from(30_000, 3, 40).iter());
    assert_eq!((requests(&mut receiver), received(&mut receiver).len()), (0, 3));
}

#[test]
fn it_does_not_ask_where_it_must_not() {
    let sent = payloads(10, 10);
    let caps = "application/x-rtp,media=video,clock-rate=90000,encoding-name=SISKIN";
    let mut receiver = harness("rtpsiskinvideodepay request-keyframe=false", caps);
    push(&mut receiver, behind_the_keyframe(&sent).iter());
    assert_eq!((requests(&mut receiver), received(&mut receiver).len()), (0, 0));
    // A relay wants all that is whole.
    let mut relay = harness("rtpsiskinvideodepay wait-for-keyframe=false", caps);
    push(&mut relay, behind_the_keyframe(&sent).iter());
    let through = received(&mut relay);
    assert_eq!(through.iter().map(|p| p.0).collect::<Vec<_>>(), (1..10).collect::<Vec<_>>());
    assert!(requests(&mut relay) > 0);
}

#[test]
fn a_loss_that_the_jitter_buffer_reports_is_asked_for_at_once_and_once() {
    let sent = payloads(4, 40);
    let lost = sent.len() / 2;
    let mut receiver = receiver();
    push(&mut receiver, sent[..lost].iter());
    assert_eq!(requests(&mut receiver), 0);
    let (sequence, buffer) = &sent[lost];
    let event = gst::Structure::builder("GstRTPPacketLost")
        .field("seqnum", u32::from(*sequence))
        .field("timestamp", buffer.pts().expect("a time"))
        .field("duration", gst::ClockTime::from_mseconds(40))
        .build();
    receiver.push_event(gst::event::CustomDownstream::new(event));
    assert_eq!(requests(&mut receiver), 1);
    push(&mut receiver, sent[lost + 1..lost + 2].iter());
    assert_eq!((requests(&mut receiver), counter(&receiver, "losses")), (0, 1));
}

/// A sender and a receiver, whose requests go straight to the encoder; `net` stands between them.
fn call(seconds: u32) -> gst::Pipeline {
    launch(&format!(
        "videotestsrc is-live=true num-buffers={} pattern=ball ! {RAW_VIDEO} ! siskinvideoenc name=enc keyframe-interval=3000 ! \
         rtpsiskinvideopay ! identity name=net ! rtpsiskinvideodepay name=depay ! siskinvideodec ! fakesink name=out sync=false",
        seconds * 25
    ))
}

/// Counts what passes a pad of an element.
fn count(pipeline: &gst::Pipeline, element: &str, pad: &str) -> std::sync::Arc<std::sync::atomic::AtomicU64> {
    let counted = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = counted.clone();
    let pad = pipeline.by_name(element).and_then(|e| e.static_pad(pad)).expect("a pad");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    counted
}

/// Drops the numbered buffers or lists that come to `net`, and the numbered requests that go back through it.
fn lose(pipeline: &gst::Pipeline, packets: std::ops::Range<u32>, requests: std::ops::Range<u32>) {
    use std::sync::atomic::{AtomicU32, Ordering};
    let net = pipeline.by_name("net").expect("net");
    let (sent, asked) = (AtomicU32::new(0), AtomicU32::new(0));
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    net.static_pad("sink").expect("a pad").add_probe(kinds, move |_, info| {
        let number = sent.fetch_add(1, Ordering::Relaxed);
        if packets.contains(&number) { swallow(info) } else { gst::PadProbeReturn::Ok }
    });
    net.static_pad("src").expect("a pad").add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
        let is_one = info.event().is_some_and(|event| gst_video::ForceKeyUnitEvent::is(event));
        let is_lost = is_one && requests.contains(&asked.fetch_add(1, Ordering::Relaxed));
        if is_lost { swallow(info) } else { gst::PadProbeReturn::Ok }
    });
}

/// Drops what a probe sees.
fn swallow(info: &mut gst::PadProbeInfo<'_>) -> gst::PadProbeReturn {
    info.data = None;
    info.flow_res = Ok(gst::FlowSuccess::Ok);
    gst::PadProbeReturn::Handled
}

#[test]
fn neither_a_late_start_nor_a_lost_request_freezes_the_picture() {
    // Lists of a frame each: the first second is lost, or a frame in the middle of which the requests are lost for a while too.
    for (packets, requests, least) in [(0..25, 0..0, 45), (10..11, 0..3, 60)] {
        let pipeline = call(3);
        let shown = count(&pipeline, "out", "sink");
        lose(&pipeline, packets.clone(), requests);
        let said = play_on(&pipeline);
        let encoder = pipeline.by_name("enc").expect("enc").property::<gst::Structure>("stats");
        let depay = pipeline.by_name("depay").expect("depay").property::<gst::Structure>("siskin-stats");
        pipeline.set_state(gst::State::Null).expect("stopping never fails");
        assert_eq!(said.error, None);
        let shown = shown.load(std::sync::atomic::Ordering::Relaxed);
        assert!(shown >= least, "{shown} of 75 frames, {packets:?} lost: {depay}");
        // One keyframe answers, and both ends have counted the request.
        assert_eq!(encoder.get::<u64>("keyframe-requests"), Ok(1), "{encoder}");
        assert!(depay.get::<u64>("keyframe-requests").is_ok_and(|n| n >= 1), "{depay}");
    }
}

/// In a live receiver the sound must not wait for video that never comes. With `async=false` on its sink, as README says, it does
/// not; without, no sink of any codec's plays before all have a first frame.
#[test]
fn the_sound_of_a_receiver_plays_while_no_video_is_there() {
    let pipeline = launch(&format!(
        "audiotestsrc is-live=true samplesperbuffer=480 ! {RAW} ! siskinaudioenc ! rtpsiskinaudiopay ! rtpsiskinaudiodepay ! \
         siskinaudiodec ! fakesink name=sound sync=true signal-handoffs=true \
         appsrc is-live=true format=time caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=SISKIN ! \
         rtpsiskinvideodepay ! siskinvideodec ! fakesink sync=true async=false"
    ));
    // Handoffs are frames that were played: one that only waits in PAUSED gives none.
    let (played, counted) = std::sync::mpsc::channel();
    let sound = pipeline.by_name("sound").expect("sound");
    sound.connect("handoff", false, move |_| {
        // Whoever listens has counted enough.
        played.send(()).ok();
        None
    });
    pipeline.set_state(gst::State::Playing).expect("a start");
    let heard =
        (0..50).take_while(|_| counted.recv_timeout(std::time::Duration::from_secs(20)).is_ok()).count();
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    assert_eq!(heard, 50, "frames of sound");
}
