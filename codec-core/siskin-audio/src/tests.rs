//! The streaming contract, with a network of a few lines in place of a model.

use siskin_bitstream::{BundleId, StreamHeader};
use siskin_error::{Error, Result};
use siskin_model::runtime::{Provider, StepNetwork};

use crate::quantizer::tests::sample;
use crate::{Decoder, EncodedPacket, Encoder, EncoderConfig, FrameDecoder, FrameEncoder, RateMode, Snapshot};

/// Delays a frame of 8 samples by 4 and adds a decaying memory, so that order, reset and restore can be heard.
struct Toy {
    input: Vec<f32>,
    output: Vec<f32>,
    memory: Vec<f32>,
}

impl Toy {
    fn boxed() -> Box<dyn StepNetwork> {
        Box::new(Self { input: vec![0.0; 8], output: vec![0.0; 8], memory: vec![0.0; 4] })
    }
}

impl StepNetwork for Toy {
    fn input(&mut self) -> &mut [f32] {
        &mut self.input
    }
    fn run(&mut self) -> Result<()> {
        self.output[..4].copy_from_slice(&self.memory);
        self.output[4..].copy_from_slice(&self.input[..4]);
        self.memory.iter_mut().zip(&self.input[4..]).for_each(|(m, x)| *m = *m * 0.25 + x);
        Ok(())
    }
    fn output(&self) -> &[f32] {
        &self.output
    }
    fn reset(&mut self) {
        self.memory.fill(0.0);
    }
    fn save(&self, into: &mut Vec<Vec<f32>>) {
        into.clear();
        into.push(self.memory.clone());
    }
    fn restore(&mut self, from: &[Vec<f32>]) -> Result<()> {
        self.memory.copy_from_slice(&from[0]);
        Ok(())
    }
    fn provider(&self) -> Provider {
        Provider::Cpu
    }
}

pub(crate) fn header() -> StreamHeader {
    StreamHeader {
        bundle: BundleId([7; 8]),
        bundle_name: "toy".into(),
        sample_rate: 400,
        channels: 1,
        hop: 8,
        groups: 1,
        stages: 4,
        code_bits: 4,
        pre_skip: 4,
    }
}

pub(crate) fn frame_encoder() -> FrameEncoder {
    FrameEncoder::from_parts(Toy::boxed(), sample(1))
}

fn encoder(frames_per_packet: u32) -> Encoder {
    encoder_with(EncoderConfig { frames_per_packet, header_interval: 10, ..Default::default() })
}

fn encoder_with(config: EncoderConfig) -> Encoder {
    Encoder::from_parts(frame_encoder(), header(), &config, 4).expect("a valid config")
}

pub(crate) fn decoder() -> Decoder {
    Decoder::from_parts(FrameDecoder::from_parts(Toy::boxed(), sample(1)), header())
}

pub(crate) fn tone(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.3).sin() * 0.5).collect()
}

fn packets(encoder: &mut Encoder, pcm: &[f32], cuts: &[usize]) -> Vec<(Vec<u8>, u64, u64)> {
    let mut out = Vec::new();
    let mut emit = |p: EncodedPacket<'_>| -> Result<()> {
        out.push((p.data.to_vec(), p.position, p.samples));
        Ok(())
    };
    let mut rest = pcm;
    let mut sizes = cuts.iter().copied().cycle();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(sizes.next().unwrap_or(rest.len()).min(rest.len()));
        encoder.push_samples(now, &mut emit).expect("the toy never fails");
        rest = later;
    }
    encoder.finish_stream(&mut emit).expect("the toy never fails");
    out
}

fn decode_all(packets: &[(Vec<u8>, u64, u64)]) -> Vec<f32> {
    let (mut decoder, mut out) = (decoder(), Vec::new());
    for (data, position, samples) in packets {
        assert_eq!(out.len() as u64, *position);
        let decoded = decoder.decode(data, &mut out).expect("a packet of ours");
        assert_eq!(decoded.samples as u64, *samples);
    }
    out
}

#[test]
fn every_length_is_kept_to_the_sample() {
    for frames_per_packet in [1, 3] {
        for length in 1..60 {
            let coded = packets(&mut encoder(frames_per_packet), &tone(length), &[]);
            assert_eq!(decode_all(&coded).len(), length, "{frames_per_packet} frames per packet");
        }
    }
}

