//! The decoder's forward pass, for fitting and for decoding alike.

use crate::arch::{Architecture, Block, FREQUENCIES, Kind, MODULATIONS, Modulation};
use siskin_graph::{Graph, Var};

/// Added to a variance before its root, so that constant channels do not divide by 0; the default of PyTorch.
const NORM_FLOOR: f32 = 1e-5;

/// What a network is built for; it computes the same either way, but for the order of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Parameters that change with each run.
    Fitting,
    /// Constant parameters.
    Decoding,
}

/// What a frame is decoded from, beside the parameters.
#[derive(Debug, Clone, Copy)]
pub struct Condition {
    /// The time's encoding, `[160, 1]`, if the network uses it.
    pub time: Option<Var>,
    /// The weights of the grid points, `[1, points]`, if the network has grids.
    pub grid: Option<Var>,
    /// The embedding, `[1, channels, rows, columns]`, if the network takes one.
    pub embedding: Option<Var>,
}

/// Names of the inputs of a graph, in order.
pub fn condition_names(arch: &Architecture) -> Vec<&'static str> {
    let mut names = Vec::new();
    if needs_time(arch) {
        // The order is that of the inputs in `set_condition` and of the graph.
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

/// Whether the network has the frame's time as an input.
pub fn needs_time(arch: &Architecture) -> bool {
    arch.uses_time() || !matches!(arch.kind, Kind::Content(_))
}

/// Adds the inputs of [`condition_names`].
pub fn add_condition(g: &mut Graph, arch: &Architecture) -> Condition {
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
        Kind::Index | Kind::Disentangled(_) => None,
    };
    Condition { time, grid, embedding }
}

/// Builds the network over parameters in the order of the layout; gives RGB in 0..1, `[1, 3, rows, columns]`.
pub fn build_network(
    g: &mut Graph,
    arch: &Architecture,
    purpose: Purpose,
    parameters: &[Var],
    input: Condition,
) -> Var {
    // Two iterators: weights and biases are coded apart, but layers ask for them in pairs.
    let (weights, biases) = parameters.split_at(arch.layout().weight_tensors());
    Network { g, arch, purpose, input, code: None, weights: weights.iter(), biases: biases.iter() }
        .build_frame()
}

/// A network under construction. It hands out the parameters in their order: weights from the front, biases from their
/// group.
pub(crate) struct Network<'a> {
    pub(crate) g: &'a mut Graph,
    pub(crate) arch: &'a Architecture,
    pub(crate) input: Condition,
    purpose: Purpose,
    /// The time's code, `[width, 1]`.
    code: Option<Var>,
    weights: std::slice::Iter<'a, Var>,
    biases: std::slice::Iter<'a, Var>,
}

