//! The RTP payloader and depayloader: alone, and with the stock jitter buffer between them.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::*;
use gst::prelude::*;
use sha2::{Digest, Sha256};
use siskin_core::Limits;
use siskin_core::audio::{Decoder, EncodedPacket, Encoder, EncoderConfig};
use siskin_core::bitstream::packet::Packet;
use siskin_core::bundle::Bundle;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};

const RTP: &str = "application/x-rtp,media=audio,clock-rate=24000,encoding-name=SISKIN";

/// Set in the counter of packets while one is sent again.
const RESENT: u64 = 1 << 63;

fn plain(header_in_caps: bool) -> String {
    let config: String = header().to_bytes().iter().map(|b| format!("{b:02x}")).collect();
    if header_in_caps { format!("{RTP},config=(string){config}") } else { RTP.to_owned() }
}

/// What the payloader makes of packets.
fn payloads(coded: &[Coded], properties: &str) -> Vec<gst::Buffer> {
    let caps = stream_caps(&header()).to_string();
    let mut harness = harness(&format!("rtpsiskinaudiopay {properties}"), &caps);
    coded.iter().for_each(|packet| assert!(harness.push(packet.buffer()).is_ok()));
    pull_all(&mut harness)
}

/// What the depayloader makes of RTP packets, and its counters.
fn depayloaded(caps: &str, rtp: &[gst::Buffer]) -> (Vec<gst::Buffer>, gst::Structure) {
    let mut harness = harness("rtpsiskinaudiodepay", caps);
    rtp.iter().for_each(|packet| assert!(harness.push(packet.clone()).is_ok()));
    let out = pull_all(&mut harness);
    let stats = harness.element().expect("an element").property("siskin-stats");
    (out, stats)
}

fn stages_of(buffer: &gst::Buffer) -> u8 {
    let data = bytes_of(buffer);
    let packet = Packet::parse(&data, &Limits::default()).expect("a packet");
    packet.bind(&header()).expect("a packet of the stream").info().stages
}

fn without(rtp: &[gst::Buffer], lost: &[usize]) -> Vec<gst::Buffer> {
    rtp.iter().enumerate().filter(|(i, _)| !lost.contains(i)).map(|(_, b)| b.clone()).collect()
}

#[test]
fn frames_come_back_however_they_were_packed() {
    for (frames_per_packet, properties) in
        [(1, ""), (1, "redundancy=2"), (50, ""), (50, "frames=3"), (7, "mtu=60")]
    {
        let coded = encode(&voice(60_000), frames_per_packet, None);
        let rtp = payloads(&coded, properties);
        let (out, stats) = depayloaded(&plain(true), &rtp);
        let packets: Vec<Vec<u8>> = out.iter().map(|b| bytes_of(b)).collect();
        let pcm = decode(packets.iter().map(Vec::as_slice));
        let expected = decode_coded(&coded);
        // RTP does not say where the last frame's padding begins.
        assert!(pcm.len() >= expected.len() && pcm.len() < expected.len() + 480, "{properties}");
        assert_same(&pcm[..expected.len()], &expected);
        assert_eq!(stats.get("lost-frames"), Ok(0u64));
        let ends_meet = out.windows(2).all(|w| {
            let end = w[0].pts().expect("a time") + w[0].duration().expect("a duration");
            let next = w[1].pts().expect("a time");
            end.max(next) - end.min(next) < gst::ClockTime::from_useconds(50)
        });
        assert!(ends_meet, "{properties}");
    }
}

#[test]
fn payloads_keep_to_the_mtu() {
    let coded = encode(&voice(60_000), 50, Some(9));
    for mtu in [100, 200, 1400] {
        let rtp = payloads(&coded, &format!("mtu={mtu} redundancy=3"));
        assert!(rtp.iter().all(|b| b.size() <= mtu), "{mtu}");
    }
}

