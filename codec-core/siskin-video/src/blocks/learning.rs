//! Learns where contexts begin, from clips of 4:2:0, and writes that to `starts.txt`:
//!
//!     SISKIN_CLIPS=a.y4m,b.y4m cargo test --release -p siskin-video learn_starts -- --ignored

use siskin_bitstream::VideoHeader;
use siskin_entropy::binary::{AdaptiveBit, BitCoder, BitCounter};
use siskin_media::PixelFormat;

use super::Encoder;
use super::contexts::{COUNT, Contexts};
use super::starts::{LEVELS, between, characters, probability};
use crate::Result;
use crate::realtime::{Config, Target};

const QUALITIES: [u8; 5] = [0, 10, 20, 30, 40];
/// Frames that are looked at: the keyframe, and those behind it.
const FRAMES: usize = 4;
/// Decisions of a context that its start matters for.
const DECISIONS: usize = 400;

/// The decisions of a frame, by context.
pub(super) struct Log {
    base: usize,
    pub(super) decisions: Vec<Vec<bool>>,
}

impl Log {
    pub(super) fn new(contexts: &Contexts) -> Self {
        Self { base: contexts.0.as_ptr() as usize, decisions: vec![Vec::new(); COUNT] }
    }
}

impl BitCoder for Log {
    fn code_bit(&mut self, model: &mut AdaptiveBit, value: bool) -> Result<bool> {
        // A coder is not told which context it is given, but all of them lie in one table.
        let at = std::ptr::from_mut(model) as usize - self.base;
        self.decisions[at / size_of::<AdaptiveBit>()].push(value);
        Ok(value)
    }

    fn code_raw_bits(&mut self, _: u32, value: u32) -> Result<u32> {
        Ok(value)
    }
}

fn read_clip(path: &str) -> Option<(VideoHeader, Vec<Vec<u8>>)> {
    let data = std::fs::read(path).ok()?;
    let end = data.iter().position(|&b| b == b'\n')?;
    let head = String::from_utf8_lossy(&data[..end]).into_owned();
    let field = |c: char| head.split(' ').find_map(|f| f.strip_prefix(c)?.parse().ok());
    let (width, height) = (field('W')?, field('H')?);
    let header = VideoHeader {
        width,
        height,
        frame_rate: (30, 1),
        pixel_aspect: (1, 1),
        colorimetry: Default::default(),
    };
    let size = PixelFormat::I420.frame_bytes(header.size().ok()?);
    // Each frame has a line before it.
    let frames = data[end + 1..].chunks_exact(size + 6).take(FRAMES).map(|f| f[6..].to_vec()).collect();
    Some((header, frames))
}

/// Bits of decisions from a level on.
fn cost(level: u8, decisions: &[bool]) -> f64 {
    let (mut counter, mut model) = (BitCounter::default(), AdaptiveBit::young(probability(level)));
    for &value in decisions {
        counter.code_bit(&mut model, value).expect("a counter accepts everything");
    }
    counter.total_bits()
}

/// The two levels of a context that cost least over sequences of decisions at qualities.
fn best_levels(sequences: &[(u8, Vec<bool>)]) -> [u8; 2] {
    let costs: Vec<(u8, Vec<f64>)> =
        sequences.iter().map(|(q, s)| (*q, (0..LEVELS).map(|level| cost(level, s)).collect())).collect();
    let mut best = (f64::MAX, [LEVELS / 2; 2]);
    for fine in 0..LEVELS {
        for coarse in 0..LEVELS {
            let bits: f64 = costs.iter().map(|(q, c)| c[usize::from(between(fine, coarse, *q))]).sum();
            // What is seldom seen stays near the middle and changes little with quality.
            let far = |level: u8| f64::from(level.abs_diff(LEVELS / 2)).powi(2);
            let all =
                bits + 0.02 * f64::from(fine.abs_diff(coarse)).powi(2) + 0.01 * (far(fine) + far(coarse));
            if all < best.0 {
                best = (all, [fine, coarse]);
            }
        }
    }
    best.1
}

#[test]
#[ignore = "writes the starts of contexts"]
fn learn_starts() -> Result<()> {
    let clips = std::env::var("SISKIN_CLIPS").expect("SISKIN_CLIPS names clips");
    let mut sequences = [vec![Vec::new(); COUNT], vec![Vec::new(); COUNT]];
    for clip in clips.split(',') {
        let (header, frames) = read_clip(clip).expect("a .y4m of 4:2:0");
        for quality in QUALITIES {
            let config = Config { target: Target::Step(quality), scene_cuts: false, ..Default::default() };
            let mut encoder = Encoder::new(header, &config)?;
            let mut predicted = vec![Vec::new(); COUNT];
            for (i, frame) in frames.iter().enumerate() {
                encoder.encode(frame, None)?;
                let Some(log) = encoder.log.take() else { continue };
                // Keyframes are five finer than what is asked for, which begins at 16.
                let quality = quality + 11;
                for (context, own) in log.decisions.into_iter().enumerate() {
                    let own = own.into_iter().take(DECISIONS);
                    if i == 0 {
                        sequences[0][context].push((quality, own.collect()));
                    } else {
                        let all: &mut Vec<bool> = &mut predicted[context];
                        all.extend(own.take(DECISIONS - all.len().min(DECISIONS)));
                    }
                }
            }
            // The first of them sets the starts; its quality is two coarser than what is asked for.
            let quality = quality + 18;
            for (context, own) in predicted.into_iter().enumerate() {
                sequences[1][context].push((quality, own));
            }
        }
    }
    let mut text = String::new();
    for of_kind in &sequences {
        text.extend(of_kind.iter().flat_map(|own| characters(best_levels(own))));
        text.push('\n');
    }
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/blocks/starts.txt"), text)
        .expect("a writable folder");
    Ok(())
}