#[test]
fn nothing_in_gives_nothing() {
    assert!(packets(&mut encoder(3), &[], &[]).is_empty());
}

#[test]
fn output_does_not_depend_on_the_cuts() {
    let whole = packets(&mut encoder(3), &tone(500), &[]);
    for cuts in [&[1][..], &[7, 9, 2], &[8], &[100, 1]] {
        assert_eq!(packets(&mut encoder(3), &tone(500), cuts), whole);
    }
}

#[test]
fn a_finished_encoder_equals_a_new_one() {
    let mut used = encoder(3);
    packets(&mut used, &tone(77), &[]);
    assert_eq!(packets(&mut used, &tone(100), &[]), packets(&mut encoder(3), &tone(100), &[]));
}

#[test]
fn a_reset_decoder_equals_a_new_one() {
    let coded = packets(&mut encoder(1), &tone(300), &[]);
    let (mut used, mut fresh) = (decoder(), decoder());
    used.decode(&coded[0].0, &mut Vec::new()).expect("a packet of ours");
    used.reset();
    fresh.set_header(&header()).expect("its own header");
    let (mut a, mut b) = (Vec::new(), Vec::new());
    used.decode(&coded[5].0, &mut a).expect("a packet of ours");
    fresh.decode(&coded[5].0, &mut b).expect("a packet of ours");
    assert_eq!(a, b);
}

#[test]
fn a_snapshot_takes_the_decoder_back() {
    let coded = packets(&mut encoder(1), &tone(300), &[]);
    let mut decoder = decoder();
    let (mut first, mut again, mut snapshot) = (Vec::new(), Vec::new(), Snapshot::default());
    for (data, ..) in &coded[..4] {
        decoder.decode(data, &mut Vec::new()).expect("a packet of ours");
    }
    decoder.save_state(&mut snapshot);
    decoder.decode(&coded[4].0, &mut first).expect("a packet of ours");
    decoder.restore_state(&snapshot).expect("its own snapshot");
    decoder.decode(&coded[4].0, &mut again).expect("a packet of ours");
    assert_eq!(first, again);
}

#[test]
fn a_snapshot_in_a_loss_takes_the_fade_back() {
    let coded = packets(&mut encoder(1), &tone(300), &[]);
    let mut decoder = decoder();
    let (mut first, mut again, mut snapshot) = (Vec::new(), Vec::new(), Snapshot::default());
    decoder.decode(&coded[0].0, &mut Vec::new()).expect("a packet of ours");
    decoder.conceal(2, &mut Vec::new()).expect("the toy never fails");
    decoder.save_state(&mut snapshot);
    decoder.conceal(1, &mut first).expect("the toy never fails");
    decoder.restore_state(&snapshot).expect("its own snapshot");
    decoder.conceal(1, &mut again).expect("the toy never fails");
    assert_eq!(first, again);
}

#[test]
fn a_late_joiner_waits_for_the_header() {
    let coded = packets(&mut encoder(1), &tone(300), &[]);
    let (mut decoder, mut out) = (decoder(), Vec::new());
    assert!(matches!(decoder.decode(&coded[3].0, &mut out), Err(Error::MissingHeader)));
    decoder.decode(&coded[10].0, &mut out).expect("the header comes again after 10 frames");
    decoder.decode(&coded[11].0, &mut out).expect("a packet of ours");
    assert_eq!(out.len(), 16, "no pre-skip in the middle of a stream");
}

#[test]
fn another_bundles_stream_is_refused_by_name() {
    let mut stranger = header();
    stranger.bundle = BundleId([9; 8]);
    stranger.bundle_name = "music".into();
    let text = decoder().set_header(&stranger).expect_err("another bundle").to_string();
    assert!(text.contains("music") && text.contains("0909"), "{text}");
}

#[test]
fn a_loss_keeps_the_length_and_fades() {
    let coded = packets(&mut encoder(1), &tone(400), &[]);
    let (mut decoder, mut out) = (decoder(), Vec::new());
    decoder.decode(&coded[0].0, &mut out).expect("a packet of ours");
    decoder.conceal(20, &mut out).expect("the toy never fails");
    assert_eq!(out.len(), 4 + 20 * 8);
    assert!(out[4 + 10 * 8..].iter().all(|&x| x == 0.0), "no background noise so far");
    decoder.decode(&coded[21].0, &mut out).expect("a packet of ours");
    assert_eq!(out.len(), 4 + 21 * 8);
}