#[test]
fn copies_fill_the_holes_that_they_reach() {
    let coded = encode(&voice(48_000), 1, None);
    let rtp = payloads(&coded, "redundancy=2 redundancy-stages=3");
    // One, two and three frames in a row: the last loss is longer than the copies reach.
    let lost = [10, 20, 21, 30, 31, 32];
    let (out, stats) = depayloaded(&plain(true), &without(&rtp, &lost));
    assert_eq!((stats.get("lost-frames"), stats.get("recovered-frames")), (Ok(6u64), Ok(5u64)));
    let coarse: Vec<gst::ClockTime> =
        out.iter().filter(|b| stages_of(b) == 3).filter_map(|b| b.pts()).collect();
    let expected: Vec<gst::ClockTime> =
        [10, 20, 21, 31, 32].iter().map(|&i| time(coded[i].position)).collect();
    assert_eq!(coarse.len(), expected.len());
    for (a, b) in coarse.iter().zip(&expected) {
        assert!((*a).max(*b) - (*a).min(*b) < gst::ClockTime::from_useconds(50), "{a} {b}");
    }
}

#[test]
fn counters_wrap_without_a_loss() {
    let coded = encode(&voice(48_000), 1, None);
    let rtp = payloads(&coded, "seqnum-offset=65530 timestamp-offset=4294955000");
    let (out, stats) = depayloaded(&plain(true), &rtp);
    assert_eq!((out.len(), stats.get("lost-frames")), (coded.len(), Ok(0u64)));
}

#[test]
fn a_late_joiner_without_parameters_waits_for_the_header() {
    let coded = encode(&voice(72_000), 1, None);
    let rtp = payloads(&coded, "");
    let (out, stats) = depayloaded(&plain(false), &rtp[20..]);
    // The header comes again after 50 frames.
    assert_eq!((out.len(), stats.get("broken-payloads")), (rtp.len() - 50, Ok(0u64)));
}

#[test]
fn late_and_doubled_payloads_are_dropped() {
    let coded = encode(&voice(24_000), 1, None);
    let rtp = payloads(&coded, "");
    let mut shuffled = rtp[..30].to_vec();
    shuffled.push(rtp[29].clone());
    shuffled.push(rtp[12].clone());
    shuffled.extend_from_slice(&rtp[30..]);
    let (out, _) = depayloaded(&plain(true), &shuffled);
    assert_eq!(out.len(), rtp.len());
}

#[test]
fn a_sender_that_starts_again_is_followed() {
    let coded = encode(&voice(24_000), 1, None);
    let mut rtp = payloads(&coded, "ssrc=1 timestamp-offset=1000");
    rtp.extend(payloads(&coded, "ssrc=2 timestamp-offset=3000000000"));
    let (out, stats) = depayloaded(&plain(true), &rtp);
    assert_eq!((out.len(), stats.get("lost-frames")), (2 * coded.len(), Ok(0u64)));
}

#[test]
fn garbage_is_counted_and_nothing_else() {
    let coded = encode(&voice(24_000), 1, None);
    let mut rtp = payloads(&coded, "");
    let mut dice = Dice(7);
    let places: Vec<usize> = (3..rtp.len()).step_by(5).collect();
    for &at in &places {
        let mut bytes = bytes_of(&rtp[at]);
        let keep = 12 + dice.roll(bytes.len() as u64 - 12) as usize;
        bytes.truncate(keep);
        let mut broken = gst::Buffer::from_slice(bytes);
        broken.make_mut().set_pts(rtp[at].pts());
        rtp[at] = broken;
    }
    let (out, stats) = depayloaded(&plain(true), &rtp);
    assert_eq!(out.len(), coded.len() - places.len());
    assert_eq!(stats.get("broken-payloads"), Ok(places.len() as u64));
}

#[test]
fn a_receiver_without_the_bundle_refuses() {
    init();
    let element = gst::ElementFactory::make("rtpsiskinaudiodepay").build().expect("the element");
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    element.set_state(gst::State::Playing).expect("playing");
    let config: String = stranger().to_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let caps: gst::Caps = format!("{RTP},config=(string){config}").parse().expect("caps");
    let sink = element.static_pad("sink").expect("a pad");
    sink.send_event(gst::event::StreamStart::new("s"));
    assert!(!sink.send_event(gst::event::Caps::new(&caps)));
    let error = bus.pop_filtered(&[gst::MessageType::Error]).expect("an error");
    let gst::MessageView::Error(error) = error.view() else { unreachable!("filtered") };
    assert!(error.error().to_string().contains("whale-song"), "{error:?}");
    element.set_state(gst::State::Null).expect("stopped");
}

