//! Samples from tokens, with the toy network of the audio tests.

use super::*;
use crate::tests::{decoder, frame_encoder, header, tone};

fn toy_format(layout: &str) -> Format {
    let layout = Layout::parse(layout, 4, 16).expect(layout);
    Format::new(4, 16, layout, &BTreeMap::new()).expect("four codebooks")
}

fn stream(layout: &str, on_bad: OnBadToken) -> TokenStream {
    TokenStream::from_parts(decoder(), toy_format(layout), on_bad)
}

fn tokens_of(layout: &str, samples: usize, cuts: &[usize]) -> (Vec<i64>, u64) {
    let mut tokenizer =
        Tokenizer::from_parts(frame_encoder(), toy_format(layout), 8, 4, 24_000).expect("a hop");
    let (pcm, mut out) = (tone(samples), Vec::new());
    let (mut rest, mut sizes) = (pcm.as_slice(), cuts.iter().copied().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
        tokenizer.push_samples(now, &mut out).expect("the toy never fails");
        rest = later;
    }
    let length = tokenizer.finish_stream(true, &mut out).expect("the toy never fails");
    (out, length)
}

fn samples(stream: &mut TokenStream, tokens: &[i64], cut: usize) -> (Vec<f32>, Ending) {
    let mut pcm = Vec::new();
    for piece in tokens.chunks(cut) {
        stream.push_tokens(piece, &mut pcm).expect("tokens of ours");
    }
    let ending = stream.finish_stream(&mut pcm).expect("tokens of ours");
    (pcm, ending)
}

const STREAMED: [&str; 6] = ["parallel", "delayed", "moshi", "flat", "flat-plain", "coarse-first"];

#[test]
fn any_pieces_give_the_samples_of_the_codec_to_the_length() {
    let mut expected = None;
    for layout in STREAMED {
        let (tokens, length) = tokens_of(layout, 333, &[333]);
        assert_eq!((tokens.clone(), length), tokens_of(layout, 333, &[1, 50, 7]), "{layout}");
        for cut in [1, 3, 64, 10_000] {
            let mut stream = stream(layout, OnBadToken::Refuse);
            stream.set_length(length);
            let (pcm, ending) = samples(&mut stream, &tokens, cut);
            assert_eq!((pcm.len(), ending.samples, ending.frames), (333, 333, 43), "{layout}");
            let expected = expected.get_or_insert_with(|| pcm.clone());
            assert_eq!(*expected, pcm, "{layout} in pieces of {cut}");
        }
    }
}

#[test]
fn samples_come_as_soon_as_a_frame_is_whole() {
    let (tokens, _) = tokens_of("delayed", 100, &[100]);
    let mut stream = stream("delayed", OnBadToken::Refuse);
    let counts: Vec<usize> = tokens
        .chunks(4)
        .map(|row| stream.push_tokens(row, &mut Vec::new()).expect("tokens of ours"))
        .take(6)
        .collect();
    assert_eq!(counts, [0, 0, 0, 4, 8, 8], "three steps late, then a hop a step, less the delay at first");
}

#[test]
fn a_reset_stream_equals_a_new_one() {
    for layout in STREAMED {
        let (tokens, _) = tokens_of(layout, 200, &[200]);
        let mut used = stream(layout, OnBadToken::Refuse);
        used.push_tokens(&tokens[..37], &mut Vec::new()).expect("tokens of ours");
        used.reset();
        let fresh = samples(&mut stream(layout, OnBadToken::Refuse), &tokens, 5);
        assert_eq!(samples(&mut used, &tokens, 11), fresh, "{layout}");
        assert_eq!(samples(&mut used, &tokens, 11), fresh, "{layout}, after its end");
    }
}

#[test]
fn a_snapshot_takes_a_stream_back() {
    for layout in STREAMED {
        let (tokens, _) = tokens_of(layout, 400, &[400]);
        for at in [0, 1, 10, 50, tokens.len() - 2] {
            let (mut stream, mut snapshot) = (stream(layout, OnBadToken::Refuse), StreamSnapshot::default());
            stream.push_tokens(&tokens[..at], &mut Vec::new()).expect("tokens of ours");
            stream.save_state(&mut snapshot);
            let first = samples(&mut stream, &tokens[at..], 7);
            stream.restore_state(&snapshot).expect("its own");
            assert_eq!(samples(&mut stream, &tokens[at..], 3), first, "{layout} at {at}");
        }
    }
    let mut other = StreamSnapshot::default();
    assert!(stream("flat", OnBadToken::Refuse).restore_state(&other).is_err(), "empty");
    stream("parallel", OnBadToken::Refuse).save_state(&mut other);
    assert!(stream("flat", OnBadToken::Refuse).restore_state(&other).is_err(), "of another layout");
}

#[test]
fn slots_do_not_hear_each_other() {
    let (a, b) = (tokens_of("delayed", 300, &[300]).0, tokens_of("delayed", 150, &[150]).0);
    let alone = |tokens: &[i64]| samples(&mut stream("delayed", OnBadToken::Refuse), tokens, 4).0;
    let mut slots = Slots::new(stream("delayed", OnBadToken::Refuse), 3).expect("three");
    let mut heard = vec![Vec::new(); 3];
    let rows = a.chunks(4).map(Some).zip(b.chunks(4).map(Some).chain(std::iter::repeat(None)));
    for (row_a, row_b) in rows {
        let input: Vec<(usize, &[i64])> =
            [(2, row_a), (0, row_b)].into_iter().filter_map(|(s, row)| Some((s, row?))).collect();
        let mut give = |slot: usize, pcm: crate::Result<&[f32]>| {
            heard[slot].extend_from_slice(pcm.expect("tokens of ours"));
        };
        slots.push_tokens(&input, &mut give).expect("slots that are there");
    }
    assert!(heard[2] == alone(&a) && heard[0] == alone(&b) && heard[1].is_empty());
    slots.select_slot(2).expect("there").reset();
    let mut again = Vec::new();
    slots.select_slot(2).expect("there").push_tokens(&b, &mut again).expect("tokens of ours");
    assert_eq!(again, heard[0], "a slot begins anew by itself");
    assert!(slots.select_slot(3).is_err());
}

