//! The decoder's forward pass, for fitting and for decoding alike.

use super::arch::{Architecture, FREQUENCIES, Kind, MODULATIONS, Modulation};
use super::graph::{Graph, Var};

/// Added to a variance before its root.
const NORM_FLOOR: f32 = 1e-5;

/// What a network is built for; it computes the same either way, but for the order of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Parameters that change with each run.
    Fitting,
    /// Constant parameters.
    Decoding,
}

/// What a frame is decoded from, beside the parameters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition {
    /// The time's encoding, `[160, 1]`, if the network uses it.
    pub(super) time: Option<Var>,
    /// The weights of the grid points, `[1, points]`, if the network has grids.
    pub(super) grid: Option<Var>,
    /// The embedding, `[1, channels, rows, columns]`, if the network takes one.
    pub(super) embedding: Option<Var>,
}

/// Names of the inputs of a graph, in order.
pub(super) fn condition_names(arch: &Architecture) -> Vec<&'static str> {
    let mut names = Vec::new();
    if needs_time(arch) {
        names.push("time");
    }
    if matches!(arch.modulation, Modulation::Grid(_)) {
        names.push("grid");
    }
    if arch.embedding() > 0 {
        names.push("embedding");
    }
    names
}

pub(super) fn needs_time(arch: &Architecture) -> bool {
    arch.uses_time() || arch.kind == Kind::Index
}

/// Adds the inputs of [`condition_names`].
pub(super) fn condition(g: &mut Graph, arch: &Architecture) -> Condition {
    let time = needs_time(arch).then(|| g.input("time", &[2 * FREQUENCIES, 1]));
    let grid = match arch.modulation {
        Modulation::Grid(points) => Some(g.input("grid", &[1, usize::from(points)])),
        Modulation::Affine => None,
    };
    let embedding = match arch.kind {
        Kind::Content(channels) => {
            let shape = [1, channels.into(), arch.base.0.into(), arch.base.1.into()];
            Some(g.input("embedding", &shape))
        }
        Kind::Index => None,
    };
    Condition { time, grid, embedding }
}

/// Hands out the parameters in their order: weights from the front, biases from their group.
struct Parameters<'a> {
    weights: std::slice::Iter<'a, Var>,
    biases: std::slice::Iter<'a, Var>,
}

impl Parameters<'_> {
    fn weight(&mut self) -> Var {
        *self.weights.next().unwrap_or_else(|| unreachable!("the layout has every weight"))
    }

    fn bias(&mut self) -> Var {
        *self.biases.next().unwrap_or_else(|| unreachable!("the layout has every bias"))
    }
}

/// Builds the network over parameters in the order of the layout; gives RGB in 0..1, `[1, 3, rows, columns]`.
pub(super) fn forward(
    g: &mut Graph,
    arch: &Architecture,
    purpose: Purpose,
    parameters: &[Var],
    input: Condition,
) -> Var {
    let biases = bias_count(arch);
    let (weights, biases) = parameters.split_at(parameters.len() - biases);
    let mut p = Parameters { weights: weights.iter(), biases: biases.iter() };
    let mut x = stem(g, arch, &mut p, input);
    let code = input.time.filter(|_| arch.uses_time()).map(|time| {
        let hidden = dense(g, &mut p, time);
        dense(g, &mut p, hidden)
    });
    for block in &arch.blocks {
        let (w, b) = (p.weight(), p.bias());
        x = g.conv_same(x, w, Some(b));
        x = g.depth_to_space(x, block.stride.into());
        x = g.sin(x);
        x = residual(g, arch, purpose, &mut p, x, block.channels.into(), code, input.grid);
    }
    let (w, b) = (p.weight(), p.bias());
    let x = g.conv_same(x, w, Some(b));
    let x = g.tanh(x);
    let x = g.scale(x, 0.5);
    g.offset(x, 0.5)
}

fn bias_count(arch: &Architecture) -> usize {
    let stem = if arch.kind == Kind::Index { 2 } else { 0 };
    let (time, block) = if arch.uses_time() { (2, 5) } else { (0, 3) };
    stem + time + block * arch.blocks.len() + 1
}

fn stem(g: &mut Graph, arch: &Architecture, p: &mut Parameters<'_>, input: Condition) -> Var {
    match (arch.kind, input.embedding, input.time) {
        (Kind::Content(_), Some(embedding), _) => embedding,
        (Kind::Index, _, Some(time)) => {
            let hidden = dense(g, p, time);
            let x = dense(g, p, hidden);
            g.reshape(x, &[1, arch.stem.into(), arch.base.0.into(), arch.base.1.into()])
        }
        _ => unreachable!("the condition is made for the architecture"),
    }
}