/// Plays `voice` through the whole chain with every packet that `drops` names lost; the samples that come out, the
/// frames recovered and the samples concealed.
fn chain(
    samples: usize,
    redundancy: u32,
    drops: impl Fn(u64) -> bool + Send + Sync + 'static,
) -> (u64, u64, u64) {
    network_chain(samples, redundancy, move |i| if drops(i) { Fate::Lost } else { Fate::Sent })
}

/// What a network does to a packet.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Sent,
    Lost,
    /// It comes after the next one.
    Late,
    Twice,
}

/// [`chain`] with a network that does more than lose packets.
fn network_chain(
    samples: usize,
    redundancy: u32,
    fate: impl Fn(u64) -> Fate + Send + Sync + 'static,
) -> (u64, u64, u64) {
    init();
    let description = format!(
        "appsrc name=src format=time caps={RAW} ! siskinaudioenc frames-per-packet=1 ! rtpsiskinaudiopay name=pay \
         redundancy={redundancy} ! rtpjitterbuffer do-lost=true latency=200 ! rtpsiskinaudiodepay name=depay \
         ! siskinaudiodec name=dec ! fakesink name=sink signal-handoffs=true sync=false"
    );
    let pipeline =
        gst::parse::launch(&description).expect("a pipeline").downcast::<gst::Pipeline>().expect("one");
    let by_name = |name| pipeline.by_name(name).expect("an element");
    let (count, index) = (Arc::new(AtomicU64::new(0)), AtomicU64::new(0));
    let pad = by_name("pay").static_pad("src").expect("a pad");
    let held = Mutex::new(None::<gst::Buffer>);
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let Some(buffer) = info.buffer().cloned() else { return gst::PadProbeReturn::Ok };
        // What this probe sends itself is to go through.
        if index.load(Ordering::Relaxed) & RESENT != 0 {
            return gst::PadProbeReturn::Ok;
        }
        let number = index.fetch_add(1, Ordering::Relaxed);
        let again = |buffer: gst::Buffer| {
            index.fetch_or(RESENT, Ordering::Relaxed);
            pad.push(buffer).expect("a push");
            index.fetch_and(!RESENT, Ordering::Relaxed);
        };
        let waiting = held.lock().expect("no panic").take();
        match fate(number) {
            Fate::Lost => return gst::PadProbeReturn::Drop,
            Fate::Late => {
                *held.lock().expect("no panic") = Some(buffer);
                return gst::PadProbeReturn::Drop;
            }
            Fate::Twice => again(buffer),
            // The one before comes behind this one, which is sent first and not once more.
            Fate::Sent if waiting.is_some() => {
                again(buffer);
                waiting.into_iter().for_each(again);
                return gst::PadProbeReturn::Drop;
            }
            Fate::Sent => {}
        }
        gst::PadProbeReturn::Ok
    });
    let counter = count.clone();
    by_name("sink").connect("handoff", false, move |values| {
        let buffer = values[1].get::<gst::Buffer>().expect("a buffer");
        counter.fetch_add(buffer.size() as u64 / 4, Ordering::Relaxed);
        None
    });
    pipeline.set_state(gst::State::Playing).expect("playing");
    let source = by_name("src");
    for (i, piece) in voice(samples).chunks(480).enumerate() {
        let pushed =
            source.emit_by_name::<gst::FlowReturn>("push-buffer", &[&raw_buffer(piece, i as u64 * 480)]);
        assert_eq!(pushed, gst::FlowReturn::Ok);
    }
    assert_eq!(source.emit_by_name::<gst::FlowReturn>("end-of-stream", &[]), gst::FlowReturn::Ok);
    let bus = pipeline.bus().expect("a bus");
    let message = bus
        .timed_pop_filtered(
            gst::ClockTime::from_seconds(60),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        )
        .expect("an end");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    let recovered = by_name("depay").property::<gst::Structure>("siskin-stats").get("recovered-frames");
    let concealed = by_name("dec").property::<gst::Structure>("stats").get("concealed-samples");
    pipeline.set_state(gst::State::Null).expect("stopped");
    (count.load(Ordering::Relaxed), recovered.expect("a counter"), concealed.expect("a counter"))
}

