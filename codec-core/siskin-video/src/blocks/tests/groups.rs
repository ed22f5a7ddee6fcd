//! Packets of several frames.

use super::*;
use siskin_media::VideoFrameView;

/// What an encoder made of frames: its packets, and the frames as it saw them.
struct Coded {
    packets: Vec<Vec<u8>>,
    seen: Vec<Vec<u8>>,
    /// Frames of each packet.
    counts: Vec<usize>,
}

fn views(size: (u32, u32), frames: &[Vec<u8>]) -> Vec<VideoFrameView<'_>> {
    let size = header(size.0, size.1).size().expect("a size");
    frames.iter().map(|f| VideoFrameView::from_data(PixelFormat::I420, size, f).expect("a frame")).collect()
}

/// Codes frames, so many a packet as `plan` says of what it is given.
fn code(
    encoder: &mut Encoder,
    size: (u32, u32),
    frames: &[Vec<u8>],
    plan: impl Fn(&mut Encoder, &[VideoFrameView<'_>]) -> usize,
) -> Coded {
    let views = views(size, frames);
    let mut rest = &views[..];
    let mut coded = Coded { packets: Vec::new(), seen: Vec::new(), counts: Vec::new() };
    while !rest.is_empty() {
        let count = plan(encoder, rest);
        let packet = encoder.encode_group(&rest[..count], None).expect("a packet");
        coded.packets.push(packet.data.to_vec());
        let seen = encoder.reconstructed_frames().expect("frames");
        coded.seen.extend(seen.iter().map(|view| {
            let mut out = VideoFrame::default();
            view.copy_to(&mut out);
            out.into_data()
        }));
        coded.counts.push(count);
        rest = &rest[count..];
    }
    coded
}

fn planned(encoder: &mut Encoder, frames: &[VideoFrameView<'_>]) -> usize {
    encoder.plan(frames).expect("a plan")
}

/// A keyframe, then `count` frames a packet.
fn in_groups(count: usize) -> impl Fn(&mut Encoder, &[VideoFrameView<'_>]) -> usize {
    move |encoder, rest| if encoder.reconstructed_frames().is_err() { 1 } else { count.min(rest.len()) }
}

fn new_encoder(size: (u32, u32), config: &Config) -> Encoder {
    Encoder::new(header(size.0, size.1), config).expect("a valid stream")
}

fn decode_all(decoder: &mut Decoder, packet: &[u8]) -> Vec<Vec<u8>> {
    let info = decoder.decode(packet).expect("a packet");
    let frame = |i| {
        let mut out = VideoFrame::default();
        decoder.frame_at(i).expect("a frame").copy_to(&mut out);
        out.into_data()
    };
    assert!(matches!(decoder.frame_at(info.frames as usize), Err(Error::Parameter { name: "frame", .. })));
    (0..info.frames as usize).map(frame).collect()
}

#[test]
fn a_decoder_sees_what_the_encoder_saw() {
    for size in [(64, 48), (17, 31), (129, 66), (31, 200)] {
        for (count, refinements) in [(8, 1), (3, 0), (16, 2), (2, 1)] {
            let frames = clip(size.0 as usize, size.1 as usize, 20);
            let config = Config { refinements, lookahead: 16, ..quality(6) };
            let coded = code(&mut new_encoder(size, &config), size, &frames, in_groups(count));
            let mut decoder = Decoder::new();
            let found: Vec<_> = coded.packets.iter().flat_map(|p| decode_all(&mut decoder, p)).collect();
            assert!(found == coded.seen, "{size:?}, {count} frames a packet");
            for (i, (frame, found)) in frames.iter().zip(&found).enumerate() {
                assert!(psnr(frame, found) > 30.0, "{size:?}, frame {i}: {} dB", psnr(frame, found));
            }
        }
    }
}

#[test]
fn packets_do_not_depend_on_threads() {
    let frames = clip(160, 150, 9);
    let [one, three] = [1, 3].map(|threads| {
        let config = Config { threads, lookahead: 8, ..quality(8) };
        code(&mut new_encoder((160, 150), &config), (160, 150), &frames, planned).packets
    });
    assert_eq!(one, three);
}

#[test]
fn frames_predicted_from_both_sides_take_fewer_bits() {
    let frames = clip(160, 128, 17);
    let cost = |lookahead| {
        let config = Config { lookahead, ..quality(14) };
        let coded = code(&mut new_encoder((160, 128), &config), (160, 128), &frames, planned);
        let bytes: usize = coded.packets.iter().map(Vec::len).sum();
        let level: f64 = frames.iter().zip(&coded.seen).map(|(a, b)| psnr(a, b)).sum::<f64>() / 17.0;
        // A decibel is worth about a sixth of the rate.
        (bytes as f64 * (-level / 6.0).exp2(), coded.counts)
    };
    let ((single, ones), (grouped, counts)) = (cost(0), cost(8));
    assert_eq!((ones, counts), (vec![1; 17], vec![1, 8, 8]));
    assert!(grouped < 0.9 * single, "{grouped} of {single}");
}

#[test]
fn grain_that_is_kept_is_coded_frame_by_frame() {
    let mut random = Random(6);
    let base = clip(64, 48, 1).remove(0);
    let mut grainy = |_| base.iter().map(|v| v.saturating_add(random.below(24) as u8)).collect();
    let frames: Vec<Vec<u8>> = (0..12).map(&mut grainy).collect();
    let counts = |q| {
        let config = Config { lookahead: 8, ..quality(q) };
        code(&mut new_encoder((64, 48), &config), (64, 48), &frames, planned).counts
    };
    // Grain of one frame says nothing of the next, so a coarse frame between two finer ones saves nothing.
    assert!([8, 11, 14].iter().any(|&q| counts(q) == [1; 12]));
    // Where it is not kept, the rest of the picture counts.
    assert_eq!(counts(34), [1, 8, 3]);
}

#[test]
fn packets_end_before_scenes_and_keyframes() {
    let mut frames = clip(96, 64, 12);
    // Another scene from the sixth frame on.
    frames[5..].iter_mut().for_each(|f| f.iter_mut().for_each(|v| *v = 255 - *v));
    let config = Config { lookahead: 8, scene_cuts: true, ..quality(14) };
    let coded = code(&mut new_encoder((96, 64), &config), (96, 64), &frames, planned);
    let keyframes = |coded: &Coded| {
        let is_one = |p: &Vec<u8>| inspect(p, &Limits::default()).expect("a packet").is_keyframe;
        coded.packets.iter().map(is_one).collect::<Vec<_>>()
    };
    assert_eq!((keyframes(&coded), coded.counts), (vec![true, false, true, false], vec![1, 4, 1, 6]));
    let config = Config { lookahead: 8, keyframe_interval: 6, ..quality(14) };
    let frames = clip(96, 64, 14);
    let coded = code(&mut new_encoder((96, 64), &config), (96, 64), &frames, planned);
    assert_eq!(
        (keyframes(&coded), coded.counts),
        (vec![true, false, true, false, true, false], vec![1, 5, 1, 5, 1, 1])
    );
}

#[test]
fn what_stands_still_takes_two_bytes_a_frame() {
    let frame = clip(96, 64, 1).remove(0);
    let config = Config { lookahead: 8, ..quality(14) };
    let coded = code(&mut new_encoder((96, 64), &config), (96, 64), &vec![frame; 50], planned);
    assert_eq!(coded.counts, [1; 50]);
    assert!(coded.packets[40..].iter().all(|p| p.len() == 2));
    assert_eq!(coded.seen.len(), 50);
}

#[test]
fn a_repeated_frame_behind_a_packet_of_many_is_its_last_one() {
    let mut frames = clip(64, 48, 9);
    frames.extend(vec![frames[8].clone(); 40]);
    let config = Config { lookahead: 8, ..quality(30) };
    let mut decoder = Decoder::new();
    let coded =
        code(&mut new_encoder((64, 48), &config), (64, 48), &frames, |encoder, rest| match rest.len() {
            48 => 8,
            _ => encoder.plan(rest).expect("a plan").min(1),
        });
    let found: Vec<_> = coded.packets.iter().flat_map(|p| decode_all(&mut decoder, p)).collect();
    assert!(coded.packets.last().is_some_and(|p| p.len() == 2));
    assert!(found == coded.seen && found.len() == 49);
}

#[test]
fn a_run_that_goes_on_at_a_keyframe_codes_the_same() {
    let frames = clip(64, 48, 80);
    for target in [Target::Quality(20), Target::Bitrate(200_000)] {
        let config = Config { target, keyframe_interval: 32, lookahead: 8, ..Default::default() };
        let whole = code(&mut new_encoder((64, 48), &config), (64, 48), &frames, planned);
        let mut encoder = new_encoder((64, 48), &config);
        let (mut begin, mut at) = (0, 0);
        for (packet, count) in whole.packets.iter().zip(&whole.counts) {
            if at == 64 {
                break;
            }
            encoder.resume(packet).expect("a packet of this stream");
            (begin, at) = (begin + 1, at + count);
        }
        assert_eq!(at, 64, "{:?}", whole.counts);
        let rest = code(&mut encoder, (64, 48), &frames[64..], planned);
        assert!(rest.packets == whole.packets[begin..], "{target:?}");
    }
}

#[test]
fn the_rate_comes_out_as_asked() {
    let frames = scenes(160, 96);
    for rate in [80_000, 200_000] {
        let config = Config { target: Target::Bitrate(rate), lookahead: 8, ..Default::default() };
        let coded = code(&mut new_encoder((160, 96), &config), (160, 96), &frames, planned);
        let bits = coded.packets.iter().map(|p| 8.0 * p.len() as f64).sum::<f64>();
        let found = bits / (frames.len() as f64 / 30.0) / f64::from(rate);
        // Nine scenes in six seconds, drawn in flat colors: quality may not rise as fast as they would allow.
        assert!((0.85..1.05).contains(&found), "{found} of {rate}");
        let frames_of =
            |packet: &[u8]| inspect(packet, &Limits::default()).expect("a packet").frames as usize;
        let spread = |packet: &Vec<u8>| {
            let count = frames_of(packet);
            std::iter::repeat_n(8.0 * packet.len() as f64 / count as f64, count)
        };
        let each: Vec<f64> = coded.packets.iter().flat_map(spread).collect();
        let worst = each.windows(30).map(|w| w.iter().sum::<f64>()).fold(0.0, f64::max) / f64::from(rate);
        assert!(worst < 1.4, "{worst} of {rate} in a second");
    }
}

#[test]
fn durations_are_kept() {
    let frames = clip(32, 32, 5);
    let views = views((32, 32), &frames);
    let mut encoder = new_encoder((32, 32), &Config { lookahead: 8, ..quality(8) });
    encoder.encode_group(&views[..1], Some(&[7])).expect("a keyframe");
    let packet = encoder.encode_group(&views[1..], Some(&[1, 20, 300, 4000])).expect("a packet").data;
    let info = inspect(packet, &Limits::default()).expect("a packet");
    assert_eq!((info.frames, info.durations), (4, Some(vec![1, 20, 300, 4000])));
}

#[test]
fn what_a_packet_cannot_hold_is_refused() {
    let frames = clip(32, 32, 20);
    let views = views((32, 32), &frames);
    let config = Config { lookahead: 8, ..quality(8) };
    let refused = |encoder: &mut Encoder, frames: &[VideoFrameView<'_>], name| {
        let found = encoder.encode_group(frames, None);
        assert!(matches!(found, Err(Error::Parameter { name: n, .. }) if n == name), "{found:?}");
    };
    let mut encoder = new_encoder((32, 32), &config);
    refused(&mut encoder, &views[..2], "frames");
    encoder.encode_group(&views[..1], None).expect("a keyframe");
    refused(&mut encoder, &[], "frames");
    refused(&mut encoder, &views[..9], "frames");
    assert!(matches!(encoder.plan(&[]), Err(Error::Parameter { name: "frames", .. })));
    let found = encoder.encode_group(&views[..2], Some(&[1]));
    assert!(matches!(found, Err(Error::Parameter { name: "durations", .. })));
    let more = Config { lookahead: 17, ..quality(8) };
    assert!(matches!(Encoder::new(header(32, 32), &more), Err(Error::Parameter { name: "lookahead", .. })));
}

#[test]
fn several_frames_need_the_tool() {
    let frames = clip(32, 32, 5);
    let group = code(
        &mut new_encoder((32, 32), &Config { lookahead: 8, ..quality(8) }),
        (32, 32),
        &frames,
        in_groups(4),
    );
    // The keyframe of a stream that does not have it.
    let mut decoder = Decoder::new();
    decoder.decode(&packets((32, 32), &quality(8), &frames[..1])[0]).expect("a keyframe");
    assert!(matches!(decoder.decode(&group.packets[1]), Err(Error::Bitstream { field: "frames", .. })));
    // The last good frame is still shown.
    assert!(decoder.frame().is_ok());
    // No keyframe holds several.
    let mut key = group.packets[0].clone();
    let at = header_length() + 2;
    assert_eq!(key[at], 1);
    key[at] = 2;
    reseal(&mut key);
    assert!(matches!(decoder.decode(&key), Err(Error::Bitstream { field: "frames", .. })));
    key[at] = 17;
    reseal(&mut key);
    assert!(matches!(inspect(&key, &Limits::default()), Err(Error::Bitstream { field: "frames", .. })));
}

fn header_length() -> usize {
    let mut bytes = Vec::new();
    header(32, 32).write_to(&mut bytes);
    bytes.len()
}

#[test]
fn no_damage_panics_and_a_keyframe_heals() {
    let config = Config { lookahead: 8, ..quality(14) };
    let clip = clip(40, 24, 13);
    let packets = code(&mut new_encoder((40, 24), &config), (40, 24), &clip, in_groups(6)).packets;
    let (wrong, right) = decode_damaged(&packets, 600);
    assert!(wrong > 200 && right > 200, "{wrong} wrong, {right} right");
}

#[test]
fn any_decisions_are_frames_or_an_error() {
    let config = Config { lookahead: 8, ..quality(20) };
    let key =
        code(&mut new_encoder((72, 40), &config), (72, 40), &clip(72, 40, 1), in_groups(1)).packets.remove(0);
    let mut random = Random(3);
    let (mut wrong, mut right) = (0, 0);
    for round in 0..1000u32 {
        let mut decoder = Decoder::new();
        decoder.decode(&key).expect("a keyframe");
        for number in 1..4 {
            let mut packet = vec![2, number, 1 + random.below(16) as u8, random.below(128) as u8];
            let count = random.below(if round % 3 == 0 { 4000 } else { 80 });
            packet.extend((0..count).map(|_| random.below(256) as u8));
            append_checksum(&mut packet);
            match decoder.decode(&packet) {
                Ok(_) => right += 1,
                Err(_) => wrong += 1,
            }
        }
    }
    assert!(wrong > 300 && right > 0, "{wrong} wrong, {right} right");
}

#[test]
fn a_keyframe_is_finer_where_what_follows_stands_still() {
    // A pattern of its own in each block, with a ball that moves in front of it, and the same pattern as it pans.
    let mut random = Random(8);
    let wide: Vec<u8> = (0..192 * 96).map(|_| 60 + random.below(120) as u8).collect();
    let texture = |x: usize, y: usize| wide[y / 4 * 4 * 192 + x / 4 * 4];
    let scene = |speed: usize| -> Vec<Vec<u8>> {
        let frame = |i: usize| {
            let ball = |x: usize, y: usize| x.abs_diff(20 + 5 * i) < 9 && y.abs_diff(40) < 9;
            let luma = (0..96 * 96).map(|p| (p % 96, p / 96));
            let luma = luma.map(|(x, y)| if ball(x, y) { 240 } else { texture(x + speed * i, y) });
            luma.chain(std::iter::repeat_n(128, 96 * 48)).collect()
        };
        (0..8).map(frame).collect()
    };
    let keyframe_quality = |frames: &[Vec<u8>], keyframe_interval: u32| {
        let config = Config { lookahead: 8, keyframe_interval, ..quality(20) };
        let mut encoder = Encoder::new(header(96, 96), &config).expect("a stream");
        let views = views((96, 96), frames);
        assert_eq!(encoder.plan(&views).expect("a plan"), 1);
        encoder.encode_group(&views[..1], None).expect("a keyframe").quality
    };
    let [still, moving] = [0, 6].map(|speed| keyframe_quality(&scene(speed), 120));
    assert!(still + 4 <= moving && moving == 15, "{still} and {moving}");
    // Nothing is predicted from it, or too little.
    assert_eq!([1, 10].map(|interval| keyframe_quality(&scene(0), interval)), [15; 2]);
    // What lies beyond the lookahead does not count, however much is given.
    let mut more = scene(0);
    more.extend(scene(6));
    assert_eq!(keyframe_quality(&more, 120), still);
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/blocks-groups.hex");

#[test]
fn golden_packets_are_the_frames_that_they_ever_were() {
    let text = std::fs::read_to_string(GOLDEN).expect("golden bytes");
    let mut decoder = Decoder::new();
    let mut frames = 0;
    for line in text.lines() {
        let mut words = line.split(' ');
        let packet = hex::decode(words.next().unwrap_or_default()).expect("hexadecimal");
        let sums: Vec<_> = words.map(|w| u32::from_str_radix(w, 16).expect("a sum")).collect();
        let found: Vec<_> = decode_all(&mut decoder, &packet).iter().map(|f| checksum(f)).collect();
        assert_eq!(found, sums, "behind frame {frames}");
        frames += sums.len();
    }
    assert_eq!(frames, 15);
}

#[test]
#[ignore = "writes the golden bytes"]
fn write_golden_packets() {
    let mut random = Random(5);
    let mut frames = clip(67, 45, 14);
    // Noise in a corner, so that all sizes of levels occur.
    frames.iter_mut().for_each(|f| (0..700).for_each(|i| f[i] = random.below(256) as u8));
    frames.push(frames[13].clone());
    let config = Config { lookahead: 8, ..quality(2) };
    let coded = code(&mut new_encoder((67, 45), &config), (67, 45), &frames, |encoder, rest| {
        if encoder.reconstructed_frames().is_err() {
            1
        } else if rest.len() == 14 {
            8
        } else {
            5.min(rest.len())
        }
    });
    let mut lines = String::new();
    let mut seen = coded.seen.iter();
    for (packet, count) in coded.packets.iter().zip(&coded.counts) {
        lines += &hex::encode(packet);
        seen.by_ref().take(*count).for_each(|frame| lines += &format!(" {:08x}", checksum(frame)));
        lines.push('\n');
    }
    std::fs::write(GOLDEN, lines).expect("a writable folder");
}
