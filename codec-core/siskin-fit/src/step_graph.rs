//! An iteration of a fit as one graph: forward pass, loss, backward pass, optimizer.
//!
//! The parameters are one vector and so is each of the optimizer's memories. In the coding phase the network sees the
//! parameters as they will be decoded (rounded to steps, with straight-through gradients), the steps are learned, and the
//! bits that the symbols will cost are part of the loss: consistent entropy minimization, where a normal distribution with
//! the symbols' own mean and deviation is both the estimate in training and the model of the coder.

use super::loss::distortion;
use super::optimizer::{Optimizer, SCHEDULE};
use siskin_graph::{Graph, Var};
use siskin_media::Size;
use siskin_video::arch::Architecture;
use siskin_video::network::{Purpose, add_condition, build_network, condition_names};

/// Least standard deviation of symbols: below it their logarithm of probability would have no useful slope.
// At 0.03 steps all symbols are the mean, so there are no bits left to save below.
const DEVIATION_FLOOR: f32 = 0.03;
/// Added to a probability, so that its logarithm is finite.
// It caps a symbol at 16.6 bits, so that one outlier cannot dominate the gradient.
const PROBABILITY_FLOOR: f32 = 1e-5;

/// Which of the two phases of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Distortion alone, on unrounded parameters.
    Representation,
    /// Distortion and bits, on rounded parameters.
    Coding,
}

/// A step's graph and the names of its tensors, each in the order in which the fit addresses them.
pub(super) struct StepGraph {
    pub(super) model: Vec<u8>,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    pub(super) states: Vec<(String, String)>,
}

/// A vector under optimization.
struct Learned {
    value: Var,
    memories: Vec<Var>,
    schedule: Var,
}

impl Learned {
    fn input(g: &mut Graph, name: &str, shape: &[usize], optimizer: Optimizer) -> Self {
        let value = g.input(name, shape);
        Self::with_value(g, name, value, shape, optimizer)
    }

    fn with_value(g: &mut Graph, name: &str, value: Var, shape: &[usize], optimizer: Optimizer) -> Self {
        let memories =
            (0..optimizer.memories()).map(|i| g.input(&format!("{name}_memory{i}"), shape)).collect();
        let schedule = g.input(&format!("{name}_schedule"), &[SCHEDULE]);
        Self { value, memories, schedule }
    }

    /// New value and memories, with the names of what they replace.
    fn step(&self, g: &mut Graph, name: &str, gradient: Var, optimizer: Optimizer) -> Vec<(String, Var)> {
        let (value, memories) = optimizer.step(g, self.value, gradient, &self.memories, self.schedule);
        let memories = memories.into_iter().enumerate().map(|(i, m)| (format!("{name}_memory{i}"), m));
        std::iter::once((name.to_owned(), value)).chain(memories).collect()
    }
}

/// Symbols before rounding, what the network sees, and the bits they cost.
struct Quantized {
    seen: Var,
    bits: Var,
}