#[test]
fn losses_are_concealed_and_the_length_is_kept() {
    // A fifth of the packets, never the first or the last.
    let drops = |i: u64| i > 0 && i < 145 && i.wrapping_mul(2_654_435_761) % 100 < 20;
    let lost = (0..150).filter(|&i| drops(i)).count() as u64;
    assert!(lost > 20);
    let samples = 72_000 - 240;
    let (count, recovered, concealed) = chain(samples, 0, drops);
    assert_eq!((count, recovered), (samples as u64, 0), "150 frames exactly");
    assert_eq!(concealed, lost * 480);
    let (count, recovered, concealed) = chain(samples, 2, drops);
    assert_eq!(count, samples as u64);
    assert_eq!(concealed, (lost - recovered) * 480);
    assert!(recovered * 10 >= lost * 9, "{recovered} of {lost} recovered");
}

/// What comes out of the chain without a jitter buffer if GAP events, as `identity` sends them, stand for lost packets: samples,
/// and those concealed.
fn gapped_chain(rtp: &[gst::Buffer], lost: &[usize]) -> (usize, u64) {
    init();
    let bin = gst::parse::bin_from_description("rtpsiskinaudiodepay ! siskinaudiodec name=dec", true);
    let bin = bin.expect("the elements");
    let mut harness = gst_check::Harness::with_element(&bin, Some("sink"), Some("src"));
    harness.set_src_caps_str(&plain(true));
    harness.play();
    for (i, packet) in rtp.iter().enumerate() {
        if lost.contains(&i) {
            let pts = packet.pts().expect("a time");
            let gap = gst::event::Gap::builder(pts).duration(packet.duration()).build();
            assert!(harness.push_event(gap));
        } else {
            assert!(harness.push(packet.clone()).is_ok());
        }
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    let samples = pull_all(&mut harness).iter().map(|buffer| buffer.size() / 4).sum();
    let stats = bin.by_name("dec").expect("the decoder").property::<gst::Structure>("stats");
    (samples, stats.get("concealed-samples").expect("a counter"))
}

#[test]
fn a_gap_whose_frames_come_as_copies_is_not_concealed_as_well() {
    let coded = encode(&voice(48_000 - 240), 1, None);
    // The second, before which no payload has copies; one, two and four frames in a row; and the last.
    let lost = [1, 10, 20, 21, 40, 41, 42, 43, coded.len() - 1];
    for (redundancy, frames) in [(0, 9), (1, 6), (2, 4)] {
        let rtp = payloads(&coded, &format!("redundancy={redundancy}"));
        assert_eq!(rtp.len(), coded.len());
        let (samples, concealed) = gapped_chain(&rtp, &lost);
        assert_eq!((samples, concealed), (48_000 - 240, frames * 480), "redundancy={redundancy}");
    }
}

#[test]
fn packets_out_of_order_and_doubled_change_nothing() {
    let samples = 48_000 - 240;
    let fate = |i: u64| match i {
        _ if i > 0 && i % 9 == 4 => Fate::Late,
        _ if i % 7 == 3 => Fate::Twice,
        _ => Fate::Sent,
    };
    // A packet that is late and followed by a doubled one stays lost in this network.
    let fate =
        move |i: u64| if fate(i) == Fate::Late && fate(i + 1) != Fate::Sent { Fate::Sent } else { fate(i) };
    assert!((0..100).any(|i| fate(i) == Fate::Late) && (0..100).any(|i| fate(i) == Fate::Twice));
    let (count, recovered, concealed) = network_chain(samples, 1, fate);
    assert_eq!((count, recovered, concealed), (samples as u64, 0, 0));
}

/// Another bundle: that of the tests with one number changed, under another name.
fn other_bundle(folder: &Path) -> Bundle {
    let own = bundle();
    let path = folder.join("share/siskin/bundles/speech-other");
    std::fs::create_dir_all(&path).expect("a folder");
    let mut manifest = std::fs::read_to_string(own.path().join("manifest.json")).expect("a manifest");
    for (name, hash) in &own.manifest().files {
        let mut data = std::fs::read(own.path().join(name)).expect("a file");
        if *name == own.manifest().quantizer.file {
            data.last_mut().into_iter().for_each(|b| *b ^= 0x80);
        }
        manifest = manifest.replace(hash, &hex::encode(Sha256::digest(&data)));
        std::fs::write(path.join(name), data).expect("a file");
    }
    let name = format!("\"name\": \"{}\"", own.manifest().name);
    assert!(manifest.contains(&name));
    let mut manifest: serde_json::Value =
        serde_json::from_str(&manifest.replace(&name, "\"name\": \"speech-other\"")).expect("JSON");
    // With other codebooks its codes are its own.
    manifest.as_object_mut().expect("an object").remove("codes");
    std::fs::write(path.join("manifest.json"), manifest.to_string()).expect("a file");
    siskin_core::search_near(&folder.join("bin/program"));
    Bundle::open(path).expect("a bundle")
}

#[test]
fn a_sender_that_changes_its_bundle_is_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (own, other) = (bundle(), other_bundle(folder.path()));
    let runtime = Runtime::load(&RuntimeOptions { provider: Provider::Cpu, ..Default::default() })
        .expect("ONNX Runtime");
    let pcm = voice(24_000);
    let (mut rtp, mut expected) = (Vec::new(), Vec::new());
    for (bundle, properties) in [
        (&own, "ssrc=1 seqnum-offset=7"),
        (&other, "ssrc=1 seqnum-offset=57"),
        (&own, "ssrc=1 seqnum-offset=107"),
    ] {
        let mut encoder = Encoder::new(bundle, &runtime, &EncoderConfig::default()).expect("an encoder");
        let mut coded = Vec::new();
        let mut keep = |p: EncodedPacket<'_>| -> siskin_core::Result<()> {
            coded.push(Coded { data: p.data.to_vec(), position: p.position, samples: p.samples });
            Ok(())
        };
        encoder.push_samples(&pcm, &mut keep).expect("encoding");
        let caps = stream_caps(&bundle.stream_header()).to_string();
        let mut payloader = harness(&format!("rtpsiskinaudiopay {properties}"), &caps);
        coded.iter().for_each(|packet| assert!(payloader.push(packet.buffer()).is_ok()));
        rtp.extend(pull_all(&mut payloader));
        let mut decoder = Decoder::new(bundle, &runtime).expect("a decoder");
        for packet in &coded {
            decoder.decode(&packet.data, &mut expected).expect("a packet");
        }
    }
    // Caps announce the first bundle only.
    let mut receiver = gst_check::Harness::new_parse("rtpsiskinaudiodepay ! siskinaudiodec");
    receiver.set_src_caps_str(&plain(true));
    receiver.play();
    let mut heard = Vec::new();
    for packet in &rtp {
        receiver.push(packet.clone()).expect("a push");
        for buffer in pull_all(&mut receiver) {
            heard.extend(
                bytes_of(&buffer).chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])),
            );
        }
    }
    receiver.push_event(gst::event::Eos::new());
    for buffer in pull_all(&mut receiver) {
        heard.extend(bytes_of(&buffer).chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])));
    }
    assert_same(&heard, &expected);
}

