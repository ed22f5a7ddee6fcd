//! Fitting a decoder network to a group of frames.

use super::optimizer::Optimizer;
use super::preview::Preview;
use super::random::Random;
use super::step_graph::{Phase, StepGraph};
use super::target::Target;
use crate::{Error, Result};
use siskin_media::{Size, VideoFrameView};
use siskin_model::runtime::{Runtime, TensorNetwork, TensorSpec};
use siskin_video::Architecture;
use siskin_video::gop::Group;
use siskin_video::inference::set_condition;
use siskin_video::quantizer::{nearest_step_index, quantize_values, step_size};

/// Learning rate of the logarithms of step sizes, as a multiple of that of the parameters: they have far to go in the
/// short coding phase.
const STEP_RATE: f64 = 10.0;
/// Range of what lambda is multiplied by after an epoch, from how far the size is from the target: up faster than down,
/// since a size may not be exceeded.
const LAMBDA_CHANGE: [f64; 2] = [0.6, 2.5];
/// Bits per symbol where no size is the target, before step sizes are learned.
const FIRST_BITS: f64 = 5.0;
/// Bytes of a packet beside its symbols: the packet's own, those per group of parameters, those per frame.
const OVERHEAD: [usize; 3] = [60, 7, 3];
/// Range of the first embeddings.
// Small, so that the first sines begin where they are nearly linear.
const EMBEDDING_RANGE: f32 = 0.5;

/// How long and how fast to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Schedule {
    /// Epochs without and with bits in the loss.
    pub(super) epochs: [u32; 2],
    /// Highest learning rates of both phases.
    pub(super) rates: [f64; 2],
    pub(super) optimizer: Optimizer,
}

/// How far a fit has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitProgress {
    /// Steps done and steps in all, for this group.
    pub steps: (u64, u64),
    /// Mean PSNR of the frames seen in this pass over the group, in dB; none before the first.
    pub psnr: Option<f64>,
    /// Estimated bits a pixel; none before the coding phase.
    pub bits_per_pixel: Option<f64>,
}

/// A network on its way to fit a group of pictures.
pub(super) struct Fit<'a> {
    arch: &'a Architecture,
    runtime: &'a Runtime,
    frames: &'a [VideoFrameView<'a>],
    size: Size,
    random: Random,
    pub(super) parameters: Vec<f32>,
    /// Parameters of the group before, or zeros.
    pub(super) base: Vec<f32>,
    /// Embedding and memories of each frame.
    embeddings: Vec<Vec<Vec<f32>>>,
    log_steps: Vec<f32>,
    done: u64,
    all: u64,
}