#[test]
fn a_broken_packet_appends_nothing() {
    let coded = packets(&mut encoder(2), &tone(100), &[]);
    let (mut decoder, mut out) = (decoder(), Vec::new());
    for cut in 0..coded[0].0.len() {
        assert!(decoder.decode(&coded[0].0[..cut], &mut out).is_err(), "cut at {cut}");
        assert!(out.is_empty());
    }
}

#[test]
fn nan_and_infinite_samples_count_as_silence() {
    let mut pcm = tone(100);
    pcm[10] = f32::NAN;
    pcm[50] = f32::INFINITY;
    let out = decode_all(&packets(&mut encoder(1), &pcm, &[]));
    assert!(out.iter().all(|x| x.is_finite()));
}

#[test]
fn a_new_rate_begins_with_the_next_packet() {
    let (mut encoder, mut stages) = (encoder(3), Vec::new());
    let mut emit = |p: EncodedPacket<'_>| -> Result<()> {
        let packet = siskin_bitstream::packet::Packet::parse(p.data, &crate::Limits::default())?;
        stages.push(packet.bind(&header())?.info().stages);
        Ok(())
    };
    encoder.push_samples(&tone(36), &mut emit).expect("the toy never fails");
    encoder.set_stages(2).expect("four stages");
    encoder.push_samples(&tone(60), &mut emit).expect("the toy never fails");
    assert_eq!(stages, [4, 4, 2, 2]);
    assert!(encoder.set_stages(5).is_err());
}

#[test]
fn a_variable_rate_meets_its_target_whatever_the_cuts() {
    let pcm: Vec<f32> =
        (0..400 * 40).map(|i| (i as f32 * 0.3).sin() * if i / 200 % 3 == 1 { 0.002 } else { 0.5 }).collect();
    let coder = || {
        let rate_mode = RateMode::Variable { bitrate: 600 };
        let config =
            EncoderConfig { frames_per_packet: 10, header_interval: 5000, rate_mode, ..Default::default() };
        let frames = FrameEncoder::from_parts(Toy::boxed(), sample(1));
        Encoder::from_parts(frames, header(), &config, 4).expect("200 to 800 b/s")
    };
    let whole = packets(&mut coder(), &pcm, &[]);
    assert_eq!(packets(&mut coder(), &pcm, &[7, 100, 1]), whole);
    let mut used = coder();
    packets(&mut used, &pcm[..5000], &[]);
    assert_eq!(packets(&mut used, &pcm, &[]), whole, "a finished encoder equals a new one");
    assert_eq!(decode_all(&whole).len(), pcm.len());
    // 50 packets of 10 frames, 50 frames a second.
    for window in whole.windows(50).skip(10).take(120) {
        let rate = window.iter().map(|p| p.0.len() * 8).sum::<usize>() as f64 / 10.0;
        assert!((rate / 600.0 - 1.0).abs() < 0.06, "{rate} b/s over 10 s");
    }
    let mut other = coder();
    let before = other.rate_mode();
    assert!(other.set_rate_mode(RateMode::Variable { bitrate: 100 }).is_err());
    assert_eq!(other.rate_mode(), before, "a mode that is refused is not taken");
}

/// Tones with digital silence between them.
fn talk() -> Vec<f32> {
    let mut pcm = tone(800);
    pcm.resize(4000, 0.0);
    pcm.extend(tone(333));
    pcm.resize(6001, 0.0);
    pcm
}

fn with_dtx(frames_per_packet: u32) -> Encoder {
    encoder_with(EncoderConfig { frames_per_packet, header_interval: 10, dtx: true, ..Default::default() })
}

