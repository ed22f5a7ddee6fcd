//! How much of a picture's detail a quantization step leaves, so that one quality means the same of every content.
//!
//! A step that takes little from a face takes all of the noise of a dark camera. The measure is open loop: the coefficients of 8x8
//! blocks of luma at half the size, each with what it says beyond a step's error, as VIF (Sheikh and Bovik, 2006) weighs it.

use super::picture::Plane;
use super::quant::step;
use super::transform::forward;

/// Side of a block.
const SIDE: usize = 8;
/// Coefficients of a side of 8 are those of the orthonormal transform times this.
const SCALE: f64 = 16.0;
/// Magnitudes that are told apart: each up to 7, then eight of an octave, up to 2^15.
const BINS: usize = 8 + 8 * 13;
/// Squared coefficients to which eyes are blind.
// Of .5, 2 and 8 this spreads VMAF least; at half the size, for the whole and a quarter of it spread it more.
const BLIND: f64 = 8.0;
/// What a step leaves of a coefficient in error, as a part of the step, about.
// Of .1, .15, .2, .3 and .4, of which .4 does as well.
const ERROR: f64 = 0.3;
/// How much finer than asked for, at most.
// Half the step: noise that is kept takes 6 to 12 times the bytes of noise that is not. Up to 4 coarser where more is kept than of films
// helped nobody: those are screens and still cameras, which stayed above all others, and animation, which fell below them.
const MAX_FINER: u8 = 8;

/// The coefficients of a picture by magnitude.
#[derive(Debug, Clone)]
pub(super) struct Detail {
    counts: [u32; BINS],
}

impl Detail {
    /// Of a padded picture.
    pub(super) fn of(luma: &Plane) -> Self {
        let mut counts = [0; BINS];
        let mut block = [0; SIDE * SIDE];
        for y in (0..luma.height / (2 * SIDE)).map(|y| y * 2 * SIDE) {
            for x in (0..luma.width / (2 * SIDE)).map(|x| x * 2 * SIDE) {
                halve(luma, (x, y), &mut block);
                forward(SIDE, &mut block);
                // All but the mean.
                block[1..].iter().for_each(|&c| counts[bin(c.unsigned_abs())] += 1);
            }
        }
        Self { counts }
    }

    /// The part of the detail that a quality keeps, 0 to 1; none where there is no detail.
    fn kept(&self, quality: u8) -> Option<f64> {
        let error = (ERROR * f64::from(step(quality)) / 64.0).powi(2);
        let (mut all, mut kept) = (0.0, 0.0);
        for (bin, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let energy = energy(bin);
            all += f64::from(count) * (energy / BLIND).ln_1p();
            kept += f64::from(count) * ((energy - error).max(0.0) / (error + BLIND)).ln_1p();
        }
        (all > 0.0).then(|| kept / all)
    }

    /// The quality that keeps as much of this picture as `asked` keeps of films, or `asked` where that keeps more.
    pub(super) fn even_quality(&self, asked: u8) -> u8 {
        let usual = kept_of_films(asked);
        let finest = asked.saturating_sub(MAX_FINER);
        // What is kept falls with every quality.
        let is_enough = |quality: &u8| self.kept(*quality).is_none_or(|kept| kept >= usual);
        (finest..=asked).rev().find(is_enough).unwrap_or(finest)
    }
}

/// What a quality keeps of films, cameras and animation.
// The mean of eight clips at every quality, within half of a quality of this curve.
fn kept_of_films(quality: u8) -> f64 {
    let quality = f64::from(quality);
    1.0 / (1.0 + (-4.64 + quality * (0.1458 - quality * 2.454e-4)).exp())
}

/// A block of half the size.
fn halve(luma: &Plane, (x, y): (usize, usize), block: &mut [i16; SIDE * SIDE]) {
    for (row, out) in block.as_chunks_mut::<SIDE>().0.iter_mut().enumerate() {
        let [above, below] = [0, 1].map(|i| luma.at(x, y + 2 * row + i)[..2 * SIDE].as_chunks::<2>().0);
        for ((out, a), b) in out.iter_mut().zip(above).zip(below) {
            // Around zero, as residuals are that the transform is made for.
            *out = ((a.iter().chain(b).map(|&v| i16::from(v)).sum::<i16>() + 2) >> 2) - 128;
        }
    }
}

/// The place of a magnitude.
fn bin(magnitude: u16) -> usize {
    match magnitude.checked_ilog2() {
        Some(log @ 3..) => (8 * (log as usize - 2) + usize::from(magnitude >> (log - 3)) - 8).min(BINS - 1),
        _ => magnitude.into(),
    }
}

/// The square of the coefficients of a place, about.
fn energy(bin: usize) -> f64 {
    let magnitude = match (bin / 8, bin % 8) {
        (0, low) => low as f64,
        // The middle of those that are told apart from others no more.
        (octave, part) => ((8 + part) as f64 + 0.5) * f64::from(1u32 << (octave - 1)) - 0.5,
    };
    (magnitude / SCALE).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::quant::QUALITIES;

    fn plane(sample: impl Fn(usize, usize) -> u8) -> Plane {
        let mut plane = Plane::new(128, 96, 80);
        for y in 0..96 {
            (0..128).for_each(|x| plane.at_mut(x, y)[0] = sample(x, y));
        }
        plane
    }

    #[test]
    fn magnitudes_have_places_in_order() {
        let places: Vec<usize> = (0..1 << 15).map(bin).collect();
        assert!(places.windows(2).all(|pair| pair[1] == pair[0] || pair[1] == pair[0] + 1));
        assert_eq!((bin(7), bin(8), bin(15), bin(16), bin(17), bin(18)), (7, 8, 15, 16, 16, 17));
        assert_eq!((bin(i16::MIN.unsigned_abs()), bin(u16::MAX)), (BINS - 8, BINS - 1));
        assert_eq!((energy(0), energy(8), energy(16)), (0.0, 0.25, (16.5f64 / 16.0).powi(2)));
        assert!((0..BINS - 1).all(|b| energy(b) < energy(b + 1)));
    }

    #[test]
    fn noise_is_coded_finer_and_edges_are_not() {
        // Levels around 40 as a camera has them at night, at 4 of 255.
        let mut state = 1u32;
        let noise: Vec<u8> = (0..128 * 96)
            .map(|_| {
                (0..4).fold(30u32, |sum, _| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    sum + (state >> 24) % 7
                }) as u8
            })
            .collect();
        let noise = Detail::of(&plane(|x, y| noise[y * 128 + x]));
        let board = Detail::of(&plane(|x, y| if (x / 10 + y / 10) % 2 == 0 { 20 } else { 220 }));
        let flat = Detail::of(&plane(|_, _| 90));
        for asked in [24, 40, 56] {
            assert_eq!(noise.even_quality(asked), asked - MAX_FINER);
            assert_eq!(board.even_quality(asked), asked);
            assert_eq!(flat.even_quality(asked), asked);
        }
        assert_eq!((noise.even_quality(3), board.even_quality(63)), (0, 63));
    }

    #[test]
    fn a_coarser_quality_keeps_less() {
        let picture = Detail::of(&plane(|x, y| ((x * x / 7 + 3 * y * y / 11) % 256) as u8));
        let kept: Vec<f64> = (0..QUALITIES).filter_map(|quality| picture.kept(quality)).collect();
        assert!(
            kept.len() == usize::from(QUALITIES) && kept.windows(2).all(|pair| pair[1] <= pair[0]),
            "{kept:?}"
        );
        assert!((0..QUALITIES - 1).all(|quality| kept_of_films(quality + 1) < kept_of_films(quality)));
    }
}