impl Network<'_> {
    pub(crate) fn next_weight(&mut self) -> Var {
        *self.weights.next().unwrap_or_else(|| unreachable!("the layout has every weight"))
    }

    fn next_bias(&mut self) -> Var {
        *self.biases.next().unwrap_or_else(|| unreachable!("the layout has every bias"))
    }

    /// `W x + b` of columns.
    pub(crate) fn dense_layer(&mut self, x: Var) -> Var {
        let (w, b) = (self.next_weight(), self.next_bias());
        let y = self.g.matmul(w, x);
        self.g.add(y, b)
    }

    /// `sin(W x + b)` of columns.
    pub(crate) fn dense_sine(&mut self, x: Var) -> Var {
        let y = self.dense_layer(x);
        self.g.sin(y)
    }

    fn conv_layer(&mut self, x: Var) -> Var {
        let (w, b) = (self.next_weight(), self.next_bias());
        self.g.conv_same(x, w, Some(b))
    }

    fn build_frame(mut self) -> Var {
        let mut x = self.build_stem();
        if let Some(time) = self.input.time.filter(|_| self.arch.uses_time()) {
            let hidden = self.dense_sine(time);
            self.code = Some(self.dense_sine(hidden));
        }
        for (index, block) in self.arch.blocks.iter().enumerate() {
            x = self.build_block(x, index, block);
        }
        let x = self.head_conv(x);
        let x = self.g.tanh(x);
        let x = self.g.scale(x, 0.5);
        // `tanh / 2 + 1/2` keeps the output in 0..1, as the papers do.
        self.g.offset(x, 0.5)
    }

    /// The last convolution, which has few outputs: with a kernel of 1 it is quicker as a matrix product where the weights are
    /// constant.
    fn head_conv(&mut self, x: Var) -> Var {
        if self.purpose == Purpose::Fitting || self.arch.head_kernel > 1 {
            return self.conv_layer(x);
        }
        let (w, b) = (self.next_weight(), self.next_bias());
        let g = &mut *self.g;
        let s = g.shape(x).to_vec();
        // A kernel of 1 has no neighbors, so a frame is one matrix of channels by places.
        let (w, b) = (g.reshape(w, &[3, s[1]]), g.reshape(b, &[3, 1]));
        let flat = g.reshape(x, &[s[1], s[2] * s[3]]);
        let y = g.matmul(w, flat);
        let y = g.add(y, b);
        g.reshape(y, &[1, 3, s[2], s[3]])
    }

    /// Convolution, pixel shuffle, in some a second convolution, sine, residual block.
    fn build_block(&mut self, x: Var, index: usize, block: &Block) -> Var {
        let x = self.conv_layer(x);
        // The convolution runs at the small size, at the price of stride^2 times as many channels.
        let mut x = self.g.depth_to_space(x, block.stride.into());
        if self.arch.squeezed_channels(index).is_some() {
            x = self.conv_layer(x);
        }
        let x = self.g.sin(x);
        self.residual_block(x, block.channels.into())
    }

    /// `x + conv(modulate(gelu(conv(modulate(x)))))`.
    fn residual_block(&mut self, x: Var, channels: usize) -> Var {
        // Taken before those of the modulation, as the layout has them.
        let convs = [(self.next_weight(), self.next_bias()), (self.next_weight(), self.next_bias())];
        let scales = self.scales_and_shifts(channels);
        let mut part = |i: usize| {
            let one = self.g.slice(scales, &[i, 0, 0], &[1, channels, 1]);
            self.g.reshape(one, &[1, channels, 1, 1])
        };
        let places = [[part(0), part(1)], [part(2), part(3)]];
        let y = self.modulated_conv(x, convs[0], places[0]);
        let y = self.g.gelu(y);
        let y = self.modulated_conv(y, convs[1], places[1]);
        self.g.add(x, y)
    }

    /// Scale and shift of both modulations of a block, `[4, channels, 1]`: four networks of the time's code side by side, or
    /// what lies between the points of a grid.
    fn scales_and_shifts(&mut self, channels: usize) -> Var {
        let time = usize::from(self.arch.time_width);
        match (self.code, self.input.grid) {
            (Some(code), _) => {
                let hidden = self.dense_layer(code);
                let hidden = self.g.relu(hidden);
                // Four small networks as one batched product: at these sizes calls cost more than sums.
                let hidden = self.g.reshape(hidden, &[MODULATIONS, time, 1]);
                self.dense_layer(hidden)
            }
            (None, Some(grid)) => {
                let table = self.next_weight();
                let row = self.g.matmul(grid, table);
                self.g.reshape(row, &[MODULATIONS, channels, 1])
            }
            (None, None) => unreachable!("the condition is made for the architecture"),
        }
    }

    /// `conv(x (1 + scale) + shift)`, with `x` normalised first where modulation is by a grid.
    ///
    /// For fitting scale and shift go into the weights, which is far less work in the backward pass: the scale as a factor
    /// of each input channel, the shift through one more channel of ones, which ends at the frame's edges as the shift
    /// does. For decoding the weights stay constants, which the runtime packs.
    fn modulated_conv(&mut self, x: Var, (w, bias): (Var, Var), [scale, shift]: [Var; 2]) -> Var {
        let factor = self.g.offset(scale, 1.0);
        let (x, factor) = match self.arch.modulation {
            Modulation::Affine => (x, factor),
            Modulation::Grid(_) => {
                let (centered, deviation) = self.center_channels(x);
                // Dividing the factor and not the features: a number per channel instead of one per sample.
                (centered, self.g.div(factor, deviation))
            }
        };
        let g = &mut *self.g;
        match self.purpose {
            Purpose::Decoding => {
                let channels = [g.shape(x)[1]];
                let (factor, shift) = (g.reshape(factor, &channels), g.reshape(shift, &channels));
                let x = g.scale_shift(x, factor, shift);
                g.conv_same(x, w, Some(bias))
            }
            Purpose::Fitting => {
                let scaled = g.mul(w, factor);
                let shifted = g.mul(w, shift);
                // The channel of ones is the same for all input channels, so their shifts add up in its weight.
                let shifted = g.sum(shifted, &[1]);
                let w = g.concat(&[scaled, shifted], 1);
                let (rows, columns) = (g.shape(x)[2], g.shape(x)[3]);
                let ones = g.scalar(1.0);
                let ones = g.expand(ones, &[1, 1, rows, columns]);
                let x = g.concat(&[x, ones], 1);
                g.conv_same(x, w, Some(bias))
            }
        }
    }

    /// Each channel less its mean, and its standard deviation.
    fn center_channels(&mut self, x: Var) -> (Var, Var) {
        let g = &mut *self.g;
        let mean = g.mean(x, &[2, 3]);
        let centered = g.sub(x, mean);
        let squares = g.square(centered);
        let variance = g.mean(squares, &[2, 3]);
        let variance = g.offset(variance, NORM_FLOOR);
        (centered, g.sqrt(variance))
    }
}
