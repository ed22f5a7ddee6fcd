use std::f64::consts::TAU;

use siskin_graph::onnx::Attribute;

use super::{Signal, StreamGraph, Transposed};
use crate::checkpoint::Tensor;

/// The inverse of a short-time Fourier transform with overlap and add, trimmed by `(size - hop) / 2` samples at both ends.
#[derive(Debug, Clone)]
pub(crate) struct Synthesis {
    /// The window, `[size]`; a sum of its squares is divided by.
    pub(crate) window: Tensor,
    pub(crate) hop: usize,
}

impl Synthesis {
    fn size(&self) -> usize {
        self.window.values.len()
    }

    /// Samples that a bin's real or imaginary part adds: `[2 * bins, 1, size]`.
    fn basis(&self) -> Tensor {
        let size = self.size();
        let bins = size / 2 + 1;
        let value = |row: usize, t: usize| {
            let (bin, is_imaginary) = (row % bins, row >= bins);
            let is_edge = bin == 0 || bin == size / 2;
            let angle = TAU * (bin * t % size) as f64 / size as f64;
            // Bins but the first and the last stand for their conjugates too; those two are real.
            let part = match (is_edge, is_imaginary) {
                (true, true) => 0.0,
                (true, false) => angle.cos(),
                (false, false) => 2.0 * angle.cos(),
                (false, true) => -2.0 * angle.sin(),
            };
            (part / size as f64 * f64::from(self.window.values[t])) as f32
        };
        let values = (0..2 * bins).flat_map(|row| (0..size).map(move |t| value(row, t))).collect();
        Tensor { shape: vec![2 * bins, 1, size], values }
    }
}

impl StreamGraph {
    /// Half the logarithm of the power of complex numbers, whose real parts are the first half of the channels; powers below
    /// `least` count as that.
    pub(crate) fn log_magnitude(&mut self, x: &Signal, least: f32) -> Signal {
        let bins = x.channels / 2;
        let square = self.node("Mul", &[&x.value, &x.value], &[]);
        let square = Signal { value: square, ..x.clone() };
        let (real, imaginary) = (self.channels(&square, 0, bins), self.channels(&square, bins, 2 * bins));
        let power = self.node("Add", &[&real.value, &imaginary.value], &[]);
        let least = self.writer.add_floats(&[1], &[least]);
        let power = self.node("Max", &[&power, &least], &[]);
        let log = self.node("Log", &[&power], &[]);
        let half = self.writer.add_floats(&[1], &[0.5]);
        let value = self.node("Mul", &[&log, &half], &[]);
        Signal { value, channels: bins, has_lead: x.lag > 0, ..x.clone() }
    }

    /// Samples of spectra that are given by the logarithms of their magnitudes, at most that of `most`, and their phases.
    pub(crate) fn synthesize(&mut self, x: &Signal, synthesis: &Synthesis, most: f32) -> Signal {
        let (size, hop) = (synthesis.size(), synthesis.hop);
        let bins = size / 2 + 1;
        let (log, phase) = (self.channels(x, 0, bins), self.channels(x, bins, 2 * bins));
        let magnitude = self.node("Exp", &[&log.value], &[]);
        let most = self.writer.add_floats(&[1], &[most]);
        let magnitude = self.node("Min", &[&magnitude, &most], &[]);
        let (cos, sin) = (self.node("Cos", &[&phase.value], &[]), self.node("Sin", &[&phase.value], &[]));
        let real = self.node("Mul", &[&magnitude, &cos], &[]);
        let imaginary = self.node("Mul", &[&magnitude, &sin], &[]);
        let value = self.node("Concat", &[&real, &imaginary], &[Attribute::Int("axis", 1)]);
        let spectrum = Signal { value, has_lead: x.lag > 0, ..x.clone() };
        let add =
            |weight: Tensor| Transposed { weight, bias: None, stride: hop, groups: 1, cut: (size - hop) / 2 };
        let samples = self.conv_transpose(&spectrum, &add(synthesis.basis()));
        // How often the window has been added: less at both ends, where fewer spectra overlap.
        let mask = self.mask(x.frame, x.lag);
        let mask = self.reshape_to(&mask, &[Some(1), Some(1), None]);
        let ones = Signal { value: mask, channels: 1, has_lead: false, ..x.clone() };
        let squares = synthesis.window.values.iter().map(|w| w * w).collect();
        let weight = self.conv_transpose(&ones, &add(Tensor { shape: vec![1, 1, size], values: squares }));
        // Where nothing was added there is nothing to divide.
        let least = self.writer.add_floats(&[1], &[1e-11]);
        let weight = self.node("Max", &[&weight.value, &least], &[]);
        Signal { value: self.node("Div", &[&samples.value, &weight], &[]), ..samples }
    }
}