impl StepGraph {
    /// The iteration for frames of `size`.
    pub(super) fn new(arch: &Architecture, size: Size, phase: Phase, optimizer: Optimizer) -> Self {
        let (rows, columns) = (size.height(), size.width());
        let mut g = Graph::new();
        let layout = arch.layout();
        let count = layout.count();
        let coding = phase == Phase::Coding;
        let mut input = add_condition(&mut g, arch);
        let target = g.input("target", &[1, 3, rows, columns]);
        let parameters = Learned::input(&mut g, "parameters", &[count], optimizer);
        let embedding = input.embedding.map(|value| {
            let shape = g.shape(value).to_vec();
            Learned::with_value(&mut g, "embedding", value, &shape, optimizer)
        });
        let quantizers = layout.groups.len() + usize::from(embedding.is_some());
        // One step per group, learned with the parameters: layers differ in how much rounding they bear.
        let steps = coding.then(|| Learned::input(&mut g, "steps", &[quantizers], optimizer));
        let quantized = steps.as_ref().map(|steps| {
            let base = g.input("base", &[count]);
            // The network sees base plus rounded difference, which is what a decoder adds up.
            let own = g.sub(parameters.value, base);
            let log_steps = g.slice(steps.value, &[0], &[layout.groups.len()]);
            let step = g.exp(log_steps);
            let step = g.segment_expand(step, &layout.groups);
            let mut q = quantize(&mut g, own, step, &layout.groups);
            q.seen = g.add(q.seen, base);
            q
        });
        let quantized_embedding = steps.as_ref().zip(embedding.as_ref()).map(|(steps, embedding)| {
            let shape = g.shape(embedding.value).to_vec();
            // The embeddings' step is the last one.
            let log_step = g.slice(steps.value, &[quantizers - 1], &[1]);
            let step = g.exp(log_step);
            let flat = g.reshape(embedding.value, &[arch.embedding()]);
            let step = g.segment_expand(step, &[arch.embedding()]);
            let mut q = quantize(&mut g, flat, step, &[arch.embedding()]);
            q.seen = g.reshape(q.seen, &shape);
            q
        });
        let seen = quantized.as_ref().map_or(parameters.value, |q| q.seen);
        if let Some(q) = &quantized_embedding {
            input.embedding = Some(q.seen);
        }
        let mut offset = 0;
        let tensors: Vec<Var> = layout
            .tensors
            .iter()
            .map(|t| {
                // One vector cut into tensors, so that the optimizer handles a single one.
                let part = g.slice(seen, &[offset], &[t.count()]);
                offset += t.count();
                g.reshape(part, &t.shape)
            })
            .collect();
        let picture = build_network(&mut g, arch, Purpose::Fitting, &tensors, input);
        // Loss on the visible part only, so that nothing is spent on what is cropped.
        let picture = g.slice(picture, &[0; 4], &[1, 3, rows, columns]);
        let loss = distortion(&mut g, picture, target);
        let error = g.sub(picture, target);
        let squares = g.square(error);
        // For the report: the loss itself cannot be turned into a PSNR.
        let squared_error = g.mean_all(squares);

        // Backward through the network in one piece a tensor, then through the quantizer in one piece for all.
        let one = g.scalar(1.0);
        let wrt: Vec<Var> = tensors.iter().copied().chain(input.embedding).collect();
        let gradients = g.gradients(&[(loss, one)], &wrt);
        let flat: Vec<Var> = tensors
            .iter()
            .zip(&gradients)
            .map(|(&t, &gradient)| {
                let count = g.shape(t).iter().product();
                g.reshape(gradient, &[count])
            })
            .collect();
        let mut of_parameters = g.concat(&flat, 0);
        let mut of_embedding = input.embedding.and(gradients.last().copied());
        let mut states = Vec::new();
        let mut outputs = vec![("loss".to_owned(), loss), ("squared_error".to_owned(), squared_error)];
        let mut inputs: Vec<String> = condition_names(arch).into_iter().map(str::to_owned).collect();
        inputs.extend(["target".to_owned(), "parameters_schedule".to_owned()]);
        if let (Some(q), Some(steps)) = (&quantized, &steps) {
            // An input, since it is adjusted after each epoch.
            let lambda = g.input("lambda", &[2]);
            let weight = |g: &mut Graph, i: usize| {
                let one = g.slice(lambda, &[i], &[1]);
                g.reshape(one, &[])
            };
            // Bits do not depend on the network, so they join here and the network is differentiated once.
            let mut seeds = vec![(q.seen, of_parameters), (q.bits, weight(&mut g, 0))];
            let mut wrt = vec![parameters.value, steps.value];
            if let (Some(q), Some(e), Some(gradient)) = (&quantized_embedding, &embedding, of_embedding) {
                seeds.extend([(q.seen, gradient), (q.bits, weight(&mut g, 1))]);
                wrt.push(e.value);
            }
            let gradients = g.gradients(&seeds, &wrt);
            of_parameters = gradients[0];
            of_embedding = of_embedding.and(gradients.get(2).copied());
            states.extend(steps.step(&mut g, "steps", gradients[1], optimizer));
            outputs.push(("bits".to_owned(), q.bits));
            if let Some(q) = &quantized_embedding {
                outputs.push(("embedding_bits".to_owned(), q.bits));
            }
            inputs.extend(["steps_schedule", "base", "lambda"].map(str::to_owned));
        }
        states.extend(parameters.step(&mut g, "parameters", of_parameters, optimizer));
        if let (Some(embedding), Some(gradient)) = (&embedding, of_embedding) {
            // The embedding is another one in each step, so it goes in and out instead of staying.
            inputs.push("embedding_schedule".to_owned());
            let new = embedding.step(&mut g, "embedding", gradient, optimizer);
            inputs.extend(new.iter().skip(1).map(|(name, _)| name.clone()));
            outputs.extend(new.into_iter().map(|(name, var)| (format!("{name}_out"), var)));
        }
        let states: Vec<(String, String, Var)> =
            states.into_iter().map(|(name, var)| (name.clone(), format!("{name}_out"), var)).collect();
        let all: Vec<(&str, Var)> = outputs
            .iter()
            .map(|(name, var)| (name.as_str(), *var))
            .chain(states.iter().map(|(_, name, var)| (name.as_str(), *var)))
            .collect();
        let model = g.to_onnx("step", &all);
        Self {
            model,
            inputs,
            outputs: outputs.into_iter().map(|(name, _)| name).collect(),
            states: states.into_iter().map(|(input, output, _)| (input, output)).collect(),
        }
    }
}

