//! Video over RTP: cut, lost, doubled, joined late, begun anew.

mod common;

use common::*;
use gst::prelude::*;
use siskin_core::video::inspect;

const RAW_VIDEO: &str = "video/x-raw,format=I420,width=48,height=32,framerate=25/1";

/// RTP packets of a test picture's video, each with its sequence number.
fn payloads(frames: u32, gop: u32) -> Vec<(u16, gst::Buffer)> {
    init();
    let text = format!(
        "videotestsrc num-buffers={frames} pattern=smpte ! {RAW_VIDEO} ! siskinvideoenc quality=80 \
         keyframe-interval={gop} threads=1 ! rtpsiskinvideopay mtu=200 name=last"
    );
    let (sink, packets) =
        (gst_app::AppSink::builder().sync(false).build(), std::sync::Mutex::new(Vec::new()));
    let pipeline = launch(&text);
    pipeline.add(&sink).expect("a new element");
    pipeline.by_name("last").expect("last").link(&sink).expect("a link");
    pipeline.set_state(gst::State::Playing).expect("a start");
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer_owned().expect("a buffer");
        assert!(buffer.size() <= 200, "{} bytes", buffer.size());
        let sequence = gst_rtp::RTPBuffer::from_buffer_readable(&buffer).expect("RTP").seq();
        packets.lock().expect("nobody panics with it").push((sequence, buffer));
    }
    let caps = sink.static_pad("sink").and_then(|p| p.current_caps()).expect("caps");
    let structure = caps.structure(0).expect("a structure");
    assert_eq!(structure.get::<&str>("media"), Ok("video"));
    assert!(structure.get::<&str>("config").is_ok_and(|c| c.starts_with("534b56")));
    assert!(structure.get::<&str>("bundle").is_ok_and(|id| id.len() == 16));
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
            assert_eq!(info.key, !b.flags().contains(gst::BufferFlags::DELTA_UNIT));
            assert_eq!(b.duration(), Some(gst::ClockTime::from_mseconds(40)));
            (info.number, b.flags().contains(gst::BufferFlags::DISCONT), info.key)
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
        assert!(
            packet == 0 || requests(&mut receiver) > 0 || after.is_none(),
            "nobody asked for a key packet"
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