impl<'a> Fit<'a> {
    /// Begins with random parameters, or with those of the group before.
    pub(super) fn new(
        arch: &'a Architecture,
        runtime: &'a Runtime,
        frames: &'a [VideoFrameView<'a>],
        size: Size,
        seed: u64,
        before: Option<&[f32]>,
    ) -> Self {
        let mut random = Random::new(seed);
        let layout = arch.layout();
        let parameters: Vec<f32> = match before {
            Some(before) => before.to_vec(),
            // The default of PyTorch's layers, with which the papers begin.
            None => layout
                .tensors
                .iter()
                .flat_map(|t| {
                    // The tables of grids have no fan-in: they begin at zero, which is scale 1 and shift 0.
                    let range = if t.fan_in == 0 { 0.0 } else { 1.0 / (t.fan_in as f32).sqrt() };
                    (0..t.count()).map(|_| range * random.symmetric()).collect::<Vec<_>>()
                })
                .collect(),
        };
        let embedding = |random: &mut Random| -> Vec<f32> {
            (0..arch.embedding()).map(|_| EMBEDDING_RANGE * random.symmetric()).collect()
        };
        // Frames begin alike: what differs between them is what the gradients say.
        let first = embedding(&mut random);
        let embeddings = frames.iter().map(|_| vec![first.clone()]).collect();
        let base = vec![0.0; parameters.len()];
        Self {
            arch,
            runtime,
            frames,
            size,
            random,
            parameters,
            base,
            embeddings,
            log_steps: Vec::new(),
            done: 0,
            all: 0,
        }
    }

    /// Runs both phases. `report` is asked after each step and ends the fit with an error; `preview` looks at pictures.
    pub(super) fn run_phases(
        &mut self,
        schedule: &Schedule,
        target: Target,
        mut preview: Option<&mut Preview>,
        report: &mut dyn FnMut(FitProgress) -> Result<()>,
    ) -> Result<()> {
        let frames = self.frames.len() as u64;
        self.all = schedule.epochs.iter().map(|&e| u64::from(e) * frames).sum();
        self.run_phase(Phase::Representation, schedule, target, preview.as_deref_mut(), report)?;
        // Between the phases, when the deviations of the parameters are known.
        self.init_step_sizes(target);
        self.run_phase(Phase::Coding, schedule, target, preview, report)
    }

    /// Steps with which the symbols cost about what is aimed at, if they are normally distributed: the same share of the
    /// deviation in every group. The network then learns to do with them, and how to spread them better.
    fn init_step_sizes(&mut self, target: Target) {
        let mut offset = 0;
        // What is coded, and not the parameters: in a GOP that is no key these are differences.
        let own: Vec<f32> = self.parameters.iter().zip(&self.base).map(|(p, b)| p - b).collect();
        let mut deviations: Vec<f64> = self
            .arch
            .layout()
            .groups
            .iter()
            .map(|&count| {
                offset += count;
                standard_deviation(own[offset - count..offset].iter().copied())
            })
            .collect();
        let embeddings = self.arch.embedding() * self.frames.len();
        if embeddings > 0 {
            deviations.push(standard_deviation(self.embeddings.iter().flat_map(|e| e[0].iter().copied())));
        }
        let symbols = (own.len() + embeddings) as f64;
        let bits = match target {
            Target::Bits(bits) => (bits - self.overhead_bits()) / symbols,
            Target::Lambda(_) => FIRST_BITS,
        };
        // Outside this range the first step sizes would be hopeless: next to nothing but zeros, or finer than any
        // target pays for.
        let share = step_for_entropy(bits.clamp(0.1, 8.0));
        // The floor is for groups that are still all equal, such as the tables of grids.
        self.log_steps = deviations.into_iter().map(|d| (d.max(1e-4) * share).ln() as f32).collect();
    }

    /// Bits of the packet beside its symbols.
    fn overhead_bits(&self) -> f64 {
        let [own, group, frame] = OVERHEAD;
        8.0 * (own + group * self.arch.layout().groups.len() + frame * self.frames.len()) as f64
    }

    fn run_phase(
        &mut self,
        phase: Phase,
        schedule: &Schedule,
        target: Target,
        mut preview: Option<&mut Preview>,
        report: &mut dyn FnMut(FitProgress) -> Result<()>,
    ) -> Result<()> {
        // Each phase has a graph of its own: the first one is smaller, and so each of its steps quicker.
        let coding = phase == Phase::Coding;
        let epochs = schedule.epochs[usize::from(coding)];
        if epochs == 0 {
            return Ok(());
        }
        let optimizer = schedule.optimizer;
        let graph = StepGraph::new(self.arch, self.size, phase, optimizer);
        let names = TensorNames::from_graph(&graph);
        let mut network = self.runtime.open_tensor_network(&names.tensor_spec(), &graph.model)?;
        let places = TensorPlaces::from_graph(&graph);
        // The optimizer's memories stay at zero: they belong to another loss.
        network.state(places.parameters).copy_from_slice(&self.parameters);
        if let (Some(steps), Some(base)) = (places.steps, places.base) {
            network.state(steps).copy_from_slice(&self.log_steps);
            network.input(base).copy_from_slice(&self.base);
        }
        for embedding in &mut self.embeddings {
            // Memories of the phase before go; the embedding stays.
            embedding.truncate(1);
            let empty = vec![0.0; embedding[0].len()];
            embedding.resize(1 + optimizer.memories(), empty);
        }
        let pixels = self.size.pixel_count() as f64;
        let count = self.frames.len();
        let steps = u64::from(epochs) * count as u64;
        let mut order: Vec<usize> = (0..count).collect();
        let mut lambda = match target {
            Target::Lambda(lambda) => lambda,
            // That of quality 50; it is corrected after each epoch.
            Target::Bits(_) => 10.0,
        };
        let mut done = 0u64;
        for epoch in 0..epochs {
            // Neighboring frames have similar gradients, so that in order the network would follow each scene instead
            // of all.
            self.random.shuffle(&mut order);
            let (mut psnr, mut embedding_bits, mut bits) = (0.0, 0.0, 0.0);
            for (seen, &frame) in (1..).zip(&order) {
                let rate = schedule.rates[usize::from(coding)] * rate_factor(done, steps, coding);
                done += 1;
                self.set_inputs(&mut *network, &places, frame);
                // Converted again for each step: floats of a whole GOP would take four times the memory of its
                // frames.
                fill_target(self.frames[frame], network.input(places.target));
                let plan = |rate: f64, step: u64| optimizer.schedule(rate, step.min(u32::MAX.into()) as u32);
                network.input(places.schedule).copy_from_slice(&plan(rate, done));
                if let (Some(schedule), Some(weights)) = (places.steps_schedule, places.lambda) {
                    // In the logarithm, so that a rate means the same relative change whatever the size of a step is.
                    network.input(schedule).copy_from_slice(&plan(rate * STEP_RATE, done));
                    // The parameters serve all frames and are paid for once, so one frame's step bears its part of
                    // them; an embedding is all its frame's own.
                    let of_frame = (lambda / pixels) as f32;
                    network.input(weights).copy_from_slice(&[of_frame / count as f32, of_frame]);
                }
                if let Some(schedule) = places.embedding_schedule {
                    // An embedding takes one step an epoch, so its bias corrections count epochs.
                    network.input(schedule).copy_from_slice(&plan(rate, u64::from(epoch) + 1));
                }
                network.run()?;
                for (value, &place) in self.embeddings[frame].iter_mut().zip(&places.embedding_out) {
                    // Read back, since the next step has another frame's embedding in the same place.
                    value.copy_from_slice(network.output(place));
                }
                let error = f64::from(network.output(places.squared_error)[0]);
                // NaN spreads to all parameters within a step, so there is nothing to go on with.
                if !error.is_finite() {
                    return Err(Error::network("step", "the fit has diverged: its error is not finite"));
                }
                // The floor is 100 dB, as for frames without an error.
                psnr -= 10.0 * error.max(1e-10).log10();
                let output = |place: Option<usize>| place.map_or(0.0, |p| f64::from(network.output(p)[0]));
                bits = output(places.bits);
                embedding_bits += output(places.embedding_bits);
                self.done += 1;
                // Extrapolated, so that the number does not climb through each epoch.
                let all = bits + embedding_bits / f64::from(seen) * count as f64;
                report(FitProgress {
                    steps: (self.done, self.all),
                    psnr: Some(psnr / f64::from(seen)),
                    bits_per_pixel: coding.then(|| all / (pixels * count as f64)),
                })?;
                if let Some(preview) = preview.as_deref_mut() {
                    let parameters = network.state(places.parameters);
                    let embedding = &self.embeddings[frame][0];
                    preview.show_if_due(
                        (self.arch, self.runtime),
                        (frame, self.frames),
                        parameters,
                        embedding,
                    )?;
                }
            }
            if let (true, Target::Bits(most)) = (coding, target) {
                let ratio = (bits + embedding_bits + self.overhead_bits()) / most;
                // The bits fall by less than in proportion to lambda; the square makes up for it, and the clamp keeps
                // one odd epoch from upsetting the fit.
                lambda *= ratio.powi(2).clamp(LAMBDA_CHANGE[0], LAMBDA_CHANGE[1]);
                // Targets that nothing meets must not end in infinity or zero.
                lambda = lambda.clamp(1e-4, 1e5);
            }
        }
        self.parameters.copy_from_slice(network.state(places.parameters));
        if let Some(steps) = places.steps {
            self.log_steps.copy_from_slice(network.state(steps));
        }
        Ok(())
    }

    fn set_inputs(&self, network: &mut dyn TensorNetwork, places: &TensorPlaces, frame: usize) {
        set_condition(self.arch, network, frame, self.frames.len());
        for (value, &place) in self.embeddings[frame].iter().zip(&places.embedding_in) {
            network.input(place).copy_from_slice(value);
        }
    }

    /// The symbols, with every step so many sixteenths of an octave larger than the one learned.
    pub(super) fn quantize_symbols(&self, coarser: u8) -> (Vec<Group>, Option<Group>) {
        let layout = self.arch.layout();
        let own: Vec<f32> = self.parameters.iter().zip(&self.base).map(|(p, b)| p - b).collect();
        let mut offset = 0;
        // The learned step is rounded to what the format can say, at most 2.2 % away.
        let group = |log_step: f32, values: &mut dyn Iterator<Item = f32>| {
            // Saturating: beyond the coarsest step all symbols are zero anyway.
            let step_index = nearest_step_index(log_step).saturating_add(coarser);
            Group { step: step_index, symbols: quantize_values(values, step_size(step_index)) }
        };
        let groups = layout
            .groups
            .iter()
            .zip(&self.log_steps)
            .map(|(&count, &log_step)| {
                let part = &own[offset..offset + count];
                offset += count;
                group(log_step, &mut part.iter().copied())
            })
            .collect();
        let embeddings = self
            .log_steps
            .get(layout.groups.len())
            .map(|&log_step| group(log_step, &mut self.embeddings.iter().flat_map(|e| e[0].iter().copied())));
        (groups, embeddings)
    }
}

