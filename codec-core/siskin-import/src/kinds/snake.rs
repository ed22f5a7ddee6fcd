//! Layers that DAC (arXiv 2306.06546, section 3.1) and SNAC (arXiv 2410.14411, section 3) share, under the names that both
//! packages give them.

use crate::checkpoint::{Checkpoint, Tensor};
use crate::stream::{Conv, Padding, Signal, StreamGraph, Transposed};

/// Dilations of the three residual units of a block.
const DILATIONS: [usize; 3] = [1, 3, 9];

/// A convolution with its input padded alike on both sides.
pub(super) fn conv(
    c: &mut Checkpoint,
    name: &str,
    shape: [usize; 3],
    dilation: usize,
    groups: usize,
) -> Result<Conv, String> {
    let weight = c.weight(name, &shape)?;
    let bias = Some(c.take(&format!("{name}.bias"), &shape[..1])?);
    let left = (shape[2] - 1) * dilation / 2;
    Ok(Conv { weight, bias, stride: 1, dilation, groups, left, padding: Padding::Zero })
}

pub(super) struct Unit {
    first: Tensor,
    wide: Conv,
    second: Tensor,
    mix: Conv,
}

/// The factors of an activation.
pub(super) fn alpha(c: &mut Checkpoint, name: &str, channels: usize) -> Result<Tensor, String> {
    c.take(&format!("{name}.alpha"), &[1, channels, 1])
}

/// Residual units `name.FIRST` and the two after it.
pub(super) fn units(
    c: &mut Checkpoint,
    name: &str,
    first: usize,
    channels: usize,
    depthwise: bool,
) -> Result<Vec<Unit>, String> {
    let (inner, groups) = if depthwise { (1, channels) } else { (channels, 1) };
    let unit = |(i, dilation): (usize, usize)| {
        let name = format!("{name}.{}.block", first + i);
        Ok(Unit {
            first: alpha(c, &format!("{name}.0"), channels)?,
            wide: conv(c, &format!("{name}.1"), [channels, inner, 7], dilation, groups)?,
            second: alpha(c, &format!("{name}.2"), channels)?,
            mix: conv(c, &format!("{name}.3"), [channels, channels, 1], 1, 1)?,
        })
    };
    DILATIONS.into_iter().enumerate().map(unit).collect()
}

pub(super) fn add_units(g: &mut StreamGraph, x: &Signal, units: &[Unit]) -> Signal {
    units.iter().fold(x.clone(), |x, unit| {
        let y = g.snake(&x, &unit.first);
        let y = g.conv(&y, &unit.wide);
        let y = g.snake(&y, &unit.second);
        let y = g.conv(&y, &unit.mix);
        g.add(&x, &y)
    })
}

/// A block of the encoder: residual units, then a convolution that halves the rate or more.
pub(super) struct Down {
    units: Vec<Unit>,
    alpha: Tensor,
    conv: Conv,
}

/// The block `name`, whose stride follows from the shape of its weights.
pub(super) fn down(c: &mut Checkpoint, name: &str, channels: usize, depthwise: bool) -> Result<Down, String> {
    let last = format!("{name}.block.4");
    let taps = taps_of(c, &last)?;
    let stride = taps / 2;
    let units = units(c, &format!("{name}.block"), 0, channels, depthwise)?;
    let alpha = alpha(c, &format!("{name}.block.3"), channels)?;
    let conv = conv(c, &last, [2 * channels, channels, taps], 1, 1)?;
    Ok(Down { units, alpha, conv: Conv { stride, left: stride.div_ceil(2), ..conv } })
}

impl Down {
    pub(super) fn stride(&self) -> usize {
        self.conv.stride
    }

    pub(super) fn add(&self, g: &mut StreamGraph, x: &Signal) -> Signal {
        let x = add_units(g, x, &self.units);
        let x = g.snake(&x, &self.alpha);
        g.conv(&x, &self.conv)
    }
}

/// A transposed convolution `[input, output, taps]` whose stride is half its taps.
pub(super) fn up(c: &mut Checkpoint, name: &str, input: usize, output: usize) -> Result<Transposed, String> {
    let taps = taps_of(c, name)?;
    let weight = c.weight(name, &[input, output, taps])?;
    let bias = Some(c.take(&format!("{name}.bias"), &[output])?);
    let stride = taps / 2;
    Ok(Transposed { weight, bias, stride, groups: 1, cut: stride.div_ceil(2) })
}

/// Output channels of a convolution, 1 to 8192.
pub(super) fn rows_of(c: &Checkpoint, name: &str) -> Result<usize, String> {
    match c.weight_shape(name) {
        Some([rows, _, _]) if (1..=8192).contains(rows) => Ok(*rows),
        Some(shape) => Err(format!("weights {name} have the shape {shape:?}, expected: up to 8192 channels")),
        None => Err(format!("no weights {name}")),
    }
}

/// Taps of a convolution, an even number up to 32.
fn taps_of(c: &Checkpoint, name: &str) -> Result<usize, String> {
    let shape = c.weight_shape(name).ok_or_else(|| format!("no weights {name}"))?;
    match shape {
        [_, _, taps] if taps.is_multiple_of(2) && (2..=32).contains(taps) => Ok(*taps),
        _ => {
            Err(format!("weights {name} have the shape {shape:?}, expected: an even number of taps up to 32"))
        }
    }
}

/// The projections and codebooks of a quantizer in the layout of bundles.
pub(super) fn factorized(
    c: &mut Checkpoint,
    count: usize,
    size: usize,
    width: usize,
    dim: usize,
) -> Result<std::collections::BTreeMap<&'static str, Tensor>, String> {
    let mut all: [Vec<f32>; 5] = Default::default();
    for i in 0..count {
        let name = format!("quantizer.quantizers.{i}");
        let parts = [
            c.take(&format!("{name}.codebook.weight"), &[size, width])?,
            c.weight(&format!("{name}.in_proj"), &[width, dim, 1])?,
            c.take(&format!("{name}.in_proj.bias"), &[width])?,
            c.weight(&format!("{name}.out_proj"), &[dim, width, 1])?,
            c.take(&format!("{name}.out_proj.bias"), &[dim])?,
        ];
        all.iter_mut().zip(parts).for_each(|(all, part)| all.extend(part.values));
    }
    let shapes = [
        ("codebooks", vec![count, size, width]),
        ("in_weight", vec![count, width, dim]),
        ("in_bias", vec![count, width]),
        ("out_weight", vec![count, dim, width]),
        ("out_bias", vec![count, dim]),
    ];
    Ok(shapes.into_iter().zip(all).map(|((name, shape), values)| (name, Tensor { shape, values })).collect())
}