#[test]
fn a_refused_slot_does_not_hold_up_the_others() {
    let (tokens, _) = tokens_of("parallel", 100, &[100]);
    let mut slots = Slots::new(stream("parallel", OnBadToken::Refuse), 2).expect("two");
    let mut results = Vec::new();
    let input = [(0, &[99i64, 1, 1, 1][..]), (1, &tokens[..])];
    slots
        .push_tokens(&input, &mut |slot, pcm| results.push((slot, pcm.map(<[f32]>::len).ok())))
        .expect("slots");
    assert_eq!(results[0], (0, None));
    assert!(results[1].1 > Some(90));
}

#[test]
fn bad_tokens_keep_the_time_and_are_told() {
    let (mut tokens, _) = tokens_of("parallel", 400, &[400]);
    let whole = samples(&mut stream("parallel", OnBadToken::Conceal), &tokens, 9).0;
    tokens[20 * 4 + 1] = 5000;
    let mut stream = stream("parallel", OnBadToken::Conceal);
    let (pcm, ending) = samples(&mut stream, &tokens, 9);
    assert_eq!((pcm.len(), ending.lost), (whole.len(), 1));
    assert_eq!(pcm[..20 * 8 - 4], whole[..20 * 8 - 4], "nothing before is touched");
    let faults = stream.take_faults();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].to_string().starts_with("token 81 is 5000"), "{}", faults[0]);
}

#[test]
fn refused_tokens_can_be_put_right() {
    let (tokens, _) = tokens_of("flat", 200, &[200]);
    let expected = samples(&mut stream("flat", OnBadToken::Refuse), &tokens, 4).0;
    let (mut stream, mut pcm) = (stream("flat", OnBadToken::Refuse), Vec::new());
    let mut wrong = tokens.clone();
    wrong[33] = -1;
    let error = stream.push_tokens(&wrong, &mut pcm).expect_err("a bad token");
    assert!(matches!(error, crate::Error::Token(TokenError::Range { position: 33, .. })), "{error}");
    stream.push_tokens(&tokens[stream.token_count() as usize..], &mut pcm).expect("the right ones");
    stream.finish_stream(&mut pcm).expect("the end");
    assert_eq!(pcm, expected);
}

#[test]
fn latents_sound_without_codes() {
    let mut stream = stream("parallel", OnBadToken::Refuse);
    let mut pcm = Vec::new();
    stream.push_latents(&[0.25; 8 * 5], &mut pcm).expect("five frames");
    assert_eq!(pcm.len(), 5 * 8 - 4);
    assert!(pcm.iter().any(|x| x.abs() > 0.1));
    for bad in [&[0.0; 7][..], &[f32::NAN; 8]] {
        assert!(stream.push_latents(bad, &mut pcm).is_err());
    }
    assert_eq!(pcm.len(), 5 * 8 - 4);
}

#[test]
fn packets_of_codes_are_those_of_the_encoder() {
    use crate::{EncodedPacket, Encoder, EncoderConfig};
    for samples in [1, 3, 4, 5, 12, 60, 333] {
        let config = EncoderConfig { frames_per_packet: 3, ..Default::default() };
        let mut encoder = Encoder::from_parts(frame_encoder(), header(), &config, 4).expect("a valid config");
        let mut expected = Vec::new();
        let mut keep = |p: EncodedPacket<'_>| -> crate::Result<()> {
            expected.push((p.data.to_vec(), p.position, p.samples, p.is_random_access));
            Ok(())
        };
        encoder.push_samples(&tone(samples), &mut keep).expect("the toy never fails");
        encoder.finish_stream(&mut keep).expect("the toy never fails");
        let mut codes = Vec::new();
        for (data, ..) in &expected {
            codes_from_packet(data, &header(), None, &mut codes).expect("a packet of ours");
        }
        let (mut packets, mut found) = (CodePackets::new(header(), 4, 3, true).expect("fits"), Vec::new());
        let mut keep = |p: PackedCodes<'_>| -> crate::Result<()> {
            found.push((p.data.to_vec(), p.position, p.samples, p.is_random_access));
            Ok(())
        };
        for frame in codes.chunks_exact(4) {
            packets.push_frame(frame, &mut keep).expect("a frame");
        }
        packets.finish_stream(Some(samples as u64), &mut keep).expect("its length");
        assert_eq!(found, expected, "{samples} samples");
    }
}

#[test]
fn a_length_that_the_codes_do_not_hold_is_refused() {
    let mut keep = |_: PackedCodes<'_>| -> crate::Result<()> { Ok(()) };
    for samples in [0, 11, 21, 1000] {
        let mut packets = CodePackets::new(header(), 4, 5, true).expect("fits");
        for _ in 0..3 {
            packets.push_frame(&[1; 4], &mut keep).expect("a frame");
        }
        let result = packets.finish_stream(Some(samples), &mut keep);
        assert!(result.is_err(), "{samples} samples of 20");
    }
}