/// The learning rate's course, after the papers: up in the first tenth if the phase begins from nothing, then down along a
/// cosine.
fn rate_factor(step: u64, steps: u64, coding: bool) -> f64 {
    let at = step as f64 / steps as f64;
    // The second phase begins with a network that is fitted and with rates of its own, so it needs no warming up.
    let warm = if coding { 0.0 } else { 0.1 };
    if at < warm {
        // From a tenth of the rate, not from zero: short fits have few steps to lose.
        0.1 + 0.9 * at / warm
    } else {
        0.5 + 0.5 * (std::f64::consts::PI * (at - warm) / (1.0 - warm)).cos()
    }
}

/// Writes an RGB frame as planes of 0..1.
fn fill_target(frame: VideoFrameView<'_>, target: &mut [f32]) {
    let pixels = target.len() / 3;
    let all = frame.planes()[0].rows().flat_map(|row| row.as_chunks::<3>().0);
    for (i, pixel) in all.enumerate() {
        for (c, &value) in pixel.iter().enumerate() {
            target[c * pixels + i] = f32::from(value) / 255.0;
        }
    }
}

/// The step in deviations at which a rounded normal variable has this entropy. The variance of the rounding counts, and
/// what is mostly zero costs less than the formula for fine steps says.
fn step_for_entropy(bits: f64) -> f64 {
    let entropy = |step: f64| {
        // The entropy of a normal variable with the variance of uniform rounding errors added, in units of the step.
        let fine = 0.5 * (std::f64::consts::TAU * std::f64::consts::E * (step.powi(-2) + 1.0 / 12.0)).log2();
        fine * (1.0 - (-2.0 / step).exp())
    };
    let (mut low, mut high) = (1e-3f64, 1e2f64);
    // By ratios over five decades: after 60 halvings nothing is left of the interval.
    for _ in 0..60 {
        let middle = (low * high).sqrt();
        if entropy(middle) > bits { low = middle } else { high = middle }
    }
    high
}