#[test]
fn payloads_last_no_longer_than_is_asked_for() {
    // 100 frames of 20 ms, 50 in a packet.
    let coded = encode(&voice(48_000), 50, None);
    let longest = |pay: &str, caps: &str| {
        init();
        let text = format!(
            "appsrc name=in format=time ! {pay} ! capsfilter caps=\"{caps}\" ! appsink name=out sync=false async=false"
        );
        let pipeline = launch(&text);
        let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().expect("in");
        source.set_caps(Some(&stream_caps(&header())));
        source.set_max_bytes(0);
        for packet in &coded {
            source.push_buffer(packet.buffer()).expect("a push");
        }
        source.end_of_stream().expect("an end");
        let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().expect("out");
        pipeline.set_state(gst::State::Playing).expect("a start");
        let (mut longest, mut all) = (0, 0);
        while let Ok(sample) = sink.pull_sample() {
            let ms = sample.buffer().and_then(|b| b.duration()).expect("a duration").mseconds();
            (longest, all) = (longest.max(ms), all + 1);
        }
        pipeline.set_state(gst::State::Null).expect("stopping never fails");
        (longest, all)
    };
    let any = "application/x-rtp";
    let (free, _) = longest("rtpsiskinaudiopay", any);
    assert!(free > 100, "{free} ms");
    for (pay, caps, ms) in [
        ("rtpsiskinaudiopay max-ptime=60000000", any, 60),
        ("rtpsiskinaudiopay max-ptime=5000000", any, 20),
        ("rtpsiskinaudiopay max-ptime=90000000 frames=2", any, 40),
        ("rtpsiskinaudiopay", "application/x-rtp,maxptime=(uint)80", 80),
        ("rtpsiskinaudiopay max-ptime=60000000", "application/x-rtp,ptime=(uint)40", 40),
        ("rtpsiskinaudiopay", "application/x-rtp,a-ptime=(string)60", 60),
    ] {
        let (longest, count) = longest(pay, caps);
        assert_eq!(longest, ms, "{pay} to {caps}");
        // 2 s of sound, the first frame short by the pre-skip, the last to its end.
        assert!(count >= 2000 / ms, "{pay}: {count} payloads");
    }
}

