use super::*;
use crate::spectrum::BANDS;

const HOP: usize = 480;

fn concealment() -> Concealment {
    Concealment::new(HOP, 24_000)
}

/// Mean squares of frames.
fn levels(pcm: &[f32]) -> Vec<f32> {
    pcm.chunks_exact(HOP).map(|f| f.iter().map(|x| x * x).sum::<f32>() / HOP as f32).collect()
}

/// Noise of a level, heard by a concealment.
fn noisy(level: f32, frames: usize, hearing: &mut Concealment) -> Vec<f32> {
    let mut noise = NoiseSynthesis::new(hearing.plan());
    let power = level * level / hearing.plan().mean_square(&[1.0; BANDS]);
    let mut out = vec![0.0; HOP * frames];
    for frame in out.chunks_exact_mut(HOP) {
        noise.fill_frame(&[power; BANDS], frame);
        hearing.receive_frame(frame);
    }
    out
}

#[test]
fn a_long_loss_fades_into_nothing_where_there_was_no_noise() {
    let mut conceal = concealment();
    conceal.receive_frame(&mut [0.0; HOP]);
    let mut out = vec![1.0; 20 * HOP];
    for frame in out.chunks_exact_mut(HOP) {
        conceal.conceal_frame(frame, None);
    }
    assert!(conceal.is_silent(None));
    assert!(out[10 * HOP..].iter().all(|&x| x == 0.0));
    let mut frame = [1.0; HOP];
    conceal.receive_frame(&mut frame);
    out.extend_from_slice(&frame);
    let steepest = out.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
    assert!(steepest < 1.1 / HOP as f32, "{steepest}");
    let mut next = [1.0; HOP];
    conceal.receive_frame(&mut next);
    assert_eq!(next, [1.0; HOP]);
}

#[test]
fn a_loss_in_noise_is_not_heard_in_the_level() {
    let mut conceal = concealment();
    let before = noisy(0.01, 100, &mut conceal);
    let mean: f32 = levels(&before[20 * HOP..]).iter().sum::<f32>() / 80.0;
    let mut lost = Vec::new();
    let mut source = NoiseSynthesis::new(conceal.plan());
    // Other noise than that of the concealment, which begins alike.
    (0..5).for_each(|_| source.fill_frame(&[0.0; 12], &mut [0.0; HOP]));
    for _ in 0..60 {
        let mut frame = vec![0.0; HOP];
        // What a network would make of it while it is heard: noise as before.
        source.fill_frame(&[mean / conceal.plan().mean_square(&[1.0; 12]); 12], &mut frame);
        conceal.conceal_frame(&mut frame, None);
        lost.extend_from_slice(&frame);
    }
    for (n, level) in levels(&lost).iter().enumerate().skip(1) {
        let off = 10.0 * (level / mean).log10();
        assert!(off.abs() < 3.0, "lost frame {n} off by {off} dB");
    }
}

#[test]
fn comfort_noise_keeps_its_level_from_sid_frame_to_sid_frame() {
    let mut conceal = concealment();
    noisy(0.1, 10, &mut conceal);
    let power = |level: f32| [level * level / conceal.plan().mean_square(&[1.0; 12]); 12];
    let (loud, soft) = (power(0.02), power(0.01));
    let mut out = vec![0.0; 100 * HOP];
    conceal.set_comfort_noise(&loud);
    for (n, frame) in out.chunks_exact_mut(HOP).enumerate() {
        if n % 20 == 0 {
            conceal.set_comfort_noise(if n < 60 { &loud } else { &soft });
        }
        conceal.conceal_frame(frame, None);
    }
    let db = |range: &[f32]| 10.0 * (range.iter().sum::<f32>() / range.len() as f32).log10();
    let levels = levels(&out);
    assert!((db(&levels[3..60]) + 34.0).abs() < 1.0, "{}", db(&levels[3..60]));
    assert!((db(&levels[85..]) + 40.0).abs() < 1.0, "{}", db(&levels[85..]));
    let steps = levels[3..].windows(2).map(|w| 10.0 * (w[1] / w[0]).log10());
    assert!(steps.clone().all(|s| s.abs() < 2.5), "{:?}", steps.collect::<Vec<_>>());
}

#[test]
fn a_loss_whose_end_is_known_comes_back_before_it() {
    for lost in [1, 4, 30] {
        let mut conceal = concealment();
        conceal.receive_frame(&mut [0.0; HOP]);
        let mut out = vec![1.0; lost * HOP];
        for (n, frame) in out.chunks_exact_mut(HOP).enumerate() {
            conceal.conceal_frame(frame, Some((lost - n) as u32));
        }
        assert_eq!(out[lost * HOP - 1], 1.0, "{lost} lost");
        assert_eq!(out.contains(&0.0), lost == 30, "{lost} lost");
        let steepest = out.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 1.1 / HOP as f32, "{lost} lost: {steepest}");
    }
}

#[test]
fn a_state_put_back_gives_the_same_noise() {
    let mut conceal = concealment();
    noisy(0.01, 60, &mut conceal);
    let mut snapshot = ConcealmentSnapshot::default();
    conceal.conceal_frame(&mut [0.1; HOP], None);
    conceal.save_state(&mut snapshot);
    let again = |conceal: &mut Concealment| {
        let mut out = vec![0.05; 12 * HOP];
        out.chunks_exact_mut(HOP).for_each(|frame| conceal.conceal_frame(frame, None));
        conceal.receive_frame(&mut out[..HOP]);
        conceal.conceal_frame(&mut out[HOP..2 * HOP], None);
        out
    };
    let first = again(&mut conceal);
    conceal.restore_state(&snapshot);
    assert_eq!(again(&mut conceal), first);
}
