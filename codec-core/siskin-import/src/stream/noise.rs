use siskin_graph::onnx::{Attribute, Value};

use super::{INT64, Signal, StreamGraph};
use crate::checkpoint::Tensor;

/// Frames after which noise repeats: seconds, a period that nobody hears, in a table of a few hundred kilobytes.
const PERIOD: usize = 32;

/// Gaussian noise of unit variance, the same on every machine. `seed` tells one table from another.
pub(crate) fn noise_table(seed: u64, count: usize) -> Vec<f32> {
    // SplitMix64 (Steele et al., OOPSLA 2014), then the polar form of Box and Muller.
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let (radius, angle) = ((-2.0 * (1.0 - next()).ln()).sqrt(), std::f64::consts::TAU * next());
        values.extend([(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]);
    }
    values.truncate(count);
    values
}

impl StreamGraph {
    /// Adds to `x` its projection `weight` `[channels, channels, 1]`, each sample times a sample of noise. The published
    /// network draws it anew in each run; here it follows from the place in the stream, so that one file has one sound.
    pub(crate) fn add_noise(&mut self, x: &Signal, weight: &Tensor, seed: u64) -> Signal {
        let shape = [x.channels, x.channels];
        let weight = self.writer.add_floats(&shape, &weight.values);
        let (rows, all) = (x.frame, PERIOD * x.frame);
        let table = noise_table(seed, all);
        // Turned by the lag: sample `n` of the whole gets value `n` of the table.
        let table: Vec<f32> = (0..all).map(|i| table[(i + all - x.lag % all) % all]).collect();
        let table = self.writer.add_floats(&[PERIOD, rows], &table);
        let row = self.noise_row();
        let noise = self.node("Gather", &[&table, &row], &[Attribute::Int("axis", 0)]);
        let noise = self.reshape_to(&noise, &[Some(1), Some(1), None]);
        let projected = self.node("MatMul", &[&weight, &x.value], &[]);
        let noisy = self.node("Mul", &[&projected, &noise], &[]);
        Signal { value: self.node("Add", &[&x.value, &noisy], &[]), ..x.clone() }
    }

    /// Which rows of the tables this run takes, one for each frame: frames since the reset, modulo the period.
    fn noise_row(&mut self) -> Value {
        let (number, found) = self.open_state(&[1]);
        let period = self.writer.add_floats(&[1], &[PERIOD as f32]);
        let (zero, count) = (self.writer.add_floats(&[1], &[0.0]), self.count());
        let row = found.unwrap_or(zero);
        let next = self.node("Add", &[&row, &count], &[]);
        let next = self.node("Mod", &[&next, &period], &[Attribute::Int("fmod", 1)]);
        self.close_state(number, &next);
        let rows = self.places(0.0, 1, 0);
        let rows = self.node("Add", &[&rows, &row], &[]);
        let rows = self.node("Mod", &[&rows, &period], &[Attribute::Int("fmod", 1)]);
        self.node("Cast", &[&rows], &[Attribute::Int("to", INT64)])
    }
}
