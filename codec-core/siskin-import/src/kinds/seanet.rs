//! SEANet (arXiv 2009.02095, section 2; arXiv 2107.03312, section III), of which the encoders and decoders of EnCodec and Mimi are
//! made: convolutions, a residual unit before each that lowers the rate and after each that raises it, and in EnCodec recurrent
//! layers in the middle.

use crate::checkpoint::Checkpoint;
use crate::stream::{self, Lstm, Signal, StreamGraph};
use crate::whole::{Whole, WholeConv, WholeGraph, WholeTransposed};

/// What a graph has for a SEANet.
pub(super) trait Graph {
    type Signal: Clone;
    type Conv;
    type Transposed;

    fn conv(&mut self, x: &Self::Signal, layer: &Self::Conv) -> Self::Signal;
    fn conv_transpose(&mut self, x: &Self::Signal, layer: &Self::Transposed) -> Self::Signal;
    fn lstm(&mut self, x: &Self::Signal, layers: &[Lstm]) -> Self::Signal;
    fn elu(&mut self, x: &Self::Signal) -> Self::Signal;
    fn add(&mut self, a: &Self::Signal, b: &Self::Signal) -> Self::Signal;
}

impl Graph for StreamGraph {
    type Signal = Signal;
    type Conv = stream::Conv;
    type Transposed = stream::Transposed;

    fn conv(&mut self, x: &Signal, layer: &stream::Conv) -> Signal {
        self.conv(x, layer)
    }

    fn conv_transpose(&mut self, x: &Signal, layer: &stream::Transposed) -> Signal {
        self.conv_transpose(x, layer)
    }

    fn lstm(&mut self, x: &Signal, layers: &[Lstm]) -> Signal {
        layers.iter().fold(x.clone(), |x, layer| self.lstm(&x, layer))
    }

    fn elu(&mut self, x: &Signal) -> Signal {
        self.elu(x)
    }

    fn add(&mut self, a: &Signal, b: &Signal) -> Signal {
        self.add(a, b)
    }
}

impl Graph for WholeGraph {
    type Signal = Whole;
    type Conv = WholeConv;
    type Transposed = WholeTransposed;

    fn conv(&mut self, x: &Whole, layer: &WholeConv) -> Whole {
        self.conv(x, layer)
    }

    fn conv_transpose(&mut self, x: &Whole, layer: &WholeTransposed) -> Whole {
        self.conv_transpose(x, layer)
    }

    fn lstm(&mut self, x: &Whole, layers: &[Lstm]) -> Whole {
        self.lstm(x, layers)
    }

    fn elu(&mut self, x: &Whole) -> Whole {
        self.elu(x)
    }

    fn add(&mut self, a: &Whole, b: &Whole) -> Whole {
        self.add(a, b)
    }
}

/// How a codec's layers stand in its checkpoint. Shapes are those of the weights: output, input and taps of a convolution; input,
/// output and taps of a transposed one.
pub(super) trait Layers {
    type Conv;
    type Transposed;

    fn conv(
        &self,
        c: &mut Checkpoint,
        name: &str,
        shape: [usize; 3],
        stride: usize,
    ) -> Result<Self::Conv, String>;
    fn transposed(
        &self,
        c: &mut Checkpoint,
        name: &str,
        shape: [usize; 3],
        stride: usize,
    ) -> Result<Self::Transposed, String>;
}

/// The sizes of a SEANet.
pub(super) struct Shape {
    /// Channels of the samples.
    pub(super) channels: usize,
    /// Channels of the layers at the samples' rate.
    pub(super) filters: usize,
    pub(super) ratios: [usize; 4],
    /// Channels of the latents.
    pub(super) dim: usize,
    /// Taps of the last convolution of encoder and decoder; the first ones have 7.
    pub(super) last_taps: usize,
    pub(super) is_recurrent: bool,
    /// Whether the input of a residual unit passes a layer before the sum.
    pub(super) has_shortcut: bool,
}

struct Residual<C> {
    narrow: C,
    widen: C,
    shortcut: Option<C>,
}

/// The layers of an encoder and a decoder.
pub(super) struct Seanet<C, T> {
    first: C,
    down: Vec<(Residual<C>, C)>,
    /// Of the encoder and the decoder; none where there are no recurrent layers.
    lstm: [Vec<Lstm>; 2],
    last: C,
    start: C,
    up: Vec<(T, Residual<C>)>,
    end: C,
}

fn lstm(c: &mut Checkpoint, name: &str, units: usize) -> Result<Vec<Lstm>, String> {
    let layer = |c: &mut Checkpoint, i: usize| {
        Ok(Lstm {
            input: c.take(&format!("{name}.lstm.weight_ih_l{i}"), &[4 * units, units])?,
            hidden: c.take(&format!("{name}.lstm.weight_hh_l{i}"), &[4 * units, units])?,
            input_bias: c.take(&format!("{name}.lstm.bias_ih_l{i}"), &[4 * units])?,
            hidden_bias: c.take(&format!("{name}.lstm.bias_hh_l{i}"), &[4 * units])?,
        })
    };
    (0..2).map(|i| layer(c, i)).collect()
}