fn standard_deviation(values: impl Iterator<Item = f32> + Clone) -> f64 {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().map(f64::from).sum::<f64>() / count;
    (values.map(|v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// The graph's names in the form that the runtime takes.
struct TensorNames<'a> {
    inputs: Vec<&'a str>,
    outputs: Vec<&'a str>,
    states: Vec<(&'a str, &'a str)>,
}

impl<'a> TensorNames<'a> {
    fn from_graph(graph: &'a StepGraph) -> Self {
        Self {
            inputs: graph.inputs.iter().map(String::as_str).collect(),
            outputs: graph.outputs.iter().map(String::as_str).collect(),
            states: graph.states.iter().map(|(i, o)| (i.as_str(), o.as_str())).collect(),
        }
    }

    fn tensor_spec(&self) -> TensorSpec<'_> {
        TensorSpec {
            name: "training step",
            inputs: &self.inputs,
            outputs: &self.outputs,
            states: &self.states,
        }
    }
}

/// Where the graph's tensors stand.
struct TensorPlaces {
    target: usize,
    schedule: usize,
    steps_schedule: Option<usize>,
    base: Option<usize>,
    lambda: Option<usize>,
    embedding_schedule: Option<usize>,
    /// Embedding and memories.
    embedding_in: Vec<usize>,
    embedding_out: Vec<usize>,
    squared_error: usize,
    bits: Option<usize>,
    embedding_bits: Option<usize>,
    parameters: usize,
    steps: Option<usize>,
}

impl TensorPlaces {
    fn from_graph(graph: &StepGraph) -> Self {
        let input = |name: &str| graph.inputs.iter().position(|n| n == name);
        let output = |name: &str| graph.outputs.iter().position(|n| n == name);
        let state = |name: &str| graph.states.iter().position(|(n, _)| n == name);
        let memories = (0..).map(|i| format!("embedding_memory{i}"));
        let embedding: Vec<String> =
            std::iter::once("embedding".to_owned()).chain(memories.take(8)).collect();
        Self {
            // Every graph has the names that are not optional, so these defaults never apply.
            target: input("target").unwrap_or_default(),
            schedule: input("parameters_schedule").unwrap_or_default(),
            steps_schedule: input("steps_schedule"),
            base: input("base"),
            lambda: input("lambda"),
            embedding_schedule: input("embedding_schedule"),
            embedding_in: embedding.iter().map_while(|n| input(n)).collect(),
            embedding_out: embedding.iter().map_while(|n| output(&format!("{n}_out"))).collect(),
            squared_error: output("squared_error").unwrap_or_default(),
            bits: output("bits"),
            embedding_bits: output("embedding_bits"),
            parameters: state("parameters").unwrap_or_default(),
            steps: state("steps"),
        }
    }
}