#[test]
fn dtx_keeps_every_position_and_the_length() {
    for frames_per_packet in [1, 3, 50] {
        let coded = packets(&mut with_dtx(frames_per_packet), &talk(), &[]);
        let (mut decoder, mut out, mut gaps) = (decoder(), Vec::new(), 0);
        for (data, position, samples) in &coded {
            let gap = position - out.len() as u64;
            assert!(gap == 0 || decoder.in_dtx(), "a gap only after a SID frame");
            assert_eq!(gap % 8, 0);
            decoder.conceal((gap / 8) as u32, &mut out).expect("the toy never fails");
            gaps += gap;
            assert_eq!(decoder.decode(data, &mut out).expect("a packet of ours").samples as u64, *samples);
        }
        assert_eq!(out.len(), talk().len(), "{frames_per_packet} frames per packet");
        assert_eq!(gaps > 0, frames_per_packet < 20);
        let loudest = |range: std::ops::Range<usize>| out[range].iter().fold(0.0f32, |m, x| m.max(x.abs()));
        assert!(loudest(1000..3900) < 1e-4 && loudest(5000..6001) < 1e-4);
        assert_eq!((loudest(2500..3900), loudest(5700..6001)), (0.0, 0.0));
    }
}

#[test]
fn dtx_does_not_depend_on_the_cuts() {
    let whole = packets(&mut with_dtx(3), &talk(), &[]);
    for cuts in [&[1][..], &[7, 9, 2], &[100, 1]] {
        assert_eq!(packets(&mut with_dtx(3), &talk(), cuts), whole);
    }
    let mut used = with_dtx(3);
    packets(&mut used, &talk(), &[]);
    assert_eq!(packets(&mut used, &talk(), &[]), whole, "after a reset");
}

#[test]
fn dtx_of_silence_costs_next_to_nothing() {
    let mut pcm = talk();
    pcm.resize(40_000, 0.0);
    for frames_per_packet in [1, 50] {
        let coded = packets(&mut with_dtx(frames_per_packet), &pcm, &[]);
        let bytes: usize = coded.iter().filter(|(_, at, _)| *at > 7000).map(|(data, ..)| data.len()).sum();
        let rate = bytes as f64 * 8.0 / (33_000.0 / 400.0);
        assert!(rate < 200.0, "{rate} b/s with {frames_per_packet} frames per packet");
    }
}

#[test]
fn redundancy_of_all_stages_restores_lost_frames_exactly() {
    let config =
        EncoderConfig { header_interval: 10, redundancy: 2, redundancy_stages: 4, ..Default::default() };
    let coded = packets(&mut encoder_with(config), &tone(400), &[]);
    let whole = decode_all(&coded);
    for lost in [vec![20], vec![20, 21], vec![20, 21, 22]] {
        let (mut decoder, mut out) = (decoder(), Vec::new());
        for (n, (data, position, _)) in coded.iter().enumerate() {
            if lost.contains(&n) {
                continue;
            }
            let missing = ((position - out.len() as u64) / 8) as u32;
            let restored = decoder.conceal_before_data(missing, data, &mut out).expect("the toy never fails");
            assert_eq!(restored, missing.min(2));
            decoder.decode(data, &mut out).expect("a packet of ours");
        }
        assert_eq!(out.len(), whole.len());
        assert_eq!(out == whole, lost.len() <= 2, "lost {lost:?}");
    }
}

#[test]
fn a_packet_without_redundancy_restores_nothing() {
    let coded = packets(&mut encoder(1), &tone(400), &[]);
    let (mut decoder, mut out) = (decoder(), Vec::new());
    decoder.decode(&coded[0].0, &mut out).expect("a packet of ours");
    for next in [&coded[5].0[..], &[], &[0xff; 9]] {
        assert_eq!(decoder.conceal_before_data(3, next, &mut out).ok(), Some(0));
    }
    assert_eq!(out.len(), 4 + 3 * 3 * 8);
}

#[test]
fn each_limit_of_the_decoder_bites() {
    let coded = packets(&mut encoder(3), &tone(60), &[]);
    let refused = |change: fn(&mut crate::Limits)| {
        let (mut decoder, mut limits) = (decoder(), crate::Limits::default());
        change(&mut limits);
        decoder.set_limits(limits);
        match decoder.decode(&coded[0].0, &mut Vec::new()) {
            Err(Error::Bitstream { field, .. }) => field,
            _ => "not refused",
        }
    };
    assert_eq!(refused(|limits| limits.max_packet_bytes = 10), "length");
    assert_eq!(refused(|limits| limits.max_frames_per_packet = 2), "frames");
}