/// `sin(W x + b)` of a column.
fn dense(g: &mut Graph, p: &mut Parameters<'_>, x: Var) -> Var {
    let (w, b) = (p.weight(), p.bias());
    let y = g.matmul(w, x);
    let y = g.add(y, b);
    g.sin(y)
}

/// `x + conv(modulate(gelu(conv(modulate(x)))))`.
#[allow(clippy::too_many_arguments)]
fn residual(
    g: &mut Graph,
    arch: &Architecture,
    purpose: Purpose,
    p: &mut Parameters<'_>,
    x: Var,
    channels: usize,
    code: Option<Var>,
    grid: Option<Var>,
) -> Var {
    let (w0, w1) = (p.weight(), p.weight());
    let (b0, b1) = (p.bias(), p.bias());
    let scales = match (code, grid) {
        (Some(code), _) => affine(g, arch, p, channels, code),
        (None, Some(grid)) => {
            let table = p.weight();
            let row = g.matmul(grid, table);
            g.reshape(row, &[MODULATIONS, channels, 1])
        }
        (None, None) => unreachable!("the condition is made for the architecture"),
    };
    let part = |g: &mut Graph, i: usize| {
        let one = g.slice(scales, &[i, 0, 0], &[1, channels, 1]);
        g.reshape(one, &[1, channels, 1, 1])
    };
    let first = [part(g, 0), part(g, 1)];
    let y = modulated_conv(g, arch, purpose, x, w0, b0, first);
    let y = g.gelu(y);
    let second = [part(g, 2), part(g, 3)];
    let y = modulated_conv(g, arch, purpose, y, w1, b1, second);
    g.add(x, y)
}

/// Scale and shift of both modulations from the time's code: four networks side by side, `[4, channels, 1]`.
fn affine(g: &mut Graph, arch: &Architecture, p: &mut Parameters<'_>, channels: usize, code: Var) -> Var {
    let time = usize::from(arch.time_width);
    let (w0, w1) = (p.weight(), p.weight());
    let (b0, b1) = (p.bias(), p.bias());
    let hidden = g.matmul(w0, code);
    let hidden = g.add(hidden, b0);
    let hidden = g.relu(hidden);
    let hidden = g.reshape(hidden, &[MODULATIONS, time, 1]);
    let out = g.matmul(w1, hidden);
    debug_assert_eq!(g.shape(out), [MODULATIONS, channels, 1]);
    g.add(out, b1)
}

/// `modulate(x)`, by scale and shift `[1, channels, 1, 1]`.
fn modulate(g: &mut Graph, arch: &Architecture, x: Var, [scale, shift]: [Var; 2]) -> Var {
    let factor = g.offset(scale, 1.0);
    let (x, factor) = match arch.modulation {
        Modulation::Affine => (x, factor),
        Modulation::Grid(_) => {
            let (centred, deviation) = normal(g, x);
            (centred, g.div(factor, deviation))
        }
    };
    let x = g.mul(x, factor);
    g.add(x, shift)
}

/// What is left of each channel without its mean, and its deviation.
fn normal(g: &mut Graph, x: Var) -> (Var, Var) {
    let mean = g.mean(x, &[2, 3]);
    let centred = g.sub(x, mean);
    let squares = g.square(centred);
    let variance = g.mean(squares, &[2, 3]);
    let variance = g.offset(variance, NORM_FLOOR);
    (centred, g.sqrt(variance))
}

/// `conv(modulate(x))`.
///
/// For fitting scale and shift go into the weights, which is far less work in the backward pass: the scale as a factor of
/// each input channel, the shift through one more channel of ones, which ends at the picture's edges as the shift does. For
/// decoding the weights stay constants, which the runtime packs.
#[allow(clippy::too_many_arguments)]
fn modulated_conv(
    g: &mut Graph,
    arch: &Architecture,
    purpose: Purpose,
    x: Var,
    w: Var,
    bias: Var,
    [scale, shift]: [Var; 2],
) -> Var {
    if purpose == Purpose::Decoding {
        let x = modulate(g, arch, x, [scale, shift]);
        return g.conv_same(x, w, Some(bias));
    }
    let factor = g.offset(scale, 1.0);
    let (x, factor) = match arch.modulation {
        Modulation::Affine => (x, factor),
        Modulation::Grid(_) => {
            let (centred, deviation) = normal(g, x);
            (centred, g.div(factor, deviation))
        }
    };
    let scaled = g.mul(w, factor);
    let shifted = g.mul(w, shift);
    let shifted = g.sum(shifted, &[1]);
    let w = g.concat(&[scaled, shifted], 1);
    let (rows, columns) = (g.shape(x)[2], g.shape(x)[3]);
    let ones = g.scalar(1.0);
    let ones = g.expand(ones, &[1, 1, rows, columns]);
    let x = g.concat(&[x, ones], 1);
    g.conv_same(x, w, Some(bias))
}
