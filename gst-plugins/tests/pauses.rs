//! Pauses and in-band copies on their way through the elements.

mod common;

use common::*;
use gst::prelude::*;
use siskin_core::Limits;
use siskin_core::audio::EncoderConfig;
use siskin_core::bitstream::packet::Packet;

/// A second of voice, three of silence, a second of voice.
fn talk() -> Vec<f32> {
    let mut pcm = voice(24_000);
    pcm.resize(96_000, 0.0);
    pcm.extend(voice(24_000));
    pcm
}

fn pausing(frames_per_packet: u32) -> Vec<Coded> {
    encode_with(&talk(), &EncoderConfig { frames_per_packet, dtx: true, ..Default::default() })
}

fn stat(element: &gst::Element, name: &str) -> u64 {
    element.property::<gst::Structure>("stats").get(name).expect("a counter")
}

fn near(a: gst::ClockTime, b: gst::ClockTime) -> bool {
    a.max(b) - a.min(b) < gst::ClockTime::from_useconds(50)
}

fn decoded(packets: &[gst::Buffer]) -> (usize, gst::Element) {
    let mut harness = harness("siskinaudiodec", &stream_caps(&header()).to_string());
    packets.iter().for_each(|packet| assert!(harness.push(packet.clone()).is_ok()));
    let samples = pull_all(&mut harness).iter().map(|b| b.size() / 4).sum();
    (samples, harness.element().expect("an element"))
}

#[test]
fn the_encoder_leaves_gaps_and_says_so() {
    let mut harness = harness("siskinaudioenc dtx=true frames-per-packet=1", RAW);
    push_in_pieces(&mut harness, &talk(), &mut Dice(3));
    harness.push_event(gst::event::Eos::new());
    let (buffers, expected) = (pull_all(&mut harness), pausing(1));
    assert_eq!(buffers.len(), expected.len());
    assert!(buffers.len() < 130, "{} packets of 251 frames", buffers.len());
    for (buffer, coded) in buffers.iter().zip(&expected) {
        assert_eq!(bytes_of(buffer), coded.data);
        assert!(near(buffer.pts().expect("a time"), time(coded.position)));
    }
    let gaps: gst::ClockTime = std::iter::from_fn(|| harness.try_pull_event())
        .filter_map(|event| match event.view() {
            gst::EventView::Gap(gap) => gap.get().1,
            _ => None,
        })
        .sum();
    let packets: gst::ClockTime = buffers.iter().filter_map(|b| b.duration()).sum();
    let off = (gaps + packets).max(time(120_000)) - (gaps + packets).min(time(120_000));
    assert!(off < gst::ClockTime::from_mseconds(1), "{gaps} and {packets}");
    let element = harness.element().expect("an element");
    let (bytes, samples) = (stat(&element, "pause-bytes"), stat(&element, "pause-samples"));
    assert!(bytes * 8 * 24_000 < 200 * samples, "{bytes} bytes in {samples} samples");
}

#[test]
fn the_decoder_fills_pauses_without_a_loss() {
    let packets: Vec<gst::Buffer> = pausing(1).iter().map(Coded::buffer).collect();
    let (samples, decoder) = decoded(&packets);
    assert_eq!(samples, talk().len());
    assert_eq!((stat(&decoder, "concealments"), stat(&decoder, "concealed-samples")), (0, 0));
    assert!(stat(&decoder, "pause-samples") > 48_000);
}

#[test]
fn copies_in_the_packets_bring_lost_frames_back() {
    let config = EncoderConfig { redundancy: 2, redundancy_stages: 1, ..Default::default() };
    let mut packets: Vec<gst::Buffer> =
        encode_with(&voice(48_000), &config).iter().map(Coded::buffer).collect();
    // Two holes: one that the copies reach over and one that is a frame too long.
    packets.drain(60..63);
    packets.drain(30..32);
    let (samples, decoder) = decoded(&packets);
    assert_eq!(samples, 48_000);
    assert_eq!(stat(&decoder, "recovered-samples"), 4 * 480);
    assert_eq!(stat(&decoder, "concealed-samples"), 480);
}

