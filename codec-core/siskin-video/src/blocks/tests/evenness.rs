//! One quality over contents of which a step takes more and less.

use super::*;

const SIZE: (u32, u32) = (128, 96);

/// Frames of noise around 40 as a dark camera has it, of tiles of their own, or of both in turn.
fn frames(count: usize, is_noise: impl Fn(usize) -> bool) -> Vec<Vec<u8>> {
    let mut random = Random(9);
    let tiles: Vec<u8> = (0..16 * 12).map(|_| 30 + random.below(190) as u8).collect();
    (0..count)
        .map(|i| {
            let mut luma = |p: usize| match is_noise(i) {
                true => 30 + (0..4).map(|_| random.below(7)).sum::<u32>() as u8,
                false => tiles[p / 128 / 8 * 16 + (p % 128 + 3 * i) % 128 / 8],
            };
            let luma: Vec<u8> = (0..128 * 96).map(&mut luma).collect();
            luma.into_iter().chain(std::iter::repeat_n(128, 64 * 96)).collect()
        })
        .collect()
}

fn qualities(config: &Config, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut encoder = Encoder::new(header(SIZE.0, SIZE.1), config).expect("a stream");
    frames.iter().map(|frame| encoder.encode(frame, None).expect("a frame").quality).collect()
}

fn config(target: Target, keyframe_interval: u32) -> Config {
    Config { target, keyframe_interval, scene_cuts: false, ..Default::default() }
}

#[test]
fn a_quality_is_finer_for_noise_than_its_step() {
    for (is_noise, change) in [(true, -8i16), (false, 0)] {
        let frames = frames(6, |_| is_noise);
        let [even, step] =
            [Target::Quality(20), Target::Step(20)].map(|target| qualities(&config(target, 120), &frames));
        let changes = even.iter().zip(&step).map(|(even, step)| i16::from(*even) - i16::from(*step));
        assert_eq!(changes.collect::<Vec<_>>(), [change; 6], "{even:?} {step:?}");
    }
}

#[test]
fn a_scene_that_changes_is_followed_slowly_and_a_keyframe_at_once() {
    let frames = frames(24, |i| i >= 4);
    let anchors = |target, interval| {
        qualities(&config(target, interval), &frames).into_iter().step_by(4).collect::<Vec<_>>()
    };
    // A keyframe is 5 finer than what is asked for, every fourth frame 2.
    assert_eq!(anchors(Target::Quality(20), 120), [15, 17, 16, 15, 14, 13]);
    assert_eq!(anchors(Target::Quality(20), 8), [15, 17, 7, 10, 7, 10]);
}

#[test]
fn another_target_is_looked_at_anew() {
    let frames = frames(3, |_| true);
    let mut encoder =
        Encoder::new(header(SIZE.0, SIZE.1), &config(Target::Quality(20), 120)).expect("a stream");
    let mut quality = |i: usize, target: Option<Target>| {
        target.iter().for_each(|target| encoder.set_target(*target).expect("a target"));
        encoder.encode(&frames[i], None).expect("a frame").quality
    };
    assert_eq!(quality(0, None), 20 - 8 - 5);
    assert_eq!(quality(1, Some(Target::Quality(30))), 30 - 8 + 2);
    assert_eq!(quality(2, Some(Target::Step(30))), 30 + 1);
}