#[test]
fn frames_of_several_packets_share_a_payload_where_it_is_asked_for() {
    // 100 packets of one frame of 20 ms.
    let coded = encode(&voice(48_000), 1, None);
    let caps = stream_caps(&header()).to_string();
    let mut harness = harness("rtpsiskinaudiopay min-ptime=50000000 max-ptime=80000000", &caps);
    coded.iter().for_each(|packet| assert!(harness.push(packet.buffer()).is_ok()));
    // Three frames, of which two wait.
    assert_eq!(harness.query_latency(), Some(gst::ClockTime::from_mseconds(40)));
    harness.push_event(gst::event::Eos::new());
    let rtp = pull_all(&mut harness);
    let lengths: Vec<u64> =
        rtp.iter().map(|b| b.duration().expect("a duration").nseconds() / 1_000_000).collect();
    // The first is short by the pre-skip, the last holds what is left.
    assert!(lengths[1..lengths.len() - 1].iter().all(|&ms| ms == 60), "{lengths:?}");
    assert_eq!(rtp.len(), coded.len().div_ceil(3));
    for (payload, packets) in rtp.iter().zip(coded.chunks(3)) {
        let (pts, expected) = (payload.pts().expect("a time"), time(packets[0].position));
        assert!(pts.max(expected) - pts.min(expected) < gst::ClockTime::from_useconds(50), "{pts}");
    }
    let (out, _) = depayloaded(&plain(true), &rtp);
    let packets: Vec<Vec<u8>> = out.iter().map(|b| bytes_of(b)).collect();
    let expected = decode_coded(&coded);
    assert_same(&decode(packets.iter().map(Vec::as_slice))[..expected.len()], &expected);
    // What SDP is made of.
    let caps = harness.sinkpad().and_then(|pad| pad.current_caps()).expect("caps");
    let structure = caps.structure(0).expect("a structure");
    assert_eq!((structure.get("a-ptime"), structure.get("a-maxptime")), (Ok("50"), Ok("80")));
}

#[test]
fn a_jump_does_not_wait_for_more() {
    let coded = encode(&voice(4800), 1, None);
    let caps = stream_caps(&header()).to_string();
    let mut harness = harness("rtpsiskinaudiopay min-ptime=320000000", &caps);
    harness.push(coded[0].buffer()).expect("a push");
    harness.push(coded[1].buffer()).expect("a push");
    assert!(harness.try_pull().is_none());
    let mut later = coded[2].buffer();
    let edit = later.make_mut();
    edit.set_pts(gst::ClockTime::from_seconds(9));
    edit.set_flags(gst::BufferFlags::DISCONT);
    harness.push(later).expect("a push");
    assert_eq!(harness.try_pull().and_then(|b| b.pts()), Some(gst::ClockTime::ZERO));
    // A flush forgets what waits.
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    harness.push_event(gst::event::Eos::new());
    assert!(harness.try_pull().is_none());
}