/// Rounds values to multiples of their steps, and estimates what the symbols cost, run by run.
fn quantize(g: &mut Graph, values: Var, steps: Var, runs: &[usize]) -> Quantized {
    // In units of the step: the derivative with respect to the step comes from here and from the product below.
    let code = g.div(values, steps);
    let symbols = g.round_straight_through(code);
    let seen = g.mul(symbols, steps);
    let counts: Vec<f32> = runs.iter().map(|&n| 1.0 / n as f32).collect();
    let counts = g.constant(&[runs.len()], &counts);
    let average = |g: &mut Graph, x: Var| {
        let sum = g.segment_sum(x, runs);
        g.mul(sum, counts)
    };
    // From the values before rounding, which have gradients: bits fall both by moving values to the mean and by
    // larger steps.
    let mean = average(g, code);
    let mean = g.segment_expand(mean, runs);
    let centered = g.sub(code, mean);
    let squares = g.square(centered);
    let variance = average(g, squares);
    let variance = g.offset(variance, DEVIATION_FLOOR * DEVIATION_FLOOR);
    let deviation = g.sqrt(variance);
    let scale = g.scalar(std::f32::consts::FRAC_1_SQRT_2);
    let scale = g.div(scale, deviation);
    let scale = g.segment_expand(scale, runs);
    // Noise of one step's width stands in for rounding, which has no slope.
    let shape = g.shape(code).to_vec();
    let noise = g.noise(&shape);
    let noisy = g.add(centered, noise);
    let edge = |g: &mut Graph, side: f32| {
        let at = g.offset(noisy, side);
        let at = g.mul(at, scale);
        g.erf(at)
    };
    let (above, below) = (edge(g, 0.5), edge(g, -0.5));
    let twice = g.sub(above, below);
    let probability = g.scale(twice, 0.5);
    let probability = g.offset(probability, PROBABILITY_FLOOR);
    let log = g.log(probability);
    let bits = g.scale(log, -std::f32::consts::LOG2_E);
    // The floor of the probability would let the surest symbols cost less than nothing.
    let bits = g.relu(bits);
    Quantized { seen, bits: g.sum_all(bits) }
}