impl<C, T> Seanet<C, T> {
    /// Takes the layers out of a checkpoint, with the names that transformers has for them.
    pub(super) fn take(
        c: &mut Checkpoint,
        layers: &impl Layers<Conv = C, Transposed = T>,
        shape: &Shape,
    ) -> Result<Self, String> {
        let residual = |c: &mut Checkpoint, name: String, channels: usize| -> Result<Residual<C>, String> {
            let half = channels / 2;
            let narrow = layers.conv(c, &format!("{name}.block.1"), [half, channels, 3], 1)?;
            let widen = layers.conv(c, &format!("{name}.block.3"), [channels, half, 1], 1)?;
            let shortcut = || layers.conv(c, &format!("{name}.shortcut"), [channels, channels, 1], 1);
            Ok(Residual { narrow, widen, shortcut: shape.has_shortcut.then(shortcut).transpose()? })
        };
        // A layer without weights stands between those that have some, and the recurrent ones are one of the list.
        let more = usize::from(shape.is_recurrent);
        let first = layers.conv(c, "encoder.layers.0", [shape.filters, shape.channels, 7], 1)?;
        let (mut down, mut channels) = (Vec::new(), shape.filters);
        for (i, ratio) in shape.ratios.into_iter().enumerate() {
            let block = residual(c, format!("encoder.layers.{}", 3 * i + 1), channels)?;
            let name = format!("encoder.layers.{}", 3 * i + 3);
            down.push((block, layers.conv(c, &name, [2 * channels, channels, 2 * ratio], ratio)?));
            channels *= 2;
        }
        let lstm = if shape.is_recurrent {
            [lstm(c, "encoder.layers.13", channels)?, lstm(c, "decoder.layers.1", channels)?]
        } else {
            [Vec::new(), Vec::new()]
        };
        let end_name = |side: &str| format!("{side}.layers.{}", 14 + more);
        let last = layers.conv(c, &end_name("encoder"), [shape.dim, channels, shape.last_taps], 1)?;
        let start = layers.conv(c, "decoder.layers.0", [channels, shape.dim, 7], 1)?;
        let mut up = Vec::new();
        for (i, stride) in shape.ratios.into_iter().rev().enumerate() {
            let (name, half) = (format!("decoder.layers.{}", 3 * i + 2 + more), channels / 2);
            let layer = layers.transposed(c, &name, [channels, half, 2 * stride], stride)?;
            up.push((layer, residual(c, format!("decoder.layers.{}", 3 * i + 3 + more), half)?));
            channels = half;
        }
        let end_shape = [shape.channels, shape.filters, shape.last_taps];
        let end = layers.conv(c, &end_name("decoder"), end_shape, 1)?;
        Ok(Self { first, down, lstm, last, start, up, end })
    }

    /// Samples to latents.
    pub(super) fn encode<G>(&self, g: &mut G, pcm: &G::Signal) -> G::Signal
    where
        G: Graph<Conv = C, Transposed = T>,
    {
        let mut x = g.conv(pcm, &self.first);
        for (block, down) in &self.down {
            x = add_residual(g, &x, block);
            x = g.elu(&x);
            x = g.conv(&x, down);
        }
        x = add_recurrent(g, x, &self.lstm[0]);
        x = g.elu(&x);
        g.conv(&x, &self.last)
    }

    /// Latents to samples.
    pub(super) fn decode<G>(&self, g: &mut G, latents: &G::Signal) -> G::Signal
    where
        G: Graph<Conv = C, Transposed = T>,
    {
        let mut x = g.conv(latents, &self.start);
        x = add_recurrent(g, x, &self.lstm[1]);
        for (up, block) in &self.up {
            x = g.elu(&x);
            x = g.conv_transpose(&x, up);
            x = add_residual(g, &x, block);
        }
        x = g.elu(&x);
        g.conv(&x, &self.end)
    }
}

fn add_residual<G: Graph>(g: &mut G, x: &G::Signal, block: &Residual<G::Conv>) -> G::Signal {
    let y = g.elu(x);
    let y = g.conv(&y, &block.narrow);
    let y = g.elu(&y);
    let y = g.conv(&y, &block.widen);
    match &block.shortcut {
        Some(shortcut) => {
            let x = g.conv(x, shortcut);
            g.add(&x, &y)
        }
        None => g.add(x, &y),
    }
}

fn add_recurrent<G: Graph>(g: &mut G, x: G::Signal, layers: &[Lstm]) -> G::Signal {
    if layers.is_empty() {
        return x;
    }
    let y = g.lstm(&x, layers);
    g.add(&x, &y)
}