#[test]
fn pauses_pass_through_rtp_and_end_with_a_marker() {
    let coded = pausing(1);
    let caps = stream_caps(&header()).to_string();
    let mut payloader = harness("rtpsiskinaudiopay redundancy=2 redundancy-stages=1", &caps);
    coded.iter().for_each(|packet| assert!(payloader.push(packet.buffer()).is_ok()));
    let rtp = pull_all(&mut payloader);
    assert_eq!(rtp.len(), coded.len());
    let is_pause = |data: &[u8]| Packet::parse(data, &Limits::default()).is_ok_and(|packet| packet.is_sid());
    for (n, buffer) in rtp.iter().enumerate() {
        let talks = n == 0 || !is_pause(&coded[n].data) && is_pause(&coded[n - 1].data);
        assert_eq!(bytes_of(buffer)[1] & 0x80 != 0, talks, "packet {n}");
    }
    let config: String = header().to_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let caps = format!(
        "application/x-rtp,media=audio,clock-rate=24000,encoding-name=SISKIN,config=(string){config}"
    );
    let mut depayloader = harness("rtpsiskinaudiodepay", &caps);
    rtp.iter().for_each(|packet| assert!(depayloader.push(packet.clone()).is_ok()));
    let packets = pull_all(&mut depayloader);
    assert_eq!(packets.len(), coded.len());
    assert!(packets.iter().zip(&coded).all(|(p, c)| is_pause(&bytes_of(p)) == is_pause(&c.data)));
    let stats: gst::Structure = depayloader.element().expect("an element").property("siskin-stats");
    assert_eq!(stats.get("lost-frames"), Ok(0u64));
    let (samples, decoder) = decoded(&packets);
    // RTP has no end trim.
    assert!(samples >= talk().len() && samples < talk().len() + 480);
    assert_eq!(stat(&decoder, "concealed-samples"), 0);
}

#[test]
fn a_file_with_pauses_plays_to_its_exact_length() {
    for frame_size in [1, 50] {
        let encoder = format!("siskinaudioenc dtx=true frames-per-packet={frame_size}");
        let (_folder, path) = write_file(&talk(), &encoder, "siskinmux");
        let text = "filesrc name=in ! matroskademux ! siskinaudioparse ! siskinaudiodec name=dec";
        let pipeline = launch(text);
        pipeline.by_name("in").expect("in").set_property("location", path.to_str().expect("a plain path"));
        let (sink, ear) = ear();
        pipeline.add(&sink).expect("a new element");
        let decoder = pipeline.by_name("dec").expect("dec");
        decoder.link(&sink).expect("samples");
        let said = play_on(&pipeline);
        assert_eq!(said.error, None);
        let found = heard(&ear);
        assert_eq!(found.pcm.len(), talk().len(), "{frame_size} frames a packet");
        assert_eq!(stat(&decoder, "concealed-samples"), 0);
        let loudest =
            |range: std::ops::Range<usize>| found.pcm[range].iter().fold(0.0f32, |m, x| m.max(x.abs()));
        assert!(loudest(40_000..90_000) < 1e-4 && loudest(100_000..118_000) > 0.01);
        pipeline.set_state(gst::State::Null).expect("stopped");
    }
}

/// Levels of parts of 20 ms of what a mixer plays of noise that has been through a live pipeline.
fn mixed(seconds: u32, way: &str) -> Vec<f32> {
    let (sink, ear) = ear();
    let pipeline = launch(&format!(
        "audiotestsrc is-live=true num-buffers={} samplesperbuffer=480 wave=white-noise volume=0.01 ! {RAW} ! \
         siskinaudioenc dtx=true frames-per-packet=1 name=enc ! {way} siskinaudiodec ! audioconvert ! audioresample ! \
         audiomixer ! audioconvert ! audioresample ! {RAW} ! identity name=last",
        seconds * 50
    ));
    pipeline.add(&sink).expect("a new element");
    pipeline.by_name("last").expect("last").link(&sink).expect("a link");
    assert_eq!(play_on(&pipeline).error, None);
    let paused = stat(&pipeline.by_name("enc").expect("enc"), "pause-samples");
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    assert!(paused > u64::from(seconds) * RATE / 2, "noise is a pause: {paused} samples of it");
    let parts = heard(&ear).pcm;
    parts.chunks_exact(480).map(|p| (p.iter().map(|s| s * s).sum::<f32>() / 480.0).sqrt()).collect()
}

#[test]
fn comfort_noise_goes_on_in_real_time_over_rtp() {
    let level = |parts: &[f32]| parts.iter().sum::<f32>() / parts.len() as f32;
    let direct = mixed(6, "");
    let over_rtp = mixed(6, "rtpsiskinaudiopay ! rtpjitterbuffer latency=60 ! rtpsiskinaudiodepay !");
    // From the third second on all is pause, where before only the frame of each SID payload was heard.
    let (direct, over_rtp) = (&direct[150..280], &over_rtp[150..280]);
    let silent = |parts: &[f32]| parts.iter().filter(|&&l| l < 0.1 * level(direct)).count();
    assert!(
        silent(over_rtp) <= 2,
        "{} of 130 parts are silent, {} without RTP",
        silent(over_rtp),
        silent(direct)
    );
    let ratio = 20.0 * (level(over_rtp) / level(direct)).log10();
    assert!(ratio.abs() < 3.0, "{ratio:.1} dB");
}
