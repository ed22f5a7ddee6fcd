//! How times and places enter a network: as sines and cosines of growing frequency, or as weights of grid points.

/// Frequencies of an encoded time, as in Boosting-NeRV.
pub const FREQUENCIES: usize = 80;
/// Ratio of one frequency to the one before.
const FREQUENCY_RATIO: f64 = 1.25;

/// The encoding of frame `index` of `frames`, whose time is in (0, 1].
pub fn encode_time(index: usize, frames: usize, into: &mut [f32]) {
    encode_position((index + 1) as f64 / frames as f64, into);
}

/// Sines, then cosines, of a time or place at each frequency.
pub fn encode_position(at: f64, into: &mut [f32]) {
    let (sines, cosines) = into.split_at_mut(FREQUENCIES);
    // In 64 bits: the highest frequency is about 1.4e8, at which a 32-bit angle would have lost its fraction.
    let mut frequency = std::f64::consts::PI;
    for (s, c) in sines.iter_mut().zip(cosines) {
        let angle = at * frequency;
        (*s, *c) = (angle.sin() as f32, angle.cos() as f32);
        frequency *= FREQUENCY_RATIO;
    }
}

/// The weights of each grid point for frame `index` of `frames`: linear interpolation.
///
/// ```
/// use siskin_video::arch::encode_grid;
///
/// // Frame 1 of 5 is at a quarter of the GOP: halfway between the first two of three points.
/// let mut weights = [0.0; 3];
/// encode_grid(1, 5, &mut weights);
/// assert_eq!(weights, [0.5, 0.5, 0.0]);
/// ```
pub fn encode_grid(index: usize, frames: usize, into: &mut [f32]) {
    into.fill(0.0);
    // A single point has nothing to interpolate: its weight is 1 for every frame.
    let last = into.len() - 1;
    // First and last frame lie on grid points; a GOP of one frame on the first.
    let at = index as f32 / frames.saturating_sub(1).max(1) as f32 * last as f32;
    let low = (at as usize).min(last);
    into[low] = 1.0 - (at - low as f32);
    if low < last {
        into[low + 1] = at - low as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_interpolate() {
        let mut weights = [0.0; 5];
        encode_grid(3, 7, &mut weights);
        assert_eq!(weights, [0.0, 0.0, 1.0, 0.0, 0.0]);
        encode_grid(6, 7, &mut weights);
        assert_eq!(weights, [0.0, 0.0, 0.0, 0.0, 1.0]);
        encode_grid(0, 1, &mut weights);
        assert_eq!(weights, [1.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
